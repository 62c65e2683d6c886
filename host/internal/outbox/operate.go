package outbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// List shows pending deliveries, by lane and in order.
func (o *Outbox) List(ctx context.Context, f store.QueueFilter) ([]store.Queued, error) {
	return o.deps.Archive.Queue(ctx, f)
}

// Why tells why the lane of a place waits; empty when nothing failed there
// since the start.
func (o *Outbox) Why(place sdk.Ref) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.byPlace[place]; l != nil {
		return l.why
	}
	return ""
}

// Dead shows dead letters.
func (o *Outbox) Dead(ctx context.Context, f store.QueueFilter) ([]store.Queued, error) {
	return o.deps.Archive.DeadLetters(ctx, f)
}

// Explain tells everything that is known of an item, named by its id, the id
// of one of its events or deliveries, or link:id.
func (o *Outbox) Explain(ctx context.Context, what string) (*store.Trace, error) {
	return o.deps.Archive.Trace(ctx, what)
}

// Retry puts dead letters back into their lanes, at their old place in the
// order, and lets lanes that wait to be tried again run now. It says how many
// deliveries that concerns. A filter that names no ids means all that it selects;
// its limit does not count.
func (o *Outbox) Retry(ctx context.Context, f store.QueueFilter) (int, error) {
	if len(f.IDs) > 0 {
		return o.retryNamed(ctx, f)
	}
	f.Limit, f.After = 0, ""
	n := o.waitingIn(f)
	for {
		letters, err := o.Dead(ctx, f)
		if err != nil || len(letters) == 0 {
			o.kickAll(f)
			return n, err
		}
		revived, err := o.revive(ctx, letters)
		if n += len(revived); err != nil {
			return n, err
		}
		o.kick(revived, nil)
		f.After = letters[len(letters)-1].ID // what somebody else revived meanwhile must not come again
	}
}

// retryNamed is Retry for deliveries by their ids.
func (o *Outbox) retryNamed(ctx context.Context, f store.QueueFilter) (int, error) {
	letters, err := o.Dead(ctx, f)
	if err != nil {
		return 0, err
	}
	revived, err := o.revive(ctx, letters)
	if err != nil {
		return 0, err
	}
	waiting, err := o.List(ctx, f)
	if err != nil {
		return len(revived), err
	}
	o.kick(revived, waiting)
	concerned := map[sdk.DeliveryID]struct{}{} // what was revived mostly waits now
	for i := range revived {
		concerned[o.deps.Store.Names().Delivery(revived[i].Lane, revived[i].Seq)] = struct{}{}
	}
	for i := range waiting {
		concerned[waiting[i].ID] = struct{}{}
	}
	return len(concerned), nil
}

// revive puts dead letters back into their lanes.
func (o *Outbox) revive(ctx context.Context, letters []store.Queued) ([]store.Pending, error) {
	ids := make([]sdk.DeliveryID, len(letters))
	for i := range letters {
		ids[i] = letters[i].ID
	}
	o.unordered(letters)
	revived, err := o.deps.Archive.Revive(ctx, ids)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range revived {
		l := o.lane(revived[i].Lane, revived[i].Place)
		if l.blank { // it may have been sent before it was given up
			l.unsureUpto = max(l.unsureUpto, revived[i].Seq)
		}
		l.depth++
		l.revived, l.reload = true, true
		l.amnesty, l.pardoned = o.deps.Now(), max(l.pardoned, revived[i].Seq)
		delete(l.crashes, revived[i].Seq)
		l.last = max(l.last, revived[i].Seq)
	}
	return revived, nil
}

// selects reports whether a filter without ids means the lane.
func selects(f store.QueueFilter, l *lane) bool {
	return (f.Link == "" || f.Link == l.place.Link) && (f.Place == "" || f.Place == l.place.ID) && l.depth > 0
}

// waitingIn counts what waits in the lanes that a filter means.
func (o *Outbox) waitingIn(f store.QueueFilter) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := int64(0)
	for _, l := range o.byPlace {
		if selects(f, l) {
			n += l.depth
		}
	}
	return int(n)
}

// kickAll lets the lanes that a filter means run now.
func (o *Outbox) kickAll(f store.QueueFilter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.byPlace {
		if selects(f, l) {
			o.kickLane(l)
		}
	}
	o.signal()
}

func (o *Outbox) kickLane(l *lane) {
	delete(l.link.hosts, l.host)
	o.unpark(l)
	o.enqueue(l)
}

// unordered makes lanes settle delivery by delivery from now on, before old
// deliveries come back to them.
func (o *Outbox) unordered(letters []store.Queued) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range letters {
		lane, _, ok := o.deps.Store.Names().ParseDelivery(letters[i].ID)
		if ok {
			o.lane(lane, letters[i].Place).revived = true
		}
	}
}

// kick lets lanes run now.
func (o *Outbox) kick(revived []store.Pending, waiting []store.Queued) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kick := func(place sdk.Ref) {
		if l := o.byPlace[place]; l != nil {
			o.kickLane(l)
		}
	}
	for i := range revived {
		kick(revived[i].Place)
	}
	for i := range waiting {
		kick(waiting[i].Place)
	}
	o.signal()
}

// Drop deletes dead letters and pending deliveries by id, and says how many. It
// fails with sdk.Conflict for a delivery whose lane is in flight.
func (o *Outbox) Drop(ctx context.Context, ids []sdk.DeliveryID) (int, error) {
	n, err := o.deps.Archive.Discard(ctx, ids)
	if err != nil || n == len(ids) {
		return n, err
	}
	waiting, err := o.List(ctx, store.QueueFilter{IDs: ids})
	if err != nil {
		return n, err
	}
	byLane := map[int64][]int64{}
	for i := range waiting {
		lane, seq, _ := o.deps.Store.Names().ParseDelivery(waiting[i].ID)
		byLane[lane] = append(byLane[lane], seq)
	}
	for lane, seqs := range byLane {
		if err := o.dropFrom(ctx, lane, seqs); err != nil {
			return n, err
		}
		n += len(seqs)
	}
	return n, nil
}

func (o *Outbox) dropFrom(ctx context.Context, id int64, seqs []int64) error {
	o.mu.Lock()
	l := o.lanes[id]
	if l == nil || l.state == laneRunning || l.state == laneQueued {
		o.mu.Unlock()
		return &sdk.Error{Op: "drop delivery", Kind: sdk.Conflict, Public: "the lane is delivering now; try again"}
	}
	parked := l.state == laneParked
	if parked {
		o.unparkQuietly(l)
	}
	l.state = laneRunning // nobody else takes it meanwhile
	l.link.running++
	o.forget(l)
	l.inFlight += len(seqs)
	o.mu.Unlock()
	s := &settlement{lane: l, count: len(seqs)}
	s.Lane, s.Done = id, seqs
	w := o.settle(s)
	ok := o.settled(ctx, &w)
	o.mu.Lock()
	l.cursor = 0
	o.mu.Unlock()
	wait := time.Duration(0)
	if parked {
		wait = o.opts.BackoffMin
	}
	o.finish(l, wait)
	if !ok {
		return sdk.AsError("drop delivery", ctx.Err())
	}
	return nil
}

// Stats shows the state of all lanes.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{Window: o.window, Kept: len(o.byPlace)}
	now := o.deps.Now()
	for _, k := range o.links {
		ls := LinkStats{Link: k.id, Attached: k.to != nil, Delivered: k.delivered, Failed: k.failed, Dead: k.dead}
		var oldest time.Time
		for l := range k.lanes {
			if l.depth <= 0 {
				continue
			}
			ls.Depth += l.depth
			ls.Lanes++
			switch l.state {
			case laneRunning:
				ls.InFlight++
			case laneParked:
				ls.Backoff++
			}
			if oldest.IsZero() || l.oldest.Before(oldest) {
				oldest = l.oldest
			}
		}
		if !oldest.IsZero() {
			ls.Oldest = now.Sub(oldest)
		}
		s.Depth += ls.Depth
		s.Links = append(s.Links, ls)
	}
	slices.SortFunc(s.Links, func(a, b LinkStats) int { return cmp.Compare(a.Link, b.Link) })
	return s
}
