package wasm

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"bridgehost/sdk"
)

// webServer answers on 127.0.0.1 and says how often it was asked.
func webServer(t *testing.T) (*httptest.Server, *int) {
	t.Helper()
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		switch r.URL.Path {
		case "/ok":
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "%s %s", r.Header.Get("X-Test"), r.UserAgent())
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case "/big":
			_, _ = w.Write(make([]byte, MaxReply+1))
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 64 {
				_, _ = z.Write(make([]byte, 1<<20))
			}
			_ = z.Close()
		}
	}))
	t.Cleanup(s.Close)
	return s, &hits
}

// TestHTTP: only listed hosts, on every hop; only public addresses unless
// allowed; bounded answers.
func TestHTTP(t *testing.T) {
	server, hits := webServer(t)
	h, err := NewHost(Options{Dir: cacheDir, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(context.Background())
	u, _ := url.Parse(server.URL)
	fetch := func(h *Host, hosts []string, target string) (string, error) {
		o := guestOptions("http", "command")
		o.Hosts = hosts
		p, err := h.Load(context.Background(), goGuest, o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		l, err := p.OpenLink(sdk.Config{Link: "guest"}, newFakeHost())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Facets().Commander.Command(context.Background(), sdk.Invocation{Name: "fetch", Args: []string{target}})
	}
	here := []string{u.Host}
	if got, err := fetch(h, here, server.URL+"/ok"); err != nil || got != "200 text/plain 1 bridgehost-module/1" {
		t.Errorf("ok: %q, %v", got, err)
	}
	cases := []struct {
		host   *Host
		hosts  []string
		target string
		kind   sdk.Kind
		hits   int
	}{
		{h, []string{"127.0.0.1"}, server.URL + "/ok", sdk.Forbidden, 0}, // another port
		{h, []string{"example.org"}, server.URL + "/ok", sdk.Forbidden, 0},
		{h, here, server.URL + "/away", sdk.Forbidden, 1},
		{h, here, server.URL + "/loop", sdk.Forbidden, 4},
		{h, here, server.URL + "/file", sdk.Invalid, 1},
		{h, here, server.URL + "/big", sdk.TooLarge, 1},
		{h, here, server.URL + "/gzip", sdk.TooLarge, 1},
		{h, here, "file:///etc/passwd", sdk.Invalid, 0},
		{h, here, "http://user:pass@" + u.Host + "/ok", sdk.Invalid, 0},
		{sharedHost, here, server.URL + "/ok", sdk.Forbidden, 0}, // address not allowed
		{sharedHost, []string{"localhost:" + u.Port()}, "http://localhost:" + u.Port() + "/ok", sdk.Forbidden, 0},
	}
	for _, c := range cases {
		*hits = 0
		_, err := fetch(c.host, c.hosts, c.target)
		if sdk.KindOf(err) != c.kind || *hits != c.hits {
			t.Errorf("%s with %v: kind %v, %d requests, want %v and %d (%v)", c.target, c.hosts, sdk.KindOf(err), *hits, c.kind, c.hits, err)
		}
	}
}

func TestHostPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, url string
		want         bool
	}{
		{"example.org", "https://example.org/", true}, {"example.org", "https://EXAMPLE.org:443/", true}, {"example.org", "https://example.org./", true},
		{"example.org", "https://example.org:8443/", false}, {"example.org:8443", "https://example.org:8443/", true}, {"example.org", "https://evil.example.org/", false},
		{"*.example.org", "https://a.example.org/", true}, {"*.example.org", "https://example.org/", false}, {"*.example.org", "https://evilexample.org/", false},
		{"*", "https://anything.example/", true}, {"*", "gopher://anything.example/", false}, {"example.org", "https://example.org@evil.example/", false},
		{"example.org", "https://example.org.evil.example/", false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := newFetcher([]string{c.pattern}, nil).allowed(u); (err == nil) != c.want {
			t.Errorf("%s with %s: %v, want allowed %v", c.url, c.pattern, err, c.want)
		}
	}
}

func TestParseHTTPRequest(t *testing.T) {
	header := func(name, value string) []byte {
		var h []byte
		h = appendMessage(h, 1, func(b []byte) []byte { return append(b, name...) })
		h = appendMessage(h, 2, func(b []byte) []byte { return append(b, value...) })
		return appendMessage(nil, 3, func(b []byte) []byte { return append(b, h...) })
	}
	for _, bad := range [][]byte{header("Host", "x"), header("A\r\nB", "x"), header("A", "x\r\nB: y"), header("Connection", "close"), []byte("\x0a\x07CONNECT"), []byte("\x0a")} {
		if _, err := parseHTTPRequest(context.Background(), bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	req, err := parseHTTPRequest(context.Background(), append([]byte("\x12\x10https://a.b/c?d=\x22\x01x"), header("accept", "a/b")...))
	if err != nil || req.Method != http.MethodGet || req.URL.Host != "a.b" || req.Header.Get("Accept") != "a/b" {
		t.Errorf("%+v, %v", req, err)
	}
}

// FuzzOperations gives any bytes to every operation.
func FuzzOperations(f *testing.F) {
	for op := range uint32(opTime + 2) {
		f.Add(op, []byte("\x0a\x01a\x12\x01b"))
	}
	host := newFakeHost()
	ops := &operations{link: "guest", host: host, out: newOutput(nil), now: sharedHost.opts.Now, timers: newTimers(), http: newFetcher(nil, nil), granted: map[string]bool{}}
	for _, a := range need {
		ops.granted[a] = true
	}
	f.Fuzz(func(t *testing.T, op uint32, arg []byte) {
		ops.strikes.Store(0)
		c := &guestCall{Context: context.Background(), inst: &instance{env: &environment{ops: ops}}, kind: callCommand, budget: 10}
		for len(host.got) > 0 {
			<-host.got
		}
		if err := ops.do(c, op, arg); err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
