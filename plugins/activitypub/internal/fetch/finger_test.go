package fetch

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestAP12Handles(t *testing.T) {
	for in, want := range map[string]string{
		"@bob@Mastodon.example": "bob@mastodon.example", "acct:Bob@mastodon.example": "Bob@mastodon.example",
		"g@GOOD.example:443": "g@good.example", "u@bücher.example": "u@xn--bcher-kva.example", "u@xn--bcher-kva.example": "u@xn--bcher-kva.example",
		"___juliet.40xmpp.2eexample@d.example": "___juliet.40xmpp.2eexample@d.example", "u@127.0.0.1:8443": "u@127.0.0.1:8443",
		// look-alikes and what readers disagree about
		"g@good.example\u3002evil": "", "g@good.example.": "", "g@good\uff0eexample": "", "g@ｇood.example": "", "g@good.example%2eevil": "",
		"g@good%2eexample": "", "g@good.example/": "", "g@good.example:": "", "g@good.example:99999999": "", "g@evil@good.example": "",
		"g@good.example#x": "", "g@good.example?x": "", "g@[::1]": "", "g@localhost": "", "@good.example": "", "bob": "", "": "",
		"g g@good.example": "", "g@good..example": "", "g@.good.example": "", "g@go\u00adod.example": "", "g@good.exam\u200bple": "",
	} {
		h, err := ParseHandle(in)
		if got := h.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	if h, err := ParseHandle("g@gооd.example"); err == nil && h.Host == "good.example" { // Cyrillic о
		t.Error("a look-alike equals good.example")
	}
}

// jrdOf serves WebFinger of a site.
func (s *site) jrd(path string, answer func(resource string) string) {
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		text := answer(r.URL.Query().Get("resource"))
		if text == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/jrd+json; charset=utf-8")
		_, _ = io.WriteString(w, text)
	})
}

func jrdText(subject, actor string) string {
	return fmt.Sprintf(`{"subject":"acct:%s","links":[{"rel":"http://webfinger.net/rel/profile-page","href":"https://x.example/@bob"},
{"rel":"self","type":"text/html","href":"https://x.example/no"},{"rel":"self","type":"application/activity+json","href":"%s"}]}`, subject, actor)
}

func TestFinger(t *testing.T) {
	good, evil, meta := newSite(t), newSite(t), newSite(t)
	plain := func(o *Options) { o.Plain = []string{good.host(), evil.host(), meta.host()} }
	good.doc("/bob", `{"id":"$/bob","type":"Person","preferredUsername":"bob","inbox":"$/i"}`)
	good.jrd("/.well-known/webfinger", func(r string) string {
		switch r {
		case "acct:bob@" + good.host(), "acct:robert@" + good.host():
			return jrdText("bob@"+good.host(), good.URL+"/bob")
		}
		return ""
	})
	evil.doc("/bob", `{"id":"$/bob","type":"Person","preferredUsername":"bob","webfinger":"bob@`+good.host()+`"}`)
	evil.jrd("/.well-known/webfinger", func(r string) string {
		if strings.HasPrefix(r, "acct:alias@") {
			return jrdText("bob@"+good.host(), good.URL+"/bob") // may point to good
		}
		return jrdText("bob@"+good.host(), evil.URL+"/bob") // says that bob@good is here
	})
	meta.mux.HandleFunc("/.well-known/host-meta", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xrd+xml")
		fmt.Fprintf(w, `<?xml version="1.0"?><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"><Link rel="lrdd" template="%s/wf?r={uri}"/></XRD>`, meta.URL)
	})
	meta.mux.HandleFunc("/wf", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("r") != "acct:carol@"+meta.host() {
			t.Errorf("template filled with %q", r.URL.RawQuery)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, jrdText("carol@"+meta.host(), meta.URL+"/carol"))
	})
	for _, tc := range []struct {
		handle, subject, actor string
		want                   Reason
	}{
		{"bob@" + good.host(), "bob@" + good.host(), good.URL + "/bob", ""},
		{"robert@" + good.host(), "bob@" + good.host(), good.URL + "/bob", ""},
		{"alias@" + evil.host(), "bob@" + good.host(), good.URL + "/bob", ""},
		{"bob@" + evil.host(), "", "", Mismatch},
		{"nobody@" + good.host(), "", "", Status},
		{"carol@" + meta.host(), "carol@" + meta.host(), meta.URL + "/carol", ""},
	} {
		c, _ := client(t, plain)
		h, err := ParseHandle(tc.handle)
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.Finger(t.Context(), h)
		wantReason(t, err, tc.want)
		if err == nil && (f.Subject.String() != tc.subject || f.Actor != tc.actor || f.Page != "https://x.example/@bob") {
			t.Errorf("%s: got %+v", tc.handle, f)
		}
	}
	c, _ := client(t, plain)
	h, _ := ParseHandle("robert@" + good.host())
	actor, own, err := c.Resolve(t.Context(), h)
	if err != nil || own.String() != "bob@"+good.host() || actor.ID() != good.URL+"/bob" {
		t.Fatalf("got %v, %v, %v", actor, own, err)
	}
	forged, err := c.Document(t.Context(), evil.URL+"/bob")
	if err != nil {
		t.Fatal(err)
	}
	if own, err := c.HandleOf(t.Context(), forged); err == nil {
		t.Errorf("evil's actor is taken as %s", own)
	}
	if own, err := c.HandleOf(t.Context(), actor); err != nil || own.String() != "bob@"+good.host() {
		t.Errorf("got %s, %v", own, err)
	}
}

func FuzzHandle(f *testing.F) {
	f.Add("acct:bob@mastodon.example")
	f.Add("g@good.example\u3002evil")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHandle(s)
		if err != nil {
			return
		}
		if again, err := ParseHandle(h.String()); err != nil || again != h {
			t.Fatalf("%q gives %q, which gives %q, %v", s, h, again, err)
		}
	})
}

func FuzzJRD(f *testing.F) {
	f.Add([]byte(jrdText("bob@x.example", "https://x.example/bob")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := readJRD("test", b); err == nil && (got.Actor == "" || got.Subject.Host == "") {
			t.Fatalf("%q gives %+v", b, got)
		}
	})
}
