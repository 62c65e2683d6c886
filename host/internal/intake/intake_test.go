package intake_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/intake"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/host/internal/store/sqlite"
	"bridgehost/sdk"
)

// queue stands for the outbox: it keeps what it is fed.
type queue struct {
	mu      sync.Mutex
	entries []*store.Entry
	signals []route.Target
	copied  func([]store.Key)
	fed     chan struct{}
}

func (q *queue) Feed(entries []*store.Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		if !e.Duplicate && len(e.Deliveries) > 0 {
			q.entries = append(q.entries, e)
			q.fed <- struct{}{}
		}
	}
}

func (q *queue) OnCopies(f func([]store.Key)) { q.copied = f }

func (q *queue) Signal(_ *sdk.Event, to []route.Target) { q.signals = append(q.signals, to...) }

// routed gives "kind text -> place place" for each entry, in order.
func (q *queue) routed() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []string
	for _, e := range q.entries {
		s := e.Event.Kind().String()
		if it := e.Event.Item(); it != nil {
			s += " " + it.Body()
		}
		s += " ->"
		for _, d := range e.Deliveries {
			s += " " + d.To.String()
		}
		out = append(out, s)
	}
	return out
}

type rig struct {
	t     *testing.T
	db    *sqlite.DB
	in    *intake.Intake
	q     *queue
	chain *filter.Chain
	mu    sync.Mutex
	now   time.Time
	told  []sdk.Outcome
	heard chan struct{}
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func ref(s string) sdk.Ref {
	x, _ := sdk.ParseRef(s)
	return x
}

// rules: a:room and b:room are kept in step, a:room also goes to c:room.
var rules = []route.Rule{
	{ID: "ab", From: ref("a:room"), To: []sdk.Ref{ref("b:room")}, BothWays: true},
	{ID: "ac", From: ref("a:room"), To: []sdk.Ref{ref("c:room")}, Filters: []route.FilterUse{{Link: "guard"}}},
}

func newRig(t *testing.T, opts intake.Options, places route.Places) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Unix(1_700_000_000, 0), chain: filter.New(filter.Options{}), q: &queue{fed: make(chan struct{}, 1000)}, heard: make(chan struct{}, 1000)}
	var err error
	if r.db, err = sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Now: r.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.db.Close(); err != nil {
			t.Error(err)
		}
	})
	r.chain.Attach("guard", guard{}, filter.AttachOptions{})
	r.in = intake.New(intake.Deps{Store: r.db, Queue: r.q, Filters: r.chain, Now: r.clock, Places: places, Options: opts,
		Inform: func(_ sdk.LinkID, out []sdk.Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, out...)
			r.heard <- struct{}{}
		}})
	r.in.SetTable(route.NewTable(rules))
	return r
}

// guard drops what says spam, holds what says hold for a minute, once, and
// changes what says loud.
type guard struct{}

func (guard) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	out := make([]sdk.Verdict, len(events))
	for i := range events {
		it := events[i].Item()
		switch body := it.Body(); {
		case strings.Contains(body, "trap"):
			return nil, errors.New("unreachable executed")
		case strings.Contains(body, "spam"):
			out[i] = sdk.Verdict{Verb: sdk.Drop, Reason: "spam"}
		case strings.Contains(body, "hold"):
			out[i] = sdk.Verdict{Verb: sdk.Hold, Reason: "look at it", Until: time.Unix(1_700_000_060, 0)}
		case strings.Contains(body, "loud"):
			it.Text = sdk.NewText(strings.ToUpper(body))
			ev := events[i].WithItem(*it)
			ev.Actor.Home.ID, ev.Dedup = "mallory", "forged" // the host keeps these
			out[i] = sdk.Verdict{Verb: sdk.Replace, Event: &ev}
		}
	}
	return out, nil
}

// run starts the release of waiting events until the test ends.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.in.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func (r *rig) ok(link sdk.LinkID, events ...sdk.Event) {
	r.t.Helper()
	if err := r.in.Publish(r.t.Context(), link, events); err != nil {
		r.t.Fatalf("publish: %v", err)
	}
}

func (r *rig) refused(kind sdk.Kind, link sdk.LinkID, events ...sdk.Event) {
	r.t.Helper()
	if err := r.in.Publish(r.t.Context(), link, events); sdk.KindOf(err) != kind || err == nil {
		r.t.Fatalf("publish = %v, want kind %v", err, kind)
	}
}

func (r *rig) want(lines ...string) {
	r.t.Helper()
	for range lines {
		select {
		case <-r.q.fed:
		case <-time.After(10 * time.Second):
			r.t.Fatalf("routed %q, want %q", r.q.routed(), lines)
		}
	}
	if got := r.q.routed(); strings.Join(got, "|") != strings.Join(lines, "|") {
		r.t.Fatalf("routed %q, want %q", got, lines)
	}
	r.q.mu.Lock()
	r.q.entries = nil
	r.q.mu.Unlock()
}

func event(place, who, dedup string, c sdk.Change) sdk.Event {
	return sdk.Event{Place: sdk.Ref{ID: sdk.RemoteID(place)}, Actor: sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(who)}}, Dedup: dedup, Change: c}
}

func item(id, text string) sdk.Item {
	return sdk.Item{Origin: sdk.Ref{ID: sdk.RemoteID(id)}, Text: sdk.NewText(text)}
}

func created(id, text string) sdk.Event {
	return event("room", "romeo", id, sdk.ItemCreated{Item: item(id, text)})
}

func target(id string) sdk.Target { return sdk.Target{Remote: sdk.RemoteID(id)} }

func updated(who, id, dedup, text string) sdk.Event {
	return event("room", who, dedup, sdk.ItemUpdated{Target: target(id), Item: sdk.Item{Text: sdk.NewText(text)}})
}

func retracted(who, id string, moderated bool) sdk.Event {
	return event("room", who, "", sdk.ItemRetracted{Target: target(id), Moderated: moderated})
}

// copied stores what a delivery to link's room was called there.
func (r *rig) copied(link string, id sdk.RemoteID, e *store.Entry) {
	end := make(chan error, 1)
	s := &store.Settlement{Lane: e.Deliveries[0].Lane, First: e.Seq, Upto: e.Seq,
		Copies: []store.CopyRow{{Item: e.ItemID, Place: ref(link + ":room"), Remote: id}}}
	r.db.Settle(s, func(err error) { end <- err })
	if err := <-end; err != nil {
		r.t.Fatal(err)
	}
	r.q.copied([]store.Key{{Link: sdk.LinkID(link), Remote: id}})
}

func (r *rig) entry(i int) *store.Entry {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	return r.q.entries[i]
}

func TestOwnership(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	place, who, org := created("m1", "x"), created("m1", "x"), created("m1", "x")
	place.Place.Link, who.Actor.Home.Link = "b", "b"
	it := *org.Item()
	it.Origin.Link = "b"
	org = org.WithItem(it)
	for name, ev := range map[string]sdk.Event{"place": place, "actor": who, "item": org} {
		if err := r.in.Publish(t.Context(), "a", []sdk.Event{created("m0", "good"), ev}); sdk.KindOf(err) != sdk.Forbidden {
			t.Errorf("%s of another link: %v", name, err)
		}
	}
	if got := r.q.routed(); len(got) != 0 {
		t.Errorf("a refused batch was stored in part: %q", got)
	}
	r.ok("a", created("m1", "mine"))
	r.refused(sdk.Forbidden, "a", updated("mallory", "m1", "u", "forged"))
	r.refused(sdk.Forbidden, "a", retracted("mallory", "m1", false))
	r.refused(sdk.Invalid, "a", event("room", "romeo", "", sdk.ReactionsSet{}))
	r.refused(sdk.Invalid, "a", event("room", "", "", sdk.ItemCreated{}))
	r.ok("a", retracted("moderator", "m1", true))
	r.want("item-created mine -> b:room c:room", "item-retracted -> b:room c:room")
}

func TestFilterMakesAVariantForItsRule(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", created("m1", "a loud one"), created("m2", "some spam"), created("m3", "a trap"), created("m4", "fine"))
	r.want("item-created a loud one -> b:room", "item-created A LOUD ONE -> c:room", "item-created some spam -> b:room",
		"item-created a trap -> b:room", "item-created fine -> b:room c:room")
}

func TestReplacementKeepsIdentity(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", created("m1", "loud"))
	if ev := r.entry(1).Event; ev.Actor.Home != ref("a:romeo") || ev.Dedup != "m1" {
		t.Errorf("a filter changed who speaks: %+v", ev)
	}
}

func TestAbsentFilterRefuses(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.chain.Detach("guard")
	r.refused(sdk.Overloaded, "a", created("m1", "x"))
	r.chain.Attach("guard", guard{}, filter.AttachOptions{})
	r.ok("a", created("m1", "x"))
	r.want("item-created x -> b:room c:room")
}

func TestDuplicatesAndEchoes(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	for range 5 { // BR-03
		r.ok("a", created("m1", "once"))
	}
	first := r.entry(0)
	r.want("item-created once -> b:room c:room")
	r.copied("b", "m1-at-b", first)
	// BR-01, BR-02: the copy comes back, as itself and under another key.
	r.ok("b", created("m1-at-b", "once"), event("room", "bot", "other", sdk.ItemCreated{Item: item("m1-at-b", "once")}))
	if s := r.in.Stats(); s.Echoes != 2 || s.Duplicates != 4 {
		t.Errorf("stats = %+v", s)
	}
	// A reaction of somebody in b to the copy goes home, and nowhere else.
	r.ok("b", event("room", "juliet", "r1", sdk.ReactionsSet{Target: target("m1-at-b"), Reactions: []string{"❤"}}))
	r.want("reactions-set -> a:room")
	r.refused(sdk.Forbidden, "b", updated("romeo", "m1-at-b", "", "forged"))
	r.refused(sdk.Forbidden, "b", retracted("romeo", "m1-at-b", false))
}

func TestPuppetsAreEchoes(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", created("m1", "x"))
	e := r.entry(0)
	end := make(chan error, 1)
	r.db.Settle(&store.Settlement{Lane: e.Deliveries[0].Lane, First: e.Seq, Upto: e.Seq,
		Puppets: []store.PuppetRow{{Actor: e.ActorID, Puppet: ref("b:romeo-puppet")}}}, func(err error) { end <- err })
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	r.want("item-created x -> b:room c:room")
	r.ok("b", event("room", "romeo-puppet", "e1", sdk.ItemCreated{Item: item("e1", "x")}))
	r.ok("b", event("room", "romeo-puppet", "e2", sdk.ReactionsSet{Target: target("zzz")}))
	if s := r.in.Stats(); s.Echoes != 2 {
		t.Errorf("stats = %+v", s)
	}
}

func TestHopLimitAndNotices(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	far, note := created("m1", "from afar"), created("m2", "joined")
	far.Via, note.Notice = []sdk.LinkID{"elsewhere"}, true
	r.ok("a", far, note, created("m3", "own"))
	r.want("item-created own -> b:room c:room")
	if s := r.in.Stats(); s.Hops != 1 || s.Echoes != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestTombstoneWins(t *testing.T) { // BR-10
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", retracted("romeo", "m1", false))
	r.ok("a", created("m1", "too late"))
	r.ok("a", retracted("mallory", "m2", false)) // not mallory's: silences nobody
	r.ok("a", created("m2", "still said"), updated("romeo", "m2", "u", "and corrected"))
	r.want("item-created still said -> b:room c:room",
		"item-updated and corrected -> b:room c:room")
	r.ok("a", retracted("romeo", "m2", false), retracted("romeo", "m2", false), updated("romeo", "m2", "u2", "zombie"))
	r.want("item-retracted -> b:room c:room")
}

func TestReplyWaitsForItsParent(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.run()
	it := item("m2", "answer")
	it.ReplyTo = target("m1")
	r.ok("a", event("room", "juliet", "m2", sdk.ItemCreated{Item: it}))
	if s := r.in.Stats(); s.Waited != 1 || s.Waiting != 1 {
		t.Errorf("stats = %+v", s)
	}
	r.ok("a", created("m1", "question"))
	r.want("item-created question -> b:room c:room",
		"item-created answer -> b:room c:room")
}

func TestWaitingEndsAndSurvivesARestart(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", updated("romeo", "m1", "u1", "whole text"))
	r.ok("a", event("room", "juliet", "r1", sdk.ReactionsSet{Target: target("m9"), Reactions: []string{"x"}}))
	r.pass(time.Minute)
	r.run() // the first Run of this process: it knows of them from the disk alone
	r.want("item-updated whole text -> b:room c:room")
	r.ok("a", updated("romeo", "m1", "u2", "again"))
	r.want("item-updated again -> b:room c:room")
	<-r.heard
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) != 1 || r.told[0].State != sdk.OutcomeDropped || r.told[0].Dedup != "r1" {
		t.Errorf("told %+v", r.told)
	}
}

func TestHeldEventGoesOnLater(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", created("m1", "hold this"))
	r.want("item-created hold this -> b:room")
	// The guard lets it pass the second time round.
	r.chain.Attach("guard", pass{}, filter.AttachOptions{})
	r.pass(2 * time.Minute)
	r.run()
	r.want("item-created hold this -> c:room")
	row, err := r.db.Verify(t.Context())
	if err != nil || len(row.Events) != 0 {
		t.Errorf("verify = %+v, %v", row, err)
	}
}

type pass struct{}

func (pass) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	return make([]sdk.Verdict, len(events)), nil
}

// holdAll holds whatever it sees.
type holdAll struct{}

func (holdAll) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	out := make([]sdk.Verdict, len(events))
	for i := range out {
		out[i] = sdk.Verdict{Verb: sdk.Hold, Until: time.Unix(1_700_000_060, 0)}
	}
	return out, nil
}

func TestHeldRetractionLeavesTheItem(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.in.SetTable(route.NewTable(rules[1:]))
	r.ok("a", created("m1", "x"))
	r.chain.Attach("guard", holdAll{}, filter.AttachOptions{})
	r.ok("a", retracted("romeo", "m1", false))
	r.chain.Attach("guard", pass{}, filter.AttachOptions{})
	r.ok("a", updated("romeo", "m1", "u1", "y"))
	r.want("item-created x -> c:room", "item-updated y -> c:room")
	r.pass(2 * time.Minute)
	r.run()
	r.want("item-retracted -> c:room")
	r.ok("a", updated("romeo", "m1", "u2", "too late"))
	if s := r.in.Stats(); s.Held != 1 || s.Dropped != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestBreakerStopsRepetitionAndFlood(t *testing.T) {
	r := newRig(t, intake.Options{Breaker: intake.BreakerOptions{Repeat: 3, Burst: 12, Rate: 1}}, nil)
	for i := range 5 {
		r.ok("a", event("room", "romeo", "", sdk.ItemCreated{Item: item(string(rune('a'+i)), "same")}))
	}
	if got := len(r.q.routed()); got != 3 {
		t.Errorf("%d entries, want 3", got)
	}
	if s := r.in.Stats(); s.Dropped != 2 {
		t.Errorf("stats = %+v", s)
	}
	for i := range 7 {
		r.ok("a", created(string(rune('k'+i)), "text "+string(rune('k'+i))))
	}
	r.refused(sdk.RateLimited, "a", created("z", "one too many"))
	r.pass(5 * time.Second)
	r.ok("a", created("z", "one too many"))
}

func TestNarrowedUpdateTakesCopiesBack(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", created("m1", "for all"))
	up := updated("romeo", "m1", "u1", "for friends")
	it := *up.Item()
	it.Visibility = sdk.VisibilityFollowers
	r.ok("a", up.WithItem(it))
	r.want("item-created for all -> b:room c:room", "item-retracted -> b:room c:room")
}

func TestUnroutedAndDroppedAreTold(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.in.SetTable(route.NewTable(rules[1:]))
	lost := created("m1", "x")
	lost.Place.ID = "nowhere"
	r.ok("a", lost, created("m2", "spam"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) != 2 || r.told[0].State != sdk.OutcomeUnrouted || r.told[1].State != sdk.OutcomeDropped || r.told[1].Reason != "spam" {
		t.Errorf("told %+v", r.told)
	}
	rows, err := r.db.Outcomes(t.Context(), "a", 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Outcome.State != sdk.OutcomeDropped || rows[0].Outcome.Reason != "spam" {
		t.Errorf("stored %+v, %v; only what was dropped must be told in any case", rows, err)
	}
}

func TestSignalsAreNotStored(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	r.ok("a", event("room", "romeo", "", sdk.Signal{Signal: sdk.SignalTyping}))
	if len(r.q.signals) != 2 || len(r.q.routed()) != 0 {
		t.Errorf("signals %v, routed %v", r.q.signals, r.q.routed())
	}
}

func TestSizesAreBounded(t *testing.T) {
	r := newRig(t, intake.Options{}, nil)
	big := created("m1", strings.Repeat("x", 300<<10))
	r.refused(sdk.TooLarge, "a", big)
	it := item("m2", "x")
	it.Media = []sdk.Media{{Data: make([]byte, 65<<10)}}
	r.refused(sdk.TooLarge, "a", event("room", "romeo", "", sdk.ItemCreated{Item: it}))
	r.refused(sdk.TooLarge, "a", make([]sdk.Event, 2000)...)
}

func TestOptedOutAuthor(t *testing.T) { // BR-11
	r := newRig(t, intake.Options{}, nil)
	ev := created("m1", "x")
	ev.Actor.Consent = sdk.ConsentRefused
	r.ok("a", ev)
	if s := r.in.Stats(); s.Dropped != 1 || len(r.q.routed()) != 0 {
		t.Errorf("stats = %+v", s)
	}
}
