package chat

import (
	"context"
	"fmt"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// compose makes the messages of a delivery, in order, says what they cannot
// show, and how the copy is called that they make, if they make one. No messages
// mean that there is nothing to send.
func (c *Chats) compose(t talk, d *sdk.Delivery) (messages []convert.Message, loss []sdk.Loss, copied sdk.RemoteID) {
	env := convert.Envelope{Prefix: convert.MessagePrefix("chat", t.from, t.user), ID: c.messageID(d), Origin: true}
	target, theirs, known := messageOf(t, d.Event.Target().Remote)
	lost := func(kind sdk.LossKind, detail string) ([]convert.Message, []sdk.Loss, sdk.RemoteID) {
		return nil, []sdk.Loss{{Kind: kind, Detail: detail}}, ""
	}
	switch change := d.Event.Change.(type) {
	case sdk.ItemCreated:
		return c.create(t, d, env, &change.Item, nil)
	case sdk.ItemUpdated:
		if !known || theirs {
			return c.create(t, d, env, &change.Item, []sdk.Loss{{Kind: sdk.LossUpdate, Detail: "shown as a new message"}})
		}
		env.Replace = target
		messages, loss = convert.AppendItem(&change.Item, env, c.style(t, d, &change.Item))
		return messages, loss, ""
	case sdk.ItemRetracted:
		if !known || theirs {
			return lost(sdk.LossRetract, "the message is not known here")
		}
		return convert.Retractions(env, convert.PartsOf(target)...), nil, ""
	case sdk.ReactionsSet:
		if !known {
			return lost(sdk.LossReaction, "the message is not known here")
		}
		return []convert.Message{{ID: env.ID, Data: convert.AppendReactions(nil, env, c.referred(t, target), change.Reactions)}}, nil, ""
	case sdk.Signal:
		if !theirs {
			target = "" // only what the person said can have arrived
		}
		return signal(env, &change, target), nil, ""
	default:
		return lost(sdk.LossKindless, fmt.Sprintf("%s cannot be said in a chat", d.Event.Kind()))
	}
}

// messageID gives the id of a delivery's message. A signal is no delivery that
// is ever repeated, and gets one of its own.
func (c *Chats) messageID(d *sdk.Delivery) string {
	if d.ID == "" {
		return convert.MessageID(c.o.Tag, sdk.DeliveryID(fmt.Sprintf("s%x.%d", c.o.Now().UnixNano(), c.serial.Add(1))))
	}
	return convert.MessageID(c.o.Tag, d.ID)
}

// style says how an item is put into this conversation.
func (c *Chats) style(t talk, d *sdk.Delivery, it *sdk.Item) convert.Style {
	s := convert.Style{MaxText: c.o.MaxText, Parts: c.o.Parts, Mention: c.mention}
	if t.named {
		s.Author = d.Event.Actor.DisplayName()
	}
	if !it.ReplyTo.IsZero() {
		s.Parent = c.parent(t, it.ReplyTo)
	}
	return s
}

// parent gives what a message answers, as far as it is known.
func (c *Chats) parent(t talk, to sdk.Target) *convert.Parent {
	p := &convert.Parent{}
	c.mu.Lock()
	q, _ := c.texts.get(to.Remote)
	c.mu.Unlock()
	p.Name, p.Text = q.name, q.text
	if id, theirs, ok := messageOf(t, to.Remote); ok {
		p.ID, p.JID = c.referred(t, id), t.ours
		if theirs {
			p.JID = t.user
		}
	}
	return p
}

// mention gives the address here of somebody who is mentioned.
func (c *Chats) mention(m sdk.Mention) string {
	if m.Actor.Link == c.o.Link {
		if j, err := packet.ParseJID(string(m.Actor.ID)); err == nil {
			return j.String()
		}
		return ""
	}
	if c.o.Gateway == nil || m.Actor.Link != c.o.Peer {
		return ""
	}
	j, err := c.o.Gateway.Virtual(string(m.Actor.ID))
	if err != nil {
		return ""
	}
	return j.String()
}

// create makes the messages of a new item. One of which nobody knows whether it
// was sent before goes as a correction of itself, so that who has it does not
// see it twice (docs/decisions/017).
func (c *Chats) create(t talk, d *sdk.Delivery, env convert.Envelope, it *sdk.Item, loss []sdk.Loss) ([]convert.Message, []sdk.Loss, sdk.RemoteID) {
	env.Receipt, env.Marker, env.State = true, true, convert.StateActive
	style := c.style(t, d, it)
	messages, more := convert.AppendItem(it, env, style)
	loss = append(loss, more...)
	if len(messages) == 0 {
		return nil, append(loss, sdk.Loss{Kind: sdk.LossKindless, Detail: "there is nothing to show"}), ""
	}
	first := messages[0].ID
	if d.Uncertain {
		env.Replace, env.ID = first, convert.MessageID(c.o.Tag, d.ID+".again")
		messages, _ = convert.AppendItem(it, env, style)
	}
	copied := t.ofOurs(first).Remote()
	c.remember(t, copied, it, true)
	return messages, loss, copied
}

// signal makes the message of a signal; none for one that says nothing here.
func signal(env convert.Envelope, s *sdk.Signal, target string) []convert.Message {
	env.Origin = false
	one := func(data []byte) []convert.Message { return []convert.Message{{ID: env.ID, Data: data}} }
	switch {
	case s.Signal == sdk.SignalTyping:
		return one(convert.AppendChatState(nil, env, convert.StateComposing))
	case s.Signal == sdk.SignalPaused:
		return one(convert.AppendChatState(nil, env, convert.StatePaused))
	case target == "":
		return nil
	case s.Signal == sdk.SignalReceived:
		return one(convert.AppendReceipt(nil, env, target))
	case s.Signal == sdk.SignalDisplayed:
		return one(convert.AppendDisplayed(nil, env, target))
	default:
		return nil
	}
}

// failedThere tells the person that a message of theirs was not delivered after all.
func (c *Chats) failedThere(ctx context.Context, t talk, d *sdk.Delivery) bool {
	s, ok := d.Event.Change.(sdk.Signal)
	if !ok || s.Signal != sdk.SignalFailed {
		return false
	}
	if target, theirs, known := messageOf(t, s.Target.Remote); known && theirs {
		c.bounce(ctx, t, target, undelivered(s.Text))
	}
	return true
}
