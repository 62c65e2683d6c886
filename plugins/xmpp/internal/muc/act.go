package muc

import (
	"context"
	"encoding/xml"
	"errors"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// NSMUCAdmin is for what moderators and admins do to others (XEP-0045 §9).
const NSMUCAdmin = "http://jabber.org/protocol/muc#admin"

// act does what is no message: it takes messages of others back, puts people out,
// and lets puppets follow their authors. It reports whether the delivery was of
// that kind. Signals are dropped, as they may be: rooms should not carry typing
// (XEP-0085 §5.5), and nobody asks a room for receipts.
func (r *Room) act(ctx context.Context, rec *sdk.Receipt, d *sdk.Delivery) (bool, *sdk.Error) {
	var loss []sdk.Loss
	var err *sdk.Error
	switch c := d.Event.Change.(type) {
	case sdk.ItemRetracted:
		target, known := convert.ParseRemote(c.Target.Remote)
		if !c.Moderated || !known || target.Stanza == "" {
			return false, nil
		}
		var done bool
		if done, err = r.moderate(ctx, target, c.Reason); !done && err == nil {
			return false, nil // the author's own occupant may still do it
		}
	case sdk.MemberChanged:
		loss, err = r.putPerson(ctx, c)
	case sdk.ActorUpdated:
		r.mu.Lock()
		o := r.puppetOf(d.Event.Actor.Home)
		r.mu.Unlock()
		if o != nil {
			err = r.rename(ctx, o, wantedNick(d.Event.Actor))
		}
	case sdk.ActorGone:
		r.quit(ctx, d.Event.Actor.Home)
	case sdk.Signal:
	default:
		return false, nil
	}
	if err == nil {
		rec.Unsent, rec.Loss = false, loss
	}
	return true, err
}

// asModerator makes sure that the link's own occupant is in the room, and reports
// whether it may moderate. Where authors have their own occupants and nobody
// listens it only stays if it may.
func (r *Room) asModerator(ctx context.Context) (bool, *sdk.Error) {
	r.mu.Lock()
	powerless := r.bot.phase != in && r.bot.powerless == r.epoch+1
	r.mu.Unlock()
	if powerless {
		return false, nil
	}
	if err := r.enter(ctx, r.bot, time.Time{}); err != nil {
		return false, err
	}
	r.mu.Lock()
	may, stays := r.bot.role == "moderator", r.o.Source || r.o.Puppet == nil
	if !may {
		r.bot.powerless = r.epoch + 1
	}
	r.mu.Unlock()
	if !may && !stays {
		r.leave(ctx, r.bot)
	}
	return may, nil
}

// moderate takes a message back as a moderator, in the version of XEP-0425 that
// the room speaks. It reports false where that cannot be done.
func (r *Room) moderate(ctx context.Context, target convert.ID, reason string) (bool, *sdk.Error) {
	if err := r.probe(ctx, r.bot.from); err != nil {
		return false, err
	}
	r.mu.Lock()
	about := r.about()
	r.mu.Unlock()
	if !about.moderates && !about.moderatesOld {
		return false, nil
	}
	if may, err := r.asModerator(ctx); !may || err != nil {
		return false, err
	}
	payload, err := moderation(target.Stanza, reason, about.moderates)
	if err != nil {
		return false, sdk.Errorf(sdk.Invalid, "moderate in "+r.o.JID, "write the request: %w", err)
	}
	refused, bad := r.command(ctx, payload)
	return refused == "" && bad == nil, bad
}

// moderation writes the request (XEP-0425 §3, or its version 0.2).
func moderation(stanza, reason string, now bool) (xmltok.Element, error) {
	var w xmltok.Writer
	space, retract := convert.NSModerate, convert.NSRetract
	if now {
		w.Start(space, "moderate", xmltok.A("id", stanza))
	} else {
		space, retract = convert.NSModerateOld, convert.NSRetractOld
		w.Start(convert.NSFasten, "apply-to", xmltok.A("id", stanza)).Start(space, "moderate")
	}
	w.Start(retract, "retract").End()
	if reason != "" {
		w.Start(space, "reason").Text(reason).End()
	}
	return w.Element()
}

// command asks the room for something as the link's own occupant. What the room
// refuses comes back as the condition; err says that it did not answer.
func (r *Room) command(ctx context.Context, payload xmltok.Element) (refused string, err *sdk.Error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	_, failed := r.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: r.bot.from, To: r.o.JID, Type: "set"}, Payload: payload})
	var refusal *packet.Error
	switch {
	case failed == nil:
		return "", nil
	case errors.As(failed, &refusal) && !refusal.Temporary():
		return refusal.Condition, nil
	default:
		return "", &sdk.Error{Op: "ask " + r.o.JID, Kind: sdk.Transient, Public: "the room does not answer", Err: failed}
	}
}

// putPerson carries out that somebody was put out of a place that is kept in step
// with the room: its own people as far as our rights go, and puppets by leaving.
func (r *Room) putPerson(ctx context.Context, c sdk.MemberChanged) ([]sdk.Loss, *sdk.Error) {
	kindless := func(detail string) []sdk.Loss { return []sdk.Loss{{Kind: sdk.LossKindless, Detail: detail}} }
	switch c.Membership {
	case sdk.MemberKicked, sdk.MemberBanned:
	case sdk.MemberLeft:
		r.quit(ctx, c.Member)
		return nil, nil
	default:
		return kindless("who comes and goes elsewhere is not shown in a room"), nil
	}
	if r.quit(ctx, c.Member) {
		return nil, nil
	}
	r.mu.Lock()
	nick, m := r.whoIs(c.Member)
	r.mu.Unlock()
	jid := realJID(c.Member, r.o.JID)
	if m != nil && m.jid != "" {
		jid = m.jid
	}
	if m == nil && (c.Membership == sdk.MemberKicked || jid == "") {
		return kindless("nobody is known here by that name"), nil
	}
	may, err := r.asModerator(ctx)
	if err != nil {
		return nil, err
	}
	if !may {
		return kindless("the bridge may not put people out of the room"), nil
	}
	item := []xml.Attr{xmltok.A("nick", nick), xmltok.A("role", "none")}
	if c.Membership == sdk.MemberBanned && jid != "" {
		item = []xml.Attr{xmltok.A("jid", jid), xmltok.A("affiliation", "outcast")}
	}
	refused, err := r.commandItem(ctx, item, c.Reason)
	switch {
	case err != nil:
		return nil, err
	case refused != "":
		return kindless("the room refused to put somebody out: " + refused), nil
	case c.Membership == sdk.MemberBanned && jid == "":
		return kindless("removed only: the room does not show whom to ban"), nil
	default:
		return nil, nil
	}
}

// commandItem changes the role or the affiliation of somebody (XEP-0045 §9).
func (r *Room) commandItem(ctx context.Context, item []xml.Attr, reason string) (refused string, err *sdk.Error) {
	payload, bad := new(xmltok.Writer).Start(NSMUCAdmin, "query").Start(NSMUCAdmin, "item", item...).
		Start(NSMUCAdmin, "reason").Text(reason).Element()
	if bad != nil {
		return "", sdk.Errorf(sdk.Invalid, "change a member of "+r.o.JID, "write the request: %w", bad)
	}
	return r.command(ctx, payload)
}

// quit takes the puppet of an author out of the room. It reports whether there is
// one.
func (r *Room) quit(ctx context.Context, home sdk.Ref) bool {
	r.mu.Lock()
	o := r.puppetOf(home)
	r.mu.Unlock()
	if o == nil {
		return false
	}
	r.leave(ctx, o)
	return true
}

// subject makes the message that sets the topic (XEP-0045 §8.1).
func subject(env convert.Envelope, topic string) []byte {
	b := append([]byte(nil), env.Prefix...)
	b = xmltok.AppendAttr(b, "id", env.ID)
	b = append(b, "><subject>"...)
	b = xmltok.AppendText(b, topic)
	return append(b, "</subject></message>"...)
}

// speaker gives the occupant that says what a delivery asks for. None means that
// nobody may; the loss says why.
func (r *Room) speaker(ctx context.Context, d *sdk.Delivery) (o *occupant, direct bool, loss []sdk.Loss, err *sdk.Error) {
	switch c := d.Event.Change.(type) {
	case sdk.ConversationUpdated:
		// Rooms let moderators set the topic, and the link's own occupant may be one.
		r.mu.Lock()
		moderator := r.bot.phase == in && r.bot.role == "moderator"
		r.mu.Unlock()
		if moderator {
			return r.bot, false, nil, nil
		}
	case sdk.ItemRetracted:
		if !c.Moderated {
			break
		}
		// Who moderates elsewhere is no moderator here; but what we said ourselves
		// can be taken back by the occupant that said it (XEP-0424 §5.1).
		if o := r.saidBy(ctx, c.Target); o != nil {
			if err := r.enter(ctx, o, time.Time{}); err != nil {
				return nil, false, nil, err
			}
			return o, o != r.bot, nil, nil
		}
		return nil, false, []sdk.Loss{{Kind: sdk.LossRetract, Detail: "the bridge is no moderator of the room"}}, nil
	}
	o, direct, err = r.author(ctx, d.Event.Actor)
	return o, direct, nil, err
}

// saidBy finds the occupant of ours that sent a message; nil when it was somebody
// else, or is not known any more.
func (r *Room) saidBy(ctx context.Context, target sdk.Target) *occupant {
	id, ok := convert.ParseRemote(target.Remote)
	if !ok || id.Stanza == "" || !r.tagged(id.Message) {
		return nil
	}
	v := r.target(ctx, id.Stanza)
	if v == nil || v.author != ownAuthor {
		return nil
	}
	nick := convert.Resource(v.from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.nicks[nick]; o != nil {
		return o
	}
	for _, o := range r.occupants {
		if o.nick == nick && !o.muted {
			return o
		}
	}
	return nil
}
