package xmpp

import (
	"testing"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

func TestDeliverToRoom(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet := itest.Slix(t, srv.Account("juliet"))
		room := srv.Room("ops")
		juliet.Join(room, "Juliet")
		h := newFakeHost(t)
		l, _ := start(t, h, component(srv), writeTo(room))
		h.roomUp(sdk.RemoteID(room))

		body := "Disk <full> & \"hot\"\n  on db1 – 98 % 🔥"
		r := deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, body))[0]
		got := juliet.WaitBody(room, body)
		if got.Nick != "Grafana" {
			t.Errorf("nick is %q", got.Nick)
		}
		if len(r.Copies) != 1 || r.Copies[0].Item != "id1" {
			t.Fatalf("copies: %+v", r.Copies)
		}
		want := sdk.RemoteID("s:" + got.StanzaID + "|o:" + tag + "d1|r:" + room)
		if got.StanzaID == "" || r.Copies[0].Remote != want {
			t.Errorf("remote is %q, want %q", r.Copies[0].Remote, want)
		}
		if r.Puppet != "hooks.grafana@"+bridgeDomain {
			t.Errorf("puppet is %q", r.Puppet)
		}
		if len(r.Loss) != 0 {
			t.Errorf("loss: %+v", r.Loss)
		}
	})
}

func TestIncoming(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet := itest.Slix(t, srv.Account("juliet"))
		room := srv.Room("ops")
		juliet.Join(room, "Juliet")
		juliet.SendGroupchat(room, "before the bridge")
		juliet.WaitBody(room, "before the bridge")
		h := newFakeHost(t)
		l, _ := start(t, h, component(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "from outside"))
		juliet.SendGroupchat(room, "hello")
		seen := juliet.WaitBody(room, "hello")
		ev := h.event()
		item := ev.Item()
		if item == nil || item.Body() != "hello" {
			t.Fatalf("event: %+v", ev)
		}
		if ev.Place.ID != sdk.RemoteID(room) || ev.Actor.Name != "Juliet" || ev.Actor.Home.ID == "" {
			t.Errorf("event: %+v", ev)
		}
		if seen.StanzaID == "" || ev.Dedup != "room:"+room+"|"+seen.StanzaID {
			t.Errorf("dedup is %q, want stanza-id %q", ev.Dedup, seen.StanzaID)
		}
		h.noEvent()
	})
}
