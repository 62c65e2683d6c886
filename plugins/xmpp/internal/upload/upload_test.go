package upload

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/sdk"
)

func TestUploadAndRemember(t *testing.T) {
	f := newFake(t)
	c := &clock{now: time.Unix(1e9, 0)}
	u := New(f, Options{Server: server, Guard: loopback(), Now: c.Now, Life: time.Hour})
	t.Cleanup(u.Close)
	m := sdk.Media{Data: []byte("hello"), Name: "../../x/gr\u202eeeting.txt", Type: "text/plain; charset=utf-8"}
	address, err := u.Upload(t.Context(), from, m)
	if err != nil {
		t.Fatal(err)
	}
	if want := f.http.URL + "/g/1"; address != want {
		t.Errorf("address %s, want %s", address, want)
	}
	if got := f.files["/p/1"]; got != "hello" {
		t.Errorf("uploaded %q", got)
	}
	h := f.headers[0]
	if h.Get("Authorization") != "Basic x" || h.Get("Content-Type") != "text/plain" || h.Get("X-Host") == "evil" {
		t.Errorf("headers %v", h)
	}
	want := "items example.org; info muc.example.org; info upload.example.org; slot greeting.txt text/plain 5"
	if got := f.questions(); got != want {
		t.Errorf("asked %s\nwant  %s", got, want)
	}
	again, err := u.Upload(t.Context(), from, m)
	if err != nil || again != address || len(f.files) != 1 {
		t.Errorf("second upload gave %s, %v with %d files", again, err, len(f.files))
	}
	c.add(2 * time.Hour)
	if again, err = u.Upload(t.Context(), from, m); err != nil || again == address {
		t.Errorf("after its time the upload is still remembered: %s, %v", again, err)
	}
}

func TestExpiredSlotIsReplacedOnce(t *testing.T) {
	f := newFake(t)
	u := New(f, Options{Server: server, Service: service, Guard: loopback()})
	f.statuses = []int{http.StatusForbidden}
	address, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("a")})
	if err != nil || address != f.http.URL+"/g/2" {
		t.Errorf("got %s, %v", address, err)
	}
	f.statuses = []int{http.StatusForbidden, http.StatusNotFound}
	_, err = u.Upload(t.Context(), from, sdk.Media{Data: []byte("b")})
	if err == nil || err.Kind != sdk.Transient || f.slots != 4 {
		t.Errorf("error %v with %d slots", err, f.slots)
	}
}

func TestSlotsThatAreNotUsed(t *testing.T) {
	f := newFake(t)
	for name, c := range map[string]struct {
		slot  string
		plain bool
		kind  sdk.Kind
	}{
		"internal address":       {`<put url='https://10.0.0.1/p'/><get url='https://up.example.org/g'/>`, false, sdk.Forbidden},
		"metadata service":       {`<put url='http://169.254.169.254/p'/><get url='https://up.example.org/g'/>`, true, sdk.Forbidden},
		"odd spelling":           {`<put url='https://2130706434/p'/><get url='https://up.example.org/g'/>`, false, sdk.Forbidden},
		"internal for readers":   {`<put url='https://up.example.org/p'/><get url='https://192.168.0.1/g'/>`, false, sdk.Forbidden},
		"javascript for readers": {`<put url='HTTP/p'/><get url='javascript:alert(1)'/>`, false, sdk.Invalid},
		"file scheme":            {`<put url='file:///etc/passwd'/><get url='HTTP/g'/>`, false, sdk.Invalid},
		"user name":              {`<put url='https://me:you@up.example.org/p'/><get url='HTTP/g'/>`, false, sdk.Invalid},
		"plain http":             {`<put url='http://up.example.org/p'/><get url='HTTP/g'/>`, false, sdk.Forbidden},
		"line end in a header":   {`<put url='HTTP/p'><header name='Cookie'>a=b&#13;&#10;X: y</header></put><get url='HTTP/g'/>`, false, sdk.Invalid},
		"no address for readers": {`<put url='HTTP/p'/>`, false, sdk.Invalid},
		"line end in address":    {"<put url='HTTP/p&#10;q'/><get url='HTTP/g'/>", false, sdk.Invalid},
	} {
		f.slot = func(int) string {
			return "<slot xmlns='" + NS + "'>" + strings.ReplaceAll(c.slot, "HTTP", f.http.URL) + "</slot>"
		}
		u := New(f, Options{Server: server, Service: service, Guard: loopback(), Plain: c.plain, Timeout: 10 * time.Second})
		_, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte(name)})
		if err == nil || (err.Kind != c.kind && name != "odd spelling") {
			t.Errorf("%s: got %v, want kind %v", name, err, c.kind)
		}
	}
	if len(f.files) > 0 {
		t.Errorf("uploaded %v", f.files)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	f := newFake(t)
	u := New(f, Options{Server: server, Guard: loopback()})
	f.statuses = []int{http.StatusFound}
	_, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("a")})
	if err == nil || err.Kind != sdk.Forbidden || len(f.headers) != 1 {
		t.Errorf("error %v after %d requests", err, len(f.headers))
	}
}

func TestRefusals(t *testing.T) {
	f := newFake(t)
	c := &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	const st = `xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>`
	for name, want := range map[string]struct {
		refuse string
		kind   sdk.Kind
		after  time.Duration
	}{
		"too large": {`type='modify'><not-acceptable ` + st + `<file-too-large xmlns='` + NS + `'><max-file-size>20</max-file-size></file-too-large>`, sdk.TooLarge, 0},
		"quota":     {`type='wait'><resource-constraint ` + st + `<retry xmlns='` + NS + `' stamp='2026-01-01T00:05:00Z'/>`, sdk.RateLimited, 5 * time.Minute},
		"forbidden": {`type='auth'><forbidden ` + st, sdk.Forbidden, 0},
		"gone":      {`type='cancel'><service-unavailable ` + st, sdk.Unsupported, 0},
	} {
		f.refuse = want.refuse
		u := New(f, Options{Server: server, Guard: loopback(), Now: c.Now})
		_, err := u.Upload(t.Context(), from, sdk.Media{Data: bytes.Repeat([]byte("a"), 30)})
		if err == nil || err.Kind != want.kind || err.After != want.after {
			t.Errorf("%s: got %v (kind %v, after %v)", name, err, sdk.KindOf(err), err.After)
		}
		if name != "too large" {
			continue
		}
		if limit, ok := u.Available(t.Context(), from); !ok || limit != 20 {
			t.Errorf("limit %d, %v after the refusal told it", limit, ok)
		}
	}
}

func TestLimitOfTheService(t *testing.T) {
	f := newFake(t)
	f.maxSize = "4"
	u := New(f, Options{Server: server, Guard: loopback()})
	_, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("hello")})
	if err == nil || err.Kind != sdk.TooLarge || strings.Contains(f.questions(), "slot") {
		t.Errorf("got %v after %s", err, f.questions())
	}
}

func TestNoService(t *testing.T) {
	f := newFake(t)
	f.none = true
	c := &clock{now: time.Unix(1e9, 0)}
	u := New(f, Options{Server: server, Guard: loopback(), Now: c.Now})
	for range 2 {
		if _, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("a")}); err == nil || err.Kind != sdk.Unsupported {
			t.Errorf("got %v", err)
		}
	}
	if n := strings.Count(f.questions(), "items"); n != 1 {
		t.Errorf("searched %d times", n)
	}
	f.none = false
	u.Forget()
	if _, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("a")}); err != nil {
		t.Errorf("after Forget: %v", err)
	}
}

func TestRehostForeign(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // over inMemory
	reads := 0
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads++
		switch r.URL.Path {
		case "/pic/cat.png":
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(big)
		case "/endless":
			for {
				if _, err := w.Write(big); err != nil {
					return
				}
			}
		case "/redirect":
			http.Redirect(w, r, "http://127.0.0.2/secret", http.StatusFound)
		default:
			w.WriteHeader(http.StatusGone)
		}
	}))
	t.Cleanup(origin.Close)
	f := newFake(t)
	dir := t.TempDir()
	fetch := NewGuarded(loopback(), 10*time.Second, "test")
	t.Cleanup(fetch.Close)
	u := New(f, Options{Server: server, Guard: loopback(), Fetcher: fetch, Foreign: true, Dir: dir})
	m := sdk.Media{URL: origin.URL + "/pic/cat.png", Alt: "a cat"}
	for range 2 {
		got, err := u.Rehost(t.Context(), from, m)
		if err != nil {
			t.Fatal(err)
		}
		if got.URL != f.http.URL+"/g/1" || got.Size != int64(len(big)) || got.Type != "image/png" || got.Alt != "a cat" || len(got.Digest) != 64 {
			t.Errorf("got %+v", got)
		}
	}
	if f.files["/p/1"] != string(big) || reads != 1 {
		t.Errorf("%d bytes uploaded, read %d times", len(f.files["/p/1"]), reads)
	}
	if !strings.HasSuffix(f.questions(), "slot cat.png image/png 640000") {
		t.Errorf("asked %s", f.questions())
	}
	for path, kind := range map[string]sdk.Kind{"/endless": sdk.TooLarge, "/redirect": sdk.Forbidden, "/gone": sdk.Gone} {
		bad := sdk.Media{URL: origin.URL + path}
		got, err := u.Rehost(t.Context(), from, bad)
		if err == nil || err.Kind != kind || got.URL != bad.URL {
			t.Errorf("%s: %v, %+v", path, err, got)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
}

func TestRehostLeavesAddressesAlone(t *testing.T) {
	f := newFake(t)
	u := New(f, Options{Server: server, Guard: loopback()})
	m := sdk.Media{URL: "https://files.example.net/a.png"}
	if got, err := u.Rehost(t.Context(), from, m); err != nil || got.URL != m.URL || f.questions() != "" {
		t.Errorf("got %+v, %v after %s", got, err, f.questions())
	}
}

func TestFetchRefusesInternalAddresses(t *testing.T) {
	fetch := NewGuarded(nil, time.Second, "test")
	for _, address := range []string{"http://127.0.0.1/", "http://[::1]/", "http://0x7f.1/", "http://localhost:1/", "ftp://example.org/", "javascript:1", "http://u@example.org/"} {
		body, _, err := fetch.Fetch(t.Context(), address, 100)
		var e *sdk.Error
		if err == nil || !errors.As(err, &e) || e.Kind != sdk.Forbidden && address != "http://0x7f.1/" {
			t.Errorf("%s: %v", address, err)
		}
		if body != nil {
			t.Errorf("%s: gave a body", address)
		}
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"cat.png":                          "cat.png",
		"../../etc/passwd":                 "passwd",
		`C:\temp\a.exe`:                    "a.exe",
		".htaccess":                        "htaccess",
		"a\u202egnp.exe":                   "agnp.exe",
		"a\x00b\r\nc.txt":                  "abc.txt",
		"two  words .png \u00a0":           "two words .png",
		"":                                 "file.jpg",
		"///":                              "file.jpg",
		"\u200b\u2066":                     "file.jpg",
		"Zoë\xff.png":                      "Zoë.png",
		"a?b=c&d#e.png":                    "a_b=c_d_e.png",
		strings.Repeat("ä", 100):           strings.Repeat("ä", 60),
		strings.Repeat("x", 200) + ".jpeg": strings.Repeat("x", 115) + ".jpeg",
	} {
		if got := FileName(in, "image/jpeg"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(2, time.Hour, time.Now)
	for _, key := range []string{"a", "b", "c"} {
		c.put(key, uploaded{url: key})
		if key == "b" {
			c.get("a")
		}
	}
	_, a := c.get("a")
	_, b := c.get("b")
	if !a || b || len(c.byKey) != 2 {
		t.Errorf("a kept %v, b kept %v, %d entries", a, b, len(c.byKey))
	}
}

func TestUploadOverTLS(t *testing.T) {
	f := newFake(t)
	f.http.Close()
	f.http = httptest.NewTLSServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.http.Close)
	roots := x509.NewCertPool()
	roots.AddCert(f.http.Certificate())
	u := New(f, Options{Server: server, Guard: loopback(), RootCAs: roots})
	address, err := u.Upload(t.Context(), from, sdk.Media{Data: []byte("sealed")})
	if err != nil || address != f.http.URL+"/g/1" || f.files["/p/1"] != "sealed" {
		t.Errorf("got %s, %v, files %v", address, err, f.files)
	}
	// An unknown authority is an error without the slot's address in it, which is a secret.
	u = New(f, Options{Server: server, Guard: loopback()})
	_, err = u.Upload(t.Context(), from, sdk.Media{Data: []byte("sealed")})
	if err == nil || err.Kind != sdk.Transient || strings.Contains(err.Error(), "/p/") || len(f.files) != 1 {
		t.Errorf("unknown authority: %v", err)
	}
}

func TestOneForeignFileForManyRooms(t *testing.T) {
	var reads atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		_, _ = w.Write([]byte("a picture"))
	}))
	t.Cleanup(origin.Close)
	f := newFake(t)
	u := New(f, Options{Server: server, Guard: loopback(), Fetcher: NewGuarded(loopback(), 10*time.Second, "test"), Foreign: true, Parallel: 1})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := u.Rehost(t.Context(), from, sdk.Media{URL: origin.URL + "/a.png"}); err != nil || got.URL != f.http.URL+"/g/1" {
				t.Errorf("got %s, %v", got.URL, err)
			}
		})
	}
	wg.Wait()
	if reads.Load() != 1 || len(f.files) != 1 {
		t.Errorf("read %d times, uploaded %d times", reads.Load(), len(f.files))
	}
}

func TestUploadEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	u := New(f, Options{Server: server, Guard: loopback(), Parallel: 1})
	u.slots <- struct{}{} // another upload is on its way
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.Upload(ctx, from, sdk.Media{Data: []byte("a")}); err == nil || err.Kind != sdk.Transient {
		t.Errorf("got %v", err)
	}
}

func TestRehostAll(t *testing.T) {
	f := newFake(t)
	u := New(f, Options{Server: server, Guard: loopback()})
	elsewhere := sdk.Media{URL: "https://files.example.net/a.png"}
	media := []sdk.Media{{Data: []byte("a"), Alt: "first"}, elsewhere, {Data: []byte("b")}}
	got, lost, err := u.RehostAll(t.Context(), from, media)
	if err != nil || len(lost) != 0 || len(got) != 3 || got[0].URL != f.http.URL+"/g/1" || got[0].Alt != "first" || got[1].URL != elsewhere.URL || got[2].URL != f.http.URL+"/g/2" {
		t.Errorf("got %+v, %v", got, err)
	}
	if media[0].URL != "" || len(media[0].Data) != 1 {
		t.Errorf("the caller's media was changed: %+v", media[0])
	}
	// What may work later is an error, what never will is not.
	f.statuses = []int{http.StatusServiceUnavailable}
	if got, _, err = u.RehostAll(t.Context(), from, []sdk.Media{{Data: []byte("c")}}); err == nil || err.Kind != sdk.Transient || len(got) != 1 || got[0].URL != "" {
		t.Errorf("temporary: %+v, %v", got, err)
	}
	f.none = true
	u.Forget()
	if got, lost, err = u.RehostAll(t.Context(), from, []sdk.Media{{Data: []byte("d")}}); err != nil || len(lost) != 0 || got[0].URL != "" {
		t.Errorf("no service: %+v, %v, %v", got, lost, err)
	}
	// A file that should move and cannot is only linked, and that is told.
	u.o.Foreign = true
	if got, lost, err = u.RehostAll(t.Context(), from, []sdk.Media{elsewhere}); err != nil || len(lost) != 1 || lost[0].Kind != sdk.LossMedia || got[0].URL != elsewhere.URL {
		t.Errorf("only linked: %+v, %v, %v", got, lost, err)
	}
}
