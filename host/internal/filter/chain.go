package filter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Options are the limits of a chain; the zero value of each is its default.
type Options struct {
	Now func() time.Time
	// Trip is the number of calls that fail one after another and open a
	// filter's circuit; default 5.
	Trip int
	// Cool is how long an open circuit stays open before one call tries again;
	// default 10 s.
	Cool time.Duration
}

// batchFactor bounds a call: a batch has at most this many budgets, however
// many events it has.
const batchFactor = 10

// Chain runs filters. It is safe for use by many goroutines.
type Chain struct {
	opts Options
	mu   sync.RWMutex
	by   map[sdk.LinkID]*attached
}

// attached is one filter link that is there.
type attached struct {
	link   sdk.LinkID
	filter sdk.Filter
	raw    RawFilter
	opts   AttachOptions

	mu    sync.Mutex
	fails int
	open  time.Time // the circuit is open until then; zero = closed
	probe bool      // one call tries whether it works again
}

// New makes an empty chain.
func New(opts Options) *Chain {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Trip = cmp.Or(opts.Trip, 5)
	opts.Cool = cmp.Or(opts.Cool, 10*time.Second)
	return &Chain{opts: opts, by: map[sdk.LinkID]*attached{}}
}

// Attach makes a filter link available, in place of what was attached under the
// name. A filter that also implements RawFilter gets encoded events.
func (c *Chain) Attach(link sdk.LinkID, f sdk.Filter, opts AttachOptions) {
	opts.Budget = cmp.Or(opts.Budget, time.Second)
	a := &attached{link: link, filter: f, opts: opts}
	a.raw, _ = f.(RawFilter)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[link] = a
}

// Detach takes a filter link away. Calls in flight end on their own.
func (c *Chain) Detach(link sdk.LinkID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.by, link)
}

// MayEmit reports whether a filter link may emit events to a place.
func (c *Chain) MayEmit(link sdk.LinkID, place sdk.Ref) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a := c.by[link]
	return a != nil && a.opts.Emit != nil && a.opts.Emit(place)
}

// enter says whether a call may be made now.
func (a *attached) enter(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.open.IsZero():
		return true
	case now.Before(a.open) || a.probe:
		return false
	default:
		a.probe = true
		return true
	}
}

// leave records how a call ended.
func (a *attached) leave(ok bool, now time.Time, opts Options) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.probe = false
	if ok {
		a.fails, a.open = 0, time.Time{}
		return
	}
	if a.fails++; a.fails >= opts.Trip {
		a.open = now.Add(opts.Cool)
	}
}

// errAbsent says that a filter cannot be asked at all.
var errAbsent = errors.New("filter is not available")

// Run implements Runner. An event that one filter drops or holds is not shown
// to the next.
func (c *Chain) Run(ctx context.Context, uses []route.FilterUse, events []sdk.Event, raw [][]byte) ([]Result, error) {
	results := make([]Result, len(events))
	for i := range events {
		results[i].Event = events[i]
		if raw != nil {
			results[i].Raw = raw[i]
		}
	}
	for _, use := range uses {
		if err := c.step(ctx, use, results); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// step asks one filter about the events that are still in the race.
func (c *Chain) step(ctx context.Context, use route.FilterUse, results []Result) error {
	var live []int
	for i := range results {
		if results[i].Verb == sdk.Pass {
			live = append(live, i)
		}
	}
	if len(live) == 0 {
		return nil
	}
	c.mu.RLock()
	a := c.by[use.Link]
	c.mu.RUnlock()
	if a == nil || !a.enter(c.opts.Now()) {
		return absent(use, results, live, errAbsent)
	}
	verdicts, err := a.call(ctx, results, live)
	if err != nil && ctx.Err() != nil {
		a.leave(true, c.opts.Now(), c.opts) // the publisher gave up: not the filter's fault
		return sdk.AsError("filter "+string(use.Link), ctx.Err())
	}
	a.leave(err == nil, c.opts.Now(), c.opts)
	if err == nil {
		for j, i := range live {
			results[i].apply(use, &verdicts[j])
		}
		return nil
	}
	if unavailable(err) {
		return absent(use, results, live, err)
	}
	if len(live) > 1 {
		return c.alone(ctx, use, a, results, live)
	}
	results[live[0]].failed(use, err)
	return nil
}

// alone asks about each event of a failed batch by itself, so that one event
// that the filter cannot bear does not decide about its neighbours.
func (c *Chain) alone(ctx context.Context, use route.FilterUse, a *attached, results []Result, live []int) error {
	for _, i := range live {
		verdicts, err := a.call(ctx, results, []int{i})
		switch {
		case err == nil:
			a.leave(true, c.opts.Now(), c.opts)
			results[i].apply(use, &verdicts[0])
		case ctx.Err() != nil:
			return sdk.AsError("filter "+string(use.Link), ctx.Err())
		case unavailable(err):
			if err := absent(use, results, []int{i}, err); err != nil {
				return err
			}
		default:
			results[i].failed(use, err)
		}
	}
	return nil
}

// unavailable reports whether an error speaks of the filter's link and not of
// the event: the process is gone, or takes no more now.
func unavailable(err error) bool {
	switch sdk.KindOf(err) {
	case sdk.Overloaded, sdk.RateLimited:
		return true
	case sdk.Transient:
		return !errors.Is(err, context.DeadlineExceeded)
	default:
		return false
	}
}

// absent applies the policy for a filter that cannot be asked.
func absent(use route.FilterUse, results []Result, live []int, err error) error {
	if !use.FailOpen {
		return &sdk.Error{Op: "filter " + string(use.Link), Kind: sdk.Overloaded, Public: "a filter is not available", After: time.Second, Err: err}
	}
	for _, i := range live {
		results[i].Steps = append(results[i].Steps, Step{Link: use.Link, Verb: sdk.Pass, Reason: "filter is not available", Failed: true})
	}
	return nil
}

// call asks the filter within its budget. A panic of a filter in this process
// is an error like any other.
func (a *attached) call(ctx context.Context, results []Result, live []int) (verdicts []RawVerdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.opts.Budget*time.Duration(min(len(live), batchFactor)))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			verdicts, err = nil, sdk.Errorf(sdk.Internal, "filter "+string(a.link), "panic: %v", p)
		}
	}()
	events := make([]sdk.Event, len(live))
	for j, i := range live {
		events[j] = results[i].Event
	}
	if a.raw == nil {
		plain, err := a.filter.Filter(ctx, events)
		if err != nil {
			return nil, err
		}
		verdicts = make([]RawVerdict, len(plain))
		for j := range plain {
			verdicts[j].Verdict = plain[j]
		}
	} else {
		raw := make([][]byte, len(live))
		for j, i := range live {
			if results[i].Raw == nil {
				results[i].Raw = codec.AppendEvent(nil, &results[i].Event)
			}
			raw[j] = results[i].Raw
		}
		if verdicts, err = a.raw.FilterRaw(ctx, raw, events); err != nil {
			return nil, err
		}
	}
	if len(verdicts) != len(live) {
		return nil, sdk.Errorf(sdk.Internal, "filter "+string(a.link), "%d verdicts for %d events", len(verdicts), len(live))
	}
	return verdicts, decodeAll(verdicts)
}

// decodeAll reads the events of raw replacements; what cannot be read is the
// filter's failure.
func decodeAll(verdicts []RawVerdict) error {
	for i := range verdicts {
		v := &verdicts[i]
		if v.Verb != sdk.Replace || v.Event != nil {
			continue
		}
		ev, err := codec.DecodeEvent(v.Raw)
		if err != nil {
			return sdk.Errorf(sdk.Internal, "decode replacement", "%w", err)
		}
		v.Event = &ev
	}
	return nil
}

// failed applies the policy for a filter that failed on this very event.
func (r *Result) failed(use route.FilterUse, err error) {
	reason := fmt.Sprintf("filter %s failed: %v", use.Link, err)
	s := Step{Link: use.Link, Verb: sdk.Pass, Reason: reason, Failed: true}
	if !use.FailOpen {
		s.Verb = sdk.Drop
		r.Verb, r.Reason = sdk.Drop, "a filter failed on it"
	}
	r.Steps = append(r.Steps, s)
}

// apply takes a verdict over. What identifies the event stays the host's: a
// filter changes what is said, never who says it, where, or about which item.
func (r *Result) apply(use route.FilterUse, v *RawVerdict) {
	r.Steps = append(r.Steps, Step{Link: use.Link, Verb: v.Verb, Reason: v.Reason})
	for _, e := range v.Emit {
		r.Emit = append(r.Emit, Emitted{By: use.Link, Event: e})
	}
	switch v.Verb {
	case sdk.Pass:
	case sdk.Drop:
		r.Verb, r.Reason = sdk.Drop, v.Reason
	case sdk.Hold:
		r.Verb, r.Reason, r.Until = sdk.Hold, v.Reason, v.Until
	case sdk.Replace:
		if v.Event == nil || v.Event.Kind() != r.Event.Kind() {
			r.failed(use, errors.New("the replacement is missing or of another kind"))
			return
		}
		r.Event, r.Raw, r.Changed = keep(&r.Event, v.Event), nil, true
	default:
		r.failed(use, fmt.Errorf("unknown verb %d", v.Verb))
	}
}

// keep gives the replacement with the identity of the event that it replaces.
func keep(old, repl *sdk.Event) sdk.Event {
	ev := *repl
	ev.ID, ev.Seq, ev.Time, ev.Place, ev.Actor = old.ID, old.Seq, old.Time, old.Place, old.Actor
	ev.Dedup, ev.Via, ev.Want, ev.Notice = old.Dedup, slices.Clone(old.Via), old.Want, old.Notice
	ev = ev.WithTarget(old.Target())
	was, is := old.Item(), ev.Item()
	if was == nil || is == nil {
		return ev
	}
	is.ID, is.Conversation, is.Author, is.Revision, is.Origin = was.ID, was.Conversation, was.Author, was.Revision, was.Origin
	is.Visibility = max(is.Visibility, was.Visibility) // visibility only narrows
	return ev.WithItem(*is)
}
