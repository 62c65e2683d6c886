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
	events  chan sdk.Event
}

// New makes a queue for size events. refused hears of each event that the host
// refuses for good; it is called by Run and may be nil.
func New(host Publisher, size int, refused func(ctx context.Context, ev *sdk.Event, why error), log *slog.Logger) *Queue {
	return &Queue{host: host, refused: refused, log: log, events: make(chan sdk.Event, size)}
}

// Put adds an event and waits while the queue is full. It fails only when ctx ends.
func (q *Queue) Put(ctx context.Context, ev sdk.Event) error {
	select {
	case q.events <- ev:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queue %s of %s: %w", ev.Kind(), ev.Place.ID, ctx.Err())
	}
}

// TryPut adds an event, and reports false where the queue is full.
func (q *Queue) TryPut(ev sdk.Event) bool {
	select {
	case q.events <- ev:
		return true
	default:
		return false
	}
}

// Run hands events to the host until ctx ends; then it makes one last attempt
// with what is left.
func (q *Queue) Run(ctx context.Context) {
	var batch []sdk.Event
	for {
		select {
		case <-ctx.Done():
			q.flush(ctx, nil)
			return
		case ev := <-q.events:
			batch = q.fill(append(batch[:0], ev), maxBatch)
		}
		if q.publish(ctx, batch) != nil {
			q.flush(ctx, batch)
			return
		}
	}
}

// fill adds what waits to a batch, up to n.
func (q *Queue) fill(batch []sdk.Event, n int) []sdk.Event {
	for len(batch) < n {
		select {
		case ev := <-q.events:
			batch = append(batch, ev)
		default:
			return batch
		}
	}
	return batch
}

// flush makes the last attempt.
func (q *Queue) flush(ctx context.Context, batch []sdk.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
	defer cancel()
	for {
		if batch = q.fill(batch, max(len(batch), maxBatch)); len(batch) == 0 {
			return
		}
		if err := q.host.Publish(ctx, batch...); err != nil {
			q.log.Error("events are lost: the host did not take them before the end", "events", len(batch)+len(q.events), "error", err)
			return
		}
		batch = batch[:0]
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
