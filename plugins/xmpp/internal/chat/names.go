package chat

import (
	"strings"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/sdk"
)

// theirs is the name of a message that the person of a conversation sent, ours
// of one that we brought.
func (t talk) theirs(id string) convert.ID {
	return convert.ID{Message: id, From: t.user, Room: t.ours}
}

func (t talk) ofOurs(id string) convert.ID {
	return convert.ID{Message: id, From: t.ours, Room: t.user}
}

// scope names the conversation in what is remembered.
func (t talk) scope() string { return t.user + " " + t.ours }

// target names the item that a message of the conversation refers to; zero for
// none. Ids with our tag are of messages that we brought, all others of messages
// of the person. A message whose origin-id is not its id is known by both for a
// while (XEP-0359 §4).
func (c *Chats) target(t talk, id string) sdk.Target {
	if id == "" {
		return sdk.Target{}
	}
	if strings.HasPrefix(id, c.o.Tag) {
		return sdk.Target{Remote: t.ofOurs(convert.PartsOf(id)[0]).Remote()}
	}
	c.mu.Lock()
	known, ok := c.alias.get(t.scope() + " " + id)
	c.mu.Unlock()
	if ok {
		id = known
	}
	return sdk.Target{Remote: t.theirs(id).Remote()}
}

// messageOf gives the message of this conversation that a remote id names, and
// whether the person sent it; false when it names none.
func messageOf(t talk, remote sdk.RemoteID) (id string, theirs, ok bool) {
	n, ok := convert.ParseRemote(remote)
	switch {
	case !ok || n.Message == "":
		return "", false, false
	case n.From == t.user && n.Room == t.ours:
		return n.Message, true, true
	case n.From == t.ours && n.Room == t.user:
		return n.Message, false, true
	default:
		return "", false, false
	}
}

// referred gives the id by which a reply or a reaction names a message: its
// origin-id where that is another one (XEP-0461 §4.1, XEP-0444 §3.1).
func (c *Chats) referred(t talk, id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if origin, ok := c.origins.get(t.scope() + " " + id); ok {
		return origin
	}
	return id
}
