package muc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// tagged gives ids that are recognised as a link's own.
func tagged(o *Options) { o.Tag = "bh012345-" }

// album is an item that takes three messages.
func album(id string) sdk.Delivery {
	d := text(id, "look")
	it := *d.Event.Item()
	it.Media = []sdk.Media{{URL: "https://x.test/1.png", Type: "image/png"}, {URL: "https://x.test/2.png", Type: "image/png"}}
	d.Event = d.Event.WithItem(it)
	return d
}

func sentID(raw string) string {
	_, rest, _ := strings.Cut(raw, " id='")
	id, _, _ := strings.Cut(rest, "'")
	return id
}

// TestSeveralMessages shows that an item of several messages is one copy: for
// receipts, for what refers to any of them, and for its retraction.
func TestSeveralMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		s, a := kept(t, store, tagged)
		s.onMessage = func(raw string) bool {
			m := s.parse(raw).(*packet.Message)
			stanza := a.add("Ana", m.ID, "<body>"+m.Body()+"</body>")
			for _, to := range []string{m.From, botJID} {
				s.message("<message type='groupchat' id='" + m.ID + "' from='" + roomJID + "/Ana' to='" + to + "'><body>" + m.Body() + "</body><stanza-id xmlns='urn:xmpp:sid:0' by='" + roomJID + "' id='" + stanza + "'/></message>")
			}
			return true
		}
		stop := s.run()
		got := s.room.Deliver(t.Context(), []sdk.Delivery{album("1")})[0]
		if got.Err != nil || len(s.sent) != 3 || len(got.Copies) != 1 || got.Copies[0].Remote != "s:a001|o:bh012345-1~1.3|r:"+roomJID+"|m:a002|m:a003" {
			t.Fatalf("receipt %+v, sent %q", got, s.sent)
		}
		react := func(target string) {
			a.say("Juliet", "r"+target, "<reactions xmlns='urn:xmpp:reactions:0' id='"+target+"'><reaction>+</reaction></reactions>")
		}
		react("a002")
		events := s.heard()
		if len(events) != 1 || events[0].Target().Remote != got.Copies[0].Remote {
			t.Errorf("reaction to a part: %+v", events)
		}
		stop()

		s, b := kept(t, store, tagged) // a new life that has to ask the archive
		b.list = a.list
		defer s.run()()
		b.say("Juliet", "x", "<reactions xmlns='urn:xmpp:reactions:0' id='a003'><reaction>-</reaction></reactions>")
		if events := s.heard(); len(events) != 1 || events[0].Target().Remote != got.Copies[0].Remote {
			t.Errorf("after a restart: %+v", events)
		}
		end := sdk.Delivery{ID: "9", Event: sdk.Event{Actor: ana, Change: sdk.ItemRetracted{Target: sdk.Target{Remote: got.Copies[0].Remote}}}}
		if r := s.room.Deliver(t.Context(), []sdk.Delivery{end})[0]; r.Err != nil || len(s.sent) != 3 || !strings.Contains(s.sent[2], "a003") {
			t.Errorf("retraction: %+v, sent %q", r, s.sent)
		}
	})
}

// TestSeveralMessagesUncertain shows that after a loss only those messages of an
// item are sent that are not in the room yet, whatever was the last.
func TestSeveralMessagesUncertain(t *testing.T) {
	for have := range 4 {
		t.Run(fmt.Sprint(have), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := kept(t, newMemory(), func(o *Options) { o.Source, o.Tag = false, "bh012345-" })
				time.Sleep(calm)
				for i := range have {
					a.add("Ana", fmt.Sprintf("bh012345-1~%d.3", i+1), "<body>x</body>")
				}
				d := album("1")
				d.Uncertain, d.Since = true, time.Now()
				got := s.room.Deliver(t.Context(), []sdk.Delivery{d})[0]
				if got.Err != nil || len(s.sent) != 3-have || len(got.Copies) != 1 || strings.Count(string(got.Copies[0].Remote), "|m:") != 2 {
					t.Fatalf("receipt %+v, sent %q", got, s.sent)
				}
				var ids []string
				for _, raw := range s.sent {
					ids = append(ids, sentID(raw))
				}
				want := []string{"bh012345-1~1.3", "bh012345-1~2.3", "bh012345-1~3.3"}[have:]
				if !slices.Equal(ids, want) {
					t.Errorf("sent %v, want %v", ids, want)
				}
				d.Since = time.Now()
				if got := s.room.Deliver(t.Context(), []sdk.Delivery{d})[0]; got.Err != nil || len(s.sent) != 3-have {
					t.Errorf("asked again: %+v, sent %q", got, s.sent)
				}
			})
		})
	}
}

// TestSeveralMessagesLost shows that an item is uncertain as soon as one of its
// messages was sent.
func TestSeveralMessagesLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, tagged)
		s.onMessage = func(raw string) bool {
			if strings.Contains(raw, "~2.3") {
				s.room.StreamDown(true)
				return true
			}
			return false
		}
		got := s.room.Deliver(t.Context(), []sdk.Delivery{album("1"), text("2", "x")})
		if got[0].Err == nil || got[0].Unsent || got[1].Err == nil || !got[1].Unsent {
			t.Errorf("receipts %+v", got)
		}
	})
}
