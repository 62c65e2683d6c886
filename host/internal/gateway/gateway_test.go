package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// link answers with what it was asked, as JSON.
type link struct {
	routes []web.Route
	err    error
	last   *web.Request
}

func (l *link) WebRoutes() []web.Route { return l.routes }

func (l *link) ServeWeb(_ context.Context, r *web.Request) (*web.Response, error) {
	l.last = r
	if l.err != nil {
		return nil, l.err
	}
	return &web.Response{Status: 202, Header: map[string][]string{"Content-Type": {"text/plain"}}, Body: r.Body}, nil
}

func hookLink() *link {
	return &link{routes: []web.Route{{Prefix: "/post/", Methods: []string{"POST"}, MaxBody: 64,
		Tokens: [][32]byte{sha256.Sum256([]byte("other")), sha256.Sum256([]byte("sesame"))}, PerMinute: 3}}}
}

func serve(t *testing.T, opt Options, links map[sdk.LinkID]*link) (*Gateway, *httptest.Server) {
	t.Helper()
	g := New(opt)
	for id, l := range links {
		if err := g.Attach(id, l); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	return g, srv
}

// unread is a body that fails the test's request when it is read.
type unread struct{ read bool }

func (u *unread) Read([]byte) (int, error) { u.read = true; return 0, io.EOF }

func TestAnswers(t *testing.T) {
	cases := []struct {
		name, method, path, auth, body string
		status                         int
		detail                         string
	}{
		{"token in the path", "POST", "/post/sesame", "", "hello", 202, ""},
		{"bearer token", "POST", "/post", "Bearer sesame", "hello", 202, ""},
		{"wrong token in the path", "POST", "/post/sesamf", "", "hello", 404, "token mismatch"},
		{"wrong bearer token", "POST", "/post/", "Bearer nope", "hello", 401, "token mismatch"},
		{"no token", "POST", "/post/", "", "hello", 401, "a token is missing"},
		{"method", "GET", "/post/sesame", "", "", 405, "GET is not answered here"},
		{"method with a wrong token tells nothing", "GET", "/post/x", "", "", 404, "token mismatch"},
		{"too large", "POST", "/post/other", "", strings.Repeat("x", 65), 413, "the body is larger than 64 bytes"},
		{"elsewhere", "POST", "/elsewhere", "", "", 404, "nothing is served here"},
		{"prefix is a segment", "POST", "/posting", "", "", 404, "nothing is served here"},
	}
	_, srv := serve(t, Options{}, map[sdk.LinkID]*link{"hooks": hookLink()})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, srv.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.auth != "" {
				req.Header.Set("Authorization", c.auth)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, c.status, body)
			}
			if c.detail == "" {
				if string(body) != c.body {
					t.Errorf("body %q, want %q", body, c.body)
				}
				return
			}
			var p problem
			if err := json.Unmarshal(body, &p); err != nil || p.Detail != c.detail || p.Status != c.status || p.Error == "" {
				t.Errorf("problem %s (%v), want detail %q", body, err, c.detail)
			}
			if c.status == 405 && resp.Header.Get("Allow") != "POST" {
				t.Errorf("Allow %q, want POST", resp.Header.Get("Allow"))
			}
		})
	}
}

// TestWH02TokenStaysHere checks that the token crosses no border.
func TestWH02TokenStaysHere(t *testing.T) {
	l := hookLink()
	_, srv := serve(t, Options{}, map[sdk.LinkID]*link{"hooks": l})
	resp, err := http.Post(srv.URL+"/post/sesame/more?wait=5s", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if l.last.Path != "/more" || l.last.Token != sha256.Sum256([]byte("sesame")) {
		t.Errorf("path %q, want /more and the digest", l.last.Path)
	}
	all, _ := json.Marshal(l.last)
	if bytes.Contains(all, []byte("sesame")) {
		t.Errorf("the token crossed the border: %s", all)
	}
}

func TestBodyIsNotReadBeforeTheToken(t *testing.T) {
	g, _ := serve(t, Options{}, map[sdk.LinkID]*link{"hooks": hookLink()})
	for path, want := range map[string]int{"/post/wrong": 404, "/post/": 401} {
		body := &unread{}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, body))
		if w.Code != want || body.read {
			t.Errorf("%s: status %d, body read %v; want %d unread", path, w.Code, body.read, want)
		}
	}
}

func TestRateAnswers429(t *testing.T) {
	now := time.Unix(1000, 0)
	_, srv := serve(t, Options{Now: func() time.Time { return now }}, map[sdk.LinkID]*link{"hooks": hookLink()})
	post := func(token string) *http.Response {
		resp, err := http.Post(srv.URL+"/post/"+token, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for range 3 {
		if resp := post("sesame"); resp.StatusCode != http.StatusAccepted {
			t.Fatalf("status %d within the rate", resp.StatusCode)
		}
	}
	if resp := post("sesame"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "20" {
		t.Errorf("status %d, Retry-After %q; want 429 and 20", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if resp := post("other"); resp.StatusCode != http.StatusAccepted {
		t.Errorf("another token got %d", resp.StatusCode)
	}
	now = now.Add(20 * time.Second)
	if resp := post("sesame"); resp.StatusCode != http.StatusAccepted {
		t.Errorf("status %d after the wait", resp.StatusCode)
	}
}

func TestTemporaryErrorIs503(t *testing.T) {
	l := hookLink()
	l.err = &sdk.Error{Kind: sdk.Overloaded, After: 7 * time.Second, Public: "the disk is full"}
	g, srv := serve(t, Options{}, map[sdk.LinkID]*link{"hooks": l})
	post := func() (*http.Response, problem) {
		resp, err := http.Post(srv.URL+"/post/sesame", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var p problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
			t.Fatal(err)
		}
		return resp, p
	}
	if resp, p := post(); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "7" || p.Detail != "the disk is full" {
		t.Errorf("%d after %s: %+v", resp.StatusCode, resp.Header.Get("Retry-After"), p)
	}
	g.Suspend("hooks")
	if resp, p := post(); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(p.Detail, "starting again") {
		t.Errorf("suspended link: %d %+v", resp.StatusCode, p)
	}
	g.Detach("hooks")
	if resp, _ := post(); resp.StatusCode != http.StatusNotFound {
		t.Errorf("detached link: %d, want 404", resp.StatusCode)
	}
}

func TestPrefixBelongsToOneLink(t *testing.T) {
	g, _ := serve(t, Options{}, map[sdk.LinkID]*link{"a": hookLink()})
	err := g.Attach("b", hookLink())
	if err == nil || !strings.Contains(err.Error(), `"/post/" of link b: taken by link a`) {
		t.Errorf("error %v", err)
	}
	if err := g.Attach("a", hookLink()); err != nil {
		t.Errorf("attaching again: %v", err)
	}
}

func TestStartingLinksAreNot404(t *testing.T) {
	g, _ := serve(t, Options{}, nil)
	g.Await([]sdk.LinkID{"hooks", "home"})
	status := func() int {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/post/sesame", nil))
		return w.Code
	}
	if got := status(); got != 503 {
		t.Errorf("status %d while links start, want 503", got)
	}
	g.Arrived("home")
	if got := status(); got != 503 {
		t.Errorf("status %d while one link starts, want 503", got)
	}
	g.Arrived("hooks")
	if got := status(); got != 404 {
		t.Errorf("status %d after all arrived, want 404", got)
	}
}

// TestAP27ForgedForwardedFor checks that only a trusted proxy names the client.
func TestAP27ForgedForwardedFor(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	cases := []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.1:1", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "", "10.0.0.1"},
	}
	for _, c := range cases {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := clientAddr(r, trusted); got.String() != c.want {
			t.Errorf("peer %s forwarded %q: client %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(1)
	now := time.Unix(1000, 0)
	for i := range 3 * limiterKeys {
		l.take(netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}).String(), now)
	}
	if len(l.buckets) > limiterKeys+1 {
		t.Errorf("%d buckets, want at most %d", len(l.buckets), limiterKeys+1)
	}
}

// BenchmarkMatchToken shows that the place of the first wrong byte costs nothing (WH-01).
func BenchmarkMatchToken(b *testing.B) {
	tokens := hookLink().routes[0].Tokens
	for name, secret := range map[string]string{"first": "xesame", "last": "sesamx", "right": "sesame"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				matchToken(sha256.Sum256([]byte(secret)), tokens)
			}
		})
	}
}
