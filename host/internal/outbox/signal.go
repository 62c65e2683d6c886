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
)

type signalJob struct {
	ev *sdk.Event
	to route.Target
}

// Signal implements intake.Queue. A signal for a place that has deliveries
// waiting is dropped: it would come too late, or before what it speaks of.
func (o *Outbox) Signal(ev *sdk.Event, to []route.Target) {
	for _, t := range to {
		select {
		case o.signals <- signalJob{ev, t}:
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
			o.deliverSignal(ctx, j)
		}
	}
}

// deliverSignal takes the lane of the place while the link has the signal, so
// that a place never has two calls at once.
func (o *Outbox) deliverSignal(ctx context.Context, j signalJob) {
	o.mu.Lock()
	l := o.lane(0, j.to.Place)
	k := l.link
	if k.to == nil || l.state != laneIdle || l.depth > 0 || k.running >= k.slots() || o.closing {
		o.mu.Unlock()
		return
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
	if ref := references(j.ev); !slices.ContainsFunc(ref[:], func(r sdk.RemoteID) bool { return r != "" }) ||
		b.result[0].delivery.Event.Target().Remote != "" {
		if _, err := o.deliver(l, b); err != nil {
			o.deps.Log.Debug("signal was not delivered", "link", string(k.id), "error", err)
		}
	} else {
		cancel()
		o.mu.Lock()
		delete(k.cancels, l)
		o.mu.Unlock()
	}
	o.finish(l, 0)
}
