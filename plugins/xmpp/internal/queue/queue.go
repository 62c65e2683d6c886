// Package queue carries events of a link to the host in the order in which they
// came. What the host does not take now is tried again until it does; whoever
// reads from the network waits meanwhile, so that nothing is dropped.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bridgehost/sdk"
)

// Publisher is what a queue needs of the host.
type Publisher interface {
	Publish(ctx context.Context, events ...sdk.Event) error
}

// Bounds of a queue.
const (
	maxBatch = 128 // events in one call
	maxPause = 10 * time.Second
	lastTry  = 2 * time.Second // for what was heard before the end
)

// Queue is a bounded queue of events. Put may be called by any goroutine; Run
// must be running for events to leave.
type Queue struct {
	host    Publisher
	refused func(ctx context.Context, ev *sdk.Event, why error)
	log     *slog.Logger
	events  chan entry
}

// entry is an event, or what is to be done when those before it have left.
type entry struct {
	ev   sdk.Event
	done func() // nil = an event
}

// New makes a queue for size events. refused hears of each event that the host
// refuses for good; it is called by Run and may be nil.
func New(host Publisher, size int, refused func(ctx context.Context, ev *sdk.Event, why error), log *slog.Logger) *Queue {
	return &Queue{host: host, refused: refused, log: log, events: make(chan entry, size)}
}

// Put adds an event and waits while the queue is full. It fails only when ctx ends.
func (q *Queue) Put(ctx context.Context, ev sdk.Event) error {
	select {
	case q.events <- entry{ev: ev}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue %s of %s: %w", ev.Kind(), ev.Place.ID, ctx.Err())
	}
}

// After has done called when the host has taken, or refused for good, every event
// that was put before. It waits while the queue is full, and fails only when ctx
// ends. done is called by Run and must not wait; where events are lost at the end
// it is not called.
func (q *Queue) After(ctx context.Context, done func()) error {
	select {
	case q.events <- entry{done: done}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue a mark: %w", ctx.Err())
	}
}

// TryPut adds an event, and reports false where the queue is full.
func (q *Queue) TryPut(ev sdk.Event) bool {
	select {
	case q.events <- entry{ev: ev}:
		return true
	default:
		return false
	}
}

// Run hands events to the host until ctx ends; then it makes one last attempt
// with what is left.
func (q *Queue) Run(ctx context.Context) {
	var b batch
	for {
		select {
		case <-ctx.Done():
			q.flush(ctx, batch{})
			return
		case e := <-q.events:
			b = batch{events: b.events[:0], done: b.done[:0]}
			b.add(e)
			q.fill(&b, maxBatch)
		}
		if len(b.events) > 0 && q.publish(ctx, b.events) != nil {
			q.flush(ctx, b)
			return
		}
		b.finish()
	}
}

// batch is what leaves at a time, and what is done after it.
type batch struct {
	events []sdk.Event
	done   []func()
}

func (b *batch) add(e entry) {
	if e.done != nil {
		b.done = append(b.done, e.done)
		return
	}
	b.events = append(b.events, e.ev)
}

func (b *batch) finish() {
	for _, done := range b.done {
		done()
	}
}

// fill adds what waits to a batch, up to n events.
func (q *Queue) fill(b *batch, n int) {
	for len(b.events) < n && len(b.done) < cap(q.events) {
		select {
		case e := <-q.events:
			b.add(e)
		default:
			return
		}
	}
}

// flush makes the last attempt.
func (q *Queue) flush(ctx context.Context, b batch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
	defer cancel()
	for {
		q.fill(&b, max(len(b.events), maxBatch))
		if len(b.events) == 0 && len(b.done) == 0 {
			return
		}
		if len(b.events) > 0 {
			if err := q.host.Publish(ctx, b.events...); err != nil {
				q.log.Error("events are lost: the host did not take them before the end", "events", len(b.events), "error", err)
				return
			}
		}
		b.finish()
		b = batch{}
	}
}

// publish hands a batch over. It returns an error only when ctx has ended.
func (q *Queue) publish(ctx context.Context, batch []sdk.Event) error {
	pause := 100 * time.Millisecond
	for {
		err := q.host.Publish(ctx, batch...)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !sdk.KindOf(err).Temporary():
			return q.publishEach(ctx, batch, err)
		}
		wait := pause
		var e *sdk.Error
		if errors.As(err, &e) && e.After > 0 {
			wait = e.After
		}
		q.log.Warn("host takes no events now", "events", len(batch), "retry", wait, "error", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		pause = min(2*pause, maxPause)
	}
}

// publishEach finds the event that the host refuses for good, and goes on
// without it.
func (q *Queue) publishEach(ctx context.Context, batch []sdk.Event, why error) error {
	if len(batch) == 1 {
		q.log.Warn("host refuses an event", "kind", batch[0].Kind().String(), "error", why)
		if q.refused != nil {
			q.refused(ctx, &batch[0], why)
		}
		return nil
	}
	for i := range batch {
		if err := q.publish(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
