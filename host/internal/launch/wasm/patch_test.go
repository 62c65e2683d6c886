package wasm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// path builds a clear list.
func path(fields ...protowire.Number) [][]protowire.Number { return [][]protowire.Number{fields} }

// TestPatched lists what a patch and a clear list do to an event.
func TestPatched(t *testing.T) {
	base := said("hello")
	part := func(it sdk.Item) []byte {
		return codec.AppendEvent(nil, &sdk.Event{Change: sdk.ItemCreated{Item: it}})
	}
	for _, c := range []struct {
		name string
		r    reply
		want func(it *sdk.Item)
	}{
		{"nothing", reply{}, func(*sdk.Item) {}},
		{"text keeps spans", reply{patch: part(sdk.Item{Text: sdk.NewText("new")})}, func(it *sdk.Item) { it.Text = &sdk.Text{Plain: "new", Spans: it.Text.Spans} }},
		{"text without spans", reply{patch: part(sdk.Item{Text: sdk.NewText("new")}), clear: path(21, 1, 10, 2)}, func(it *sdk.Item) { it.Text = sdk.NewText("new") }},
		{"text cleared", reply{clear: path(21, 1, 10)}, func(it *sdk.Item) { it.Text = nil }},
		{"text anew", reply{patch: part(sdk.Item{Text: sdk.NewText("new")}), clear: path(21, 1, 10)}, func(it *sdk.Item) { it.Text = sdk.NewText("new") }},
		{"tags added", reply{patch: part(sdk.Item{Tags: []string{"c"}})}, func(it *sdk.Item) { it.Tags = []string{"a", "b", "c"} }},
		{"tags replaced", reply{patch: part(sdk.Item{Tags: []string{"c"}}), clear: path(21, 1, 15)}, func(it *sdk.Item) { it.Tags = []string{"c"} }},
		{"field of each element", reply{clear: path(21, 1, 11, 1)}, func(it *sdk.Item) { it.Media = []sdk.Media{{Type: "image/png"}} }},
		{"new message", reply{patch: part(sdk.Item{Poll: &sdk.Poll{Multiple: true}})}, func(it *sdk.Item) { it.Poll = &sdk.Poll{Multiple: true} }},
		{"identity", reply{patch: part(sdk.Item{ID: "x", Author: "y", Revision: 9, Origin: sdk.Ref{Link: "z", ID: "o"}}), clear: path(21, 1, 1)}, func(*sdk.Item) {}},
		{"narrower", reply{patch: part(sdk.Item{Visibility: sdk.VisibilityDirect})}, func(it *sdk.Item) { it.Visibility = sdk.VisibilityDirect }},
		{"unknown path", reply{clear: path(99, 1)}, func(*sdk.Item) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := patched(&base, codec.AppendEvent(nil, &base), &c.r)
			if err != nil {
				t.Fatal(err)
			}
			it := *base.Item()
			c.want(&it)
			if want := base.WithItem(it); !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
	for name, r := range map[string]reply{
		"another change": {patch: codec.AppendEvent(nil, &sdk.Event{Change: sdk.ActorGone{}})},
		"no change":      {clear: path(21)},
		"garbage":        {patch: []byte{0xff}},
	} {
		if _, err := patched(&base, codec.AppendEvent(nil, &base), &r); !errors.Is(err, ErrReply) {
			t.Errorf("%s: %v, want %v", name, err, ErrReply)
		}
	}
	wide := base.WithItem(sdk.Item{Visibility: sdk.VisibilityFollowers})
	got, err := patched(&wide, codec.AppendEvent(nil, &wide), &reply{clear: path(21, 1, 17)})
	if err != nil || got.Item().Visibility != sdk.VisibilityFollowers {
		t.Errorf("visibility was widened: %+v, %v", got, err)
	}
}

// TestAppendMessage checks sizes around those where the length takes more bytes.
func TestAppendMessage(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 3000000} {
		body := strings.Repeat("x", n)
		got := appendMessage([]byte("before"), 5, func(b []byte) []byte { return append(b, body...) })
		want := protowire.AppendString(protowire.AppendTag([]byte("before"), 5, protowire.BytesType), body)
		if string(got) != string(want) {
			t.Errorf("%d bytes: wrong encoding", n)
		}
	}
}

// TestOrder: events of one place meet one instance, one after the other, also
// when many places are filtered at once.
func TestOrder(t *testing.T) {
	o := LoadOptions{Name: "goguest.wasm", Shards: 4, Grant: []string{"command"}, Manifest: sdk.Manifest{ID: "goguest", Abilities: []string{"command"}}}
	p := load(t, sharedHost, goGuest, o)
	l := newLink(p, sdk.Config{Link: "guest"}, newFakeHost())
	l.facets = []string{"filter"}
	for range 3 {
		l.shards = append(l.shards, &shard{})
	}
	t.Cleanup(l.Close)
	var wg sync.WaitGroup
	for place := range 8 {
		wg.Go(func() {
			last := 0
			for range 50 {
				ev := said("calls")
				ev.Place.ID = sdk.RemoteID(fmt.Sprint("room", place))
				v, err := (facetLink{l}).Filter(context.Background(), []sdk.Event{ev})
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				if _, err := fmt.Sscan(v[0].Event.Item().Body(), &n); err != nil {
					t.Error(err)
					return
				}
				if n <= last {
					t.Errorf("call %d came after call %d of the same place", n, last)
				}
				last = n
			}
		})
	}
	wg.Wait()
	used := 0
	for _, sh := range l.shards {
		if sh.inst != nil {
			used++
		}
	}
	if used < 2 {
		t.Errorf("8 places met %d instances, want several", used)
	}
}

// TestCallerGone: a call whose caller has given up ends, as does one that waits.
func TestCallerGone(t *testing.T) {
	l, _ := goLink(t)
	if _, err := ask(l, "warm up"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := l.Facets().Filter.Filter(ctx, []sdk.Event{said("loop")})
	if err == nil || sdk.KindOf(err) != sdk.Transient {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > DefaultTime {
		t.Errorf("took %v after the caller had gone", took)
	}
	if _, err := l.Facets().Filter.Filter(ctx, []sdk.Event{said("x")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call of an ended context: %v", err)
	}
}
