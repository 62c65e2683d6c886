package outbox_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// A feed's delivery goes to its readers' servers, each in a lane of its own: one
// that is down holds up none of the others, what is said later comes later
// everywhere, and a restart loses and doubles nothing.
func TestSpread(t *testing.T) {
	dir := t.TempDir()
	rules := []route.Rule{{ID: "r", From: ref("a:room"), To: []sdk.Ref{ref("b:feed")}}}
	var up atomic.Bool
	s := newSink()
	s.answer = func(d *sdk.Delivery) sdk.Receipt {
		switch {
		case d.Place == "feed":
			r := sdk.Receipt{}
			for i := range 20 {
				r.Spread = append(r.Spread, sdk.RemoteID(fmt.Sprintf("inbox:https://h%d.example/inbox", i)), "feed", "")
			}
			r.Spread = append(r.Spread, r.Spread...) // each place once
			return r
		case strings.Contains(string(d.Place), "//h3.") && !up.Load():
			return sdk.Receipt{Err: sdk.Errorf(sdk.Transient, "post", "down"), Unsent: true}
		}
		return sdk.Receipt{}
	}
	h := startHost(t, dir, rules, hostOptions{out: outbox.Options{BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond}})
	h.out.Attach("b", s, outbox.AttachOptions{})
	const messages = 5
	for i := range messages {
		h.publish(t, "a", create("room", "ann", fmt.Sprintf("id%d", i), fmt.Sprintf("m%d", i)))
	}
	got := s.wait(t, messages*(1+19))
	h.stop()
	up.Store(true)
	h = startHost(t, dir, rules, hostOptions{})
	h.out.Attach("b", s, outbox.AttachOptions{})
	got = s.wait(t, len(got)+messages)
	byPlace := map[sdk.RemoteID][]string{}
	for _, d := range got {
		byPlace[d.Place] = append(byPlace[d.Place], d.Event.Item().Body())
	}
	if len(byPlace) != 21 {
		t.Errorf("%d places, want 21", len(byPlace))
	}
	for place, bodies := range byPlace {
		if fmt.Sprint(bodies) != "[m0 m1 m2 m3 m4]" {
			t.Errorf("%s got %v", place, bodies)
		}
	}
	h.stop()
}
