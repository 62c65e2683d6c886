package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// hookLinks is a hook and a room, joined by one route.
func hookLinks(s *itest.Server, room, extra string) string {
	return fmt.Sprintf(`[link.home]
plugin = "xmpp"
[link.home.config]
mode = "component"
address = %q
domain = "bridge.test"
secret = { file = %q }
create_rooms = true

[link.hooks]
plugin = "webhook"
[link.hooks.config.hook.grafana]
token = "sesame-open-now"
name = "Grafana"
format = "json"
[link.hooks.config.hook.plain]
token = "plain-sesame"
name = "Plain"
format = "text"

[[route]]
from = "hooks:grafana"
to = ["home:%[3]s"]

[[route]]
from = "hooks:plain"
to = ["home:%[3]s"]
%[4]s`, s.Component, secretFile, room, extra)
}

// secretFile stands for the file with the component's secret; hookLinks' users
// replace it by withSecret.
const secretFile = "@secret@"

// withSecret writes the secret beside the configuration, as operators should.
func withSecret(t testing.TB, links string) string {
	t.Helper()
	return strings.ReplaceAll(links, secretFile, writeSecret(t))
}

func TestWebhookReachesTheRoom(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := "ops@" + server.RoomDomain
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	b := newBridge(t, withSecret(t, hookLinks(server, room, "")))
	b.start()
	b.ready()

	a, err := b.post(t.Context(), "/post/sesame-open-now?wait=10s", "application/json", `{"b": "ü <&> \"", "a": [1.0, 2e3]}`)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != 200 {
		t.Fatalf("waiting post: %d %s; status %s", a.status, a.body, b.statusText())
	}
	var got struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.ID == "" {
		t.Fatalf("answer %s: no id (%v)", a.body, err)
	}
	want := "{\n  \"b\": \"ü <&> \\\"\",\n  \"a\": [\n    1.0,\n    2e3\n  ]\n}"
	ev := watcher.WaitBody(room, want)
	if ev.Nick != "Grafana" {
		t.Errorf("nick %q, want Grafana", ev.Nick)
	}
	out, code := b.cli("explain", "hooks:"+got.ID)
	if code != 0 || !strings.Contains(out, "copy") || !strings.Contains(out, "home:") {
		t.Errorf("explain: exit %d\n%s", code, out)
	}
	b.stop()
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, b.tail())
	}
}

// TestCurlMatrix is the table of the predecessor's answers with ours.
func TestCurlMatrix(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := "ops@" + server.RoomDomain
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	b := newBridge(t, withSecret(t, hookLinks(server, room, "")))
	b.start()
	b.ready()
	const form = "application/x-www-form-urlencoded"
	cases := []struct {
		name, path, contentType, body string
		status                        int
		room                          string // what the room shows; empty = nothing
	}{
		{"object", "sesame-open-now", "application/json", `{"z":1,"a":"é"}`, 202, "{\n  \"z\": 1,\n  \"a\": \"é\"\n}"},
		{"list", "sesame-open-now", "application/json", `[1,2]`, 202, "[\n  1,\n  2\n]"},
		{"string", "sesame-open-now", "application/json", `"hello"`, 202, `"hello"`},
		{"empty object", "sesame-open-now", "application/json", `{}`, 202, "{}"},
		{"form", "sesame-open-now", form, "title=a+b&x=1&x=2", 202, "{\n  \"title\": \"a b\",\n  \"x\": [\n    \"1\",\n    \"2\"\n  ]\n}"},
		{"form, bad token", "wrong", form, "a=b", 404, ""},
		{"text", "plain-sesame", "text/plain; charset=utf-8", "just text", 202, "just text"},
		{"bad token and JSON", "wrong", "application/json", `{}`, 404, ""},
		{"missing token", "", "application/json", `{}`, 401, ""},
		{"extra path", "sesame-open-now/more/path", "application/json", `{}`, 404, ""},
		{"no content type", "sesame-open-now", "", `{"a":1}`, 415, ""},
		{"other content type", "sesame-open-now", "image/png", `x`, 415, ""},
		{"invalid JSON", "sesame-open-now", "application/json", `{"a":`, 400, ""},
		{"duplicate key", "sesame-open-now", "application/json", `{"a":1,"a":2}`, 400, ""},
		{"empty body", "sesame-open-now", "application/json", ``, 400, ""},
		{"too large", "sesame-open-now", "application/json", `"` + strings.Repeat("x", 2<<20) + `"`, 413, ""},
	}
	for _, c := range cases {
		a, err := b.post(t.Context(), "/post/"+c.path, c.contentType, c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, a.status, a.body, c.status)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
			t.Errorf("%s: the answer is no JSON object: %q", c.name, a.body)
		}
		if c.status >= 400 && (doc["error"] == nil || doc["detail"] == nil) {
			t.Errorf("%s: no error and detail in %s", c.name, a.body)
		}
		if c.room != "" {
			watcher.WaitBody(room, c.room)
		}
	}
	if n := len(watcher.Messages(room)); n != 6 {
		t.Errorf("%d messages in the room, want 6: an error must never make one", n)
	}
	resp, err := httpGet(b.public + "/post/sesame-open-now")
	if err != nil || resp.status != 405 || resp.header.Get("Allow") != "POST" {
		t.Errorf("GET: %+v %v, want 405 with Allow: POST", resp, err)
	}
}
