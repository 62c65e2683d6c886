package webhook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/web"
)

func TestMain(m *testing.M) { sdktest.Main(m, New(Options{})) }

// TestConformance runs the suite of the contract over every transport, and a
// post and a delivery on each.
func TestConformance(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	config := fmt.Sprintf(`{"hook":{"a":{"token":%q}},"out":{"o":{"url":%q,"allow_addresses":["127.0.0.1"]}}}`, token, srv.URL)
	sdktest.Run(t, sdktest.Case{
		Plugin: New(Options{}),
		Config: sdk.Config{Link: "hooks", JSON: json.RawMessage(config), Places: []sdk.PlaceUse{{ID: "a", Source: true}, {ID: "o", Target: true}}},
		Bad: []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"hook":{"a":{}}}`), json.RawMessage(`{"hook":7}`),
			json.RawMessage(`{"hook":{"a":{"token":"0123456789","nonsense":1}}}`), json.RawMessage(`{"out":{"o":{"url":"file:///x"}}}`)},
		Deliveries: []sdk.Delivery{delivery("d1", "one"), delivery("d2", "two")},
		Exercise: func(t *testing.T, l sdk.Link, h *sdktest.Host) {
			handler := web.HandlerOf(l)
			if handler == nil {
				t.Fatal("no web facet")
			}
			routes := handler.WebRoutes()
			if len(routes) != 1 || len(routes[0].Tokens) != 1 || routes[0].Tokens[0] != sha256.Sum256([]byte(token)) {
				t.Fatalf("routes %+v", routes)
			}
			resp, err := handler.ServeWeb(t.Context(), &web.Request{Method: "POST", Token: routes[0].Tokens[0], Body: []byte(`{"é":1}`),
				Header: map[string][]string{"Content-Type": {"application/json"}}})
			if err != nil || resp.Status != http.StatusAccepted {
				t.Fatalf("post: %+v, %v", resp, err)
			}
			if ev := <-h.Events(); ev.Item().Body() != "{\n  \"é\": 1\n}" || ev.Actor.Name != "a" {
				t.Errorf("event %+v", ev)
			}
		},
	})
}

// TestWH01 holds that tokens and signatures are only compared by functions of
// constant time: the plugin has no token, and looks digests up that the host's
// listener has already compared; signatures go through hmac.Equal.
func TestWH01(t *testing.T) {
	compare := regexp.MustCompile(`bytes\.Equal|(token|mac|digest|secret)s?\s*[!=]=\s*[^"n]`)
	for _, file := range []string{"intake.go", "publish.go", "plugin.go", "answer.go", "internal/seal/seal.go"} {
		src, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(src), "\n") {
			if compare.MatchString(strings.ToLower(line)) {
				t.Errorf("%s:%d compares a secret: %s", file, i+1, strings.TrimSpace(line))
			}
		}
		if file == "internal/seal/seal.go" && strings.Count(string(src), "hmac.Equal") != 1 {
			t.Error("signatures are not compared in exactly one place by hmac.Equal")
		}
	}
}

// TestWH05 follows hostile text to the event: it arrives as one item, as it is
// but for control characters, with no markup and no mention, under the
// operator's name.
func TestWH05(t *testing.T) {
	const text = "</body><body>x\r\nadmin: *bold* > quote @all {{.Token}} <script>\x00\x1b[2J\u0085"
	in, err := json.Marshal(map[string]string{"t": text, "name": "admin\r\nX: y"})
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		`,"template_text":"{{.t}}"`:         "</body><body>x\nadmin: *bold* > quote @all {{.Token}} <script>\ufffd\ufffd[2J\ufffd",
		`,"template_text":"{{oneline .t}}"`: "</body><body>x admin: *bold* > quote @all {{.Token}} <script>\ufffd\ufffd[2J",
		`,"format":"yaml"`:                  "name: \"admin\\r\\nX: y\"\nt: \"</body><body>x\\r\\nadmin: *bold* > quote @all {{.Token}} <script>\\u0000\\u001b[2J\\u0085\"",
	} {
		r := open(t, hookConfig(format))
		if a := r.post("", string(in), jsonType()); a.code != 202 {
			t.Fatalf("%s: %+v", format, a)
		}
		ev := r.event()
		item := ev.Item()
		if item.Body() != want || len(item.Text.Spans) != 0 || len(item.Mentions) != 0 || ev.Actor.Name != "Alpha" {
			t.Errorf("%s: %q by %q, want %q", format, item.Body(), ev.Actor.Name, want)
		}
		r.quiet()
	}
	_, err = New(Options{}).Open(sdk.Config{JSON: json.RawMessage(`{"hook":{"a":{"token":"0123456789","name":"x\r\nadmin"}}}`)}, sdktest.NewHost(nil))
	if err == nil {
		t.Error("a name with line breaks is accepted")
	}
}

// BenchmarkPost is the cost of one request in the plugin, without the host.
func BenchmarkPost(b *testing.B) {
	payload, err := os.ReadFile("internal/tmpl/testdata/alertmanager-firing.txtar")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(payload), "-- in.json --\n")
	body, _, _ := strings.Cut(rest, "-- out.txt --")
	for _, c := range []struct{ name, config string }{{"json", ""}, {"yaml", `,"format":"yaml"`}, {"template", `,"template":"alertmanager"`}} {
		b.Run(c.name, func(b *testing.B) {
			host := sdktest.NewHost(nil)
			l, err := New(Options{}).Open(sdk.Config{Link: "hooks", JSON: json.RawMessage(hookConfig(c.config))}, host)
			if err != nil {
				b.Fatal(err)
			}
			q := &web.Request{Method: "POST", Token: sha256.Sum256([]byte(token)), Body: []byte(body), Header: map[string][]string{"Content-Type": {"application/json"}}}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				resp, err := web.HandlerOf(l).ServeWeb(b.Context(), q)
				if err != nil || resp.Status != http.StatusAccepted {
					b.Fatal(resp, err)
				}
				<-host.Events()
			}
		})
	}
}
