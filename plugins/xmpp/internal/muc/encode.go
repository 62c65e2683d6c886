package muc

import (
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/sdk"
)

// expressible reports whether a delivery can be said in a room at all.
func expressible(d *sdk.Delivery) bool {
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated, sdk.ItemUpdated, sdk.ItemRetracted, sdk.ReactionsSet, sdk.MemberChanged,
		sdk.ActorUpdated, sdk.ActorGone, sdk.Signal:
		return true
	case sdk.ConversationUpdated:
		return c.Topic != nil
	default:
		return false
	}
}

// maxParts is the most messages that one item takes in a room: long text is
// split, and each file has its own.
const maxParts = 8

// encode makes the messages of a delivery. None mean that there is nothing to
// send; the loss then says why.
func (r *Room) encode(d *sdk.Delivery, o *occupant, direct bool) ([]convert.Message, *pending, []sdk.Loss) {
	r.mu.Lock()
	about := r.about()
	env := convert.Envelope{Prefix: o.prefix, ID: convert.MessageID(r.o.Tag, d.ID), Origin: !about.stable}
	r.mu.Unlock()
	one := func(data []byte) []convert.Message { return []convert.Message{{ID: env.ID, Data: data}} }
	target, known := convert.ParseRemote(d.Event.Target().Remote)
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated:
		return r.text(env, &c.Item, d, o, direct, nil)
	case sdk.ItemUpdated:
		if known && target.Message != "" {
			env.Replace = target.Message
			return r.text(env, &c.Item, d, o, direct, target.More)
		}
		messages, p, loss := r.text(env, &c.Item, d, o, direct, nil)
		return messages, p, append(loss, sdk.Loss{Kind: sdk.LossUpdate, Detail: "shown as a new message"})
	case sdk.ItemRetracted:
		if !known || target.Stanza == "" {
			return nil, nil, []sdk.Loss{{Kind: sdk.LossRetract, Detail: "the room's id of the message is not known"}}
		}
		return convert.Retractions(env, append([]string{target.Stanza}, target.More...)...), &pending{}, nil
	case sdk.ReactionsSet:
		if !direct || !known || target.Stanza == "" {
			return nil, nil, []sdk.Loss{{Kind: sdk.LossReaction, Detail: "cannot be shown in this room"}}
		}
		reactions := about.permitted(c.Reactions)
		var loss []sdk.Loss
		if len(reactions) < len(c.Reactions) {
			loss = []sdk.Loss{{Kind: sdk.LossReaction, Detail: "the room does not allow all of them"}}
		}
		return one(convert.AppendReactions(nil, env, target.Stanza, reactions)), &pending{}, loss
	case sdk.ConversationUpdated:
		var loss []sdk.Loss
		if c.Title != "" {
			loss = []sdk.Loss{{Kind: sdk.LossKindless, Detail: "a new title is not shown in a room"}}
		}
		return one(subject(env, c.Topic.Plain)), &pending{mild: sdk.LossKindless, topic: &c.Topic.Plain}, loss
	}
	return nil, nil, nil
}

// text makes the messages of an item. old are the stanza-ids of the further
// messages of the version that is corrected.
func (r *Room) text(env convert.Envelope, it *sdk.Item, d *sdk.Delivery, o *occupant, direct bool, old []string) ([]convert.Message, *pending, []sdk.Loss) {
	r.mu.Lock()
	longest := r.longest()
	r.mu.Unlock()
	style := convert.Style{MaxText: longest, Parts: maxParts, Room: true, Mention: r.mentioned}
	var loss []sdk.Loss
	if !direct {
		style.Author = wantedNick(d.Event.Actor)
	} else if o.nick != convert.Nick(d.Event.Actor.DisplayName()) {
		loss = append(loss, sdk.Loss{Kind: sdk.LossName, Detail: "appears as " + o.nick})
	}
	if !it.ReplyTo.IsZero() && env.Replace == "" {
		if to, ok := convert.ParseRemote(it.ReplyTo.Remote); ok && to.Stanza != "" {
			style.Parent = r.parent(to.Stanza)
		} else {
			loss = append(loss, sdk.Loss{Kind: sdk.LossReply, Detail: "shown without its parent"})
		}
	}
	messages, lost := convert.AppendItem(it, env, style, old...)
	loss = append(loss, lost...)
	if len(messages) == 0 {
		return nil, nil, append(loss, sdk.Loss{Kind: sdk.LossKindless, Detail: "there is nothing to show"})
	}
	p := &pending{text: excerpt(it.Body())}
	if env.Replace == "" {
		p.item = it.ID
	}
	return messages, p, loss
}

// parent says what a message answers, with as much of it as is in memory.
func (r *Room) parent(stanza string) *convert.Parent {
	p := &convert.Parent{ID: stanza}
	v := r.recall(func(s *seen) *sight { return s.stanza(stanza) })
	if v != nil {
		p.JID, p.Name, p.Text = v.from, convert.Resource(v.from), v.text
	}
	return p
}

// mentioned gives the occupant that a mention means, where one is known.
func (r *Room) mentioned(m sdk.Mention) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.puppetOf(m.Actor); o != nil && o.phase == in {
		return r.o.JID + "/" + o.nick
	}
	if nick, who := r.whoIs(m.Actor); who != nil {
		return r.o.JID + "/" + nick
	}
	return ""
}
