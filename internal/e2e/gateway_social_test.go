package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// microblog is the node of XEP-0277.
const microblog = "urn:xmpp:microblog:0"

// entry is a post. RFC 4287.
func entry(id, author, text string) string {
	return fmt.Sprintf("<entry xmlns='http://www.w3.org/2005/Atom'><title type='text'>%s</title><id>tag:two.test,2026:%s</id>"+
		"<published>2026-11-20T10:00:00Z</published><updated>2026-11-20T10:00:00Z</updated>"+
		"<author><name>%s</name><uri>xmpp:%s</uri></author></entry>", text, id, author, author)
}

// TestGatewayMicroblog has posts of one server's user come to a follower on the other.
func TestGatewayMicroblog(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newGateway(t, start)
			eachDirection(t, juliet, romeo, func(t *testing.T, from, to *side) {
				part(t, "public", from, to, crossPosts)
			})
		})
	}
}

// crossPosts follows, publishes, reads and retracts.
func crossPosts(t *testing.T, from, to *side) {
	if err := from.user.CreateNode("", microblog, map[string]string{"pubsub#access_model": "open", "pubsub#max_items": "10"}); err != nil {
		t.Fatal(err)
	}
	info, err := to.user.Info(to.peer, "")
	if err != nil || !info.Has("http://jabber.org/protocol/pubsub") && !slices.ContainsFunc(info.Identities,
		func(i itest.Identity) bool { return i.Category == "pubsub" && i.Type == "pep" }) {
		t.Errorf("info %+v, %v; want a PEP service", info, err)
	}
	if state, err := to.user.SubscribeNode(to.peer, microblog); err != nil || state != "subscribed" {
		t.Fatalf("subscription %q, %v", state, err)
	}
	from.user.WaitPresence(from.peer, "subscribe") // a follow is one thing for presence and microblog
	from.user.Approve(from.peer)
	soon(t, "the first post", func() (any, bool) { // reading begins after the answer, and what was there before is no news
		_, err := from.user.Publish("", microblog, "first", entry("first", from.user.Bare(), "hear ye"), nil)
		return err, slices.ContainsFunc(to.user.Events(), func(e itest.Event) bool {
			return e.PubSub != nil && e.Room == to.peer && strings.Contains(e.XML, "hear ye")
		})
	})
	if from.server.Kind == "ejabberd" {
		return // its PEP notifies only sessions of its own users, so that its nodes are read again every 15 minutes
	}
	for i := range 3 {
		id := fmt.Sprintf("post%d", i)
		if _, err := from.user.Publish("", microblog, id, entry(id, from.user.Bare(), fmt.Sprintf("the moon %d", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []itest.Item
	for i := range 3 {
		text := fmt.Sprintf("the moon %d", i)
		e := to.user.Wait(text, func(e itest.Event) bool {
			return e.PubSub != nil && e.Room == to.peer && len(e.PubSub.Items) == 1 && strings.Contains(e.XML, "the moon")
		})
		if !strings.Contains(e.XML, text) {
			t.Errorf("item %d: %s", i, e.XML)
		}
		got = append(got, e.PubSub.Items[0])
	}
	items, page, err := to.user.Items(to.peer, microblog, itest.Range{Max: 2})
	if err != nil || len(items) != 2 || page == nil || page.Count != 4 {
		t.Errorf("two items: %+v, page %+v, %v", items, page, err)
	} else if rest, _, err := to.user.Items(to.peer, microblog, itest.Range{Max: 2, After: page.Last}); err != nil || len(rest) != 2 {
		t.Errorf("the rest: %+v, %v", rest, err)
	}
	if err := from.user.RetractItem("", microblog, "post1"); err != nil {
		t.Fatal(err)
	}
	to.user.Wait("retracted post", func(e itest.Event) bool {
		return e.PubSub != nil && e.Room == to.peer && slices.Equal(e.PubSub.Retracted, []string{got[1].ID})
	})
	items, _, err = to.user.Items(to.peer, microblog, itest.Range{})
	if err != nil || len(items) != 3 {
		t.Errorf("%d items after one was retracted, %v; want 3", len(items), err)
	}
}
