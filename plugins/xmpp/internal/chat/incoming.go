package chat

import (
	"context"
	"time"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// sealedEvery is how often a person is told that encrypted messages do not cross.
const sealedEvery = time.Hour

// HandleMessage takes a message to one of our addresses, and reports whether it
// belongs to a conversation of this package.
func (c *Chats) HandleMessage(ctx context.Context, m *packet.Message) bool {
	if m.Type == "groupchat" || m.Type == "headline" {
		return false
	}
	if m = c.unwrapped(m); m == nil {
		return true
	}
	user, err1 := m.FromJID()
	ours, err2 := m.ToJID()
	if err1 != nil || err2 != nil {
		return false
	}
	if ours.Equal(jid.JID{}) { // a client's server may leave it out (RFC 6120 §8.1.1.1)
		if ours, err2 = packet.ParseJID(c.o.Own); err2 != nil {
			return false
		}
	}
	t, ok := c.talkWith(user, ours)
	switch {
	case !ok:
		return false
	case m.Type == "error":
		c.failed(ctx, m)
		return true
	case convert.Relayed(m.ID, m.OriginID()):
		return true // another bridge's message: it would go round
	}
	if user.Resourcepart() != "" {
		c.mu.Lock()
		c.last.put(t.scope(), user.String())
		c.mu.Unlock()
	}
	for _, ev := range c.read(ctx, t, m) {
		if err := c.events.Put(ctx, ev); err != nil {
			c.o.Log.Warn("message not taken", "error", err)
			return true
		}
	}
	return true
}

// unwrapped gives the message itself, or the one inside a carbon copy of our
// account's own server (XEP-0280). Every other wrapper gives nil: carbons from
// elsewhere are forged (XEP-0280 §11, XM-06), copies of what our account sent
// are no news, archive results that nobody here asked for prove nothing (XM-07),
// and neither does what somebody forwards without a word.
func (c *Chats) unwrapped(m *packet.Message) *packet.Message {
	inner, kind := convert.Unwrap(m)
	switch {
	case kind == convert.Unwrapped:
		return m
	case kind == convert.CarbonReceived && inner != nil && c.o.From == "" && packet.SameJID(m.From, c.o.Own):
		return inner
	default:
		c.ignored.Add(1)
		return nil
	}
}

// Ignored counts the forged and foreign wrappers that were not believed.
func (c *Chats) Ignored() uint64 { return c.ignored.Load() }

// person names a person of our network as the author of an event.
func (c *Chats) person(bare, nick string) sdk.Actor {
	a := sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(bare)}, Handle: bare, Name: nick}
	if c.o.Name != nil {
		if name := c.o.Name(bare); name != "" {
			a.Name = name
		}
	}
	return a
}

// read turns a message into events.
func (c *Chats) read(ctx context.Context, t talk, m *packet.Message) []sdk.Event {
	r := convert.FromChat(m, c.o.Now())
	base := sdk.Event{Time: c.o.Now(), Place: sdk.Ref{ID: t.place}, Actor: c.person(t.user, r.Nick)}
	var out []sdk.Event
	for _, s := range r.Signals {
		ev := base
		ev.Change = sdk.Signal{Signal: s.Kind, Target: c.target(t, s.Target)}
		out = append(out, ev)
	}
	if r.Kind == convert.Sealed {
		if c.once("sealed", t, sealedEvery) {
			c.say(ctx, t, "Your message was encrypted, and the bridge cannot read it. It was not delivered. "+
				"Please turn off encryption for this contact and send it again.", m.ID)
		}
		return out
	}
	change := c.change(t, &r)
	if change == nil {
		return out
	}
	base.Change = change
	base.Want = r.Kind != convert.React
	if r.ID.Message != "" {
		base.Dedup = string(t.theirs(r.ID.Message).Remote()) + "|" + change.Kind().String()
	} else if id := m.StanzaID(c.o.Own); id != "" { // an account hears it live and from its archive
		base.Dedup = "archive " + id + " " + t.scope()
	}
	return append(out, base)
}

// change gives what a message says has happened; nil for nothing. Corrections
// and retractions are of the sender's own messages (XEP-0308 §4, XEP-0424 §5): an
// id of ours there names nothing of theirs, and the host refuses it.
func (c *Chats) change(t talk, r *convert.Reading) sdk.Change {
	switch r.Kind {
	case convert.Text, convert.Correct:
		it := r.Item
		c.localise(it.Mentions)
		if !t.named { // a route's place is open to whom the operator's rule says
			it.Visibility = sdk.VisibilityDirect
		}
		it.ReplyTo = c.target(t, r.ReplyTo)
		if r.Kind == convert.Correct {
			target := c.target(t, r.Target)
			it.Origin.ID = target.Remote
			c.remember(t, target.Remote, &it, false)
			return sdk.ItemUpdated{Target: target, Item: it}
		}
		it.Origin.ID = t.theirs(r.ID.Message).Remote()
		c.remember(t, it.Origin.ID, &it, false)
		c.known(t, r.ID)
		return sdk.ItemCreated{Item: it}
	case convert.Retract:
		return sdk.ItemRetracted{Target: c.target(t, r.Target)}
	case convert.React:
		return sdk.ReactionsSet{Target: c.target(t, r.Target), Reactions: r.Reactions}
	default:
		return nil
	}
}

// localise gives mentions of virtual addresses the name that they have in the
// other network.
func (c *Chats) localise(mentions []sdk.Mention) {
	if c.o.Gateway == nil {
		return
	}
	for i := range mentions {
		j, err := packet.ParseJID(string(mentions[i].Actor.ID))
		if err != nil || j.Domainpart() != c.o.Gateway.Domain {
			continue
		}
		if foreign, err := c.o.Gateway.Foreign(j); err == nil {
			mentions[i].Actor = sdk.Ref{Link: c.o.Peer, ID: sdk.RemoteID(foreign)}
		}
	}
}

// maxQuoted is the most text of a message that is kept to be quoted.
const maxQuoted = 700

// quoted is what a reply quotes for clients without XEP-0461.
type quoted struct{ name, text string }

// remember keeps what replies may quote.
func (c *Chats) remember(t talk, remote sdk.RemoteID, it *sdk.Item, ours bool) {
	text := it.Body()
	if remote == "" || text == "" {
		return
	}
	q := quoted{text: text[:min(len(text), maxQuoted)]} // convert cuts at a character
	if !ours && c.o.Name != nil {
		q.name = c.o.Name(t.user)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts.put(remote, q)
}

// known keeps that a message has two ids.
func (c *Chats) known(t talk, id convert.ID) {
	if id.Origin == "" || id.Origin == id.Message {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alias.put(t.scope()+" "+id.Origin, id.Message)
	c.origins.put(t.scope()+" "+id.Message, id.Origin)
}
