package muc

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// TestBookmark shows that a room is noted once, and that a bookmark that is there
// is left alone (XEP-0402).
func TestBookmark(t *testing.T) {
	for _, there := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(t, func(o *Options) { o.Source, o.Bookmark = true, true })
			var mu sync.Mutex
			var asked []string
			s.onArchive = func(iq *packet.IQ) (*packet.IQ, error) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, iq.Type+" "+string(iq.Payload.Raw()))
				if iq.Type == "get" && there {
					e, err := xmltok.Parse([]byte("<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'><item id='" + roomJID + "'/></items></pubsub>"))
					return &packet.IQ{Payload: e}, err
				}
				return nil, &packet.Error{Type: "cancel", Condition: "item-not-found"}
			}
			defer s.run()()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if want := map[bool]int{true: 1, false: 2}[there]; len(asked) != want {
				t.Fatalf("asked %q", asked)
			}
			if !there && (!strings.Contains(asked[1], "<item id='"+roomJID+"'>") || !strings.Contains(asked[1], "<nick>bridge</nick>") || !strings.Contains(asked[1], "whitelist")) {
				t.Errorf("published %s", asked[1])
			}
		})
	}
}

// TestServerLimit shows that a text with which the connection is lost again and
// again becomes shorter, and that others do not.
func TestServerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(o *Options) { o.MaxText = 100 << 10 })
		s.onMessage = func(raw string) bool {
			if len(raw) < 20000 {
				return false
			}
			s.room.StreamDown(true)
			s.room.StreamUp(false)
			return true
		}
		d := text("1", strings.Repeat("word ", 10000))
		tries := 0
		for {
			tries++
			s.sent = nil
			r := s.room.Deliver(t.Context(), []sdk.Delivery{d})[0]
			if r.Err == nil {
				break
			}
			if tries == 9 {
				t.Fatalf("receipt %+v", r)
			}
		}
		if len(s.sent) < 3 || tries > 5 {
			t.Errorf("%d messages after %d tries", len(s.sent), tries)
		}
		if r := s.room.Deliver(t.Context(), []sdk.Delivery{text("2", "short")})[0]; r.Err != nil || len(s.sent) < 4 {
			t.Errorf("receipt %+v", r)
		}
	})
}
