package social

import (
	"fmt"
	"strings"
	"testing"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

var (
	blog = pubsub.Address{Service: romeo, Node: pubsub.NSMicroblog}
	news = pubsub.Address{Service: "pubsub.example.org", Node: "news"}
)

const t1, t2 = "2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z"

func TestFeedOfALocalUser(t *testing.T) {
	w := newWorld(t)
	comments := pubsub.Address{Service: "pubsub.example.org", Node: "urn:xmpp:microblog:0:comments/p1"}
	w.nodes[comments] = &fakeNode{access: "open"}
	w.nodes[blog] = &fakeNode{access: "open", secret: true, items: []pubsub.Item{
		entry(t, "p1", "", "first", t1, `<link rel='replies' title='comments' href='`+comments.URI()+`'/>`),
	}}
	w.nodes[pubsub.Address{Service: romeo, Node: attach.Node(blog.At("p1"))}] = &fakeNode{access: "open"}
	s, _ := w.social(nil)
	s.Follow(romeo, "bob@m.example")
	ev := w.nextEvents(1)[0]
	created := ev.Change.(sdk.ItemCreated)
	if ev.Place.ID != romeo+" *" || ev.Actor.Home.ID != romeo || created.Item.Visibility != sdk.VisibilityPublic || created.Item.Body() != "first" {
		t.Fatalf("event %+v", ev)
	}
	post := created.Item.Origin.ID
	w.read(comments)
	w.read(pubsub.Address{Service: romeo, Node: attach.Node(blog.At("p1"))})
	// An edit keeps the id.
	notify(t, s, romeo, pubsub.ItemEvent(blog.Node, entry(t, "p1", "", "second", t2)))
	if up := w.nextEvents(1)[0].Change.(sdk.ItemUpdated); up.Target.Remote != post || up.Item.Body() != "second" || up.Item.Edited.IsZero() {
		t.Errorf("update %+v", up)
	}
	// The same once more, and a forged author, are nothing.
	notify(t, s, romeo, pubsub.ItemEvent(blog.Node, entry(t, "p1", "", "second", t2), entry(t, "p1", "eve@example.org", "third", t2)))
	// A comment with a proven author becomes a reply; one without does not cross.
	notify(t, s, comments.Service, pubsub.ItemEvent(comments.Node, entry(t, "c0", "", "who?", t1), entry(t, "c1", "ana@example.org", "nice", t1)))
	ev = w.nextEvents(1)[0]
	if c, ok := ev.Change.(sdk.ItemCreated); !ok || ev.Place.ID != "ana@example.org *" || ev.Actor.Home.ID != "ana@example.org" || c.Item.ReplyTo.Remote != post || c.Item.Body() != "nice" {
		t.Errorf("comment %+v", ev)
	}
	// Attachments of whom the service names.
	set := element(t, `<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed/></attachments>`)
	notify(t, s, romeo, pubsub.ItemEvent(attach.Node(blog.At("p1")),
		pubsub.Item{ID: "eve@example.org", Publisher: "ana@example.org", Payload: set},
		pubsub.Item{ID: "eve@example.org", Payload: set},
		pubsub.Item{ID: "ana@example.org", Publisher: "ana@example.org", Payload: set}))
	ev = w.nextEvents(1)[0]
	if c, ok := ev.Change.(sdk.ReactionsSet); !ok || ev.Actor.Home.ID != "ana@example.org" || c.Target.Remote != post || len(c.Reactions) != 1 || c.Reactions[0] != attach.Noticed {
		t.Errorf("reaction %+v", ev)
	}
	// A repeat, and its end.
	notify(t, s, romeo, pubsub.ItemEvent(blog.Node, entry(t, "r1", "", "theirs", t1, `<link rel='via' href='`+news.At("n1").URI()+`'/>`)))
	if c, ok := w.nextEvents(1)[0].Change.(sdk.Shared); !ok || string(c.Target.Remote) != news.At("n1").URI() {
		t.Errorf("repeat %+v", c)
	}
	notify(t, s, romeo, pubsub.RetractEvent(blog.Node, "r1"))
	if c, ok := w.nextEvents(1)[0].Change.(sdk.Unshared); !ok || string(c.Target.Remote) != news.At("n1").URI() {
		t.Errorf("end of repeat %+v", c)
	}
	notify(t, s, romeo, pubsub.RetractEvent(blog.Node, "p1"))
	if c, ok := w.nextEvents(1)[0].Change.(sdk.ItemRetracted); !ok || c.Target.Remote != post || c.Moderated {
		t.Errorf("retraction %+v", c)
	}
	s.Unfollow(romeo, "bob@m.example")
	w.until("end of subscriptions", func() bool { return len(w.nodes[blog].subs) == 0 && len(w.nodes[comments].subs) == 0 })
}

func TestFollowersOnlyFeedIsNotPublic(t *testing.T) {
	w := newWorld(t)
	w.nodes[blog] = &fakeNode{access: "presence", closed: true, secret: true, items: []pubsub.Item{entry(t, "p1", "", "for friends", t1)}}
	s, _ := w.social(nil)
	s.Follow(romeo, "bob@m.example")
	if c := w.nextEvents(1)[0].Change.(sdk.ItemCreated); c.Item.Visibility != sdk.VisibilityFollowers {
		t.Errorf("visibility %v", c.Item.Visibility)
	}
	if got := w.nodes[blog].subs; len(got) != 1 || got[0] != bob {
		t.Errorf("subscribed as %q, want the follower", got)
	}
}

// TestFeedThatIsNarrowedUnannounced: the node does not tell of its new configuration.
func TestFeedThatIsNarrowedUnannounced(t *testing.T) {
	w := newWorld(t)
	w.nodes[blog] = &fakeNode{access: "open"}
	s, stop := w.social(nil)
	defer stop()
	s.Follow(romeo, "bob@m.example")
	w.read(blog)
	for i, access := range []string{"open", "presence", "open"} {
		w.mu.Lock()
		w.nodes[blog].access = access
		w.mu.Unlock()
		id := fmt.Sprint("p", i)
		notify(t, s, romeo, pubsub.ItemEvent(blog.Node, entry(t, id, "", "hello "+id, t1)))
		want := map[string]sdk.Visibility{"open": sdk.VisibilityPublic, "presence": sdk.VisibilityFollowers}[access]
		if ev := w.nextEvents(1)[0]; ev.Item() == nil || ev.Item().Visibility != want {
			t.Errorf("post at access model %s: event %+v, want visibility %v", access, ev, want)
		}
	}
}

func TestFeedsAreKnownAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.nodes[blog] = &fakeNode{access: "open", items: []pubsub.Item{entry(t, "p1", "", "one", t1), entry(t, "p2", "", "two", t2)}}
	s, stop := w.social(nil)
	s.Follow(romeo, "bob@m.example")
	w.nextEvents(2)
	w.until("record", func() bool { w.kv.mu.Lock(); defer w.kv.mu.Unlock(); return len(w.kv.m) == 1 })
	// Attachments are asked for last: then everything was kept.
	w.until("attachments", func() bool { return strings.Contains(strings.Join(w.asked, "\n"), "item=p2") })
	stop()
	w.mu.Lock()
	w.asked = nil
	// Meanwhile one was taken back, one changed, one came.
	w.nodes[blog].items = []pubsub.Item{entry(t, "p1", "", "one, changed", "2026-05-02T00:00:00Z"), entry(t, "p3", "", "three", t1)}
	w.mu.Unlock()
	w.social(nil)
	kinds := map[sdk.ChangeKind]int{}
	for _, ev := range w.nextEvents(3) {
		kinds[ev.Kind()]++
	}
	if kinds[sdk.KindItemUpdated] != 1 || kinds[sdk.KindItemCreated] != 1 || kinds[sdk.KindItemRetracted] != 1 {
		t.Errorf("kinds %v", kinds)
	}
}

func TestNodeOfARoute(t *testing.T) {
	w := newWorld(t)
	w.nodes[news] = &fakeNode{access: "whitelist", items: []pubsub.Item{entry(t, "n1", "", "nobody's", t1), entry(t, "n2", "ana@example.org", "Ana's", t2)}}
	place := sdk.RemoteID("node:pubsub.example.org/news")
	s, _ := w.social(func(o *Options) { o.Virtual, o.Foreign = nil, nil })
	s.SetNodes([]sdk.PlaceUse{{ID: place, Source: true, Target: true}, {ID: "ops@muc.example.org", Source: true}})
	evs := w.nextEvents(2)
	if evs[0].Actor.Home.ID != sdk.RemoteID(news.URI()) || evs[0].Actor.Kind != sdk.ActorService || evs[1].Actor.Home.ID != "ana@example.org" || evs[1].Place.ID != place {
		t.Fatalf("events %+v", evs)
	}
	w.until("report", func() bool {
		return len(w.reports) > 0 && w.reports[0].State == sdk.StateUp && w.reports[0].Place == place
	})

	it := sdk.Item{ID: "01ABC", Text: sdk.NewText("from afar"), ReplyTo: sdk.Target{Remote: evs[1].Change.(sdk.ItemCreated).Item.Origin.ID}}
	eve := sdk.Actor{Name: "Eve", Handle: "eve@x.example", Home: sdk.Ref{Link: "other", ID: "eve"}}
	deliver := func(v sdk.Visibility, c sdk.Change) sdk.Receipt {
		t.Helper()
		ev := sdk.Event{Actor: eve, Change: c}
		if item := ev.Item(); item != nil {
			item.Visibility = v
			ev = ev.WithItem(*item)
		}
		return s.Deliver(t.Context(), []sdk.Delivery{{ID: "d1", Place: place, Event: ev}})[0]
	}
	r := deliver(sdk.VisibilityFollowers, sdk.ItemCreated{Item: it})
	if r.Err != nil || len(r.Copies) != 1 {
		t.Fatalf("receipt %+v", r)
	}
	w.mu.Lock()
	got := string(w.nodes[news].items[2].Payload.Raw())
	w.mu.Unlock()
	for _, part := range []string{"<name>Eve (eve@x.example)</name>", "from afar", "in-reply-to", "item=n2"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
	// A repeat of the delivery does no harm, an edit replaces, and what comes back is ours.
	it.Text = sdk.NewText("from afar, edited")
	if r := deliver(sdk.VisibilityPublic, sdk.ItemUpdated{Target: sdk.Target{Item: "01ABC", Remote: r.Copies[0].Remote}, Item: it}); r.Err != nil || r.Copies[0].Remote != "" && len(w.nodes[news].items) != 3 {
		t.Errorf("receipt %+v, %d items", r, len(w.nodes[news].items))
	}
	w.mu.Lock()
	back := w.nodes[news].items[2]
	back.Publisher = ""
	w.nodes[news].access = "open"
	w.mu.Unlock()
	notify(t, s, news.Service, pubsub.ItemEvent(news.Node, back, entry(t, "n3", "", "last", t2)))
	if ev := w.nextEvents(1)[0]; ev.Item().Body() != "last" {
		t.Errorf("our own item came back: %+v", ev)
	}
	// The node was opened meanwhile: nothing for followers lands there.
	for range 2 {
		if r := deliver(sdk.VisibilityFollowers, sdk.ItemCreated{Item: sdk.Item{ID: "01DEF", Text: sdk.NewText("secret")}}); r.Err == nil || r.Err.Kind != sdk.Forbidden || r.Err.Public == "" {
			t.Errorf("receipt %+v", r)
		}
	}
	if r := deliver(sdk.VisibilityDirect, sdk.ItemCreated{Item: it}); r.Err == nil || r.Err.Kind != sdk.Forbidden {
		t.Errorf("receipt %+v", r)
	}
	if r := deliver(0, sdk.ReactionsSet{Target: sdk.Target{Remote: evs[1].Item().Origin.ID}, Reactions: []string{"x"}}); r.Err != nil || len(r.Loss) != 1 || r.Loss[0].Kind != sdk.LossReaction {
		t.Errorf("receipt %+v", r)
	}
	for range 2 { // what is gone is gone
		if r := deliver(0, sdk.ItemRetracted{Target: sdk.Target{Item: "01ABC", Remote: r.Copies[0].Remote}}); r.Err != nil {
			t.Errorf("receipt %+v", r)
		}
	}
	w.mu.Lock()
	w.down = true
	left := len(w.nodes[news].items)
	w.mu.Unlock()
	if left != 2 {
		t.Errorf("%d items left", left)
	}
	rs := s.Deliver(t.Context(), []sdk.Delivery{{ID: "d2", Place: place, Event: sdk.Event{Change: sdk.ItemCreated{Item: it}}}, {ID: "d3", Place: place, Event: sdk.Event{Change: sdk.ItemCreated{Item: it}}}})
	if !rs[0].Err.Kind.Temporary() || !rs[1].Unsent {
		t.Errorf("receipts %+v", rs)
	}
}

func TestRefusedNodeIsReported(t *testing.T) {
	w := newWorld(t)
	s, _ := w.social(nil)
	s.SetNodes([]sdk.PlaceUse{{ID: "node:pubsub.example.org/none", Source: true}})
	w.until("report", func() bool { return len(w.reports) > 0 })
	if r := w.reports[0]; r.State != sdk.StateDown || r.Place != "node:pubsub.example.org/none" || r.Reason == "" {
		t.Errorf("report %+v", r)
	}
}

// feed delivers a change to the microblog of bob.
func feed(t *testing.T, s *Social, c sdk.Change) sdk.Receipt {
	t.Helper()
	return s.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: "* bob@m.example", Event: sdk.Event{
		Actor: sdk.Actor{Name: "Bob", Handle: "bob@m.example", Home: sdk.Ref{Link: "fedi", ID: "bob@m.example"}}, Change: c,
	}}})[0]
}

// get asks for the items of a node and gives the answer's XML.
func (w *world) get(s *Social, from, to, node string) string {
	w.t.Helper()
	iq := &packet.IQ{Attrs: packet.Attrs{From: from, To: to, ID: "g", Type: "get"}, Payload: pubsub.GetItems(node, 0)}
	w.mu.Lock()
	before := len(w.sent)
	w.mu.Unlock()
	if !s.HandleIQ(w.t.Context(), iq) {
		w.t.Fatal("request was not taken")
	}
	var out string
	w.until("answer", func() bool {
		for _, p := range w.sent[before:] {
			if iq, ok := p.(*packet.IQ); ok && iq.ID == "g" {
				out = iq.Type + string(iq.Payload.Raw())
				return true
			}
		}
		return false
	})
	return out
}

func TestMicroblogOfAForeignActor(t *testing.T) {
	w := newWorld(t)
	comments := pubsub.Address{Service: romeo, Node: "urn:xmpp:microblog:0:comments/p1"}
	w.nodes[comments] = &fakeNode{access: "open", open: true}
	w.nodes[blog] = &fakeNode{access: "open", items: []pubsub.Item{
		entry(t, "p1", "", "first", t1, `<link rel='replies' title='comments' href='`+comments.URI()+`'/>`), entry(t, "p2", "", "without comments", t2),
	}}
	s, _ := w.social(nil)
	r := feed(t, s, sdk.ItemCreated{Item: sdk.Item{ID: "01A", Text: sdk.NewText("hello from Bob"), Visibility: sdk.VisibilityPublic}})
	if r.Err != nil || len(r.Copies) != 1 || r.Puppet != bob || len(r.Loss) != 0 {
		t.Fatalf("receipt %+v", r)
	}
	first := r.Copies[0].Remote
	if got := w.get(s, romeo+"/pc", bob, pubsub.NSMicroblog); !strings.Contains(got, "hello from Bob") || !strings.Contains(got, "<uri>xmpp:"+bob+"</uri>") || !strings.Contains(got, "rel='replies'") {
		t.Errorf("got %s", got)
	}
	// For followers only: nobody sees it here, and it lands on no comments node.
	r = feed(t, s, sdk.ItemCreated{Item: sdk.Item{ID: "01B", Text: sdk.NewText("secret"), Visibility: sdk.VisibilityFollowers, ReplyTo: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())}}})
	if r.Err != nil || len(r.Loss) != 1 || r.Loss[0].Kind != sdk.LossReply {
		t.Errorf("receipt %+v", r)
	}
	if got := w.get(s, romeo+"/pc", bob, pubsub.NSMicroblog); strings.Contains(got, "secret") || len(w.nodes[comments].items) != 0 {
		t.Errorf("got %s; comments %v", got, w.nodes[comments].items)
	}
	if r = feed(t, s, sdk.ItemCreated{Item: sdk.Item{ID: "01C", Text: sdk.NewText("psst"), Visibility: sdk.VisibilityDirect}}); r.Err == nil || r.Err.Kind != sdk.Forbidden {
		t.Errorf("receipt %+v", r)
	}
	// A reply stands in the comments of what it answers, and is changed and taken back there too.
	reply := sdk.Item{ID: "01D", Text: sdk.NewText("good point"), Visibility: sdk.VisibilityPublic, ReplyTo: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())}}
	r = feed(t, s, sdk.ItemCreated{Item: reply})
	if r.Err != nil || len(r.Copies) != 2 || len(w.nodes[comments].items) != 1 || w.nodes[comments].items[0].Publisher != bob {
		t.Fatalf("receipt %+v; comments %+v", r, w.nodes[comments].items)
	}
	reply.Text = sdk.NewText("very good point")
	target := sdk.Target{Item: "01D", Remote: r.Copies[0].Remote}
	if r = feed(t, s, sdk.ItemUpdated{Target: target, Item: reply}); r.Err != nil || len(w.nodes[comments].items) != 1 || !strings.Contains(string(w.nodes[comments].items[0].Payload.Raw()), "very good") {
		t.Errorf("receipt %+v", r)
	}
	if r = feed(t, s, sdk.ItemRetracted{Target: target}); r.Err != nil || len(w.nodes[comments].items) != 0 {
		t.Errorf("receipt %+v; comments %+v", r, w.nodes[comments].items)
	}
	// Where there are no comments, the loss is told.
	reply.ID, reply.ReplyTo.Remote = "01E", sdk.RemoteID(blog.At("p2").URI())
	if r = feed(t, s, sdk.ItemCreated{Item: reply}); r.Err != nil || len(r.Copies) != 1 || len(r.Loss) != 1 || r.Loss[0].Kind != sdk.LossReply {
		t.Errorf("receipt %+v", r)
	}
	// Reactions: to a post of ours they are kept, to others they need the service.
	if r = feed(t, s, sdk.ReactionsSet{Target: sdk.Target{Remote: first}, Reactions: []string{"🎉"}}); r.Err != nil || len(r.Loss) != 0 {
		t.Errorf("receipt %+v", r)
	}
	own, _ := pubsub.ParseURI(string(first))
	if got := w.get(s, romeo+"/pc", bob, attach.Node(own)); !strings.Contains(got, "🎉") {
		t.Errorf("got %s", got)
	}
	if r = feed(t, s, sdk.ReactionsSet{Target: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())}, Reactions: []string{"🎉"}}); r.Err != nil || len(r.Loss) != 1 {
		t.Errorf("receipt %+v", r)
	}
	// A repeat shows the entry as it was, and from where.
	if r = feed(t, s, sdk.Shared{Target: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())}}); r.Err != nil || len(r.Loss) != 0 {
		t.Errorf("receipt %+v", r)
	}
	if got := w.get(s, romeo+"/pc", bob, pubsub.NSMicroblog); !strings.Contains(got, "rel='via'") || !strings.Contains(got, ">first<") {
		t.Errorf("got %s", got)
	}
	if r = feed(t, s, sdk.Unshared{Target: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())}}); r.Err != nil {
		t.Errorf("receipt %+v", r)
	}
	if got := w.get(s, romeo+"/pc", bob, pubsub.NSMicroblog); strings.Contains(got, "rel='via'") {
		t.Errorf("got %s", got)
	}
}

func TestForeignRepliesToForeign(t *testing.T) {
	w := newWorld(t)
	s, _ := w.social(nil)
	first := feed(t, s, sdk.ItemCreated{Item: sdk.Item{ID: "01A", Text: sdk.NewText("hello"), Visibility: sdk.VisibilityPublic}}).Copies[0].Remote
	r := s.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: "* eve@x.example", Event: sdk.Event{
		Actor:  sdk.Actor{Name: "Eve", Home: sdk.Ref{Link: "fedi", ID: "eve@x.example"}},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "01B", Text: sdk.NewText("hi Bob"), Visibility: sdk.VisibilityPublic, ReplyTo: sdk.Target{Remote: first}}},
	}}})[0]
	if r.Err != nil || len(r.Copies) != 2 {
		t.Fatalf("receipt %+v", r)
	}
	at, _ := pubsub.ParseURI(string(first))
	node := pubsub.CommentsPrefix + at.Item
	if got := w.get(s, romeo+"/pc", bob, node); !strings.Contains(got, "hi Bob") || !strings.Contains(got, `publisher='eve\40x.example@ap.example.org'`) {
		t.Errorf("got %s", got)
	}
	// A local user answers Eve's comment: the host knows it by its first name.
	comment, _ := pubsub.ParseURI(string(r.Copies[1].Remote))
	iq := &packet.IQ{Attrs: packet.Attrs{From: romeo + "/pc", To: bob, ID: "p", Type: "set"}, Payload: pubsub.Publish(node, pubsub.Item{ID: "c", Payload: element(t,
		`<entry xmlns='http://www.w3.org/2005/Atom' xmlns:thr='http://purl.org/syndication/thread/1.0'><title>yo</title><thr:in-reply-to href='`+comment.URI()+`'/></entry>`)}, nil)}
	if !s.HandleIQ(t.Context(), iq) {
		t.Fatal("request was not taken")
	}
	if c := w.nextEvents(1)[0].Change.(sdk.ItemCreated); c.Item.ReplyTo.Remote != r.Copies[0].Remote {
		t.Errorf("answers %s, want %s", c.Item.ReplyTo.Remote, r.Copies[0].Remote)
	}
}

func TestWhatIsNotForUs(t *testing.T) {
	w := newWorld(t)
	s, _ := w.social(nil)
	ev := pubsub.ItemEvent("urn:xmpp:avatar:metadata", pubsub.Item{ID: "x", Payload: element(t, "<x/>")})
	if s.HandleMessage(t.Context(), &packet.Message{Attrs: packet.Attrs{From: romeo, To: domain, Extensions: []xmltok.Element{ev}}}) {
		t.Error("a notification of a node that is not read was taken")
	}
	for _, iq := range []*packet.IQ{
		{Attrs: packet.Attrs{From: romeo, To: domain, ID: "1", Type: "get"}, Payload: pubsub.GetItems("x", 0)},
		{Attrs: packet.Attrs{From: romeo, To: bob, ID: "1", Type: "get"}, Payload: element(t, "<ping xmlns='urn:xmpp:ping'/>")},
		{Attrs: packet.Attrs{From: romeo, To: bob, ID: "1", Type: "get"}, Payload: element(t, "<query xmlns='http://jabber.org/protocol/disco#info'/>")},
		{Attrs: packet.Attrs{From: romeo, To: bob, ID: "1", Type: "get"}, Payload: element(t, "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>")},
	} {
		if s.HandleIQ(t.Context(), iq) {
			t.Errorf("taken: %+v", iq)
		}
	}
	for place, want := range map[sdk.RemoteID]bool{"node:x/y": true, "* a@b": true, "a@b *": true, "a@b c@d": false, "ops@muc": false} {
		if IsPlace(place) != want {
			t.Errorf("IsPlace(%q) is %v", place, !want)
		}
	}
}

func TestForgedNotifications(t *testing.T) {
	w := newWorld(t)
	w.nodes[blog] = &fakeNode{access: "open"}
	s, _ := w.social(nil)
	s.Follow(romeo, "bob@m.example")
	w.read(blog)
	for _, from := range []string{"eve@example.org", romeo + "/pc", "", "@"} {
		ev := pubsub.ItemEvent(blog.Node, entry(t, "p1", romeo, "forged", t1))
		if s.HandleMessage(t.Context(), &packet.Message{Attrs: packet.Attrs{From: from, To: domain, Extensions: []xmltok.Element{ev}}}) {
			t.Errorf("a notification from %q was taken for one of %s", from, romeo)
		}
	}
}

func TestNodeThatIsOnlyWrittenTo(t *testing.T) {
	w := newWorld(t)
	w.nodes[news] = &fakeNode{access: "open"}
	s, _ := w.social(nil)
	s.SetNodes([]sdk.PlaceUse{{ID: "node:pubsub.example.org/news", Target: true}, {ID: "node:pubsub.example.org/gone", Target: true}})
	w.until("reports", func() bool { return len(w.reports) == 2 })
	for _, r := range w.reports {
		if up := r.Place == "node:pubsub.example.org/news"; up != (r.State == sdk.StateUp) || up != (r.Capabilities != nil) {
			t.Errorf("report %+v", r)
		}
	}
	if len(w.nodes[news].subs) != 0 {
		t.Errorf("subscribed: %v", w.nodes[news].subs)
	}
	// Now it is read as well.
	s.SetNodes([]sdk.PlaceUse{{ID: "node:pubsub.example.org/news", Target: true, Source: true}})
	w.until("subscription", func() bool { return len(w.nodes[news].subs) == 1 })
	s.SetNodes([]sdk.PlaceUse{{ID: "node:pubsub.example.org/news", Target: true}})
	w.until("end of reading", func() bool { return len(w.nodes[news].subs) == 0 })
	s.SetNodes([]sdk.PlaceUse{{ID: "node:pubsub.example.org/news", Source: true}})
	w.until("second subscription", func() bool { return len(w.nodes[news].subs) == 1 })
	s.SetNodes(nil)
	w.until("its end", func() bool { return len(w.nodes[news].subs) == 0 })
}

func TestFeedIsLeftWithItsLastFollower(t *testing.T) {
	w := newWorld(t)
	w.nodes[blog] = &fakeNode{access: "open"}
	s, stop := w.social(nil)
	name := func(i int) string { return fmt.Sprint("f", i, "@m.example") }
	for i := range 60 {
		s.Follow(romeo, name(i))
		s.Follow(romeo, "bob@m.example") // a repeat is no news
	}
	w.read(blog)
	stop()
	s, _ = w.social(nil)
	w.mu.Lock()
	w.asked = nil
	w.mu.Unlock()
	s.StreamUp(false)
	w.read(blog)
	for i := range 60 {
		s.Unfollow(romeo, name(i))
	}
	s.Unfollow(romeo, "nobody@m.example")
	w.mu.Lock()
	subs := len(w.nodes[blog].subs)
	w.mu.Unlock()
	s.mu.Lock()
	leaving := s.sources[blog].leaving
	s.mu.Unlock()
	if subs != 1 || leaving {
		t.Fatalf("%d subscriptions, leaving %v, and bob still follows", subs, leaving)
	}
	s.Unfollow(romeo, "bob@m.example")
	w.until("end", func() bool { return len(w.nodes[blog].subs) == 0 })
	w.until("record", func() bool { w.kv.mu.Lock(); defer w.kv.mu.Unlock(); return len(w.kv.m) == 0 })
}

// TestCommentThatStays: a server that lets only the owner of a node take items back
// does it in the owner's name where that is granted, else the loss is told.
func TestCommentThatStays(t *testing.T) {
	for _, granted := range []bool{true, false} {
		w := newWorld(t)
		comments := pubsub.Address{Service: romeo, Node: "urn:xmpp:microblog:0:comments/p1"}
		w.nodes[comments] = &fakeNode{access: "open", open: true, final: true}
		w.nodes[blog] = &fakeNode{access: "open", items: []pubsub.Item{
			entry(t, "p1", "", "first", t1, `<link rel='replies' title='comments' href='`+comments.URI()+`'/>`),
		}}
		s, stop := w.social(func(o *Options) {
			if granted {
				o.AsUser = w.IQ
			}
		})
		r := feed(t, s, sdk.ItemCreated{Item: sdk.Item{
			ID: "01D", Text: sdk.NewText("hm"), Visibility: sdk.VisibilityPublic, ReplyTo: sdk.Target{Remote: sdk.RemoteID(blog.At("p1").URI())},
		}})
		if r.Err != nil || len(r.Copies) != 2 {
			t.Fatalf("receipt %+v", r)
		}
		r = feed(t, s, sdk.ItemRetracted{Target: sdk.Target{Item: "01D", Remote: r.Copies[0].Remote}})
		lost := len(r.Loss) == 1 && r.Loss[0].Kind == sdk.LossRetract
		if left := len(w.nodes[comments].items); r.Err != nil || lost == granted || (left == 0) != granted {
			t.Errorf("granted %v: receipt %+v, %d comments left", granted, r, left)
		}
		if got := w.get(s, romeo+"/pc", bob, pubsub.NSMicroblog); strings.Contains(got, ">hm<") {
			t.Errorf("still in the author's own microblog: %s", got)
		}
		stop()
	}
}
