package wasm

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// both asks a link about an event by Filter and by FilterRaw; ready is called
// before each.
func both(tb testing.TB, l *Link, ev sdk.Event, ready func()) (plain sdk.Verdict, plainErr error, raw filter.RawVerdict, rawErr error) {
	tb.Helper()
	f := sdk.FacetsOf(l).Filter
	fast, ok := f.(filter.RawFilter)
	if !ok {
		tb.Fatalf("the filter facet is a %T, which takes no encoded events", f)
	}
	ready()
	vs, plainErr := f.Filter(context.Background(), []sdk.Event{ev})
	if plainErr == nil {
		plain = vs[0]
	}
	ready()
	bytes := codec.AppendEvent(nil, &ev)
	given := string(bytes)
	rs, rawErr := fast.FilterRaw(context.Background(), [][]byte{bytes}, []sdk.Event{ev})
	if rawErr == nil {
		raw = rs[0]
	}
	if string(bytes) != given {
		tb.Error("FilterRaw changed the bytes, which the store uses again")
	}
	return plain, plainErr, raw, rawErr
}

// same reports a difference between the two ways of asking.
func same(tb testing.TB, plain sdk.Verdict, plainErr error, raw filter.RawVerdict, rawErr error) {
	tb.Helper()
	if (plainErr == nil) != (rawErr == nil) || plainErr != nil && plainErr.Error() != rawErr.Error() || sdk.KindOf(plainErr) != sdk.KindOf(rawErr) {
		tb.Errorf("Filter: %v\nFilterRaw: %v", plainErr, rawErr)
	}
	if !reflect.DeepEqual(plain, raw.Verdict) {
		tb.Errorf("verdicts differ:\nFilter    %+v\nFilterRaw %+v", plain, raw.Verdict)
	}
	if raw.Raw != nil {
		tb.Error("FilterRaw gave bytes: those of a merge keep what the patch replaced")
	}
}

// corpus is events of several kinds with one text, as far as they have one.
func corpus(text string) []sdk.Event {
	created := said(text)
	it := *created.Item()
	bare := created.WithItem(sdk.Item{ID: "i2", Origin: sdk.Ref{Link: "home", ID: "s2"}, Text: sdk.NewText(text)})
	long := it
	long.Native = map[string][]byte{"xmpp": []byte(strings.Repeat("<x/>", 10_000))}
	narrow := it
	narrow.Visibility, narrow.Warning = sdk.VisibilityFollowers, "spoiler"
	target := sdk.Target{Item: "i1"}
	events := []sdk.Event{created, bare, created.WithItem(long), created.WithItem(narrow)}
	for _, c := range []sdk.Change{sdk.ItemUpdated{Item: it}, sdk.ItemRetracted{Target: target}, sdk.ReactionsSet{Target: target}, sdk.ActorGone{}} {
		ev := created
		ev.Change = c
		events = append(events, ev)
	}
	return events
}

// TestFilterRawSame: encoded events get the verdicts that events get, for every
// verb of a guest.
func TestFilterRawSame(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	h, err := NewHost(Options{Dir: cacheDir, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := guestOptions("emit")
	o.Time = 5 * time.Second // this is not about the deadline
	l := open(t, load(t, h, goGuest, o), newFakeHost())
	seen := map[sdk.Verb]int{}
	emitted := 0
	for _, text := range []string{"nothing", "", "shout ünder the balcony", "mark me", "tags x y", "drop it", "hold it", "emit 123", "emit more than sixteen", "panic"} {
		for _, ev := range corpus(text) {
			t.Run(text+"/"+ev.Kind().String(), func(t *testing.T) {
				plain, plainErr, raw, rawErr := both(t, l, ev, func() { l.ops.strikes.Store(0) })
				same(t, plain, plainErr, raw, rawErr)
				if plainErr == nil {
					seen[plain.Verb]++
					emitted += len(plain.Emit)
				}
			})
		}
	}
	if seen[sdk.Pass] == 0 || seen[sdk.Drop] == 0 || seen[sdk.Replace] == 0 || seen[sdk.Hold] == 0 || emitted == 0 {
		t.Errorf("verbs seen: %v, with %d events emitted, want all", seen, emitted)
	}
}

// TestFilterRawReplies does the same for replies that no good guest gives:
// clear lists alone, patches of identity, and what is refused.
func TestFilterRawReplies(t *testing.T) {
	l := rawLink(t)
	ev := said("hello")
	for name, reply := range map[string]string{
		"patch":             "\x1a\x0f\xaa\x01\x0c\x0a\x0a\x52\x05\x0a\x03HEYz\x01a",
		"clear the text":    "\x22\x05\x0a\x03\x15\x01\x0a",
		"clear all tags":    "\x22\x05\x0a\x03\x15\x01\x0f",
		"clear the change":  "\x22\x03\x0a\x01\x15",
		"patch of identity": "\x1a\x04\x0a\x02id",
		"no such verb":      "\x08\x09",
		"no message":        "\xff",
		"hold in the past":  "\x08\x03\x28\x01",
		"error":             "\x3a\x04\x08\x05\x2a\x00",
	} {
		t.Run(name, func(t *testing.T) {
			plain, plainErr, raw, rawErr := both(t, l, ev, func() {
				if l.shards[0].inst == nil { // ended with a refused reply
					if _, err := ask(l, "x"); err != nil {
						t.Fatal(err)
					}
				}
				l.shards[0].inst.answer(t, 0, []byte(reply))
			})
			same(t, plain, plainErr, raw, rawErr)
		})
		if l.shards[0].inst != nil {
			l.shards[0].inst.answer(t, 0, nil)
		}
	}
}

// TestChainGivesBytes: the chain that the host attaches links to hands the guest
// the bytes that it has, and keeps them for the store when nothing changed.
func TestChainGivesBytes(t *testing.T) {
	l, _ := goLink(t)
	c := filter.New(filter.Options{})
	c.Attach("guest", sdk.FacetsOf(l).Filter, filter.AttachOptions{})
	events := []sdk.Event{said("one"), said("two"), said("three")}
	raw := make([][]byte, len(events))
	for i, text := range []string{"one", "drop it", "shout three"} { // bytes that tell which form the guest saw
		ev := said(text)
		raw[i] = codec.AppendEvent(nil, &ev)
	}
	res, err := c.Run(t.Context(), []route.FilterUse{{Link: "guest"}}, events, raw)
	if err != nil {
		t.Fatal(err)
	}
	if r := res[0]; r.Verb != sdk.Pass || r.Changed || len(r.Raw) == 0 || &r.Raw[0] != &raw[0][0] {
		t.Errorf("pass: %+v, want the bytes as they were given", r)
	}
	if r := res[1]; r.Verb != sdk.Drop {
		t.Errorf("drop: %+v", r)
	}
	if r := res[2]; !r.Changed || r.Event.Item().Body() != "THREE" || r.Raw != nil {
		t.Errorf("patch: %+v, want the new text and no stale bytes", r)
	}
}
