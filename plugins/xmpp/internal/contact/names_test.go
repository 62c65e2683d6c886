package contact

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"bridgehost/sdk"
)

// servers are rosters that the user's server lets us change.
type servers struct {
	mu      sync.Mutex
	granted bool
	entries map[string]RosterEntry // by user and virtual JID
	set     []string
}

func (s *servers) Granted(string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted
}

func (s *servers) Entry(_ context.Context, user, virtual string) (RosterEntry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[user+" "+virtual]
	return e, ok, nil
}

func (s *servers) SetEntry(_ context.Context, user, virtual string, e RosterEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = append(s.set, fmt.Sprintf("%s %v %s", e.Name, e.Groups, e.Subscription))
	if s.entries[user+" "+virtual] = e; e.Subscription == "remove" {
		delete(s.entries, user+" "+virtual)
	}
	return nil
}

// took gives what was written since the last call.
func (s *servers) took() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set
	s.set = nil
	return set
}

// TestRosterNames checks what is written into rosters: names of contacts that have none, with the subscription as it is by then, and their removal.
func TestRosterNames(t *testing.T) {
	const entry = romeo + " " + vjuliet
	s := &servers{granted: true, entries: map[string]RosterEntry{entry: {Subscription: "none"}}}
	o := options()
	o.Names, o.Group = s, "Elsewhere"
	run(t, o, func(w *world) {
		w.h.AnswerResolve(func(string) (sdk.Resolved, error) {
			return sdk.Resolved{Actor: &sdk.Actor{Home: sdk.Ref{Link: "other", ID: juliet}, Name: "Juliet"}}, nil
		})
		check := func(what string, want ...string) {
			t.Helper()
			if got := s.took(); !slices.Equal(got, want) {
				t.Errorf("%s: wrote %q, want %q", what, got, want)
			}
		}
		w.presence(romeo, "subscribe", "")
		check("nothing is granted yet")
		w.deliver(sdk.FollowAsked{}) // open while the answer to the other comes
		w.deliver(sdk.FollowAnswered{Accepted: true})
		check("a request is open")
		w.presence(romeo, "subscribed", "")
		check("both", "Juliet [Elsewhere] both")
		w.presence(romeo, "probe", "")
		check("a repeat")
		s.entries[entry] = RosterEntry{Name: "My love", Groups: []string{"Balcony"}, Subscription: "both"}
		w.deliver(sdk.FollowAnswered{Accepted: true})
		check("the user's own name")
		w.deliver(sdk.FollowAnswered{Accepted: false})
		check("one direction has ended")
		w.deliver(sdk.Unfollowed{})
		check("the relation has ended", " [] remove")
		s.granted = false
		w.presence(romeo, "subscribe", "")
		w.deliver(sdk.FollowAnswered{Accepted: true})
		check("without a grant")
	})
}

// TestStatusTexts checks that texts beside presence cross both ways, bounded, and each only when it has changed.
func TestStatusTexts(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		w.deliver(sdk.FollowAnswered{Accepted: true})
		w.deliver(sdk.FollowAsked{})
		w.presence(romeo, "subscribed", "")
		w.events()
		w.presence(romeo+"/phone", "", "<show>xa</show><status>asleep</status>")
		w.published("text", sdk.Signal{Signal: sdk.SignalAway, Text: "asleep"})
		w.presence(romeo+"/phone", "", "<show>away</show><status>asleep</status>")
		w.published("the same")
		w.presence(romeo+"/phone", "", "<show>away</show><status> "+strings.Repeat("ü", maxStatus)+" </status>")
		w.published("long", sdk.Signal{Signal: sdk.SignalAway, Text: strings.Repeat("ü", maxStatus/2)})
		w.sent()
		w.deliver(sdk.Signal{Signal: sdk.SignalBusy, Text: "dancing"})
		w.expect("busy", "<show>dnd</show> <status>dancing</status>")
		w.deliver(sdk.Signal{Signal: sdk.SignalBusy, Text: "talking"})
		w.expect("another text", "<show>dnd</show> <status>talking</status>")
		w.deliver(sdk.Signal{Signal: sdk.SignalOffline, Text: "gone"})
		w.expect("offline", "unavailable <status>gone</status>")
	})
}
