package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/intake"
	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/host/internal/store/sqlite"
	"bridgehost/sdk"
)

// sink is a link that takes deliveries and remembers them.
type sink struct {
	mu      sync.Mutex
	got     []sdk.Delivery
	answer  func(d *sdk.Delivery) sdk.Receipt // nil: everything is taken
	fail    func(batch []sdk.Delivery) error
	arrived chan struct{}
	copies  bool
}

func newSink() *sink { return &sink{arrived: make(chan struct{}, 1<<20), copies: true} }

func (s *sink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(batch); err != nil {
			return nil, err
		}
	}
	receipts := make([]sdk.Receipt, 0, len(batch))
	stopped := false
	for i := range batch {
		d := &batch[i]
		r := sdk.Receipt{Delivery: d.ID}
		switch {
		case stopped:
			r.Err, r.Unsent = sdk.Errorf(sdk.Transient, "deliver", "an earlier one failed"), true
		case s.answer != nil:
			r = s.answer(d)
			r.Delivery = d.ID
		}
		if r.Err == nil {
			if s.copies && d.Event.Kind() == sdk.KindItemCreated && r.Copies == nil {
				r.Copies = []sdk.Copy{{Item: d.Event.Item().ID, Remote: sdk.RemoteID("copy-" + string(d.ID))}}
			}
			s.got = append(s.got, *d)
			s.arrived <- struct{}{}
		} else if r.Err.Kind.Temporary() {
			stopped = true
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

func (s *sink) wait(t testing.TB, n int) []sdk.Delivery {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		have := len(s.got)
		s.mu.Unlock()
		if have >= n {
			break
		}
		select {
		case <-s.arrived:
		case <-timeout:
			t.Fatalf("got %d deliveries, want %d", have, n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sdk.Delivery(nil), s.got...)
}

// host is a whole way of events: store, intake, outbox.
type host struct {
	db     *sqlite.DB
	in     *intake.Intake
	out    *outbox.Outbox
	chain  *filter.Chain
	mu     sync.Mutex
	told   map[sdk.LinkID][]sdk.Outcome
	toldCh chan struct{}
	stop   func()
}

type hostOptions struct {
	db     sqlite.Options
	in     intake.Options
	out    outbox.Options
	places route.Places
	now    func() time.Time
}

func startHost(t testing.TB, dir string, rules []route.Rule, o hostOptions) *host {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	o.db.Log = log
	if o.db.Now == nil {
		o.db.Now = o.now
	}
	db, err := sqlite.Open(t.Context(), dir, o.db)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{db: db, chain: filter.New(filter.Options{}), told: map[sdk.LinkID][]sdk.Outcome{}, toldCh: make(chan struct{}, 1<<16)}
	h.out = outbox.New(outbox.Deps{Store: db, Archive: db, Inform: h.inform, Log: log, Now: o.now, Options: o.out})
	h.in = intake.New(intake.Deps{Store: db, Queue: h.out, Filters: h.chain, Inform: h.inform, Log: log, Now: o.now, Places: o.places, Options: o.in})
	h.in.SetTable(route.NewTable(rules))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	run(h.out.Run)
	run(h.in.Run)
	<-h.out.Ready()
	h.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func (h *host) inform(link sdk.LinkID, out []sdk.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told[link] = append(h.told[link], out...)
	h.toldCh <- struct{}{}
}

func (h *host) outcomes(t testing.TB, link sdk.LinkID, n int) []sdk.Outcome {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		h.mu.Lock()
		got := append([]sdk.Outcome(nil), h.told[link]...)
		h.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-h.toldCh:
		case <-timeout:
			t.Fatalf("link %s was told %d outcomes, want %d", link, len(got), n)
		}
	}
}

func (h *host) publish(t testing.TB, link sdk.LinkID, events ...sdk.Event) {
	t.Helper()
	if err := h.in.Publish(t.Context(), link, events); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

func ref(s string) sdk.Ref {
	r, _ := sdk.ParseRef(s)
	return r
}

func actor(name string) sdk.Actor {
	return sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(name)}, Name: name}
}

func create(place, who, id, text string) sdk.Event {
	return sdk.Event{
		Place: sdk.Ref{ID: sdk.RemoteID(place)}, Actor: actor(who), Dedup: id, Time: time.Unix(1e9, 0),
		Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{ID: sdk.RemoteID(id)}, Text: sdk.NewText(text)}},
	}
}

func reply(place, who, id, parent, text string) sdk.Event {
	ev := create(place, who, id, text)
	it := *ev.Item()
	it.ReplyTo.Remote = sdk.RemoteID(parent)
	return ev.WithItem(it)
}

func update(place, who, id, dedup, text string) sdk.Event {
	return sdk.Event{
		Place: sdk.Ref{ID: sdk.RemoteID(place)}, Actor: actor(who), Dedup: dedup,
		Change: sdk.ItemUpdated{Target: sdk.Target{Remote: sdk.RemoteID(id)}, Item: sdk.Item{Text: sdk.NewText(text)}},
	}
}

func retract(place, who, id, dedup string) sdk.Event {
	return sdk.Event{
		Place: sdk.Ref{ID: sdk.RemoteID(place)}, Actor: actor(who), Dedup: dedup,
		Change: sdk.ItemRetracted{Target: sdk.Target{Remote: sdk.RemoteID(id)}},
	}
}

func body(d *sdk.Delivery) string {
	if it := d.Event.Item(); it != nil {
		return it.Body()
	}
	return d.Event.Kind().String()
}

var store0 store.QueueFilter

var oneWay = []route.Rule{{ID: "r1", From: ref("a:room"), To: []sdk.Ref{ref("b:room")}}}

func TestMessageArrivesWithIDsAndIsSettled(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	ev := create("room", "romeo", "m1", "hello")
	ev.Want = true
	h.publish(t, "a", ev)
	got := s.wait(t, 1)[0]
	if got.Place != "room" || body(&got) != "hello" || got.Event.ID == "" || got.Event.Item().ID == "" || got.Event.Actor.ID == "" {
		t.Errorf("delivery = %+v", got)
	}
	if got.Event.Place != ref("a:room") || got.Event.Actor.Home != ref("a:romeo") || got.Attempt != 1 || got.Uncertain {
		t.Errorf("delivery = %+v", got)
	}
	out := h.outcomes(t, "a", 1)[0]
	if out.State != sdk.OutcomeDelivered || out.Dedup != "m1" || out.Origin != "m1" || out.Place != ref("b:room") {
		t.Errorf("outcome = %+v", out)
	}
	if st := h.out.Stats(); st.Depth != 0 || st.Window != 0 {
		t.Errorf("stats = %+v", st)
	}
	trace, err := h.out.Explain(t.Context(), "a:m1")
	if err != nil || len(trace.Copies) != 1 || len(trace.Events) != 1 || trace.Author.Home != ref("a:romeo") || trace.Copies[0].Rule != "r1" {
		t.Errorf("explain = %+v, %v", trace, err)
	}
	if byCopy, err := h.out.Explain(t.Context(), "b:"+string(trace.Copies[0].Remote)); err != nil || byCopy.Item != trace.Item {
		t.Errorf("explain by copy = %+v, %v", byCopy, err)
	}
}

func TestEditAndReplyRightAfterCreateFindTheCopy(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	s := newSink()
	h.publish(t, "a", create("room", "romeo", "m1", "one"), update("room", "romeo", "m1", "u1", "two"),
		reply("room", "juliet", "m2", "m1", "three"), retract("room", "romeo", "m1", "x1"))
	h.out.Attach("b", s, outbox.AttachOptions{}) // everything waits when the link comes
	got := s.wait(t, 4)
	want := sdk.RemoteID("copy-" + string(got[0].ID))
	if up := got[1].Event; up.Target().Remote != want || up.Item().Revision != 1 || up.Target().Item != got[0].Event.Item().ID {
		t.Errorf("update = %+v, want target %s", up, want)
	}
	if r := got[2].Event.Item().ReplyTo; r.Remote != want {
		t.Errorf("reply to %+v, want %s", r, want)
	}
	if x := got[3].Event.Target(); x.Remote != want {
		t.Errorf("retraction of %+v, want %s", x, want)
	}
}

func TestOrderIsKeptWhileTheHeadFails(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: outbox.Options{BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond}})
	s := newSink()
	fails := 3
	s.answer = func(d *sdk.Delivery) sdk.Receipt {
		if body(d) == "n5" && fails > 0 {
			fails--
			return sdk.Receipt{Err: sdk.Errorf(sdk.Transient, "send", "room is away")}
		}
		return sdk.Receipt{}
	}
	h.out.Attach("b", s, outbox.AttachOptions{BatchMax: 4})
	for i := range 40 {
		h.publish(t, "a", create("room", "romeo", fmt.Sprint("m", i), fmt.Sprint("n", i)))
	}
	for i, d := range s.wait(t, 40) {
		if body(&d) != fmt.Sprint("n", i) {
			t.Fatalf("delivery %d is %s", i, body(&d))
		}
		if d.Uncertain != (i == 5) {
			t.Errorf("delivery %d: uncertain = %v", i, d.Uncertain)
		}
	}
}

func TestPermanentErrorBecomesDeadLetterAndCanBeRetried(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	s := newSink()
	bad := true
	s.answer = func(d *sdk.Delivery) sdk.Receipt {
		if body(d) == "bad" && bad {
			return sdk.Receipt{Err: &sdk.Error{Op: "send", Kind: sdk.Forbidden, Public: "you may not speak here"}}
		}
		return sdk.Receipt{Loss: []sdk.Loss{{Kind: sdk.LossMarkup}}}
	}
	h.out.Attach("b", s, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "bad"), create("room", "romeo", "m2", "good"))
	s.wait(t, 1)
	out := h.outcomes(t, "a", 1)[0]
	if out.State != sdk.OutcomeDead || out.Origin != "m1" || out.Reason != "you may not speak here" {
		t.Errorf("outcome = %+v", out)
	}
	if rows, err := h.db.Outcomes(t.Context(), "a", 0, 10); err != nil || len(rows) != 1 || rows[0].Outcome.Reason != out.Reason || rows[0].Outcome.Place != ref("b:room") {
		t.Errorf("stored outcomes = %+v, %v", rows, err)
	}
	dead, err := h.out.Dead(t.Context(), store0)
	if err != nil || len(dead) != 1 || dead[0].Item == "" || dead[0].ErrKind != sdk.Forbidden {
		t.Fatalf("dead letters = %+v, %v", dead, err)
	}
	s.mu.Lock()
	bad = false
	s.mu.Unlock()
	if n, err := h.out.Retry(t.Context(), store0); err != nil || n < 1 {
		t.Fatalf("retry = %d, %v", n, err)
	}
	got := s.wait(t, 2)
	if body(&got[1]) != "bad" || got[1].ID != dead[0].ID {
		t.Errorf("retried = %+v, want id %s", got[1], dead[0].ID)
	}
	h.publish(t, "a", create("room", "romeo", "m3", "after"))
	s.wait(t, 3)
}
