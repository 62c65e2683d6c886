package e2e

import (
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// hall is a side with its room of a route between two servers.
type hall struct {
	*side
	room, nick string
	link       string // name of the bridge's link to the server
}

// newHalls has one room on each server in step, with juliet and romeo as their owners.
func newHalls(t *testing.T, start starter) (b *bridge, juliet, romeo *hall) {
	t.Helper()
	return newHallsWith(t, start, "")
}

// newHallsWith is newHalls with more lines in the configuration of both links.
func newHallsWith(t *testing.T, start starter, config string) (b *bridge, juliet, romeo *hall) {
	t.Helper()
	one := itest.Prosody(t, gatewayOptions("127.0.0.2", "one.test", "juliet"))
	two := start(t, gatewayOptions("127.0.0.3", "two.test", "romeo"))
	juliet = &hall{&side{server: one, bridge: "bridge.one.test"}, one.Room("ball"), "Juliet", "one"}
	romeo = &hall{&side{server: two, bridge: "bridge.two.test"}, two.Room("ball"), "Romeo", "two"}
	for _, h := range []*hall{juliet, romeo} {
		h.login(t, strings.ToLower(h.nick))
		h.user.Join(h.room, h.nick)
		if h.server.Kind == "ejabberd" {
			// Ejabberd 23.01 has no occupant-id. Where a room hides addresses as well, nobody can tell after a restart
			// whether a nick still is the same person, and so nobody may change what it has said before.
			h.user.ConfigureRoom(h.room, map[string]string{"muc#roomconfig_whois": "anyone"})
		}
	}
	configured := func(link string) string { return strings.TrimSpace(link) + "\n" + config + "\n" }
	b = newBridge(t, withSecret(t, configured(gatewayLink("one", one, juliet.bridge))+configured(gatewayLink("two", two, romeo.bridge))+
		relay("one:"+juliet.room, "two:"+romeo.room)))
	b.start()
	b.joined(2)
	return b, juliet, romeo
}

// say sends a text in a room and returns it as both rooms have it.
func (h *hall) say(other *hall, m itest.Message) (own, got itest.Event) {
	m.To, m.Type = h.room, "groupchat"
	h.user.SendMessage(m)
	return h.user.WaitBody(h.room, m.Body), other.user.WaitBody(other.room, m.Body)
}

// wait waits for a message of the room that is not one's own.
func (h *hall) wait(what string, match func(itest.Event) bool) itest.Event {
	return h.user.Wait(what+" in "+h.room, func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == h.room && e.Nick != h.nick && match(e)
	})
}

// TestRoomsCarryChanges has all that a room has cross between two servers, in both directions, also over a restart.
func TestRoomsCarryChanges(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			b, juliet, romeo := newHalls(t, start)
			restart := func() {
				b.kill()
				b.start()
				b.joined(2)
			}
			for _, c := range []struct {
				name     string
				from, to *hall
				between  func()
			}{
				{"there", juliet, romeo, func() {}},
				{"back", romeo, juliet, func() {}},
				{"there over a restart", juliet, romeo, restart},
				{"back over a restart", romeo, juliet, restart},
			} {
				t.Run(c.name, func(t *testing.T) {
					c.from.user.In(t)
					c.to.user.In(t)
					roomChanges(t, c.from, c.to, c.between)
				})
			}
		})
	}
}

// roomChanges is crossChanges for rooms. XEP-0308 names a message by its sender's id, the others by the room's.
func roomChanges(t *testing.T, from, to *hall, between func()) {
	own, got := from.say(to, itest.Message{Body: "good evenign to all"})
	if !strings.HasPrefix(got.Nick, from.nick) {
		t.Errorf("nick %q, want %s", got.Nick, from.nick)
	}
	between()
	from.user.SendMessage(itest.Message{To: from.room, Type: "groupchat", Replace: own.ID, Body: "good evening to all"})
	e := to.wait("correction", func(e itest.Event) bool { return e.Body == "good evening to all" })
	if e.Replace != got.ID {
		t.Errorf("correction of %q, want %q: %s", e.Replace, got.ID, e.XML)
	}
	between()
	to.user.SendMessage(itest.Message{To: to.room, Type: "groupchat", ReactTo: got.StanzaID, Reactions: []string{"\U0001F389"}})
	e = from.wait("reaction", func(e itest.Event) bool { return e.Reactions != nil })
	if e.Reactions.ID != own.StanzaID || !slices.Equal(e.Reactions.Emojis, []string{"\U0001F389"}) || !strings.HasPrefix(e.Nick, to.nick) {
		t.Errorf("reactions %+v of %q, want those of %s to %q", e.Reactions, e.Nick, to.nick, own.StanzaID)
	}
	between()
	to.user.SendMessage(itest.Message{
		To: to.room, Type: "groupchat", Body: "and to you", ReplyToID: got.StanzaID, ReplyTo: got.From, Quote: got.Body,
	})
	e = from.wait("reply", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "and to you") })
	if e.Reply == nil || e.Reply.ID != own.StanzaID {
		t.Errorf("reply to %+v, want %q: %s", e.Reply, own.StanzaID, e.XML)
	}
	between()
	from.user.SendMessage(itest.Message{To: from.room, Type: "groupchat", Retract: own.StanzaID, Hints: []string{"store"}})
	e = to.wait("retraction", func(e itest.Event) bool { return e.Retract != nil })
	if e.Retract.ID != got.StanzaID {
		t.Errorf("retraction of %q, want %q: %s", e.Retract.ID, got.StanzaID, e.XML)
	}
}

// TestRoomModeration kicks, bans, moderates and changes the subject in one room and looks at the other.
func TestRoomModeration(t *testing.T) {
	_, juliet, romeo := newHalls(t, itest.Prosody)
	for _, h := range []*hall{juliet, romeo} {
		if err := h.user.SetAffiliation(h.room, h.bridge, "owner", "the bridge moderates"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		from, to *hall
	}{{"there", juliet, romeo}, {"back", romeo, juliet}} {
		t.Run(c.name, func(t *testing.T) {
			c.from.user.In(t)
			c.to.user.In(t)
			for _, version := range []string{"0", "1"} {
				own, got := c.to.say(c.from, itest.Message{Body: "something rude " + version})
				if err := c.from.user.Moderate(c.from.room, got.StanzaID, "be nice", version); err != nil {
					t.Fatal(err)
				}
				e := c.to.user.Wait("moderation in "+c.to.room, func(e itest.Event) bool {
					return e.Kind == "message" && e.Room == c.to.room && e.Retract != nil
				})
				if e.Moderated == nil || e.Retract.ID != own.StanzaID {
					t.Errorf("version %s: retraction %+v, moderation %+v; want one of %q: %s", version, e.Retract, e.Moderated, own.StanzaID, e.XML)
				}
			}
			c.from.user.SetSubject(c.from.room, "masks, by "+c.from.nick)
			c.to.user.Wait("subject", func(e itest.Event) bool {
				return e.Room == c.to.room && e.Subject && e.SubjectText == "masks, by "+c.from.nick
			})
		})
	}
}
