package social

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/privilege"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// live is a Social on a real server.
type live struct {
	*Social
	t       *testing.T
	srv     *itest.Server
	kv      *memoryKV
	sess    *stream.Session
	mu      sync.Mutex
	events  []sdk.Event
	reports []sdk.Report
	more    chan struct{}
	entity  *privilege.Entity
	granted chan struct{} // the server has said what it grants
}

func (r *live) Send(ctx context.Context, p packet.Stanza) error { return r.sess.Send(ctx, p) }

func (r *live) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) { return r.sess.IQ(ctx, iq) }

func (r *live) Store() sdk.Store { return r.kv }

func (r *live) Publish(_ context.Context, events ...sdk.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
	close(r.more)
	r.more = make(chan struct{})
	return nil
}

func (r *live) Report(_ context.Context, reports ...sdk.Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, reports...)
	close(r.more)
	r.more = make(chan struct{})
	return nil
}

// next takes the next event.
func (r *live) next() sdk.Event {
	r.t.Helper()
	timer := time.NewTimer(itest.WaitTimeout)
	defer timer.Stop()
	for {
		r.mu.Lock()
		if len(r.events) > 0 {
			ev := r.events[0]
			r.events = r.events[1:]
			r.mu.Unlock()
			return ev
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-timer.C:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("no event; reports %+v", r.reports)
		}
	}
}

// report waits until a place has the state.
func (r *live) report(place sdk.RemoteID, state sdk.State) {
	r.t.Helper()
	timer := time.NewTimer(itest.WaitTimeout)
	defer timer.Stop()
	for {
		r.mu.Lock()
		ok := slices.ContainsFunc(r.reports, func(p sdk.Report) bool { return p.Place == place && p.State == state })
		more := r.more
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			r.t.Fatalf("%s is not %s; reports %+v", place, state, r.reports)
		}
	}
}

// startReal runs a Social as the component ap.xmpp.test.
func startReal(t *testing.T, srv *itest.Server) *live {
	t.Helper()
	const own = "ap.xmpp.test"
	r := &live{t: t, srv: srv, kv: &memoryKV{m: map[string][]byte{}}, more: make(chan struct{}), granted: make(chan struct{}, 8)}
	r.entity = privilege.New(r, privilege.Options{Component: own, Servers: []string{srv.Domain}})
	up := make(chan struct{}, 8)
	opt := stream.Options{
		Mode: stream.Component, Domain: own, Secret: "secret", Address: srv.Component, Plaintext: stream.PlaintextLoopback,
		OnState: func(st stream.State) {
			if st.Phase == stream.Up {
				up <- struct{}{}
			}
		},
		Disco: func(_ context.Context, to, node string) (stream.Disco, bool) {
			d := stream.Disco{Identities: []stream.Identity{{Category: "gateway", Type: "test"}}, Features: []string{packet.NSDiscoInfo}}
			if strings.Contains(to, "@") {
				d.Identities = []stream.Identity{{Category: "account", Type: "registered"}, {Category: "pubsub", Type: "pep"}}
				d.Features = append(d.Features, Features()...)
			}
			return d, node == ""
		},
		Log: slog.New(slog.DiscardHandler),
	}
	sess, err := stream.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	r.sess = sess
	r.Social = New(Options{
		Link: "home", Self: own, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Retry: time.Hour,
		Virtual: func(foreign string) (string, error) { return strings.ReplaceAll(foreign, "@", `\40`) + "@" + own, nil },
		Foreign: func(j string) (string, error) {
			local, ok := strings.CutSuffix(j, "@"+own)
			if !ok || !strings.Contains(local, `\40`) {
				return "", errors.New("not virtual")
			}
			return strings.ReplaceAll(local, `\40`, "@"), nil
		},
		AsUser:  r.entity.IQ,
		Follows: func(user, _ string) bool { return strings.HasPrefix(user, "friend@") },
	}, r, r)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		h := stream.Handler{
			Message: func(ctx context.Context, m *packet.Message) {
				if r.entity.HandleMessage(m) {
					r.granted <- struct{}{}
					return
				}
				r.HandleMessage(ctx, m)
			},
			IQ: func(ctx context.Context, iq *packet.IQ) bool { return r.HandleIQ(ctx, iq) },
		}
		if err := sess.Run(ctx, h); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-up:
	case <-time.After(itest.WaitTimeout):
		t.Fatal("component does not connect")
	}
	r.StreamUp(false)
	return r
}

func eachServer(t *testing.T, run func(t *testing.T, srv *itest.Server)) {
	o := itest.Options{
		Users: map[string]string{"romeo": "r", "ana": "a", "friend": "f"}, Components: map[string]string{"ap.xmpp.test": "secret"}, PubSub: true,
	}
	t.Run("prosody", func(t *testing.T) { run(t, itest.Prosody(t, o)) })
	t.Run("ejabberd", func(t *testing.T) { run(t, itest.Ejabberd(t, o)) })
}

// shown adds to a node's configuration that publishers are shown. Prosody says so
// for a whole service (expose_publisher).
func shown(srv *itest.Server, config map[string]string) map[string]string {
	if srv.Kind == "ejabberd" {
		config["pubsub#itemreply"] = "publisher"
	}
	return config
}

func post(title, more string) string {
	return `<entry xmlns='http://www.w3.org/2005/Atom'><title>` + title + `</title><id>tag:` + url.QueryEscape(title) +
		`</id><published>2026-05-01T10:00:00Z</published><updated>2026-05-01T10:00:00Z</updated>` + more + `</entry>`
}

// TestRealUserFeed reads the microblog of a local user from its PEP service.
func TestRealUserFeed(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *itest.Server) {
		romeo, ana := itest.Slix(t, srv.Account("romeo")), itest.Slix(t, srv.Account("ana"))
		open := map[string]string{"pubsub#access_model": "open", "pubsub#persist_items": "true", "pubsub#max_items": "10"}
		if srv.Kind == "ejabberd" {
			// Its PEP nodes notify local sessions alone, unless told otherwise.
			open["pubsub#presence_based_delivery"] = "false"
		}
		if err := romeo.CreateNode("", pubsub.NSMicroblog, open); err != nil {
			t.Fatal(err)
		}
		comments := "urn:xmpp:microblog:0:comments/p1"
		if err := romeo.CreateNode(srv.PubSubDomain, comments, shown(srv, map[string]string{"pubsub#access_model": "open", "pubsub#publish_model": "open", "pubsub#max_items": "10"})); err != nil {
			t.Fatal(err)
		}
		link := `<link rel='replies' title='comments' href='` + pubsub.Address{Service: srv.PubSubDomain, Node: comments}.URI() + `'/>`
		if _, err := romeo.Publish("", pubsub.NSMicroblog, "p1", post("first", link), nil); err != nil {
			t.Fatal(err)
		}
		r := startReal(t, srv)
		r.Follow(srv.JID("romeo"), "bob@m.example")
		ev := r.next()
		if c, ok := ev.Change.(sdk.ItemCreated); !ok || c.Item.Body() != "first" || c.Item.Visibility != sdk.VisibilityPublic || ev.Place.ID != sdk.RemoteID(srv.JID("romeo")+" *") {
			t.Fatalf("event %+v", ev)
		}
		origin := ev.Item().Origin.ID
		if _, err := romeo.Publish("", pubsub.NSMicroblog, "p2", post("second", ""), nil); err != nil {
			t.Fatal(err)
		}
		if ev = r.next(); ev.Kind() != sdk.KindItemCreated || ev.Item().Body() != "second" {
			t.Fatalf("event %+v", ev)
		}
		if _, err := romeo.Publish("", pubsub.NSMicroblog, "p1", post("first, edited", link), nil); err != nil {
			t.Fatal(err)
		}
		if ev = r.next(); ev.Kind() != sdk.KindItemUpdated || ev.Item().Body() != "first, edited" || ev.Target().Remote != origin {
			t.Fatalf("event %+v", ev)
		}
		if _, err := ana.Publish(srv.PubSubDomain, comments, "c1", post("a comment", ""), nil); err != nil {
			t.Fatal(err)
		}
		ev = r.next()
		if ev.Kind() != sdk.KindItemCreated || ev.Item().ReplyTo.Remote != origin || ev.Actor.Home.ID != sdk.RemoteID(srv.JID("ana")) {
			t.Fatalf("comment %+v", ev)
		}
		// Bob answers in the comments.
		rec := r.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: "* bob@m.example", Event: sdk.Event{
			Actor:  sdk.Actor{Name: "Bob", Home: sdk.Ref{Link: "fedi", ID: "bob@m.example"}},
			Change: sdk.ItemCreated{Item: sdk.Item{ID: "01A", Text: sdk.NewText("well said"), Visibility: sdk.VisibilityPublic, ReplyTo: sdk.Target{Remote: origin}}},
		}}})[0]
		if rec.Err != nil || len(rec.Copies) != 2 || len(rec.Loss) != 0 {
			t.Fatalf("receipt %+v", rec)
		}
		items, _, err := ana.Items(srv.PubSubDomain, comments, itest.Range{})
		if err != nil || !slices.ContainsFunc(items, func(it itest.Item) bool { return strings.Contains(it.XML, "well said") }) {
			t.Fatalf("comments %+v, %v", items, err)
		}
		if err := romeo.RetractItem("", pubsub.NSMicroblog, "p1"); err != nil {
			t.Fatal(err)
		}
		if ev = r.next(); ev.Kind() != sdk.KindItemRetracted || ev.Target().Remote != origin {
			t.Fatalf("event %+v", ev)
		}
	})
}

// TestRealNode writes to a node of a pubsub service and reads it.
func TestRealNode(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *itest.Server) {
		romeo := itest.Slix(t, srv.Account("romeo"))
		for _, node := range []string{"open", "closed"} {
			model := map[string]string{"open": "open", "closed": "whitelist"}[node]
			if err := romeo.CreateNode(srv.PubSubDomain, node, shown(srv, map[string]string{"pubsub#access_model": model, "pubsub#publish_model": "publishers", "pubsub#max_items": "10"})); err != nil {
				t.Fatal(err)
			}
			if err := romeo.SetNodeAffiliations(srv.PubSubDomain, node, map[string]string{"ap.xmpp.test": "publisher"}); err != nil {
				t.Fatal(err)
			}
			if _, err := romeo.SubscribeNode(srv.PubSubDomain, node); err != nil {
				t.Fatal(err)
			}
		}
		r := startReal(t, srv)
		place := func(node string) sdk.RemoteID { return sdk.RemoteID("node:" + srv.PubSubDomain + "/" + node) }
		r.SetNodes([]sdk.PlaceUse{{ID: place("open"), Source: true, Target: true}, {ID: place("closed"), Target: true}, {ID: place("none"), Source: true}})
		r.report(place("open"), sdk.StateUp)
		r.report(place("none"), sdk.StateDown)
		deliver := func(node string, c sdk.Change) sdk.Receipt {
			return r.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: place(node), Event: sdk.Event{Actor: sdk.Actor{Name: "Eve", Home: sdk.Ref{Link: "x", ID: "e"}}, Change: c}}})[0]
		}
		it := sdk.Item{ID: "01A", Text: sdk.NewText("hello"), Visibility: sdk.VisibilityPublic}
		rec := deliver("open", sdk.ItemCreated{Item: it})
		if rec.Err != nil {
			t.Fatalf("receipt %+v", rec)
		}
		if _, got := romeo.WaitItem(srv.PubSubDomain, "open"); !strings.Contains(got.XML, "hello") || !strings.Contains(got.XML, "Eve") {
			t.Errorf("item %+v", got)
		}
		it.Text = sdk.NewText("hello again")
		if rec = deliver("open", sdk.ItemUpdated{Target: sdk.Target{Item: "01A", Remote: rec.Copies[0].Remote}, Item: it}); rec.Err != nil {
			t.Fatalf("receipt %+v", rec)
		}
		romeo.WaitItem(srv.PubSubDomain, "open")
		items, _, err := romeo.Items(srv.PubSubDomain, "open", itest.Range{})
		if err != nil || len(items) != 1 || !strings.Contains(items[0].XML, "hello again") {
			t.Errorf("items %+v, %v", items, err)
		}
		secret := sdk.Item{ID: "01B", Text: sdk.NewText("for followers"), Visibility: sdk.VisibilityFollowers}
		if rec := deliver("open", sdk.ItemCreated{Item: secret}); rec.Err == nil || rec.Err.Kind != sdk.Forbidden {
			t.Errorf("receipt %+v", rec)
		}
		if rec := deliver("closed", sdk.ItemCreated{Item: secret}); rec.Err != nil {
			t.Errorf("receipt %+v", rec)
		}
		// The owner opens the node: what was known of it no longer holds.
		if err := romeo.ConfigureNode(srv.PubSubDomain, "closed", map[string]string{"pubsub#access_model": "open"}); err != nil {
			t.Fatal(err)
		}
		secret.ID = "01C"
		if rec := deliver("closed", sdk.ItemCreated{Item: secret}); rec.Err == nil || rec.Err.Kind != sdk.Forbidden {
			t.Errorf("a post for followers landed on a node that was opened: %+v", rec)
		}
		if rec := deliver("open", sdk.ItemRetracted{Target: sdk.Target{Item: "01A", Remote: rec.Copies[0].Remote}}); rec.Err != nil {
			t.Errorf("receipt %+v", rec)
		}
		if items, _, err := romeo.Items(srv.PubSubDomain, "open", itest.Range{}); err != nil || len(items) != 0 {
			t.Errorf("items %+v, %v", items, err)
		}
		if _, err := romeo.Publish(srv.PubSubDomain, "open", "n1", post("Romeo's", ""), nil); err != nil {
			t.Fatal(err)
		}
		if ev := r.next(); ev.Kind() != sdk.KindItemCreated || ev.Actor.Home.ID != sdk.RemoteID(srv.JID("romeo")) || ev.Place.ID != place("open") {
			t.Errorf("event %+v", ev)
		}
	})
}

// TestRealVirtualMicroblog reads, subscribes to, and answers the microblog of a
// foreign actor with an independent client.
func TestRealVirtualMicroblog(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *itest.Server) {
		ana, friend := itest.Slix(t, srv.Account("ana")), itest.Slix(t, srv.Account("friend"))
		r := startReal(t, srv)
		const bob = `bob\40m.example@ap.xmpp.test`
		for _, c := range []*itest.Client{ana, friend} {
			if state, err := c.SubscribeNode(bob, pubsub.NSMicroblog); err != nil || state != "subscribed" {
				t.Fatalf("state %q, %v", state, err)
			}
		}
		deliver := func(c sdk.Change) sdk.Receipt {
			t.Helper()
			rec := r.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: "* bob@m.example", Event: sdk.Event{Actor: sdk.Actor{Name: "Bob", Home: sdk.Ref{Link: "f", ID: "bob@m.example"}}, Change: c}}})[0]
			if rec.Err != nil {
				t.Fatalf("receipt %+v", rec)
			}
			return rec
		}
		secret := deliver(sdk.ItemCreated{Item: sdk.Item{ID: "01A", Text: sdk.NewText("for friends"), Visibility: sdk.VisibilityFollowers}})
		if _, it := friend.WaitItem(bob, pubsub.NSMicroblog); !strings.Contains(it.XML, "for friends") {
			t.Errorf("friend got %+v", it)
		}
		rec := deliver(sdk.ItemCreated{Item: sdk.Item{ID: "01B", Text: sdk.NewText("for all"), Visibility: sdk.VisibilityPublic}})
		_, it := ana.WaitItem(bob, pubsub.NSMicroblog)
		if !strings.Contains(it.XML, "for all") {
			t.Errorf("ana got %+v", it)
		}
		items, page, err := ana.Items(bob, pubsub.NSMicroblog, itest.Range{Max: 5})
		if err != nil || len(items) != 1 || page == nil || page.Count != 1 {
			t.Errorf("ana reads %+v, %+v, %v", items, page, err)
		}
		items, page, err = friend.Items(bob, pubsub.NSMicroblog, itest.Range{Max: 1, After: it.ID})
		if err != nil || len(items) != 1 || page == nil || page.Count != 2 || !strings.Contains(items[0].XML, "for friends") {
			t.Errorf("friend reads %+v, %+v, %v", items, page, err)
		}
		// A comment, and attachments.
		if _, err := ana.Publish(bob, pubsub.CommentsPrefix+it.ID, "c1", post("nice", ""), nil); err != nil {
			t.Fatal(err)
		}
		if ev := r.next(); ev.Kind() != sdk.KindItemCreated || ev.Item().ReplyTo.Remote != rec.Copies[0].Remote || ev.Actor.Home.ID != sdk.RemoteID(srv.JID("ana")) {
			t.Errorf("event %+v", ev)
		}
		own, _ := pubsub.ParseURI(string(rec.Copies[0].Remote))
		if _, err := ana.Publish(bob, attach.Node(own), srv.JID("ana"), `<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed/></attachments>`, nil); err != nil {
			t.Fatal(err)
		}
		if ev := r.next(); ev.Kind() != sdk.KindReactionsSet || ev.Target().Remote != rec.Copies[0].Remote {
			t.Errorf("event %+v", ev)
		}
		// What ana may not see is not found.
		hidden, _ := pubsub.ParseURI(string(secret.Copies[0].Remote))
		if _, err := ana.Publish(bob, pubsub.CommentsPrefix+hidden.Item, "c1", post("nice", ""), nil); err == nil || !strings.Contains(err.Error(), "item-not-found") {
			t.Errorf("a comment on what is hidden: %v", err)
		}
		if _, err := ana.Publish(bob, pubsub.NSMicroblog, "x", post("nice", ""), nil); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("a post in somebody else's name: %v", err)
		}
		deliver(sdk.ItemRetracted{Target: sdk.Target{Item: "01B", Remote: rec.Copies[0].Remote}})
		ana.Wait("retraction", func(e itest.Event) bool {
			return e.Kind == "message" && e.Room == bob && strings.Contains(e.XML, "retract") && strings.Contains(e.XML, it.ID)
		})
		if err := ana.UnsubscribeNode(bob, pubsub.NSMicroblog); err != nil {
			t.Error(err)
		}
	})
}

// TestRealFeedForContacts reads a microblog that is for contacts, as the foreign
// actor whom its owner lets see the presence.
func TestRealFeedForContacts(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *itest.Server) {
		romeo := itest.Slix(t, srv.Account("romeo"))
		config := map[string]string{"pubsub#access_model": "presence", "pubsub#persist_items": "true", "pubsub#max_items": "10"}
		if srv.Kind == "ejabberd" {
			config["pubsub#presence_based_delivery"] = "false"
		}
		if err := romeo.CreateNode("", pubsub.NSMicroblog, config); err != nil {
			t.Fatal(err)
		}
		if _, err := romeo.Publish("", pubsub.NSMicroblog, "p1", post("for contacts", ""), nil); err != nil {
			t.Fatal(err)
		}
		r := startReal(t, srv)
		const bob = `bob\40m.example@ap.xmpp.test`
		ask := &packet.Presence{Attrs: packet.Attrs{From: bob, To: srv.JID("romeo"), Type: "subscribe"}}
		if err := r.Send(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		romeo.Wait("subscription", func(e itest.Event) bool { return e.Kind == "presence" && e.Type == "subscribe" && e.From == bob })
		romeo.SendRaw("<presence type='subscribed' to='" + bob + "'/>")
		romeo.None("anything", func(itest.Event) bool { return false }) // the server has it
		r.Follow(srv.JID("romeo"), "bob@m.example")
		ev := r.next()
		if ev.Kind() != sdk.KindItemCreated || ev.Item().Body() != "for contacts" || ev.Item().Visibility != sdk.VisibilityFollowers {
			t.Fatalf("event %+v", ev)
		}
		if _, err := romeo.Publish("", pubsub.NSMicroblog, "p2", post("one more", ""), nil); err != nil {
			t.Fatal(err)
		}
		if ev = r.next(); ev.Item() == nil || ev.Item().Body() != "one more" || ev.Item().Visibility != sdk.VisibilityFollowers {
			t.Fatalf("event %+v", ev)
		}
	})
}

// TestRealReactionToALocalPost has a foreign actor react to a post on a user's PEP
// service: a loss, unless the server lets the component act for its users.
func TestRealReactionToALocalPost(t *testing.T) {
	for name, privileged := range map[string][]string{"granted": {"ap.xmpp.test"}, "not granted": nil} {
		t.Run(name, func(t *testing.T) {
			srv := itest.Prosody(t, itest.Options{
				Users: map[string]string{"romeo": "r"}, Components: map[string]string{"ap.xmpp.test": "secret"}, Privileged: privileged,
			})
			romeo := itest.Slix(t, srv.Account("romeo"))
			if _, err := romeo.Publish("", pubsub.NSMicroblog, "p1", post("hello", ""), map[string]string{"pubsub#access_model": "open"}); err != nil {
				t.Fatal(err)
			}
			r := startReal(t, srv)
			if privileged != nil {
				<-r.granted
			}
			target := pubsub.Address{Service: srv.JID("romeo"), Node: pubsub.NSMicroblog, Item: "p1"}
			rec := r.Deliver(t.Context(), []sdk.Delivery{{ID: "d", Place: "* bob@m.example", Event: sdk.Event{
				Actor:  sdk.Actor{Name: "Bob", Home: sdk.Ref{Link: "fedi", ID: "bob@m.example"}},
				Change: sdk.ReactionsSet{Target: sdk.Target{Remote: sdk.RemoteID(target.URI())}, Reactions: []string{attach.Noticed}},
			}}})[0]
			if rec.Err != nil || len(rec.Loss) > 0 != (privileged == nil) {
				t.Fatalf("receipt %+v", rec)
			}
			items, _, err := romeo.Items("", attach.Node(target), itest.Range{})
			if privileged != nil && (err != nil || len(items) != 1 || items[0].ID != `bob\40m.example@ap.xmpp.test` || !strings.Contains(items[0].XML, "noticed")) {
				t.Errorf("attachments %+v, %v", items, err)
			}
		})
	}
}
