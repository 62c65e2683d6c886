package contact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bridgehost/sdk"
)

// batch bounds the pairs whose events are published at once.
const batch = 64

// Presence that changes faster than this waits, and then only the newest is told.
const (
	tellAtOnce = 5         // changes in a row
	tellRate   = 3600 / 10 // changes in an hour after that
)

// change notes a change of a subscription that is to be published. Called with r.mu held, before the roster is saved.
func (c *Contacts) change(r *roster, p *pair, kind sdk.ChangeKind, accepted bool) {
	p.due = append(p.due, due{Kind: kind, Accepted: accepted, Seq: c.next()})
	if len(p.due) > maxDue {
		p.due = p.due[1:]
	}
	c.push(r, p)
}

// next gives a number that no change had before, in this run or an earlier one: pairs that ended and began anew are not mistaken for
// repeats.
func (c *Contacts) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = max(c.seq+1, uint64(c.opt.Now().UnixMicro()))
	return c.seq
}

// push lets the publisher look at the pair. Called with r.mu held.
func (c *Contacts) push(r *roster, p *pair) {
	if p.queued {
		return
	}
	p.queued = true
	c.mu.Lock()
	c.queue = append(c.queue, ref{r.user, p.foreign})
	c.mu.Unlock()
	c.signal()
}

func (c *Contacts) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// publish takes pairs from the queue until ctx ends.
func (c *Contacts) publish(ctx context.Context) {
	for {
		c.mu.Lock()
		n := min(len(c.queue), batch)
		refs := append([]ref(nil), c.queue[:n]...)
		c.queue = append(c.queue[:0], c.queue[n:]...)
		c.mu.Unlock()
		if n == 0 {
			select {
			case <-ctx.Done():
				return
			case <-c.wake:
			}
			continue
		}
		var work []written
		for _, at := range refs {
			if w, ok := c.collect(at); ok {
				work = append(work, w)
			}
		}
		c.hand(ctx, work)
		if ctx.Err() != nil {
			return
		}
	}
}

// written is what one pair publishes.
type written struct {
	ref
	events []sdk.Event
	last   uint64 // due changes up to this are among the events
}

// collect gives what a pair has to publish now. Its presence waits when it was told a moment ago.
func (c *Contacts) collect(at ref) (written, bool) {
	r := c.lock(at.user, false)
	if r == nil {
		return written{}, false
	}
	defer r.mu.Unlock()
	p := r.pairs[at.foreign]
	if p == nil {
		return written{}, false
	}
	p.queued = false
	w := written{ref: at}
	for _, d := range p.due {
		w.events = append(w.events, c.event(r, p, d.change(c.opt.Peer, p.foreign), fmt.Sprintf("%s %s %s %d", d.Kind, r.user, p.foreign, d.Seq)))
		w.last = d.Seq
	}
	if kind, text := p.presence(); p.to == granted && p.settled && !p.knowsOf(kind, text) {
		now := c.opt.Now()
		if p.pace.leak(tellRate, now); p.pace.level+1 > tellAtOnce {
			p.queued = true
			c.mu.Lock()
			c.later = append(c.later, at)
			c.mu.Unlock()
		} else {
			p.pace.level++
			p.told, p.toldText, p.toldAt = knows(kind), text, now
			w.events = append(w.events, c.event(r, p, sdk.Signal{Signal: kind, Text: text}, ""))
		}
	}
	return w, len(w.events) > 0
}

// change gives the event's change.
func (d due) change(peer sdk.LinkID, foreign string) sdk.Change {
	other := sdk.Ref{Link: peer, ID: sdk.RemoteID(foreign)}
	switch d.Kind {
	case sdk.KindFollowAsked:
		return sdk.FollowAsked{Object: other}
	case sdk.KindFollowAnswered:
		return sdk.FollowAnswered{Follower: other, Accepted: d.Accepted}
	default:
		return sdk.Unfollowed{Object: other}
	}
}

// event makes an event of the user in the place of the pair.
func (c *Contacts) event(r *roster, p *pair, ch sdk.Change, dedup string) sdk.Event {
	return sdk.Event{
		Time: c.opt.Now(), Place: sdk.Ref{ID: sdk.PeerPlace(r.user, p.foreign)}, Actor: person(r.user, r.news.Name), Dedup: dedup, Change: ch,
	}
}

// hand gives events to the host until it has them. An event that it refuses for good does not hold up the others.
func (c *Contacts) hand(ctx context.Context, work []written) {
	var events []sdk.Event
	for _, w := range work {
		events = append(events, w.events...)
	}
	if len(events) == 0 {
		return
	}
	err := c.tell(ctx, events)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && len(work) > 1:
		for _, w := range work {
			c.hand(ctx, []written{w})
		}
		return
	case err != nil:
		c.opt.Log.Error("event refused by the host", "error", err)
	}
	for _, w := range work {
		c.done(w)
	}
}

// done takes what was published off the list.
func (c *Contacts) done(w written) {
	r := c.lock(w.user, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	p := r.pairs[w.foreign]
	if p == nil || w.last == 0 {
		return
	}
	for len(p.due) > 0 && p.due[0].Seq <= w.last {
		p.due = p.due[1:]
	}
	r.dirty = true
}

// tell publishes, again and again while the host has no room.
func (c *Contacts) tell(ctx context.Context, events []sdk.Event) error {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := c.host.Publish(ctx, events...)
		if err == nil || !sdk.KindOf(err).Temporary() || ctx.Err() != nil {
			return err
		}
		wait := pause
		var e *sdk.Error
		if errors.As(err, &e) && e.After > 0 {
			wait = min(e.After, time.Minute)
		}
		c.opt.Log.Warn("event waits for the host", "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("publish: %w", ctx.Err())
		case <-timer.C:
		}
	}
}
