package chat

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// refusal turns an error stanza for a message into the error of its delivery.
func refusal(user string, e *packet.Error) *sdk.Error {
	out := &sdk.Error{Op: "send to " + user, Kind: sdk.Forbidden, Err: e}
	switch {
	case e.Temporary(), e.Condition == "remote-server-timeout", e.Condition == "resource-constraint", e.Condition == "internal-server-error":
		out.Kind, out.Public = sdk.Transient, "the person's server takes no messages now"
	case e.Condition == "item-not-found", e.Condition == "gone", e.Condition == "remote-server-not-found", e.Condition == "jid-malformed":
		out.Kind, out.Public = sdk.NotFound, "there is no such person: "+e.Condition
	case e.Condition == "bad-request", e.Condition == "feature-not-implemented":
		out.Kind, out.Public = sdk.Invalid, "the person's server does not understand the message: "+e.Condition
	default: // also RFC 6121 §8.5.2: service-unavailable for a person who is away, or who blocks us (XEP-0191 §3.2)
		out.Public = "the person cannot be reached: " + e.Condition
	}
	return out
}

// failed takes an error stanza. One that answers a message still on its way ends
// that delivery; a later one is told to the author as a signal. There is no
// answer to an error, and all of them are taken (RFC 6120 §8.3.1).
func (c *Chats) failed(ctx context.Context, m *packet.Message) {
	e := m.Error
	if e == nil {
		e = &packet.Error{Type: "cancel", Condition: "undefined-condition"}
	}
	id := convert.PartsOf(m.ID)[0]
	c.mu.Lock()
	if s := c.sent[m.ID]; s != nil && packet.SameJID(convert.Bare(m.From), s.to) {
		if s.err == nil {
			s.err = e
		}
		c.mu.Unlock()
		return
	}
	l, ok := c.recent.get(id)
	c.mu.Unlock()
	if !ok || !packet.SameJID(convert.Bare(m.From), l.user) {
		return
	}
	ev := sdk.Event{
		Time: c.o.Now(), Place: sdk.Ref{ID: l.place}, Actor: c.person(l.user, ""),
		Change: sdk.Signal{Signal: sdk.SignalFailed, Target: sdk.Target{Remote: l.remote}, Text: refusal(l.user, e).Public},
	}
	if err := c.events.Put(ctx, ev); err != nil {
		c.o.Log.Debug("late failure not told", "error", err)
	}
}

// Inform implements sdk.Informed: the sender of a message that could not be
// brought to the other side gets it back as an error, and hears once of each
// kind of loss.
func (c *Chats) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	for i := range outcomes {
		o := &outcomes[i]
		id, ok := convert.ParseRemote(o.Origin)
		if !ok || id.From == "" || id.Room == "" || id.Message == "" {
			continue // of a room that names its messages, or of no message
		}
		user, err1 := packet.ParseJID(id.From)
		ours, err2 := packet.ParseJID(id.Room)
		if err1 != nil || err2 != nil || user.Localpart() == "" {
			continue
		}
		t, ok := c.talkWith(user, ours)
		if !ok {
			continue
		}
		if o.State == sdk.OutcomeDelivered {
			c.hint(ctx, t, o.Loss)
			continue
		}
		c.bounce(ctx, t, id.Message, undelivered(o.Reason))
	}
	return nil
}

// refused tells the sender of an event that the host will never take. A change of
// somebody else's message names that one, so the message that asked for it is
// known by its key.
func (c *Chats) refused(ctx context.Context, ev *sdk.Event, why error) {
	i := strings.LastIndexByte(ev.Dedup, '|')
	if i < 0 {
		return // a signal: nobody waits for an answer
	}
	id, ok := convert.ParseRemote(sdk.RemoteID(ev.Dedup[:i]))
	if !ok || id.Message == "" {
		return
	}
	user, err1 := packet.ParseJID(id.From)
	ours, err2 := packet.ParseJID(id.Room)
	if err1 != nil || err2 != nil {
		return
	}
	t, ok := c.talkWith(user, ours)
	if !ok {
		return
	}
	kind := sdk.KindOf(why)
	answer := packet.Error{Type: "cancel", Condition: "not-acceptable", Text: "the bridge refused the message: " + kind.String()}
	if change := ev.Kind(); kind == sdk.Forbidden {
		answer.Type, answer.Condition = "auth", "forbidden"
		if change == sdk.KindItemUpdated || change == sdk.KindItemRetracted {
			answer.Text = "only who wrote a message can change it or take it back"
		}
	}
	c.bounce(ctx, t, id.Message, &answer)
}

// undelivered is the error for a message that did not come through, with a reason for people.
func undelivered(reason string) *packet.Error {
	return &packet.Error{Type: "cancel", Condition: "recipient-unavailable", Text: cmp.Or(reason, "the message could not be delivered")}
}

// bounce gives a message back to who sent it. An error to a bare JID would be
// dropped (RFC 6121 §8.5.2.1.1), so where the sender's full JID is not known any
// more it is told in words.
func (c *Chats) bounce(ctx context.Context, t talk, id string, why *packet.Error) {
	c.mu.Lock()
	full, ok := c.last.get(t.scope())
	c.mu.Unlock()
	if !ok {
		c.say(ctx, t, "This message of yours was not delivered: "+why.Text, id)
		return
	}
	c.send(ctx, &packet.Message{Attrs: packet.Attrs{From: t.from, To: full, ID: id, Type: "error", Error: why}})
}

// hintEvery is how often a person is told again of the same kind of loss.
const hintEvery = 24 * time.Hour

// hints are the losses worth a word to the author: what people would else
// believe to have been seen.
var hints = map[sdk.LossKind]string{
	sdk.LossUpdate:   "Your contact's network cannot show edits; the contact still sees the first version, or both.",
	sdk.LossRetract:  "Your contact's network cannot take messages back; the contact still sees it.",
	sdk.LossReaction: "Your contact's network cannot show this reaction.",
	sdk.LossText:     "Your message was too long for your contact's network and was shortened.",
	sdk.LossMedia:    "Your contact's network cannot show this file; the contact got its address, or nothing.",
	sdk.LossSealed:   "Your contact cannot read encrypted messages over this bridge.",
}

// hint tells a person what of a message did not cross, once a day for each kind.
func (c *Chats) hint(ctx context.Context, t talk, loss []sdk.Loss) {
	for _, l := range loss {
		if text := hints[l.Kind]; text != "" && c.once("loss "+string(l.Kind), t, hintEvery) {
			c.say(ctx, t, text, "")
		}
	}
}

// once reports whether it is time to tell the person of the conversation about
// what, and remembers that it was told.
func (c *Chats) once(what string, t talk, every time.Duration) bool {
	key := what + " " + t.scope()
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.told.get(key); ok && now.Sub(at) < every {
		return false
	}
	c.told.put(key, now)
	return true
}

// say sends a note of the bridge itself into a conversation; about is the id of
// the message that it is about, if any. Its own id has our tag, so that an
// answer to it is never taken for an answer to the foreign author's words.
func (c *Chats) say(ctx context.Context, t talk, text, about string) {
	m := &packet.Message{
		Attrs:  packet.Attrs{From: t.from, To: t.user, ID: noticeID(c.o.Tag, t, text, about, c.o.Now()), Type: "chat"},
		Bodies: []packet.Text{{Text: "[bridge] " + text}},
	}
	c.send(ctx, m)
}

// noticeID gives the id of a note.
func noticeID(tag string, t talk, text, about string, now time.Time) string {
	return convert.MessageID(tag, sdk.DeliveryID(fmt.Sprint("note ", t.place, " ", text, " ", about, " ", now.UnixNano())))
}

func (c *Chats) send(ctx context.Context, m *packet.Message) {
	if err := c.stream.Send(ctx, m); err != nil {
		c.o.Log.Debug("answer not sent", "error", err)
	}
}
