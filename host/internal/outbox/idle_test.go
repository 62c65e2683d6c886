package outbox_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// many routes a place to one of its own name, for each of n places.
func many(n int) []route.Rule {
	var rules []route.Rule
	for i := range n {
		name := fmt.Sprint("p", i)
		rules = append(rules, route.Rule{ID: sdk.RouteID(name), From: ref("a:" + name), To: []sdk.Ref{ref("b:" + name)}})
	}
	return rules
}

// settled waits until all receipts are on disk.
func settled(t *testing.T, h *host) outbox.Stats {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s := h.out.Stats()
		if s.Depth == 0 {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("still %d deliveries", s.Depth)
		}
	}
}

// TestIdleLanesAreBounded: memory forgets lanes that have been idle for longest, and
// they come back with their ids and in order.
func TestIdleLanesAreBounded(t *testing.T) {
	const n, keep = 200, 20
	h := startHost(t, t.TempDir(), many(n), hostOptions{out: outbox.Options{IdleLanes: keep}, in: noBreaker.in})
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	first := map[string]sdk.DeliveryID{}
	for i := range n {
		place := fmt.Sprint("p", i)
		h.publish(t, "a", create(place, "romeo", place+"-1", place))
		got := s.wait(t, i+1)
		first[place] = got[i].ID
		if kept := settled(t, h).Kept; kept > keep+keep/4 {
			t.Fatalf("%d lanes are in memory after %d", kept, i+1)
		}
	}
	// p0 is long forgotten, p199 is not.
	for _, place := range []string{"p0", "p199"} {
		had := len(s.wait(t, 0))
		h.publish(t, "a", create(place, "romeo", place+"-2", "second"), update(place, "romeo", place+"-1", place+"-3", "third"), create(place, "romeo", place+"-4", "fourth"))
		got := s.wait(t, had+3)[had:]
		for i, want := range []string{"second", "third", "fourth"} {
			if body(&got[i]) != want || got[i].Place != sdk.RemoteID(place) || got[i].Uncertain || got[i].Attempt != 1 {
				t.Errorf("%s: delivery %d is %+v", place, i, got[i])
			}
		}
		if copied := got[1].Event.Target().Remote; copied != sdk.RemoteID("copy-"+string(first[place])) {
			t.Errorf("%s: the update is of %q", place, copied)
		}
		lane := func(id sdk.DeliveryID) int64 {
			l, _, _ := h.db.Names().ParseDelivery(id)
			return l
		}
		if lane(got[0].ID) != lane(first[place]) {
			t.Errorf("%s: the lane was %d and is %d", place, lane(first[place]), lane(got[0].ID))
		}
	}
	settled(t, h)
}

// TestLanesWithWorkAreKept however many there are: those that wait to be tried again.
func TestLanesWithWorkAreKept(t *testing.T) {
	const n = 60
	h := startHost(t, t.TempDir(), many(n), hostOptions{out: outbox.Options{IdleLanes: 5, BackoffMin: time.Hour, HostTrip: 1000}, in: noBreaker.in})
	h.out.Attach("b", verdicts(func(*sdk.Delivery) *sdk.Error { return sdk.Errorf(sdk.Transient, "send", "not now") }), outbox.AttachOptions{})
	for i := range n {
		place := fmt.Sprint("p", i)
		h.publish(t, "a", create(place, "romeo", place, place))
	}
	for h.out.Stats().Links[0].Backoff < n {
		time.Sleep(time.Millisecond)
	}
	if s := h.out.Stats(); s.Kept != n || s.Depth != n {
		t.Errorf("%d lanes with %d deliveries, want %d", s.Kept, s.Depth, n)
	}
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	if got, err := h.out.Retry(t.Context(), store.QueueFilter{}); got != n || err != nil {
		t.Errorf("retry: %d, %v", got, err)
	}
	s.wait(t, n)
}

// TestForgottenLaneGetsItsDeadLetterBack, marked as one that may have been sent,
// since nobody remembers.
func TestForgottenLaneGetsItsDeadLetterBack(t *testing.T) {
	h := startHost(t, t.TempDir(), many(50), hostOptions{out: outbox.Options{IdleLanes: 5}, in: noBreaker.in})
	h.out.Attach("b", verdicts(func(*sdk.Delivery) *sdk.Error { return sdk.Errorf(sdk.Forbidden, "send", "banned") }), outbox.AttachOptions{})
	h.publish(t, "a", create("p0", "romeo", "m1", "one"), create("p0", "romeo", "m2", "two"))
	h.outcomes(t, "a", 2)
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	for i := 1; i < 50; i++ {
		place := fmt.Sprint("p", i)
		h.publish(t, "a", create(place, "romeo", place, place))
		s.wait(t, i)
		settled(t, h)
	}
	if n, err := h.out.Retry(t.Context(), store.QueueFilter{Place: "p0"}); n != 2 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	got := s.wait(t, 51)[49:]
	if body(&got[0]) != "one" || body(&got[1]) != "two" || !got[0].Uncertain || !got[1].Uncertain {
		t.Errorf("got %+v", got)
	}
}

// TestDeletedLaneComesBack: the row of a lane that was unused for a day is deleted
// while memory still knows the lane; its next delivery makes a new one.
func TestDeletedLaneComesBack(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	dir := t.TempDir()
	h := startHost(t, dir, many(3), hostOptions{now: clock, in: noBreaker.in})
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	say := func(place, id string) sdk.DeliveryID {
		t.Helper()
		n := len(s.wait(t, 0))
		h.publish(t, "a", create(place, "romeo", id, id))
		d := s.wait(t, n+1)[n]
		if body(&d) != id || d.Place != sdk.RemoteID(place) || d.Uncertain {
			t.Errorf("%s in %s was delivered as %+v", id, place, d)
		}
		settled(t, h)
		return d.ID
	}
	old := say("p0", "m1")
	say("p1", "m2")
	mu.Lock()
	now = now.Add(31 * time.Hour)
	mu.Unlock()
	say("p1", "m3") // in use
	if n, err := h.db.PruneLanes(t.Context()); n != 1 || err != nil {
		t.Fatalf("pruned %d lanes, %v; want that of p0", n, err)
	}
	say("p2", "m4") // must not get the number of p0's lane, which memory still knows
	fresh := say("p0", "m5")
	say("p0", "m6")
	say("p1", "m7")
	lanes := map[int64]bool{}
	for _, id := range []sdk.DeliveryID{old, fresh} {
		lane, _, _ := h.db.Names().ParseDelivery(id)
		lanes[lane] = true
	}
	if len(lanes) != 2 {
		t.Errorf("the deleted lane and the new one have the same number")
	}
	h.out.Detach("b")
	h.publish(t, "a", create("p0", "romeo", "m8", "m8"))
	if got, err := h.out.List(t.Context(), store.QueueFilter{}); err != nil || len(got) != 1 || got[0].Place != ref("b:p0") {
		t.Errorf("queue %+v, %v", got, err)
	}
	h.stop()
	h = startHost(t, dir, many(3), hostOptions{now: clock, in: noBreaker.in})
	s = newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	if got := s.wait(t, 1); body(&got[0]) != "m8" {
		t.Errorf("after the restart %+v", got[0])
	}
}
