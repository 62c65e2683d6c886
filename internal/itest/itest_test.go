package itest_test

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// servers are the kinds of server that every test here runs against.
var servers = map[string]func(itest.TB, itest.Options) *itest.Server{
	"prosody":  itest.Prosody,
	"ejabberd": itest.Ejabberd,
}

func eachServer(t *testing.T, run func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server)) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) { run(t, start) })
	}
}

func twoUsers() itest.Options {
	return itest.Options{Users: map[string]string{"juliet": "pw one", "romeo": "pw two"}, RequireTLS: true}
}

func TestTwoClientsTalkInARoom(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, twoUsers())
		t.Logf("start time of %s: %v", srv.Kind, srv.StartTime())
		room := srv.Room("ops")
		juliet, romeo := itest.Slix(t, srv.Account("juliet")), itest.Slix(t, srv.Account("romeo"))
		juliet.Join(room, "Juliet")
		romeo.Join(room, "Romeo")

		id := romeo.SendGroupchat(room, "it is <the> east & \U0001F305")
		got := juliet.WaitBody(room, "it is <the> east & \U0001F305")
		if got.Nick != "Romeo" || got.ID != id || got.StanzaID == "" || got.Type != "groupchat" {
			t.Errorf("juliet saw nick %q, id %q, stanza-id %q, type %q; want Romeo, %q, one, groupchat",
				got.Nick, got.ID, got.StanzaID, got.Type, id)
		}
		archive := juliet.Archive(room)
		if len(archive) != 1 || archive[0].Body != got.Body || archive[0].ID != got.StanzaID || archive[0].Nick != "Romeo" {
			t.Errorf("archive = %+v, want the one message with id %q", archive, got.StanzaID)
		}

		juliet.SendChat(srv.JID("romeo"), "wherefore")
		chat := romeo.Wait("chat", func(e itest.Event) bool { return e.Type == "chat" && e.Body == "wherefore" })
		if chat.Room != srv.JID("juliet") {
			t.Errorf("chat came from %q, want %q", chat.Room, srv.JID("juliet"))
		}
		juliet.None("a second copy", func(e itest.Event) bool { return e.Body == got.Body })
	})
}

func TestKilledServerComesBackWithItsRooms(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, twoUsers())
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		juliet.SendGroupchat(room, "before")
		juliet.WaitBody(room, "before")
		first := srv.StartTime()
		pid := srv.PID()

		srv.Kill()
		juliet.Wait("end of stream", func(e itest.Event) bool { return e.Kind == "disconnected" })
		srv.Start()
		if srv.PID() == pid {
			t.Errorf("process id is still %d after kill and start", pid)
		}
		juliet = itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		second := srv.StartTime()

		srv.Restart()
		srv.AddUser("nurse", "late")
		srv.AddUser("nurse", "later")
		nurse := itest.Slix(t, srv.Account("nurse"))
		nurse.Join(room, "Nurse")
		nurse.SendGroupchat(room, "after")
		nurse.WaitBody(room, "after")
		t.Logf("start times of %s: first %v, after SIGKILL %v, after SIGTERM %v", srv.Kind, first, second, srv.StartTime())
	})
}

func TestComponentPortAndDirectTLS(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		opts := twoUsers()
		opts.DirectTLS = true
		opts.Components = map[string]string{"bridge.xmpp.test": "secret one", "other.xmpp.test": "secret two"}
		srv := start(t, opts) // waits for both component domains
		account := srv.Account("juliet")
		account.Address, account.DirectTLS = srv.C2SDirectTLS, true
		juliet := itest.Slix(t, account)
		if e := juliet.IQ("get", "bridge.xmpp.test", "<ping xmlns='urn:xmpp:ping'/>"); e.Type != "error" {
			t.Errorf("ping of a component that is not connected answered %s, want an error", e.XML)
		}
	})
}

func TestWrongPasswordAndForeignAuthorityAreRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, twoUsers())
		if _, err := itest.TrySlix(t, srv.AccountFor("juliet", "wrong")); err == nil {
			t.Error("connected with a wrong password")
		}
		account := srv.Account("juliet")
		account.CAFile = "/etc/ssl/certs/ca-certificates.crt"
		if _, err := itest.TrySlix(t, account); err == nil {
			t.Error("connected to a server with a certificate of an unknown authority")
		}
	})
}

func TestRoomWithPassword(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, twoUsers())
		room := srv.Room("secret")
		juliet, romeo := itest.Slix(t, srv.Account("juliet")), itest.Slix(t, srv.Account("romeo"))
		juliet.Join(room, "Juliet")
		juliet.ConfigureRoom(room, map[string]string{
			"muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "open sesame",
		})
		if e := romeo.TryJoin(room, "Romeo", ""); e.Type != "error" {
			t.Errorf("entry without the password answered %s, want an error", e.XML)
		}
		if e := romeo.TryJoin(room, "Romeo", "open sesame"); e.Type == "error" {
			t.Errorf("entry with the password answered %s", e.XML)
		}
	})
}

func TestSendXMPPReachesARoom(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, twoUsers())
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		itest.SendXMPP(t, srv.Account("romeo"), room, "Robot", "sent by a program")
		if got := juliet.WaitBody(room, "sent by a program"); got.Nick != "Robot" {
			t.Errorf("nick = %q, want Robot", got.Nick)
		}
	})
}

func TestOptions(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, itest.Options{
			Address: "127.0.0.4", Domain: "other.test", Users: map[string]string{"boss": "pw", "juliet": "pw"},
			Admins: []string{"boss"}, NoTLS: true, RestrictRooms: true, VolatileRooms: true, MaxStanza: 20_000, Debug: true,
		})
		boss, juliet := itest.Slix(t, srv.Account("boss")), itest.Slix(t, srv.Account("juliet"))
		room := srv.Room("ops")
		if e := juliet.TryJoin(room, "Juliet", ""); e.Type != "error" {
			t.Errorf("a user made a room: %s, want an error", e.XML)
		}
		boss.Join(room, "Boss")
		juliet.Join(room, "Juliet")
		const disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
		info := juliet.IQ("get", room, disco)
		if !strings.Contains(info.XML, "muc_temporary") || !strings.Contains(info.XML, "urn:xmpp:mam:2") {
			t.Errorf("room says %s, want muc_temporary and urn:xmpp:mam:2", info.XML)
		}
		juliet.SendGroupchat(room, strings.Repeat("x", 30_000))
		juliet.Wait("end of stream", func(e itest.Event) bool { return e.Kind == "disconnected" || e.Kind == "failed" })
		boss.None("an oversize message", func(e itest.Event) bool { return e.HasBody })
	})
}

// streamID finds the id in the header of a stream.
var streamID = regexp.MustCompile(`<stream:stream[^>]* id=['"]([^'"]+)['"][^>]*>`)

// handshake connects a component (XEP-0114 §3) and returns its stream and whether the server has accepted it.
func handshake(t *testing.T, srv *itest.Server, domain, secret string) (conn net.Conn, accepted bool) {
	t.Helper()
	conn, text := connect(t, srv, domain, secret)
	return conn, strings.Contains(text, "<handshake")
}

// connect is handshake with what the server has said so far.
func connect(t *testing.T, srv *itest.Server, domain, secret string) (conn net.Conn, text string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", srv.Component, itest.WaitTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(itest.WaitTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "<stream:stream xmlns='jabber:component:accept' "+
		"xmlns:stream='http://etherx.jabber.org/streams' to='%s'>", domain); err != nil {
		t.Fatal(err)
	}
	header := streamID.FindStringSubmatch(readUntil(t, conn, streamID.String()))
	if header == nil {
		t.Fatal("the server sent no stream id")
	}
	id := header[1]
	if _, err := fmt.Fprintf(conn, "<handshake>%x</handshake>", sha1.Sum([]byte(id+secret))); err != nil {
		t.Fatal(err)
	}
	return conn, readUntil(t, conn, "<handshake|</stream:stream>")
}

// readUntil reads until the text matches the expression or the stream ends.
func readUntil(t *testing.T, conn net.Conn, expr string) string {
	t.Helper()
	re := regexp.MustCompile(expr)
	var text string
	buf := make([]byte, 4096)
	for !re.MatchString(text) {
		n, err := conn.Read(buf)
		text += string(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read %q: %v", text, err)
		}
	}
	return text
}

func TestComponentHandshake(t *testing.T) {
	const domain = "bridge.xmpp.test"
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv := start(t, itest.Options{Components: map[string]string{domain: "secret"}})
		if _, ok := handshake(t, srv, domain, "wrong"); ok {
			t.Error("connected with a wrong secret")
		}
		if _, ok := handshake(t, srv, domain, "secret"); !ok {
			t.Error("refused with the right secret")
		}
	})
}

func TestKickOldComponent(t *testing.T) {
	const domain = "bridge.xmpp.test"
	for _, kickOld := range []bool{false, true} {
		t.Run(fmt.Sprint(kickOld), func(t *testing.T) {
			srv := itest.Prosody(t, itest.Options{Components: map[string]string{domain: "secret"}, KickOldComponent: kickOld})
			first, ok := handshake(t, srv, domain, "secret")
			if !ok {
				t.Fatal("the first connection was refused")
			}
			if _, ok := handshake(t, srv, domain, "secret"); ok != kickOld {
				t.Errorf("second connection accepted: %v, want %v", ok, kickOld)
			}
			if !kickOld {
				return
			}
			if text := readUntil(t, first, "</stream:stream>"); !strings.Contains(text, "conflict") {
				t.Errorf("the first connection ended with %q, want a conflict", text)
			}
		})
	}
}

func TestBurstArrivesCompleteAndInOrder(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		const n = 500
		srv := start(t, twoUsers())
		room := srv.Room("ops")
		juliet, romeo := itest.Slix(t, srv.Account("juliet")), itest.Slix(t, srv.Account("romeo"))
		juliet.Join(room, "Juliet")
		romeo.Join(room, "Romeo")
		begin := time.Now()
		for i := range n {
			romeo.SendGroupchat(room, fmt.Sprint(i))
		}
		got := juliet.WaitMessages(room, n)
		t.Logf("%s: %d messages from client to client in %v", srv.Kind, n, time.Since(begin))
		for i, e := range got {
			if e.Body != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, e.Body)
			}
		}
		if archive := juliet.Archive(room); len(archive) != n || archive[n-1].Body != fmt.Sprint(n-1) {
			t.Errorf("archive has %d messages, want %d", len(archive), n)
		}
	})
}

func TestProsodyPeersTalk(t *testing.T) {
	one := itest.Prosody(t, itest.Options{Domain: "one.test", Users: map[string]string{"juliet": "pw"}, S2S: true})
	two := itest.Prosody(t, itest.Options{
		Domain: "two.test", Address: "127.0.0.2", Users: map[string]string{"romeo": "pw"}, S2S: true,
	})
	one.Peer(two)
	juliet, romeo := itest.Slix(t, one.Account("juliet")), itest.Slix(t, two.Account("romeo"))
	room := one.Room("ops")
	juliet.Join(room, "Juliet")
	romeo.Join(room, "Romeo")
	for i := range 3 {
		body := fmt.Sprintf("over the wall %d", i)
		romeo.SendGroupchat(room, body)
		if got := juliet.WaitBody(room, body); got.Nick != "Romeo" {
			t.Errorf("nick = %q, want Romeo", got.Nick)
		}
	}
}

func TestFrozenServerAnswersAfterThaw(t *testing.T) {
	srv := itest.Prosody(t, twoUsers())
	room := srv.Room("ops")
	juliet := itest.Slix(t, srv.Account("juliet"))
	juliet.Join(room, "Juliet")
	srv.Freeze()
	juliet.SendGroupchat(room, "held")
	srv.Thaw()
	juliet.WaitBody(room, "held")
}

func TestFreeAddressRefusesPublicHosts(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "192.0.2.1", "::", "localhost"} {
		if addr, err := itest.FreeAddress(host); err == nil {
			t.Errorf("FreeAddress(%q) = %q, want an error", host, addr)
		}
	}
}
