package intake

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"bridgehost/host/internal/identity"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Intake takes events. Publish may be called by many goroutines; Run must be
// running for events that wait.
type Intake struct {
	deps    Deps
	opts    Options
	table   atomic.Pointer[route.Table]
	breaker *breaker
	waits   *waits
	count   counters
}

// New makes an intake with an empty table of routes.
func New(d Deps) *Intake {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Inform == nil {
		d.Inform = func(sdk.LinkID, []sdk.Outcome) {}
	}
	if d.Hears == nil {
		d.Hears = func(sdk.LinkID) bool { return true }
	}
	if d.Observe == nil {
		d.Observe = func(sdk.LinkID, sdk.ChangeKind, string) {}
	}
	if d.Policy == nil {
		d.Policy = func(string, string) {}
	}
	o := d.Options
	o.MaxHops = cmp.Or(o.MaxHops, 1)
	o.WaitReply = cmp.Or(o.WaitReply, 5*time.Second)
	o.WaitTarget = cmp.Or(o.WaitTarget, 30*time.Second)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 10_000)
	o.MaxBatch = cmp.Or(o.MaxBatch, 1024)
	o.MaxBody = cmp.Or(o.MaxBody, 256<<10)
	o.MaxEvent = cmp.Or(o.MaxEvent, 1<<20)
	in := &Intake{deps: d, opts: o, breaker: newBreaker(o.Breaker), waits: newWaits()}
	in.table.Store(route.NewTable(nil))
	d.Queue.OnCopies(in.waits.arrived)
	return in
}

// SetTable replaces the routes; events that are being published keep the old.
func (in *Intake) SetTable(t *route.Table) { in.table.Store(t) }

// Table gives the routes in use.
func (in *Intake) Table() *route.Table { return in.table.Load() }

// job is one event on its way through intake.
type job struct {
	ev       sdk.Event
	raw      []byte
	variants []variant
	resume   int64 // the waiting event that it continues
	item     int64 // the item of the waiting event
	patient  bool  // it may still wait for its target
	audit    string
	reason   string
	decided  verdict
	emitted  []*store.Entry
}

// verdict is what became of a job, for the counters and the sender.
type verdict uint8

const (
	verdictNone verdict = iota
	verdictStored
	verdictDuplicate
	verdictEcho
	verdictDropped
	verdictHeld
	verdictWaiting
	verdictUnrouted
)

var verdictNames = [...]string{"none", "stored", "duplicate", "echo", "dropped", "held", "waiting", "unrouted"}

// String gives the name used in metrics.
func (v verdict) String() string { return verdictNames[v] }

// Publish takes events of one link, all or none. It returns nil when they are
// on disk, or need not be: repeated, echoes, without a route. Errors are of kind
// Forbidden, Invalid or TooLarge for events that will never be taken, and
// Overloaded or RateLimited for a host that cannot take them now.
func (in *Intake) Publish(ctx context.Context, link sdk.LinkID, events []sdk.Event) error {
	if len(events) > in.opts.MaxBatch {
		return sdk.Errorf(sdk.TooLarge, "publish", "%d events at once, at most %d are taken", len(events), in.opts.MaxBatch)
	}
	jobs := make([]*job, 0, len(events))
	table := in.table.Load()
	for i := range events {
		j, err := in.admit(link, &events[i], table)
		if err != nil {
			in.count.forbidden.Add(1)
			in.deps.Observe(link, events[i].Kind(), "refused")
			return err
		}
		if j != nil {
			jobs = append(jobs, j)
		}
	}
	in.count.published.Add(uint64(len(events)))
	return in.process(ctx, link, jobs)
}

// admit checks one event and finds its ways; nil for a signal, which is over.
func (in *Intake) admit(link sdk.LinkID, given *sdk.Event, table *route.Table) (*job, error) {
	j := &job{ev: *given, patient: true}
	ev := &j.ev
	it := ev.Item()
	if err := in.check(link, ev, it); err != nil {
		return nil, err
	}
	passed := len(ev.Via)
	ev.Via = append(slices.Clone(ev.Via), link)
	ways := table.Ways(ev.Place)
	if err := checkPeer(ev, ways); err != nil {
		return nil, err
	}
	switch {
	case ev.Kind() == sdk.KindSignal:
		in.count.signals.Add(1)
		if passed < in.opts.MaxHops && !ev.Notice && !in.deps.Store.IsPuppet(ev.Actor.Home) {
			in.deps.Queue.Signal(ev, route.Route(ev, ways, in.deps.Places))
		}
		return nil, nil
	case ev.Notice:
		j.decided = verdictEcho
	case !slices.ContainsFunc(ways, func(w route.Way) bool { return w.Takes(ev.Kind()) }):
		j.decided = verdictUnrouted
	case in.deps.Store.IsPuppet(ev.Actor.Home):
		j.decided = verdictEcho
	case passed >= in.opts.MaxHops:
		in.count.hops.Add(1)
		j.variants = []variant{{ways: ways, stop: "it has passed too many bridges"}}
	case identity.Refuses(&ev.Actor):
		j.variants = []variant{{ways: ways, stop: "the author does not want to be bridged"}}
	default:
		j.variants = variants(ways)
	}
	if it != nil {
		it.Conversation = table.Conversation(ev.Place)
		setItem(ev, it)
	}
	return j, nil
}

// process takes admitted events through filters and routes to the disk.
func (in *Intake) process(ctx context.Context, link sdk.LinkID, jobs []*job) error {
	live := jobs[:0:0]
	for _, j := range jobs {
		if j.decided != verdictNone {
			continue
		}
		if j.raw = codec.AppendEvent(nil, &j.ev); len(j.raw) > in.opts.MaxEvent {
			return sdk.Errorf(sdk.TooLarge, "publish "+j.ev.Kind().String(), "the event has %d bytes, at most %d are taken", len(j.raw), in.opts.MaxEvent)
		}
		live = append(live, j)
	}
	if len(live) > 0 {
		if err := in.filterAll(ctx, live); err != nil {
			in.count.refused.Add(1)
			return err
		}
		if err := in.breakAll(live); err != nil {
			in.count.refused.Add(1)
			return err
		}
		req := &request{in: in, link: link, jobs: live, now: in.deps.Now()}
		if err := in.deps.Store.Append(ctx, req); err != nil {
			if sdk.KindOf(err) == sdk.Forbidden {
				in.count.forbidden.Add(1)
			} else {
				in.count.refused.Add(1)
			}
			return err
		}
	}
	in.report(link, jobs)
	return nil
}

// report counts what became of the events and tells the sender what it should know.
func (in *Intake) report(link sdk.LinkID, jobs []*job) {
	var out []sdk.Outcome
	for _, j := range jobs {
		in.count.add(j.decided)
		in.deps.Observe(link, j.ev.Kind(), j.decided.String())
		in.policies(j)
		switch j.decided {
		case verdictDropped:
			out = append(out, outcome(&j.ev, sdk.OutcomeDropped, j.reason))
		case verdictUnrouted:
			out = append(out, outcome(&j.ev, sdk.OutcomeUnrouted, cmp.Or(j.reason, "no route leads anywhere from here")))
		}
	}
	if len(out) > 0 {
		in.deps.Inform(link, out)
	}
}

// policies tells what filters and loop safety did with an event.
func (in *Intake) policies(j *job) {
	for i := range j.variants {
		v := &j.variants[i]
		for _, s := range v.res.Steps {
			if s.Verb != sdk.Pass {
				in.deps.Policy(string(s.Link), verbs[min(s.Verb, sdk.Hold)])
			}
		}
		if v.stop != "" || len(v.res.Steps) == 0 && v.res.Verb == sdk.Drop {
			in.deps.Policy(string(v.ways[0].Rule), "drop")
		}
	}
}

func outcome(ev *sdk.Event, state sdk.OutcomeState, reason string) sdk.Outcome {
	return sdk.Outcome{Dedup: ev.Dedup, Origin: store.OriginOf(ev), State: state, Reason: reason}
}

// Stats says what intake did since the start.
func (in *Intake) Stats() Stats {
	s := in.count.stats()
	s.Waiting = in.waits.len()
	return s
}
