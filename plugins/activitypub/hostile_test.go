package activitypub

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
)

// evil is a server that says what a test tells it to. Its actors are mallory and gertrude, each with a key.
type evil struct {
	t    testing.TB
	web  *httptest.Server
	keys map[string]keys.Pair
	docs map[string]string
}

func newEvil(t testing.TB) *evil {
	t.Helper()
	e := &evil{t: t, keys: map[string]keys.Pair{}, docs: map[string]string{}}
	e.web = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc, ok := e.docs[r.URL.Path]
		if r.URL.Path == "/.well-known/webfinger" {
			name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Query().Get("resource"), "acct:"), "@")
			w.Header().Set("Content-Type", "application/jrd+json")
			_, _ = fmt.Fprintf(w, `{"subject":"acct:%s@%s","links":[{"rel":"self","type":"application/activity+json","href":"%s/%s"}]}`, name, r.Host, e.web.URL, name)
			return
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/activity+json")
		_, _ = io.WriteString(w, doc)
	}))
	t.Cleanup(e.web.Close)
	for _, name := range []string{"mallory", "gertrude"} {
		pair, err := keys.Generate(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		pem, err := keys.PublicPEM(pair.RSA.Public())
		if err != nil {
			t.Fatal(err)
		}
		e.keys[name] = pair
		id := e.id(name)
		e.docs["/"+name] = fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","id":%q,"type":"Person","preferredUsername":%q,"inbox":%q,`+
			`"publicKey":{"id":%q,"owner":%q,"publicKeyPem":%q}}`, id, name, id+"/inbox", id+"#main-key", id, pem)
	}
	return e
}

func (e *evil) id(name string) string { return e.web.URL + "/" + name }

// post posts a body, signed by an actor, and gives the answer.
func (e *evil) post(to, signer, body string) (int, string) {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, to, bytes.NewReader([]byte(body)))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/activity+json")
	if signer != "" {
		key := sign.Key{ID: e.id(signer) + "#main-key", Signer: e.keys[signer].RSA}
		if err := sign.Sign(sign.FromHTTP(r, []byte(body)), sign.Cavage, key, time.Now()); err != nil {
			e.t.Fatal(err)
		}
	}
	resp, err := e.web.Client().Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// create writes a Create of a Note to Juliet.
func (e *evil) create(actor, author, object, to string) string {
	return fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","id":"%[1]s/c/%[5]d","type":"Create","actor":%[1]q,"to":[%[4]q],`+
		`"object":{"id":%[3]q,"type":"Note","attributedTo":%[2]q,"content":"<p>poison</p>","to":[%[4]q],"tag":[{"type":"Mention","href":%[4]q,"name":"@juliet"}]}}`,
		actor, author, object, to, len(object))
}

// TestHostile posts what others have fallen for; the names are those of the security cases.
func TestHostile(t *testing.T) {
	a, _ := pair(t)
	e := newEvil(t)
	inbox, ours := a.web.URL+"/ap/inbox", a.web.URL+"/ap/u/juliet"
	mallory, gertrude := e.id("mallory"), e.id("gertrude")
	good := e.create(mallory, mallory, e.web.URL+"/n/1", ours)
	e.docs["/stolen"] = fmt.Sprintf(`{"id":"%s/stolen","type":"Note","attributedTo":%q,"content":"real","to":[%q]}`, e.web.URL, gertrude, ours)
	for _, c := range []struct {
		name, signer, body string
		status             int
		reason             string
	}{
		{"AP-01 key of another actor", "mallory", e.create(gertrude, gertrude, e.web.URL+"/n/2", ours), 401, ""},
		{"AP-02 unsigned", "", good, 401, ""},
		{"AP-05 object on another host", "mallory", e.create(mallory, mallory, "https://good.example/n/1", ours), 202, "foreign_object"},
		{"AP-05 object of another author", "mallory", e.create(mallory, gertrude, e.web.URL+"/stolen", ours), 202, "not_the_author"},
		{"AP-11 key twice", "mallory", `{"actor":"x",` + good[1:], 400, "duplicate_key"},
		{"AP-11 folded key", "mallory", `{"Actor":"x",` + good[1:], 400, "folded_key"},
		{"AP-11 not JSON", "mallory", good[:50], 400, "not_json"},
		{"AP-13 update of what is not here", "mallory", strings.Replace(good, `"Create"`, `"Update"`, 1), 202, "update_of_unknown"},
		{"AP-13 delete of another's", "mallory", fmt.Sprintf(`{"id":"%[1]s/d/1","type":"Delete","actor":%[1]q,"object":"%[2]s"}`, mallory, ours+"/o/1"), 202, "delete_of_unknown_object"},
		{"AP-14 announce of what does not exist", "mallory", fmt.Sprintf(`{"id":"%[1]s/a/1","type":"Announce","actor":%[1]q,"object":"%[2]s","to":["as:Public"]}`, mallory, ours+"/o/1"), 202, "announce_of_unknown"},
		{"AP-22 delete of an unknown actor", "", `{"id":"https://gone.example/u#d","type":"Delete","actor":"https://gone.example/u","object":"https://gone.example/u"}`, 202, "delete_of_unknown"},
		{"our own actor", "mallory", e.create(ours, ours, ours+"/o/1", ours), 403, "own_actor"},
	} {
		before := a.link.inbox.Counts()[c.reason]
		status, answer := e.post(inbox, c.signer, c.body)
		if status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, status, answer, c.status)
		}
		if c.status >= 400 && !strings.Contains(answer, `"error"`) {
			t.Errorf("%s: the answer gives no reason: %s", c.name, answer)
		}
		if c.reason != "" && a.link.inbox.Counts()[c.reason] != before+1 {
			t.Errorf("%s: not counted as %s: %v", c.name, c.reason, a.link.inbox.Counts())
		}
		a.quiet()
	}
	if status, answer := e.post(inbox, "mallory", good); status != 202 {
		t.Fatalf("an honest one: %d %s", status, answer)
	}
	if ev := a.next(); ev.Item().Body() != "poison" || string(ev.Actor.Home.ID) != "mallory@"+strings.TrimPrefix(e.web.URL, "https://") {
		t.Errorf("event = %+v", ev)
	}
	if status, _ := e.post(inbox, "mallory", good); status != 202 {
		t.Errorf("the same again: %d", status)
	}
	a.quiet()
	// AP-13: the same host, another user
	status, _ := e.post(inbox, "gertrude", fmt.Sprintf(`{"id":"%[1]s/d/2","type":"Delete","actor":%[1]q,"object":"%[2]s"}`, gertrude, e.web.URL+"/n/1"))
	if a.quiet(); status != 202 {
		t.Errorf("delete by another user: %d", status)
	}
}

// TestNotStored: without the host's word that it is on disk, nobody is told that it was taken.
func TestNotStored(t *testing.T) {
	a, _ := pair(t)
	e := newEvil(t)
	ours := a.web.URL + "/ap/u/juliet"
	a.host.Refuse(func([]sdk.Event) error { return sdk.Errorf(sdk.Overloaded, "publish", "full") })
	body := e.create(e.id("mallory"), e.id("mallory"), e.web.URL+"/n/1", ours)
	if status, answer := e.post(ours+"/inbox", "mallory", body); status != 503 {
		t.Errorf("a full host: %d %s", status, answer)
	}
	a.host.Refuse(nil)
	if status, answer := e.post(ours+"/inbox", "mallory", body); status != 202 {
		t.Errorf("tried again: %d %s", status, answer)
	}
	if ev := a.next(); ev.Item().Body() != "poison" {
		t.Errorf("event = %+v", ev)
	}
}

func TestHTTP(t *testing.T) {
	a, _ := pair(t)
	const doc = "application/activity+json"
	for _, c := range []struct {
		path, accept string
		status       int
		has          string
	}{
		{"/.well-known/webfinger?resource=acct:juliet@" + a.domain, "*/*", 200, a.web.URL + "/ap/u/juliet"},
		{"/.well-known/webfinger?resource=acct:JULIET@" + a.domain, "*/*", 200, `"subject":"acct:juliet@`},
		{"/.well-known/webfinger?resource=" + a.web.URL + "/ap/u/juliet", "*/*", 200, `"subject":"acct:juliet@`},
		{"/.well-known/webfinger?resource=acct:nobody@" + a.domain, "*/*", 404, `"error"`},
		{"/.well-known/webfinger?resource=acct:juliet@other.example", "*/*", 404, `"error"`},
		{"/.well-known/webfinger", "*/*", 400, `"error"`},
		{"/.well-known/host-meta", "*/*", 200, `webfinger?resource={uri}`},
		{"/.well-known/nodeinfo", "*/*", 200, "#Application"},
		{"/.well-known/nodeinfo/2.1", "*/*", 200, `"name":"bridgehost"`},
		{"/ap/instance", doc, 200, "publicKeyPem"},
		{"/ap/u/juliet", doc, 200, `"preferredUsername":"juliet"`},
		{"/ap/u/juliet", "text/html", 200, "A Capulet"},
		{"/ap/u/Juliet", doc, 301, ""},
		{"/ap/u/nobody", doc, 404, `"error"`},
		{"/ap/u/juliet/outbox", doc, 200, "OrderedCollection"},
		{"/ap/u/juliet/outbox?page=1", doc, 200, "OrderedCollectionPage"},
		{"/ap/u/juliet/followers", doc, 200, `"totalItems":0`},
		{"/ap/u/juliet/following", doc, 200, `"totalItems":0`},
		{"/ap/u/juliet/featured", doc, 200, `"orderedItems":[]`},
		{"/ap/u/juliet/feed.atom", "*/*", 200, "<feed"},
		{"/ap/u/juliet/o/nothing", doc, 404, `"error"`},
		{"/ap/u/juliet/inbox", doc, 404, `"error"`},
	} {
		status, body, header := a.get(c.path, c.accept)
		if status != c.status || !strings.Contains(body, c.has) {
			t.Errorf("GET %s: %d %s, want %d with %s", c.path, status, body, c.status, c.has)
		}
		if c.accept == doc && status == 200 && header.Get("Content-Type") != doc {
			t.Errorf("GET %s: type %q", c.path, header.Get("Content-Type"))
		}
	}
	_, _, header := a.get("/ap/u/juliet", "text/html")
	if p := header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") {
		t.Errorf("policy %q", p)
	}
}

// TestSecureMode: without a signature only what is needed to check one is shown.
func TestSecureMode(t *testing.T) {
	a := newServer(t, "xmpp.example", map[string]any{"secure_mode": true})
	b := newServer(t, "chat.example", nil)
	a.add(juliet, sdk.Actor{Name: "Juliet"})
	b.add(romeo, sdk.Actor{Name: "Romeo"})
	if status, body, _ := a.get("/ap/u/juliet", "application/activity+json"); status != 200 || !strings.Contains(body, "publicKeyPem") || strings.Contains(body, `"name"`) {
		t.Errorf("actor: %d %s", status, body)
	}
	if status, body, _ := a.get("/ap/u/juliet/outbox", "application/activity+json"); status != 401 {
		t.Errorf("outbox: %d %s", status, body)
	}
	if r, err := b.link.Resolve(t.Context(), "juliet@"+a.domain); err != nil || r.Actor.Name != "Juliet" {
		t.Errorf("a signed request: %+v, %v", r.Actor, err)
	}
}

// TestConsent: who does not use the bridge has no actor.
func TestConsent(t *testing.T) {
	for allow, want := range map[string]int{"everyone": 200, "opt-in": 404, "list": 404} {
		a := newServer(t, "xmpp.example", map[string]any{"allow": allow, "people": []string{"romeo@xmpp.example"}})
		a.add(juliet, sdk.Actor{Name: "Juliet"})
		a.add("shy@xmpp.example", sdk.Actor{Consent: sdk.ConsentRefused})
		a.add("open@xmpp.example", sdk.Actor{Consent: sdk.ConsentGiven})
		if status, _, _ := a.get("/ap/u/juliet", "application/activity+json"); status != want {
			t.Errorf("%s: %d, want %d", allow, status, want)
		}
		if status, _, _ := a.get("/ap/u/shy", "application/activity+json"); status != 404 {
			t.Errorf("%s: who refused: %d", allow, status)
		}
		if status, _, _ := a.get("/ap/u/open", "application/activity+json"); allow == "opt-in" && status != 200 {
			t.Errorf("%s: who asked for it: %d", allow, status)
		}
	}
}
