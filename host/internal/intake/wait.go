package intake

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// again is how long an event waits whose release met an error.
const again = 5 * time.Second

// waits mirrors the list of waiting events. The list itself is on disk.
type waits struct {
	mu    sync.Mutex
	by    map[int64]*store.Waiting
	byKey map[store.Key][]int64
	ready []int64       // their item has come
	wake  chan struct{} // capacity 1: something changed
}

func newWaits() *waits {
	return &waits{by: map[int64]*store.Waiting{}, byKey: map[store.Key][]int64{}, wake: make(chan struct{}, 1)}
}

func (w *waits) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.by)
}

func (w *waits) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *waits) add(e store.Waiting) {
	w.by[e.Event] = &e
	if e.Key.Link != "" {
		w.byKey[e.Key] = append(w.byKey[e.Key], e.Event)
	}
}

// remove forgets an event and gives what was known of it.
func (w *waits) remove(seq int64) *store.Waiting {
	e := w.by[seq]
	if e == nil {
		return nil
	}
	delete(w.by, seq)
	rest := slices.DeleteFunc(w.byKey[e.Key], func(s int64) bool { return s == seq })
	if len(rest) == 0 {
		delete(w.byKey, e.Key)
	} else {
		w.byKey[e.Key] = rest
	}
	return e
}

// committed learns what a commit brought: events that wait, and items that
// others waited for. It runs in the writer, between commits.
func (w *waits) committed(entries []*store.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := false
	for _, e := range entries {
		if e.Duplicate {
			continue
		}
		if e.Wait != nil {
			w.add(store.Waiting{Event: e.Seq, Until: e.Wait.Until, Key: e.Wait.Key})
			changed = true
		}
		if len(w.byKey) > 0 && (e.Item.Op == store.ItemCreate || e.Item.Op == store.ItemSetState) && e.Item.State != store.ItemHeld {
			changed = w.release(store.Key{Link: e.Event.Place.Link, Remote: store.OriginOf(e.Event)}) || changed
		}
	}
	if changed {
		w.signal()
	}
}

func (w *waits) release(k store.Key) bool {
	seqs := w.byKey[k]
	w.ready = append(w.ready, seqs...)
	return len(seqs) > 0
}

// arrived hears of new copies: something may wait for the name of one.
func (w *waits) arrived(keys []store.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byKey) == 0 {
		return
	}
	changed := false
	for _, k := range keys {
		changed = w.release(k) || changed
	}
	if changed {
		w.signal()
	}
}

// due takes what may go on now, oldest first, and tells when the next will be.
func (w *waits) due(now time.Time) (list []store.Waiting, next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seq := range w.ready {
		if e := w.remove(seq); e != nil {
			list = append(list, *e)
		}
	}
	w.ready = w.ready[:0]
	for seq, e := range w.by {
		switch {
		case !e.Until.After(now):
			list = append(list, *e)
			w.remove(seq)
		case next.IsZero() || e.Until.Before(next):
			next = e.Until
		}
	}
	slices.SortFunc(list, func(a, b store.Waiting) int { return cmp.Compare(a.Event, b.Event) })
	return list, next
}

// wait gives a place on the list, nil when it is full.
func (in *Intake) wait(k store.Key, until time.Time) *store.Wait {
	if in.waits.len() >= in.opts.MaxWaiting {
		return nil
	}
	return &store.Wait{Key: k, Until: until}
}

// Run lets waiting and held events go on when their time or their item has
// come. It blocks until ctx ends.
func (in *Intake) Run(ctx context.Context) error {
	list, err := in.deps.Store.Waiting(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	in.waits.mu.Lock()
	for _, e := range list {
		if in.waits.by[e.Event] == nil {
			in.waits.add(e)
		}
	}
	in.waits.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-in.waits.wake:
		case <-timer.C:
		}
		now := in.deps.Now()
		due, next := in.waits.due(now)
		for _, e := range due {
			in.goOn(ctx, e, now)
		}
		timer.Stop()
		if !next.IsZero() {
			// At most a minute: the wall clock may be set in between.
			timer.Reset(min(max(next.Sub(now), 0), time.Minute))
		}
	}
}

// goOn publishes a waiting event again. When that fails for now, it waits on.
func (in *Intake) goOn(ctx context.Context, e store.Waiting, now time.Time) {
	err := in.resume(ctx, e, now)
	if err == nil {
		return
	}
	if kind := sdk.KindOf(err); !kind.Temporary() && kind != sdk.Internal {
		if err = in.giveUp(ctx, e, err); err == nil {
			return
		}
	}
	if ctx.Err() == nil {
		in.deps.Log.Warn("waiting event cannot go on yet", "event", string(in.deps.Store.Names().Event(e.Event)), "error", err)
	}
	e.Until = now.Add(again)
	in.waits.mu.Lock()
	in.waits.add(e)
	in.waits.mu.Unlock()
	in.waits.signal()
}

func (in *Intake) resume(ctx context.Context, e store.Waiting, now time.Time) error {
	j, err := in.stored(ctx, e)
	if err != nil {
		return err
	}
	j.patient = e.Until.After(now) && e.Key.Link != ""
	rules := rulesOf(j.audit)
	var ways []route.Way
	for _, w := range in.table.Load().Ways(j.ev.Place) {
		if slices.Contains(rules, w.Rule) {
			ways = append(ways, w)
		}
	}
	if len(ways) == 0 {
		return sdk.Errorf(sdk.NotFound, "resume event", "its routes are gone")
	}
	j.variants = variants(ways)
	return in.process(ctx, j.ev.Place.Link, []*job{j})
}

// stored reads a waiting event back.
func (in *Intake) stored(ctx context.Context, e store.Waiting) (*job, error) {
	row, err := in.deps.Store.Event(ctx, e.Event)
	if err != nil {
		return nil, err
	}
	if row.Damaged {
		return nil, sdk.Errorf(sdk.Invalid, "resume event", "its row is damaged on disk")
	}
	ev, err := codec.DecodeEvent(row.Body)
	if err != nil {
		return nil, sdk.Errorf(sdk.Invalid, "resume event", "%w", err)
	}
	return &job{ev: ev, resume: e.Event, item: row.ItemID, audit: row.Audit}, nil
}

// giveUp ends a waiting event that can never go on.
func (in *Intake) giveUp(ctx context.Context, e store.Waiting, cause error) error {
	row, err := in.deps.Store.Event(ctx, e.Event)
	if err != nil {
		return err
	}
	ev, err := codec.DecodeEvent(row.Body)
	if row.Damaged || err != nil {
		ev = sdk.Event{Place: sdk.Ref{Link: row.Link, ID: row.Place}, Dedup: row.Dedup, Change: sdk.Signal{}}
	}
	j := &job{ev: ev, resume: e.Event, item: row.ItemID}
	req := &ending{request: request{in: in, link: row.Link, jobs: []*job{j}, now: in.deps.Now()}, reason: cause.Error()}
	if err := in.deps.Store.Append(ctx, req); err != nil {
		return errors.Join(cause, err)
	}
	in.report(row.Link, req.jobs)
	return nil
}

// ending is a request that only drops.
type ending struct {
	request
	reason string
}

// Decide implements store.Appender.
func (r *ending) Decide(map[store.Key]store.Known) ([]*store.Entry, error) {
	r.entries, r.fresh = nil, map[store.Key]*store.Entry{}
	j := r.jobs[0]
	j.emitted = nil
	change := store.ItemChange{}
	if j.item != 0 && j.ev.Kind() == sdk.KindItemCreated {
		change = store.ItemChange{Op: store.ItemSetState, ID: j.item, State: store.ItemDropped}
	}
	r.drop(j, change, nil, r.reason)
	r.entries = j.emitted
	return r.entries, nil
}
