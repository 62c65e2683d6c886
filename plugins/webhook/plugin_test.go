package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/web"
)

const token = "0123456789abcdef"

// rig is a link with a host in memory and a clock that the test moves.
type rig struct {
	t    *testing.T
	host *sdktest.Host
	link *link
	log  *bytes.Buffer
	mu   sync.Mutex
	at   time.Time
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *rig) forward(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.Add(d)
}

// open opens a link whose config table is given as JSON.
func open(t *testing.T, config string) *rig {
	t.Helper()
	r := &rig{t: t, log: &bytes.Buffer{}, at: time.Unix(1_700_000_000, 0)}
	r.host = sdktest.NewHost(slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.reopen(config)
	return r
}

// reopen is a restart: the store stays, the memory of the process is gone.
func (r *rig) reopen(config string) {
	r.t.Helper()
	l, err := New(Options{Now: r.now}).Open(sdk.Config{Link: "hooks", JSON: json.RawMessage(config)}, r.host)
	if err != nil {
		r.t.Fatal(err)
	}
	var ok bool
	if r.link, ok = l.(*link); !ok {
		r.t.Fatalf("Open gave %T", l)
	}
}

// hookConfig is a table with one hook called a.
func hookConfig(members string) string {
	return `{"hook":{"a":{"token":"` + token + `","name":"Alpha"` + members + `}}}`
}

// answerDoc is what any answer holds.
type answerDoc struct {
	Success, Duplicate, Updated                   bool
	ID, State, Detail, Remedy, Error, Title, Type string
	Status                                        int
	Places                                        []string
	code                                          int
	header                                        map[string][]string
}

func jsonType() map[string]string { return map[string]string{"Content-Type": "application/json"} }

// post sends a request as the host's listener would hand it over.
func (r *rig) post(query, body string, header map[string]string) answerDoc {
	r.t.Helper()
	return r.request(r.t.Context(), &web.Request{Method: http.MethodPost, Token: sha256.Sum256([]byte(token)), Body: []byte(body)}, query, header)
}

func (r *rig) request(ctx context.Context, q *web.Request, query string, header map[string]string) answerDoc {
	r.t.Helper()
	q.Query, q.Header = map[string][]string{}, map[string][]string{}
	if k, v, ok := strings.Cut(query, "="); ok {
		q.Query[k] = []string{v}
	}
	for k, v := range header {
		q.Header[http.CanonicalHeaderKey(k)] = []string{v}
	}
	resp, err := r.link.ServeWeb(ctx, q)
	if err != nil {
		r.t.Fatal(err)
	}
	var a answerDoc
	if err := json.Unmarshal(resp.Body, &a); err != nil {
		r.t.Fatalf("answer is no JSON: %v: %s", err, resp.Body)
	}
	a.code, a.header = resp.Status, resp.Header
	media := resp.Header["Content-Type"][0]
	switch {
	case a.code < 300 && (media != "application/json" || !a.Success || a.State == ""):
		r.t.Errorf("good answer: %s %s", media, resp.Body)
	case a.code >= 300 && (media != "application/problem+json" || a.Status != a.code || a.Detail == "" || a.Remedy == "" || a.Error == "" || a.Title == ""):
		r.t.Errorf("refusal: %s %s", media, resp.Body)
	}
	return a
}

// event takes the next published event; there must be one.
func (r *rig) event() *sdk.Event {
	r.t.Helper()
	select {
	case ev := <-r.host.Events():
		return &ev
	default:
		r.t.Fatal("nothing was published")
		return nil
	}
}

func (r *rig) quiet() {
	r.t.Helper()
	select {
	case ev := <-r.host.Events():
		r.t.Fatalf("published: %q", ev.Item().Body())
	default:
	}
}

func TestEventOfAPost(t *testing.T) {
	r := open(t, hookConfig(""))
	a := r.post("", `{"b":"ä","a":1}`, jsonType())
	if a.code != 202 || a.ID == "" || a.State != "accepted" {
		t.Fatalf("answer %+v, want 202 with an id", a)
	}
	ev := r.event()
	want := sdk.Event{
		Time: r.at, Place: sdk.Ref{Link: "hooks", ID: "a"}, Dedup: a.ID,
		Actor: sdk.Actor{Kind: sdk.ActorService, Home: sdk.Ref{Link: "hooks", ID: "a"}, Name: "Alpha"},
	}
	item := ev.Item()
	if ev.Time != want.Time || ev.Place != want.Place || ev.Dedup != want.Dedup || ev.Actor != want.Actor || ev.Want {
		t.Errorf("event %+v\nwant %+v", ev, want)
	}
	if ev.Kind() != sdk.KindItemCreated || item.Origin != (sdk.Ref{Link: "hooks", ID: sdk.RemoteID(a.ID)}) || item.Body() != "{\n  \"b\": \"ä\",\n  \"a\": 1\n}" {
		t.Errorf("item %+v with text %q", item, item.Body())
	}
}

// TestMatrix holds the answers of the predecessor, made right.
func TestMatrix(t *testing.T) {
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	text := map[string]string{"Content-Type": "text/plain"}
	for _, c := range []struct {
		name, config, body string
		header             map[string]string
		code               int
		text               string
	}{
		{"object", "", `{"a":[1,"x"]}`, jsonType(), 202, "{\n  \"a\": [\n    1,\n    \"x\"\n  ]\n}"},
		{"list", "", `[1]`, jsonType(), 202, "[\n  1\n]"},
		{"string", "", `"x"`, jsonType(), 202, `"x"`},
		{"empty object", "", `{}`, jsonType(), 202, "{}"},
		{"null", "", `null`, jsonType(), 202, "null"},
		{"yaml", `,"format":"yaml"`, `{"z":"yes","a":"é\n2"}`, jsonType(), 202, "z: \"yes\"\na: |-\n  é\n  2"},
		{"form", "", `a=1&a=2&b=x`, form, 202, "{\n  \"a\": [\n    \"1\",\n    \"2\"\n  ],\n  \"b\": \"x\"\n}"},
		{"text of text", `,"format":"text"`, "a\r\nb\x1b[0m", text, 202, "a\nb\ufffd[0m"},
		{"text of a string", `,"format":"text"`, `"</body> {{.x}}"`, jsonType(), 202, "</body> {{.x}}"},
		{"text of an object", `,"format":"text"`, `{"a":1}`, jsonType(), 202, "a: 1"},
		{"own template", `,"template_text":"{{.a.b}}: {{.missing}}{{range .l}}[{{.}}]{{end}}"`, `{"a":{"b":"{{.c}}"},"l":[1,null,true]}`, jsonType(), 202, "{{.c}}: [1][][true]"},
		{"no type", "", `{}`, nil, 415, ""},
		{"xml", "", `<a/>`, map[string]string{"Content-Type": "text/xml"}, 415, ""},
		{"broken", "", `{"a":`, jsonType(), 400, ""},
		{"empty", "", ``, jsonType(), 400, ""},
		{"empty form", "", ``, form, 400, ""},
		{"blank text", `,"format":"text"`, `"\n \t"`, jsonType(), 400, ""},
		{"null as text", `,"format":"text"`, `""`, jsonType(), 400, ""},
		{"too large", `,"max_body":10`, `{"a":"0123456789"}`, jsonType(), 413, ""},
		{"too long when written out", "", strings.Repeat("[", 60) + strings.Repeat("0,", 20_000) + "0" + strings.Repeat("]", 60), jsonType(), 413, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, hookConfig(c.config))
			a := r.post("", c.body, c.header)
			if a.code != c.code {
				t.Fatalf("answer %+v, want %d", a, c.code)
			}
			if c.code != 202 {
				r.quiet()
				return
			}
			if got := r.event().Item().Body(); got != c.text {
				t.Errorf("text %q, want %q", got, c.text)
			}
		})
	}
}

func TestMatrixOfPaths(t *testing.T) {
	r := open(t, hookConfig(""))
	good := sha256.Sum256([]byte(token))
	for _, c := range []struct {
		name string
		q    web.Request
		code int
	}{
		{"wrong token", web.Request{Method: "POST", Token: sha256.Sum256([]byte("other"))}, 404},
		{"extra path", web.Request{Method: "POST", Token: good, Path: "/more"}, 404},
		{"GET", web.Request{Method: "GET", Token: good}, 405},
	} {
		if a := r.request(t.Context(), &c.q, "", nil); a.code != c.code {
			t.Errorf("%s: %d, want %d", c.name, a.code, c.code)
		}
	}
	routes := r.link.WebRoutes()
	if len(routes) != 1 || routes[0].Prefix != "/post/" || len(routes[0].Tokens) != 1 || routes[0].Tokens[0] != good || routes[0].MaxBody != 1<<20 {
		t.Errorf("routes %+v", routes)
	}
	r.quiet()
}

func TestRate(t *testing.T) {
	r := open(t, hookConfig(`,"rate":2`))
	for i, want := range []int{202, 202, 429} {
		if a := r.post("", "{}", jsonType()); a.code != want {
			t.Fatalf("request %d: %d, want %d", i, a.code, want)
		} else if want == 429 && a.header["Retry-After"][0] != "30" {
			t.Errorf("Retry-After %v, want 30", a.header["Retry-After"])
		}
	}
	r.forward(31 * time.Second)
	if a := r.post("", "{}", jsonType()); a.code != 202 {
		t.Errorf("after 31 s: %d, want 202", a.code)
	}
}

func TestPublishFails(t *testing.T) {
	for _, c := range []struct {
		err   error
		code  int
		after string
	}{
		{&sdk.Error{Kind: sdk.Overloaded, After: 7 * time.Second}, 503, "7"},
		{errors.New("broken pipe"), 503, "2"},
		{sdk.Errorf(sdk.Forbidden, "publish", "not yours"), 500, ""},
		{sdk.Errorf(sdk.TooLarge, "publish", "5 MiB"), 413, ""},
	} {
		r := open(t, hookConfig(`,"update_key":"/k"`))
		r.host.Refuse(func([]sdk.Event) error { return c.err })
		h := jsonType()
		h["Idempotency-Key"] = "k1"
		a := r.post("", `{"k":"x"}`, h)
		if a.code != c.code || strings.Join(a.header["Retry-After"], "") != c.after {
			t.Errorf("%v: %d with Retry-After %v, want %d with %q", c.err, a.code, a.header["Retry-After"], c.code, c.after)
		}
		// Nothing was stored, so that the same key is still free.
		r.host.Refuse(nil)
		if a := r.post("", `{"k":"x"}`, h); a.code != 202 || a.Duplicate || a.Updated {
			t.Errorf("again after %v: %+v, want a new message", c.err, a)
		}
		if ev := r.event(); ev.Kind() != sdk.KindItemCreated {
			t.Errorf("again after %v: %s", c.err, ev.Kind())
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	r := open(t, hookConfig(""))
	h := jsonType()
	h["Idempotency-Key"] = "k1"
	first := r.post("", `{"a":1}`, h)
	r.event()
	for _, restart := range []bool{false, true} {
		if restart {
			r.reopen(hookConfig(""))
		}
		again := r.post("", `{"a":1}`, h)
		if again.code != 202 || again.ID != first.ID || !again.Duplicate {
			t.Errorf("repeat (restart %v): %+v, want the id %s", restart, again, first.ID)
		}
		if other := r.post("", `{"a":2}`, h); other.code != 422 {
			t.Errorf("key with another body (restart %v): %+v, want 422", restart, other)
		}
	}
	h["Idempotency-Key"] = ""
	if a := r.post("", `{}`, h); a.code != 400 {
		t.Errorf("empty key: %+v, want 400", a)
	}
	r.quiet()
	r.forward(25 * time.Hour)
	h["Idempotency-Key"] = "k1"
	if a := r.post("", `{"a":2}`, h); a.code != 202 || a.Duplicate {
		t.Errorf("a day later: %+v, want a new message", a)
	}
}

func TestUpdateKey(t *testing.T) {
	config := hookConfig(`,"update_key":"/alert/id","format":"yaml","update_window":"1h"`)
	r := open(t, config)
	first := r.post("", `{"alert":{"id":"x"},"s":"firing"}`, jsonType())
	created := r.event()
	r.reopen(config)
	second := r.post("", `{"alert":{"id":"x"},"s":"resolved"}`, jsonType())
	ev := r.event()
	up, ok := ev.Change.(sdk.ItemUpdated)
	if !ok || string(up.Target.Remote) != first.ID || up.Item.Origin != created.Item().Origin || !second.Updated || second.ID != first.ID {
		t.Fatalf("second post: %+v with answer %+v, want an update of %s", ev.Change, second, first.ID)
	}
	if up.Item.Body() != "alert:\n  id: x\ns: resolved" || ev.Dedup == created.Dedup {
		t.Errorf("update %q with dedup %s", up.Item.Body(), ev.Dedup)
	}
	for _, body := range []string{`{"alert":{"id":"y"}}`, `{"other":1}`} {
		if a := r.post("", body, jsonType()); a.Updated || a.ID == first.ID {
			t.Errorf("%s: %+v, want a new message", body, a)
		}
		r.event()
	}
	h := jsonType()
	for i, at := range []string{"1", "2", ""} {
		two := open(t, hookConfig(`,"update_key":"/k header:X-At"`))
		h["X-At"] = "1"
		if a := two.post("", `{"k":1}`, h); a.Updated {
			t.Errorf("first post: %+v", a)
		}
		h["X-At"] = at
		if a := two.post("", `{"k":1}`, h); a.Updated != (i == 0) {
			t.Errorf("second part %s: %+v, want updated %v", at, a, i == 0)
		}
	}
	r.forward(2 * time.Hour)
	if a := r.post("", `{"alert":{"id":"x"}}`, jsonType()); a.Updated || a.ID == first.ID {
		t.Errorf("after the window: %+v, want a new message", a)
	}
}

func TestWait(t *testing.T) {
	place := sdk.Ref{Link: "home", ID: "ops@muc.example.org"}
	second := sdk.Ref{Link: "home", ID: "b@muc.example.org"}
	for _, c := range []struct {
		name, config string
		outcomes     []sdk.Outcome
		code         int
		state        string
		places       int
	}{
		{"delivered", "", []sdk.Outcome{{Place: place, State: sdk.OutcomeDelivered}}, 200, "delivered", 1},
		{"two targets", `,"targets":2`, []sdk.Outcome{{Place: place, State: sdk.OutcomeDelivered}, {Place: second, State: sdk.OutcomeDelivered}}, 200, "delivered", 2},
		{"dead", `,"targets":2`, []sdk.Outcome{{Place: second, State: sdk.OutcomeDelivered}, {Place: place, State: sdk.OutcomeDead, Reason: "banned"}}, 502, "dead", 1},
		{"dropped", "", []sdk.Outcome{{State: sdk.OutcomeDropped, Reason: "spam"}}, 422, "dropped", 0},
		{"unrouted", "", []sdk.Outcome{{State: sdk.OutcomeUnrouted}}, 502, "unrouted", 0},
		{"one of two in time", `,"targets":2`, []sdk.Outcome{{Place: place, State: sdk.OutcomeDelivered}}, 202, "accepted", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, hookConfig(c.config))
			// The host tells outcomes while the request waits.
			r.host.Refuse(func(events []sdk.Event) error {
				if !events[0].Want {
					t.Error("the event does not ask for its outcomes")
				}
				for _, o := range c.outcomes {
					o.Dedup = events[0].Dedup
					if err := r.link.Inform(t.Context(), []sdk.Outcome{{Dedup: "other", State: sdk.OutcomeDelivered}, o}); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			a := r.post("wait=50ms", "{}", jsonType())
			if a.code != c.code || a.State != c.state || len(a.Places) != c.places || a.ID == "" {
				t.Errorf("answer %+v, want %d %s with %d places", a, c.code, c.state, c.places)
			}
			if len(r.link.waiters) != 0 {
				t.Error("a waiter is left")
			}
		})
	}
	r := open(t, hookConfig(""))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	q := &web.Request{Method: "POST", Token: sha256.Sum256([]byte(token)), Body: []byte("{}")}
	if a := r.request(ctx, q, "wait=20", jsonType()); a.code != 202 || ctx.Err() != nil {
		t.Errorf("with a short deadline: %+v, context %v; want 202 before its end", a, ctx.Err())
	}
	if a := r.post("wait=soon", "{}", jsonType()); a.code != 400 {
		t.Errorf("wait=soon: %+v, want 400", a)
	}
}

func TestEventsAndSkips(t *testing.T) {
	r := open(t, hookConfig(`,"template":"github","events":["push","pull_request"]`))
	h := jsonType()
	for _, c := range []struct{ event, body string }{{"star", `{"a":1}`}, {"pull_request", `{"action":"labeled","pull_request":{"title":"x"}}`}} {
		h["X-GitHub-Event"] = c.event
		if a := r.post("", c.body, h); a.code != 200 || a.State != "ignored" {
			t.Errorf("%s: %+v, want ignored", c.event, a)
		}
		r.quiet()
	}
}

// TestWH02NoTokenLeaves: neither token nor secret nor body is in the log, and
// the link does not hold the token.
func TestWH02NoTokenLeaves(t *testing.T) {
	r := open(t, hookConfig(`,"signature":"github","secret":"secret-of-the-hook"`))
	r.post("", `{"body":"private-words"}`, jsonType())
	r.host.Refuse(func([]sdk.Event) error { return errors.New("down") })
	r.post("", `{"body":"private-words"}`, signed(r, `{"body":"private-words"}`, "d1"))
	for _, o := range []sdk.OutcomeState{sdk.OutcomeDead, sdk.OutcomeUnrouted} {
		if err := r.link.Inform(t.Context(), []sdk.Outcome{{Dedup: "x", State: o}}); err != nil {
			t.Fatal(err)
		}
	}
	if h := r.link.config.hooks["a"]; strings.Contains(fmt.Sprintf("%+v", *h), token) {
		t.Errorf("the hook holds its token: %+v", *h)
	}
	if r.log.Len() == 0 {
		t.Error("nothing was logged; the test shows nothing")
	}
	for _, secret := range []string{token, "secret-of-the-hook", "private-words"} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, r.log)
		}
	}
}

// signed makes the headers of a delivery by GitHub.
func signed(r *rig, body, delivery string) map[string]string {
	h := r.link.config.hooks["a"].seal.Sign("", []byte(body), r.now())
	h["Content-Type"] = "application/json"
	h["X-GitHub-Delivery"] = delivery
	return h
}

// TestWH03Replay: 401 for what is not signed, 409 for what came before, also
// after a restart and under a new delivery id, which GitHub does not sign.
func TestWH03Replay(t *testing.T) {
	config := hookConfig(`,"signature":"github","secret":"secret-of-the-hook"`)
	r := open(t, config)
	if a := r.post("", `{}`, jsonType()); a.code != 401 {
		t.Errorf("unsigned: %+v, want 401", a)
	}
	r.quiet()
	first := r.post("", `{"n":1}`, signed(r, `{"n":1}`, "d1"))
	if first.code != 202 {
		t.Fatalf("signed: %+v", first)
	}
	r.event()
	for _, id := range []string{"d1", "d2"} {
		if a := r.post("", `{"n":1}`, signed(r, `{"n":1}`, id)); a.code != 409 || a.ID != first.ID {
			t.Errorf("replay as %s: %+v, want 409 with id %s", id, a, first.ID)
		}
	}
	if a := r.post("", `{"n":2}`, signed(r, `{"n":2}`, "d1")); a.code != 409 {
		t.Errorf("other body under a used id: %+v, want 409", a)
	}
	r.reopen(config)
	if a := r.post("", `{"n":1}`, signed(r, `{"n":1}`, "d3")); a.code != 409 {
		t.Errorf("replay after a restart: %+v, want 409", a)
	}
	r.quiet()
	if a := r.post("", `{"n":2}`, signed(r, `{"n":2}`, "d4")); a.code != 202 {
		t.Errorf("another delivery: %+v, want 202", a)
	}
}

// TestWH08Parallel: 1,000 posts at once, half of them with the same key.
func TestWH08Parallel(t *testing.T) {
	r := open(t, hookConfig(""))
	codes := make([]answerDoc, 1000)
	var wg sync.WaitGroup
	for i := range codes {
		h := jsonType()
		if i%2 == 0 {
			h["Idempotency-Key"] = "same"
		}
		wg.Go(func() { codes[i] = r.post("", `{"n":1}`, h) })
	}
	wg.Wait()
	fresh := 0
	for _, a := range codes {
		if a.code != 202 {
			t.Fatalf("answer %+v, want 202", a)
		}
		if !a.Duplicate {
			fresh++
		}
	}
	if fresh != 501 || len(r.host.Events()) != 501 {
		t.Errorf("%d new messages, %d events; want 501 of each", fresh, len(r.host.Events()))
	}
}

// countingStore counts what the link asks of the store.
type countingStore struct {
	sdk.Store
	calls int
}

func (s *countingStore) Get(ctx context.Context, k string) ([]byte, error) {
	s.calls++
	return s.Store.Get(ctx, k)
}
func (s *countingStore) Set(ctx context.Context, k string, v []byte) error {
	s.calls++
	return s.Store.Set(ctx, k, v)
}
func (s *countingStore) Keys(ctx context.Context, p, a string) ([]string, error) {
	s.calls++
	return s.Store.Keys(ctx, p, a)
}

type countingHost struct {
	*sdktest.Host
	store *countingStore
}

func (h *countingHost) Store() sdk.Store { return h.store }

func TestPlainHooksDoNotTouchTheStore(t *testing.T) {
	inner := sdktest.NewHost(nil)
	h := &countingHost{Host: inner, store: &countingStore{Store: inner.Store()}}
	l, err := New(Options{}).Open(sdk.Config{Link: "hooks", JSON: json.RawMessage(hookConfig(""))}, h)
	if err != nil {
		t.Fatal(err)
	}
	q := &web.Request{Method: "POST", Token: sha256.Sum256([]byte(token)), Body: []byte("{}"), Header: map[string][]string{"Content-Type": {"application/json"}}}
	for range 10 {
		if resp, err := web.HandlerOf(l).ServeWeb(t.Context(), q); err != nil || resp.Status != 202 {
			t.Fatalf("%v %v", resp, err)
		}
	}
	if h.store.calls != 0 {
		t.Errorf("%d calls of the store, want 0", h.store.calls)
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := New(Options{}).Open(sdk.Config{JSON: json.RawMessage(`{
		"path": "post",
		"hook": {
			"no token": {"format": "xml"},
			"a": {"token": "short", "tempalte": "grafana"},
			"b": {"token": "0123456789abcdef", "format": "template", "secret": "xxxxxxxxxxxx"},
			"c": {"token": "0123456789abcdeg", "template": "nagios", "update_key": "x", "signature": "github"}
		},
		"out": {"o": {"url": "http://127.0.0.1/x", "kinds": ["nonsense"]}}}`)}, sdktest.NewHost(nil))
	var ce *sdk.ConfigError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v, want a ConfigError", err)
	}
	for _, want := range []string{"hook.a", "tempalte", `hook."no token"`, "hook.b.signature", "hook.b.template", "hook.c.template", "alertmanager, gitea", "hook.c.update_key",
		"secret is missing", "out.o.url", "plain http", "out.o.kinds"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault with %q in\n%v", want, err)
		}
	}
	_, err = New(Options{}).Open(sdk.Config{JSON: json.RawMessage(`{"hook":{"a":{"token":"0123456789abcdef"},"b":{"token":"0123456789abcdef"}}}`)}, sdktest.NewHost(nil))
	if err == nil || !strings.Contains(err.Error(), "hook.b.token: is also a token of hook a") {
		t.Errorf("equal tokens: %v", err)
	}
	if _, err = New(Options{}).Open(sdk.Config{}, sdktest.NewHost(nil)); err == nil {
		t.Error("no hook at all: no fault")
	}
}

func TestRunReportsPlaces(t *testing.T) {
	r := open(t, `{"hook":{"a":{"token":"`+token+`"}},"out":{"o":{"url":"https://hook.example.org/"}}}`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.link.Run(ctx) }()
	has := func(place sdk.RemoteID, state sdk.State) {
		t.Helper()
		if _, err := r.host.WaitReport(t.Context(), func(got sdk.Report) bool { return got.Place == place && got.State == state }); err != nil {
			t.Errorf("no report of %q as %s: %v", place, state, err)
		}
	}
	has("", sdk.StateUp)
	has("a", sdk.StateDegraded)
	has("o", sdk.StateUp)
	if err := r.link.SetPlaces(ctx, []sdk.PlaceUse{{ID: "a", Source: true}, {ID: "gone", Target: true}}); err != nil {
		t.Fatal(err)
	}
	has("a", sdk.StateUp)
	has("gone", sdk.StateFailed)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestManifest(t *testing.T) {
	m := New(Options{}).Describe()
	if m.ID != "webhook" || m.Sample == "" || !json.Valid(m.Schema) || !strings.Contains(string(m.Schema), "update_key") {
		t.Errorf("manifest %+v", m)
	}
	if f := sdk.FacetsOf(&link{}); f.Deliverer == nil || f.Placer == nil || f.Informed == nil || web.HandlerOf(&link{}) == nil {
		t.Errorf("facets %+v", f)
	}
}
