package e2e

import (
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// invite has a new person, who is no owner, live on the hall's server, come into its room, and speak, so that the other room knows
// their puppet.
func (h *hall) invite(t *testing.T, other *hall, nick string) *hall {
	t.Helper()
	h.server.AddUser(strings.ToLower(nick), "pw")
	s := &side{server: h.server, bridge: h.bridge}
	s.user = itest.Slix(t, h.server.AccountFor(strings.ToLower(nick), "pw"))
	g := &hall{s, h.room, nick, h.link}
	g.user.Join(g.room, nick)
	g.greet(t, other, nick+" comes in")
	return g
}

// greet says something, which must appear under the same name in the other room.
func (h *hall) greet(t *testing.T, other *hall, text string) {
	t.Helper()
	if _, got := h.say(other, itest.Message{Body: text}); got.Nick != h.nick {
		t.Fatalf("message of %q, want %s: %s", got.Nick, h.nick, got.XML)
	}
}

// goes waits until the nick leaves the room.
func (h *hall) goes(nick string) itest.Event {
	return h.user.Wait(nick+" leaves "+h.room, func(e itest.Event) bool {
		return e.Kind == "presence" && e.Type == "unavailable" && e.Room == h.room && e.Nick == nick
	})
}

// silent checks that a text does not come into the room, nor its author, before a text of somebody else that follows it.
func (h *hall) silent(t *testing.T, other *hall, nick, text string) {
	t.Helper()
	other.user.SendMessage(itest.Message{To: other.room, Type: "groupchat", Body: "after " + text})
	h.user.Wait("what follows "+text, func(e itest.Event) bool {
		if e.Room == h.room && (e.Kind == "presence" && e.Nick == nick && e.Type == "" || strings.HasSuffix(e.Body, text) && !strings.HasSuffix(e.Body, "after "+text)) {
			t.Errorf("%s was let in again: %s", nick, e.XML)
		}
		return e.Kind == "message" && e.Room == h.room && e.Body == "after "+text
	})
}

// eachHall runs a test in both directions.
func eachHall(t *testing.T, what string, juliet, romeo *hall, run func(t *testing.T, from, to *hall)) {
	t.Helper()
	for name, pair := range map[string][2]*hall{"there": {juliet, romeo}, "back": {romeo, juliet}} {
		t.Run(what+" "+name, func(t *testing.T) {
			pair[0].user.In(t)
			pair[1].user.In(t)
			run(t, pair[0], pair[1])
		})
	}
}

// putOut removes or bans an occupant.
func (h *hall) putOut(t *testing.T, nick, jid string, ban bool) {
	t.Helper()
	var err error
	if ban {
		err = h.user.SetAffiliation(h.room, jid, "outcast", "enough")
	} else {
		err = h.user.SetRole(h.room, nick, "none", "enough")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRoomsPutOut kicks and bans people in one room and looks for their puppets in the other, and puppets, and looks for what
// their authors say.
func TestRoomsPutOut(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newHalls(t, start)
			eachHall(t, "person", juliet, romeo, personPutOut)
			eachHall(t, "puppet", juliet, romeo, puppetPutOut)
			for _, h := range []*hall{juliet, romeo} {
				// Ejabberd takes no owner whose address has no local part.
				if err := h.user.SetAffiliation(h.room, h.bridge, "admin", "the bridge moderates"); err != nil {
					t.Fatal(err)
				}
			}
			eachHall(t, "author", juliet, romeo, authorPutOut)
		})
	}
}

// personPutOut removes somebody, who may come again, and then bans them: each time their puppet goes.
func personPutOut(t *testing.T, from, to *hall) {
	g := from.invite(t, to, "Mercutio")
	from.putOut(t, g.nick, g.user.Bare(), false)
	to.goes(g.nick)
	g.goes(g.nick)
	g.user.Join(g.room, g.nick)
	g.greet(t, to, "back again")
	from.putOut(t, g.nick, g.user.Bare(), true)
	to.goes(g.nick)
	if e := g.goes(g.nick); !e.HasStatus("301") {
		t.Errorf("not banned: %s", e.XML)
	}
	if e := g.user.TryJoin(g.room, g.nick, ""); e.Type != "error" {
		t.Errorf("a banned guest came in: %s", e.XML)
	}
}

// puppetPutOut removes and bans puppets in a room: what their authors, who stay where they are, go on to say is not shown there.
func puppetPutOut(t *testing.T, from, to *hall) {
	for _, ban := range []bool{false, true} {
		nick := map[bool]string{false: "Tybalt", true: "Sampson"}[ban] + from.nick
		g := from.invite(t, to, nick)
		to.putOut(t, nick, to.realJID(t, nick), ban)
		to.goes(nick)
		for _, text := range []string{"still here", "and here"} {
			g.user.SendMessage(itest.Message{To: g.room, Type: "groupchat", Body: nick + " is " + text})
			from.user.WaitBody(from.room, nick+" is "+text)
			to.silent(t, from, nick, nick+" is "+text)
		}
		g.user.None("an end", func(e itest.Event) bool { return e.Kind == "presence" && e.Nick == nick && e.Type == "unavailable" })
	}
}

// realJID is the address that the room's owner sees of an occupant.
func (h *hall) realJID(t *testing.T, nick string) string {
	t.Helper()
	jid := ""
	for _, e := range h.user.Events() {
		if e.Kind == "presence" && e.Type == "" && e.Room == h.room && e.Nick == nick && e.Occupant != nil && e.Occupant.JID != "" {
			jid, _, _ = strings.Cut(e.Occupant.JID, "/")
		}
	}
	if jid == "" {
		t.Fatalf("%s has not seen the address of %s", h.user.JID, nick)
	}
	return jid
}

// authorPutOut removes and bans puppets in a room where the bridge may put their authors out of theirs.
func authorPutOut(t *testing.T, from, to *hall) {
	for _, ban := range []bool{false, true} {
		nick := map[bool]string{false: "Gregory", true: "Abraham"}[ban] + from.nick
		g := from.invite(t, to, nick)
		to.putOut(t, nick, to.realJID(t, nick), ban)
		to.goes(nick)
		if e, code := g.goes(nick), map[bool]string{false: "307", true: "301"}[ban]; !e.HasStatus(code) {
			t.Errorf("status %v, want %s: %s", e.Status, code, e.XML)
		}
	}
}

// TestRoomsAnswerAsides writes to a puppet and to the bridge alone and invites the bridge into other rooms: each is answered in
// words, and ours stay where they are.
func TestRoomsAnswerAsides(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newHalls(t, start)
			eachHall(t, "private", juliet, romeo, privateAsides)
			eachHall(t, "invitation", juliet, romeo, invitations)
		})
	}
}

// privateAsides writes private messages (XEP-0045 §7.5) to what stands for the other side's user, and to the bridge.
func privateAsides(t *testing.T, from, to *hall) {
	_, got := to.say(from, itest.Message{Body: "here I am, says " + to.nick})
	id := from.user.SendPrivate(from.room, got.Nick, "psst")
	e := from.aside("refusal by the puppet", got.Nick)
	if e.ID != id || e.Refusal == nil || e.Refusal.Text != "Private messages to people of another network do not cross this bridge." {
		t.Errorf("refusal of %q, want of %q with its reason: %s", e.ID, id, e.XML)
	}
	from.user.SendPrivate(from.room, "bridge", "is anybody there?")
	e = from.aside("notice of the bridge", "bridge")
	if want := "This is a bridge: it carries what is said in the room, and nobody reads what is written to it alone."; e.Type != "chat" || e.Body != want {
		t.Errorf("notice %q, want %q: %s", e.Body, want, e.XML)
	}
	from.user.SendPrivate(from.room, "bridge", "really nobody?")
	from.say(to, itest.Message{Body: "then aloud, says " + from.nick})
	_, after := to.say(from, itest.Message{Body: "what is it, " + from.nick + "?"})
	if after.Nick != got.Nick {
		t.Errorf("message of %q, want %s", after.Nick, got.Nick)
	}
	notices := 0
	for _, e := range from.user.Events() {
		if e.Kind == "presence" && e.Type == "unavailable" && e.Room == from.room {
			t.Errorf("%s has left: %s", e.Nick, e.XML)
		}
		if e.Kind == "message" && e.Room == from.room && e.Nick == "bridge" && e.Type == "chat" {
			notices++
		}
	}
	if notices != 1 {
		t.Errorf("%d notices, want one", notices)
	}
	for _, e := range to.user.Events() {
		if e.Body == "psst" || strings.HasPrefix(e.Body, "is anybody") {
			t.Errorf("a private message crossed: %s", e.XML)
		}
	}
}

// aside waits for what an occupant answers in private.
func (h *hall) aside(what, nick string) itest.Event {
	return h.user.Wait(what, func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == h.room && e.Nick == nick && e.Type != "groupchat"
	})
}

// invitations asks the bridge into a room that is not configured: directly (XEP-0249) and through the room (XEP-0045 §7.8.2).
func invitations(t *testing.T, from, to *hall) {
	const reason = "This bridge only joins rooms that its operator has set up."
	garden := from.server.Room("garden")
	from.user.Join(garden, from.nick)
	from.user.Invite(garden, from.bridge, "come", true)
	e := from.user.Wait("answer to a direct invitation", func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == from.bridge && e.HasBody
	})
	if e.Body != reason || e.Type != "chat" {
		t.Errorf("answer %q: %s", e.Body, e.XML)
	}
	from.user.Invite(garden, from.bridge, "come", false)
	e = from.user.Wait("decline through the room", func(e itest.Event) bool {
		return e.Kind == "message" && e.Invitation != nil && e.Invitation.Kind == "decline"
	})
	if e.Room != garden || e.Invitation.Reason != reason {
		t.Errorf("declined as %+v: %s", e.Invitation, e.XML)
	}
	from.say(to, itest.Message{Body: "no garden, says " + from.nick})
	for _, e := range from.user.Events() {
		if e.Kind == "presence" && e.Room == garden && e.Nick != from.nick && e.Nick != "" {
			t.Errorf("somebody came: %s", e.XML)
		}
	}
}

// TestRoomsWaitForVoice takes the voice of a puppet in a moderated room: what its author says waits, with a state that says so,
// until the voice is back.
func TestRoomsWaitForVoice(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			b, juliet, romeo := newHalls(t, start)
			eachHall(t, "voice", juliet, romeo, func(t *testing.T, from, to *hall) {
				_, got := from.say(to, itest.Message{Body: "a word, says " + from.nick})
				to.user.ConfigureRoom(to.room, map[string]string{"muc#roomconfig_moderatedroom": "1"})
				to.giveRole(t, got.Nick, "visitor")
				text := "not a word, says " + from.nick
				from.user.SendMessage(itest.Message{To: from.room, Type: "groupchat", Body: text})
				from.user.WaitBody(from.room, text)
				b.waitPlace(to.link, to.room, "degraded", "the room is moderated, and we have no voice in it")
				if waiting, dead := b.depth(to.link); waiting != 1 || dead != 0 {
					t.Errorf("%d deliveries wait, %d are dead; want one that waits", waiting, dead)
				}
				to.giveRole(t, got.Nick, "participant")
				if e := to.user.WaitBody(to.room, text); e.Nick != got.Nick {
					t.Errorf("message of %q, want %s: %s", e.Nick, got.Nick, e.XML)
				}
				b.waitPlace(to.link, to.room, "up", "")
			})
		})
	}
}

// giveRole changes the role of an occupant.
func (h *hall) giveRole(t *testing.T, nick, role string) {
	t.Helper()
	if err := h.user.SetRole(h.room, nick, role, ""); err != nil {
		t.Fatal(err)
	}
}

// TestRoomsTellWhoLeaves has people leave a room, and lose their connection, where the links tell who comes and goes: their puppets
// leave, and come again with what their authors say next.
func TestRoomsTellWhoLeaves(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newHallsWith(t, start, "members = true\n")
			eachHall(t, "leave", juliet, romeo, func(t *testing.T, from, to *hall) {
				g := from.invite(t, to, "Paris"+from.nick)
				g.user.Leave(g.room, g.nick)
				to.goes(g.nick)
				g.user.Join(g.room, g.nick)
				g.greet(t, to, g.nick+" is back")
				g.user.Close()
				to.goes(g.nick)
			})
		})
	}
}
