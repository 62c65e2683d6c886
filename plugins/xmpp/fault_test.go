package xmpp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

func TestNickTaken(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet := itest.Slix(t, srv.Account("juliet"))
		room := srv.Room("ops")
		juliet.Join(room, "Grafana")
		h := newFakeHost(t)
		l, _ := start(t, h, component(srv), writeTo(room))
		r := deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))[0]
		if got := juliet.WaitBody(room, "one"); got.Nick != "Grafana (hooks)" {
			t.Errorf("nick is %q", got.Nick)
		}
		if !hasLoss(r, sdk.LossName) {
			t.Errorf("loss is %+v", r.Loss)
		}
	})
}

func TestNickThatDeceives(t *testing.T) { // XM-18
	srv := itest.Prosody(t, serverOptions())
	juliet := itest.Slix(t, srv.Account("juliet"))
	room := srv.Room("ops")
	juliet.Join(room, "Juliet")
	h := newFakeHost(t)
	l, _ := start(t, h, component(srv), writeTo(room))
	for i, c := range []struct{ name, want string }{
		{"Romeo\u202e\u200b", "Romeo"},
		{"a\nb\tc", "a b c"},
		{strings.Repeat("x", 1<<20), strings.Repeat("x", 64)},
		{" \u200b \u2060", "x5"},
		{"Julіet", "Julіet (hooks)"}, // Cyrillic і
		{"juliet", "juliet (hooks)"},
	} {
		body := fmt.Sprintf("as %d", i)
		author := sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: sdk.RemoteID(fmt.Sprintf("n%d", i))}, Name: c.name}
		if i == 3 { // nothing readable in the name: the id stands in
			author.Home.ID = "x5"
		}
		deliver(t, l, textTo(sdk.RemoteID(room), fmt.Sprintf("d%d", i), author, body))
		if got := juliet.WaitBody(room, body); got.Nick != c.want {
			t.Errorf("nick of %.20q is %q, want %q", c.name, got.Nick, c.want)
		}
	}
}

func serverOptions() itest.Options {
	return itest.Options{
		Users:      map[string]string{"juliet": "pw", "romeo": "pw", "bot": "pw"},
		Components: map[string]string{bridgeDomain: "s3cret"},
	}
}

// TestRoomForbids shows that a room that does not let us in says so in its
// state and in the error of the delivery, which stays temporary and unsent.
func TestRoomForbids(t *testing.T) {
	for _, c := range []struct {
		name   string
		config map[string]string
		want   string
	}{
		{"members only", map[string]string{"muc#roomconfig_membersonly": "1"}, "members only"},
		{"password", map[string]string{"muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "sesame"}, "password"},
		{"missing", nil, "does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
				room := srv.Room("ops")
				if c.config != nil {
					juliet := itest.Slix(t, srv.Account("juliet"))
					juliet.Join(room, "Juliet")
					juliet.ConfigureRoom(room, c.config)
				}
				for _, use := range []sdk.PlaceUse{writeTo(room), bothWays(room)} {
					h := newFakeHost(t)
					l, stop := start(t, h, component(srv), use)
					r := tryDeliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"), textTo(sdk.RemoteID(room), "d2", grafana, "two"))
					if e := r[0].Err; e == nil || !e.Kind.Temporary() || !strings.Contains(e.Public, c.want) || !r[0].Unsent {
						t.Errorf("receipt: %+v, error %v", r[0], e)
					}
					if r[1].Err == nil || !r[1].Unsent {
						t.Errorf("second receipt: %+v", r[1])
					}
					h.report("state with reason", func(r sdk.Report) bool {
						return r.Place == sdk.RemoteID(room) && r.State == sdk.StateDown && strings.Contains(r.Reason, c.want)
					})
					stop()
				}
			})
		})
	}
}

func TestRoomPassword(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		juliet.ConfigureRoom(room, map[string]string{"muc#roomconfig_passwordprotectedroom": "1", "muc#roomconfig_roomsecret": "sesame"})
		cfg := component(srv)
		cfg["rooms"] = map[string]any{room: map[string]any{"password": "sesame"}}
		l, _ := start(t, newFakeHost(t), cfg, writeTo(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		juliet.WaitBody(room, "one")
	})
}

func TestRoomMadeIfWanted(t *testing.T) {
	for _, lock := range []bool{false, true} {
		opt := serverOptions()
		opt.LockRooms = lock
		srv := itest.Prosody(t, opt)
		room := srv.Room("new")
		cfg := component(srv)
		cfg["create_rooms"] = true
		l, _ := start(t, newFakeHost(t), cfg, writeTo(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		deliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"))
		juliet.WaitBody(room, "two")
	}
}

func TestAuthorRenamed(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		l, _ := start(t, newFakeHost(t), component(srv), writeTo(room))
		for i, c := range []struct{ name, want string }{{"One", "One"}, {"Two", "Two"}, {"Juliet", "Juliet (hooks)"}, {"One", "One"}} {
			author := grafana
			author.Name = c.name
			body := fmt.Sprintf("message %d", i)
			deliver(t, l, textTo(sdk.RemoteID(room), fmt.Sprintf("d%d", i), author, body))
			if got := juliet.WaitBody(room, body); got.Nick != c.want {
				t.Errorf("nick is %q, want %q", got.Nick, c.want)
			}
		}
	})
}

func TestServerRestart(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		h := newFakeHost(t)
		l, _ := start(t, h, component(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		srv.Kill()
		h.report("link down", func(r sdk.Report) bool { return r.Place == "" && r.State == sdk.StateDown })
		srv.Start()
		h.report("link up", func(r sdk.Report) bool { return r.Place == "" && r.State == sdk.StateUp })
		juliet = itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		h.roomUp(sdk.RemoteID(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"))
		if got := juliet.WaitBody(room, "two"); got.Nick != "Grafana" {
			t.Errorf("nick is %q", got.Nick)
		}
		juliet.SendGroupchat(room, "hello again")
		if ev := h.event(); ev.Item().Body() != "hello again" {
			t.Errorf("event: %+v", ev)
		}
		h.noEvent()
	})
}

// TestUncertainIsNotSentTwice asks again for what is in the room already, from a
// link that knows nothing of it, as after kill -9.
func TestUncertainIsNotSentTwice(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		var batch []sdk.Delivery
		for i := range 130 {
			batch = append(batch, textTo(sdk.RemoteID(room), fmt.Sprintf("d%03d", i), grafana, fmt.Sprintf("message %d", i)))
		}
		l, stop := start(t, newFakeHost(t), component(srv), writeTo(room))
		before := deliver(t, l, batch[:120]...)
		stop()
		for i := range batch {
			batch[i].Uncertain, batch[i].Since, batch[i].Attempt = true, time.Now().Add(-time.Minute), 2
		}
		l, _ = start(t, newFakeHost(t), component(srv), writeTo(room))
		after := deliver(t, l, batch...)
		for i := range before {
			if before[i].Copies[0] != after[i].Copies[0] {
				t.Errorf("copy %d was %+v, is %+v", i, before[i].Copies[0], after[i].Copies[0])
			}
		}
		juliet.WaitBody(room, "message 129")
		if got := juliet.Messages(room); len(got) != len(batch) {
			t.Errorf("%d messages in the room, want %d:\n%s", len(got), len(batch), bodies(got))
		}
	})
}

// TestBurstThroughKills kills the server at several moments of a burst, and
// wants every message once and in order.
func TestBurstThroughKills(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	room := srv.Room("ops")
	owner := itest.Slix(t, srv.Account("juliet"))
	owner.Join(room, "Juliet")
	owner.ConfigureRoom(room, map[string]string{"muc#roomconfig_persistentroom": "1"})
	owner.Close()
	h := newFakeHost(t)
	l, _ := start(t, h, component(srv), writeTo(room))
	h.roomUp(sdk.RemoteID(room))
	const total = 600
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for i := range 4 {
			time.Sleep(time.Duration(60+37*i) * time.Millisecond) // moments of a fault, not a wait for something
			srv.Kill()
			srv.Start()
		}
	}()
	began := time.Now()
	uncertain := map[int]bool{}
	var last error
	for next := 0; next < total; {
		var batch []sdk.Delivery
		for i := next; i < min(next+128, total); i++ {
			d := textTo(sdk.RemoteID(room), fmt.Sprintf("k%04d", i), grafana, fmt.Sprintf("message %d", i))
			d.Uncertain, d.Since = uncertain[i], began
			batch = append(batch, d)
		}
		first := next
		for i, r := range tryDeliver(t, l, batch...) {
			if r.Err != nil {
				last = r.Err
			}
			uncertain[first+i] = r.Err != nil && !r.Unsent
			if r.Err == nil && first+i == next {
				next++
			}
		}
		if time.Since(began) > 90*time.Second {
			t.Fatalf("only %d of %d: %v", next, total, last)
		}
	}
	<-killed
	juliet := itest.Slix(t, srv.Account("juliet"))
	var got []string
	for _, m := range juliet.Archive(room) {
		got = append(got, m.Body)
	}
	for i := range total {
		if want := fmt.Sprintf("message %d", i); i >= len(got) || got[i] != want {
			t.Fatalf("message %d of %d is %q, want %q", i, len(got), got[min(i, len(got)-1)], want)
		}
	}
	if len(got) != total {
		t.Errorf("%d messages, want %d", len(got), total)
	}
}
