package store_test

import (
	"testing"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

func TestNamesRoundTrip(t *testing.T) {
	n := store.Names{Prefix: "k3jx9a2b"}
	if id := n.Event(0); id != "" {
		t.Errorf("Event(0) = %q", id)
	}
	for _, v := range []int64{1, 35, 36, 1 << 40} {
		if got, ok := n.ParseItem(n.Item(v)); !ok || got != v {
			t.Errorf("item %d reads as %d, %v", v, got, ok)
		}
		if got, ok := n.ParseEvent(n.Event(v)); !ok || got != v {
			t.Errorf("event %d reads as %d, %v", v, got, ok)
		}
		if _, ok := n.ParseItem(sdk.ItemID(n.Event(v))); ok {
			t.Errorf("event %q passes for an item", n.Event(v))
		}
		if lane, seq, ok := n.ParseDelivery(n.Delivery(7, v)); !ok || lane != 7 || seq != v {
			t.Errorf("delivery reads as %d, %d, %v", lane, seq, ok)
		}
	}
	if _, ok := n.ParseItem(store.Names{Prefix: "other"}.Item(5)); ok {
		t.Error("an item of another host was taken")
	}
}

func TestFatesHaveNames(t *testing.T) {
	for f, want := range map[store.Fate]string{store.FateRouted: "routed", store.FateDropped: "dropped", store.FateHeld: "held",
		store.FateWaiting: "waiting", store.FateNowhere: "nowhere", 0: "unknown"} {
		if f.String() != want {
			t.Errorf("fate %d is called %s, want %s", f, f, want)
		}
	}
}

// TestOriginOf names what an event is about in the words of its link.
func TestOriginOf(t *testing.T) {
	created := sdk.Event{Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{Link: "a", ID: "m1"}}}}
	retracted := sdk.Event{Change: sdk.ItemRetracted{Target: sdk.Target{Remote: "m2"}}}
	if a, b, c := store.OriginOf(&created), store.OriginOf(&retracted), store.OriginOf(&sdk.Event{Change: sdk.Signal{}}); a != "m1" || b != "m2" || c != "" {
		t.Errorf("origins %q, %q, %q", a, b, c)
	}
}

// FuzzNames: what operators and links hand back as ids never confuses.
func FuzzNames(f *testing.F) {
	n := store.Names{Prefix: "k3jx9a2b"}
	for _, s := range []string{"", "k3jx9a2b-i1", "k3jx9a2b-d1-2", "k3jx9a2b-d-1--2", "k3jx9a2b-i-1", "k3jx9a2b-iZZZZZZZZZZZZZZZZ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, ok := n.ParseItem(sdk.ItemID(s)); ok && v <= 0 {
			t.Errorf("item %q = %d", s, v)
		}
		if lane, seq, ok := n.ParseDelivery(sdk.DeliveryID(s)); ok && (lane <= 0 || seq <= 0) {
			t.Errorf("delivery %q = %d %d", s, lane, seq)
		}
	})
}
