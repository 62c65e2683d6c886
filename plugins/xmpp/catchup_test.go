package xmpp

import (
	"fmt"
	"strings"
	"testing"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

// again runs a link for a room with the host state of an earlier one.
func again(t *testing.T, srv *itest.Server, before *fakeHost, room string) (*fakeHost, sdk.Link, func()) {
	t.Helper()
	h := newFakeHost(t)
	h.store = before.store
	l, stop := start(t, h, component(srv), bothWays(room))
	return h, l, stop
}

// told gives what an event says in a few words.
func told(ev sdk.Event) string {
	switch c := ev.Change.(type) {
	case sdk.ItemCreated:
		return "say " + c.Item.Body()
	case sdk.ItemUpdated:
		return "edit " + c.Item.Body()
	case sdk.ItemRetracted:
		return fmt.Sprintf("retract moderated=%t", c.Moderated)
	case sdk.ReactionsSet:
		return "react " + strings.Join(c.Reactions, "")
	case sdk.ConversationUpdated:
		return "topic " + c.Topic.Plain
	default:
		return fmt.Sprintf("%T", c)
	}
}

// TestCatchUp says things while no link listens: all of it crosses once and in
// order when one comes back, before what is said then, and nothing else does.
func TestCatchUp(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		juliet.ConfigureRoom(room, map[string]string{"muc#roomconfig_whois": "anyone", "muc#roomconfig_persistentroom": "1"})
		juliet.SendGroupchat(room, "before the first link")
		juliet.WaitBody(room, "before the first link")

		h := newFakeHost(t)
		l, stop := start(t, h, component(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		juliet.SendRaw("<message type='groupchat' to='" + room + "' id='first'><body>first</body></message>")
		firstSeen := juliet.WaitBody(room, "first")
		first := h.event()
		if told(first) != "say first" {
			t.Fatalf("event: %+v", first)
		}
		copied := deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "ours"))[0].Copies[0]
		ours := juliet.WaitBody(room, "ours")
		stop()

		want, targets := []string{}, map[string]sdk.RemoteID{}
		for i := range 30 {
			body := fmt.Sprintf("missed %d", i)
			juliet.SendRaw(fmt.Sprintf("<message type='groupchat' to='%s' id='m%d'><body>%s</body></message>", room, i, body))
			juliet.WaitBody(room, body)
			want = append(want, "say "+body)
			switch i {
			case 7:
				juliet.SendRaw("<message type='groupchat' to='" + room + "' id='fix'><body>corrected</body><replace xmlns='urn:xmpp:message-correct:0' id='m3'/></message>")
				juliet.WaitBody(room, "corrected")
				want = append(want, "edit corrected")
			case 11:
				juliet.SendRaw("<message type='groupchat' to='" + room + "' id='fix0'><body>first corrected</body><replace xmlns='urn:xmpp:message-correct:0' id='first'/></message>")
				juliet.WaitBody(room, "first corrected")
				want = append(want, "edit first corrected")
				targets["edit first corrected"] = first.Item().Origin.ID
			case 13:
				juliet.SendRaw("<message type='groupchat' to='" + room + "' id='re'><reactions xmlns='urn:xmpp:reactions:0' id='" + ours.StanzaID + "'><reaction>👍</reaction></reactions><store xmlns='urn:xmpp:hints'/></message>")
				want = append(want, "react 👍")
				targets["react 👍"] = copied.Remote
			case 19:
				juliet.SendRaw("<message type='groupchat' to='" + room + "' id='gone'><retract xmlns='urn:xmpp:message-retract:1' id='" + firstSeen.StanzaID + "'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>retracted</body></message>")
				want = append(want, "retract moderated=false")
				targets["retract moderated=false"] = first.Item().Origin.ID
			}
		}
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		romeo.SendRaw("<message type='groupchat' to='" + room + "' id='evil'><body>evil</body><replace xmlns='urn:xmpp:message-correct:0' id='m3'/></message>")
		romeo.WaitBody(room, "evil")
		want = append(want, "say evil")

		h, _, stop = again(t, srv, h, room)
		h.roomUp(sdk.RemoteID(room))
		juliet.SendGroupchat(room, "live")
		want = append(want, "say live")
		var last sdk.Event
		for i, w := range want {
			ev := h.event()
			if got := told(ev); got != w {
				t.Fatalf("event %d is %q, want %q", i, got, w)
			}
			if ev.Dedup == "" || ev.Dedup == last.Dedup {
				t.Errorf("event %d: dedup %q", i, ev.Dedup)
			}
			if id, ok := targets[w]; ok && ev.Target().Remote != id {
				t.Errorf("%s: target %q, want %q", w, ev.Target().Remote, id)
			}
			if i < len(want)-2 && ev.Actor.Home != first.Actor.Home {
				t.Errorf("%s: by %v, want %v", w, ev.Actor.Home, first.Actor.Home)
			}
			last = ev
		}
		stop()
		h.noEvent()

		// Nothing is left for the next one.
		h, _, _ = again(t, srv, h, room)
		h.roomUp(sdk.RemoteID(room))
		juliet.SendGroupchat(room, "marker")
		if ev := h.event(); told(ev) != "say marker" {
			t.Errorf("event: %+v", ev)
		}
		h.noEvent()
	})
}

// TestCatchUpAfterServer lets people talk while a server that was killed is back
// and the link is not yet, and in a room that keeps no archive.
func TestCatchUpAfterServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		config map[string]string
	}{
		{"archive", nil},
		{"history", map[string]string{"muc#roomconfig_enablearchiving": "0", "mam": "0", "muc#roomconfig_mam": "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := itest.Prosody(t, serverOptions())
			room := srv.Room("ops")
			juliet := itest.Slix(t, srv.Account("juliet"))
			juliet.Join(room, "Juliet")
			config := map[string]string{"muc#roomconfig_persistentroom": "1"}
			for name, value := range c.config {
				config[name] = value
			}
			juliet.ConfigureRoom(room, config)
			h := newFakeHost(t)
			_, stop := start(t, h, component(srv), bothWays(room))
			h.roomUp(sdk.RemoteID(room))
			juliet.SendRaw("<message type='groupchat' to='" + room + "' id='m1'><body>one</body></message>")
			first := h.event()
			if c.config != nil { // a room forgets its history with the server
				stop()
			} else {
				srv.Kill()
				srv.Start()
				juliet = itest.Slix(t, srv.Account("juliet"))
				juliet.Join(room, "Juliet")
			}
			juliet.SendRaw("<message type='groupchat' to='" + room + "' id='m2'><body>two</body></message>")
			juliet.WaitBody(room, "two")
			juliet.SendRaw("<message type='groupchat' to='" + room + "' id='m3'><body>one!</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/></message>")
			juliet.WaitBody(room, "one!")
			if c.config != nil {
				h, _, _ = again(t, srv, h, room)
			}
			for _, want := range []string{"say two", "edit one!"} {
				ev := h.event()
				if got := told(ev); got != want {
					t.Fatalf("heard %q, want %q", got, want)
				}
				if want == "edit one!" && ev.Target().Remote != first.Item().Origin.ID {
					t.Errorf("edit of %q, want %q", ev.Target().Remote, first.Item().Origin.ID)
				}
			}
			juliet.SendGroupchat(room, "three")
			if ev := h.event(); told(ev) != "say three" {
				t.Errorf("heard %+v", ev)
			}
			h.noEvent()
		})
	}
}
