package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// screenshotEnv names a folder for pictures of the page, taken by chromium in
// light and dark and at the width of a phone, for people to look at.
const screenshotEnv = "BRIDGEHOST_E2E_SCREENSHOTS"

// TestStatusPage shows links, places in several states, a filter that failed,
// what waits and dead letters on the page of the admin listener.
func TestStatusPage(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"owner": "pw"}})
	owner := itest.Slix(t, server.Account("owner"))
	owner.Join(server.Room("ops"), "owner")
	fuel, digest := pinned(t, selfFuelling())
	b := newBridgeWith(t, `max_age = "1s"`, withSecret(t, xmppLink("home", server, "bridge.test")+
		"[link.hooks]\nplugin = \"webhook\"\n"+hook("grafana")+hook("backup")+moduleLink("shout", fuel, digest, "optional = true")+
		oneWay("hooks:grafana", "home:"+server.Room("ops"), "")+oneWay("hooks:backup", "home:"+server.Room("nowhere"), "")))
	b.start()
	b.ready()
	b.accept("grafana-token", "fine")
	owner.WaitBody(server.Room("ops"), "fine")
	b.accept("backup-token", "into the void")
	b.until("a dead letter", func() bool { _, dead := b.depth("home"); return dead == 1 })
	b.accept("backup-token", "waits")
	b.waitPlace("home", server.Room("nowhere"), "down", "")
	b.waitLink("shout", "failed", "")
	page, err := httpGet(b.admin + "/")
	if err != nil || page.status != 200 {
		t.Fatalf("page: %d %v", page.status, err)
	}
	for _, want := range []string{"home", "hooks", "shout", server.Room("ops"), "the room does not exist", "invalid global index", "bridgehost queue retry", "hooks:grafana"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	dir := os.Getenv(screenshotEnv)
	if dir == "" {
		return
	}
	for name, args := range map[string][]string{
		"light": {"--window-size=1280,1500"},
		"dark":  {"--window-size=1280,1500", "--blink-settings=preferredColorScheme=0"},
		"phone": {"--window-size=500,2000"},
	} {
		args = append(args, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir="+t.TempDir(),
			"--screenshot="+filepath.Join(dir, name+".png"), b.admin+"/")
		if out, err := exec.Command("chromium", args...).CombinedOutput(); err != nil {
			t.Errorf("chromium: %v\n%s", err, out)
		}
	}
}
