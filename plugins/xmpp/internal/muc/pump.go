package muc

import (
	"context"
	"errors"
	"time"

	"bridgehost/sdk"
)

// maxBatch is the most that is published at a time.
const maxBatch = 128

// pump turns what was heard into events and hands them to the host in order. One
// that the host does not take now is tried again until it does; the room waits
// meanwhile. It owns the mark, and everything that is asked of the archive about
// the past.
func (r *Room) pump(ctx context.Context) {
	for {
		timer := time.NewTimer(r.idle())
		var batch []heard
		select {
		case <-ctx.Done():
			timer.Stop()
			r.flush(ctx, nil)
			return
		case h := <-r.heard:
			batch = append(batch, h)
		case <-r.let: // something was left to the archive
		case <-timer.C:
		}
		timer.Stop()
		if !r.turn(ctx, batch) {
			return
		}
	}
}

// turn works off a batch and what waits behind it. It reports false when ctx has
// ended, after a last attempt to hand over what was heard.
func (r *Room) turn(ctx context.Context, batch []heard) bool {
	for len(batch) > 0 && !batch[len(batch)-1].hole && len(batch) < maxBatch {
		h, ok := r.next()
		if !ok {
			break
		}
		batch = append(batch, h)
	}
	r.makeSpace()
	if !r.tell(ctx, batch) {
		return false
	}
	if n := len(batch); n > 0 && batch[n-1].hole {
		r.catchUp(ctx)
	}
	r.mu.Lock()
	missed := r.missed && len(r.heard) == 0 || !r.again.IsZero() && !r.o.Now().Before(r.again) && r.bot.phase == in
	r.mu.Unlock()
	if missed {
		r.catchUp(ctx)
	}
	r.keep(ctx, false)
	return true
}

// next takes what waits without waiting for it.
func (r *Room) next() (heard, bool) {
	select {
	case h := <-r.heard:
		return h, true
	default:
		return heard{}, false
	}
}

// makeSpace lets a handler go on that waits for a place in the buffer.
func (r *Room) makeSpace() {
	select {
	case r.space <- struct{}{}:
	default:
	}
}

// tell publishes what a batch says and moves the mark. It reports false when ctx
// has ended.
func (r *Room) tell(ctx context.Context, batch []heard) bool {
	events := make([]sdk.Event, 0, len(batch))
	for i := range batch {
		h := &batch[i]
		if h.hole || r.wasHeard(h) {
			continue
		}
		if ev, ok := r.news(ctx, h); ok {
			events = append(events, ev)
		}
	}
	if len(events) > 0 && r.publish(ctx, events) != nil {
		r.flush(ctx, events)
		return false
	}
	r.passed(batch)
	return true
}

// flush makes one last attempt to hand over what was heard before the end. What
// stands behind a hole is left to the archive, and so is the hole.
func (r *Room) flush(ctx context.Context, events []sdk.Event) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	r.mu.Lock()
	open := !r.again.IsZero()
	r.mu.Unlock()
	var batch []heard
	for !open {
		h, ok := r.next()
		if !ok || h.hole {
			break
		}
		if r.wasHeard(&h) {
			continue
		}
		if ev, ok := r.news(ctx, &h); ok {
			events = append(events, ev)
		}
		batch = append(batch, h)
	}
	for len(events) > 0 {
		n := min(len(events), maxBatch)
		if err := r.host.Publish(last, events[:n]...); err != nil {
			r.o.Log.Error("events of a room are lost unless its archive has them: the host did not take them before the end", "events", len(events), "error", err)
			return
		}
		events = events[n:]
	}
	r.passed(batch)
	r.keep(last, true)
}

// publish hands a batch over. It only returns an error when ctx has ended.
func (r *Room) publish(ctx context.Context, batch []sdk.Event) error {
	pause := 100 * time.Millisecond
	for {
		err := r.host.Publish(ctx, batch...)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !sdk.KindOf(err).Temporary():
			return r.publishEach(ctx, batch, err)
		}
		wait := pause
		var e *sdk.Error
		if errors.As(err, &e) && e.After > 0 {
			wait = e.After
		}
		r.o.Log.Warn("host takes no events now", "events", len(batch), "retry", wait, "error", err)
		if pauseFor(ctx, wait) != nil {
			return ctx.Err()
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// pauseFor waits. It returns an error when ctx ends before.
func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// publishEach finds the event that the host refuses for good, and goes on
// without it.
func (r *Room) publishEach(ctx context.Context, batch []sdk.Event, why error) error {
	if len(batch) == 1 {
		r.o.Log.Error("host refuses an event of a room", "kind", batch[0].Kind().String(), "error", why)
		return nil
	}
	for i := range batch {
		if err := r.publish(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
