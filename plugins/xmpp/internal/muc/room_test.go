package muc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// TestSelfPing shows that an occupant that hears nothing asks, and joins anew if
// the room says that it is not there (XEP-0410).
func TestSelfPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.Source, o.SelfPing = true, 5*time.Minute })
		defer s.run()()
		if got := s.took(); got != "join bridge" {
			t.Fatalf("did %q", got)
		}
		time.Sleep(6 * time.Minute)
		if got := s.took(); got != "ping" {
			t.Errorf("did %q", got)
		}
		s.answerPings("not-acceptable")
		time.Sleep(6 * time.Minute)
		if got := s.took(); got != "ping, join bridge" {
			t.Errorf("did %q", got)
		}
		s.answerPings("service-unavailable")
		time.Sleep(6 * time.Minute)
		if got := s.took(); got != "ping" {
			t.Errorf("did %q", got)
		}
	})
}

func TestIdlePuppetLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.Source, o.Idle = true, time.Hour })
		stop := s.run()
		s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})
		s.took()
		time.Sleep(2 * time.Hour)
		if got := s.took(); got != "leave Ana" {
			t.Errorf("did %q", got)
		}
		s.room.Deliver(t.Context(), []sdk.Delivery{text("2", "x")})
		if got := s.took(); got != "join Ana" {
			t.Errorf("did %q", got)
		}
		stop()
		if got := s.took(); !strings.Contains(got, "leave Ana") || !strings.Contains(got, "leave bridge") {
			t.Errorf("did %q", got)
		}
	})
}

// TestNotReflected shows that a message that the room swallows is uncertain.
func TestNotReflected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onMessage = func(string) bool { return true }
		r := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})[0]
		if r.Err == nil || r.Err.Kind != sdk.Transient || r.Unsent {
			t.Errorf("receipt: %+v", r)
		}
		if got := s.took(); got != "join Ana, ping" {
			t.Errorf("did %q", got)
		}
	})
}

// TestStreamLost shows that what was written and not reflected is uncertain, and
// what was not written is not.
func TestStreamLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onMessage = func(raw string) bool {
			if strings.Contains(raw, "bh-2") {
				s.room.StreamDown(true)
				return true
			}
			return false
		}
		got := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x"), text("2", "x"), text("3", "x")})
		if got[0].Err != nil || len(got[0].Copies) != 1 {
			t.Errorf("first: %+v", got[0])
		}
		if got[1].Err == nil || got[1].Unsent || !got[1].Err.Kind.Temporary() {
			t.Errorf("second: %+v", got[1])
		}
		if got[2].Err == nil || !got[2].Unsent {
			t.Errorf("third: %+v", got[2])
		}
		if got := s.room.Deliver(t.Context(), []sdk.Delivery{text("3", "x")})[0]; got.Err == nil || !got.Unsent {
			t.Errorf("while down: %+v", got)
		}
	})
}

func TestRefusedMessage(t *testing.T) {
	for _, c := range []struct {
		typ, condition string
		kind           sdk.Kind
		text           string
	}{
		{"auth", "forbidden", sdk.Transient, "no voice"},
		{"modify", "not-acceptable", sdk.Transient, "no longer in the room"},
		{"wait", "policy-violation", sdk.Transient, "no more messages now"},
		{"wait", "resource-constraint", sdk.Transient, "no more messages now"},
		{"modify", "policy-violation", sdk.Forbidden, "policy-violation"},
		{"modify", "bad-request", sdk.Invalid, "bad-request"},
		{"cancel", "item-not-found", sdk.Transient, "no longer in the room"},
		{"cancel", "internal-server-error", sdk.Transient, "internal-server-error"},
	} {
		t.Run(c.typ+" "+c.condition, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, nil)
				s.onMessage = func(raw string) bool {
					if !strings.Contains(raw, "bh-1") {
						return false
					}
					s.message("<message type='error' id='bh-1' from='" + roomJID + "' to='ana@bridge.example.org/b'><error type='" + c.typ + "'><" + c.condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
					return true
				}
				got := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x"), text("2", "x")})
				if e := got[0].Err; e == nil || e.Kind != c.kind || !strings.Contains(e.Public, c.text) || !got[0].Unsent {
					t.Errorf("first: %+v, %v", got[0], e)
				}
				if later := got[1].Err == nil; later == c.kind.Temporary() {
					t.Errorf("second: %+v", got[1])
				}
				if later := len(s.sent) == 2; later == c.kind.Temporary() {
					t.Errorf("sent %q", s.sent)
				}
			})
		})
	}
}

// TestForgedError shows that an error for somebody else's address settles nothing.
func TestForgedError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onMessage = func(raw string) bool {
			s.message("<message type='error' id='bh-1' from='" + roomJID + "' to='" + botJID + "'><error type='cancel'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
			s.message("<message type='groupchat' id='bh-1' from='" + roomJID + "/Mallory' to='ana@bridge.example.org/b'><body>x</body></message>")
			return false
		}
		if r := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})[0]; r.Err != nil || !strings.HasPrefix(string(r.Copies[0].Remote), "s:s-bh-1|") {
			t.Errorf("receipt: %+v", r)
		}
	})
}

// TestHistoryWithoutArchive looks for uncertain deliveries in what a room without
// an archive tells at the join.
func TestHistoryWithoutArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onJoin = func(p *packet.Presence) bool {
			s.admit(p)
			s.message("<message type='groupchat' id='bh-1' from='" + roomJID + "/Ana' to='" + p.From + "'><body>x</body><delay xmlns='urn:xmpp:delay' from='" + roomJID + "' stamp='2026-01-01T00:00:00Z'/><stanza-id xmlns='urn:xmpp:sid:0' by='" + roomJID + "' id='old'/></message>")
			s.message("<message type='groupchat' from='" + roomJID + "' to='" + p.From + "'><subject/></message>")
			return true
		}
		var batch []sdk.Delivery
		for i := range 2 {
			d := text(fmt.Sprint(i+1), "x")
			d.Uncertain, d.Since = true, time.Now()
			batch = append(batch, d)
		}
		got := s.room.Deliver(t.Context(), batch)
		if got[0].Err != nil || got[0].Copies[0].Remote != "s:old|o:bh-1|r:"+roomJID {
			t.Errorf("first: %+v", got[0])
		}
		if got[1].Err != nil || len(s.sent) != 1 || !strings.Contains(s.sent[0], "bh-2") {
			t.Errorf("second: %+v, sent %q", got[1], s.sent)
		}
		x, _ := s.joins[len(s.joins)-1].Extension(packet.NSMUC, "x")
		h, _ := x.Child(packet.NSMUC, "history")
		if h.Get("since") == "" {
			t.Errorf("joined with %s", x.Raw())
		}
	})
}

// TestArchive pages through an archive and believes only the room's own results
// (XM-07).
func TestArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.features = append([]string{"urn:xmpp:mam:2"}, allFeatures...)
		time.Sleep(calm)
		page := 0
		s.onArchive = func(iq *packet.IQ) (*packet.IQ, error) {
			page++
			q := iq.Payload.Get("queryid")
			result := func(from, q, id, sid string) {
				s.message("<message from='" + from + "' to='" + iq.From + "'><result xmlns='urn:xmpp:mam:2' queryid='" + q + "' id='" + sid + "'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='groupchat' id='" + id + "' from='" + roomJID + "/Ana'><body>x</body></message></forwarded></result></message>")
			}
			result("mallory@example.com", q, "bh-2", "f1")
			result(roomJID, "other", "bh-2", "f2")
			fin := "<fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><last>a1</last></set></fin>"
			if page == 1 {
				go result(roomJID, q, "somebody", "a1") // overtaken by the answer
			} else {
				result(roomJID, q, "bh-9", "a1b")
				result(roomJID, q, "bh-1", "a2")
				fin = "<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><last>a2</last></set></fin>"
			}
			e, err := xmltok.Parse([]byte(fin))
			return &packet.IQ{Payload: e}, err
		}
		var batch []sdk.Delivery
		for i := range 2 {
			d := text(fmt.Sprint(i+1), "x")
			d.Uncertain, d.Since = true, time.Now()
			batch = append(batch, d)
		}
		got := s.room.Deliver(t.Context(), batch)
		if got[0].Err != nil || got[0].Copies[0].Remote != "s:a2|o:bh-1|r:"+roomJID || page != 2 {
			t.Errorf("first: %+v after %d pages", got[0], page)
		}
		if len(s.sent) != 1 || !strings.Contains(s.sent[0], "bh-2") {
			t.Errorf("sent %q", s.sent)
		}
		batch[0].ID = "9"
		got = s.room.Deliver(t.Context(), batch[:1])
		if got[0].Err != nil || got[0].Copies[0].Remote != "s:a1b|o:bh-9|r:"+roomJID || page != 2 || len(s.sent) != 1 {
			t.Errorf("what the search saw is not remembered: %+v after %d pages, sent %q", got[0], page, s.sent)
		}
		s.onArchive = nil
		batch[0].ID, batch[0].Since = "3", time.Now().Add(-time.Hour)
		got = s.room.Deliver(t.Context(), batch[:1])
		if got[0].Err == nil || got[0].Unsent || len(s.sent) != 1 {
			t.Errorf("archive does not answer: %+v", got[0])
		}
	})
}

// TestArchiveIsSearchedAgain shows that soon after a reconnect a message of the
// old connection that arrives late is found.
func TestArchiveIsSearchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.features = append([]string{"urn:xmpp:mam:2"}, allFeatures...)
		looks := 0
		s.onArchive = func(iq *packet.IQ) (*packet.IQ, error) {
			if looks++; looks == 2 {
				s.message("<message from='" + roomJID + "' to='" + iq.From + "'><result xmlns='urn:xmpp:mam:2' queryid='" + iq.Payload.Get("queryid") + "' id='a1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='groupchat' id='bh-1' from='" + roomJID + "/Ana'/></forwarded></result></message>")
			}
			e, err := xmltok.Parse([]byte("<fin xmlns='urn:xmpp:mam:2' complete='true'/>"))
			return &packet.IQ{Payload: e}, err
		}
		d := text("1", "x")
		d.Uncertain, d.Since = true, time.Now()
		r := s.room.Deliver(t.Context(), []sdk.Delivery{d})[0]
		if r.Err != nil || looks != 2 || len(s.sent) != 0 {
			t.Errorf("receipt %+v after %d looks, sent %q", r, looks, s.sent)
		}
	})
}

// TestCorrectionByAnotherStay shows that without occupant-ids a new occupant
// under an old nick is somebody else (XM-08).
func TestCorrectionByAnotherStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		s.features = nil
		defer s.run()()
		fix := "<body>fixed</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>"
		s.come("Juliet")
		s.say("Juliet", "m1", "<body>x</body>")
		s.say("Juliet", "m2", fix)
		s.goAway("Juliet")
		s.come("Juliet")
		s.say("Juliet", "m3", fix)
		got := s.heard()
		if len(got) != 3 {
			t.Fatalf("%d events", len(got))
		}
		if _, ok := got[1].Change.(sdk.ItemUpdated); !ok {
			t.Errorf("own correction: %T", got[1].Change)
		}
		if _, ok := got[2].Change.(sdk.ItemCreated); !ok {
			t.Errorf("correction by another: %T", got[2].Change)
		}
		if got[0].Dedup != "" || got[0].Place.ID != "Ops@muc.example.org" || got[0].Item().Origin.ID != "o:m1|n:Juliet|r:"+roomJID {
			t.Errorf("event: %+v", got[0])
		}
	})
}

// TestHistoryIsNotNews shows that history never crosses, and that corrections of
// it by the same person do.
func TestHistoryIsNotNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		occ := "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='j'/>"
		s.onJoin = func(p *packet.Presence) bool {
			s.admit(p)
			s.say("Juliet", "m1", "<body>old</body>"+occ+"<delay xmlns='urn:xmpp:delay' from='"+roomJID+"' stamp='2026-01-01T00:00:00Z'/><stanza-id xmlns='urn:xmpp:sid:0' by='"+roomJID+"' id='s1'/>")
			s.message("<message type='groupchat' from='" + roomJID + "' to='" + p.From + "'><subject>t</subject></message>")
			return true
		}
		defer s.run()()
		s.say("Juliet", "m2", "<body>new</body>"+occ)
		s.say("Jules", "m3", "<body>old!</body>"+occ+"<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>")
		s.message("<message type='groupchat' from='" + roomJID + "/Juliet' to='" + botJID + "'><subject>t</subject></message>")
		got := s.heard()
		if len(got) != 2 || got[0].Item().Body() != "new" {
			t.Fatalf("events: %+v", got)
		}
		if c, ok := got[1].Change.(sdk.ItemUpdated); !ok || c.Target.Remote != "s:s1|o:m1|r:"+roomJID {
			t.Errorf("correction: %+v", got[1].Change)
		}
	})
}

// TestEchoOfOldConnection shows that what we sent before a reconnect is not news
// when it arrives late, and that others gain nothing by our sign later.
func TestEchoOfOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		defer s.run()()
		s.say("Ana", "bh-7", "<body>late</body>")
		s.say("Juliet", "m1", "<body>hello</body>")
		time.Sleep(echoes)
		s.say("Juliet", "bh-8", "<body>not hidden</body>")
		got := s.heard()
		if len(got) != 2 || got[0].Item().Body() != "hello" || got[1].Item().Body() != "not hidden" {
			t.Errorf("events: %+v", got)
		}
	})
}

// TestNicks shows what happens when nicks are taken, changed by the service, or
// when nothing helps.
func TestNicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onJoin = func(p *packet.Presence) bool {
			if !strings.HasSuffix(p.To, "(hooks 3)") {
				s.refuse(p, "conflict")
				return true
			}
			p.To = roomJID + "/Assigned" // status 210
			return false
		}
		r := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})[0]
		if r.Err != nil || len(r.Loss) != 1 || r.Loss[0].Kind != sdk.LossName || !strings.Contains(r.Loss[0].Detail, "Assigned") {
			t.Errorf("receipt: %+v", r)
		}
		if got := s.took(); got != "join Ana, join Ana (hooks), join Ana (hooks 2), join Ana (hooks 3)" {
			t.Errorf("did %q", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onJoin = func(p *packet.Presence) bool { s.refuse(p, "conflict"); return true }
		r := s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})[0]
		if r.Err == nil || !r.Err.Kind.Temporary() || !r.Unsent || !strings.Contains(r.Err.Public, "nicks") {
			t.Errorf("receipt: %+v", r)
		}
	})
}

// TestKicked shows that an occupant that was removed comes back after a pause.
func TestKicked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		defer s.run()()
		s.took()
		s.presence("<presence type='unavailable' from='" + roomJID + "/bridge' to='" + botJID + "'><x xmlns='http://jabber.org/protocol/muc#user'><status code='307'/><status code='110'/></x></presence>")
		synctest.Wait()
		if r := s.lastReport(); r.State != sdk.StateDown || !strings.Contains(r.Reason, "removed") {
			t.Errorf("report: %+v", r)
		}
		time.Sleep(20 * time.Second)
		if got := s.took(); got != "" {
			t.Errorf("did %q", got)
		}
		time.Sleep(time.Minute)
		if got := s.took(); got != "join bridge" {
			t.Errorf("did %q", got)
		}
		synctest.Wait()
		if r := s.lastReport(); r.State != sdk.StateUp {
			t.Errorf("report: %+v", r)
		}
	})
}

// TestMaxPuppets shows that authors beyond the limit are named in the text.
func TestMaxPuppets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.MaxPuppets = 2 })
		for i, want := range []bool{false, false, true} {
			d := text(fmt.Sprint(i), "x")
			d.Event.Actor = sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: sdk.RemoteID(fmt.Sprintf("a%d", i))}, Name: fmt.Sprintf("A%d", i)}
			r := s.room.Deliver(t.Context(), []sdk.Delivery{d})[0]
			if r.Err != nil || strings.Contains(s.sent[i], fmt.Sprintf("A%d: x", i)) != want {
				t.Errorf("%d: %+v, sent %s", i, r, s.sent[i])
			}
		}
	})
}

// TestHostTakesNothing shows that the room waits while the buffer is full, and
// that nothing is lost or turned round.
func TestHostTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		open := make(chan struct{})
		s.publish = func([]sdk.Event) error { <-open; return nil }
		defer s.run()()
		const total = maxWaiting + 500
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			for i := range total {
				s.say("Juliet", fmt.Sprint(i), fmt.Sprintf("<body>%d</body>", i))
			}
		}()
		synctest.Wait()
		select {
		case <-fed:
			t.Error("the room took more than it may keep")
		default:
		}
		close(open)
		<-fed
		got := s.heard()
		if len(got) != total {
			t.Fatalf("%d events, want %d", len(got), total)
		}
		for i, ev := range got {
			if ev.Item().Body() != fmt.Sprint(i) {
				t.Fatalf("event %d is %q", i, ev.Item().Body())
			}
		}
	})
}

// TestEndHandsOver shows that what was heard before the end reaches a host that
// was slow to take it.
func TestEndHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, listening)
		refuse := true
		s.publish = func([]sdk.Event) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if refuse {
				return &sdk.Error{Kind: sdk.Overloaded, After: time.Hour}
			}
			return nil
		}
		stop := s.run()
		for i := range 300 {
			s.say("Juliet", fmt.Sprint(i), fmt.Sprintf("<body>%d</body>", i))
		}
		synctest.Wait()
		s.mu.Lock()
		refuse = false
		s.mu.Unlock()
		stop()
		got := s.heard()
		for i, ev := range got {
			if ev.Item().Body() != fmt.Sprint(i) {
				t.Fatalf("event %d is %q", i, ev.Item().Body())
			}
		}
		if len(got) != 300 {
			t.Errorf("%d events, want 300", len(got))
		}
	})
}

// TestDeadline shows that Deliver returns when its time is up.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, nil)
		s.onMessage = func(string) bool { return true }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		r := s.room.Deliver(ctx, []sdk.Delivery{text("1", "x")})[0]
		if r.Err == nil || r.Unsent || time.Since(began) != 3*time.Second {
			t.Errorf("receipt after %v: %+v", time.Since(began), r)
		}
	})
}

func TestSeenForgets(t *testing.T) {
	s := newSeen(3)
	for i := range 5 {
		s.add(&sight{author: "a"}, fmt.Sprintf("m%d", i), fmt.Sprintf("s%d", i))
	}
	if s.message("a", "m1") != nil || s.stanza("s1") != nil || len(s.byMessage) != 3 || len(s.byStanza) != 3 {
		t.Errorf("remembers %d and %d", len(s.byMessage), len(s.byStanza))
	}
	if s.message("a", "m4") == nil || s.message("b", "m4") != nil || s.stanza("s2") == nil {
		t.Error("forgot what is new")
	}
}
