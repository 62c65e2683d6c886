package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// peer is the server's side of one connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	seen []byte // everything received, from all transports
	mark int    // up to where expect has looked
}

// expect reads until the text comes and returns what was new.
func (p *peer) expect(text string) string {
	for {
		if i := bytes.Index(p.seen[p.mark:], []byte(text)); i >= 0 {
			got := string(p.seen[p.mark : p.mark+i+len(text)])
			p.mark += i + len(text)
			return got
		}
		buf := make([]byte, 4096)
		n, err := p.conn.Read(buf)
		p.seen = append(p.seen, buf[:n]...)
		if err != nil && n == 0 {
			return ""
		}
	}
}

// rest reads to the end of the connection.
func (p *peer) rest() string {
	p.expect("\x00never")
	return string(p.seen[p.mark:])
}

func (p *peer) send(format string, args ...any) { _, _ = fmt.Fprintf(p.conn, format, args...) }

const fakeHead = "<?xml version='1.0'?><stream:stream xmlns='jabber:%s' xmlns:stream='http://etherx.jabber.org/streams' id='42' from='example.com' version='1.0'>"

func (p *peer) header(ns, features string) {
	p.expect("<stream:stream")
	p.expect(">")
	p.send(fakeHead+features, ns)
}

// component takes a handshake without looking at it.
func (p *peer) component() {
	p.header("component:accept", "")
	p.expect("</handshake>")
	p.send("<handshake/>")
}

const (
	offerTLS   = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
	offerPlain = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
	offerBind  = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/><compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression></stream:features>"
	bound      = "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>me@example.com/r</jid></bind></iq>"
	success    = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
	proceed    = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
)

// startTLS goes through STARTTLS and PLAIN to the bound session.
func (p *peer) startTLS(cfg *tls.Config) {
	p.header("client", offerTLS)
	p.expect("<starttls")
	p.expect("/>")
	p.send(proceed)
	p.conn = tls.Server(p.conn, cfg)
	p.header("client", offerPlain)
	p.expect("</auth>")
	p.send(success)
	p.header("client", offerBind)
	p.expect("</iq>")
	p.send(bound)
}

// fake starts a server that plays one script for each connection; the last one for all further ones.
func fake(t testing.TB, scripts ...func(*peer)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				scripts[min(i, len(scripts)-1)](&peer{t: t, conn: c})
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// testTLS is a certificate for example.com and the pool that trusts it.
func testTLS(t testing.TB) (*tls.Config, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, pool
}

func fakeComponent(addr string) Options {
	return Options{Mode: Component, Address: addr, Domain: "example.com", Secret: "s", Plaintext: PlaintextLoopback, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond}
}

func fakeClient(addr string) Options {
	return Options{Mode: Client, Address: addr, Domain: "example.com", User: "me", Secret: "secret-password", BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond}
}

// noCredentials fails if something that a client must keep to itself was sent.
func noCredentials(t testing.TB, got string) {
	t.Helper()
	for _, bad := range []string{"<auth", "<handshake", "secret", "AG1l"} {
		if strings.Contains(got, bad) {
			t.Errorf("sent in clear: %s", got)
		}
	}
}

// Row "TLS then drop": the second connection offers PLAIN without TLS and gets nothing. Upstream's password leak.
func TestCaseTLSThenDrop(t *testing.T) {
	cfg, pool := testTLS(t)
	second := make(chan string, 1)
	addr := fake(t, func(p *peer) { p.startTLS(cfg) }, func(p *peer) {
		p.header("client", offerPlain)
		select {
		case second <- p.rest():
		default:
		}
	})
	opt := fakeClient(addr)
	opt.RootCAs, opt.NoResume, opt.Plaintext = pool, true, PlaintextNever
	r := start(t, opt, Handler{})
	r.wait(t, Up)
	r.wait(t, Down)
	noCredentials(t, <-second)
	if st := r.wait(t, Down); !errors.Is(st.Err, ErrNoTLS) {
		t.Errorf("got %v", st.Err)
	}
}

// XM-15: no STARTTLS, a refusal, and plain text after <proceed/>.
func TestXM15StartTLS(t *testing.T) {
	for name, c := range map[string]struct {
		script func(*peer)
		want   error
	}{
		"missing": {func(p *peer) { p.header("client", offerPlain) }, ErrNoTLS},
		"refused": {func(p *peer) {
			p.header("client", offerTLS)
			p.expect("<starttls")
			p.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		}, ErrNoTLS},
		"injected": {func(p *peer) {
			p.header("client", offerTLS)
			p.expect("<starttls")
			p.send("%s", proceed+offerPlain)
		}, ErrInjected},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 100)
			r := start(t, fakeClient(fake(t, func(p *peer) { c.script(p); got <- p.rest() })), Handler{})
			if st := r.wait(t, Down); !errors.Is(st.Err, c.want) {
				t.Errorf("got %v, want %v", st.Err, c.want)
			}
			noCredentials(t, <-got)
		})
	}
	t.Run("component", func(t *testing.T) {
		opt := fakeComponent(fake(t, func(p *peer) { p.rest() }))
		opt.Plaintext = PlaintextNever
		if st := start(t, opt, Handler{}).wait(t, Down); !errors.Is(st.Err, ErrNoTLS) {
			t.Errorf("got %v", st.Err)
		}
	})
}

// XM-16: PLAIN without TLS outside loopback, a list made weaker, and SCRAM challenges that are none.
func TestXM16Authentication(t *testing.T) {
	for name, c := range map[string]struct {
		n       negotiation
		pinned  int
		offered string
		canBind bool
		want    string
	}{
		"plain in clear":          {negotiation{}, 0, "PLAIN", false, ""},
		"plain on loopback":       {negotiation{loopback: true}, 0, "PLAIN", false, "PLAIN"},
		"plain over TLS":          {negotiation{secure: &tls.ConnectionState{}}, 0, "PLAIN", false, "PLAIN"},
		"best":                    {negotiation{}, 0, "PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS", true, "SCRAM-SHA-1-PLUS"},
		"no binding data":         {negotiation{}, 0, "SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", false, "SCRAM-SHA-256"},
		"after SCRAM only PLAIN":  {negotiation{secure: &tls.ConnectionState{}}, strengthScram, "PLAIN", false, ""},
		"after PLUS only SCRAM":   {negotiation{}, strengthBound, "SCRAM-SHA-256 PLAIN", true, ""},
		"nothing that we know of": {negotiation{}, 0, "X-OAUTH2 EXTERNAL", false, ""},
	} {
		c.n.s = &Session{pinned: c.pinned}
		m, err := c.n.choose(strings.Fields(c.offered), c.canBind)
		if m.name != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, m.name, err, c.want)
		}
	}
	for _, bad := range []string{"", "r=a", "r=a,s=b,i=1", "r=a,s=b,i=4095", "r=a,s=b,i=99999999", "r=a,s=b,i=x", "s=b,r=a,i=4096", "r=a,s=b,i=4096,", "m=x,r=a,s=b,i=4096"} {
		if checkServerFirst([]byte(bad)) == nil {
			t.Errorf("challenge %q accepted", bad)
		}
	}
	// A server that claims success without having proved itself.
	addr := fake(t, func(p *peer) {
		p.header("client", strings.ReplaceAll(offerPlain, "PLAIN", "SCRAM-SHA-1"))
		p.expect("</auth>")
		p.send(success)
		p.rest()
	})
	opt := fakeClient(addr)
	opt.Plaintext = PlaintextLoopback
	if st := start(t, opt, Handler{}).wait(t, Down); st.Err == nil || !strings.Contains(st.Err.Error(), "without proof") {
		t.Errorf("got %v", st.Err)
	}
}

// XM-17: compression is offered and never asked for.
func TestXM17NoCompression(t *testing.T) {
	cfg, pool := testTLS(t)
	got := make(chan string, 100)
	opt := fakeClient(fake(t, func(p *peer) {
		p.startTLS(cfg)
		p.expect("<enable")
		p.send("<failed xmlns='urn:xmpp:sm:3'/>")
		got <- string(p.seen)
		p.rest()
	}))
	opt.RootCAs = pool
	start(t, opt, Handler{}).wait(t, Up)
	if s := <-got; strings.Contains(s, "compress") {
		t.Errorf("asked for compression: %s", s)
	}
}

// XM-03, XM-04 and the row "inner stanza" on a live stream.
func TestLiveStreamSurvives(t *testing.T) {
	addr := fake(t, func(p *peer) {
		p.component()
		p.send("%s", `<message to='x@example.com'><foo xmlns='urn:foo'><message xmlns='jabber:component:accept'><body>x</body></message></foo></message>`)
		p.send("%s", `<presence to='x@example.com'><priority>999</priority></presence><unknown/><iq type='zzz' id='1'/><message><stream:error/></message>`)
		p.send("%s", "<message><body>"+strings.Repeat("x", 600<<10)+"</body></message>"+strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100))
		p.send("%s", `<message to='x@example.com'><body>last</body></message>`)
		p.rest()
	}, func(p *peer) { p.component(); p.send("<message><!-- --></message>"); p.rest() })
	r := start(t, fakeComponent(addr), Handler{})
	r.wait(t, Up)
	first, second, last := <-r.msgs, <-r.msgs, <-r.msgs
	if !bytes.Contains(first.Source.Inner(), []byte("<foo xmlns='urn:foo'><message")) || first.HasBody() || second.HasBody() || last.Body() != "last" {
		t.Errorf("got %q, %q and %q", first.Source.Raw(), second.Source.Raw(), last.Body())
	}
	if st := r.Stats(); st.SkippedSize != 1 || st.SkippedShape != 1 || st.Ignored != 2 || st.Connects != 1 {
		t.Errorf("got %+v", st)
	}
	r.current().conn.Close()
	r.wait(t, Up)
	if st := r.wait(t, Down); !errors.Is(st.Err, xmltok.ErrNotWellFormed) {
		t.Errorf("comment: got %v", st.Err)
	}
}

// XM-14, and the rows "forged reply" and "abandoned IQ".
func TestXM14ForgedReply(t *testing.T) {
	addr := fake(t, func(p *peer) {
		p.component()
		p.expect("id='q1'")
		p.send("<iq type='result' id='q1' from='mallory@evil.test' to='x@example.com'/><iq type='error' id='q1' to='x@example.com'/><iq type='result' id='q2' from='a@b.test'/>")
		p.send("<iq type='result' id='q1' from='a@B.test' to='x@example.com'><ok xmlns='u'/></iq>")
		p.expect("q3")
		p.send("<message><body>after</body></message>")
		p.rest()
	})
	r := start(t, fakeComponent(addr), Handler{})
	r.wait(t, Up)
	iq, err := r.IQ(ctx(t), &packet.IQ{Attrs: packet.Attrs{ID: "q1", From: "x@example.com", To: "a@b.test"}, Payload: pingPayload})
	if err != nil || !iq.Payload.Is("u", "ok") || r.Stats().ForgedReplies != 3 {
		t.Errorf("got %+v, %v, %d forged", iq, err, r.Stats().ForgedReplies)
	}
	c, cancel := context.WithCancel(context.Background())
	q, err := stanza.NewIQ(stanza.Attrs{Type: "get", Id: "q3", From: "x@example.com", To: "a@b.test"})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := r.Sender(time.Second).SendIQ(c, q) // nobody reads ch
	if err != nil {
		t.Fatal(err)
	}
	if m := <-r.msgs; m.Body() != "after" {
		t.Errorf("got %q", m.Body())
	}
	cancel()
	if _, ok := <-ch; ok || r.iqs.len() != 0 {
		t.Error("abandoned request lives on")
	}
}

// Row "stuck peer": the peer stops reading; the sender learns it at the deadline.
func TestCaseStuckPeer(t *testing.T) {
	hold := make(chan struct{})
	opt := fakeComponent(fake(t, func(p *peer) { p.component(); <-hold }))
	t.Cleanup(func() { close(hold) })
	opt.WriteTimeout, opt.BackoffMin, opt.BackoffMax = 200*time.Millisecond, time.Hour, time.Hour
	r := start(t, opt, Handler{})
	r.wait(t, Up)
	body := strings.Repeat("x", 100<<10)
	var err error
	for range 1000 {
		if err = r.Send(ctx(t), message("x@example.com", "a@b", body)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrMaybeWritten) && !errors.Is(err, ErrNotWritten) {
		t.Errorf("got %v", err)
	}
	r.wait(t, Down)
	if len(r.lost) == 0 {
		t.Error("what was written before is not reported as lost")
	}
}

// A server that is silent is left at the ping's deadline.
func TestPingTimeout(t *testing.T) {
	opt := fakeComponent(fake(t, func(p *peer) { p.component(); p.expect("urn:xmpp:ping"); p.rest() }))
	opt.PingInterval, opt.PingTimeout = 20*time.Millisecond, 40*time.Millisecond
	r := start(t, opt, Handler{})
	r.wait(t, Up)
	if st := r.wait(t, Down); !errors.Is(st.Err, ErrPingTimeout) {
		t.Errorf("got %v", st.Err)
	}
}

// A handler that takes nothing costs the stream, not the process.
// TestCaseFloodOfAnswers: a handler that answers each message keeps up with a flood, though the server's confirmations stand behind it.
func TestCaseFloodOfAnswers(t *testing.T) {
	const n = 5000 // more than inbox, queue and unconfirmed together
	answered := make(chan int, 1)
	addr := fake(t, func(p *peer) {
		p.component()
		var pings []string
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range n {
				p.send("<message from='a@example.com' to='example.com' id='m%d'><body>hello</body></message>", i)
			}
		}()
		count := 0
		for count < n {
			got := p.expect(">")
			switch {
			case got == "":
				answered <- count
				return
			case strings.Contains(got, "</message>"):
				count++
			case strings.HasPrefix(got, "<iq"):
				_, id, _ := strings.Cut(got, "id=")
				id, _, _ = strings.Cut(id[1:], id[:1])
				pings = append(pings, id)
			}
			select {
			case <-sent:
				for _, id := range pings {
					p.send("<iq type='result' from='example.com' to='example.com' id='%s'/>", id)
				}
				pings = nil
			default:
			}
		}
		answered <- count
		p.rest()
	}, func(p *peer) { p.conn.Close() })
	var r *running
	up := make(chan struct{})
	opt := fakeComponent(addr)
	opt.HandlerTimeout = 10 * time.Second
	r = start(t, opt, Handler{Message: func(ctx context.Context, m *packet.Message) {
		<-up
		if err := r.Send(ctx, message(m.To, m.From, "hello yourself")); err != nil && ctx.Err() == nil { // the last may be cut off by the end
			t.Error(err)
		}
	}})
	close(up)
	if got := <-answered; got != n {
		t.Errorf("%d answers to %d messages", got, n)
	}
}

func TestHandlerStuck(t *testing.T) {
	opt := fakeComponent(fake(t, func(p *peer) { p.component(); p.send("%s", strings.Repeat("<message/>", 10)); p.rest() }))
	opt.Inbox, opt.HandlerTimeout = 1, 20*time.Millisecond
	r := start(t, opt, Handler{Message: func(ctx context.Context, _ *packet.Message) { <-ctx.Done() }})
	if st := r.wait(t, Down); !errors.Is(st.Err, ErrHandlerStuck) {
		t.Errorf("got %v", st.Err)
	}
}

// Row "race": many senders while connections come and go; every error tells whether the stanza was written.
func TestCaseSendDuringReconnect(t *testing.T) {
	opt := fakeComponent(fake(t, func(p *peer) {
		p.component()
		for range 20 {
			if p.expect("</message>") == "" {
				return
			}
		}
	}))
	r := start(t, opt, Handler{})
	r.wait(t, Up)
	var wg sync.WaitGroup
	c, cancel := context.WithCancel(context.Background())
	for range 8 {
		wg.Go(func() {
			for c.Err() == nil {
				err := r.Send(c, message("x@example.com", "a@b", "x"))
				if err != nil && errors.Is(err, ErrNotWritten) == errors.Is(err, ErrMaybeWritten) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	for range 20 {
		r.wait(t, Up)
	}
	cancel()
	wg.Wait()
}

// XEP-0198: only stanzas count; what was not acknowledged is sent again after a resumption, in order and once.
func TestResendAfterResume(t *testing.T) {
	cfg, pool := testTLS(t)
	again := make(chan string, 1)
	addr := fake(t, func(p *peer) {
		p.startTLS(cfg)
		p.expect("<enable")
		p.send("<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='1'/><message/><presence/><a xmlns='urn:xmpp:sm:3' h='0'/>")
		p.expect("three</body></message>")
		p.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
	}, func(p *peer) {
		p.header("client", offerTLS)
		p.expect("<starttls")
		p.expect("/>")
		p.send(proceed)
		p.conn = tls.Server(p.conn, cfg)
		p.header("client", offerPlain)
		p.expect("</auth>")
		p.send(success)
		p.header("client", offerBind)
		p.expect("<resume")
		if got := p.expect("/>"); !strings.Contains(got, "h='2'") || !strings.Contains(got, "previd='abc'") {
			p.t.Errorf("resume: %s", got)
		}
		p.send("<resumed xmlns='urn:xmpp:sm:3' h='2' previd='abc'/>")
		again <- p.expect("</message>")
		p.expect("<r ")
		p.send("<a xmlns='urn:xmpp:sm:3' h='3'/>")
		p.rest()
	})
	opt := fakeClient(addr)
	opt.RootCAs = pool
	r := start(t, opt, Handler{})
	r.wait(t, Up)
	<-r.msgs
	for _, body := range []string{"one", "two"} {
		if err := r.Send(ctx(t), message("", "a@b", body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SendConfirmed(ctx(t), message("", "a@b", "three")); err != nil {
		t.Errorf("third: %v", err)
	}
	if got := <-again; !strings.Contains(got, "three") || strings.Contains(got, "two") {
		t.Errorf("sent again: %s", got)
	}
}

// An answered ping, version and disco#info, and service-unavailable for the rest.
func TestAutomaticAnswers(t *testing.T) {
	got := make(chan string, 1)
	opt := fakeComponent(fake(t, func(p *peer) {
		p.component()
		for i, q := range []string{"<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "<x xmlns='u'/>"} {
			p.send("<iq type='get' id='%d' from='a@b' to='example.com'>%s</iq>", i, q)
		}
		got <- p.expect("service-unavailable")
		p.rest()
	}))
	opt.Software = Software{Name: "bridgehost", Version: "1"}
	opt.Disco = func(context.Context, string, string) (Disco, bool) {
		return Disco{Identities: []Identity{{"gateway", "xmpp", "b"}}, Features: []string{packet.NSPing}}, true
	}
	start(t, opt, Handler{})
	s := <-got
	for _, want := range []string{"id='0' type='result'>", "<name>bridgehost</name><version>1</version>", "category='gateway'", "var='urn:xmpp:ping'", "id='3' type='error'"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %s in %s", want, s)
		}
	}
}
