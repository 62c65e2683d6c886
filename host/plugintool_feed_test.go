package host

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

// feedServer is a server of one feed, with validators, that tells each request.
type feedServer struct {
	*httptest.Server
	asked chan *http.Request

	mu     sync.Mutex
	items  []string
	status int // answered once in place of the feed; 0 = none
}

func newFeedServer(t *testing.T, items ...string) *feedServer {
	s := &feedServer{asked: make(chan *http.Request, 100), items: items}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *feedServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.asked <- r }()
	tag := fmt.Sprintf(`"v%d"`, len(s.items))
	w.Header().Set("ETag", tag)
	switch {
	case s.status != 0:
		http.Error(w, "", s.status)
		s.status = 0
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		var b strings.Builder
		for i := len(s.items) - 1; i >= 0; i-- { // the newest on top
			fmt.Fprintf(&b, "<item><guid>%d</guid><title>%s</title><link>https://news.example.org/%d</link></item>", i, s.items[i], i)
		}
		fmt.Fprintf(w, "<rss version=\"2.0\"><channel><title>News</title>%s</channel></rss>", b.String())
	}
}

// set changes the feed.
func (s *feedServer) set(status int, items ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.items = status, append(s.items, items...)
}

// next waits for a request.
func (s *feedServer) next(t *testing.T) *http.Request {
	t.Helper()
	return wait(t, s.asked, "a request for the feed")
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}

// TestFeedExample runs the reader of feeds as a module against a server on
// loopback, which the operator's exception lets it reach: the first reading
// gives only the backlog, then what is new comes once, in order, also after the
// link was started anew; unchanged feeds are not sent again; a fault of the
// server is a state of the place.
func TestFeedExample(t *testing.T) {
	module := buildExample(t, "feed-wasm")
	sum, err := FileSHA256(module)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := wasm.NewHost(wasm.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := modules.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	server := newFeedServer(t, "one", "two", "three")
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	l := &launcher{wasm: modules, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	spec := pluginSpec{module: module, sha256: sum, grant: []string{"http", "timer", "kv", "emit"}, hosts: []string{u.Host}, time: toolTime,
		private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	h := sdktest.NewHost(nil)
	run := func(spec pluginSpec) (stop func()) {
		inst, err := l.Launch(t.Context(), supervise.Spec{Link: "news", Detail: spec})
		if err != nil {
			t.Fatal(err)
		}
		link, err := inst.Plugin().Open(sdk.Config{Link: "news", Places: []sdk.PlaceUse{{ID: "planet", Source: true}},
			JSON: []byte(fmt.Sprintf(`{"interval":"1s","feed":{"planet":{"url":%q,"backlog":1},"unused":{"url":"https://unused.example.org/"}}}`, server.URL+"/rss"))}, h)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- link.Run(ctx) }()
		return func() {
			cancel()
			if err := wait(t, done, "the end of Run"); err != nil {
				t.Error(err)
			}
			if err := inst.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	title := func(want string) {
		t.Helper()
		e := wait(t, h.Events(), "an event")
		it := e.Item()
		if it.Title != want || !strings.HasPrefix(it.URL, "https://news.example.org/") || it.Body() != it.URL || e.Place.ID != "planet" || e.Dedup == "" || e.Actor.Name != "News" {
			t.Errorf("got event %+v, want the entry %q", e, want)
		}
	}

	stop := run(spec)
	if r := server.next(t); r.Header.Get("If-None-Match") != "" {
		t.Errorf("first request has If-None-Match %q", r.Header.Get("If-None-Match"))
	}
	title("three")
	if r := server.next(t); r.Header.Get("If-None-Match") != `"v3"` {
		t.Errorf("second request has If-None-Match %q, want the tag of the first answer", r.Header.Get("If-None-Match"))
	}
	server.set(0, "four", "five")
	title("four")
	title("five")
	stop()

	server.set(http.StatusInternalServerError, "six")
	stop = run(spec)
	title("six") // after the fault, and neither four nor five again
	stop()
	var down bool
	for _, r := range h.Reports() {
		down = down || r.Place == "planet" && r.State == sdk.StateDown && strings.Contains(r.Reason, "status 500")
	}
	if !down {
		t.Errorf("reports %+v, want place planet down because of status 500", h.Reports())
	}

	spec.private = nil // without the exception the address is refused
	server.set(0, "seven")
	stop = run(spec)
	defer stop()
	seen := len(h.Reports())
	report, err := h.WaitReport(waitContext(t), func(r sdk.Report) bool { return strings.Contains(r.Reason, "loopback") })
	if err != nil {
		t.Fatalf("no report of the refusal among %+v: %v", h.Reports()[seen:], err)
	}
	if report.State != sdk.StateDown || report.Place != "planet" {
		t.Errorf("report %+v, want place planet down", report)
	}
}

func waitContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
