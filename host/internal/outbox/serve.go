package outbox

import (
	"context"
	"errors"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// turn is how many batches a lane may deliver while others wait for its slot.
const turn = 8

// batch is what a worker has in hand.
type batch struct {
	to     sdk.Deliverer
	call   call
	items  []pending
	result []result // one for each item
	unsure int      // the first so many may have been sent before
	cut    bool     // cancelled from outside, while it was in flight
}

// call is one call of Deliver, as a context that can be cut off.
type call struct {
	context.Context
	cancel context.CancelFunc
}

// serve delivers what a lane has, batch by batch, until it is empty, fails, or
// its link goes away. The receipts of one batch are written while the next is
// on its way.
func (o *Outbox) serve(ctx context.Context, l *lane) {
	var writing *settling
	var wait time.Duration
	for round := 0; wait == 0; round++ {
		b := o.take(ctx, l, &writing, round)
		if b == nil {
			break
		}
		o.prepare(ctx, l, b, &writing)
		receipts, err := o.deliver(l, b)
		s, delay := o.judge(l, b, receipts, err)
		if !o.settled(ctx, &writing) {
			break
		}
		writing, wait = o.settle(s), delay
	}
	o.settled(ctx, &writing)
	o.finish(l, wait)
}

// finish gives the slot back.
func (o *Outbox) finish(l *lane, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.link.running--
	if h := l.link.hosts[l.host]; h != nil && h.probing == l {
		h.probing = nil
	}
	l.state = laneIdle
	switch {
	case l.depth > 0 && l.link.to != nil && wait > 0:
		if o.window > o.opts.Window/2 {
			o.forget(l)
		}
		o.park(l, wait)
	case l.depth > 0 && l.link.to != nil:
		o.enqueue(l)
	case l.depth > 0:
		o.forget(l)
	default:
		l.revived, l.crashes, l.unsureCount = false, nil, 0
		o.rested(l)
	}
	o.signal()
}

// take picks the next batch and registers it as in flight; nil when there is
// nothing to do.
func (o *Outbox) take(ctx context.Context, l *lane, writing **settling, round int) *batch {
	for {
		o.mu.Lock()
		k := l.link
		if ctx.Err() != nil || o.closing || k.to == nil || round >= turn && !k.queue.empty() {
			o.mu.Unlock()
			return nil
		}
		if l.reload {
			o.mu.Unlock()
			if !o.settled(ctx, writing) {
				return nil
			}
			o.mu.Lock()
			o.forget(l)
			l.reload, l.cursor = false, 0
		}
		if len(l.window) > 0 {
			b := o.cut(ctx, l)
			o.mu.Unlock()
			return b
		}
		more := l.depth > int64(l.inFlight)
		after, limit := l.cursor, k.opts.BatchMax
		o.mu.Unlock()
		if !more || !o.refill(ctx, l, after, limit) {
			return nil
		}
	}
}

// refill reads the next deliveries of a lane from the disk; false when that
// brought nothing.
func (o *Outbox) refill(ctx context.Context, l *lane, after int64, limit int) bool {
	rows, err := o.deps.Store.Pending(ctx, l.id, after, limit, o.opts.BatchBytes)
	if err != nil && ctx.Err() == nil {
		o.deps.Log.Warn("lane cannot be read", "link", string(l.place.Link), "error", err)
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(rows) == 0 && err == nil {
		l.depth = int64(l.inFlight) // what was counted is no longer there
		return false
	}
	for i := range rows {
		p := fromRow(&rows[i])
		if p.seq <= l.cursor {
			continue
		}
		l.cursor = p.seq
		o.window += p.size
		l.window = append(l.window, p)
	}
	return len(l.window) > 0
}

// fromRow decodes a delivery that was read back. One that is damaged is known
// by its numbers only.
func fromRow(row *store.Pending) pending {
	p := pending{
		seq: row.Seq, created: row.Created, rule: row.Rule, actor: row.Event.ActorID, item: row.Event.ItemID,
		size: memory(len(row.Event.Body)),
	}
	ev := sdk.Event{Place: sdk.Ref{Link: row.Event.Link, ID: row.Event.Place}, Dedup: row.Event.Dedup, Change: sdk.Signal{}}
	var err error
	if row.Event.Damaged {
		p.broken = "the event is damaged on disk"
	} else if ev, err = codec.DecodeEvent(row.Event.Body); err != nil {
		p.broken = "the event cannot be read: " + err.Error()
	}
	p.ev = &ev
	return p
}

// cut takes the next batch off the window. It ends before a delivery that is
// about an item which the same batch creates: only the receipt says what that
// item is called.
func (o *Outbox) cut(ctx context.Context, l *lane) *batch {
	k := l.link
	limit := min(k.opts.BatchMax, len(l.window))
	if len(l.crashes) > 0 {
		limit = 1
	}
	n, size := 0, int64(0)
	var made map[store.Key]bool
	for ; n < limit; n++ {
		p := &l.window[n]
		if n > 0 && (size+p.size > int64(o.opts.BatchBytes)*2 || refersTo(p.ev, made)) {
			break
		}
		size += p.size
		if origin := store.OriginOf(p.ev); origin != "" && p.ev.Item() != nil {
			if made == nil {
				made = make(map[store.Key]bool, limit)
			}
			made[store.Key{Link: p.ev.Place.Link, Remote: origin}] = true
		}
	}
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.opts.Timeout)
	b := &batch{to: k.to, call: call{callCtx, cancel}, items: append([]pending(nil), l.window[:n]...), result: make([]result, n)}
	k.cancels[l] = cancel
	clear(l.window[:n])
	if l.window = l.window[n:]; len(l.window) == 0 {
		l.window = nil
	}
	o.window -= size
	l.inFlight += n
	l.suspects = l.suspects[:0]
	for i := range b.items {
		if seq := b.items[i].seq; l.unsureCount > i && seq <= l.found || seq <= l.unsureUpto {
			b.unsure = i + 1
		}
		l.suspects = append(l.suspects, b.items[i].seq)
	}
	l.unsureCount = max(0, l.unsureCount-n)
	return b
}

// refersTo reports whether an event names one of the items.
func refersTo(ev *sdk.Event, items map[store.Key]bool) bool {
	if len(items) == 0 {
		return false
	}
	for _, r := range references(ev) {
		if r != "" && items[store.Key{Link: ev.Place.Link, Remote: r}] {
			return true
		}
	}
	return false
}

// references lists the names that an event gives of other items.
func references(ev *sdk.Event) [4]sdk.RemoteID {
	r := [4]sdk.RemoteID{ev.Target().Remote}
	switch c := ev.Change.(type) {
	case sdk.ItemCreated:
		r[1], r[2], r[3] = c.Item.ReplyTo.Remote, c.Item.Thread.Remote, c.Item.Quote.Remote
	case sdk.ItemUpdated:
		r[1], r[2], r[3] = c.Item.ReplyTo.Remote, c.Item.Thread.Remote, c.Item.Quote.Remote
	}
	return r
}

// deliver hands the batch to the link. A panic of a link in this process counts
// as a crash of its own.
func (o *Outbox) deliver(l *lane, b *batch) (receipts []sdk.Receipt, err error) {
	defer func() {
		b.cut = errors.Is(b.call.Err(), context.Canceled)
		b.call.cancel()
		p := recover()
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(l.link.cancels, l)
		if p != nil {
			receipts, err = nil, sdk.Errorf(sdk.Internal, "deliver", "panic: %v", p)
			l.link.crashed(time.Now())
		}
	}()
	send := make([]sdk.Delivery, 0, len(b.items))
	for i := range b.items {
		if b.result[i].state == open {
			send = append(send, b.result[i].delivery)
		}
	}
	if len(send) == 0 {
		return nil, nil
	}
	return b.to.Deliver(b.call, send)
}
