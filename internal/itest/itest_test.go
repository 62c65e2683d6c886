package itest_test

import (
	"fmt"
	"testing"

	"bridgehost/internal/itest"
)

// servers are the kinds of server that every test here runs against.
var servers = map[string]func(testing.TB, itest.Options) *itest.Server{
	"prosody":  itest.Prosody,
	"ejabberd": itest.Ejabberd,
}

func eachServer(t *testing.T, run func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server)) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) { run(t, start) })
	}
}

func twoUsers() itest.Options {
	return itest.Options{Users: map[string]string{"juliet": "pw one", "romeo": "pw two"}, RequireTLS: true}
}

func TestTwoClientsTalkInARoom(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
		nurse := itest.Slix(t, srv.AccountFor("nurse", "late"))
		nurse.Join(room, "Nurse")
		nurse.SendGroupchat(room, "after")
		nurse.WaitBody(room, "after")
		t.Logf("start times of %s: first %v, after SIGKILL %v, after SIGTERM %v", srv.Kind, first, second, srv.StartTime())
	})
}

func TestComponentPortAndDirectTLS(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
	eachServer(t, func(t *testing.T, start func(testing.TB, itest.Options) *itest.Server) {
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
