package e2e

import (
	"bufio"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// rawComponent is a component that writes what it likes. XEP-0114 §3.
type rawComponent struct {
	t      *testing.T
	server *itest.Server
	conn   net.Conn
	gone   chan struct{} // closed when the server ends the stream
	room   string        // entered again after a new connection; empty = none
}

func newRawComponent(t *testing.T, s *itest.Server, room string) *rawComponent {
	t.Helper()
	c := &rawComponent{t: t, server: s, room: room}
	c.dial()
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// dial connects and enters the room. Prosody needs a moment to see that the
// connection before has ended.
func (c *rawComponent) dial() {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := c.try()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			c.t.Fatalf("raw component: %v", err)
		}
	}
	if c.room != "" {
		c.write("<presence from='mallory@evil.test/x' to='" + c.room + "/mallory'><x xmlns='http://jabber.org/protocol/muc'><history maxchars='0'/></x></presence>")
	}
}

func (c *rawComponent) try() error {
	conn, err := net.Dial("tcp", c.server.Component)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='evil.test'>")
	header, err := readUntil(r, "id=")
	if err == nil {
		var quote byte
		if quote, err = r.ReadByte(); err == nil {
			header, err = r.ReadString(quote)
		}
		sum := sha1.Sum([]byte(strings.TrimSuffix(header, string(quote)) + secret))
		fmt.Fprintf(conn, "<handshake>%s</handshake>", hex.EncodeToString(sum[:]))
	}
	if err == nil {
		header, err = readUntil(r, "<handshake/>")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("handshake: %w: %s", err, header), conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	gone := make(chan struct{})
	c.conn, c.gone = conn, gone
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, r) // until the connection is closed
	}()
	return nil
}

// readUntil reads up to and with a text.
func readUntil(r *bufio.Reader, text string) (string, error) {
	var b strings.Builder
	for !strings.HasSuffix(b.String(), text) {
		c, err := r.ReadByte()
		if err != nil {
			return b.String(), err
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// write sends bytes, over a new connection when the server has ended the last.
func (c *rawComponent) write(s string) {
	c.t.Helper()
	select {
	case <-c.gone:
		_ = c.conn.Close()
		c.dial()
	default:
	}
	if _, err := io.WriteString(c.conn, s); err != nil {
		_ = c.conn.Close()
		c.dial()
	}
}

// say sends the content of a message to the room.
func (c *rawComponent) say(content string) {
	c.write("<message from='mallory@evil.test/x' to='" + c.room + "' type='groupchat'>" + content + "</message>")
}

// twoRooms starts Prosody, a bridge of two rooms, a witness in the first and a
// watcher in the second.
func twoRooms(t *testing.T) (b *bridge, evil *rawComponent, witness, watcher *itest.Client, near, far string) {
	t.Helper()
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret, "evil.test": secret},
		Users: map[string]string{"witness": "pw", "watcher": "pw"}, MaxStanza: 4 << 20})
	near, far = server.Room("near"), server.Room("far")
	witness, watcher = itest.Slix(t, server.Account("witness")), itest.Slix(t, server.Account("watcher"))
	witness.Join(near, "witness")
	watcher.Join(far, "watcher")
	b = newBridge(t, withSecret(t, xmppLink("home", server, "bridge.test")+oneWay("home:"+near, "home:"+far, "")))
	b.start()
	b.ready()
	b.waitPlace("home", near, "up", "")
	evil = newRawComponent(t, server, near)
	return b, evil, witness, watcher, near, far
}

// unharmed wants the link to be as it was: never restarted, one stream.
func unharmed(t *testing.T, b *bridge) {
	t.Helper()
	if l := b.link("home"); l.State != "up" || l.Restarts != 0 {
		t.Errorf("link home is %s (%s) after %d restarts", l.State, l.Reason, l.Restarts)
	}
	log, err := os.ReadFile(b.logFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "stream is up"); n != 1 {
		t.Errorf("the stream was made %d times, want once", n)
	}
}

// TestSpoofedStanzas sends messages whose attributes, bodies or children claim
// what is not so. Cases XM-01, XM-02, XM-08, XM-09 of the security list.
func TestSpoofedStanzas(t *testing.T) {
	b, evil, witness, watcher, near, far := twoRooms(t)
	witness.SendGroupchat(near, "honest")
	honest := watcher.WaitBody(far, "honest")
	stanza := witness.WaitBody(near, "honest").StanzaID
	cases := []struct{ name, content, want string }{ // want empty: nothing may cross
		{"body in a foreign namespace", "<body xmlns='urn:evil'>smuggled</body>", ""},
		{"foreign body before the real one", "<body xmlns='urn:evil'>smuggled</body><body>real 1</body>", "real 1"},
		{"foreign body behind the real one", "<body>real 2</body><e:body xmlns:e='urn:evil'>smuggled</e:body>", "real 2"},
		{"two bodies", "<body>real 3</body><body>smuggled</body>", "real 3"},
		{"body inside another element", "<x xmlns='urn:evil'><body xmlns='jabber:component:accept'>smuggled</body></x>", ""},
		{"forged delay", "<body>real 4</body><delay xmlns='urn:xmpp:delay' from='evil.test' stamp='2002-09-10T23:08:25Z'/>", "real 4"},
		{"forged address by carbon", "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='witness@xmpp.test'><body>smuggled</body></message></forwarded></sent>", ""},
		{"forged archive", "<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='" + near + "/witness' type='groupchat'><body>smuggled</body></message></forwarded></result>", ""},
		{"correction of somebody else", "<body>real 5</body><replace xmlns='urn:xmpp:message-correct:0' id='itest-1'/>", "real 5"},
		{"retraction of somebody else", "<retract xmlns='urn:xmpp:message-retract:1' id='" + stanza + "'/>", ""},
		{"moderation by an occupant", "<retract xmlns='urn:xmpp:message-retract:1' id='" + stanza + "'><moderated xmlns='urn:xmpp:message-moderate:1' by='" + near + "/witness'/></retract>", ""},
		{"forged stanza-id", "<body>real 6</body><stanza-id xmlns='urn:xmpp:sid:0' by='" + near + "' id='" + stanza + "'/>", "real 6"},
		{"forged occupant-id", "<body>real 7</body><occupant-id xmlns='urn:xmpp:occupant-id:0' id='witness'/>", "real 7"},
	}
	attributes := "<message xmlns:e='urn:evil' e:from='witness@xmpp.test/x' from='mallory@evil.test/x' e:to='far@muc.xmpp.test' to='" + near +
		"' e:type='headline' type='groupchat'><body>real 8</body></message>"
	for _, c := range cases {
		evil.say(c.content)
		if c.want == "" {
			continue
		}
		ev := watcher.Wait(c.name, isBody)
		if ev.Body != c.want || !strings.HasPrefix(ev.Nick, "mallory") {
			t.Errorf("%s: %q by %q, want %q by mallory", c.name, ev.Body, ev.Nick, c.want)
		}
	}
	evil.write(attributes)
	if ev := watcher.Wait("namespaced attributes", isBody); ev.Body != "real 8" || !strings.HasPrefix(ev.Nick, "mallory") {
		t.Errorf("namespaced attributes: %q by %q", ev.Body, ev.Nick)
	}
	for _, ev := range watcher.Messages(far) {
		if strings.Contains(ev.XML, "smuggled") {
			t.Errorf("smuggled: %s", ev.XML)
		}
		if strings.Contains(ev.XML, "retract") || strings.Contains(ev.XML, "urn:xmpp:message-correct:0") {
			t.Errorf("a forged change crossed: %s", ev.XML)
		}
	}
	if honest.Nick == "mallory" {
		t.Error("the honest message is mallory's")
	}
	unharmed(t, b)
}

// depthOf gives how many elements lie in each other at most.
func depthOf(t *testing.T, text string) int {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	depth, most := 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return most
		}
		if err != nil {
			t.Fatalf("%v in %.200s", err, text)
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
			most = max(most, depth)
		case xml.EndElement:
			depth--
		}
	}
}

// TestOversizeStanzas sends deep, wide and large stanzas. None costs the link,
// and nothing deeper than 64 levels is handed on. Case XM-04.
func TestOversizeStanzas(t *testing.T) {
	b, evil, witness, watcher, near, far := twoRooms(t)
	nest := func(n int) string {
		return strings.Repeat("<x xmlns='urn:evil'>", n) + strings.Repeat("</x>", n)
	}
	for i, content := range []string{
		nest(60), nest(70), nest(200), nest(2000),
		strings.Repeat("<x xmlns='urn:evil'/>", 50000),
		"<x xmlns='urn:evil' a='" + strings.Repeat("y", 1<<20) + "'/>",
		"<x xmlns='urn:evil'>" + strings.Repeat("y", 2<<20) + "</x>",
		"<body>" + strings.Repeat("long ", 200000) + "</body>",
		"<body>" + strings.Repeat("&lt;", 100000) + "</body>",
	} {
		evil.say(content + fmt.Sprintf("<body>heavy %d</body>", i))
		select {
		case <-evil.gone: // Prosody had enough of it
			t.Logf("stanza %d: Prosody ended the stream of its sender", i)
		case <-time.After(200 * time.Millisecond): // or it took it
		}
		witness.SendGroupchat(near, fmt.Sprintf("light %d", i))
		watcher.WaitBody(far, fmt.Sprintf("light %d", i))
	}
	for _, ev := range watcher.Messages(far) {
		if n := depthOf(t, ev.XML); n > 64 {
			t.Errorf("%d levels were handed on", n)
		}
		if n := len(ev.XML); n > 300<<10 {
			t.Errorf("%d bytes were handed on", n)
		}
		if strings.HasPrefix(ev.Body, "heavy") || len(ev.Body) > 100 {
			t.Logf("crossed: %.20q, %d bytes of body", ev.Body, len(ev.Body))
		}
	}
	unharmed(t, b)
}

// fuzzer makes hostile stanzas that are well-formed: what is not never gets
// past a server.
type fuzzer struct{ *rand.Rand }

func (f fuzzer) pick(list ...string) string { return list[f.IntN(len(list))] }

// space is a namespace that a careless reader could take for another.
func (f fuzzer) space() string {
	return f.pick("urn:evil", "jabber:client", "jabber:server", "jabber:component:accept ", "http://jabber.org/protocol/muc#user", "urn:xmpp:delay2",
		"http://etherx.jabber.org/streams", "urn:xmpp:ping", "", "http://www.w3.org/1999/xhtml", "urn:xmpp:tmp", "urn:ietf:params:xml:ns:xmpp-stanzas")
}

func (f fuzzer) text() string {
	var b strings.Builder
	for range f.IntN(12) {
		b.WriteString(f.pick("a", "&lt;body&gt;", "&amp;", "é", "\u202e", "\U0001f600", "]]&gt;", "&#10;", "&#9;", "' \"", "{{.}}", "%s%n", "\u0000a"[1:], "\ufeff", "\u2028"))
	}
	return b.String()
}

// element is a tree of elements that mean nothing.
func (f fuzzer) element(depth int) string {
	name := f.pick("body", "x", "message", "subject", "stream", "error", "thread", "html", "item", "iq", "presence", "no-copy")
	var b strings.Builder
	fmt.Fprintf(&b, "<e:%s xmlns:e='urn:evil:%d' xmlns='%s'", name, f.IntN(9), f.space())
	for i := range f.IntN(4) {
		fmt.Fprintf(&b, " %s%d='%s'", f.pick("from", "to", "type", "id", "e:from", "e:xmlns"), i, strings.NewReplacer("'", "", "\"", "").Replace(f.text()))
	}
	b.WriteString(">" + f.text())
	for depth > 0 && f.IntN(3) > 0 {
		b.WriteString(f.element(depth - 1))
		depth -= 1 + f.IntN(2)
	}
	return b.String() + f.text() + "</e:" + name + ">"
}

// clutter is some elements around the place where a body may stand.
func (f fuzzer) clutter() string {
	var b strings.Builder
	for range f.IntN(4) {
		b.WriteString(f.element(f.IntN(8)))
	}
	return b.String()
}

// direct is a stanza of any kind to the bridge itself.
func (f fuzzer) direct() string {
	to := f.pick("bridge.test", "nobody@bridge.test", "near.x@bridge.test/bridgehost", "bridge@bridge.test/bridgehost", "%00@bridge.test", "a\\40b@bridge.test/r")
	from := f.pick("mallory@evil.test/x", "evil.test", "near@evil.test/witness", "xmpp.test@evil.test")
	kind := f.pick("message", "presence", "iq")
	types := map[string][]string{
		"message":  {"", "chat", "groupchat", "error", "headline", "nonsense"},
		"presence": {"", "unavailable", "subscribe", "subscribed", "probe", "error", "nonsense"},
		"iq":       {"get", "set"},
	}[kind]
	content := f.clutter()
	switch kind {
	case "iq":
		content = "<query xmlns='" + f.pick("urn:evil", "jabber:iq:version", "http://jabber.org/protocol/disco#info", "urn:xmpp:ping", "vcard-temp") + "'>" + f.element(3) + "</query>"
	case "message":
		content += "<body>" + f.text() + "</body>" + f.clutter()
	}
	return fmt.Sprintf("<%s from='%s' to='%s' type='%s' id='f%d'>%s</%[1]s>", kind, from, to, types[f.IntN(len(types))], f.IntN(1000), content)
}

// fuzzStanzas is how many hostile stanzas are sent.
const fuzzStanzas = 1000

// TestFuzzedStanzas sends 1,000 hostile stanzas of a seeded fuzzer, into the
// bridged room and to the bridge itself. What crosses is exactly what an
// independent client in the first room read as said, in order.
func TestFuzzedStanzas(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("BRIDGEHOST_FUZZ_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("BRIDGEHOST_FUZZ_SEED=%d repeats this run", seed)
	f := fuzzer{rand.New(rand.NewPCG(seed, seed))}
	b, evil, witness, watcher, near, far := twoRooms(t)
	for i := range fuzzStanzas {
		switch f.IntN(4) {
		case 0:
			evil.write(f.direct())
		case 1:
			evil.say(f.clutter())
		default:
			evil.say(f.clutter() + fmt.Sprintf("<body>m%d %s.</body>", i, f.text()) + f.clutter())
		}
	}
	evil.say("<body>the end</body>")
	witness.WaitBody(near, "the end")
	watcher.WaitBody(far, "the end")
	said, seen := bodies(witness.Messages(near)), bodies(watcher.Messages(far))
	for i := range min(len(said), len(seen)) {
		if said[i] != seen[i] {
			t.Fatalf("message %d is %q, the witness read %q", i, seen[i], said[i])
		}
	}
	if len(said) != len(seen) || len(said) < fuzzStanzas/4 {
		t.Errorf("%d messages crossed, the witness read %d", len(seen), len(said))
	}
	t.Logf("%d of %d stanzas said something and crossed", len(seen), fuzzStanzas)
	unharmed(t, b)
}

func bodies(list []itest.Event) []string {
	out := make([]string, 0, len(list))
	for _, ev := range list {
		out = append(out, ev.Body)
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}
