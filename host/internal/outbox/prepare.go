package outbox

import (
	"cmp"
	"context"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// prepare makes deliveries of a batch: ids, names of items and puppets as the
// target link knows them now. What cannot or need not be delivered is decided
// here, and is not sent.
func (o *Outbox) prepare(ctx context.Context, l *lane, b *batch, writing **settling) {
	o.mu.Lock()
	opts := l.link.opts
	maxAge := o.maxAge(l)
	now := o.deps.Now()
	for i := range b.items {
		p, r := &b.items[i], &b.result[i]
		switch {
		case p.broken != "":
			r.bury(sdk.Internal, p.broken)
		case l.poisoned(p.seq, o.opts.PoisonAfter):
			r.bury(sdk.Internal, "the plugin crashed each time that it was delivered")
		case now.Sub(l.waits(p)) > maxAge:
			r.bury(sdk.Transient, tooOld(maxAge, l.why))
		}
	}
	fails := l.fails
	o.mu.Unlock()
	names, err := o.resolve(ctx, l.place, opts.GlobalIDs || isFeed(l.place.ID), b, writing)
	if err != nil {
		o.deps.Log.Warn("items cannot be resolved", "link", string(l.place.Link), "error", err)
		for i := range b.result {
			b.result[i].postpone(err)
		}
		return
	}
	deadline, _ := b.call.Deadline()
	for i := range b.items {
		p, r := &b.items[i], &b.result[i]
		if r.state != open {
			continue
		}
		r.delivery = sdk.Delivery{
			ID: o.deps.Store.Names().Delivery(l.id, p.seq), Place: l.place.ID, Event: o.event(ctx, l, p, names),
			Attempt: 1, Deadline: deadline,
		}
		if i == 0 {
			r.delivery.Attempt = fails + 1
		}
		if i < b.unsure {
			r.delivery.Uncertain, r.delivery.Since = true, p.created
		}
		if _, ok := p.ev.Change.(sdk.ItemRetracted); ok && r.delivery.Event.Target().Remote == "" {
			r.state = done // it never was in this place: there is nothing to take back
		}
	}
}

// waits says since when a delivery waits. That of a dead letter that was
// revived counts anew, or it would die again at once.
func (l *lane) waits(p *pending) time.Time {
	if p.seq <= l.pardoned && l.amnesty.After(p.created) {
		return l.amnesty
	}
	return p.created
}

// maxAge is how long deliveries of a lane may wait.
func (o *Outbox) maxAge(l *lane) time.Duration {
	return cmp.Or(l.link.opts.MaxAge, o.opts.MaxAge)
}

// tooOld says why a delivery is given up for its age.
func tooOld(maxAge time.Duration, why string) string {
	reason := "it could not be delivered for " + maxAge.String()
	if why != "" {
		reason += "; last: " + why
	}
	return reason
}

// isFeed reports whether a place is the feed of somebody of a gateway's other
// link. What is said there answers posts of other people, each of which stands in
// the feed of its own author: they are named by where they stand.
func isFeed(place sdk.RemoteID) bool {
	own, _, ok := sdk.SplitPeerPlace(place)
	return ok && own == sdk.PeerAll
}

// resolve looks up what the batch's events refer to. Receipts that are being
// written may hold the answer, so they come first.
func (o *Outbox) resolve(ctx context.Context, place sdk.Ref, anyPlace bool, b *batch, writing **settling) (map[store.Key]store.Resolved, error) {
	var keys []store.Key
	for i := range b.items {
		if b.result[i].state != open {
			continue
		}
		ev := b.items[i].ev
		for _, r := range references(ev) {
			if r != "" {
				keys = append(keys, store.Key{Link: ev.Place.Link, Remote: r})
			}
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if !o.settled(ctx, writing) {
		return nil, ctx.Err()
	}
	return o.deps.Store.Resolve(context.WithoutCancel(ctx), place, anyPlace, keys)
}

// event is the event as the target link shall see it. The stored event is
// shared and stays as it is.
func (o *Outbox) event(ctx context.Context, l *lane, p *pending, known map[store.Key]store.Resolved) sdk.Event {
	names := o.deps.Store.Names()
	ev := *p.ev
	ev.ID, ev.Seq, ev.Actor.ID = names.Event(p.seq), uint64(p.seq), names.Actor(p.actor)
	ev.Actor.Puppet = o.puppet(ctx, p.actor, l.place.Link)
	there := func(t sdk.Target) sdk.Target {
		if t.Remote == "" {
			return t
		}
		r := known[store.Key{Link: ev.Place.Link, Remote: t.Remote}]
		return sdk.Target{Item: names.Item(r.Item), Remote: r.Remote}
	}
	if t := ev.Target(); !t.IsZero() {
		ev = ev.WithTarget(there(t))
	}
	if it := ev.Item(); it != nil {
		it.ID, it.Author = names.Item(p.item), names.Actor(p.actor)
		it.ReplyTo, it.Thread, it.Quote = there(it.ReplyTo), there(it.Thread), there(it.Quote)
		ev = ev.WithItem(*it)
	}
	return ev
}

// maxPuppets bounds the memory of puppets; a full one is emptied.
const maxPuppets = 1 << 15

// puppet gives the actor's appearance at a link. When it cannot be read the
// link goes without: it can make the same puppet again.
func (o *Outbox) puppet(ctx context.Context, actor int64, link sdk.LinkID) sdk.RemoteID {
	if actor == 0 {
		return ""
	}
	key := puppetKey{actor, link}
	o.mu.Lock()
	remote, ok := o.puppets[key]
	o.mu.Unlock()
	if ok {
		return remote
	}
	remote, err := o.deps.Store.Puppet(context.WithoutCancel(ctx), actor, link)
	if err != nil {
		o.deps.Log.Warn("puppet cannot be read", "link", string(link), "error", err)
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.puppets[key]; ok {
		return have
	}
	if len(o.puppets) >= maxPuppets {
		clear(o.puppets)
	}
	o.puppets[key] = remote
	return remote
}
