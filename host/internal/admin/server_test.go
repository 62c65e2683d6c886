package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// shown is a host with one link, one dead letter, and a name made of markup.
type shown struct{ retried QueueFilter }

func (h *shown) Status(context.Context) Status {
	return Status{Version: "1.2.3", Reason: "link home is down", Started: time.Now().Add(-time.Minute),
		Links: []supervise.Status{{Link: "home", Plugin: "xmpp", StateName: "down", Reason: "<script>alert(1)</script>",
			Places: map[sdk.RemoteID]supervise.PlaceStatus{"ops@muc.example": {StateName: "down", Reason: "banned"}}}},
		Queues: []QueueStatus{{Link: "home", Depth: 3, Oldest: time.Minute, Dead: 1}}}
}

func (h *shown) Queue(_ context.Context, f QueueFilter) ([]QueueRow, error) {
	return []QueueRow{{ID: "d1", Link: "home", Place: "ops@muc.example", Dead: f.Dead, Reason: "banned"}}, nil
}

func (h *shown) Retry(_ context.Context, f QueueFilter) (int, error) { h.retried = f; return 1, nil }
func (h *shown) Drop(context.Context, QueueFilter) (int, error)      { return 0, nil }

func (h *shown) Explain(_ context.Context, item string) (Explanation, error) {
	if item != "i1" {
		return Explanation{}, sdk.Errorf(sdk.NotFound, "explain "+item, "there is no such item")
	}
	return Explanation{Item: item}, nil
}

func (h *shown) Reload(context.Context) (string, error)    { return "nothing changed", nil }
func (h *shown) RestartLink(context.Context, string) error { return nil }
func (h *shown) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "metrics")
}

func ask(t *testing.T, h *shown, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	s, err := New(h, h, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	guard(s.mux).ServeHTTP(w, r)
	return w
}

func TestPageEscapesAndShowsPlaces(t *testing.T) {
	w := ask(t, &shown{}, "GET", "/status", "")
	body := w.Body.String()
	for _, want := range []string{"ops@muc.example", "banned", "not ready", "&lt;script&gt;", "queue retry ID"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, "<script>") {
		t.Error("the page runs a script that a link reported")
	}
	if !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("no content security policy")
	}
}

func TestAnswers(t *testing.T) {
	cases := []struct {
		name, method, target, body string
		header                     []string
		status                     int
		want                       string
	}{
		{"live", "GET", "/livez", "", nil, 200, `"live": true`},
		{"not ready", "GET", "/readyz", "", nil, 503, "link home is down"},
		{"status as JSON", "GET", "/status?format=json", "", nil, 200, `"state": "down"`},
		{"status by Accept", "GET", "/status", "", []string{"Accept", "application/json"}, 200, `"depth": 3`},
		{"metrics", "GET", "/metrics", "", nil, 200, "metrics"},
		{"queue", "GET", "/api/queue?dead=1", "", nil, 200, `"dead": true`},
		{"explain", "GET", "/api/explain?item=i1", "", nil, 200, `"item": "i1"`},
		{"explain unknown", "GET", "/api/explain?item=x", "", nil, 404, "there is no such item"},
		{"change without the header", "POST", "/api/queue/retry", `{}`, nil, 403, "X-Bridgehost"},
		{"change with an unknown key", "POST", "/api/queue/retry", `{"idz":[]}`, []string{"X-Bridgehost", "1"}, 400, "idz"},
		{"change", "POST", "/api/queue/retry", `{"ids":["d1"],"dead":true}`, []string{"X-Bridgehost", "1"}, 200, `"changed": 1`},
		{"foreign host", "GET", "/status", "", []string{"Host", "evil.example"}, 421, "localhost only"},
		{"localhost", "GET", "/livez", "", []string{"Host", "localhost:8081"}, 200, "live"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := ask(t, &shown{}, c.method, c.target, c.body, c.header...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s; want %d with %q", w.Code, w.Body, c.status, c.want)
			}
		})
	}
}

func TestRetryGetsTheFilter(t *testing.T) {
	h := &shown{}
	w := ask(t, h, "POST", "/api/queue/retry", `{"ids":["d1"],"dead":true}`, "X-Bridgehost", "1")
	var got map[string]int
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["changed"] != 1 {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if len(h.retried.IDs) != 1 || h.retried.IDs[0] != "d1" || !h.retried.Dead {
		t.Errorf("filter %+v", h.retried)
	}
}
