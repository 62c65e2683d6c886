package social

import (
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// TestNodeThatDoesNotNotifyIsReadAgain is for services such as ejabberd's PEP.
func TestNodeThatDoesNotNotifyIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.nodes[blog] = &fakeNode{access: "open", items: []pubsub.Item{entry(t, "p1", "", "one", t1)}}
		s, stop := w.social(func(o *Options) { o.Now, o.Comments = time.Now, -1 })
		s.Follow(romeo, "bob@m.example")
		w.nextEvents(1)
		synctest.Wait()
		w.mu.Lock()
		asked := len(w.asked)
		w.nodes[blog].items = append(w.nodes[blog].items, entry(t, "p2", "", "two", t2))
		w.mu.Unlock()
		time.Sleep(15*time.Minute + time.Second)
		synctest.Wait()
		if ev := w.nextEvents(1)[0]; ev.Kind() != sdk.KindItemCreated || ev.Item().Body() != "two" {
			t.Errorf("event %+v", ev)
		}
		w.mu.Lock()
		if n := len(w.asked) - asked; n != 2 {
			t.Errorf("%d requests to read again, want one for the access model and one for the items", n)
		}
		w.mu.Unlock()
		stop()
	})
}

// TestRefusalIsTriedAgain looks at a node that comes to be later.
func TestRefusalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, stop := w.social(func(o *Options) { o.Now = time.Now })
		s.Follow(romeo, "bob@m.example")
		synctest.Wait()
		w.mu.Lock()
		w.nodes[blog] = &fakeNode{access: "open", items: []pubsub.Item{entry(t, "p1", "", "one", t1)}}
		w.mu.Unlock()
		s.Follow(romeo, "bob@m.example") // a repeat is no news
		synctest.Wait()
		w.mu.Lock()
		if len(w.events) != 0 {
			t.Errorf("events %+v", w.events)
		}
		w.mu.Unlock()
		time.Sleep(time.Hour + time.Second)
		w.nextEvents(1)
		stop()
	})
}
