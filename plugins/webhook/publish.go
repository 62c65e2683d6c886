package webhook

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// maxWait bounds ?wait; the host's listener bounds it further.
const maxWait = 25 * time.Second

// waitOf reads ?wait=5s. Without a unit it counts seconds.
func waitOf(r *web.Request) (time.Duration, *web.Response) {
	values := r.Query["wait"]
	if len(values) == 0 {
		return 0, nil
	}
	d, err := time.ParseDuration(values[0])
	if err != nil {
		d, err = time.ParseDuration(values[0] + "s")
	}
	if err != nil || d < 0 || len(values) > 1 {
		return 0, refuse(http.StatusBadRequest, "wait is no duration", "write ?wait=5s")
	}
	return min(d, maxWait), nil
}

// waiter collects the outcomes of one event.
type waiter struct {
	outcomes chan sdk.Outcome // holds maxOutcomes; more are dropped, since one decides
}

const maxOutcomes = 64

// publish hands the message to the host and waits for its way if asked.
func (l *link) publish(ctx context.Context, in *intake, p *post, id string) *web.Response {
	ev := sdk.Event{
		Time:  l.now(),
		Place: sdk.Ref{Link: l.id, ID: sdk.RemoteID(in.hook.id)},
		Actor: sdk.Actor{Kind: sdk.ActorService, Home: sdk.Ref{Link: l.id, ID: sdk.RemoteID(in.hook.id)}, Name: in.hook.name},
		Dedup: id,
		Want:  p.patience > 0,
	}
	item := sdk.Item{Origin: sdk.Ref{Link: l.id, ID: sdk.RemoteID(id)}, Text: sdk.NewText(p.text), Created: ev.Time}
	good := &receipt{ID: id, State: "accepted"}
	if p.update == "" {
		ev.Change = sdk.ItemCreated{Item: item}
		return l.store(ctx, in, p, ev, good)
	}
	known, claim, err := in.updates.Begin(ctx, p.update)
	if err != nil {
		return notStored(err)
	}
	if known != nil {
		target := sdk.RemoteID(derivedID(in.hook.id, "update:"+p.update, known.Note))
		item.Origin.ID, item.Created, item.Edited = target, known.At, ev.Time
		ev.Change = sdk.ItemUpdated{Target: sdk.Target{Remote: target}, Item: item}
		good.ID, good.Updated = string(target), true
		return l.store(ctx, in, p, ev, good)
	}
	epoch := uint64(ev.Time.UnixNano())
	item.Origin.ID = sdk.RemoteID(derivedID(in.hook.id, "update:"+p.update, epoch))
	good.ID = string(item.Origin.ID)
	ev.Change = sdk.ItemCreated{Item: item}
	p.onStored(func(ctx context.Context) {
		if err := claim.Commit(ctx, epoch); err != nil {
			l.host.Log().Warn("an update key is only remembered until the next start", "hook", in.hook.id, "error", err)
		}
	})
	resp := l.store(ctx, in, p, ev, good)
	if !p.stored {
		claim.Abort()
	}
	return resp
}

// onStored adds what is to happen as soon as the event is on disk.
func (p *post) onStored(f func(context.Context)) { p.after = append(p.after, f) }

func (p *post) isStored(ctx context.Context) {
	p.stored = true
	for _, f := range p.after {
		f(ctx)
	}
}

// store publishes, does what waited for the event to be on disk, and waits for
// its outcomes as long as the sender wants.
func (l *link) store(ctx context.Context, in *intake, p *post, ev sdk.Event, good *receipt) *web.Response {
	if p.patience == 0 {
		if err := l.host.Publish(ctx, ev); err != nil {
			return l.notStored(in, err)
		}
		p.isStored(ctx)
		return accepted(http.StatusAccepted, good)
	}
	w := &waiter{outcomes: make(chan sdk.Outcome, maxOutcomes)}
	l.mu.Lock()
	l.waiters[ev.Dedup] = w
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiters, ev.Dedup)
		l.mu.Unlock()
	}()
	if err := l.host.Publish(ctx, ev); err != nil {
		return l.notStored(in, err)
	}
	p.isStored(ctx)
	return l.await(ctx, in.hook, w, p.patience, good)
}

func (l *link) notStored(in *intake, err error) *web.Response {
	l.host.Log().Warn("message not stored", "hook", in.hook.id, "kind", sdk.KindOf(err).String(), "error", err)
	return notStored(err)
}

// await turns outcomes into an answer: 200 once as many places as the hook has
// targets have the message, 502 at the first place that will never have it.
func (l *link) await(ctx context.Context, h *hook, w *waiter, patience time.Duration, good *receipt) *web.Response {
	if end, ok := ctx.Deadline(); ok {
		// The answer must leave before the host gives up on it.
		patience = min(patience, time.Until(end)-200*time.Millisecond)
	}
	timer := time.NewTimer(max(patience, 0))
	defer timer.Stop()
	for {
		select {
		case o := <-w.outcomes:
			switch o.State {
			case sdk.OutcomeDelivered:
				good.Places = append(good.Places, o.Place.String())
				if len(good.Places) >= h.targets {
					good.State = "delivered"
					return accepted(http.StatusOK, good)
				}
			case sdk.OutcomeDropped:
				return outcome(http.StatusUnprocessableEntity, "dropped", "a filter dropped the message", o, good)
			case sdk.OutcomeUnrouted:
				return outcome(http.StatusBadGateway, "unrouted", fmt.Sprintf("no route leads from %s:%s", l.id, h.id), o, good)
			default:
				return outcome(http.StatusBadGateway, "dead", "the message is in the dead letters: "+o.Place.String(), o, good)
			}
		case <-timer.C:
			good.Detail = "the message is stored; not every place has it yet"
			return accepted(http.StatusAccepted, good)
		case <-ctx.Done():
			good.Detail = "the message is stored; the wait was cut short"
			return accepted(http.StatusAccepted, good)
		}
	}
}

func outcome(status int, state, detail string, o sdk.Outcome, good *receipt) *web.Response {
	if o.Reason != "" && o.State != sdk.OutcomeUnrouted { // says the same as detail
		detail += ": " + o.Reason
	}
	remedy := map[string]string{
		"dropped":  "ask the operator which filter it was: bridgehost explain",
		"unrouted": "ask the operator to add a route from this hook",
		"dead":     "ask the operator to mend the cause, then bridgehost queue retry",
	}[state]
	return refusal(&problem{Status: status, Detail: detail, Remedy: remedy, ID: good.ID, State: state, Places: good.Places}, 0)
}

// Inform implements sdk.Informed: outcomes go to who waits for them; a failure
// that nobody waits for is told to the operator.
func (l *link) Inform(_ context.Context, outcomes []sdk.Outcome) error {
	for _, o := range outcomes {
		l.mu.Lock()
		w := l.waiters[o.Dedup]
		l.mu.Unlock()
		if w != nil {
			select {
			case w.outcomes <- o:
			default:
			}
			continue
		}
		if o.State == sdk.OutcomeDead || o.State == sdk.OutcomeUnrouted {
			l.host.Log().Warn("message did not arrive", "id", o.Dedup, "state", stateName(o.State), "reason", o.Reason)
		}
	}
	return nil
}

func stateName(s sdk.OutcomeState) string {
	if s == sdk.OutcomeUnrouted {
		return "unrouted"
	}
	return "dead"
}
