package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// accountLink is the TOML of a link with an account.
func accountLink(name, jid, password, address, caFile string) string {
	return fmt.Sprintf("[link.%s]\nplugin = \"xmpp\"\n[link.%[1]s.config]\nmode = \"client\"\njid = %[2]q\npassword = %[3]q\naddress = %[4]q\n"+
		"[link.%[1]s.config.tls]\nca_file = %[5]q\nplaintext = \"never\"\n\n", name, jid, password, address, caFile)
}

// TestAccountLinks joins a room on Prosody and one on ejabberd by one account
// on each, over STARTTLS with the test's authority. Messages cross both ways
// with the author's name in the text.
func TestAccountLinks(t *testing.T) {
	prosody := itest.Prosody(t, itest.Options{Domain: "p.test", RequireTLS: true, Users: map[string]string{"anna": "pw", "bot": "bot-pw"}})
	ejabberd := itest.Ejabberd(t, itest.Options{Domain: "e.test", RequireTLS: true, Users: map[string]string{"boris": "pw", "bot": "bot-pw"}})
	roomP, roomE := prosody.Room("tea"), ejabberd.Room("tea")
	anna, boris := itest.Slix(t, prosody.Account("anna")), itest.Slix(t, ejabberd.Account("boris"))
	anna.Join(roomP, "Anna")
	boris.Join(roomE, "Boris")
	b := newBridge(t, accountLink("p", "bot@p.test", "bot-pw", prosody.C2S, prosody.CAFile)+
		accountLink("e", "bot@e.test", "bot-pw", ejabberd.C2S, ejabberd.CAFile)+relay("p:"+roomP, "e:"+roomE))
	b.start()
	b.ready()
	b.waitPlace("p", roomP, "up", "")
	b.waitPlace("e", roomE, "up", "")
	for i := range 5 {
		anna.SendGroupchat(roomP, fmt.Sprintf("question %d", i))
		if ev := boris.WaitBody(roomE, fmt.Sprintf("Anna: question %d", i)); ev.Nick != "bridge" {
			t.Errorf("Boris sees the nick %q, want bridge", ev.Nick)
		}
		boris.SendGroupchat(roomE, fmt.Sprintf("answer %d", i))
		anna.WaitBody(roomP, fmt.Sprintf("Boris: answer %d", i))
	}
	anna.None("repeats", func(ev itest.Event) bool { return ev.HasBody })
	boris.None("repeats", func(ev itest.Event) bool { return ev.HasBody && ev.Nick != "Boris" })
}

// TestUnknownAuthority: a server whose certificate nobody vouches for gets no
// password, and the status says why.
func TestUnknownAuthority(t *testing.T) {
	server := itest.Prosody(t, itest.Options{RequireTLS: true, Users: map[string]string{"bot": "bot-pw"}})
	b := newBridge(t, strings.ReplaceAll(accountLink("home", "bot@xmpp.test", "bot-pw", server.C2S, "@"), "ca_file = \"@\"\n", "")+
		"[link.hooks]\nplugin = \"webhook\"\n"+hook("plain")+oneWay("hooks:plain", "home:"+server.Room("ops"), ""))
	b.start()
	b.until("the certificate is refused", func() bool {
		l := b.link("home")
		return l.State != "up" && strings.Contains(l.Reason, "certificate")
	})
	if strings.Contains(string(server.Log()), "Authenticated as bot") {
		t.Error("the account logged in over a connection that nobody vouches for")
	}
}

// cable is a connection to a server that can be cut.
type cable struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	cut      bool // new connections are refused as well
	conns    []net.Conn
	work     sync.WaitGroup
}

// newCable forwards a port of its own to an address until the test ends.
func newCable(t testing.TB, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to}
	c.work.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		c.sever()
		c.work.Wait()
	})
	return c
}

func (c *cable) accept() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		c.mu.Lock()
		if err != nil || c.cut {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			c.mu.Unlock()
			continue
		}
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		pipe := func(to, from net.Conn) {
			_, _ = io.Copy(to, from) // it is meant to be cut
			_, _ = to.Close(), from.Close()
		}
		c.work.Go(func() { pipe(near, far) })
		c.work.Go(func() { pipe(far, near) })
	}
}

// sever cuts all connections and refuses new ones until mend.
func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		_ = conn.Close() // both ends see it
	}
	c.conns = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

// TestResumption cuts the connection of an account. The stream is resumed
// (XEP-0198 §5): what was said meanwhile in the room crosses once, in order,
// and so does what was posted.
func TestResumption(t *testing.T) {
	server := itest.Prosody(t, itest.Options{RequireTLS: true, Users: map[string]string{"anna": "pw", "bot": "bot-pw"},
		Components: map[string]string{"bridge.test": secret}})
	wire := newCable(t, server.C2S)
	near, far := server.Room("near"), server.Room("far")
	anna := itest.Slix(t, server.Account("anna"))
	anna.Join(near, "Anna")
	anna.Join(far, "Anna")
	b := newBridge(t, withSecret(t, accountLink("bot", "bot@xmpp.test", "bot-pw", wire.listener.Addr().String(), server.CAFile)+
		xmppLink("home", server, "bridge.test")+"[link.hooks]\nplugin = \"webhook\"\n"+hook("plain")+
		oneWay("bot:"+near, "home:"+far, "")+oneWay("hooks:plain", "bot:"+near, "")))
	b.start()
	b.ready()
	b.waitPlace("bot", near, "up", "")
	anna.SendGroupchat(near, "before")
	anna.WaitBody(far, "before")
	wire.sever()
	for i := range 20 {
		anna.SendGroupchat(near, fmt.Sprintf("said %d", i))
		b.accept("plain-token", fmt.Sprintf("posted %d", i))
	}
	b.waitLink("bot", "down", "")
	wire.mend()
	mended := time.Now()
	said, posted := 0, 0
	for said < 20 || posted < 20 {
		ev := anna.Wait("what was said or posted", func(e itest.Event) bool {
			return isBody(e) && (e.Room == far || e.Room == near && e.Nick == "bridge")
		})
		switch {
		case ev.Room == far && ev.Body == fmt.Sprintf("said %d", said):
			said++
		case ev.Room == near && ev.Body == fmt.Sprintf("plain: posted %d", posted):
			posted++
		default:
			t.Fatalf("%q in %s after %d said and %d posted", ev.Body, ev.Room, said, posted)
		}
	}
	t.Logf("all crossed %v after the connection could be made again", time.Since(mended).Round(time.Millisecond))
	b.until("the stream was resumed", func() bool { return strings.Contains(b.tail(), "resumed=true") })
	anna.None("repeats", func(e itest.Event) bool { return isBody(e) && (e.Room == far || e.Nick == "bridge") })
	if l := b.link("bot"); l.Restarts != 0 {
		t.Errorf("the link was restarted %d times", l.Restarts)
	}
}
