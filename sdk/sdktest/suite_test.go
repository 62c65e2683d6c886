package sdktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/web"
)

func TestMain(m *testing.M) { sdktest.Main(m, sdktest.Echo{}) }

// created makes an event with a text.
func created(text string) sdk.Event {
	return sdk.Event{ID: "e", Place: sdk.Ref{Link: "a", ID: "room"}, Actor: sdk.Actor{Home: sdk.Ref{Link: "a", ID: "x"}},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "i", Text: sdk.NewText(text)}}}
}

func TestEcho(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var deliveries []sdk.Delivery
	for i := range 10 {
		deliveries = append(deliveries, sdk.Delivery{ID: sdk.DeliveryID(fmt.Sprint("d", i)), Place: "room",
			Event: created(fmt.Sprint("text ", i)), Attempt: 1})
	}
	sdktest.Run(t, sdktest.Case{
		Plugin:     sdktest.Echo{},
		Config:     sdk.Config{Link: "echo", JSON: json.RawMessage(`{"prefix":"re:"}`)},
		Bad:        []json.RawMessage{json.RawMessage(`{"prefix":"a b"}`), json.RawMessage(`{"prefix":7}`)},
		Deliveries: deliveries,
		Events:     []sdk.Event{created("a"), created("drop"), {Change: sdk.ActorGone{}}},
		Leaks:      func() error { return goleak.Find(before) },
		Exercise: func(t *testing.T, l sdk.Link, h *sdktest.Host) {
			f := sdk.FacetsOf(l)
			t.Run("order of publishes", func(t *testing.T) { order(t, h) })
			t.Run("errors", func(t *testing.T) { errorKinds(t, f) })
			t.Run("receipts", func(t *testing.T) { receiptErrors(t, f) })
			t.Run("store", func(t *testing.T) { store(t, f) })
			t.Run("facets", func(t *testing.T) { facets(t, f, h) })
			t.Run("web", func(t *testing.T) { serve(t, web.HandlerOf(l)) })
			t.Run("refused publish", func(t *testing.T) { refused(t, f, h) })
		},
	})
}

func order(t *testing.T, h *sdktest.Host) {
	for i := range 10 {
		e := <-h.Events()
		if want := fmt.Sprint("re:text ", i); e.Item().Body() != want {
			t.Errorf("event %d says %q, want %q", i, e.Item().Body(), want)
		}
	}
}

func errorKinds(t *testing.T, f sdk.Facets) {
	for kind := sdk.Unknown; kind <= sdk.Internal; kind++ {
		_, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: "fail", Args: []string{fmt.Sprint(uint8(kind))}})
		var e *sdk.Error
		if !errors.As(err, &e) || e.Kind != kind || e.Public != "public" || e.After != 7*time.Second {
			t.Errorf("kind %v came back as %#v", kind, err)
		}
		if want := fmt.Sprintf("kind %d", kind); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fail on demand") {
			t.Errorf("kind %v: text %q lacks the cause or the operation", kind, err)
		}
	}
}

func receiptErrors(t *testing.T, f sdk.Facets) {
	got, err := f.Deliverer.Deliver(t.Context(), []sdk.Delivery{{ID: "1", Place: "busy"}, {ID: "2", Place: "gone"}, {ID: "3", Place: "sink", Event: created("x")}})
	if err != nil || len(got) != 3 {
		t.Fatalf("receipts %+v, %v", got, err)
	}
	if e := got[0].Err; e == nil || e.Kind != sdk.RateLimited || e.After != 3*time.Second || e.Public != "slow down" || !got[0].Unsent {
		t.Errorf("busy place: %+v", got[0])
	}
	if e := got[1].Err; e == nil || e.Kind != sdk.Gone || got[1].Unsent {
		t.Errorf("gone place: %+v", got[1])
	}
	if got[2].Err != nil || len(got[2].Copies) != 1 || got[2].Copies[0].Remote != "copy-3" {
		t.Errorf("sink: %+v", got[2])
	}
}

func store(t *testing.T, f sdk.Facets) {
	call := func(words ...string) string {
		t.Helper()
		text, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: words[0], Args: words[1:]})
		if err != nil {
			t.Error(err)
		}
		return text
	}
	if got := call("get", "k"); got != "false " {
		t.Errorf("missing key = %q", got)
	}
	call("set", "k", "v")
	call("set", "empty", "")
	if got := call("get", "k"); got != "true v" {
		t.Errorf("key = %q", got)
	}
	if got := call("get", "empty"); got != "true " {
		t.Errorf("empty value = %q, want one that is there", got)
	}
	if got := call("keys", ""); got != "empty k" {
		t.Errorf("keys = %q", got)
	}
	_, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: "set", Args: []string{strings.Repeat("k", 300), ""}})
	if sdk.KindOf(err) != sdk.Invalid {
		t.Errorf("key too long: %v, want invalid", err)
	}
}

func facets(t *testing.T, f sdk.Facets, h *sdktest.Host) {
	ctx := t.Context()
	if err := f.Placer.SetPlaces(ctx, []sdk.PlaceUse{{ID: "a", Source: true}, {ID: "b", Target: true}}); err != nil {
		t.Error(err)
	}
	if v, _ := h.Get(ctx, "places"); string(v) != "2" {
		t.Errorf("places = %q", v)
	}
	if err := f.Informed.Inform(ctx, []sdk.Outcome{{Dedup: "x", State: sdk.OutcomeDead, Reason: "why"}}); err != nil {
		t.Error(err)
	}
	if v, _ := h.Get(ctx, "outcome/x"); string(v) != "why" {
		t.Errorf("outcome = %q", v)
	}
	if r, err := f.Resolver.Resolve(ctx, "bob"); err != nil || r.Actor == nil || r.Actor.Name != "bob" || r.Place != nil {
		t.Errorf("resolved %+v, %v", r, err)
	}
	if _, err := f.Resolver.Resolve(ctx, "nobody"); sdk.KindOf(err) != sdk.NotFound {
		t.Errorf("nobody: %v", err)
	}
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if n, err := f.Backfiller.Backfill(ctx, "old", since, 3); err != nil || n != 3 {
		t.Errorf("backfilled %d, %v", n, err)
	}
	for i := range 3 {
		if e := <-h.Events(); !e.Time.Equal(since.Add(time.Duration(i+1) * time.Second)) {
			t.Errorf("backfilled event %d is of %v", i, e.Time)
		}
	}
	got, err := f.Filter.Filter(ctx, []sdk.Event{created("loud"), created("drop")})
	if err != nil || got[0].Event.Item().Body() != "LOUD" || got[1].Verb != sdk.Drop {
		t.Errorf("verdicts %+v, %v", got, err)
	}
}

func serve(t *testing.T, w web.Handler) {
	r, err := w.ServeWeb(t.Context(), &web.Request{Method: "POST", Path: "/x", Prefix: "/echo", Body: []byte("body"),
		Header: map[string][]string{"Content-Type": {"text/plain"}}, Client: netip.MustParseAddr("192.0.2.7")})
	if err != nil || r.Status != 200 || string(r.Body) != "body" || r.Header["Content-Type"][0] != "text/plain" || r.Header["X-Client"][0] != "192.0.2.7" {
		t.Errorf("response %+v, %v", r, err)
	}
}

func refused(t *testing.T, f sdk.Facets, h *sdktest.Host) {
	h.Refuse(func([]sdk.Event) error {
		return &sdk.Error{Op: "publish", Kind: sdk.Overloaded, After: time.Second, Err: context.DeadlineExceeded}
	})
	defer h.Refuse(nil)
	_, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: "publish", Args: []string{"1"}})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != sdk.Overloaded || e.After != time.Second {
		t.Errorf("publish into a full host: %#v", err)
	}
}
