package contact

import (
	"context"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// nsNick is the namespace of XEP-0172.
const nsNick = "http://jabber.org/protocol/nick"

// HandlePresence takes a presence for a contact's JID. It is false when the presence is for somebody else.
func (c *Contacts) HandlePresence(ctx context.Context, p *packet.Presence) bool {
	j, foreign, ok, err := c.virtual(p.To)
	if !ok {
		return false
	}
	if c.wait(ctx) != nil {
		return true
	}
	user, resource, isUser := c.user(p.From)
	switch {
	case p.Type == "error":
		if isUser && err == nil {
			c.failed(ctx, user, foreign, p)
		}
		return true
	case !isUser:
		return true // servers and services have no subscriptions
	case err != nil:
		c.noSuch(ctx, p)
		return true
	}
	if err := c.take(ctx, j.Bare(), user, resource, foreign, p); err != nil {
		c.opt.Log.Warn("presence not handled", "type", p.Type, "error", err)
	}
	return true
}

// noSuch refuses presence to an address that nobody can have.
func (c *Contacts) noSuch(ctx context.Context, p *packet.Presence) {
	if p.Type != "subscribe" && p.Type != "probe" {
		return
	}
	c.refuse(ctx, p, "cancel", "item-not-found", "There is no such address.")
}

// refuse answers a presence by an error.
func (c *Contacts) refuse(ctx context.Context, p *packet.Presence, typ, condition, text string) {
	to := p.From
	if j, err := p.FromJID(); err == nil {
		to = j.Bare().String() // an answer to a subscription goes to the user, not to one client
	}
	answer := &packet.Presence{Attrs: packet.Attrs{
		From: p.To, To: to, ID: p.ID, Type: "error", Error: &packet.Error{Type: typ, Condition: condition, Text: text},
	}}
	if err := c.send(ctx, answer); err != nil {
		c.opt.Log.Debug("refusal not sent", "error", err)
	}
}

// take does what a user's presence asks for (RFC 6121 §3 and §4).
func (c *Contacts) take(ctx context.Context, virtual jid.JID, user, resource, foreign string, p *packet.Presence) error {
	if p.Type == "subscribe" {
		return c.subscribe(ctx, user, foreign, p)
	}
	r := c.lock(user, false)
	if r == nil {
		return c.stranger(ctx, virtual, user, p)
	}
	defer r.mu.Unlock()
	pr := r.pairs[foreign]
	if pr == nil {
		return c.stranger(ctx, virtual, user, p)
	}
	switch p.Type {
	case "", "unavailable":
		c.seen(ctx, r, pr, resource, p)
		return nil
	case "probe":
		return c.probed(ctx, r, pr)
	case "unsubscribe":
		return c.unsubscribe(ctx, r, pr)
	case "subscribed":
		return c.subscribed(ctx, r, pr)
	case "unsubscribed":
		return c.unsubscribed(ctx, r, pr)
	}
	return nil
}

// stranger answers a user to whom the contact has no relation. A probe or an unsubscribe shows that the user's server believes in one that
// there is not, or no longer, so it is told (RFC 6121 §4.3.2).
func (c *Contacts) stranger(ctx context.Context, virtual jid.JID, user string, p *packet.Presence) error {
	if p.Type == "probe" || p.Type == "unsubscribe" {
		return c.send(ctx, presence(virtual, user, "unsubscribed"))
	}
	return nil
}

// subscribe takes a user's request to see a contact's presence (RFC 6121 §3.1).
func (c *Contacts) subscribe(ctx context.Context, user, foreign string, p *packet.Presence) error {
	now := c.opt.Now()
	r := c.lock(user, c.opt.Allow(user))
	if r == nil {
		if !c.opt.Allow(user) {
			c.refuse(ctx, p, "auth", "registration-required", "Please register with the gateway first.")
		} else {
			c.refuse(ctx, p, "wait", "resource-constraint", "The gateway has too many users.")
		}
		return nil
	}
	defer r.mu.Unlock()
	if pr := r.pairs[foreign]; pr != nil {
		switch {
		case pr.from == granted: // the user's server lost the answer
			return c.grant(ctx, r, pr)
		case pr.from == pending && now.Sub(pr.asked) < askAgain:
			return nil
		}
	}
	switch {
	case !c.limit.take(user, now):
		c.refuse(ctx, p, "wait", "resource-constraint", "Too many requests. Please try again later.")
	case r.pairs[foreign] == nil && len(r.pairs) >= c.opt.MaxContacts:
		c.refuse(ctx, p, "wait", "resource-constraint", "Too many contacts.")
	default:
		return c.request(ctx, r, foreign, p)
	}
	c.forget(r, nil)
	return nil
}

// request asks the foreign actor. Called with r.mu held.
func (c *Contacts) request(ctx context.Context, r *roster, foreign string, p *packet.Presence) error {
	pr, err := c.pair(r, foreign)
	if err != nil {
		return err
	}
	before := *pr
	pr.from, pr.asked = pending, c.opt.Now()
	if e, ok := p.Extension(nsNick, "nick"); ok && r.news.Name == "" { // XEP-0172 §4.2
		r.news.Name = convert.Nick(e.Text())
	}
	c.change(r, pr, sdk.KindFollowAsked, false)
	if err := c.settle(ctx, r, pr); err != nil {
		pr.from, pr.asked, pr.due = before.from, before.asked, before.due
		c.forget(r, pr)
		c.refuse(ctx, p, "wait", "resource-constraint", "The request could not be kept.")
		return err
	}
	return nil
}

// unsubscribe ends the user's view of the contact's presence (RFC 6121 §3.3.3). Called with r.mu held.
func (c *Contacts) unsubscribe(ctx context.Context, r *roster, p *pair) error {
	if err := c.send(ctx, presence(p.virtual, r.user, "unsubscribed")); err != nil {
		return err
	}
	if p.from == none {
		return nil
	}
	p.from, p.shown = none, unknown
	c.change(r, p, sdk.KindUnfollowed, false)
	if err := c.settle(ctx, r, p); err != nil {
		return err
	}
	return c.hide(ctx, r, p)
}

// subscribed lets the contact see the user's presence (RFC 6121 §3.1.5). Called with r.mu held.
func (c *Contacts) subscribed(ctx context.Context, r *roster, p *pair) error {
	if p.to == none {
		return nil // nobody asked
	}
	if p.to == pending {
		p.to = granted
		c.change(r, p, sdk.KindFollowAnswered, true)
		c.entitle(r, p)
		return c.settle(ctx, r, p)
	}
	return nil
}

// unsubscribed refuses the contact, or takes back what was granted (RFC 6121 §3.2). Called with r.mu held.
func (c *Contacts) unsubscribed(ctx context.Context, r *roster, p *pair) error {
	if p.to == none {
		return nil
	}
	p.to, p.told, p.settled = none, unknown, false
	clear(p.resources)
	c.change(r, p, sdk.KindFollowAnswered, false)
	return c.settle(ctx, r, p)
}

// probed answers a probe (RFC 6121 §4.3.2). Called with r.mu held.
func (c *Contacts) probed(ctx context.Context, r *roster, p *pair) error {
	switch p.from {
	case granted:
		return c.show(ctx, r, p)
	case none:
		return c.send(ctx, presence(p.virtual, r.user, "unsubscribed"))
	case pending:
	}
	return nil
}

// seen notes the presence of one of the user's clients. Presence that the user sent on purpose, without a subscription, goes nowhere.
// Called with r.mu held.
func (c *Contacts) seen(ctx context.Context, r *roster, p *pair, name string, st *packet.Presence) {
	if p.to != granted {
		return
	}
	kind := kindOf(st)
	before, known := p.resources[name]
	switch {
	case kind == sdk.SignalOffline && name == "":
		clear(p.resources)
	case kind == sdk.SignalOffline:
		delete(p.resources, name)
	case known || len(p.resources) < maxResources:
		now := resource{kind: kind, text: statusText(st.Status()), priority: st.Priority, caps: capsOf(st)}
		p.resources[name] = now
		c.updated(r, st)
		if !known || before.caps != now.caps {
			c.greet(ctx, r, p, name, now.caps)
		}
	}
	p.settled = true
	if !p.knowsOf(p.presence()) {
		c.push(r, p)
	}
}

// failed takes an error that the user's server answered to a presence of a contact: without an account nobody can be asked, or shown
// anything.
func (c *Contacts) failed(ctx context.Context, user, foreign string, st *packet.Presence) {
	if st.Error == nil || st.Error.Condition != "item-not-found" && st.Error.Condition != "gone" {
		return
	}
	r := c.lock(user, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil || p.to != pending {
		return
	}
	p.to = none
	c.change(r, p, sdk.KindFollowAnswered, false)
	if err := c.settle(ctx, r, p); err != nil {
		c.opt.Log.Error("refusal not kept", "error", err)
	}
}

// show sends the contact's presence to the user. Called with r.mu held and p.from granted.
func (c *Contacts) show(ctx context.Context, r *roster, p *pair) error {
	if !c.present(p) {
		return c.hide(ctx, r, p)
	}
	st := presence(p.virtual, r.user, "")
	st.From += "/" + c.opt.Resource
	switch {
	case p.shown.is(sdk.SignalAway):
		st.Show = "away"
	case p.shown.is(sdk.SignalBusy):
		st.Show = "dnd"
	}
	if p.status != "" {
		st.Statuses = packet.NewText(p.status)
	}
	prof := c.profiles.get(p.foreign)
	if !c.fresh(prof) { // announce shows what is found
		c.lookup(ctx, p.foreign, func(context.Context, *Profile) {})
	}
	st.Extensions = append(st.Extensions, c.capsElement(), updateElement(prof))
	return c.send(ctx, st)
}

// present reports whether a user is shown the contact as available. Called with the roster's mutex held.
func (c *Contacts) present(p *pair) bool {
	return p.shown.available() || p.shown == unknown && !c.opt.Hide
}

// hide tells the user that the contact is not there. Called with r.mu held.
func (c *Contacts) hide(ctx context.Context, r *roster, p *pair) error {
	st := presence(p.virtual, r.user, "unavailable")
	st.From += "/" + c.opt.Resource
	if p.shown.is(sdk.SignalOffline) && p.status != "" {
		st.Statuses = packet.NewText(p.status)
	}
	return c.send(ctx, st)
}

// grant tells the user that the contact's presence may be seen, and shows it (RFC 6121 §3.1.5). Called with r.mu held.
func (c *Contacts) grant(ctx context.Context, r *roster, p *pair) error {
	if err := c.send(ctx, presence(p.virtual, r.user, "subscribed")); err != nil {
		return err
	}
	c.entitle(r, p)
	return c.show(ctx, r, p)
}

// ask asks the user for presence in the contact's name (RFC 6121 §3.1.1), with the contact's nick (XEP-0172 §4.2). Called with r.mu held.
func (c *Contacts) ask(ctx context.Context, r *roster, p *pair, nick string) error {
	st := presence(p.virtual, r.user, "subscribe")
	if prof := c.profiles.get(p.foreign); nick == "" && prof != nil && prof.err == nil {
		nick = convert.Nick(prof.Actor.Name)
	}
	if nick != "" {
		st.Extensions = append(st.Extensions, xmltok.New(nsNick, "nick", nick))
	}
	return c.send(ctx, st)
}

// presence makes a presence from a contact's bare JID to a user.
func presence(from jid.JID, to, typ string) *packet.Presence {
	return &packet.Presence{Attrs: packet.Attrs{From: from.Bare().String(), To: to, Type: typ}}
}

// kindOf gives the signal that a presence of a client is (RFC 6121 §4.7.2.1).
func kindOf(p *packet.Presence) sdk.SignalKind {
	switch {
	case p.Type == "unavailable":
		return sdk.SignalOffline
	case p.Show == "away", p.Show == "xa":
		return sdk.SignalAway
	case p.Show == "dnd":
		return sdk.SignalBusy
	default:
		return sdk.SignalOnline
	}
}
