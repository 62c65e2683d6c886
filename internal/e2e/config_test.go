package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// manyMistakes is a file with many faults; what check must say of each follows.
const manyMistakes = `[host]
data = 5
crash_limit = 0
crash_windw = "5m"
max_age = "0s"
[host.log]
level = "chatty"
[http]
listen = "127.0.0.1:1"
trusted_proxies = ["not an address"]
[admn]
listen = "127.0.0.1:2"
[link.hooks]
plugin = "webhok"
[link.hooks.config.hook.a]
token = "long enough token"
[link.home]
plugin = "xmpp"
on_error = "ajar"
grant = ["logs"]
limits = { memory = "lots" }
[link.filter]
plugin = "wasm:missing.wasm"
[link.empty]
[[route]]
from = "hoks:a"
to = ["home:x@y", "home:x@y"]
filters = ["filtr"]
[[route]]
from = "hooks"
to = []
[[route]]
form = "hooks:a"
to = ["nobody:x"]
`

// TestManyMistakes reports all faults of a file at once, with the nearest right
// spelling: check ends with 0 or 4, and run of a wrong file with 3.
func TestManyMistakes(t *testing.T) {
	b := newBridge(t, "[link.hooks]\nplugin = \"webhook\"\n"+hook("healthy"))
	if out, code := b.cli("check"); code != 0 {
		t.Errorf("check of a good file: exit %d\n%s", code, out)
	}
	b.configure(b.head + "[link.home]\nplugin = \"xmpp\"\n")
	if out, code := b.cli("check"); code != 4 || !strings.Contains(out, "domain") {
		t.Errorf("check of a link that lacks its settings: exit %d\n%s", code, out)
	}
	b.configure(manyMistakes)
	out, code := b.cli("check")
	if code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	for _, want := range []string{
		"toml:2:", "toml:3:", `"crash_window"`, "toml:5:", "chatty", "not an address", `"admin"`, "ajar", `"log"`, "lots",
		`"hooks"`, `"filter"`, "toml:30:", "nobody", `"from"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check says nothing with %s", want)
		}
	}
	if n := strings.Count(out, "bridgehost.toml:"); n < 15 {
		t.Errorf("%d faults reported at once", n)
	}
	t.Logf("check says:\n%s", out)
	if out, code := b.cli("run"); code != 3 {
		t.Errorf("run: exit %d\n%s", code, out)
	}
}

// TestReload applies a changed file by the command line and by SIGHUP. Links
// that did not change keep their process; a wrong file changes nothing.
func TestReload(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := server.Room("ops")
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	links := plainLinks(t, server, room)
	b := newBridge(t, links)
	b.start()
	b.ready()
	b.accept("plain-token", "before")
	watcher.WaitBody(room, "before")
	before := b.children()

	b.configure(b.head + links + hook("second") + oneWay("hooks:second", "home:"+room, ""))
	out, code := b.cli("reload")
	if code != 0 || !strings.Contains(out, "link hooks starts anew") || !strings.Contains(out, "route is added: hooks:second") || strings.Contains(out, "link home") {
		t.Errorf("reload: exit %d\n%s", code, out)
	}
	b.until("the second hook works", func() bool {
		a, err := b.post(t.Context(), "/post/second-token", "text/plain", "by reload")
		return err == nil && a.status == 202
	})
	watcher.WaitBody(room, "by reload")
	after := b.children()
	if after["xmpp"] != before["xmpp"] || after["webhook"] == before["webhook"] {
		t.Errorf("processes before %v, after %v: only webhook's may change", before, after)
	}

	b.configure(b.head + links + "[[route]]\nfrom = \"hoks:plain\"\n")
	if out, code := b.cli("reload"); code == 0 || !strings.Contains(out, "hoks") {
		t.Errorf("reload of a wrong file: exit %d\n%s", code, out)
	}
	b.accept("second-token", "the old configuration goes on")
	watcher.WaitBody(room, "the old configuration goes on")
	if now := b.children(); now["xmpp"] != after["xmpp"] || now["webhook"] != after["webhook"] {
		t.Errorf("a wrong file changed processes: %v, before %v", now, after)
	}

	// Only the route changes: no process does.
	other := server.Room("other")
	watcher.Join(other, "watcher")
	b.configure(b.head + strings.Replace(links, room, other, 1) + hook("second") + oneWay("hooks:second", "home:"+room, ""))
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.until("the new route is applied", func() bool {
		var st struct{ Routes []struct{ To []string } }
		return b.get("/status?format=json", &st) == 200 && len(st.Routes) > 0 && st.Routes[0].To[0] == "home:"+other
	})
	b.accept("plain-token", "elsewhere")
	watcher.WaitBody(other, "elsewhere")
	if now := b.children(); now["xmpp"] != after["xmpp"] || now["webhook"] != after["webhook"] {
		t.Errorf("a changed route changed processes: %v, before %v", now, after)
	}
	if l := b.link("home"); l.Restarts != 0 {
		t.Errorf("link home was restarted %d times", l.Restarts)
	}
}

// TestFailedLink kills the xmpp plugin until its link is failed. Posts are still
// accepted; plugin restart brings the link back, and they arrive.
func TestFailedLink(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := server.Room("ops")
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	links := plainLinks(t, server, room)
	b := newBridge(t, links)
	b.configure(strings.Replace(b.head, "crash_limit = 100000", "crash_limit = 3", 1) + links)
	b.start()
	b.ready()
	for i := range 3 {
		b.killPlugin("xmpp", 0)
		b.until(fmt.Sprintf("crash %d is noticed", i+1), func() bool {
			l := b.link("home")
			return l.Restarts == i+1 || l.State == "failed"
		})
	}
	b.waitLink("home", "failed", "plugin restart home")
	if code := b.get("/readyz", nil); code != 503 {
		t.Errorf("readyz %d with a failed link, want 503", code)
	}
	b.accept("plain-token", "while it is failed")
	if out, code := b.cli("status"); code != 4 || !strings.Contains(out, "failed") {
		t.Errorf("status: exit %d\n%s", code, out)
	}
	if out, code := b.cli("plugin", "restart", "home"); code != 0 {
		t.Fatalf("plugin restart: exit %d\n%s", code, out)
	}
	began := time.Now()
	watcher.WaitBody(room, "while it is failed")
	t.Logf("delivered %v after the restart", time.Since(began).Round(time.Millisecond))
	if out, code := b.cli("plugin", "restart", "nobody"); code == 0 {
		t.Errorf("plugin restart of an unknown link: exit %d\n%s", code, out)
	}
	b.ready()
}
