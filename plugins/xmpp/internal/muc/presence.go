package muc

import (
	"context"
	"errors"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// member is somebody in the room, ours or not.
type member struct {
	role, affiliation string

	jid  string // real bare JID; empty where the room does not show it
	id   string // occupant-id (XEP-0421), where the room promises it
	look string // convert.Skeleton of the nick
	stay uint64 // counts joins, so that a new occupant under an old nick is somebody else
}

// occupantTo gives the occupant of ours that a stanza is for. Called with mu held.
func (r *Room) occupantTo(to string) *occupant {
	if r.bot.from == "" {
		return r.bot
	}
	if o := r.byFrom[to]; o != nil {
		return o
	}
	for from, o := range r.byFrom {
		if packet.SameJID(from, to) {
			return o
		}
	}
	return nil
}

// HandlePresence takes a presence from the room (XEP-0045 §7).
func (r *Room) HandlePresence(ctx context.Context, p *packet.Presence) {
	if h, ok := r.attend(p); ok {
		r.hear(ctx, h)
	}
}

// attend takes a presence, and gives what it tells the host.
func (r *Room) attend(p *packet.Presence) (h heard, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.occupantTo(p.To)
	if o == nil {
		return h, false
	}
	nick := convert.Resource(p.From)
	switch p.Type {
	case "error":
		if p.Error != nil {
			o.say(answer{err: p.Error})
		}
	case "":
		return r.present(o, nick, p)
	case "unavailable":
		return r.absent(o, nick, p)
	}
	return h, false
}

// say hands an answer to who waits for it; further ones are of no use.
func (o *occupant) say(a answer) {
	if o.answer == nil {
		return
	}
	select {
	case o.answer <- a:
	default:
	}
}

// present handles available presence: somebody is in the room, perhaps we.
// Called with mu held.
func (r *Room) present(o *occupant, nick string, p *packet.Presence) (h heard, tell bool) {
	if nick == "" {
		return h, false
	}
	user, _ := p.MUCUser()
	if r.watcher == nil || o == r.bot && r.watcher != o {
		r.watcher = o // a join brings the presences of all
		clear(r.members)
	}
	var was *member
	if r.watcher == o {
		was = r.come(nick, p, user)
	}
	self := user.Has(110) || nick == o.nick && o.phase == joining
	if !self {
		return r.joined(o, nick, was, user.Item())
	}
	o.heard = r.o.Now()
	if role := user.Item().Role; role != "" && role != o.role {
		if o.role == "visitor" && o.phase == in {
			r.recovered(o) // it has got a voice (XEP-0045 §8.3)
		}
		o.role = role
		if o == r.bot && r.info != nil {
			r.state.Capabilities = r.capabilities()
			r.nudge()
		}
	}
	switch o.phase {
	case joining:
		o.leaving = false
		o.phase, o.nick = in, nick // the service may have changed the nick: status 210
		o.barred = false
		r.nicks[nick] = o
		if o == r.bot {
			r.began()
		}
		o.say(answer{created: user.Has(201)})
	case in:
		if o.nick != nick {
			delete(r.nicks, o.nick)
			o.nick = nick
			r.nicks[nick] = o
		}
		o.say(answer{}) // to a change of the nick
	case out:
	}
	return h, false
}

// come notes an occupant of the room, and gives what was known of it; nil if it
// is new. Called with mu held.
func (r *Room) come(nick string, p *packet.Presence, user packet.MUCUser) (was *member) {
	m := r.members[nick]
	if m == nil {
		if len(r.members) >= maxMembers {
			return &member{}
		}
		r.joins++
		m = &member{look: convert.Skeleton(nick), stay: r.joins}
		r.members[nick] = m
	} else {
		known := *m
		was = &known
	}
	item := user.Item()
	m.role, m.affiliation = item.Role, item.Affiliation
	if item.JID != "" {
		m.jid = convert.Bare(item.JID)
	}
	if r.about().occupants {
		m.id = occupantID(&p.Attrs)
	}
	return was
}

// absent handles unavailable presence: somebody left the room, or was renamed.
// Called with mu held.
func (r *Room) absent(o *occupant, nick string, p *packet.Presence) (h heard, tell bool) {
	user, _ := p.MUCUser()
	renamed := user.Has(303) && user.Item().Nick != ""
	if !renamed && nick != o.nick {
		h, tell = r.parted(o, nick, r.occupying(nick), user)
	}
	if r.watcher == o {
		m := r.members[nick]
		delete(r.members, nick)
		if renamed && m != nil {
			m.look = convert.Skeleton(user.Item().Nick)
			r.members[user.Item().Nick] = m
		}
	}
	if nick != o.nick {
		return h, tell
	}
	if o.leaving || o.phase == out {
		o.leaving = false
		return h, false
	}
	if renamed {
		delete(r.nicks, o.nick)
		o.nick = user.Item().Nick
		r.nicks[o.nick] = o
		return h, false
	}
	r.expelled(o, user)
	return h, false
}

// expelled handles that one of ours is no longer in the room. Called with mu held.
func (r *Room) expelled(o *occupant, user packet.MUCUser) {
	why, wait := leftBecause(user)
	if destroy, ok := user.Element.Child(packet.NSMUCUser, "destroy"); ok && !r.o.Create {
		r.destroyed(destroy)
	}
	if o.phase == joining {
		o.say(answer{err: &packet.Error{Type: "wait", Condition: "resource-constraint"}})
		return
	}
	if o.key != "" && (user.Has(301) || user.Has(307) && !user.Has(333)) {
		r.gone(o, why)
		r.putOut(o, user)
		return
	}
	r.gone(o, why)
	if wait > 0 {
		o.refused = r.o.Now().Add(wait)
		o.barred = user.Has(301) || user.Has(321) || user.Has(322)
	}
	switch {
	case r.ended != nil:
	case o == r.bot && r.o.Source:
		r.retry = r.o.Now().Add(max(wait, time.Second))
		r.setState(sdk.StateDown, reasonOf(why))
	case r.anyIn() == nil:
		r.info = nil // the room may be gone: ask again
		r.setState(sdk.StateDegraded, reasonOf(why))
	}
}

// destroyed notes that the room is no more (XEP-0045 §10.9). Nobody asks for it
// again before the next connection, or a change of the configuration. Called with
// mu held.
func (r *Room) destroyed(destroy xmltok.Element) {
	text := "the room was destroyed"
	if reason := destroy.ChildText(packet.NSMUCUser, "reason"); reason != "" {
		text += ": " + reason
	}
	if venue := destroy.Get("jid"); venue != "" {
		text += "; people are asked to meet in " + venue
	}
	r.ended = &sdk.Error{Op: "stay in " + r.o.JID, Kind: sdk.Gone, Public: text}
	r.info = nil
	r.setState(sdk.StateFailed, text)
}

// leftBecause reads why the room took us out (XEP-0045 §15.6.2), and how long a
// rejoin should wait so that it does not look like a fight.
func leftBecause(user packet.MUCUser) (*sdk.Error, time.Duration) {
	text, wait := "we left the room", time.Duration(0)
	switch {
	case user.Has(301):
		text, wait = "the room has banned us", 10*time.Minute
	case user.Has(333):
		text = "the connection to the room had an error"
	case user.Has(307):
		text, wait = "we were removed from the room", 30*time.Second
	case user.Has(321), user.Has(322):
		text, wait = "the room is for members only now, and we are none", time.Minute
	case user.Has(332):
		text, wait = "the room's service goes down", 2*time.Second
	default:
		if _, ok := user.Element.Child(packet.NSMUCUser, "destroy"); ok {
			text, wait = "the room was destroyed", 10*time.Second
		}
	}
	return &sdk.Error{Op: "stay in the room", Kind: sdk.Transient, Public: text, After: wait}, wait
}

// checkOccupants asks for those that heard nothing for long whether they are
// still in (XEP-0410), and takes out puppets that said nothing for long.
func (r *Room) checkOccupants(ctx context.Context) {
	r.mu.Lock()
	now := r.o.Now()
	var ask, idle []*occupant
	for _, o := range r.nicks {
		switch {
		case !r.up:
		case r.o.Idle > 0 && o.key != "" && now.Sub(o.used) > r.o.Idle && len(r.pending) == 0:
			idle = append(idle, o)
		case r.o.SelfPing > 0 && now.Sub(o.heard) > r.o.SelfPing:
			ask = append(ask, o)
		}
	}
	r.mu.Unlock()
	for _, o := range idle {
		r.leave(ctx, o)
	}
	for _, o := range ask {
		r.selfPing(ctx, o)
	}
}

// selfPing asks the room whether an occupant is in it (XEP-0410 §3.2). It
// reports false when the room says that it is not.
func (r *Room) selfPing(ctx context.Context, o *occupant) bool {
	r.mu.Lock()
	nick, epoch, phase := o.nick, r.epoch, o.phase
	r.mu.Unlock()
	if phase != in {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	iq := &packet.IQ{Attrs: packet.Attrs{From: o.from, To: r.o.JID + "/" + nick, Type: "get"}, Payload: xmltok.New(packet.NSPing, "ping", "")}
	_, err := r.stream.IQ(ctx, iq)
	r.mu.Lock()
	defer r.mu.Unlock()
	var refusal *packet.Error
	if err == nil || !errors.As(err, &refusal) || stillIn(refusal.Condition) {
		if err == nil || refusal != nil {
			o.heard = r.o.Now()
		}
		return true
	}
	if r.epoch != epoch || o.phase != in {
		return false
	}
	r.gone(o, &sdk.Error{Op: "stay in " + r.o.JID, Kind: sdk.Transient, Public: "we are no longer in the room", Err: refusal})
	r.info = nil
	if o == r.bot && r.o.Source {
		r.retry = time.Time{}
		r.setState(sdk.StateDown, "we are no longer in the room")
	}
	return false
}

// stillIn reports whether a refusal of a self-ping leaves the occupant where it is.
func stillIn(condition string) bool {
	switch condition {
	case "service-unavailable", "feature-not-implemented", "item-not-found", "remote-server-not-found", "remote-server-timeout":
		return true
	default:
		return false
	}
}
