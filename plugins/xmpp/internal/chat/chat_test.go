package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

const (
	tag     = "bh012345-"
	romeo   = "romeo@s1.example"
	juliet  = `juliet\40s2.example@gate.example`
	between = sdk.RemoteID("romeo@s1.example juliet@s2.example")
)

// fake is a stream that keeps what is sent, and a host that keeps what is published.
type fake struct {
	rules  packet.Rules
	mu     sync.Mutex
	sent   []*packet.Message
	fail   func(m *packet.Message) error // of Start
	answer func(m *packet.Message) error // of Wait
	events chan sdk.Event
	refuse func(ev *sdk.Event) error // of Publish
}

func (f *fake) Send(_ context.Context, p packet.Stanza) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := p.(*packet.Message)
	if !ok {
		return errors.New("only messages are sent in chats")
	}
	f.sent = append(f.sent, m)
	return nil
}

type waiting func() error

func (w waiting) Wait(context.Context) error { return w() }

func (f *fake) Start(_ context.Context, p stanza.Packet) (Pending, error) {
	raw, _, err := packet.Encode(p, f.rules)
	if err != nil {
		return nil, err
	}
	m := message(string(raw))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(m); err != nil {
			return nil, err
		}
	}
	f.sent = append(f.sent, m)
	return waiting(func() error {
		if f.answer != nil {
			return f.answer(m)
		}
		return nil
	}), nil
}

func (f *fake) Publish(_ context.Context, events ...sdk.Event) error {
	for _, ev := range events {
		if f.refuse != nil {
			if err := f.refuse(&ev); err != nil {
				return err
			}
		}
		f.events <- ev
	}
	return nil
}

// taken gives what was sent since the last call.
func (f *fake) taken() []*packet.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.sent
	f.sent = nil
	return out
}

// message parses a message of a component's stream.
func message(text string) *packet.Message {
	s, err := packet.DecodeBytes([]byte(text), packet.NSComponent)
	if err != nil {
		panic(fmt.Sprint(text, ": ", err))
	}
	return s.(*packet.Message)
}

// open makes the chats of a gateway's component, or of an account.
func open(t *testing.T, account bool) (*Chats, *fake) {
	t.Helper()
	f := &fake{events: make(chan sdk.Event, 100), rules: packet.Rules{Space: packet.NSComponent, Domain: "gate.example"}}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	o := Options{
		Tag: tag, Resource: "bridge", Link: "one", Peer: "two", Own: "gate.example", From: "gate.example/bridge",
		Gateway: &address.Component{Domain: "gate.example"}, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
	}
	if account {
		o.Own, o.From, o.Gateway = "bot@s1.example", "", nil
		f.rules = packet.Rules{Space: packet.NSComponent, Account: "bot@s1.example/r"}
	}
	c := New(o, f, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c, f
}

func (f *fake) next(t *testing.T) *sdk.Event {
	t.Helper()
	select {
	case ev := <-f.events:
		return &ev
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return nil
	}
}

// said hands a message over and gives the one event that it makes.
func said(t *testing.T, c *Chats, f *fake, text string) *sdk.Event {
	t.Helper()
	if !c.HandleMessage(t.Context(), message(text)) {
		t.Fatalf("not taken: %s", text)
	}
	return f.next(t)
}

// silent hands a message over that must make no event.
func silent(t *testing.T, c *Chats, f *fake, text string, taken bool) {
	t.Helper()
	if got := c.HandleMessage(t.Context(), message(text)); got != taken {
		t.Errorf("taken %v, want %v: %s", got, taken, text)
	}
	// A message after it comes through alone.
	ev := said(t, c, f, "<message type='chat' id='mark' from='"+romeo+"/x' to='"+juliet+"'><body>mark</body></message>")
	if ev.Item().Body() != "mark" {
		t.Errorf("%s made %+v", text, ev)
	}
}

func from(id, inner string) string {
	return fmt.Sprintf("<message type='chat' id='%s' from='%s/phone' to='%s'>%s</message>", id, romeo, juliet, inner)
}

func TestText(t *testing.T) {
	c, f := open(t, false)
	ev := said(t, c, f, from("m1", "<body>But soft</body><nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick>"))
	it := ev.Item()
	if ev.Place.ID != between || string(ev.Actor.Home.ID) != romeo || ev.Actor.Name != "Romeo" || !ev.Want || ev.Dedup == "" {
		t.Errorf("event %+v", ev)
	}
	if it.Body() != "But soft" || it.Visibility != sdk.VisibilityDirect || it.Origin.ID == "" {
		t.Errorf("item %+v", it)
	}
	again := said(t, c, f, from("m1", "<body>But soft</body>"))
	if again.Dedup != ev.Dedup || again.Item().Origin != it.Origin {
		t.Error("the same message has another name the second time")
	}
	other := said(t, c, f, strings.Replace(from("m1", "<body>But soft</body>"), romeo, "paris@s1.example", 1))
	if other.Item().Origin == it.Origin {
		t.Error("messages of two people have one name")
	}
}

func TestReferences(t *testing.T) {
	c, f := open(t, false)
	first := said(t, c, f, from("m1", "<body>the mooon</body>")).Item().Origin.ID
	ev := said(t, c, f, from("m2", "<body>the moon</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>"))
	if ch, ok := ev.Change.(sdk.ItemUpdated); !ok || ch.Target.Remote != first {
		t.Errorf("correction: %+v", ev.Change)
	}
	ev = said(t, c, f, from("m3", "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/><body>/me retracted</body>"))
	if ch, ok := ev.Change.(sdk.ItemRetracted); !ok || ch.Target.Remote != first {
		t.Errorf("retraction: %+v", ev.Change)
	}
	r := c.Deliver(t.Context(), []sdk.Delivery{textTo("d1", "hello")})[0]
	if r.Err != nil || len(r.Copies) != 1 {
		t.Fatalf("receipt %+v", r)
	}
	id := f.taken()[0].ID
	ev = said(t, c, f, from("m4", "<reactions xmlns='urn:xmpp:reactions:0' id='"+id+"'><reaction>x</reaction></reactions>"))
	if ch, ok := ev.Change.(sdk.ReactionsSet); !ok || ch.Target.Remote != r.Copies[0].Remote {
		t.Errorf("reaction: %+v, want one to %s", ev.Change, r.Copies[0].Remote)
	}
	ev = said(t, c, f, from("m5", "<received xmlns='urn:xmpp:receipts' id='"+id+"'/>"))
	if ch, ok := ev.Change.(sdk.Signal); !ok || ch.Signal != sdk.SignalReceived || ch.Target.Remote != r.Copies[0].Remote {
		t.Errorf("receipt: %+v", ev.Change)
	}
	// The correction of a message of ours is one of a message that the host knows to be a copy: it refuses that.
	ev = said(t, c, f, from("m6", "<body>forged</body><replace xmlns='urn:xmpp:message-correct:0' id='"+id+"'/>"))
	if ch, ok := ev.Change.(sdk.ItemUpdated); !ok || ch.Target.Remote != r.Copies[0].Remote {
		t.Errorf("forged correction: %+v", ev.Change)
	}
}

// XEP-0359 §4: reactions name the origin-id, retractions the id.
func TestOriginID(t *testing.T) {
	c, f := open(t, false)
	name := said(t, c, f, from("m1", "<body>hi</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>")).Item().Origin.ID
	for _, inner := range []string{
		"<reactions xmlns='urn:xmpp:reactions:0' id='o1'><reaction>x</reaction></reactions>",
		"<retract xmlns='urn:xmpp:message-retract:1' id='m1'/>",
	} {
		if ev := said(t, c, f, from("m2", inner)); ev.Target().Remote != name {
			t.Errorf("%s names %q, want %q", inner, ev.Target().Remote, name)
		}
	}
	d := textTo("d1", "")
	d.Event.Change = sdk.ReactionsSet{Target: sdk.Target{Remote: name}, Reactions: []string{"x"}}
	c.Deliver(t.Context(), []sdk.Delivery{d})
	if m := f.taken()[0]; !strings.Contains(string(m.Source.Raw()), "id='o1'") {
		t.Errorf("reaction %s, want one to o1", m.Source.Raw())
	}
}

// XM-06 and XM-07: what claims to carry another message is not believed.
func TestForgedWrappers(t *testing.T) {
	inner := func(kind, space string) string {
		return "<" + kind + " xmlns='" + space + "'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' id='f' from='paris@s1.example/x' to='" +
			juliet + "'><body>forged</body></message></forwarded></" + kind + ">"
	}
	for _, account := range []bool{false, true} {
		c, f := open(t, account)
		if account {
			c.SetPlaces(map[string]sdk.RemoteID{romeo: "chat:romeo", "paris@s1.example": "chat:paris"})
		}
		for _, text := range []string{inner("received", "urn:xmpp:carbons:2"), inner("sent", "urn:xmpp:carbons:2"), inner("result", "urn:xmpp:mam:2")} {
			for _, sender := range []string{romeo, romeo + "/phone", "s1.example"} {
				m := message("<message type='chat' from='" + sender + "' to='" + juliet + "'>" + text + "</message>")
				if account {
					m.To = "bot@s1.example/r"
				}
				if !c.HandleMessage(t.Context(), m) {
					t.Errorf("handed on: %s", text)
				}
			}
		}
		if n := c.Ignored(); n != 9 {
			t.Errorf("%d counted, want 9", n)
		}
		select {
		case ev := <-f.events:
			t.Errorf("event %+v", ev)
		default:
		}
	}
	c, f := open(t, true)
	c.SetPlaces(map[string]sdk.RemoteID{romeo: "chat:romeo"})
	own := message("<message type='chat' from='bot@s1.example' to='bot@s1.example/r'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>" +
		"<message xmlns='jabber:client' type='chat' id='c1' from='romeo@s1.example/x' to='bot@s1.example/other'><body>to you all</body></message></forwarded></received></message>")
	if !c.HandleMessage(t.Context(), own) {
		t.Error("our own server's carbon is not taken")
	}
	if ev := f.next(t); ev.Place.ID != "chat:romeo" || ev.Item().Body() != "to you all" || ev.Item().Visibility != sdk.VisibilityPlace {
		t.Errorf("event %+v", ev)
	}
}

func TestNotOurs(t *testing.T) {
	c, f := open(t, false)
	silent(t, c, f, strings.Replace(from("a", "<body>x</body>"), juliet, "nobody@gate.example", 1), false)
	silent(t, c, f, strings.Replace(from("a", "<body>x</body>"), juliet, "gate.example", 1), false)
	silent(t, c, f, strings.Replace(from("a", "<body>x</body>"), "type='chat'", "type='headline'", 1), false)
	silent(t, c, f, from("bhabcdef-1", "<body>from another bridge</body>"), true)
	silent(t, c, f, from("a", "<active xmlns='http://jabber.org/protocol/chatstates'/><body/>"), true)
}

func TestSealed(t *testing.T) {
	c, f := open(t, false)
	sealed := "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>AAAA</payload></encrypted><body>I sent you an OMEMO message</body>"
	silent(t, c, f, from("e1", sealed), true)
	silent(t, c, f, from("e2", sealed), true)
	got := f.taken()
	if len(got) != 1 || !strings.Contains(got[0].Body(), "encrypted") || got[0].From != juliet+"/bridge" || got[0].To != romeo {
		t.Errorf("notices: %+v", got)
	}
}

func textTo(id, body string) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(id), Place: between, Event: sdk.Event{
		Actor:  sdk.Actor{Home: sdk.Ref{Link: "two", ID: "juliet@s2.example"}, Name: "Juliet"},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: sdk.ItemID("item-" + id), Text: sdk.NewText(body)}},
	}}
}

func TestDeliver(t *testing.T) {
	c, f := open(t, false)
	list := c.Deliver(t.Context(), []sdk.Delivery{textTo("d1", "one"), textTo("d2", "two")})
	got := f.taken()
	for i, body := range []string{"one", "two"} {
		r := list[i]
		if r.Err != nil || len(r.Copies) != 1 || string(r.Puppet) != juliet || len(r.Loss) > 0 {
			t.Errorf("receipt %+v", r)
		}
		if m := got[i]; m.Body() != body || m.From != juliet+"/bridge" || m.To != romeo || m.Type != "chat" || !strings.HasPrefix(m.ID, tag) {
			t.Errorf("message %+v", m)
		}
	}
}

// A delivery of which nobody knows whether it arrived goes as a correction of itself.
func TestUncertain(t *testing.T) {
	c, f := open(t, false)
	c.Deliver(t.Context(), []sdk.Delivery{textTo("d1", "once")})
	first := f.taken()[0]
	d := textTo("d1", "once")
	d.Uncertain = true
	again := c.Deliver(t.Context(), []sdk.Delivery{d})
	m := f.taken()[0]
	replace, ok := m.Extension("urn:xmpp:message-correct:0", "replace")
	if !ok || replace.Get("id") != first.ID || m.ID == first.ID || m.Body() != "once" {
		t.Errorf("repeat %s", m.Source.Raw())
	}
	if len(again[0].Copies) != 1 || !strings.Contains(string(again[0].Copies[0].Remote), first.ID) {
		t.Errorf("the copy is called %+v, want it after %s", again[0].Copies, first.ID)
	}
}

func TestRefusals(t *testing.T) {
	c, f := open(t, false)
	refuse := func(condition, kind string) func(*packet.Message) error {
		return func(m *packet.Message) error {
			c.HandleMessage(context.Background(), message("<message type='error' id='"+m.ID+"' from='"+romeo+"' to='"+juliet+"'><error type='"+kind+"'><"+condition+
				" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"))
			return nil
		}
	}
	for _, x := range []struct {
		condition, kind string
		want            sdk.Kind
	}{
		{"service-unavailable", "cancel", sdk.Forbidden}, {"item-not-found", "cancel", sdk.NotFound}, {"resource-constraint", "wait", sdk.Transient},
		{"remote-server-timeout", "wait", sdk.Transient}, {"not-acceptable", "cancel", sdk.Forbidden},
	} {
		f.answer = refuse(x.condition, x.kind)
		r := c.Deliver(t.Context(), []sdk.Delivery{textTo("d-"+x.condition, "x")})[0]
		if r.Err == nil || r.Err.Kind != x.want || len(r.Copies) > 0 {
			t.Errorf("%s: %+v", x.condition, r)
		}
	}
	f.answer = nil
	r := c.Deliver(t.Context(), []sdk.Delivery{textTo("late", "x")})[0]
	id := f.taken()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	// A stranger cannot make a delivery fail.
	c.HandleMessage(t.Context(), message("<message type='error' id='"+id[len(id)-1].ID+"' from='paris@s1.example' to='"+juliet+"'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"))
	if err := refuse("remote-server-not-found", "cancel")(id[len(id)-1]); err != nil {
		t.Fatal(err)
	}
	ev := f.next(t)
	if s, ok := ev.Change.(sdk.Signal); !ok || s.Signal != sdk.SignalFailed || s.Target.Remote != r.Copies[0].Remote || s.Text == "" || string(ev.Actor.Home.ID) != romeo {
		t.Errorf("late failure: %+v", ev)
	}
}

func TestStreamFails(t *testing.T) {
	c, f := open(t, false)
	f.fail = func(m *packet.Message) error {
		if m.Body() == "two" {
			return fmt.Errorf("send: %w: %w", stream.ErrNotWritten, stream.ErrDown)
		}
		return nil
	}
	list := c.Deliver(t.Context(), []sdk.Delivery{textTo("d1", "one"), textTo("d2", "two"), textTo("d3", "three")})
	if list[0].Err != nil || list[1].Err == nil || !list[1].Unsent || list[2].Err == nil || !list[2].Unsent || list[2].Err.Kind != sdk.Transient {
		t.Errorf("receipts %+v", list)
	}
	f.fail = nil
	f.answer = func(*packet.Message) error { return fmt.Errorf("send: %w", stream.ErrMaybeWritten) }
	if r := c.Deliver(t.Context(), []sdk.Delivery{textTo("d4", "four")})[0]; r.Err == nil || r.Unsent || r.Err.Kind != sdk.Transient {
		t.Errorf("maybe written: %+v", r)
	}
}

// The sender of what could not be delivered gets it back at the client that
// wrote it, or in words where that is not known.
func TestBounce(t *testing.T) {
	c, f := open(t, false)
	origin := said(t, c, f, from("m1", "<body>hi</body>")).Item().Origin.ID
	dead := sdk.Outcome{Origin: origin, State: sdk.OutcomeDead, Reason: "there is no such person"}
	if err := c.Inform(t.Context(), []sdk.Outcome{dead}); err != nil {
		t.Fatal(err)
	}
	if m := f.taken()[0]; m.Type != "error" || m.To != romeo+"/phone" || m.ID != "m1" || m.From != juliet+"/bridge" || m.Error.Text != dead.Reason {
		t.Errorf("bounce %+v", m)
	}
	c, f = open(t, false) // after a restart
	if err := c.Inform(t.Context(), []sdk.Outcome{dead}); err != nil {
		t.Fatal(err)
	}
	if m := f.taken()[0]; m.Type != "chat" || m.To != romeo || !strings.Contains(m.Body(), dead.Reason) {
		t.Errorf("bounce in words %+v", m)
	}
	lost := sdk.Outcome{Origin: origin, State: sdk.OutcomeDelivered, Loss: []sdk.Loss{{Kind: sdk.LossRetract}, {Kind: sdk.LossName}}}
	for range 3 {
		if err := c.Inform(t.Context(), []sdk.Outcome{lost}); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.taken(); len(got) != 1 || !strings.Contains(got[0].Body(), "take messages back") {
		t.Errorf("hints %+v, want one", got)
	}
	if err := c.Inform(t.Context(), []sdk.Outcome{{Origin: "s:abc|r:room@muc.example", State: sdk.OutcomeDead}, {Origin: "?"}, {}}); err != nil || len(f.taken()) > 0 {
		t.Error("an outcome of a room is answered in a chat")
	}
}

// Who changes what somebody else wrote is told, at the message that asked for it
// (XEP-0308 §5, XEP-0424 §5).
func TestNotYours(t *testing.T) {
	c, f := open(t, false)
	f.refuse = func(ev *sdk.Event) error {
		if ev.Item() != nil && ev.Kind() == sdk.KindItemCreated {
			return nil
		}
		return sdk.Errorf(sdk.Forbidden, "publish", "not yours")
	}
	of := tag + "0123"
	for id, inner := range map[string]string{
		"c|1": "<body>not mine</body><replace xmlns='urn:xmpp:message-correct:0' id='" + of + "'/>",
		"r1":  "<retract xmlns='urn:xmpp:message-retract:1' id='" + of + "'/>",
	} {
		silent(t, c, f, from(id, inner), true)
		got := f.taken()
		if len(got) != 1 || got[0].Type != "error" || got[0].ID != id || got[0].From != juliet+"/bridge" || !strings.HasPrefix(got[0].To, romeo+"/") ||
			got[0].Error.Condition != "forbidden" || !strings.Contains(got[0].Error.Text, "who wrote") {
			t.Errorf("%s: answers %+v", id, got)
		}
	}
	silent(t, c, f, from("s1", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"), true)
	if got := f.taken(); len(got) > 0 {
		t.Errorf("answers to a signal: %+v", got)
	}
}

func TestPlaces(t *testing.T) {
	c, f := open(t, false)
	for _, place := range []sdk.RemoteID{"x", "gate.example juliet@s2.example", "a@gate.example juliet@s2.example", "romeo@s1.example nobody"} {
		d := textTo("d1", "x")
		d.Place = place
		if r := c.Deliver(t.Context(), []sdk.Delivery{d})[0]; r.Err == nil || !r.Unsent || r.Err.Kind.Temporary() {
			t.Errorf("%s: %+v", place, r)
		}
	}
	if got := f.taken(); len(got) > 0 {
		t.Errorf("sent %+v", got)
	}
	bot, f := open(t, true)
	bot.SetPlaces(map[string]sdk.RemoteID{romeo: "chat:Romeo@s1.example"})
	d := textTo("d1", "hello")
	d.Place = "chat:Romeo@s1.example"
	if r := bot.Deliver(t.Context(), []sdk.Delivery{d})[0]; r.Err != nil || r.Puppet != "" {
		t.Errorf("receipt %+v", r)
	}
	if m := f.taken()[0]; m.From != "" || m.To != romeo || m.Body() != "Juliet: hello" {
		t.Errorf("message %+v", m)
	}
}

func TestRing(t *testing.T) {
	r := newRing[int, int](3)
	for i := range 10 {
		r.put(i, i)
		r.put(i, i*i)
	}
	for i := range 10 {
		if v, ok := r.get(i); ok != (i >= 7) || ok && v != i*i {
			t.Errorf("%d: %d %v", i, v, ok)
		}
	}
}
