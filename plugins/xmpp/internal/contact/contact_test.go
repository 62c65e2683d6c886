package contact

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

var (
	toJuliet = sdk.Ref{Link: "other", ID: juliet}
	asked    = sdk.FollowAsked{Object: toJuliet}
	ended    = sdk.Unfollowed{Object: toJuliet}
	granted1 = sdk.FollowAnswered{Follower: toJuliet, Accepted: true}
	refused  = sdk.FollowAnswered{Follower: toJuliet}
	answer   = sdk.FollowAnswered{Accepted: true}
)

func signal(k sdk.SignalKind) sdk.Change { return sdk.Signal{Signal: k} }

// TestUserSubscribes follows a subscription of a user from the request to its end (RFC 6121 §3.1 and §3.3).
func TestUserSubscribes(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.published("request", asked)
		w.expect("before the answer")
		w.deliver(signal(sdk.SignalOnline))
		w.expect("presence before the answer")
		w.presence(romeo, "probe", "")
		w.expect("probe before the answer")

		w.deliver(answer)
		w.expect("answer", "subscribed from='"+vjuliet+"' to='"+romeo+"'", "from='"+vjuliet+"/bridgehost' !type=")
		w.deliver(signal(sdk.SignalAway))
		w.expect("away", "<show>away</show>")
		w.deliver(signal(sdk.SignalAway))
		w.expect("away again")
		w.deliver(signal(sdk.SignalBusy))
		w.expect("busy", "<show>dnd</show>")
		w.presence(romeo+"/phone", "probe", "")
		w.expect("probe", "<show>dnd</show>")
		w.deliver(signal(sdk.SignalOffline))
		w.expect("offline", "unavailable")
		w.presence(romeo, "subscribe", "")
		w.expect("request again", "subscribed", "unavailable")
		w.published("request again")

		w.presence(romeo+"/phone", "", "") // Juliet never asked to see it
		w.published("own presence")

		w.presence(romeo, "unsubscribe", "")
		w.published("end", ended)
		w.expect("end", "unsubscribed", "unavailable")
		w.deliver(signal(sdk.SignalOnline))
		w.expect("presence after the end")
		w.presence(romeo, "probe", "")
		w.expect("probe after the end", "unsubscribed")
		w.deliver(answer)
		w.expect("late answer")
	})
}

// TestUserIsRefused follows a request that the foreign actor refuses, or takes back later.
func TestUserIsRefused(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.published("request", asked)
		w.deliver(sdk.FollowAnswered{})
		w.expect("refusal", "unsubscribed !unavailable")

		w.presence(romeo, "subscribe", "")
		w.published("second request", asked)
		w.deliver(answer)
		w.sent()
		w.deliver(sdk.FollowAnswered{})
		w.expect("taken back", "unsubscribed", "unavailable")
	})
}

// TestForeignActorSubscribes follows a subscription of a foreign actor (RFC 6121 §3.1).
func TestForeignActorSubscribes(t *testing.T) {
	run(t, options(), func(w *world) {
		w.deliver(sdk.FollowAsked{})
		w.expect("request", "subscribe from='"+vjuliet+"' to='"+romeo+"' nick Juliet")
		w.presence(romeo+"/phone", "", "")
		w.published("presence before the answer")

		w.presence(romeo, "subscribed", "")
		w.published("answer", granted1)
		w.presence(romeo+"/phone", "", "<priority>5</priority>")
		w.published("phone", signal(sdk.SignalOnline))
		later(2 * time.Second)
		w.presence(romeo+"/desk", "", "<show>dnd</show><priority>1</priority>")
		w.published("a lesser resource")
		w.presence(romeo+"/phone", "unavailable", "")
		w.published("the better one goes", signal(sdk.SignalBusy))
		w.presence(romeo+"/desk", "unavailable", "")
		w.published("the last one goes", signal(sdk.SignalOffline))
		w.expect("nothing is shown to the user")

		w.deliver(sdk.FollowAsked{})
		w.published("request again", granted1, signal(sdk.SignalOffline))

		w.deliver(sdk.Unfollowed{})
		w.expect("end", "unsubscribe from='"+vjuliet+"'")
		w.presence(romeo+"/phone", "", "")
		w.published("presence after the end")
		w.presence(romeo, "unsubscribed", "")
		w.published("answer to the end")
	})
}

// TestFlappingPresence checks that presence which changes all the time is told at a pace that others can bear, and the last one in the end.
func TestFlappingPresence(t *testing.T) {
	run(t, options(), func(w *world) {
		w.deliver(sdk.FollowAsked{})
		w.presence(romeo, "subscribed", "")
		w.published("answer", granted1)
		for range 500 {
			w.presence(romeo+"/phone", "", "<show>dnd</show>")
			w.presence(romeo+"/phone", "", "<show>away</show>")
		}
		if n := len(w.events()); n != tellAtOnce {
			t.Errorf("told %d times, want %d", n, tellAtOnce)
		}
		later(time.Minute)
		w.published("when it is quiet", signal(sdk.SignalAway))
	})
}

// TestUserRefuses checks that a refusal is passed on, and so is a consent that is taken back.
func TestUserRefuses(t *testing.T) {
	run(t, options(), func(w *world) {
		w.deliver(sdk.FollowAsked{})
		w.presence(romeo, "unsubscribed", "")
		w.published("refusal", refused)
		w.presence(romeo, "subscribed", "") // nobody asks any more
		w.published("late consent")

		w.deliver(sdk.FollowAsked{})
		w.presence(romeo, "subscribed", "")
		w.presence(romeo, "unsubscribed", "")
		w.published("taken back", granted1, refused)
		w.presence(romeo+"/phone", "", "")
		w.published("presence after the end")

		w.deliver(sdk.FollowAsked{})
		w.in("<presence type='error' from='" + romeo + "' to='" + vjuliet + "'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>")
		w.published("no such account", refused)
	})
}

// TestRestart checks that both sides are right again after a restart and after a reconnect.
func TestRestart(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.deliver(answer)
		w.deliver(sdk.FollowAsked{})
		w.presence(romeo, "subscribed", "")
		w.presence(romeo+"/phone", "", "")
		w.deliver(signal(sdk.SignalAway))
		w.events()
		w.sent()

		w.restart(options())
		w.c.StreamUp(false)
		later(time.Second)
		w.expect("start", "<show>away</show>", "type='probe' from='"+vjuliet+"' to='"+romeo+"'")
		w.presence(romeo+"/phone", "", "")
		w.published("answer to the probe", signal(sdk.SignalOnline))
		later(time.Minute)
		w.published("grace over")

		// The other side was started anew: it tells what is known already, and is told in turn, once.
		w.deliver(signal(sdk.SignalAway))
		w.published("the other side starts", signal(sdk.SignalOnline))
		w.deliver(signal(sdk.SignalAway))
		w.published("the other side repeats")
		w.expect("repeats are not shown")

		w.c.StreamDown()
		w.c.StreamUp(false)
		later(time.Second)
		w.expect("reconnect", "<show>away</show>", "probe")
		w.published("before the grace is over")
		later(time.Minute)
		w.published("nobody answers the probe", signal(sdk.SignalOffline))

		w.c.StreamUp(true)
		later(time.Minute)
		w.expect("resumption")
	})
}

// TestUnpublished checks that a request outlives a host that does not take it, and a restart.
func TestUnpublished(t *testing.T) {
	run(t, options(), func(w *world) {
		w.h.Refuse(func([]sdk.Event) error { return sdk.Errorf(sdk.Overloaded, "publish", "full") })
		w.presence(romeo, "subscribe", "")
		w.published("refused")
		w.h.Refuse(nil)
		w.restart(options())
		w.published("restart", asked)
		w.restart(options())
		w.published("second restart")

		w.h.Refuse(func([]sdk.Event) error { return sdk.Errorf(sdk.Overloaded, "publish", "full") })
		w.presence(romeo, "unsubscribe", "")
		w.h.Refuse(nil)
		later(time.Minute)
		w.published("host has room again", ended)
	})
}

// TestStreamDown checks that deliveries wait for the stream, and signals do not.
func TestStreamDown(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.s.setDown(true)
		d := sdk.Delivery{ID: "d", Place: sdk.PeerPlace(romeo, juliet), Event: sdk.Event{Change: answer}}
		if r := w.c.Deliver(w.t.Context(), d); r.Err == nil || r.Err.Kind != sdk.Transient || !r.Unsent {
			t.Errorf("receipt %+v, want a temporary error, unsent", r)
		}
		w.deliver(signal(sdk.SignalAway))
		w.s.setDown(false)
		w.deliver(answer)
		w.expect("second attempt", "subscribed", "<show>away</show>")
	})
}

// TestStoreFails checks that a request which cannot be kept is refused, and that other changes are kept as soon as the store works again.
func TestStoreFails(t *testing.T) {
	run(t, options(), func(w *world) {
		w.h.fail.Store(true)
		w.presence(romeo, "subscribe", "")
		w.expect("request", "resource-constraint type='wait'")
		w.published("request")
		d := sdk.Delivery{Place: sdk.PeerPlace(romeo, juliet), Event: sdk.Event{Change: sdk.FollowAsked{}}}
		if r := w.c.Deliver(w.t.Context(), d); r.Err == nil || !r.Err.Kind.Temporary() {
			t.Errorf("receipt %+v, want a temporary error", r)
		}
		w.h.fail.Store(false)
		w.presence(romeo, "subscribe", "")
		w.published("second request", asked)
		w.deliver(answer)
		w.sent()

		w.h.fail.Store(true)
		w.presence(romeo, "unsubscribe", "")
		w.h.fail.Store(false)
		later(time.Minute)
		w.published("end", ended)
		w.restart(options())
		if got := w.c.List(romeo); len(got) != 0 {
			t.Errorf("contacts after a restart: %+v", got)
		}
	})
}

// TestLongAddresses checks that a roster which would not fit into the store is bounded.
func TestLongAddresses(t *testing.T) {
	run(t, options(), func(w *world) {
		refused := 0
		for i := range 100 {
			w.in(fmt.Sprintf(`<presence type='subscribe' from='%s' to='%s%d\40s2.example@ap.example.org'/>`, romeo, strings.Repeat("x", 990), i))
			later(10 * time.Minute)
			refused += len(w.sent())
		}
		if n := len(w.c.List(romeo)); refused == 0 || n+refused != 100 || n < 50 {
			t.Errorf("%d contacts, %d refused", n, refused)
		}
	})
}

// TestRequestsAreLimited is case XM-20.
func TestRequestsAreLimited(t *testing.T) {
	o := options()
	o.MaxContacts = 30
	run(t, o, func(w *world) {
		flood := func(from, kind string, n int) {
			for i := range n {
				w.in(fmt.Sprintf(`<presence type='%s' from='%s' to='u%d\40s2.example@ap.example.org'/>`, kind, from, i))
			}
		}
		flood(romeo, "subscribe", 10_000)
		if n := len(w.events()); n != 30 {
			t.Errorf("%d requests passed, want 30", n)
		}
		got := w.sent()
		if len(got) != 10_000-30 || !strings.Contains(got[0], "resource-constraint") || !strings.Contains(got[0], "type='wait'") {
			t.Errorf("%d refusals, the first is %s", len(got), got[0])
		}
		for range 10 {
			flood(romeo, "unsubscribe", 30)
			flood(romeo, "subscribe", 30)
		}
		if n := 0; true {
			for _, e := range w.events() {
				if e.Kind() == sdk.KindFollowAsked {
					n++
				}
			}
			if n > 30 {
				t.Errorf("%d more requests passed, want at most 30: 60 at once", n)
			}
		}
		later(2 * time.Hour)
		w.presence("mercutio@example.org", "subscribe", "")
		if n := len(w.events()); n != 1 {
			t.Errorf("%d events of another user, want 1", n)
		}
	})
}

// TestNoSuchAddress checks what is answered for addresses that nobody can have.
func TestNoSuchAddress(t *testing.T) {
	run(t, options(), func(w *world) {
		for _, to := range []string{"bob", `louise\40example.org`, `\5c20x`, `a\40b\40c`, strings.Repeat("x", 900)} {
			w.in(`<presence type='subscribe' from='` + romeo + `/x' to='` + to + `@ap.example.org'/>`)
			w.expect(to, "item-not-found to='"+romeo+"'")
			w.in(`<presence from='` + romeo + `/x' to='` + to + `@ap.example.org'/>`)
			w.expect(to)
		}
		w.in(`<presence type='subscribe' from='example.org' to='` + vjuliet + `'/>`)
		w.in(`<presence type='subscribe' from='x@ap.example.org' to='` + vjuliet + `'/>`)
		w.expect("servers and our own")
		w.published("servers and our own")
	})
}

// TestAllow checks that the gateway is closed to those who may not use it.
func TestAllow(t *testing.T) {
	o := options()
	o.Allow = func(user string) bool { return user != romeo }
	run(t, o, func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.expect("request", "registration-required")
		w.published("request")
		r := w.c.Deliver(w.t.Context(), sdk.Delivery{Place: sdk.PeerPlace(romeo, juliet), Event: sdk.Event{Change: sdk.FollowAsked{}}})
		if r.Err == nil || r.Err.Kind != sdk.Forbidden || r.Err.Public == "" {
			t.Errorf("receipt %+v, want a refusal", r)
		}
		w.expect("request from outside")
	})
}

// TestKindless checks what contacts cannot show.
func TestKindless(t *testing.T) {
	run(t, options(), func(w *world) {
		for _, ch := range []sdk.Change{sdk.Blocked{}, sdk.Unblocked{}, sdk.Reported{Text: "spam"}} {
			if r := w.deliver(ch); len(r.Loss) != 1 || r.Loss[0].Kind != sdk.LossKindless {
				t.Errorf("%#v: losses %+v, want kind", ch, r.Loss)
			}
		}
		w.expect("nothing is shown")
	})
}
