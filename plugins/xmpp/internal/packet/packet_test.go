package packet

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

func decode[T Stanza](t *testing.T, in string) T {
	t.Helper()
	s, err := DecodeBytes([]byte(in), NSComponent)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	v, ok := s.(T)
	if !ok {
		t.Fatalf("%s: got %T", in, s)
	}
	return v
}

// XM-01: addresses are the un-namespaced attributes, whatever the order; duplicates are not well-formed.
func TestXM01ForeignAddresses(t *testing.T) {
	for _, in := range []string{
		`<message xmlns:e='urn:e' e:from='alice@ex.test' from='mallory@ex.test' e:to='z' to='y'/>`,
		`<message xmlns:e='urn:e' from='mallory@ex.test' to='y' e:to='z' e:from='alice@ex.test' e:id='1' e:type='error'/>`,
	} {
		m := decode[*Message](t, in)
		if m.From != "mallory@ex.test" || m.To != "y" || m.ID != "" || m.Type != "" {
			t.Errorf("%s: got %q %q %q %q", in, m.From, m.To, m.ID, m.Type)
		}
	}
	_, err := DecodeBytes([]byte(`<message from='a@b' from='c@d'/>`), NSComponent)
	if !errors.Is(err, xmltok.ErrNotWellFormed) {
		t.Errorf("duplicate from: got %v", err)
	}
}

// XM-02, and the rows "foreign body" and "several languages" of the regression cases.
func TestXM02Body(t *testing.T) {
	for in, want := range map[string]string{
		`<message><body>real</body><foo xmlns='urn:foo'><body>SPOOF</body></foo></message>`:                               "real",
		`<message xmlns:e='urn:e'><e:body>EVIL</e:body><body>clean</body><e:body>EVIL</e:body></message>`:                 "clean",
		`<message><body>one</body><body>two</body></message>`:                                                             "one",
		`<message xml:lang='de'><body xml:lang='en'>hello</body><body>hallo</body></message>`:                             "hallo",
		`<message><body xml:lang='en'>hello</body><body xml:lang='de'>hallo</body></message>`:                             "hello",
		`<message><body xml:lang='en'>hello</body><body>default</body></message>`:                                         "default",
		`<message><foo xmlns='urn:foo'><message xmlns='jabber:component:accept'><body>x</body></message></foo></message>`: "",
		`<message><body xmlns='jabber:client'>other stream</body></message>`:                                              "",
	} {
		if m := decode[*Message](t, in); m.Body() != want {
			t.Errorf("%s: got %q, want %q", in, m.Body(), want)
		}
	}
	m := decode[*Message](t, `<message xml:lang='fr'><body xml:lang='en'>hello</body><body xml:lang='de'>hallo</body></message>`)
	if len(m.Bodies) != 2 || m.Bodies[0] != (Text{"en", "hello"}) || m.Bodies[1] != (Text{"de", "hallo"}) {
		t.Errorf("languages: got %+v", m.Bodies)
	}
}

func TestCaseBadPriority(t *testing.T) {
	for in, want := range map[string]int8{"999": 0, "-1": -1, "x": 0, "": 0, "127": 127, "99999999999999999999": 0} {
		if p := decode[*Presence](t, "<presence><priority>"+in+"</priority><show>zzz</show></presence>"); p.Priority != want || p.Show != "" {
			t.Errorf("priority %q: got %d %q, want %d", in, p.Priority, p.Show, want)
		}
	}
}

func TestCaseReplyFallback(t *testing.T) {
	m := decode[*Message](t, `<message><body>&gt; hi
Great idea!</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='5'/></fallback></message>`)
	f, _ := m.Extension("urn:xmpp:fallback:0", "fallback")
	b, ok := f.Child("urn:xmpp:fallback:0", "body")
	if m.Body() != "> hi\nGreat idea!" || !ok || b.Get("start") != "0" || b.Get("end") != "5" {
		t.Errorf("got %q and %+v", m.Body(), b)
	}
}

func TestCaseMixedContentAndInnerStanza(t *testing.T) {
	for _, inner := range []string{
		`<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>x <b>y</b> z</p></body></html>`,
		`<foo xmlns='urn:foo'><message xmlns='jabber:component:accept'><body>x</body></message></foo>`,
		"<foo xmlns='urn:foo' a = \"1\"  ><![CDATA[<]]>&#x41;\r\n</foo >",
	} {
		m := decode[*Message](t, "<message to='a@b' from='c@d'>"+inner+"</message>")
		out, _, err := Encode(m, Rules{Space: NSComponent})
		if err != nil || !bytes.Contains(out, []byte(inner)) {
			t.Errorf("%s: got %s, %v", inner, out, err)
		}
	}
}

func TestAccessors(t *testing.T) {
	m := decode[*Message](t, `<message from='r@c/n' id='1' type='groupchat'><stanza-id xmlns='urn:xmpp:sid:0' by='R@c' id='s1'/><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>
<delay xmlns='urn:xmpp:delay' stamp='junk'/><delay xmlns='urn:xmpp:delay' from='r@c' stamp='2002-09-10T23:08:25.5Z'/><thread parent='p'>t</thread><subject/>
<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator' jid='a@b/c' nick='n'><reason>why</reason></item><status code='110'/><status code='zz'/></x></message>`)
	d, ok := m.Delay()
	if !ok || d.From != "r@c" || !d.Stamp.Equal(time.Date(2002, 9, 10, 23, 8, 25, 5e8, time.UTC)) {
		t.Errorf("delay: %+v", d)
	}
	if m.StanzaID("r@c") != "s1" || m.StanzaID("x@c") != "" || m.OriginID() != "o1" || m.Thread != "t" || m.Parent != "p" || !m.HasSubject() || m.HasBody() {
		t.Errorf("got %+v", m)
	}
	u, ok := m.MUCUser()
	if !ok || !u.Has(110) || u.Has(201) || u.Item() != (MUCItem{Affiliation: "owner", Role: "moderator", JID: "a@b/c", Nick: "n", Reason: "why"}) {
		t.Errorf("muc: %+v", u)
	}
	m = decode[*Message](t, `<message><stanza-id xmlns='urn:xmpp:sid:0' by='r@c' id='1'/><stanza-id xmlns='urn:xmpp:sid:0' by='r@c' id='2'/></message>`)
	if m.StanzaID("r@c") != "" {
		t.Error("one of two stanza-ids was believed")
	}
	iq := decode[*IQ](t, `<iq type='error' id='1'><q xmlns='u'/><error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>t</text><a xmlns='b'/></error></iq>`)
	if iq.Error == nil || iq.Error.Condition != "gone" || !iq.Error.Temporary() || iq.Error.Text != "t" || !iq.Error.App.Is("b", "a") || !iq.Payload.Is("u", "q") {
		t.Errorf("error: %+v", iq.Error)
	}
}

// XM-12: what would cost the stream is refused before the write.
func TestXM12Refused(t *testing.T) {
	rules := Rules{Space: NSComponent, Domain: "bridge.test", MaxSize: 1000}
	deep := strings.Repeat("<a>", 64) + strings.Repeat("</a>", 64)
	for _, bad := range []string{
		`<message from='x@other.test' to='a@b'/>`, `<message from='bridge.test.evil' to='a@b'/>`, `<message from='x@sub.bridge.test' to='a@b'/>`, `<message to='a@b'/>`,
		`<message from='x@bridge.test'/>`, `<message from='x@bridge.test' to='@'/>`, `<message from='x@bridge.test' to='a@b'>` + deep + `</message>`,
		`<message from='x@bridge.test' to='a@b'>` + strings.Repeat("x", 1000) + `</message>`, `<message from='x@bridge.test' to='a@b'/><message/>`, `<message`, ``, `x`,
		`</stream:stream>`, `<iq from='x@bridge.test' to='a@b'/>`, `<foo from='x@bridge.test' to='a@b'/>`, `<message xmlns='jabber:client' from='x@bridge.test' to='a@b'/>`,
		`<message from='x@bridge.test' to='a@b'><!-- --></message>`, "<message from='x@bridge.test' to='a@b'>\x01</message>", `<message xmlns:e='u' e:from='x@bridge.test' to='a@b'/>`,
	} {
		if out, _, err := Encode(Raw([]byte(bad)), rules); !errors.Is(err, ErrForbidden) {
			t.Errorf("%.80s: got %s, %v", bad, out, err)
		}
	}
	for _, good := range []string{`<message from='x@bridge.test' to='a@b'/>`, `<presence from='BRIDGE.test' to='a@b'/>`, `<iq id='1' from='x\40y@bridge.test/r' to='a@b'/>`} {
		if _, _, err := Encode(Raw([]byte(good)), rules); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	client := Rules{Space: NSClient, Account: "a@b/c"}
	if _, _, err := Encode(Raw([]byte(`<message from='z@b'/>`)), client); !errors.Is(err, ErrForbidden) {
		t.Errorf("client's foreign from: got %v", err)
	}
}

func TestEncodeLibraryTypes(t *testing.T) {
	m := stanza.NewMessage(stanza.Attrs{To: "a@b", From: "c@d", Id: "1", Type: "chat"})
	m.Body = "x < y \x01"
	iq, err := stanza.NewIQ(stanza.Attrs{Type: stanza.IQTypeGet, To: "a@b", From: "c@d", Id: "2"})
	if err != nil {
		t.Fatal(err)
	}
	iq.DiscoInfo()
	for _, p := range []stanza.Packet{m, &m, iq, stanza.NewPresence(stanza.Attrs{To: "a@b/n", From: "c@d"})} {
		out, a, err := Encode(p, Rules{Space: NSComponent, Domain: "d"})
		if err != nil || a.From != "c@d" {
			t.Errorf("%T: %s, %v", p, out, err)
		}
	}
	if _, _, err := Encode(nil, Rules{Space: NSClient}); err == nil {
		t.Error("nil was encoded")
	}
}

func TestParseJID(t *testing.T) {
	for _, bad := range []string{"@", "a@", "/x", "a@b/", "a\u200b@b", strings.Repeat("a", 2000) + "@b", "a b@c", strings.Repeat("x", 9000)} {
		if j, err := ParseJID(bad); err == nil || j.String() != "" {
			t.Errorf("%.20q: got %q, %v", bad, j, err)
		}
	}
	if !SameJID("ａlice@EX.test/R", "alice@ex.test/R") || SameJID("a@b/R", "a@b/r") || SameJID("", "a@b") {
		t.Error("comparison")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<message from='a@b' xml:lang='en'><body>x</body><delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/></message>`))
	f.Add([]byte(`<presence><priority>999</priority><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='1'/></x></presence>`))
	f.Add([]byte(`<iq type='error'><q xmlns='u'/><error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := DecodeBytes(in, NSComponent)
		if err != nil {
			return
		}
		a := s.Header()
		a.Delay()
		a.MUCUser()
		a.StanzaID(a.From)
		a.OriginID()
		out, err := marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBytes(out, NSComponent)
		if err != nil {
			if errors.Is(err, xmltok.ErrLimit) {
				return
			}
			t.Fatalf("%q -> %q: %v", in, out, err)
		}
		b := again.Header()
		if a.From != b.From || a.To != b.To || a.ID != b.ID || len(a.Extensions) != len(b.Extensions) {
			t.Errorf("%q -> %q", in, out)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add("a@b", "id'", "body <&>", "de", "sub\x00ject", "\xff")
	f.Fuzz(func(t *testing.T, to, id, body, lang, subject, thread string) {
		if _, err := ParseJID(to); err != nil || to == "" {
			to = "a@b"
		}
		m := &Message{Attrs: Attrs{From: "x@d", To: to, ID: id, Lang: lang}, Bodies: NewText(body), Subjects: []Text{{"en", subject}}, Thread: thread, HasThread: true}
		out, _, err := Encode(m, Rules{Space: NSComponent, Domain: "d", MaxSize: 1 << 20})
		if err != nil {
			if errors.Is(err, xmltok.ErrLimit) || to != "a@b" {
				return
			}
			t.Fatalf("encode: %v", err)
		}
		s, err := DecodeBytes(out, NSComponent)
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		var std struct {
			Body string `xml:"jabber:component:accept body"`
		}
		if err := xml.Unmarshal(s.Header().Source.Standalone(), &std); err != nil {
			t.Fatalf("%q: encoding/xml: %v", out, err)
		}
		got := s.(*Message)
		if want := clean(body); got.Bodies[0].Text != want || std.Body != want || got.Subjects[0].Text != clean(subject) || got.Thread != clean(thread) || got.ID != clean(id) {
			t.Errorf("%q: got %q (encoding/xml %q), want %q", out, got.Bodies[0].Text, std.Body, want)
		}
	})
}

func clean(s string) string {
	var b strings.Builder
	for _, r := range s {
		if !xmltok.IsChar(r) {
			r = '\uFFFD'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzJID(f *testing.F) {
	f.Add("a@b/c")
	f.Add("ａ@b")
	f.Fuzz(func(t *testing.T, s string) {
		j, err := ParseJID(s)
		if err != nil || s == "" {
			return
		}
		again, err := ParseJID(j.String())
		if err != nil || !again.Equal(j) {
			t.Skipf("not stable: %q -> %q", s, j) // PRECIS is not idempotent for every input; SameJID stays conservative
		}
		if !SameJID(s, s) || !SameJID(s, j.String()) {
			t.Errorf("%q differs from itself", s)
		}
	})
}

const benchStanza = `<message xmlns='jabber:component:accept' from='room@muc.example.org/nick' to='bridge@example.org/x' id='abc123' type='groupchat' xml:lang='en'>` +
	`<body>Hello &amp; welcome, this is a message of the usual length in a room.</body><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant'/></x>` +
	`<origin-id xmlns='urn:xmpp:sid:0' id='o1'/><stanza-id xmlns='urn:xmpp:sid:0' by='room@muc.example.org' id='s1'/></message>`

// BenchmarkDecode reads a stream of room messages with our splitter and decoder, and with gosrc.io/xmpp's own.
func BenchmarkDecode(b *testing.B) {
	const head = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>"
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(benchStanza)))
		b.ReportAllocs()
		s := xmltok.NewSplitter(&repeat{head: head, body: benchStanza}, xmltok.ComponentLimits())
		if _, err := s.Next(); err != nil {
			b.Fatal(err)
		}
		defer cpuPerOp(b)()
		for b.Loop() {
			p, err := s.Next()
			if err != nil {
				b.Fatal(err)
			}
			st, err := Decode(p.Element)
			if err != nil || st.(*Message).StanzaID("room@muc.example.org") != "s1" || len(st.(*Message).Body()) < 60 {
				b.Fatal(err)
			}
		}
	})
	b.Run("gosrc", func(b *testing.B) {
		b.SetBytes(int64(len(benchStanza)))
		b.ReportAllocs()
		d := xml.NewDecoder(&repeat{head: head, body: benchStanza})
		if _, err := stanza.InitStream(d); err != nil {
			b.Fatal(err)
		}
		defer cpuPerOp(b)()
		for b.Loop() {
			p, err := stanza.NextPacket(d)
			if err != nil || len(p.(stanza.Message).Body) < 60 {
				b.Fatal(err)
			}
		}
	})
}

// cpuPerOp reports the processor time of the whole process, collector included, which a busy machine disturbs less than the clock.
func cpuPerOp(b *testing.B) func() {
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	return func() {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
		spent := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	}
}

// repeat is an endless stream.
type repeat struct {
	head, body string
	rest       string
	started    bool
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.rest = strings.Repeat(r.body, 16); !r.started {
			r.started, r.rest = true, r.head
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
