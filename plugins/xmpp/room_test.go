package xmpp

import (
	"strings"
	"testing"
	"time"

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

// TestLongAndFiles sends text that the server's limit does not let through in one
// stanza, and files, each a message of its own; and takes them back.
func TestLongAndFiles(t *testing.T) {
	opt := itest.Options{Users: map[string]string{"juliet": "pw"}, Components: map[string]string{bridgeDomain: "s3cret"}, MaxStanza: 30000}
	servers(t, opt, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		l, _ := start(t, newFakeHost(t), component(srv), writeTo(room))
		d := textTo(sdk.RemoteID(room), "d1", grafana, strings.Repeat("word ", 12000))
		var r sdk.Receipt
		for range 6 {
			if r = tryDeliver(t, l, d)[0]; r.Err == nil || !r.Err.Kind.Temporary() {
				break
			}
			d.Uncertain, d.Since = !r.Unsent, time.Now()
		}
		if r.Err != nil {
			t.Fatalf("receipt: %+v", r)
		}
		words, messages := 0, 0
		for words < 12000 {
			messages++
			words += strings.Count(juliet.WaitMessages(room, messages)[messages-1].Body, "word")
		}
		if words != 12000 || messages < 2 {
			t.Errorf("%d words arrived in %d messages, want 12000", words, messages)
		}

		d = textTo(sdk.RemoteID(room), "d2", grafana, "two pictures")
		it := *d.Event.Item()
		it.Media = []sdk.Media{{URL: "https://files.test/1.png", Type: "image/png", Name: "1.png"}, {URL: "https://files.test/2.png", Type: "image/png"}}
		d.Event = d.Event.WithItem(it)
		r = deliver(t, l, d)[0]
		juliet.WaitBody(room, "two pictures")
		for _, url := range []string{"https://files.test/1.png", "https://files.test/2.png"} {
			if got := juliet.WaitBody(room, url); got.OOB != url || len(got.Files) != 1 {
				t.Errorf("file: %s", got.XML)
			}
		}
		deliver(t, l, change(room, "d3", sdk.ItemRetracted{Target: sdk.Target(r.Copies[0])}))
		for range 3 {
			juliet.Wait("retraction", func(e itest.Event) bool { return e.Retract != nil })
		}
	})
}
