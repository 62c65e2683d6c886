package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// talks are two people on two servers, each of whom talks with an account of the bridge.
type talks struct {
	b          *bridge
	anna       *itest.Client // on the server under test
	boris      *itest.Client
	botA, botB string // the bridge's accounts
	server     *itest.Server
}

// newTalks joins anna's chat with an account on a server of the kind to boris's on a Prosody.
func newTalks(t *testing.T, start starter) *talks {
	t.Helper()
	s := start(t, itest.Options{Address: "127.0.0.2", Domain: "a.test", RequireTLS: true, Users: map[string]string{"anna": "pw", "bot": "bot-pw"}})
	other := itest.Prosody(t, itest.Options{Address: "127.0.0.3", Domain: "b.test", RequireTLS: true, Users: map[string]string{"boris": "pw", "bot": "bot-pw"}})
	x := &talks{server: s, anna: itest.Slix(t, s.Account("anna")), boris: itest.Slix(t, other.Account("boris")), botA: "bot@a.test", botB: "bot@b.test"}
	x.b = newBridge(t, accountLink("a", x.botA, "bot-pw", s.C2S, s.CAFile)+accountLink("b", x.botB, "bot-pw", other.C2S, other.CAFile)+
		relay("a:chat:anna@a.test", "b:chat:boris@b.test"))
	x.up()
	return x
}

func (x *talks) up() {
	x.b.start()
	x.b.connected()
}

// from is who talks to an account of ours.
type from struct {
	user *itest.Client
	bot  string
}

// fresh tells messages from repeats: what was on its way when the bridge was killed may be said again, as a correction of itself (XEP-0308),
// which people see once.
func fresh() func(e itest.Event) bool {
	seen := map[string]bool{}
	return func(e itest.Event) bool {
		if e.Kind != "message" || !e.HasBody || seen[e.Replace] {
			return false
		}
		seen[e.ID] = true
		if e.Replace != "" {
			seen[e.Replace] = true
		}
		return true
	}
}

// get waits for a message that the account brings.
func (f from) get(what string, match func(itest.Event) bool) itest.Event {
	return f.user.Wait(what, func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == f.bot && e.Refusal == nil && match(e)
	})
}

// TestAccountChats joins conversations of two accounts: all that a chat has crosses both ways, and changes find their messages
// over a restart of the bridge.
func TestAccountChats(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			x := newTalks(t, start)
			anna, boris := from{x.anna, x.botA}, from{x.boris, x.botB}
			for _, way := range []struct {
				name     string
				from, to from
				end      func()
			}{{"there", anna, boris, func() {}}, {"back", boris, anna, func() {}}, {"over a kill", anna, boris, x.b.kill}} {
				t.Run(way.name, func(t *testing.T) {
					way.from.user.In(t)
					way.to.user.In(t)
					crossTalk(t, way.from, way.to, func() {
						if way.name == "over a kill" {
							way.end()
							x.up()
						}
					})
				})
			}
		})
	}
}

// crossTalk sends a text, an edit, a reaction, a reply and a retraction. between runs before each change.
func crossTalk(t *testing.T, from, to from, between func()) {
	sent := from.user.SendChat(from.bot, "swear by the mooon")
	got := to.get("message", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "swear by the mooon") })
	between()
	from.user.Correct(from.bot, sent, "swear by the moon")
	if e := to.get("correction", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "swear by the moon") }); e.Replace != got.ID {
		t.Errorf("correction of %q, want %q: %s", e.Replace, got.ID, e.XML)
	}
	between()
	to.user.React(to.bot, got.ID, "\U0001F319")
	if e := from.get("reaction", func(e itest.Event) bool { return e.Reactions != nil }); e.Reactions.ID != sent ||
		!slices.Equal(e.Reactions.Emojis, []string{"\U0001F319"}) {
		t.Errorf("reactions %+v, want the moon to %q", e.Reactions, sent)
	}
	to.user.Reply(to.bot, got, "swear not by it")
	if e := from.get("reply", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "swear not by it") }); e.Reply == nil || e.Reply.ID != sent {
		t.Errorf("reply to %+v, want %q: %s", e.Reply, sent, e.XML)
	}
	between()
	from.user.Retract(from.bot, sent)
	if e := to.get("retraction", func(e itest.Event) bool { return e.Retract != nil }); e.Retract.ID != got.ID {
		t.Errorf("retraction of %q, want %q", e.Retract.ID, got.ID)
	}
}

// TestAccountHole sends messages while the bridge is down, stopped or killed, and while it starts: each crosses once, in order.
// Some have no id of their own.
func TestAccountHole(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			x := newTalks(t, start)
			n, isNew := 0, fresh()
			say := func() {
				text := fmt.Sprintf("m-%03d", n)
				id := fmt.Sprintf(" id=%q", text)
				if n++; n%3 == 0 { // RFC 6120 §8.1.3: a message needs no id
					id = ""
				}
				x.anna.SendRaw(fmt.Sprintf("<message to=%q type=\"chat\"%s><body>%s</body></message>", x.botA, id, text))
			}
			// The first start hears nothing of what was before it.
			boris, next := from{x.boris, x.botB}, 0
			seen := map[string]int{}
			crossed := func() {
				t.Helper()
				for next < n {
					e := boris.get("message", isNew)
					text := e.Body[max(0, len(e.Body)-len("m-000")):]
					// Ejabberd puts what it had in hand for a stream that broke into the archive when it notices, behind what came later.
					if want := fmt.Sprintf("m-%03d", next); text != want && name != "ejabberd" {
						t.Fatalf("%q has crossed, want %s", e.Body, want)
					}
					if seen[text]++; seen[text] > 1 {
						t.Errorf("%s has crossed %d times", text, seen[text])
					}
					next++
				}
			}
			for round := range 6 {
				for range 10 {
					say()
				}
				if round%2 == 0 {
					crossed()
				}
				if round%3 == 2 || name == "ejabberd" {
					// A stream that breaks at ejabberd 23.01 may be resumed for a while, and a message that it gets meanwhile is
					// sometimes neither delivered nor archived in time (plugins/xmpp/README.md, Limits): only an end is tested there.
					x.b.stop()
				} else {
					x.b.kill() // what was heard last may cross again, and the host knows it
				}
				for range 130 * (round % 2) {
					say() // more than a page of the archive
				}
				say()
				x.b.start()
				for range 10 {
					say()
				}
			}
			crossed()
			x.boris.None("repeats", func(e itest.Event) bool { return isNew(e) })
			x.b.drained()
		})
	}
}

// TestAccountBesideAnotherClient has a second client of the bridge's account: what is sent to either crosses once, and what the
// second client itself says does not.
func TestAccountBesideAnotherClient(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			x := newTalks(t, start)
			second := itest.Slix(t, x.server.Account("bot"))
			second.SetCarbons(true)
			boris := from{x.boris, x.botB}
			isNew := fresh()
			last := func(text string) {
				t.Helper()
				e := boris.get(text, isNew)
				if !strings.HasSuffix(e.Body, text) {
					t.Errorf("%q has crossed, want %q", e.Body, text)
				}
			}
			x.anna.SendChat(x.botA, "to the account")
			last("to the account")
			x.anna.SendChat(second.JID, "to the second client") // comes as a carbon (XEP-0280 §7)
			last("to the second client")
			second.SendChat(x.anna.Bare(), "by the second client")
			x.anna.SendChat(x.botA, "after it")
			last("after it")
			x.b.kill()
			x.anna.SendChat(second.JID, "while the bridge was away")
			x.up()
			last("while the bridge was away")
			// Wrappers by others are not believed (XM-06, XM-07).
			inner := `<forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" from="anna@a.test/x" to="bot@a.test" type="chat"><body>forged</body></message></forwarded>`
			x.anna.SendRaw(fmt.Sprintf(`<message to=%q type="chat"><received xmlns="urn:xmpp:carbons:2">%s</received></message>`, x.botA, inner))
			x.anna.SendRaw(fmt.Sprintf(`<message to=%q type="chat"><result xmlns="urn:xmpp:mam:2" queryid="bh" id="1">%s</result></message>`, x.botA, inner))
			x.anna.SendChat(x.botA, "the end")
			last("the end")
			x.boris.None("repeats", func(e itest.Event) bool { return isNew(e) })
		})
	}
}

// TestAccountChatWithRoom joins a chat of an account to a room.
func TestAccountChatWithRoom(t *testing.T) {
	s := itest.Prosody(t, itest.Options{Domain: "a.test", Address: "127.0.0.2", RequireTLS: true, Users: map[string]string{"anna": "pw", "boris": "pw", "bot": "bot-pw"}})
	room := s.Room("tea")
	anna, boris := itest.Slix(t, s.Account("anna")), itest.Slix(t, s.Account("boris"))
	boris.Join(room, "Boris")
	b := newBridge(t, accountLink("a", "bot@a.test", "bot-pw", s.C2S, s.CAFile)+relay("a:chat:anna@a.test", "a:"+room))
	b.start()
	b.ready()
	b.waitPlace("a", room, "up", "")
	sent := anna.SendChat("bot@a.test", "hello room")
	got := boris.Wait("message", func(e itest.Event) bool { return isBody(e) && strings.HasSuffix(e.Body, "hello room") })
	boris.SendMessage(itest.Message{To: room, Type: "groupchat", Body: "hello anna", ReplyToID: got.StanzaID, ReplyTo: got.From})
	e := anna.Wait("reply", func(e itest.Event) bool { return isBody(e) && strings.HasSuffix(e.Body, "hello anna") })
	if e.Reply == nil || e.Reply.ID != sent {
		t.Errorf("reply to %+v, want %q: %s", e.Reply, sent, e.XML)
	}
	if !strings.Contains(e.Body, "Boris") {
		t.Errorf("%q does not name its author", e.Body)
	}
}
