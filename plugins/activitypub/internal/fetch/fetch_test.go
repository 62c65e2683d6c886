package fetch

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

var ownKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func instanceKey(context.Context) (sign.Key, error) {
	return sign.Key{ID: "https://bridge.example/actor#main-key", Signer: ownKey()}, nil
}

// site is a server on loopback, which counts what it is asked.
type site struct {
	*httptest.Server
	mux *http.ServeMux
	n   atomic.Int64
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{mux: http.NewServeMux()}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.n.Add(1)
		s.mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) host() string { return strings.TrimPrefix(s.URL, "http://") }

// doc serves a document; $ stands for the site's URL.
func (s *site) doc(path, text string, header ...string) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "$", s.URL))
	})
}

// clock is a clock that tests turn.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func client(t *testing.T, change func(*Options)) (*Client, *clock) {
	t.Helper()
	ck := &clock{t: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	o := Options{Guard: netguard.New(netip.MustParsePrefix("127.0.0.1/32")), Plain: []string{"127.0.0.1"}, Now: ck.now}
	if change != nil {
		change(&o)
	}
	c := New(instanceKey, o)
	t.Cleanup(c.Close)
	return c, ck
}

func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	if ReasonOf(err) != want || (err == nil) != (want == "") {
		t.Errorf("got %v, want %q", err, want)
	}
	var e *sdk.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("%v is no sdk.Error", err)
	}
}

func TestDocumentCached(t *testing.T) {
	s := newSite(t)
	var conditional atomic.Int64
	s.mux.HandleFunc("/n", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`)
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			conditional.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprintf(w, `{"id":"%s/n","type":"Note"}`, s.URL)
	})
	c, ck := client(t, nil)
	get := func(requests, notModified int64) {
		t.Helper()
		o, err := c.Document(t.Context(), s.URL+"/n#part")
		if err != nil || o.Type() != "Note" || s.n.Load() != requests || conditional.Load() != notModified {
			t.Fatalf("got %v, %v after %d requests, %d conditional; want %d, %d", o, err, s.n.Load(), conditional.Load(), requests, notModified)
		}
	}
	get(1, 0)
	get(1, 0)
	ck.add(11 * time.Minute)
	get(2, 1)
	get(2, 1)
	if _, err := c.Refresh(t.Context(), s.URL+"/n"); err != nil || s.n.Load() != 3 {
		t.Fatalf("refresh: %v, %d requests", err, s.n.Load())
	}
	c.Forget(s.URL + "/n")
	get(4, 2)
}

func TestNegativeCache(t *testing.T) {
	s := newSite(t)
	s.mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	c, ck := client(t, nil)
	for _, step := range []struct {
		after time.Duration
		n     int64
	}{{0, 1}, {time.Minute, 1}, {50 * time.Minute, 1}, {20 * time.Minute, 2}} {
		ck.add(step.after)
		_, err := c.Document(t.Context(), s.URL+"/gone")
		if sdk.KindOf(err) != sdk.Gone || s.n.Load() != step.n {
			t.Fatalf("after %s: %v, %d requests, want %d", step.after, err, s.n.Load(), step.n)
		}
	}
}

// TestOnce: many who ask for one document at the same time are one request, and one who gives up does not harm the others.
func TestOnce(t *testing.T) {
	s := newSite(t)
	entered, release := make(chan struct{}, 9), make(chan struct{})
	s.mux.HandleFunc("/n", func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		w.Header().Set("Content-Type", "application/activity+json")
		fmt.Fprintf(w, `{"id":"%s/n","type":"Note"}`, s.URL)
	})
	c, _ := client(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := c.Document(ctx, s.URL+"/n"); first <- err }()
	<-entered
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.Document(t.Context(), s.URL+"/n") })
	}
	cancel()
	if err := <-first; ReasonOf(err) != Cancelled {
		t.Errorf("the one who gave up: %v", err)
	}
	<-entered
	close(release)
	wg.Wait()
	if err := errors.Join(errs...); err != nil || s.n.Load() != 2 {
		t.Fatalf("%v, %d requests, want 2", err, s.n.Load())
	}
}

// TestAP06: documents and the addresses that gave them.
func TestAP05AP06IDs(t *testing.T) {
	good, evil := newSite(t), newSite(t)
	good.doc("/note", `{"id":"$/note","type":"Note","attributedTo":"$/u","content":"good"}`)
	good.doc("/alias", `{"id":"$/note","type":"Note"}`)
	good.doc("/wrong", `{"id":"$/wrong2","type":"Note"}`)
	good.doc("/wrong2", `{"id":"$/wrong3","type":"Note"}`)
	good.doc("/noid", `{"type":"Note"}`)
	good.doc("/foreign-author", `{"id":"$/foreign-author","type":"Note","attributedTo":"https://evil.example/u"}`)
	evil.mux.Handle("/to-good", http.RedirectHandler(good.URL+"/note", http.StatusFound))
	evil.doc("/claims", `{"id":"`+good.URL+`/note","type":"Note","content":"evil"}`)
	evil.doc("/forged", `{"id":"`+good.URL+`/missing","type":"Note","content":"evil"}`)
	c, _ := client(t, nil)
	for name, want := range map[string]Reason{
		good.URL + "/note": "", good.URL + "/alias": "", evil.URL + "/to-good": "", evil.URL + "/claims": "", evil.URL + "/forged": Status,
		good.URL + "/wrong": WrongID, good.URL + "/noid": WrongID, good.URL + "/foreign-author": Malformed,
	} {
		o, err := c.Document(t.Context(), name)
		wantReason(t, err, want)
		if err == nil {
			if text, _ := o.Content(); text != "good" || o.ID() != good.URL+"/note" {
				t.Errorf("%s: got %q of %s", name, text, o.ID())
			}
		}
	}
}

func TestAP07ContentTypes(t *testing.T) {
	s := newSite(t)
	types := map[string]Reason{
		"application/activity+json": "", "application/activity+json; charset=utf-8": "", "APPLICATION/Activity+JSON": "",
		`application/ld+json; profile="https://www.w3.org/ns/activitystreams"`: "",
		"image/png": ContentType, "text/plain": ContentType, "application/json": ContentType, "text/html": ContentType, "": ContentType,
		"application/ld+json": ContentType, `application/ld+json; profile="https://example.org/x"`: ContentType,
		"text/plain, application/activity+json": ContentType, "application/octet-stream": ContentType,
	}
	c, _ := client(t, nil)
	i := 0
	for typ, want := range types {
		path := fmt.Sprintf("/%d", i)
		s.doc(path, `{"id":"$`+path+`","type":"Note"}`, "Content-Type", typ)
		_, err := c.Document(t.Context(), s.URL+path)
		if ReasonOf(err) != want {
			t.Errorf("%q: got %v, want %q", typ, err, want)
		}
		i++
	}
}

// TestAP16: what may not be asked, in every part that a stranger writes.
func TestAP16Addresses(t *testing.T) {
	s := newSite(t)
	s.mux.Handle("/inside", http.RedirectHandler("http://127.0.0.2:1/", http.StatusFound))
	c, _ := client(t, func(o *Options) { o.Own = []string{"bridge.example"}; o.Plain = []string{s.host()} })
	for raw, want := range map[string]Reason{
		"http://example.org/a": Blocked, "file:///etc/passwd": Blocked, "gopher://127.0.0.1/": Blocked, "data:text/plain,x": BadURL,
		"https://127.0.0.2/": Blocked, "https://[::1]/": Blocked, "https://[::ffff:10.0.0.1]/": Blocked, "https://169.254.169.254/": Blocked,
		"https://[64:ff9b::7f00:1]/": Blocked, "https://[2002:7f00:1::]/": Blocked, "https://user@example.org/": Blocked, "": Blocked,
		"https://bridge.example/users/juliet": OwnHost, "https://BRIDGE.example:443/": OwnHost, s.URL + "/inside": Blocked,
	} {
		_, err := c.Document(t.Context(), raw)
		if ReasonOf(err) != want {
			t.Errorf("%q: got %v, want %s", raw, err, want)
		}
		if want == Blocked && !errors.Is(err, netguard.ErrBlockedAddr) {
			t.Errorf("%q: ErrBlockedAddr is not in the chain of %v", raw, err)
		}
		if raw == s.URL+"/inside" {
			continue // a redirect, which deliveries do not follow
		}
		if err := c.Deliver(t.Context(), raw, nil, sign.Key{ID: "k", Signer: ownKey()}); ReasonOf(err) != want {
			t.Errorf("deliver to %q: got %v, want %s", raw, err, want)
		}
	}
}

func TestAP18Redirects(t *testing.T) {
	s, other := newSite(t), newSite(t)
	s.doc("/end", `{"id":"$/end","type":"Note"}`)
	s.mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	for i := range 10 {
		to := fmt.Sprintf("/hop%d", i+1)
		if i == 9 {
			to = "/end"
		}
		s.mux.Handle(fmt.Sprintf("/hop%d", i), http.RedirectHandler(to, http.StatusMovedPermanently))
	}
	s.mux.Handle("/scheme", http.RedirectHandler("https://127.0.0.1:1/", http.StatusFound))
	s.mux.Handle("/other", http.RedirectHandler(other.URL+"/seen", http.StatusFound))
	var signature atomic.Value
	other.mux.HandleFunc("/seen", func(_ http.ResponseWriter, r *http.Request) {
		signature.Store(r.Header.Get("Signature") + r.Header.Get("Signature-Input"))
	})
	c, _ := client(t, nil)
	for path, want := range map[string]Reason{"/hop7": "", "/hop6": Redirects, "/hop0": Redirects, "/loop": Redirects, "/scheme": Redirects} {
		before := s.n.Load()
		_, err := c.Document(t.Context(), s.URL+path)
		if ReasonOf(err) != want || s.n.Load()-before > 5 {
			t.Errorf("%s: got %v after %d requests, want %q", path, err, s.n.Load()-before, want)
		}
	}
	_, _ = c.Document(t.Context(), s.URL+"/other")
	if got := signature.Load(); got != "" {
		t.Errorf("another host got a request signed: %v", got)
	}
}

// TestAP19Size: bytes are counted after inflating, and memory stays small.
func TestAP19Size(t *testing.T) {
	s := newSite(t)
	s.mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 256 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
	})
	s.doc("/large", `{"id":"$/large","type":"Note","content":"`+strings.Repeat("a", 1<<20+1<<17)+`"}`)
	s.mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 2000 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 100))
		}
	})
	c, _ := client(t, nil)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for path, want := range map[string]Reason{"/bomb": TooLarge, "/large": TooLarge, "/headers": Unreachable} {
		_, err := c.Document(t.Context(), s.URL+path)
		if ReasonOf(err) != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if total := after.TotalAlloc - before.TotalAlloc; total > 48<<20 {
		t.Errorf("%d MiB were allocated for three refused answers", total>>20)
	}
}

// TestAP28Slow: servers that never answer or drip end by our deadline, and others are not slowed.
func TestAP28Slow(t *testing.T) {
	s := newSite(t)
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	s.mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	s.mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
			case <-stop:
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	s.doc("/quick", `{"id":"$/quick","type":"Note"}`)
	c, _ := client(t, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	start := time.Now()
	for _, path := range []string{"/never", "/drip"} {
		_, err := c.Document(t.Context(), s.URL+path)
		wantReason(t, err, Timeout)
		if sdk.KindOf(err) != sdk.Transient {
			t.Errorf("%s: kind %v", path, sdk.KindOf(err))
		}
	}
	err := c.Deliver(t.Context(), s.URL+"/never", []byte("{}"), sign.Key{ID: "k", Signer: ownKey()})
	wantReason(t, err, Timeout)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %s", d)
	}
	if _, err := c.Document(t.Context(), s.URL+"/quick"); err != nil {
		t.Error(err)
	}
}

func TestBudgets(t *testing.T) {
	s := newSite(t)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		fmt.Fprintf(w, `{"id":"%s%s","type":"Note"}`, s.URL, r.URL.Path)
	})
	c, ck := client(t, func(o *Options) { o.Burst, o.Rate = 10, 1 })
	ask := func(ctx context.Context, i int) error {
		_, err := c.Document(ctx, fmt.Sprintf("%s/%d", s.URL, i))
		return err
	}
	for i := range 10 {
		if err := ask(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	err := ask(t.Context(), 10)
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != sdk.RateLimited || e.After != time.Second || ReasonOf(err) != Budget {
		t.Fatalf("over the budget: %v", err)
	}
	ck.add(2 * time.Second)
	ctx := WithBudget(t.Context(), 1)
	if err := ask(ctx, 10); err != nil {
		t.Fatal(err)
	}
	wantReason(t, ask(ctx, 11), Budget)
	if err := ask(t.Context(), 11); err != nil {
		t.Fatalf("another context: %v", err)
	}
}

// TestDoubleKnock: a host that takes RFC 9421 alone is asked that way from the second time on.
func TestDoubleKnock(t *testing.T) {
	s := newSite(t)
	src := fixedKey{sign.PublicKey{ID: "https://bridge.example/actor#main-key", Owner: "https://bridge.example/actor", Key: &ownKey().PublicKey}}
	c, ck := client(t, nil)
	v := sign.NewVerifier(src, []string{s.host()}, sign.Options{Now: ck.now})
	var forms []sign.Form
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		req := sign.FromHTTP(r, body)
		req.Scheme = "http"
		got, err := v.Verify(r.Context(), req)
		forms = append(forms, got.Form)
		if err != nil || got.Form != sign.RFC9421 {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/activity+json")
		fmt.Fprintf(w, `{"id":"%s%s","type":"Note"}`, s.URL, r.RequestURI)
	})
	if _, err := c.Document(t.Context(), s.URL+"/a"); err != nil || s.n.Load() != 2 {
		t.Fatalf("%v after %d requests", err, s.n.Load())
	}
	key, _ := instanceKey(t.Context())
	if err := c.Deliver(t.Context(), s.URL+"/inbox", []byte("{}"), key); err != nil || s.n.Load() != 3 {
		t.Fatalf("%v after %d requests", err, s.n.Load())
	}
	if _, err := c.Document(t.Context(), s.URL+"/b?page=1"); err != nil || s.n.Load() != 4 {
		t.Fatalf("%v after %d requests; %v", err, s.n.Load(), forms)
	}
}

type fixedKey struct{ k sign.PublicKey }

func (f fixedKey) PublicKey(context.Context, string, bool) (sign.PublicKey, error) { return f.k, nil }

func TestDeliver(t *testing.T) {
	s := newSite(t)
	var status atomic.Int64
	var retry atomic.Value
	retry.Store("")
	s.mux.HandleFunc("/inbox", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/activity+json" || r.Header.Get("User-Agent") == "" || r.Header.Get("Digest")+r.Header.Get("Content-Digest") == "" {
			t.Errorf("headers %v", r.Header)
		}
		if v := retry.Load().(string); v != "" {
			w.Header().Set("Retry-After", v)
		}
		w.Header().Set("Location", "/other")
		w.WriteHeader(int(status.Load()))
	})
	c, ck := client(t, nil)
	key, _ := instanceKey(t.Context())
	for _, tc := range []struct {
		status int64
		retry  string
		kind   sdk.Kind
		after  time.Duration
	}{
		{400, "", sdk.Invalid, 0}, {401, "", sdk.Transient, 0}, {403, "", sdk.Forbidden, 0}, {404, "", sdk.NotFound, 0},
		{408, "", sdk.Transient, 0}, {410, "", sdk.Gone, 0}, {413, "", sdk.TooLarge, 0}, {422, "", sdk.Invalid, 0},
		{429, "120", sdk.RateLimited, 2 * time.Minute}, {429, "99999999", sdk.RateLimited, 24 * time.Hour}, {500, "", sdk.Transient, 0},
		{501, "", sdk.Unsupported, 0}, {503, ck.now().Add(time.Minute).Format(http.TimeFormat), sdk.Overloaded, time.Minute},
		{503, "soon", sdk.Overloaded, 0}, {301, "", sdk.NotFound, 0}, {308, "", sdk.NotFound, 0}, {200, "", 0, 0}, {202, "", 0, 0},
	} {
		status.Store(tc.status)
		retry.Store(tc.retry)
		err := c.Deliver(t.Context(), s.URL+"/inbox", []byte(`{"type":"Create"}`), key)
		var e *sdk.Error
		if tc.status < 300 {
			if err != nil {
				t.Errorf("%d: %v", tc.status, err)
			}
			continue
		}
		if !errors.As(err, &e) || e.Kind != tc.kind || e.After != tc.after {
			t.Errorf("%d %q: got %v (%v after %v), want %v after %v", tc.status, tc.retry, err, sdk.KindOf(err), e.After, tc.kind, tc.after)
		}
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	err := c.Deliver(t.Context(), dead.URL+"/inbox", nil, key)
	wantReason(t, err, Unreachable)
	if strings.Contains(err.Error(), "/inbox") {
		t.Errorf("the error repeats the URL: %v", err)
	}
}

// TestPrivateCA: TLS with a CA of the operator's, and none without it.
func TestPrivateCA(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = nil
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		fmt.Fprintf(w, `{"id":"https://%s/n","type":"Note"}`, s.Listener.Addr())
	})
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c, _ := client(t, func(o *Options) { o.RootCAs, o.Plain = pool, nil })
	if _, err := c.Document(t.Context(), s.URL+"/n"); err != nil {
		t.Error(err)
	}
	stranger, _ := client(t, nil)
	_, err := stranger.Document(t.Context(), s.URL+"/n")
	wantReason(t, err, Unreachable)
}

// TestAP24Bounds: tables that strangers can fill stay bounded.
func TestAP24Bounds(t *testing.T) {
	c, _ := client(t, func(o *Options) { o.Domains, o.CacheEntries = 50, 50; o.Guard = netguard.New() })
	for i := range 500 {
		_, _ = c.Document(t.Context(), fmt.Sprintf("https://127.0.0.1:%d/", 1000+i))
		c.remember(fmt.Sprintf("h%d.example", i), sign.RFC9421)
	}
	if c.cache.order.Len() > 50 || c.forms.order.Len() > 50 || c.domains.order.Len() > 50 || len(c.flights) != 0 {
		t.Fatalf("%d documents, %d forms, %d domains, %d flights", c.cache.order.Len(), c.forms.order.Len(), c.domains.order.Len(), len(c.flights))
	}
	l := newLRU[int, int](10, 100)
	for i := range 20 {
		l.put(i, i, 30)
	}
	if len(l.m) != 3 || l.size != 90 {
		t.Fatalf("%d entries of %d", len(l.m), l.size)
	}
	l.put(99, 99, 101)
	if _, ok := l.get(99); ok {
		t.Fatal("kept what is larger than all")
	}
}

// TestAP17Rebinding: a name that leads to loopback is refused when it is dialled.
func TestAP17Rebinding(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	c, _ := client(t, func(o *Options) { o.Guard = netguard.New() })
	_, err = c.Document(t.Context(), "https://localhost:"+port+"/")
	wantReason(t, err, Blocked)
}
