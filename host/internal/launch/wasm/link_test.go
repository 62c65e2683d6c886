package wasm

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

func TestFilter(t *testing.T) {
	l, host := goLink(t, "emit")
	v, err := ask(l, "nothing to do")
	if err != nil || v.Verb != sdk.Pass {
		t.Errorf("pass: %+v, %v", v, err)
	}
	v, err = ask(l, "shout ünder the balcony")
	if err != nil || v.Verb != sdk.Replace {
		t.Fatalf("shout: %+v, %v", v, err)
	}
	want := said("ÜNDER THE BALCONY")
	it := *want.Item()
	it.Text.Spans, it.Tags = nil, []string{"a", "b", "loud"}
	want = want.WithItem(it)
	if !reflect.DeepEqual(*v.Event, want) {
		t.Errorf("shout:\ngot  %+v\nwant %+v", *v.Event, want)
	}
	v, err = ask(l, "tags x y")
	if err != nil || v.Verb != sdk.Replace {
		t.Fatalf("tags: %+v, %v", v, err)
	}
	if got := v.Event.Item(); !reflect.DeepEqual(got.Tags, []string{"x", "y"}) || got.Title != "" || got.Visibility != sdk.VisibilityPublic || len(got.Media) != 1 {
		t.Errorf("tags: %+v", got)
	}
	v, err = ask(l, "drop it")
	if err != nil || v.Verb != sdk.Drop || v.Reason != `word\n\x1b[31mit` {
		t.Errorf("drop: %+v, %v", v, err)
	}
	if v, err = ask(l, "hold it"); err != nil || v.Verb != sdk.Hold || v.Until.IsZero() {
		t.Errorf("hold: %+v, %v", v, err)
	}
	v, err = ask(l, "emit 123")
	if err != nil || len(v.Emit) != 3 || v.Emit[2].Place != (sdk.Ref{Link: "guest", ID: "room@muc.example"}) || v.Emit[2].Item().Body() != "emitted" {
		t.Errorf("emit: %+v, %v", v.Emit, err)
	}
	v, err = ask(l, "publish")
	if err != nil || v.Verb != sdk.Drop || !strings.Contains(v.Reason, "not within filter") || len(host.published) != 0 {
		t.Errorf("publish within filter: %+v, %v", v, err)
	}
}

func TestOperations(t *testing.T) {
	host := newFakeHost()
	o := guestOptions("kv", "secret", "command", "log", "metrics", "emit", "timer")
	o.Secrets = map[string]string{"token": "s3cret"}
	counted := map[string]float64{}
	o.Metric = func(_ sdk.LinkID, name string, add float64) { counted[name] += add }
	l := open(t, load(t, sharedHost, goGuest, o), host)
	cmd := func(name string, args ...string) (string, error) {
		return l.Facets().Commander.Command(context.Background(), sdk.Invocation{Name: name, Args: args})
	}
	if got, err := cmd("kv", "a", "1"); err != nil || got != "1[a]" {
		t.Errorf("kv: %q, %v", got, err)
	}
	if got, err := cmd("get", "none"); err != nil || got != `""` {
		t.Errorf("get: %q, %v", got, err)
	}
	if got, err := cmd("secret", "token"); err != nil || got != "s3cret" {
		t.Errorf("secret: %q, %v", got, err)
	}
	if _, err := cmd("secret", "other"); sdk.KindOf(err) != sdk.NotFound {
		t.Errorf("unknown secret: %v", err)
	}
	if _, err := cmd("count", "seen"); err != nil || counted["seen"] != 2 {
		t.Errorf("count: %v, %v", counted, err)
	}
	if _, err := cmd("count", "Bad Name"); sdk.KindOf(err) != sdk.Invalid {
		t.Errorf("bad metric: %v", err)
	}
	if _, err := cmd("publish", "feed"); err != nil {
		t.Fatal(err)
	}
	if ev := <-host.got; ev.Place != (sdk.Ref{Link: "guest", ID: "feed"}) || ev.Actor.Home != (sdk.Ref{Link: "guest", ID: "me"}) || ev.Item().Body() != "hello" || ev.Dedup != "k" {
		t.Errorf("published %+v", ev)
	}
	_, err := cmd("fail")
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != sdk.NotFound || e.Public != "sorry" {
		t.Errorf("fail: %v", err)
	}
}

func TestDeliver(t *testing.T) {
	l, _ := goLink(t)
	batch := []sdk.Delivery{{ID: "d1", Place: "p", Event: said("x")}, {ID: "d2", Place: "p", Event: said("refuse")}, {ID: "d3", Place: "p", Event: said("forget")}}
	got, err := l.Facets().Deliverer.Deliver(context.Background(), batch)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if r := got[0]; r.Err != nil || r.Delivery != "d1" || r.Copies[0] != (sdk.Copy{Item: "i1", Remote: "r-d1"}) || r.Loss[0].Kind != sdk.LossMedia {
		t.Errorf("first: %+v", r)
	}
	if r := got[1]; r.Err == nil || r.Err.Kind != sdk.Forbidden || !r.Unsent {
		t.Errorf("second: %+v", r)
	}
	if r := got[2]; r.Delivery != "d3" || r.Err == nil || r.Err.Kind != sdk.Internal {
		t.Errorf("third: %+v", r)
	}
}

func TestWeb(t *testing.T) {
	l, _ := goLink(t)
	h := web.HandlerOf(l)
	if routes := h.WebRoutes(); len(routes) != 1 || routes[0].Prefix != "/guest" || routes[0].MaxBody != 1000 {
		t.Errorf("routes %+v", routes)
	}
	resp, err := h.ServeWeb(context.Background(), &web.Request{Method: "POST", Path: "/x", Header: map[string][]string{"X-A": {"b"}}, Body: []byte("body"), Client: netip.MustParseAddr("127.0.0.1")})
	if err != nil || resp.Status != 201 || string(resp.Body) != "POST b body" || resp.Header["X-Path"][0] != "/x" {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestRunAndTimer(t *testing.T) {
	l, host := goLink(t, "log", "timer", "emit", "command")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	if _, err := l.Facets().Commander.Command(ctx, sdk.Invocation{Name: "timer"}); err != nil {
		t.Fatal(err)
	}
	if ev := <-host.got; ev.Item().Body() != "7" {
		t.Errorf("timer published %+v", ev)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if len(host.reports) != 1 || host.reports[0].State != sdk.StateUp {
		t.Errorf("reports %+v", host.reports)
	}
	if _, err := ask(l, "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("after run: %v, want %v", err, ErrClosed)
	}
}

func TestOpenRefused(t *testing.T) {
	p := load(t, sharedHost, goGuest, guestOptions())
	_, err := p.Open(sdk.Config{Link: "guest", JSON: []byte(`{"refuse":true}`)}, newFakeHost())
	if err == nil || !strings.Contains(err.Error(), "configuration refused") || sdk.KindOf(err) != sdk.Invalid {
		t.Errorf("open: %v", err)
	}
}

// TestFacetsDeclared asserts that a module cannot have facets beyond its manifest.
func TestFacetsDeclared(t *testing.T) {
	o := guestOptions()
	o.Manifest.Facets = []string{"filter"}
	p := load(t, sharedHost, goGuest, o)
	if _, err := p.Open(sdk.Config{Link: "guest"}, newFakeHost()); err == nil || !strings.Contains(err.Error(), "manifest does not list") {
		t.Errorf("open: %v", err)
	}
}
