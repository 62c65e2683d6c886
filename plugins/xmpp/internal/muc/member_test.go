package muc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// item is a presence of somebody else with an item and status codes.
func (s *service) member(typ, nick, item string, codes ...string) {
	raw := "<presence from='" + roomJID + "/" + nick + "' to='" + botJID + "'"
	if typ != "" {
		raw += " type='" + typ + "'"
	}
	raw += "><x xmlns='http://jabber.org/protocol/muc#user'>" + item
	for _, code := range codes {
		raw += "<status code='" + code + "'/>"
	}
	s.presence(raw + "</x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='" + nick + "'/></presence>")
}

// TestMembers shows which changes of people are told, and that ours are not.
func TestMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.Source, o.Link, o.Members = true, "home", true })
		stop := s.run()
		defer stop()
		item := func(role string) string { return "<item affiliation='none' role='" + role + "'/>" }
		expect := func(what string, want sdk.Membership, member string) {
			t.Helper()
			got := s.heard()
			if len(got) != 1 {
				t.Fatalf("%s: %d events", what, len(got))
			}
			c, ok := got[0].Change.(sdk.MemberChanged)
			if !ok || c.Membership != want || string(c.Member.ID) != member || c.Member.Link != "home" {
				t.Errorf("%s: %+v", what, got[0].Change)
			}
		}
		const juliet = "occupant:Juliet@" + roomJID
		s.member("", "Juliet", item("participant"))
		expect("join", sdk.MemberJoined, juliet)
		s.member("", "Juliet", item("participant"))
		if got := s.heard(); len(got) != 0 {
			t.Errorf("another presence: %+v", got)
		}
		s.member("", "Juliet", item("visitor"))
		expect("voice taken", sdk.MemberRole, juliet)
		s.member("unavailable", "Juliet", "<item affiliation='none' role='none'><actor nick='Admin'/><reason>bye</reason></item>", "307")
		expect("kick", sdk.MemberKicked, juliet)
		s.member("", "Juliet", item("participant"))
		s.heard()
		s.member("unavailable", "Juliet", "<item affiliation='outcast' role='none'/>", "301")
		expect("ban", sdk.MemberBanned, juliet)
		s.member("", "Juliet", item("participant"))
		s.heard()
		s.member("unavailable", "Juliet", "<item role='none' nick='Jules'/>", "303")
		if got := s.heard(); len(got) != 0 {
			t.Errorf("rename: %+v", got)
		}
		s.member("unavailable", "Jules", item("none"))
		if got := s.heard(); len(got) != 1 || got[0].Change.(sdk.MemberChanged).Membership != sdk.MemberLeft {
			t.Errorf("leave: %+v", got)
		}
		s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})
		s.member("", "Ana", item("participant"))
		s.room.leave(context.Background(), s.room.occupants["ana@bridge.example.org/b"])
		s.member("unavailable", "Ana", item("none"))
		if got := s.heard(); len(got) != 0 {
			t.Errorf("a puppet: %+v", got)
		}
		for range 100 {
			s.member("", "Flood", item("participant"))
			s.member("unavailable", "Flood", item("none"))
		}
		if got := s.heard(); len(got) == 0 || len(got) > comingsBurst {
			t.Errorf("%d events of a flood", len(got))
		}
	})
}

// TestPuppetPutOut shows that the room's end of a puppet concerns its author,
// whichever of ours hears of it first, and that nobody speaks instead (XM-18).
func TestPuppetPutOut(t *testing.T) {
	for _, first := range []string{"bot", "puppet"} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t, listening)
			defer s.run()()
			s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})
			s.member("", "Ana", "<item role='participant'/>")
			kick := func(to, self string) {
				s.presence("<presence type='unavailable' from='" + roomJID + "/Ana' to='" + to + "'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'><actor nick='Juliet'/></item><status code='307'/>" + self + "</x></presence>")
			}
			orders := []func(){func() { kick(botJID, "") }, func() { kick("ana@bridge.example.org/b", "<status code='110'/>") }}
			if first == "puppet" {
				slices.Reverse(orders)
			}
			for _, f := range orders {
				f()
			}
			got := s.heard()
			if len(got) != 1 || got[0].Change.(sdk.MemberChanged).Member != ana.Home || got[0].Actor.Name != "Juliet" {
				t.Fatalf("%s first: %+v", first, got)
			}
			s.took()
			r := s.room.Deliver(t.Context(), []sdk.Delivery{text("2", "x")})[0]
			if r.Err == nil || r.Err.Kind != sdk.Forbidden || len(s.sent) != 1 || s.took() != "" {
				t.Errorf("%s first: receipt %+v, sent %q", first, r, s.sent)
			}
			time.Sleep(kickPause)
			if r := s.room.Deliver(t.Context(), []sdk.Delivery{text("3", "x")})[0]; r.Err != nil {
				t.Errorf("later: %+v", r)
			}
		})
	}
}

// TestPutOutIsNotForgotten shows that a puppet that the room keeps out does not make room for another, and so cannot come again.
func TestPutOutIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.Source, o.MaxPuppets = true, 1 })
		defer s.run()()
		s.room.Deliver(t.Context(), []sdk.Delivery{text("1", "x")})
		s.presence("<presence type='unavailable' from='" + roomJID + "/Ana' to='ana@bridge.example.org/b'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/><status code='307'/><status code='110'/></x></presence>")
		other := text("2", "y")
		other.Event.Actor = sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: "ben"}, Name: "Ben"}
		if r := s.room.Deliver(t.Context(), []sdk.Delivery{other})[0]; r.Err != nil {
			t.Errorf("somebody else: %+v", r)
		}
		if r := s.room.Deliver(t.Context(), []sdk.Delivery{text("3", "z")})[0]; r.Err == nil || r.Err.Kind != sdk.Forbidden {
			t.Errorf("who was put out: %+v", r)
		}
	})
}

func TestCapabilities(t *testing.T) {
	r := New(Options{JID: roomJID, MaxText: 1000, Puppet: func(sdk.Actor) string { return "" }}, nil, nil)
	for _, c := range []struct {
		info info
		role string
		want string
	}{
		{info{}, "participant", "update media richtext puppet"},
		{info{stanzaIDs: true}, "participant", "update media richtext retract reply puppet reaction"},
		{info{stanzaIDs: true, moderates: true}, "moderator", "update media richtext retract reply puppet reaction members moderate"},
		{info{moderatesOld: true}, "moderator", "update media richtext puppet members moderate"},
		{info{moderates: true}, "visitor", "update media richtext puppet"},
	} {
		r.info, r.bot.role = &c.info, c.role
		var got []string
		for _, f := range r.capabilities().Features {
			got = append(got, string(f))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v as %s: %v, want %s", c.info, c.role, got, c.want)
		}
	}
}

// TestReactionRestrictions shows that what the room does not allow is declared
// and not sent (XEP-0444 §2.2).
func TestReactionRestrictions(t *testing.T) {
	i := info{reactions: []string{"a", "b", "c"}, mostReactions: 2}
	for _, c := range []struct{ in, want []string }{
		{[]string{"a"}, []string{"a"}},
		{[]string{"x", "b", "a", "c"}, []string{"b", "a"}},
		{nil, nil},
	} {
		if got := i.permitted(c.in); !slices.Equal(got, c.want) {
			t.Errorf("permitted(%v) = %v", c.in, got)
		}
	}
}

func TestReadInvitation(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      Invitation
		ok        bool
	}{
		{"mediated", "<message from='" + roomJID + "' to='b'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='j@x.test/y'><reason>come</reason></invite><password>p</password></x></message>",
			Invitation{Room: roomJID, From: "j@x.test/y", Password: "p", Reason: "come"}, true},
		{"mediated by an occupant", "<message from='" + roomJID + "/Mallory' to='b'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='j@x.test'/></x></message>", Invitation{}, false},
		{"direct", "<message from='j@x.test/y' to='b'><x xmlns='jabber:x:conference' jid='Ops@muc.example.org/nick' reason='come'/></message>",
			Invitation{Room: roomJID, From: "j@x.test/y", Direct: true, Reason: "come"}, true},
		{"no address", "<message from='j@x.test/y' to='b'><x xmlns='jabber:x:conference' jid='@'/></message>", Invitation{}, false},
		{"error", "<message type='error' from='j@x.test/y' to='b'><x xmlns='jabber:x:conference' jid='" + roomJID + "'/></message>", Invitation{}, false},
		{"private message", "<message type='chat' from='" + roomJID + "/J' to='b'><body>x</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>", Invitation{}, false},
	} {
		st, err := packet.DecodeBytes([]byte(c.raw), packet.NSComponent)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ReadInvitation(st.(*packet.Message)); got != c.want && c.ok || ok != c.ok {
			t.Errorf("%s: %+v, %t", c.name, got, ok)
		}
	}
	no := Invitation{Room: roomJID, From: "j@x.test"}.Decline("b.test/x", "no")
	if x, ok := no.Extension(packet.NSMUCUser, "x"); no.To != roomJID || !ok || !strings.Contains(string(x.Raw()), "<decline to='j@x.test'><reason>no</reason></decline>") {
		t.Errorf("decline: %+v", no)
	}
	if no := (Invitation{Room: roomJID, From: "j@x.test", Direct: true}).Decline("b.test/x", "no"); no.To != "j@x.test" || no.Body() != "no" {
		t.Errorf("decline: %+v", no)
	}
}

// FuzzHandle feeds a room with whatever a server may send.
func FuzzHandle(f *testing.F) {
	for _, seed := range []string{
		"<message type='groupchat' from='" + roomJID + "/J' to='" + botJID + "' id='1'><body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='" + roomJID + "' id='s'/></message>",
		"<message from='" + roomJID + "' to='" + botJID + "'><result xmlns='urn:xmpp:mam:2' queryid='q' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='groupchat' from='" + roomJID + "/J'><body>x</body></message></forwarded></result></message>",
		"<presence type='unavailable' from='" + roomJID + "/bridge' to='" + botJID + "'><x xmlns='http://jabber.org/protocol/muc#user'><destroy jid='a@b'><reason>x</reason></destroy></x></presence>",
		"<presence from='" + roomJID + "/J' to='" + botJID + "'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant' jid='a@b/c'/><status code='110'/></x></presence>",
		"<message type='groupchat' from='" + roomJID + "' to='" + botJID + "'><x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>",
		"<message type='chat' from='" + roomJID + "/J' to='" + botJID + "'><body>x</body></message>",
		"<message type='error' from='" + roomJID + "' to='" + botJID + "' id='bh-1'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		st, err := packet.DecodeBytes([]byte(raw), packet.NSComponent)
		if err != nil {
			return
		}
		r := New(Options{Place: roomJID, JID: roomJID, Tag: "bh-", Source: true, BotFrom: botJID, BotNick: "bridge"}, deaf{}, deaf{})
		r.StreamUp(false)
		r.info = &info{exists: true, stanzaIDs: true, occupants: true, archive: true, record: true}
		r.bot.phase, r.nicks["bridge"] = in, r.bot
		r.asked["q"] = &replay{query: "q", by: r.bot, keep: true, more: make(chan struct{}, 1)}
		switch st := st.(type) {
		case *packet.Message:
			r.HandleMessage(t.Context(), st)
			ReadInvitation(st)
		case *packet.Presence:
			r.HandlePresence(t.Context(), st)
		}
		for h, ok := r.next(); ok; h, ok = r.next() {
			if !h.hole {
				r.tell(t.Context(), []heard{h})
			}
		}
		if _, err := r.tellPast(t.Context(), r.asked["q"].kept); err != nil {
			t.Error(err)
		}
	})
}

// deaf is a stream and a host that take everything and answer nothing.
type deaf struct{}

func (deaf) Send(context.Context, packet.Stanza) error     { return nil }
func (deaf) SendRaw(context.Context, string, []byte) error { return nil }
func (deaf) Publish(context.Context, ...sdk.Event) error   { return nil }
func (deaf) Report(context.Context, ...sdk.Report) error   { return nil }
func (deaf) IQ(context.Context, *packet.IQ) (*packet.IQ, error) {
	return nil, &packet.Error{Type: "cancel", Condition: "service-unavailable"}
}
