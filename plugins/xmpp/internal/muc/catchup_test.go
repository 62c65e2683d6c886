package muc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// kept makes a listening room with an archive and a store; what changed is for
// the second life of the room.
func kept(t *testing.T, store *memory, change func(*Options)) (*service, *archive) {
	s := newService(t, func(o *Options) {
		o.Source, o.Store = true, store
		if change != nil {
			change(o)
		}
	})
	return s, s.keep()
}

// words gives what events say.
func words(events []sdk.Event) string {
	var list []string
	for _, ev := range events {
		switch c := ev.Change.(type) {
		case sdk.ItemCreated:
			list = append(list, c.Item.Body())
		case sdk.ItemUpdated:
			list = append(list, "edit "+c.Item.Body())
		case sdk.ItemRetracted:
			list = append(list, "retract "+string(c.Target.Remote))
		case sdk.ReactionsSet:
			list = append(list, "react "+strings.Join(c.Reactions, ""))
		case sdk.ConversationUpdated:
			list = append(list, "topic "+c.Topic.Plain)
		default:
			list = append(list, fmt.Sprintf("%T", c))
		}
	}
	return strings.Join(list, ", ")
}

// life runs a room until what happens in it has been heard.
func life(t *testing.T, store *memory, list []entry, change func(*Options), happen func(s *service, a *archive)) (string, *archive) {
	t.Helper()
	s, a := kept(t, store, change)
	a.list = list
	time.Sleep(time.Second) // a life begins later than the one before it ended
	stop := s.run()
	if happen != nil {
		happen(s, a)
		synctest.Wait()
	}
	stop()
	return words(s.heard()), a
}

func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		got, a := life(t, store, nil, nil, func(_ *service, a *archive) {
			a.say("Juliet", "m1", "<body>one</body>")
			a.say("Juliet", "m2", "<body>two</body>")
		})
		if got != "one, two" {
			t.Fatalf("first life: %s", got)
		}
		for i := range 120 { // three pages
			a.unheard("Juliet", fmt.Sprintf("h%d", i), fmt.Sprintf("<body>%d</body>", i))
		}
		want := []string{}
		for i := range 120 {
			want = append(want, fmt.Sprint(i))
		}
		got, a = life(t, store, a.list, nil, func(_ *service, a *archive) { a.say("Juliet", "m3", "<body>live</body>") })
		if w := strings.Join(append(want, "live"), ", "); got != w {
			t.Errorf("second life: %s", got)
		}
		if got, _ = life(t, store, a.list, nil, nil); got != "" {
			t.Errorf("third life: %s", got)
		}
	})
}

// TestLiveWaits shows that what is said while the hole is filled comes after it,
// once, whether the archive tells it too or not.
func TestLiveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		a.unheard("Juliet", "m2", "<body>missed</body>")
		got, _ := life(t, store, a.list, func(*Options) {}, func(s *service, a *archive) {
			a.hold = func() {
				a.mu.Lock()
				a.hold = nil
				a.mu.Unlock()
				a.say("Juliet", "m3", "<body>both</body>")
			}
			s.room.StreamDown(true)
			s.room.StreamUp(false)
			synctest.Wait()
			a.say("Juliet", "m4", "<body>live</body>")
		})
		if got != "missed, both, live" {
			t.Errorf("heard %s", got)
		}
	})
}

// TestCatchUpApplies shows that edits, reactions and retractions of the hole
// apply to what crossed before a restart, to what is in the hole, and to what is
// ours, and that those by others do not (XM-08, XM-09).
func TestCatchUpApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var one, ours string
		_, a := life(t, store, nil, nil, func(s *service, a *archive) {
			one = a.say("Juliet", "m1", "<body>one</body>")
			ours = a.unheard("Ana", "bh-7", "<body>ours</body>")
		})
		for i := range 200 { // more than the history tells
			a.unheard("Juliet", fmt.Sprintf("bh-x%d", i), "<body>also ours</body>")
		}
		a.unheard("Juliet", "m2", "<body>two</body>")
		a.unheard("Juliet", "f1", "<body>one!</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>")
		a.unheard("Romeo", "f2", "<body>evil</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>")
		a.unheard("Romeo", "f3", "<reactions xmlns='urn:xmpp:reactions:0' id='"+ours+"'><reaction>+</reaction></reactions>")
		a.unheard("Romeo", "f4", "<retract xmlns='urn:xmpp:message-retract:1' id='"+one+"'/><body>no</body>")
		a.unheard("Juliet", "f5", "<retract xmlns='urn:xmpp:message-retract:1' id='"+one+"'/><body>yes</body>")
		tomb := a.unheard("Juliet", "f6", "<retracted xmlns='urn:xmpp:message-retract:1' id='f7'/>")
		a.unheard("Juliet", "f7", "<retract xmlns='urn:xmpp:message-retract:1' id='"+tomb+"'/><body>gone</body>")
		s, b := kept(t, store, nil)
		b.list = a.list
		stop := s.run()
		events := s.heard()
		stop()
		if got, want := words(events), "two, edit one!, evil, react +, retract s:"+one+"|o:m1|r:"+roomJID; got != want {
			t.Fatalf("heard %s, want %s", got, want)
		}
		if got := events[3].Target().Remote; string(got) != "s:"+ours+"|o:bh-7|r:"+roomJID {
			t.Errorf("reaction to %q", got)
		}
	})
}

// TestCatchUpGone shows that a mark that the archive no longer has does not lose
// what came after it.
func TestCatchUpGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) {
			a.say("Juliet", "m1", "<body>one</body>")
			time.Sleep(time.Second)
			a.say("Juliet", "m2", "<body>two</body>")
		})
		time.Sleep(time.Second)
		a.unheard("Juliet", "m3", "<body>three</body>")
		a.list = slices.Delete(a.list, 1, 2)
		s, b := kept(t, store, nil)
		b.list = a.list
		stop := s.run()
		events := s.heard()
		stop()
		if got := words(events); got != "one, three" || events[0].Dedup != "room:"+roomJID+"|a001" {
			t.Errorf("heard %s", got)
		}
	})
}

func TestCatchUpBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		for i := range 9 {
			time.Sleep(time.Hour)
			a.unheard("Juliet", fmt.Sprintf("h%d", i), fmt.Sprintf("<body>%d</body>", i))
		}
		time.Sleep(time.Minute)
		got, _ := life(t, store, a.list, func(o *Options) { o.CatchUp.MaxAge = 3 * time.Hour }, func(_ *service, a *archive) {
			a.say("Juliet", "m2", "<body>live</body>")
		})
		if got != "6, 7, 8, live" {
			t.Errorf("heard %s", got)
		}
		s, b := kept(t, store, func(o *Options) { o.CatchUp.MaxCount = 4 })
		b.page, b.list = 2, append(slices.Clone(a.list), entry{id: "a011", stamp: time.Now()})
		for i := range 9 {
			b.unheard("Juliet", fmt.Sprintf("k%d", i), fmt.Sprintf("<body>%d</body>", i))
		}
		stop := s.run()
		b.say("Juliet", "m3", "<body>live</body>")
		if got := words(s.heard()); got != "0, 1, 2, 3, live" {
			t.Errorf("heard %s", got)
		}
		stop()
		s, b = kept(t, newMemory(), func(o *Options) { o.CatchUp.MaxAge = -1 })
		defer s.run()()
		if len(b.asked) != 0 {
			t.Errorf("asked %+v", b.asked)
		}
	})
}

// TestCatchUpLater shows that an archive that does not answer holds nobody up
// for ever, and that the hole is filled when it does.
func TestCatchUpLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		a.unheard("Juliet", "m2", "<body>missed</body>")
		s, b := kept(t, store, nil)
		b.list, b.refuse = a.list, errors.New("no answer")
		stop := s.run()
		time.Sleep(30 * time.Second)
		b.say("Juliet", "m3", "<body>live</body>")
		if got := words(s.heard()); got != "live" {
			t.Errorf("while the archive is silent: %s", got)
		}
		b.mu.Lock()
		b.refuse = nil
		b.mu.Unlock()
		time.Sleep(2 * tryAgain)
		if got := words(s.heard()); got != "missed" {
			t.Errorf("when it speaks: %s", got)
		}
		stop()
		got, _ := life(t, store, b.list, nil, nil)
		if got != "" {
			t.Errorf("later: %s", got)
		}
	})
}

// TestCatchUpForbidden shows that a closed archive does not stop the room.
func TestCatchUpForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		s, b := kept(t, store, nil)
		b.list, b.refuse = a.list, &packet.Error{Type: "auth", Condition: "forbidden"}
		defer s.run()()
		b.say("Juliet", "m3", "<body>live</body>")
		if got := words(s.heard()); got != "live" || len(b.asked) != 1 {
			t.Errorf("heard %s after %d queries", got, len(b.asked))
		}
	})
}

// TestCatchUpForged shows that results that are not of the room's archive, or of
// no query of ours, are no news (XM-07).
func TestCatchUpForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		s, b := kept(t, store, nil)
		b.list = a.list
		fake := entry{"f1", time.Now(), "<message xmlns='jabber:client' type='groupchat' id='x' from='" + roomJID + "/Juliet'><body>forged</body></message>"}
		foreign := entry{"f2", time.Now(), "<message xmlns='jabber:client' type='groupchat' id='x' from='other@muc.example.org/Juliet'><body>forged</body></message>"}
		n := 0
		b.forge = func(iq *packet.IQ) string {
			_, q := readQuestion(iq)
			n++
			s.message(result(iq, roomJID+"/Juliet", q, fake))
			s.message(result(iq, roomJID, q, foreign))
			return result(iq, roomJID, "unknown", fake)
		}
		defer s.run()()
		if got := words(s.heard()); got != "" || n != 1 {
			t.Errorf("heard %s after %d queries", got, n)
		}
	})
}

// TestOverflowIsLeftToTheArchive fills the buffer while the archive is being
// read: nothing is lost, turned round or said twice, and nobody waits for ever.
func TestOverflowIsLeftToTheArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(_ *service, a *archive) { a.say("Juliet", "m1", "<body>one</body>") })
		a.unheard("Juliet", "m2", "<body>-1</body>")
		s, b := kept(t, store, nil)
		b.list = a.list
		const total = maxWaiting + 700
		b.hold = func() {
			b.mu.Lock()
			b.hold = nil
			b.mu.Unlock()
			for i := range total {
				b.say("Juliet", fmt.Sprint("k", i), fmt.Sprintf("<body>%d</body>", i))
			}
		}
		defer s.run()()
		b.say("Juliet", "last", fmt.Sprintf("<body>%d</body>", total))
		got := s.heard()
		for i, ev := range got {
			if want := fmt.Sprint(i - 1); ev.Item().Body() != want {
				t.Fatalf("event %d of %d is %q, want %q", i, len(got), ev.Item().Body(), want)
			}
		}
		if len(got) != total+2 {
			t.Errorf("%d events, want %d", len(got), total+2)
		}
	})
}

// TestHistoryFillsTheHole shows that rooms without an archive tell by their
// history what was missed.
func TestHistoryFillsTheHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var history []string
		past := func(nick, id, inner string) {
			inner += "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='" + nick + "'/>"
			history = append(history, "<message type='groupchat' id='"+id+"' from='"+roomJID+"/"+nick+"' to='"+botJID+"'>"+inner+
				"<delay xmlns='urn:xmpp:delay' from='"+roomJID+"' stamp='"+time.Now().UTC().Format(time.RFC3339Nano)+"'/></message>")
		}
		open := func() *service {
			s := newService(t, func(o *Options) { o.Source, o.Store = true, store })
			s.features = []string{"urn:xmpp:occupant-id:0"}
			s.onJoin = func(p *packet.Presence) bool {
				s.admit(p)
				for _, raw := range history {
					s.message(raw)
				}
				s.message("<message type='groupchat' from='" + roomJID + "' to='" + p.From + "'><subject/></message>")
				return true
			}
			return s
		}
		past("Juliet", "m0", "<body>old</body>")
		time.Sleep(time.Second)
		s := open()
		stop := s.run()
		s.say("Juliet", "m1", "<body>one</body><occupant-id xmlns='urn:xmpp:occupant-id:0' id='Juliet'/>")
		past("Juliet", "m1", "<body>one</body>")
		if got := words(s.heard()); got != "one" {
			t.Fatalf("heard %s", got)
		}
		stop()
		time.Sleep(10 * time.Minute)
		past("Juliet", "m2", "<body>two</body>")
		past("Juliet", "m3", "<body>one!</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>")
		past("Juliet", "bh-3", "<body>ours</body>")
		s = open()
		stop = s.run()
		if got := words(s.heard()); got != "two, edit one!" {
			t.Errorf("heard %s", got)
		}
		s.room.StreamDown(true)
		s.room.StreamUp(false)
		if got := words(s.heard()); got != "" {
			t.Errorf("heard again %s", got)
		}
		stop()
	})
}

// TestTopicMissed shows that a topic that was set while nobody listened crosses,
// and the first one that is seen does not.
func TestTopicMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		for i, c := range []struct{ topic, want string }{{"one", ""}, {"one", ""}, {"two", "topic two"}, {"two", ""}} {
			s, _ := kept(t, store, nil)
			s.onJoin = func(p *packet.Presence) bool {
				s.admit(p)
				s.message("<message type='groupchat' from='" + roomJID + "/Juliet' to='" + p.From + "'><subject>" + c.topic + "</subject></message>")
				return true
			}
			stop := s.run()
			if got := words(s.heard()); got != c.want {
				t.Errorf("life %d: %q", i, got)
			}
			stop()
		}
	})
}

// TestStoreBroken shows that nobody listens before the mark is known.
func TestStoreBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.fail = errors.New("disk")
		s, _ := kept(t, store, nil)
		stop := s.run()
		if got := s.took(); got != "" {
			t.Errorf("did %s", got)
		}
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		time.Sleep(time.Second)
		if got := s.took(); got != "join bridge" {
			t.Errorf("did %s", got)
		}
		stop()
	})
}

func TestRing(t *testing.T) {
	g := newRing(3)
	for _, key := range []string{"a", "b", "a", "c"} {
		g.add(key)
	}
	if !g.has("a") || !g.has("b") || !g.has("c") || strings.Join(g.last(2), "") != "ac" {
		t.Errorf("has %v", g.list)
	}
	g.add("d")
	g.add("e")
	if g.has("a") || g.has("b") || len(g.keys) != 3 {
		t.Errorf("has %v", g.keys)
	}
}

// TestUnusedIsForgotten shows that what is said while no route leads from the room
// is not caught up with later.
func TestUnusedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		_, a := life(t, store, nil, nil, func(s *service, a *archive) {
			a.say("Juliet", "m1", "<body>one</body>")
			s.room.SetUse(false, true)
			time.Sleep(3 * saveEvery)
		})
		if raw := store.values["room."+roomJID]; raw != nil {
			t.Errorf("kept %s", raw)
		}
		a.unheard("Juliet", "m2", "<body>private</body>")
		got, _ := life(t, store, a.list, nil, func(_ *service, a *archive) { a.say("Juliet", "m3", "<body>three</body>") })
		if got != "three" {
			t.Errorf("heard %s", got)
		}
	})
}

// TestEmptyArchive shows that the first words in a room are heard that were said
// after the link had been there, even where the server's clock is late.
func TestEmptyArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		time.Sleep(time.Hour)
		_, a := life(t, store, nil, nil, nil)
		a.unheard("Juliet", "m1", "<body>first</body>")
		a.list[0].stamp = time.Now().Add(-time.Minute)
		if got, _ := life(t, store, a.list, nil, nil); got != "first" {
			t.Errorf("heard %s", got)
		}
	})
}
