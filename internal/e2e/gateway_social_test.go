package e2e

import (
	"fmt"
	"net/url"
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

// TestGatewayVisibility has a post for contacts be shown to an approved follower only, and what is public later to everybody.
func TestGatewayVisibility(t *testing.T) {
	one := itest.Prosody(t, gatewayOptions("127.0.0.2", "one.test", "juliet"))
	opts := gatewayOptions("127.0.0.3", "two.test", "romeo")
	opts.Users["paris"], opts.Users["rosaline"] = "pw", "pw"
	two := itest.Prosody(t, opts)
	_, juliet, romeo := bridgeServers(t, one, two)
	suitor, stranger := *romeo, *romeo // who asks to follow and hears nothing, and who does not ask
	suitor.login(t, "paris")
	stranger.login(t, "rosaline")
	if err := juliet.user.CreateNode("", microblog, map[string]string{"pubsub#access_model": "presence", "pubsub#max_items": "10"}); err != nil {
		t.Fatal(err)
	}
	romeo.user.Subscribe(romeo.peer) // the access model presence is of who sees the presence (XEP-0060 §4.5)
	juliet.user.WaitPresence(juliet.peer, "subscribe")
	juliet.user.Approve(juliet.peer)
	romeo.user.WaitPresence(romeo.peer, "subscribed")
	if state, err := romeo.user.SubscribeNode(romeo.peer, microblog); err != nil || state != "subscribed" {
		t.Fatalf("subscription %q, %v", state, err)
	}
	soon(t, "the first post", func() (any, bool) {
		_, err := juliet.user.Publish("", microblog, "secret", entry("secret", juliet.user.Bare(), "secret vows"), nil)
		return err, shows(romeo, "secret vows")
	})
	if _, err := suitor.user.SubscribeNode(suitor.peer, microblog); err != nil {
		t.Logf("who was not approved asks: %v", err)
	}
	juliet.user.WaitPresence(virtual(two.JID("paris"), juliet.bridge), "subscribe")
	publish(t, juliet, "secret2", "more secret vows")
	shown(t, romeo, "more secret vows")
	readable(t, romeo, "secret vows", "more secret vows")
	readable(t, &suitor)
	readable(t, &stranger)

	if err := juliet.user.ConfigureNode("", microblog, map[string]string{"pubsub#access_model": "open"}); err != nil {
		t.Fatal(err)
	}
	publish(t, juliet, "public", "hear ye all")
	shown(t, romeo, "hear ye all")
	readable(t, romeo, "secret vows", "more secret vows", "hear ye all")
	readable(t, &stranger, "hear ye all")
	readable(t, &suitor, "hear ye all")
	// The node does not say that it is for contacts again: it is asked.
	if err := juliet.user.ConfigureNode("", microblog, map[string]string{"pubsub#access_model": "presence"}); err != nil {
		t.Fatal(err)
	}
	publish(t, juliet, "secret3", "secret once more")
	shown(t, romeo, "secret once more")
	readable(t, &stranger, "hear ye all")
	for _, s := range []*side{&suitor, &stranger} {
		s.user.None("an event of a post for contacts", func(e itest.Event) bool { return strings.Contains(e.XML, "secret") })
	}
}

// publish writes a post on the own microblog.
func publish(t *testing.T, s *side, id, text string) {
	t.Helper()
	if _, err := s.user.Publish("", microblog, id, entry(id, s.user.Bare(), text), nil); err != nil {
		t.Fatal(err)
	}
}

// shows reports whether a post of the other side has been notified.
func shows(s *side, text string) bool {
	return slices.ContainsFunc(s.user.Events(), func(e itest.Event) bool {
		return e.PubSub != nil && e.Room == s.peer && strings.Contains(e.XML, ">"+text+"<")
	})
}

// shown waits for the notification of a post of the other side.
func shown(t *testing.T, s *side, text string) {
	t.Helper()
	soon(t, text, func() (any, bool) { return "nothing", shows(s, text) })
}

// readable checks which posts the other side's microblog gives: exactly those.
func readable(t *testing.T, s *side, texts ...string) {
	t.Helper()
	items, _, err := s.user.Items(s.peer, microblog, itest.Range{})
	if len(items) != len(texts) || err != nil && len(texts) > 0 {
		t.Errorf("%s reads %+v, %v; want %q", s.user.Bare(), items, err, texts)
	}
	for _, text := range texts {
		if !slices.ContainsFunc(items, func(i itest.Item) bool { return strings.Contains(i.XML, ">"+text+"<") }) {
			t.Errorf("%s does not read %q in %+v", s.user.Bare(), text, items)
		}
	}
}

// TestGatewayAnswers has a follower's comment and reactions come back to the post that they are about, where its server lets them in.
// Where it does not, the operator finds what was lost.
func TestGatewayAnswers(t *testing.T) {
	b, juliet, romeo := newPrivileged(t)
	part(t, "granted", juliet, romeo, func(t *testing.T, from, to *side) { answerPost(t, b, from, to, true) })
	part(t, "not granted", romeo, juliet, func(t *testing.T, from, to *side) { answerPost(t, b, from, to, false) })
}

// answerPost comments on a post of juliet, reacts to it, and takes the comment back.
func answerPost(t *testing.T, b *bridge, juliet, romeo *side, granted bool) {
	const commentsNode = microblog + ":comments/first"
	open := map[string]string{"pubsub#access_model": "open", "pubsub#publish_model": "open", "pubsub#max_items": "10"}
	for _, node := range []string{microblog, commentsNode} {
		if err := juliet.user.CreateNode("", node, open); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := romeo.user.SubscribeNode(romeo.peer, microblog); err != nil || state != "subscribed" {
		t.Fatalf("subscription %q, %v", state, err)
	}
	juliet.user.WaitPresence(juliet.peer, "subscribe")
	juliet.user.Approve(juliet.peer)
	post := strings.Replace(entry("first", juliet.user.Bare(), "comments, please"), "<author>",
		"<link rel='replies' title='comments' href='xmpp:"+juliet.user.Bare()+"?;node="+url.QueryEscape(commentsNode)+"'/><author>", 1)
	soon(t, "the post", func() (any, bool) {
		_, err := juliet.user.Publish("", microblog, "first", post, nil)
		return err, shows(romeo, "comments, please")
	})
	items, _, err := romeo.user.Items(romeo.peer, microblog, itest.Range{})
	if err != nil || len(items) != 1 {
		t.Fatalf("items %+v, %v", items, err)
	}
	bridged := items[0].ID

	if _, err := romeo.user.Publish(romeo.peer, microblog+":comments/"+bridged, "c1", entry("c1", romeo.user.Bare(), "well said"), nil); err != nil {
		t.Fatal(err)
	}
	soon(t, "the comment", func() (any, bool) {
		list, _, err := juliet.user.Items("", commentsNode, itest.Range{})
		return []any{list, err}, len(list) == 1 && strings.Contains(list[0].XML, "well said") && strings.Contains(list[0].XML, "xmpp:"+juliet.peer+"<")
	})
	attached := "<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed/><reactions><reaction>❤</reaction></reactions></attachments>"
	if _, err := romeo.user.Publish(romeo.peer, attachments(romeo.peer, bridged), romeo.user.Bare(), attached, nil); err != nil {
		t.Fatal(err)
	}
	if granted {
		soon(t, "the reactions", func() (any, bool) {
			list, _, err := juliet.user.Items("", attachments(juliet.user.Bare(), "first"), itest.Range{})
			return []any{list, err}, len(list) == 1 && list[0].ID == juliet.peer && strings.Contains(list[0].XML, "noticed") && strings.Contains(list[0].XML, "❤")
		})
	} else {
		lost(t, b, strings.TrimPrefix(juliet.bridge, "bridge."), "xmpp:"+juliet.user.Bare()+"?;node="+url.QueryEscape(microblog)+";item=first", "reaction")
	}
	if err := romeo.user.RetractItem(romeo.peer, microblog+":comments/"+bridged, "c1"); err != nil {
		t.Fatal(err)
	}
	if granted {
		soon(t, "the comment taken back", func() (any, bool) {
			list, _, err := juliet.user.Items("", commentsNode, itest.Range{})
			return []any{list, err}, err == nil && len(list) == 0
		})
		return
	}
	comment := "xmpp:" + strings.ReplaceAll(romeo.peer, `\`, "%5C") + "?;node=" + url.QueryEscape(microblog+":comments/"+bridged) + ";item=c1"
	lost(t, b, strings.TrimPrefix(romeo.bridge, "bridge."), comment, "retract")
}

// lost waits until the operator is told that something about an item did not cross. A link has the name of its server.
func lost(t *testing.T, b *bridge, domain, item, kind string) {
	t.Helper()
	link, _, _ := strings.Cut(domain, ".")
	soon(t, "loss: "+kind, func() (any, bool) {
		out, _ := b.cli("explain", link+":"+item)
		return out, strings.Contains(out, "loss at") && strings.Contains(out, ": "+kind+",")
	})
}

// attachments is the node of what is attached to a post. XEP-0470 §4.1.
func attachments(jid, item string) string {
	return "urn:xmpp:pubsub-attachments:1/xmpp:" + jid + "?;node=" + url.QueryEscape(microblog) + ";item=" + url.QueryEscape(item)
}
