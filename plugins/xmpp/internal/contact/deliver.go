package contact

import (
	"context"
	"errors"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// askAgain is the age after which a request that nobody answered is passed on again.
const askAgain = 10 * time.Minute

// answerAgain is how often, at most, a user's presence is told because the other side seems not to know it.
const answerAgain = time.Minute

// Takes reports whether Deliver is for changes of a kind. Signals are among them only if they are of presence, see TakesSignal.
func Takes(kind sdk.ChangeKind) bool {
	switch kind {
	case sdk.KindFollowAsked, sdk.KindFollowAnswered, sdk.KindUnfollowed, sdk.KindActorUpdated, sdk.KindActorMoved, sdk.KindActorGone,
		sdk.KindBlocked, sdk.KindUnblocked, sdk.KindReported:
		return true
	}
	return false
}

// TakesSignal reports whether a signal is of presence.
func TakesSignal(kind sdk.SignalKind) bool {
	switch kind {
	case sdk.SignalOnline, sdk.SignalAway, sdk.SignalBusy, sdk.SignalOffline:
		return true
	}
	return false
}

// Deliver takes a delivery of a kind that Takes or TakesSignal names. Repeats do no harm.
func (c *Contacts) Deliver(ctx context.Context, d sdk.Delivery) sdk.Receipt {
	receipt := sdk.Receipt{Delivery: d.ID}
	loss, err := c.deliver(ctx, d)
	receipt.Loss = loss
	if err != nil {
		receipt.Err = c.asError("deliver "+d.Event.Kind().String()+" to "+string(d.Place), err)
		receipt.Unsent = errors.Is(err, stream.ErrNotWritten)
	}
	return receipt
}

// asError gives an error its kind: what failed because the stream was down is tried again.
func (c *Contacts) asError(op string, err error) *sdk.Error {
	e := sdk.AsError(op, err)
	if errors.Is(err, stream.ErrRefused) {
		e.Kind = sdk.Invalid
	} else if errors.Is(err, stream.ErrNotWritten) || errors.Is(err, stream.ErrMaybeWritten) {
		e.Kind = sdk.Transient
	}
	return e
}

// kindless is the loss of a change that contacts cannot show.
func kindless(detail string) []sdk.Loss {
	return []sdk.Loss{{Kind: sdk.LossKindless, Detail: detail}}
}

func (c *Contacts) deliver(ctx context.Context, d sdk.Delivery) ([]sdk.Loss, error) {
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	own, foreign, ok := sdk.SplitPeerPlace(d.Place)
	if !ok {
		return nil, sdk.Errorf(sdk.NotFound, "deliver", "%q is no place of a gateway", d.Place)
	}
	foreign, err := c.opt.Address.Canonical(foreign)
	if err != nil {
		return nil, sdk.Errorf(sdk.Invalid, "deliver", "%w", err)
	}
	switch d.Event.Kind() {
	case sdk.KindBlocked, sdk.KindUnblocked, sdk.KindReported, sdk.KindActorMoved:
		return kindless("contacts are not told of it"), nil
	case sdk.KindActorUpdated:
		c.renamed(ctx, foreign, d.Event.Actor)
		return nil, nil
	case sdk.KindActorGone:
		return nil, c.vanished(ctx, foreign)
	}
	user, _, ok := c.user(own)
	if !ok {
		return nil, sdk.Errorf(sdk.NotFound, "deliver", "%q is no user", own)
	}
	switch ch := d.Event.Change.(type) {
	case sdk.FollowAsked:
		return nil, c.follow(ctx, user, foreign, d.Event.Actor)
	case sdk.FollowAnswered:
		return nil, c.answered(ctx, user, foreign, ch.Accepted, "")
	case sdk.Unfollowed:
		return nil, c.unfollowed(ctx, user, foreign)
	case sdk.Signal:
		return nil, c.signalled(ctx, user, foreign, ch.Signal, statusText(ch.Text))
	}
	return kindless("no contact can show it"), nil
}

// follow asks the user whether the foreign actor may see the user's presence.
func (c *Contacts) follow(ctx context.Context, user, foreign string, actor sdk.Actor) error {
	if !c.opt.Allow(user) {
		return &sdk.Error{Op: "follow " + user, Kind: sdk.Forbidden, Public: "This person does not use the bridge."}
	}
	r := c.lock(user, true)
	if r == nil {
		return sdk.Errorf(sdk.Overloaded, "follow "+user, "more than %d users", c.opt.MaxUsers)
	}
	defer r.mu.Unlock()
	if r.pairs[foreign] == nil && len(r.pairs) >= 2*c.opt.MaxContacts {
		return &sdk.Error{Op: "follow " + user, Kind: sdk.Forbidden, Public: "This person has too many contacts."}
	}
	p, err := c.pair(r, foreign)
	if err != nil {
		c.forget(r, nil)
		return sdk.Errorf(sdk.Invalid, "follow "+user, "%w", err)
	}
	if p.to == granted { // the other side lost the answer
		c.change(r, p, sdk.KindFollowAnswered, true)
		p.told = unknown
		return c.settle(ctx, r, p)
	}
	if p.to == none {
		if !c.incoming.take(user, c.opt.Now()) {
			c.forget(r, p)
			return &sdk.Error{Op: "follow " + user, Kind: sdk.RateLimited, After: askAgain, Err: errors.New("too many requests to one user")}
		}
		p.to = pending
		if err := c.settle(ctx, r, p); err != nil {
			p.to = none
			c.forget(r, p)
			return err
		}
	}
	return c.ask(ctx, r, p, convert.Nick(actor.Name))
}

// Inform takes what became of an event. It is false when the event was none of this package's. A request that could not be passed on is
// refused, so that the user does not wait for an answer that will not come.
func (c *Contacts) Inform(ctx context.Context, o sdk.Outcome) bool {
	f := strings.Split(o.Dedup, " ")
	if len(f) != 4 {
		return false
	}
	kind, ok := sdk.ParseChangeKind(f[0])
	if !ok || !Takes(kind) {
		return false
	}
	if kind != sdk.KindFollowAsked || o.State == sdk.OutcomeDelivered || c.wait(ctx) != nil {
		return true
	}
	if err := c.answered(ctx, f[1], f[2], false, o.Reason); err != nil {
		c.opt.Log.Warn("user not told of a failed request", "error", err)
	}
	return true
}

// answered passes on what the foreign actor answered the user, with a reason for people if there is one.
func (c *Contacts) answered(ctx context.Context, user, foreign string, accepted bool, reason string) error {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil || p.from == none {
		return nil // nobody asked, or not any more: there is nothing to grant (RFC 6121 §3.1.6)
	}
	if accepted {
		if p.from == pending {
			p.from = granted
			if err := c.settle(ctx, r, p); err != nil {
				p.from = pending
				return err
			}
		}
		return c.grant(ctx, r, p)
	}
	was := p.from
	st := presence(p.virtual, user, "unsubscribed")
	if reason != "" {
		st.Statuses = packet.NewText(reason)
	}
	if err := c.send(ctx, st); err != nil {
		return err
	}
	p.from, p.shown = none, unknown
	if was == granted { // a request that was refused stays for the user to see
		c.strike(r, p)
	}
	if err := c.settle(ctx, r, p); err != nil {
		return err
	}
	if was == granted {
		return c.hide(ctx, r, p)
	}
	return nil
}

// unfollowed ends the foreign actor's view of the user's presence.
func (c *Contacts) unfollowed(ctx context.Context, user, foreign string) error {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil || p.to == none {
		return nil
	}
	if err := c.send(ctx, presence(p.virtual, user, "unsubscribe")); err != nil {
		return err
	}
	p.to, p.told, p.settled = none, unknown, false
	clear(p.resources)
	c.strike(r, p)
	return c.settle(ctx, r, p)
}

// signalled shows the foreign actor's presence to the user, if the user may see it. A first or repeated sign of presence means that the
// other side has just come up or was started anew, and may not know the user's: it is told, as a probe would be answered (RFC 6121 §4.3.2).
func (c *Contacts) signalled(ctx context.Context, user, foreign string, kind sdk.SignalKind, text string) error {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil {
		return nil
	}
	before := p.shown
	now := knows(kind)
	if now.available() && (!before.available() || before == now) && p.to == granted && c.opt.Now().Sub(p.toldAt) >= answerAgain {
		p.told = unknown
		c.push(r, p)
	}
	if before == now && p.status == text {
		return nil
	}
	p.shown, p.status, r.dirty = now, text, true
	if p.from != granted {
		return nil
	}
	if err := c.show(ctx, r, p); err != nil && !errors.Is(err, stream.ErrNotWritten) {
		return err
	}
	return nil // while the stream is down it is kept, and shown when the stream is up again
}

// renamed takes a foreign actor's new profile, if somebody knows the actor.
func (c *Contacts) renamed(ctx context.Context, foreign string, actor sdk.Actor) {
	if len(c.usersOf(foreign)) == 0 && c.profiles.get(foreign) == nil {
		return
	}
	c.learn(ctx, foreign, c.profile(ctx, actor))
}

// vanished ends the relations of all users to an actor that no longer exists.
func (c *Contacts) vanished(ctx context.Context, foreign string) error {
	c.profiles.put(foreign, &Profile{err: sdk.Errorf(sdk.Gone, "look up a contact", "gone"), at: c.opt.Now()}, c.opt.Profiles)
	for _, user := range c.usersOf(foreign) {
		if err := c.part(ctx, user, foreign); err != nil {
			return err
		}
	}
	return nil
}

// part ends the relation of one user to a foreign address in the address's name, in both directions.
func (c *Contacts) part(ctx context.Context, user, foreign string) error {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil {
		return nil
	}
	if p.from == granted {
		if err := c.hide(ctx, r, p); err != nil {
			return err
		}
	}
	for _, typ := range []string{"unsubscribed", "unsubscribe"} {
		if err := c.send(ctx, presence(p.virtual, user, typ)); err != nil {
			return err
		}
	}
	p.from, p.to, p.shown, p.told, p.due = none, none, unknown, unknown, nil
	c.strike(r, p)
	return c.settle(ctx, r, p)
}
