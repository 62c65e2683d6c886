package muc

import (
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/sdk"
)

// expressible reports whether a delivery can be said in a room at all.
func expressible(d *sdk.Delivery) bool {
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated, sdk.ItemUpdated, sdk.ItemRetracted, sdk.ReactionsSet, sdk.MemberChanged:
		return true
	case sdk.ConversationUpdated:
		return c.Topic != nil
	default:
		return false
	}
}

// encode makes the message of a delivery. No bytes mean that there is nothing to
// send; the loss then says why.
func (r *Room) encode(d *sdk.Delivery, o *occupant, direct bool) ([]byte, *pending, []sdk.Loss) {
	r.mu.Lock()
	env := convert.Envelope{Prefix: o.prefix, ID: convert.MessageID(r.o.Tag, d.ID), Origin: !r.about().stable}
	r.mu.Unlock()
	target, known := convert.ParseRemote(d.Event.Target().Remote)
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated:
		return r.text(env, &c.Item, d, o, direct, nil)
	case sdk.ItemUpdated:
		if known && target.Message != "" {
			env.Replace = target.Message
			return r.text(env, &c.Item, d, o, direct, nil)
		}
		return r.text(env, &c.Item, d, o, direct, []sdk.Loss{{Kind: sdk.LossUpdate, Detail: "shown as a new message"}})
	case sdk.ItemRetracted:
		if !known || target.Stanza == "" {
			return nil, nil, []sdk.Loss{{Kind: sdk.LossRetract, Detail: "the room's id of the message is not known"}}
		}
		return convert.AppendRetraction(nil, env, target.Stanza), &pending{}, nil
	case sdk.ReactionsSet:
		if !direct || !known || target.Stanza == "" {
			return nil, nil, []sdk.Loss{{Kind: sdk.LossReaction, Detail: "cannot be shown in this room"}}
		}
		r.mu.Lock()
		reactions := r.about().permitted(c.Reactions)
		r.mu.Unlock()
		var loss []sdk.Loss
		if len(reactions) < len(c.Reactions) {
			loss = []sdk.Loss{{Kind: sdk.LossReaction, Detail: "the room does not allow all of them"}}
		}
		return convert.AppendReactions(nil, env, target.Stanza, reactions), &pending{}, loss
	case sdk.ConversationUpdated:
		var loss []sdk.Loss
		if c.Title != "" {
			loss = []sdk.Loss{{Kind: sdk.LossKindless, Detail: "a new title is not shown in a room"}}
		}
		return subject(env, c.Topic.Plain), &pending{mild: sdk.LossKindless, topic: &c.Topic.Plain}, loss
	}
	return nil, nil, nil
}

// text makes a message with a body.
func (r *Room) text(env convert.Envelope, it *sdk.Item, d *sdk.Delivery, o *occupant, direct bool, loss []sdk.Loss) ([]byte, *pending, []sdk.Loss) {
	style := convert.Style{MaxText: r.o.MaxText}
	if !direct {
		style.Author = wantedNick(d.Event.Actor)
	} else if o.nick != convert.Nick(d.Event.Actor.DisplayName()) {
		loss = append(loss, sdk.Loss{Kind: sdk.LossName, Detail: "appears as " + o.nick})
	}
	content := convert.Compose(it, style)
	loss = append(loss, content.Loss...)
	if content.Body == "" {
		return nil, nil, append(loss, sdk.Loss{Kind: sdk.LossKindless, Detail: "there is nothing to show"})
	}
	if !it.ReplyTo.IsZero() && env.Replace == "" {
		if to, ok := convert.ParseRemote(it.ReplyTo.Remote); ok && to.Stanza != "" {
			env.ReplyTo = to.Stanza
			r.mu.Lock()
			if v := r.seen.stanza(to.Stanza); v != nil {
				env.ReplyAt = v.from
			}
			r.mu.Unlock()
		} else {
			loss = append(loss, sdk.Loss{Kind: sdk.LossReply, Detail: "shown without its parent"})
		}
	}
	p := &pending{}
	if env.Replace == "" {
		p.item = it.ID
	}
	return convert.AppendMessage(make([]byte, 0, len(env.Prefix)+len(content.Body)+512), env, content), p, loss
}
