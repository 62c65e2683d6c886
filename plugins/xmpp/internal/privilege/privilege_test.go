package privilege

import (
	"context"
	"errors"
	"strings"
	"testing"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

const component = "bridge.example.org"

// fakeStream records what is sent and answers requests by a function.
type fakeStream struct {
	sent   []string
	answer func(iq *packet.IQ) (*packet.IQ, error)
}

func (f *fakeStream) record(p packet.Stanza) error {
	b, _, err := packet.Encode(p, packet.Rules{Space: packet.NSComponent, Domain: component})
	f.sent = append(f.sent, string(b))
	return err
}

// Send implements Stream.
func (f *fakeStream) Send(_ context.Context, p packet.Stanza) error { return f.record(p) }

// IQ implements Stream.
func (f *fakeStream) IQ(_ context.Context, iq *packet.IQ) (*packet.IQ, error) {
	req := *iq
	req.ID = "outer"
	if err := f.record(&req); err != nil {
		return nil, err
	}
	return f.answer(&req)
}

func stanza[T packet.Stanza](t *testing.T, s string) T {
	t.Helper()
	st, err := packet.DecodeBytes([]byte(s), packet.NSComponent)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := st.(T)
	if !ok {
		t.Fatalf("%T", st)
	}
	return out
}

// all is a message with every grant, as Prosody's module of 2023 writes it: namespaces nested in each other.
const all = `<message from='example.org' to='bridge.example.org'><privilege xmlns='urn:xmpp:privilege:2'>
<perm access='roster' type='both' push='true'/><perm access='message' type='outgoing'/><perm access='presence' type='managed_entity'/>
<perm access='iq'><namespace ns='http://jabber.org/protocol/pubsub' type='both'><namespace ns='urn:xmpp:mam:2' type='get'/></namespace></perm></privilege>
<delegation xmlns='urn:xmpp:delegation:2'><delegated namespace='http://jabber.org/protocol/pubsub'/><delegated namespace='urn:xmpp:mam:2'><attribute name='node'/></delegated></delegation></message>`

func granted(t *testing.T) (*Entity, *fakeStream) {
	t.Helper()
	f := &fakeStream{}
	e := New(f, Options{Component: component, Servers: []string{"example.org"}})
	if !e.HandleMessage(stanza[*packet.Message](t, all)) {
		t.Fatal("message about grants not taken")
	}
	return e, f
}

func TestGrants(t *testing.T) {
	e, _ := granted(t)
	g := e.Grants("example.org")
	if g.Roster != (Access{true, true}) || !g.RosterPush || !g.Message || g.Presence != "managed_entity" {
		t.Errorf("grants %+v", g)
	}
	if g.IQ["http://jabber.org/protocol/pubsub"].String() != "both" || g.IQ["urn:xmpp:mam:2"].String() != "get" || len(g.IQ) != 2 {
		t.Errorf("iq grants %v", g.IQ)
	}
	if len(g.Delegated) != 2 || len(g.Delegated["urn:xmpp:mam:2"]) != 1 {
		t.Errorf("delegated %v", g.Delegated)
	}
	if !e.HasMessage("juliet@example.org") || e.HasMessage("juliet@example.net") || e.HasMessage("@@") {
		t.Error("grants for messages are not those of the user's server")
	}
	less := `<message from='example.org' to='bridge.example.org'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='get' push='false'/><perm access='message' type='none'/></privilege></message>`
	e.HandleMessage(stanza[*packet.Message](t, less))
	g = e.Grants("example.org")
	if g.Roster.String() != "get" || g.RosterPush || g.Message || g.IQ != nil || len(g.Delegated) != 2 {
		t.Errorf("after fewer grants: %+v", g)
	}
	e.Forget()
	if e.Grants("example.org").Any() {
		t.Error("grants outlive the stream")
	}
}

func TestForgedGrants(t *testing.T) {
	f := &fakeStream{}
	changed := 0
	e := New(f, Options{Component: component, Servers: []string{"example.org"}, Changed: func(string) { changed++ }})
	for _, from := range []string{"evil.example", "juliet@example.org", "juliet@example.org/example.org", "example.org/x", "sub.example.org", ""} {
		m := stanza[*packet.Message](t, strings.Replace(all, "example.org", from, 1))
		if !e.HandleMessage(m) {
			t.Errorf("%q: message about grants goes on to others", from)
		}
	}
	e.HandleMessage(stanza[*packet.Message](t, strings.Replace(all, "<message ", "<message type='error' ", 1)))
	if e.Grants("example.org").Any() || e.Grants("evil.example").Any() || changed > 0 {
		t.Errorf("forged grants believed, %d changes", changed)
	}
	if e.HandleMessage(stanza[*packet.Message](t, `<message from='example.org' to='bridge.example.org'><body>hi</body></message>`)) {
		t.Error("an ordinary message was taken")
	}
}

func TestWithoutGrantsNothingIsSent(t *testing.T) {
	f := &fakeStream{}
	e := New(f, Options{Component: component, Servers: []string{"example.org"}})
	const user = "juliet@example.org"
	_, err1 := e.Roster(t.Context(), user)
	err2 := e.SetRoster(t.Context(), user, RosterItem{JID: "a@b"})
	err3 := e.Message(t.Context(), &packet.Message{Attrs: packet.Attrs{From: user, To: "a@b"}})
	_, err4 := e.IQ(t.Context(), &packet.IQ{Attrs: packet.Attrs{From: user}, Payload: xmltok.New("jabber:iq:version", "query", "")})
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, ErrNotGranted) {
			t.Errorf("%d: %v", i+1, err)
		}
	}
	if len(f.sent) > 0 {
		t.Errorf("sent %q", f.sent)
	}
	push := stanza[*packet.IQ](t, `<iq from='juliet@example.org' to='bridge.example.org' type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>`)
	if _, _, ok := e.RosterPush(push); ok {
		t.Error("roster push taken without a grant")
	}
}

func TestRoster(t *testing.T) {
	e, f := granted(t)
	f.answer = func(iq *packet.IQ) (*packet.IQ, error) {
		q, err := xmltok.Parse([]byte(`<query xmlns='jabber:iq:roster'><item jid='a@b' name='A' subscription='to' ask='subscribe'><group>G</group></item><item xmlns='x' jid='c@d'/></query>`))
		return iq.Reply(q), err
	}
	items, err := e.Roster(t.Context(), "juliet@example.org/balcony")
	if err != nil || len(items) != 1 || items[0].Name != "A" || !items[0].Ask || items[0].Groups[0] != "G" {
		t.Errorf("roster %+v, %v", items, err)
	}
	if err := e.SetRoster(t.Context(), "juliet@example.org", RosterItem{JID: "x@y", Name: "X & co", Subscription: "both", Groups: []string{"Bridge"}}); err != nil {
		t.Error(err)
	}
	want := `<iq from='bridge.example.org' to='juliet@example.org' id='outer' type='set'><query xmlns='jabber:iq:roster'><item jid='x@y' name='X &amp; co' subscription='both'><group>Bridge</group></item></query></iq>`
	if f.sent[1] != want {
		t.Errorf("sent %s\nwant %s", f.sent[1], want)
	}
	f.answer = func(*packet.IQ) (*packet.IQ, error) { return nil, &packet.Error{Type: "auth", Condition: "forbidden"} }
	if _, err := e.Roster(t.Context(), "juliet@example.org"); !errors.Is(err, ErrNotGranted) {
		t.Errorf("refusal: %v", err)
	}
}

func TestRosterPush(t *testing.T) {
	e, _ := granted(t)
	for from, want := range map[string]bool{
		"juliet@example.org": true, "juliet@example.org/phone": false, "example.org": false, "juliet@evil.example": false,
	} {
		push := stanza[*packet.IQ](t, `<iq from='`+from+`' to='bridge.example.org' type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='a@b' subscription='remove'/></query></iq>`)
		user, items, ok := e.RosterPush(push)
		if ok != want || ok && (user != "juliet@example.org" || items[0].Subscription != "remove") {
			t.Errorf("%s: %q %v %v", from, user, items, ok)
		}
	}
}

func TestMessage(t *testing.T) {
	e, f := granted(t)
	m := &packet.Message{Attrs: packet.Attrs{From: "juliet@example.org/x", To: "romeo@example.net", ID: "m1", Type: "chat"}, Bodies: packet.NewText("hi <you>")}
	if err := e.Message(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := stanza[*packet.Message](t, f.sent[0])
	if got.To != "example.org" || got.From != component {
		t.Errorf("sent to %s from %s", got.To, got.From)
	}
	x, _ := got.Extension(NSPrivilege, "privilege")
	fw, _ := x.Child(NSForward, "forwarded")
	inner, ok := fw.Child(packet.NSClient, "message")
	if !ok || inner.Get("from") != "juliet@example.org" || inner.ChildText(packet.NSClient, "body") != "hi <you>" {
		t.Errorf("sent %s", f.sent[0])
	}
}

func TestIQ(t *testing.T) {
	e, f := granted(t)
	reply := ""
	f.answer = func(iq *packet.IQ) (*packet.IQ, error) {
		inner, ok := iq.Payload.Child(packet.NSClient, "iq")
		if !ok || iq.Payload.Name.Space != NSPrivilege {
			t.Errorf("sent %s", f.sent)
		}
		q, err := xmltok.Parse([]byte(`<privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>` + strings.ReplaceAll(reply, "ID", inner.Get("id")) + `</forwarded></privilege>`))
		return iq.Reply(q), err
	}
	ask := func() (*packet.IQ, error) {
		return e.IQ(t.Context(), &packet.IQ{Attrs: packet.Attrs{From: "juliet@example.org", Type: "set"}, Payload: xmltok.New("http://jabber.org/protocol/pubsub", "pubsub", "")})
	}
	reply = `<iq xmlns='jabber:client' type='result' id='ID' from='juliet@example.org'><pubsub xmlns='http://jabber.org/protocol/pubsub'/></iq>`
	if got, err := ask(); err != nil || got.Payload.Name.Local != "pubsub" {
		t.Errorf("got %+v, %v", got, err)
	}
	reply = `<iq xmlns='jabber:client' type='error' id='ID'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`
	var refusal *packet.Error
	if _, err := ask(); !errors.As(err, &refusal) || refusal.Condition != "item-not-found" {
		t.Errorf("refusal gave %v", err)
	}
	for _, bad := range []string{
		`<iq xmlns='jabber:client' type='result' id='other'/>`,
		`<iq xmlns='jabber:client' type='result' id='ID' from='evil@example.net'/>`,
		`<iq xmlns='jabber:client' type='set' id='ID'/>`,
		`<iq xmlns='x' type='result' id='ID'/>`,
		``,
	} {
		reply = bad
		if _, err := ask(); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	_, err := e.IQ(t.Context(), &packet.IQ{Attrs: packet.Attrs{From: "juliet@example.org", Type: "set"}, Payload: xmltok.New("urn:xmpp:mam:2", "query", "")})
	if !errors.Is(err, ErrNotGranted) {
		t.Errorf("set where only get is granted: %v", err)
	}
}

func TestDelegated(t *testing.T) {
	e, _ := granted(t)
	const request = `<iq from='example.org' to='bridge.example.org' type='set' id='d1'><delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>` +
		`<iq xmlns='jabber:client' from='romeo@example.net/x' to='juliet@example.org' id='p1' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub></iq></forwarded></delegation></iq>`
	r, ok := e.Delegated(stanza[*packet.IQ](t, request))
	if !ok {
		t.Fatal("not taken")
	}
	if r.Account() != "juliet@example.org" || r.IQ.From != "romeo@example.net/x" || r.Server != "example.org" {
		t.Errorf("request %+v", r)
	}
	answer, err := r.Answer(r.IQ.Refuse("cancel", "item-not-found", ""))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := packet.Encode(answer, packet.Rules{Space: packet.NSComponent, Domain: component})
	want := `<iq from='bridge.example.org' to='example.org' id='d1' type='result'><delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>` +
		`<iq xmlns='jabber:client' from='juliet@example.org' to='romeo@example.net/x' id='p1' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`
	if err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("answer %s\nwant   %s…, %v", b, want, err)
	}
	for name, bad := range map[string]string{
		"another server":      strings.Replace(request, "from='example.org'", "from='evil.example'", 1),
		"a user":              strings.Replace(request, "from='example.org'", "from='juliet@example.org'", 1),
		"another namespace":   strings.Replace(request, "protocol/pubsub'", "protocol/other'", 1),
		"a foreign account":   strings.Replace(request, "to='juliet@example.org'", "to='juliet@example.net'", 1),
		"no sender":           strings.Replace(request, "from='romeo@example.net/x'", "", 1),
		"an answer":           strings.Replace(request, "type='get'", "type='result'", 1),
		"attribute not there": strings.Replace(request, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>", "<query xmlns='urn:xmpp:mam:2'/>", 1),
	} {
		if _, ok := e.Delegated(stanza[*packet.IQ](t, bad)); ok {
			t.Errorf("request of %s taken", name)
		}
	}
}

func TestNestedNode(t *testing.T) {
	for node, want := range map[string]string{
		"urn:xmpp:delegation:2::http://jabber.org/protocol/pubsub":     "http://jabber.org/protocol/pubsub false true",
		"urn:xmpp:delegation:2:bare:http://jabber.org/protocol/pubsub": "http://jabber.org/protocol/pubsub true true",
		"urn:xmpp:delegation:2::":                                      " false false",
		"urn:xmpp:microblog:0":                                         " false false",
	} {
		ns, bare, ok := NestedNode(node)
		if got := strings.Join([]string{ns, map[bool]string{true: "true", false: "false"}[bare], map[bool]string{true: "true", false: "false"}[ok]}, " "); got != want {
			t.Errorf("%s: got %s, want %s", node, got, want)
		}
	}
}

func FuzzGrants(f *testing.F) {
	f.Add(all)
	f.Fuzz(func(t *testing.T, s string) {
		st, err := packet.DecodeBytes([]byte(s), packet.NSComponent)
		if err != nil {
			return
		}
		e := New(&fakeStream{}, Options{Component: component, Servers: []string{"example.org"}})
		switch p := st.(type) {
		case *packet.Message:
			e.HandleMessage(p)
			g := e.Grants("example.org")
			if g.Any() && !packet.SameJID(p.From, "example.org") || len(g.IQ) > maxNamespaces || len(g.Delegated) > maxNamespaces {
				t.Errorf("from %q: %+v", p.From, g)
			}
		case *packet.IQ:
			if _, _, ok := e.RosterPush(p); ok {
				t.Error("push without a grant")
			}
			if _, ok := e.Delegated(p); ok {
				t.Error("delegated without a grant")
			}
			if inner, ok := innerIQ(p.Payload); ok {
				_, _ = unwrap(p, inner, NSPrivilege)
			}
		}
	})
}
