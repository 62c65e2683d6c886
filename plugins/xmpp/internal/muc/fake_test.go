package muc

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

const (
	roomJID = "ops@muc.example.org"
	botJID  = "bridge.example.org/b"
)

// service plays the stream and the room behind it: it answers at once, in the
// goroutine that asks, unless a test says otherwise.
type service struct {
	t    *testing.T
	room *Room

	mu       sync.Mutex
	features []string
	sent     []string // raw messages
	log      []string // what else was asked: join, leave, ping …
	joins    []*packet.Presence

	onJoin    func(p *packet.Presence) bool // true: handled
	onMessage func(raw string) bool
	onPing    func() error
	onArchive func(iq *packet.IQ) (*packet.IQ, error)

	events  []sdk.Event
	reports []sdk.Report
	publish func([]sdk.Event) error
}

var allFeatures = []string{"urn:xmpp:sid:0", "urn:xmpp:occupant-id:0", "http://jabber.org/protocol/muc#stable_id"}

// newService makes a room behind a service; the stream is up.
func newService(t *testing.T, change func(*Options)) *service {
	s := &service{t: t, features: allFeatures}
	o := Options{
		Place: "Ops@muc.example.org", JID: roomJID, Tag: "bh-", Target: true, BotFrom: botJID, BotNick: "bridge",
		Puppet:  func(a sdk.Actor) string { return string(a.Home.ID) + "@bridge.example.org/b" },
		MaxText: 10000, MaxPuppets: 10, Settle: 10 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	s.room = New(o, s, s)
	s.room.StreamUp(false)
	return s
}

// run runs the room until the returned function is called.
func (s *service) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.room.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	}
}

func (s *service) note(what string) {
	s.mu.Lock()
	s.log = append(s.log, what)
	s.mu.Unlock()
}

// took returns the log and empties it.
func (s *service) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := strings.Join(s.log, ", ")
	s.log = nil
	return log
}

func (s *service) Send(_ context.Context, st packet.Stanza) error {
	p, ok := st.(*packet.Presence)
	if !ok {
		s.t.Fatalf("sent a %T", st)
	}
	_, nick, _ := strings.Cut(p.To, "/")
	if p.Type == "unavailable" {
		s.note("leave " + nick)
		s.presence("<presence type='unavailable' from='" + p.To + "' to='" + p.From + "'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>")
		return nil
	}
	s.note("join " + nick)
	s.mu.Lock()
	s.joins = append(s.joins, p)
	s.mu.Unlock()
	if s.onJoin == nil || !s.onJoin(p) {
		s.accept(p)
	}
	return nil
}

// accept lets an occupant in, without history.
func (s *service) accept(p *packet.Presence) {
	s.admit(p)
	s.message("<message type='groupchat' from='" + roomJID + "' to='" + p.From + "'><subject/></message>")
}

func (s *service) admit(p *packet.Presence) {
	s.presence("<presence from='" + p.To + "' to='" + p.From + "'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/><status code='110'/></x></presence>")
}

// refuse answers a join by an error.
func (s *service) refuse(p *packet.Presence, condition string) {
	s.presence("<presence type='error' from='" + p.To + "' to='" + p.From + "'><error type='cancel'><" + condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>")
}

func (s *service) SendRaw(_ context.Context, from string, stanza []byte) error {
	raw := string(stanza)
	s.mu.Lock()
	s.sent = append(s.sent, raw)
	s.mu.Unlock()
	if s.onMessage == nil || !s.onMessage(raw) {
		s.reflect(raw)
	}
	return nil
}

// reflect sends a message of ours back to its sender.
func (s *service) reflect(raw string) {
	m := s.parse(raw).(*packet.Message)
	s.room.mu.Lock()
	nick := s.room.byFrom[m.From].nick
	s.room.mu.Unlock()
	s.message("<message type='groupchat' id='" + m.ID + "' from='" + roomJID + "/" + nick + "' to='" + m.From + "'><body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='" + roomJID + "' id='s-" + m.ID + "'/></message>")
}

func (s *service) IQ(_ context.Context, iq *packet.IQ) (*packet.IQ, error) {
	switch {
	case iq.Payload.Is(packet.NSDiscoInfo, "query"):
		var w xmltok.Writer
		w.Start(packet.NSDiscoInfo, "query")
		s.mu.Lock()
		for _, f := range s.features {
			w.Start(packet.NSDiscoInfo, "feature", xmltok.A("var", f)).End()
		}
		s.mu.Unlock()
		e, err := w.Element()
		return &packet.IQ{Payload: e}, err
	case iq.Payload.Is(packet.NSPing, "ping"):
		s.note("ping")
		s.mu.Lock()
		answer := s.onPing
		s.mu.Unlock()
		if answer != nil {
			return &packet.IQ{}, answer()
		}
		return &packet.IQ{}, nil
	case s.onArchive != nil:
		return s.onArchive(iq)
	}
	return nil, &packet.Error{Type: "cancel", Condition: "service-unavailable"}
}

func (s *service) Publish(_ context.Context, events ...sdk.Event) error {
	if s.publish != nil {
		if err := s.publish(events); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
	return nil
}

func (s *service) Report(_ context.Context, reports ...sdk.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, reports...)
	return nil
}

// answerPings makes pings end with the condition.
func (s *service) answerPings(condition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onPing = func() error { return &packet.Error{Type: "cancel", Condition: condition} }
}

// lastReport gives the state that the host knows.
func (s *service) lastReport() sdk.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reports) == 0 {
		return sdk.Report{}
	}
	return s.reports[len(s.reports)-1]
}

// heard returns the events and forgets them.
func (s *service) heard() []sdk.Event {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

func (s *service) parse(raw string) packet.Stanza {
	st, err := packet.DecodeBytes([]byte(raw), packet.NSComponent)
	if err != nil {
		s.t.Fatalf("%s: %v", raw, err)
	}
	return st
}

func (s *service) message(raw string) {
	s.room.HandleMessage(context.Background(), s.parse(raw).(*packet.Message))
}

func (s *service) presence(raw string) {
	s.room.HandlePresence(context.Background(), s.parse(raw).(*packet.Presence))
}

// say is a message of somebody in the room, as the listener gets it.
func (s *service) say(nick, id, inner string) {
	s.message("<message type='groupchat' id='" + id + "' from='" + roomJID + "/" + nick + "' to='" + botJID + "'>" + inner + "</message>")
}

// come and go are presences of somebody else, as the listener gets them.
func (s *service) come(nick string) {
	s.presence("<presence from='" + roomJID + "/" + nick + "' to='" + botJID + "'><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/></x></presence>")
}

func (s *service) goAway(nick string) {
	s.presence("<presence type='unavailable' from='" + roomJID + "/" + nick + "' to='" + botJID + "'/>")
}

func listening(o *Options) { o.Source = true }

var ana = sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: "ana"}, Name: "Ana"}

func text(id, body string) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(id), Event: sdk.Event{Actor: ana, Change: sdk.ItemCreated{Item: sdk.Item{ID: sdk.ItemID("i" + id), Text: sdk.NewText(body)}}}}
}
