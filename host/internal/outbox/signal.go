package outbox

import (
	"context"
	"slices"
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// Signals are transient: they are not stored, and what does not fit is dropped.
const (
	signalQueue   = 256
	signalWorkers = 2
	signalTimeout = 5 * time.Second
	// signalLife is how long a signal about an item is tried again: a receipt
	// often comes before the host knows of the copy that it is for.
	signalLife  = 10 * time.Second
	signalPause = 50 * time.Millisecond
	// signalMoment is how long what a signal says of the moment still counts.
	signalMoment = time.Second
)

type signalJob struct {
	ev    *sdk.Event
	to    route.Target
	until time.Time // when it no longer counts
}

// Signal implements intake.Queue. Where the place has deliveries waiting, what a
// signal says of the moment (typing) waits a moment for them, and what it says of
// an item a little longer, also for the item.
func (o *Outbox) Signal(ev *sdk.Event, to []route.Target) {
	life := signalMoment
	if !ev.Target().IsZero() {
		life = signalLife
	}
	until := o.deps.Now().Add(life)
	for _, t := range to {
		select {
		case o.signals <- signalJob{ev, t, until}:
		default:
			return
		}
	}
}

func (o *Outbox) serveSignals(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-o.signals:
			if o.deliverSignal(ctx, j) {
				continue
			}
			select {
			case o.lateSignals <- j:
			default:
			}
		}
	}
}

// retrySignals tries signals again that were too early.
func (o *Outbox) retrySignals(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var waiting []signalJob
	for {
		if len(waiting) > 0 {
			timer.Reset(signalPause)
		}
		select {
		case <-ctx.Done():
			return
		case j := <-o.lateSignals:
			if len(waiting) < signalQueue {
				waiting = append(waiting, j)
			}
		case <-timer.C:
			now := o.deps.Now()
			waiting = slices.DeleteFunc(waiting, func(j signalJob) bool { return o.deliverSignal(ctx, j) || now.After(j.until) })
		}
	}
}

// deliverSignal takes the lane of the place while the link has the signal, so
// that a place never has two calls at once. It reports false when trying again
// may help.
func (o *Outbox) deliverSignal(ctx context.Context, j signalJob) bool {
	o.mu.Lock()
	l := o.lane(0, j.to.Place)
	k := l.link
	if k.to == nil || l.state != laneIdle || l.depth > 0 || k.running >= k.slots() || o.closing {
		closing := o.closing
		o.mu.Unlock()
		return closing
	}
	l.state = laneRunning
	k.running++
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalTimeout)
	k.cancels[l] = cancel
	b := &batch{to: k.to, call: call{ctx, cancel}, result: make([]result, 1),
		items: []pending{{ev: j.ev, created: o.deps.Now(), rule: j.to.Rule}}}
	o.mu.Unlock()
	var writing *settling
	o.prepare(ctx, l, b, &writing)
	b.result[0].delivery.ID = ""
	known := true
	if ref := references(j.ev); !slices.ContainsFunc(ref[:], func(r sdk.RemoteID) bool { return r != "" }) ||
		b.result[0].delivery.Event.Target().Remote != "" {
		if _, err := o.deliver(l, b); err != nil {
			o.deps.Log.Debug("signal was not delivered", "link", string(k.id), "error", err)
		}
	} else {
		known = false
		cancel()
		o.mu.Lock()
		delete(k.cancels, l)
		o.mu.Unlock()
	}
	o.finish(l, 0)
	return known
}
