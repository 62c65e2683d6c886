package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/host"
	"bridgehost/host/config"
)

// hookFile writes a configuration with one webhook link, and gives its path. The
// admin listener is at the address, empty for none; more replaces the link's hook.
func hookFile(t *testing.T, admin, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridgehost.toml")
	text := "[host]\ndata = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n"
	if admin != "" {
		text += "[admin]\nlisten = \"" + admin + "\"\n"
	}
	text += "[link.hooks]\nplugin = \"webhook\"\n"
	if more == "" {
		more = "[link.hooks.config.hook.grafana]\ntoken = \"sesame-open-now\"\nname = \"Grafana\"\nformat = \"text\"\n"
	}
	text += more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheckVerb reports all faults with exit code 4, as text and for programs.
func TestCheckVerb(t *testing.T) {
	good := hookFile(t, "", "")
	pluginVerb(t, "", "check", "-c", good).expect(t, exitGood, "good: 1 links, 0 routes", "warning:", "no route uses the link hooks")
	wrong := hookFile(t, "", "[link.hooks.config]\nhok = 1\n[link.home]\nplugin = \"xmmp\"\n")
	pluginVerb(t, "", "check", "-c", wrong).expect(t, exitFound, "bridgehost.toml:8:", "did you mean hook?", `did you mean "xmpp"?`, "2 faults")
	var said struct {
		Good   bool
		Faults []config.Error
	}
	d := pluginVerb(t, "", "check", "--json", "-c", wrong)
	if err := json.Unmarshal([]byte(d.out), &said); err != nil || d.code != exitFound || said.Good || len(said.Faults) != 2 || said.Faults[0].Line != 8 {
		t.Errorf("exit %d, %v\n%s", d.code, err, d.out)
	}
	pluginVerb(t, "", "check", "--json", "-c", good).expect(t, exitGood, `"good": true`, `"faults": []`)
	pluginVerb(t, "", "check", "-c", filepath.Join(t.TempDir(), "none.toml")).expect(t, exitConfig, "does not exist", "config example")
	pluginVerb(t, "", "check", "surplus").expect(t, exitUsage, "see: bridgehost check --help")
	pluginVerb(t, "", "run", "-c", wrong).expect(t, exitConfig, "did you mean") // of the file only: run opens links later
}

// TestTexts that are printed without a configuration.
func TestTexts(t *testing.T) {
	pluginVerb(t, "", "version").expect(t, exitGood, "bridgehost "+version)
	pluginVerb(t, "", "version", "--json").expect(t, exitGood, `"version": "`+version+`"`)
	pluginVerb(t, "", "config", "docs").expect(t, exitGood, "host.max_age", "gateway[].links")
	pluginVerb(t, "", "config", "example").expect(t, exitGood, "[link.")
	d := pluginVerb(t, "", "config", "schema")
	if !json.Valid([]byte(d.out)) {
		t.Errorf("the schema is no JSON: %s", d.out)
	}
	for _, verb := range []string{"", "queue", "config", "import", "plugin"} {
		d := pluginVerb(t, "", strings.Fields(verb)...)
		d.expect(t, exitGood, "Usage:")
	}
	pluginVerb(t, "", "stats").expect(t, exitUsage, "stats")
	pluginVerb(t, "", "status", "--jsn").expect(t, exitUsage, "--jsn")
	pluginVerb(t, "", "import", "xmpp-muc-gateway", filepath.Join(t.TempDir(), "none")).expect(t, exitFailure, "import:")
}

// TestConfigByEnvironment takes the file that -c does not name.
func TestConfigByEnvironment(t *testing.T) {
	t.Setenv("BRIDGEHOST_CONFIG", hookFile(t, "", ""))
	pluginVerb(t, "", "check").expect(t, exitGood, "good: 1 links")
}

// TestQueueVerbsWithoutAHost read the data folder; those that change something say
// what is missing.
func TestQueueVerbsWithoutAHost(t *testing.T) {
	file := hookFile(t, "", "")
	pluginVerb(t, "", "queue", "list", "-c", file).expect(t, exitGood, "nothing")
	pluginVerb(t, "", "queue", "list", "--json", "--dead", "-c", file).expect(t, exitGood, "[]")
	pluginVerb(t, "", "queue", "retry", "-c", file).expect(t, exitUsage, "--all")
	pluginVerb(t, "", "queue", "retry", "--all", "-c", file).expect(t, exitFailure, "no [admin] listen")
	pluginVerb(t, "", "queue", "drop", "--all", "-c", file).expect(t, exitGood, "would drop", "nothing")
	pluginVerb(t, "", "queue", "list", "--link", "nobody", "-c", file).expect(t, exitGood, "nothing")
	pluginVerb(t, "", "explain", "hooks:x", "-c", file).expect(t, exitFailure, "nothing is known")
	pluginVerb(t, "", "explain", "nonsense", "-c", file).expect(t, exitFailure, "neither an id of this host nor link:id")
	pluginVerb(t, "", "status", "-c", file).expect(t, exitFailure, "no [admin] listen")
	idle := hookFile(t, "127.0.0.1:1", "")
	for _, verb := range []string{"status", "reload", "queue retry --all", "plugin restart hooks"} {
		pluginVerb(t, "", append(strings.Fields(verb), "-c", idle)...).expect(t, exitFailure, "bridgehost run")
	}
}

// TestVerbsWithARunningHost drive it by its admin listener, whose port is chosen by
// the system: a second configuration names it.
func TestVerbsWithARunningHost(t *testing.T) {
	file := hookFile(t, "localhost:0", "")
	cfg, err := config.Load(file, "webhook", "xmpp")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	h, err := host.New(cfg, builtins(), host.Options{Version: "1", InProcess: true, Ready: func(_, admin net.Addr) { ready <- admin.String() }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, nil) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var admin string
	select {
	case admin = <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the host did not start: %v", err)
	}
	asks := hookFile(t, admin, "")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if d := pluginVerb(t, "", "status", "-c", asks); d.code == exitGood {
			d.expect(t, exitGood, "LINK OR PLACE", "hooks", "webhook", "up", "DEAD LETTERS")
			break
		} else if time.Now().After(end) {
			t.Fatalf("never ready: %s%s", d.out, d.err)
		}
	}
	pluginVerb(t, "", "status", "--json", "-c", asks).expect(t, exitGood, `"ready": true`)
	pluginVerb(t, "", "queue", "list", "-c", asks).expect(t, exitGood, "nothing")
	pluginVerb(t, "", "queue", "retry", "--all", "--dead", "-c", asks).expect(t, exitGood, "0 deliveries")
	pluginVerb(t, "", "queue", "drop", "--all", "--yes", "--json", "-c", asks).expect(t, exitGood, `"changed": 0`)
	pluginVerb(t, "", "reload", "-c", asks).expect(t, exitGood, "nothing changed")
	pluginVerb(t, "", "plugin", "restart", "hooks", "-c", asks).expect(t, exitGood)
	pluginVerb(t, "", "plugin", "restart", "nobody", "-c", asks).expect(t, exitFailure, "no such link")
	pluginVerb(t, "", "explain", "hooks:x", "--json", "-c", asks).expect(t, exitFailure, "nothing is known")
}
