package contact

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

// end is one component with its contacts. As the host would, it hands what the other end publishes to its contacts.
type end struct {
	*sdktest.Host
	t     *testing.T
	c     *Contacts
	other *end
	sess  *stream.Session
	stop  func() // ends what connect began; repeats do no harm
}

// Publish mirrors places as a gateway does.
func (e *end) Publish(ctx context.Context, events ...sdk.Event) error {
	for _, ev := range events {
		own, foreign, ok := sdk.SplitPeerPlace(ev.Place.ID)
		if !ok || own != string(ev.Actor.Home.ID) {
			e.t.Errorf("%q publishes in %q", ev.Actor.Home.ID, ev.Place.ID)
			continue
		}
		if ev.Kind() != sdk.KindSignal && e.Seen(ev.Dedup) {
			continue
		}
		r := e.other.c.Deliver(ctx, sdk.Delivery{ID: "x", Place: sdk.PeerPlace(foreign, own), Event: ev})
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// Seen is the host's check of repeats.
func (e *end) Seen(key string) bool {
	if key == "" {
		return false
	}
	v, _ := e.Store().Get(e.t.Context(), "seen "+key[:min(200, len(key))])
	_ = e.Store().Set(e.t.Context(), "seen "+key[:min(200, len(key))], []byte("1"))
	return v != nil
}

// Resolve asks the contacts of the other end.
func (e *end) Resolve(ctx context.Context, foreign string) (sdk.Resolved, error) {
	a, err := e.other.c.Profile(ctx, foreign)
	return sdk.Resolved{Actor: &a}, err
}

// Send implements Stream.
func (e *end) Send(ctx context.Context, p packet.Stanza) error { return e.sess.Send(ctx, p) }

// IQ implements Stream.
func (e *end) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) { return e.sess.IQ(ctx, iq) }

// connect makes the end's stream and contacts, and returns a function that runs them until the stream is up.
func (e *end) connect(t *testing.T, srv *itest.Server, dom string) {
	t.Helper()
	up := make(chan struct{}, 10)
	sess, err := stream.New(stream.Options{
		Mode: stream.Component, Address: srv.Component, Domain: dom, Secret: "s3cret", Plaintext: stream.PlaintextLoopback,
		Software: stream.Software{Name: "bridgehost"},
		Disco:    func(_ context.Context, to, node string) (stream.Disco, bool) { return e.c.Disco(to, node) },
		OnState: func(s stream.State) {
			if s.Phase == stream.Up {
				e.c.StreamUp(s.Resumed)
				up <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.sess = sess
	e.c = New(Options{Address: address.Component{Domain: dom}, Peer: "other", Hide: true, Grace: 2 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}, e, e)
	ctx, cancel := context.WithCancel(context.Background())
	streamCtx, endStream := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- sess.Run(streamCtx, stream.Handler{
			Presence: func(ctx context.Context, p *packet.Presence) { e.c.HandlePresence(ctx, p) },
			Message:  func(ctx context.Context, m *packet.Message) { e.c.HandleMessage(ctx, m) },
			IQ:       e.c.HandleIQ,
		})
	}()
	contacts := make(chan error, 1)
	go func() { contacts <- e.c.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel() // contacts say goodbye while the stream is there
		err := <-contacts
		endStream()
		if err = errors.Join(err, <-done); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("end %s: %v", dom, err)
		}
	})
	t.Cleanup(e.stop)
	select {
	case <-up:
	case <-time.After(20 * time.Second):
		t.Fatal("component is not up")
	}
}

// TestServers lets two people of a real server meet as contacts through two components that are joined.
func TestServers(t *testing.T) {
	for name, launch := range map[string]func(itest.TB, itest.Options) *itest.Server{"prosody": itest.Prosody, "ejabberd": itest.Ejabberd} {
		t.Run(name, func(t *testing.T) {
			srv := launch(t, itest.Options{
				Users:      map[string]string{"romeo": "pw", "juliet": "pw"},
				Components: map[string]string{"west.xmpp.test": "s3cret", "east.xmpp.test": "s3cret"},
			})
			west := &end{Host: sdktest.NewHost(nil), t: t}
			east := &end{Host: sdktest.NewHost(nil), t: t, other: west}
			west.other = east
			west.connect(t, srv, "west.xmpp.test")
			east.connect(t, srv, "east.xmpp.test")
			m := &meeting{t: t, srv: srv, west: west, romeo: itest.Slix(t, srv.Account("romeo")), juliet: itest.Slix(t, srv.Account("juliet"))}
			m.vjuliet = `juliet\40` + srv.Domain + `@west.xmpp.test` // as Romeo sees her
			m.vromeo = `romeo\40` + srv.Domain + `@east.xmpp.test`
			m.interested()
			t.Run("profile", m.profile)
			t.Run("subscribe", m.subscribe)
			t.Run("presence", m.presence)
			t.Run("change", m.change)
			t.Run("restart", m.restart)
			t.Run("bridge restarts", m.bridge)
			t.Run("end", m.end)
		})
	}
}

// meeting is what the parts of the test share.
type meeting struct {
	t               *testing.T
	srv             *itest.Server
	west            *end
	romeo, juliet   *itest.Client
	vromeo, vjuliet string
}

// interested asks for the rosters, without which a server tells a client nothing of subscriptions (RFC 6121 §2.2).
func (m *meeting) interested() {
	m.romeo.Roster()
	m.juliet.Roster()
}

// profile reads profile, avatar and description of a contact that is no contact yet.
func (m *meeting) profile(t *testing.T) {
	picture := pngFile(t, 64, 64)
	m.juliet.SetVCard4(itest.VCard{Name: "Juliet Capulet", Nickname: "Juliet", Desc: "Is it thy name?"})
	m.juliet.SetVCard("", itest.VCard{Name: "Juliet Capulet", Nickname: "Juliet", Desc: "Is it thy name?", Photo: picture, PhotoType: "image/png"})
	m.juliet.SetAvatar("image/png", picture)
	m.juliet.SetNickname("Juliet")
	card, err := m.romeo.VCard(m.vjuliet)
	if err != nil || card.Nickname != "Juliet" || !strings.Contains(card.Desc, m.juliet.Bare()) {
		t.Errorf("vCard %+v, %v, want one of Juliet", card, err)
	}
	if string(card.Photo) != string(picture) {
		t.Errorf("photo of %d bytes, want %d", len(card.Photo), len(picture))
	}
	for _, node := range []bool{false, true} {
		if card, err := m.romeo.VCard4(m.vjuliet, node); err != nil || card.Nickname != "Juliet" {
			t.Errorf("vCard4 (node %v) %+v, %v, want one of Juliet", node, card, err)
		}
	}
	avatar, err := m.romeo.Avatar(m.vjuliet)
	if err != nil || avatar.SHA1 != avatar.ID || string(avatar.Data) != string(picture) || avatar.Type != "image/png" {
		t.Errorf("avatar %s %s of %d bytes, %v", avatar.ID, avatar.Type, len(avatar.Data), err)
	}
	if e := m.romeo.IQ("get", m.vjuliet, "<query xmlns='http://jabber.org/protocol/disco#info'/>"); !strings.Contains(e.XML, "registered") {
		t.Errorf("disco: %s", e.XML)
	}
}

// subscribe lets both see each other's presence.
func (m *meeting) subscribe(t *testing.T) {
	m.romeo.Subscribe(m.vjuliet)
	m.juliet.WaitPresence(m.vromeo, "subscribe")
	m.juliet.Approve(m.vromeo)
	m.romeo.WaitPresence(m.vjuliet, "subscribed")
	e := m.romeo.WaitPresence(m.vjuliet, "")
	if !strings.Contains(e.XML, "http://jabber.org/protocol/caps") {
		t.Errorf("presence without capabilities: %s", e.XML)
	}
	m.juliet.Subscribe(m.vromeo)
	m.romeo.WaitPresence(m.vjuliet, "subscribe")
	m.romeo.Approve(m.vjuliet)
	m.juliet.WaitPresence(m.vromeo, "subscribed")
	m.juliet.WaitPresence(m.vromeo, "")
	for client, jid := range map[*itest.Client]string{m.romeo: m.vjuliet, m.juliet: m.vromeo} {
		if got := client.Roster()[jid].Subscription; got != "both" {
			t.Errorf("%s is in the roster of %s with %q, want both", jid, client.JID, got)
		}
	}
}

// presence follows one who goes away and comes back.
func (m *meeting) presence(*testing.T) {
	m.juliet.SendPresence(itest.Presence{Show: "dnd"})
	m.shows(m.vjuliet, "dnd")
	m.juliet.SendPresence(itest.Presence{Show: "xa"})
	m.shows(m.vjuliet, "away")
	m.juliet.SendPresence(itest.Presence{Type: "unavailable"})
	m.romeo.WaitPresence(m.vjuliet, "unavailable")
	m.juliet.SendPresence(itest.Presence{})
	m.romeo.WaitPresence(m.vjuliet, "")
}

// shows waits until Romeo sees a kind of presence.
func (m *meeting) shows(jid, show string) {
	m.romeo.Wait("presence "+show, func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == jid && strings.Contains(e.XML, "<show>"+show+"</show>")
	})
}

// change follows a new avatar into the presence of the contact.
func (m *meeting) change(t *testing.T) {
	picture := pngFile(t, 48, 48)
	m.juliet.SetVCard("", itest.VCard{Name: "Juliet Capulet", Nickname: "Juliet", Photo: picture, PhotoType: "image/png"})
	id := m.juliet.SetAvatar("image/png", picture)
	m.juliet.SendPresence(itest.Presence{Photo: &id})
	m.romeo.Wait("presence with the new avatar", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == m.vjuliet && strings.Contains(e.XML, id)
	})
	if card, err := m.romeo.VCard(m.vjuliet); err != nil || card.PhotoSHA1 != id {
		t.Errorf("vCard has the photo %s, %v, want %s", card.PhotoSHA1, err, id)
	}
}

// restart checks that a client that comes after a restart of the server sees its contact.
func (m *meeting) restart(*testing.T) {
	m.srv.Restart()
	m.juliet = itest.Slix(m.t, m.srv.Account("juliet"))
	m.romeo = itest.Slix(m.t, m.srv.Account("romeo"))
	m.interested()
	m.romeo.WaitPresence(m.vjuliet, "")
	m.juliet.WaitPresence(m.vromeo, "")
	m.juliet.SendPresence(itest.Presence{Show: "dnd"})
	m.shows(m.vjuliet, "dnd")
}

// bridge starts the component anew that Romeo is a user of. He sees Juliet go and come, and she is told of his presence without his doing.
func (m *meeting) bridge(t *testing.T) {
	m.west.stop()
	m.romeo.WaitPresence(m.vjuliet, "unavailable")
	m.west.connect(m.t, m.srv, "west.xmpp.test")
	m.shows(m.vjuliet, "dnd")
	m.romeo.SendPresence(itest.Presence{Show: "away"})
	m.juliet.Wait("presence of Romeo", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == m.vromeo && strings.Contains(e.XML, "<show>away</show>")
	})
	if got := m.west.c.List(m.romeo.Bare()); len(got) != 1 || !got[0].From || !got[0].To {
		t.Errorf("contacts after the restart: %+v", got)
	}
}

// end ends both subscriptions.
func (m *meeting) end(t *testing.T) {
	m.romeo.SendPresence(itest.Presence{To: m.vjuliet, Type: "unsubscribe"})
	m.juliet.WaitPresence(m.vromeo, "unsubscribe")
	m.juliet.SendPresence(itest.Presence{To: m.vromeo, Type: "unsubscribe"})
	m.romeo.WaitPresence(m.vjuliet, "unsubscribe")
	m.juliet.SendPresence(itest.Presence{Show: "away"})
	m.romeo.None("presence after the end", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == m.vjuliet && strings.Contains(e.XML, "<show>")
	})
	if got := m.romeo.Roster()[m.vjuliet].Subscription; got != "none" && got != "" {
		t.Errorf("subscription %q after the end", got)
	}
}
