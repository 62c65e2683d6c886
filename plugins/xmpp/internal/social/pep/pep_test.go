package pep

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

const (
	bob   = `bob\40m.example@ap.example.org`
	ana   = "ana@example.org"
	romeo = "romeo@example.org"
)

type memoryKV struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (k *memoryKV) Get(_ context.Context, key string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.m[key], nil
}

func (k *memoryKV) Set(_ context.Context, key string, v []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v == nil {
		delete(k.m, key)
	} else {
		k.m[key] = v
	}
	return nil
}

func (k *memoryKV) Keys(_ context.Context, prefix, after string) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for key := range k.m {
		if strings.HasPrefix(key, prefix) && key > after {
			list = append(list, key)
		}
	}
	sort.Strings(list)
	return list, nil
}

// world is a service with its surroundings.
type world struct {
	t      testing.TB
	s      *Service
	kv     *memoryKV
	dir    string
	sent   []*packet.Message
	events []sdk.Event
	refuse error
	follow map[string]bool
	subbed []string
}

func (w *world) Send(_ context.Context, p packet.Stanza) error {
	w.sent = append(w.sent, p.(*packet.Message))
	return nil
}

func (w *world) Publish(_ context.Context, events ...sdk.Event) error {
	if w.refuse != nil {
		return w.refuse
	}
	w.events = append(w.events, events...)
	return nil
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, kv: &memoryKV{m: map[string][]byte{}}, dir: t.TempDir(), follow: map[string]bool{}}
	w.restart()
	return w
}

// restart makes the service anew from what is durable.
func (w *world) restart() {
	subs := NewSubscriptions(w.kv)
	if err := subs.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.s = NewService(Options{
		Store: NewStore(w.dir, Limits{}), Subs: subs, Stream: w, Host: w,
		Virtual: func(j string) bool { return strings.HasSuffix(j, "@ap.example.org") },
		Follows: func(user, _ string) bool { return w.follow[user] },
		Subscribed: func(user, virtual string, on bool) {
			w.subbed = append(w.subbed, fmt.Sprint(user, " ", virtual, " ", on))
		},
		NewID: func() string { return "made" },
		Now:   func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) },
		Log:   slog.New(slog.DiscardHandler),
	})
}

// ask sends a request to bob's address and gives the answer's XML.
func (w *world) ask(from, kind, payload string) string {
	w.t.Helper()
	p, err := packet.DecodeBytes([]byte(`<iq id='1' type='`+kind+`' from='`+from+`/pc' to='`+bob+`'>`+payload+`</iq>`), packet.NSComponent)
	if err != nil {
		w.t.Fatal(err)
	}
	iq := p.(*packet.IQ)
	if !w.s.Mine(iq) {
		w.t.Fatalf("not for the service: %s", payload)
	}
	b, _, err := packet.Encode(w.s.Handle(w.t.Context(), iq), packet.Rules{Space: packet.NSComponent, Domain: "ap.example.org"})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) pubsub(from, kind, inner string) string {
	w.t.Helper()
	return w.ask(from, kind, `<pubsub xmlns='http://jabber.org/protocol/pubsub'>`+inner+`</pubsub>`)
}

func (w *world) post(id, text string, access Access) {
	w.t.Helper()
	at := pubsub.Address{Service: bob, Node: pubsub.NSMicroblog, Item: id}
	xml := `<entry xmlns='http://www.w3.org/2005/Atom'><title>` + text + `</title><id>` + id + `</id><updated>2026-05-01T00:00:00Z</updated></entry>`
	if err := w.s.Post(w.t.Context(), at, Item{Publisher: bob, Access: access, XML: xml}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(got string, parts ...string) {
	w.t.Helper()
	for _, p := range parts {
		if not, absent := strings.CutPrefix(p, "!"); absent == strings.Contains(got, not) {
			w.t.Errorf("%q: in\n%s", p, got)
		}
	}
}

const entry = `<entry xmlns='http://www.w3.org/2005/Atom'><title>Nice!</title></entry>`

func TestFollowersOnlyIsSeenByFollowersAlone(t *testing.T) {
	w := newWorld(t)
	w.follow[romeo] = true
	for _, user := range []string{ana, romeo} {
		w.want(w.pubsub(user, "set", `<subscribe node='urn:xmpp:microblog:0' jid='`+user+`'/>`), "subscription='subscribed'")
	}
	w.post("open1", "hello", Open)
	w.post("secret", "for friends", Presence)
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0'/>`), "hello", "!for friends", "!secret")
	w.want(w.pubsub(romeo, "get", `<items node='urn:xmpp:microblog:0'/>`), "hello", "for friends")
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0'><item id='secret'/></items>`), "item-not-found", "!for friends")
	w.want(w.ask(ana, "get", `<query xmlns='http://jabber.org/protocol/disco#items' node='urn:xmpp:microblog:0'/>`), "open1", "!secret")
	w.want(w.ask(ana, "get", `<query xmlns='http://jabber.org/protocol/disco#info' node='urn:xmpp:microblog:0'/>`), "pubsub#num_items'><value>1<")
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0:comments/secret'/>`), "item-not-found")
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/secret'><item>`+entry+`</item></publish>`), "item-not-found")
	attachments := `urn:xmpp:pubsub-attachments:1/xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=secret`
	w.want(w.pubsub(ana, "get", `<items node='`+attachments+`'/>`), "item-not-found")
	told := map[string]int{}
	for _, m := range w.sent {
		told[m.To]++
	}
	if told[ana] != 1 || told[romeo] != 2 {
		t.Errorf("told %v", told)
	}
	w.post("open1", "narrowed", Presence) // who does not follow must lose it
	if last := w.sent[len(w.sent)-3:]; last[0].To != ana || !strings.Contains(string(last[0].Extensions[0].Raw()), "retract") || last[2].To != romeo {
		t.Errorf("after narrowing: %+v", last)
	}
}

func TestCommentBecomesAReply(t *testing.T) {
	w := newWorld(t)
	w.post("p1", "hello", Open)
	answer := w.pubsub(romeo, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item id='c1'>`+entry+`</item></publish>`)
	w.want(answer, "type='result'", "<item id='c1'>")
	ev := w.events[0]
	created, ok := ev.Change.(sdk.ItemCreated)
	if !ok || ev.Place.ID != romeo+" *" || ev.Actor.Home.ID != romeo || created.Item.Body() != "Nice!" || created.Item.Visibility != sdk.VisibilityPublic {
		t.Fatalf("event %+v", ev)
	}
	if want := sdk.RemoteID("xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=p1"); created.Item.ReplyTo.Remote != want {
		t.Errorf("reply to %s, want %s", created.Item.ReplyTo.Remote, want)
	}
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0:comments/p1'/>`), "publisher='romeo@example.org'", "Nice!")
	// An answer to the comment.
	w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item><entry xmlns='http://www.w3.org/2005/Atom' xmlns:thr='http://purl.org/syndication/thread/1.0'><title>Yes</title>`+
		`<thr:in-reply-to href='xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0%3Acomments%2Fp1;item=c1'/></entry></item></publish>`)
	if got := w.events[1].Change.(sdk.ItemCreated).Item; got.ReplyTo.Remote != created.Item.Origin.ID || !strings.HasSuffix(string(got.Origin.ID), "item=made") {
		t.Errorf("reply to %s", got.ReplyTo.Remote)
	}
	// Nobody changes or takes back what somebody else wrote.
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item id='c1'>`+entry+`</item></publish>`), "forbidden")
	w.want(w.pubsub(ana, "set", `<retract node='urn:xmpp:microblog:0:comments/p1'><item id='c1'/></retract>`), "forbidden")
	if len(w.events) != 2 {
		t.Errorf("events %+v", w.events[2:])
	}
	w.want(w.pubsub(romeo, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item id='c1'>`+strings.ReplaceAll(entry, "Nice", "Great")+`</item></publish>`), "type='result'")
	if up, ok := w.events[2].Change.(sdk.ItemUpdated); !ok || up.Target.Remote != created.Item.Origin.ID || up.Item.Body() != "Great!" || up.Item.Edited.IsZero() {
		t.Errorf("update %+v", w.events[2])
	}
	w.want(w.pubsub(romeo, "set", `<retract node='urn:xmpp:microblog:0:comments/p1'><item id='c1'/></retract>`), "type='result'")
	if re, ok := w.events[3].Change.(sdk.ItemRetracted); !ok || re.Target.Remote != created.Item.Origin.ID {
		t.Errorf("retraction %+v", w.events[3])
	}
}

func TestNotAcceptedByTheHostIsNotKept(t *testing.T) {
	w := newWorld(t)
	w.post("p1", "hello", Open)
	w.refuse = sdk.Errorf(sdk.Overloaded, "publish", "full")
	w.want(w.pubsub(romeo, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item id='c1'>`+entry+`</item></publish>`), "resource-constraint", "type='wait'")
	w.refuse = nil
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0:comments/p1'/>`), "!Nice")
}

func TestAttachments(t *testing.T) {
	w := newWorld(t)
	w.post("p1", "hello", Open)
	node := `urn:xmpp:pubsub-attachments:1/xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=p1`
	summary := `urn:xmpp:pubsub-attachments:summary:1/urn:xmpp:microblog:0`
	publish := func(from, id, inner string) string {
		return w.pubsub(from, "set", `<publish node='`+node+`'><item id='`+id+`'>`+inner+`</item></publish>`)
	}
	set := `<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed/><reactions><reaction>🍵</reaction></reactions></attachments>`
	w.pubsub(ana, "set", `<subscribe node='`+summary+`' jid='`+ana+`'/>`)
	w.want(publish(romeo, romeo, set), "type='result'")
	if ev := w.events[0].Change.(sdk.ReactionsSet); !slices.Equal(ev.Reactions, []string{"⭐", "🍵"}) || !strings.HasSuffix(string(ev.Target.Remote), "item=p1") {
		t.Errorf("event %+v", ev)
	}
	if len(w.sent) != 1 || !strings.Contains(string(w.sent[0].Extensions[0].Raw()), "<noticed count='1'>") {
		t.Errorf("summary not told: %+v", w.sent)
	}
	w.want(publish(romeo, ana, set), "bad-request")
	w.want(publish(ana, ana, entry), "bad-request")
	w.want(w.pubsub(romeo, "set", `<create node='`+node+`'/>`), "not-allowed")
	w.want(w.pubsub(ana, "get", `<items node='`+summary+`'/>`), "<item id='p1'", "count='1'")
	w.want(w.pubsub(ana, "set", `<retract node='`+node+`'><item id='`+romeo+`'/></retract>`), "forbidden")
	w.want(w.pubsub(romeo, "set", `<retract node='`+node+`'><item id='`+romeo+`'/></retract>`), "result")
	if ev := w.events[1].Change.(sdk.ReactionsSet); len(ev.Reactions) != 0 {
		t.Errorf("event %+v", ev)
	}
	// The name holds a URI, which others spell in another way.
	other := strings.NewReplacer("%5C", "%5c", "urn%3Axmpp%3Amicroblog%3A0;", "urn:xmpp:microblog:0;").Replace(node)
	w.want(w.pubsub(romeo, "set", `<publish node='`+other+`'><item id='`+romeo+`'>`+set+`</item></publish>`), "type='result'", other)
	w.want(w.pubsub(ana, "get", `<items node='`+node+`'/>`), "🍵")
	w.want(w.pubsub(romeo, "set", `<retract node='`+other+`'><item id='`+romeo+`'/></retract>`), "result")
	w.want(w.pubsub(ana, "get", `<items node='`+node+`'/>`), "!🍵")
	// A foreign actor reacts, too.
	if ok, err := w.s.React(t.Context(), pubsub.Address{Service: bob, Node: pubsub.NSMicroblog, Item: "p1"}, `eve\40x.example@ap.example.org`, []string{"🎉"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.want(w.pubsub(ana, "get", `<items node='`+node+`'/>`), "🎉", `id='eve\40x.example@ap.example.org'`)
}

func TestOthersMayNotOwn(t *testing.T) {
	w := newWorld(t)
	w.post("p1", "hello", Open)
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0'><item id='x'>`+entry+`</item></publish>`), "forbidden")
	w.want(w.pubsub(ana, "set", `<retract node='urn:xmpp:microblog:0'><item id='p1'/></retract>`), "forbidden")
	w.want(w.pubsub(ana, "set", `<create node='x'/>`), "forbidden")
	w.want(w.ask(ana, "set", `<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete node='urn:xmpp:microblog:0'/></pubsub>`), "forbidden")
	w.want(w.ask(ana, "get", `<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><subscriptions node='urn:xmpp:microblog:0'/></pubsub>`), "forbidden")
	w.want(w.pubsub(ana, "get", `<items node='what'/>`), "item-not-found")
	w.want(w.pubsub(ana, "get", `<items/>`), "nodeid-required")
	w.want(w.pubsub(ana, "set", `<subscribe node='urn:xmpp:microblog:0' jid='romeo@example.org'/>`), "invalid-jid")
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'/>`), "item-required")
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item/></publish>`), "payload-required")
	w.want(w.pubsub(ana, "set", `<publish node='urn:xmpp:microblog:0:comments/p1'><item><x/></item></publish>`), "invalid-payload")
	w.want(w.pubsub(ana, "get", `<options node='urn:xmpp:microblog:0' jid='ana@example.org'/>`), "feature-not-implemented")
	w.want(w.pubsub(ana, "get", `<affiliations/>`), "type='result'")
	if len(w.events) != 0 {
		t.Errorf("events %+v", w.events)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.post(fmt.Sprint("p", i), fmt.Sprint("text", i), Open)
	}
	page := func(set string) string {
		return w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0'/><set xmlns='http://jabber.org/protocol/rsm'>`+set+`</set>`)
	}
	w.want(page(`<max>2</max>`), "text6", "text5", "!text4", "<first index='0'>p6</first>", "<last>p5</last>", "<count>7</count>")
	w.want(page(`<max>2</max><after>p5</after>`), "!text5", "text4", "text3", "!text2", "index='2'")
	w.want(page(`<max>2</max><before/>`), "text1", "text0", "!text2")
	w.want(page(`<max>2</max><before>p1</before>`), "text3", "text2", "!text1", "!text4")
	w.want(page(`<max>2</max><index>3</index>`), "text3", "text2", "!text4")
	w.want(page(`<max>0</max>`), "<count>7</count>", "!text", "!<first")
	w.want(page(`<max>2</max><after>gone</after>`), "item-not-found")
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0' max_items='1'/>`), "text6", "!text5")
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0'><item id='p2'/><item id='p0'/></items>`), "text2", "text0", "!text1")
	w.want(w.ask(ana, "get", `<query xmlns='http://jabber.org/protocol/disco#items'/>`), "node='urn:xmpp:microblog:0'")
}

func TestSubscriptionsSurviveARestart(t *testing.T) {
	w := newWorld(t)
	w.pubsub(ana, "set", `<subscribe node='urn:xmpp:microblog:0' jid='ana@example.org'><public xmlns='urn:xmpp:pps:0'/></subscribe>`)
	w.pubsub(romeo, "set", `<subscribe node='urn:xmpp:microblog:0' jid='romeo@example.org'/>`)
	w.post("p1", "before", Open)
	w.restart()
	w.sent = nil
	w.post("p2", "after", Open)
	w.post("p2", "after", Open) // a repeat is no news
	if len(w.sent) != 2 || w.sent[0].To != ana || w.sent[0].From != bob {
		t.Fatalf("sent %+v", w.sent)
	}
	w.want(w.pubsub(ana, "get", `<items node='urn:xmpp:microblog:0'/>`), "before", "after")
	w.want(w.pubsub(romeo, "get", `<items node='urn:xmpp:pps:subscribers:0/urn:xmpp:microblog:0'/>`), "jid='ana@example.org'", "!romeo@example.org' xmlns")
	w.want(w.pubsub(ana, "get", `<subscriptions/>`), "node='urn:xmpp:microblog:0'", "subscription='subscribed'")
	// Subscribing again without <public/> hides it.
	w.pubsub(ana, "set", `<subscribe node='urn:xmpp:microblog:0' jid='ana@example.org'/>`)
	w.want(w.pubsub(romeo, "get", `<items node='urn:xmpp:pps:subscribers:0/urn:xmpp:microblog:0'/>`), "!ana@example.org")
	w.want(w.pubsub(ana, "set", `<unsubscribe node='urn:xmpp:microblog:0' jid='ana@example.org'/>`), "result")
	w.want(w.pubsub(ana, "set", `<unsubscribe node='urn:xmpp:microblog:0' jid='ana@example.org'/>`), "not-subscribed")
	want := []string{ana + " " + bob + " true", romeo + " " + bob + " true", ana + " " + bob + " false"}
	if !slices.Equal(w.subbed, want) {
		t.Errorf("told %q, want %q", w.subbed, want)
	}
	w.restart()
	w.sent = nil
	at := pubsub.Address{Service: bob, Node: pubsub.NSMicroblog, Item: "p2"}
	if err := w.s.Retract(t.Context(), at, Open); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) != 1 || !strings.Contains(string(w.sent[0].Extensions[0].Raw()), "<retract id='p2'>") {
		t.Errorf("sent %+v", w.sent)
	}
	w.want(w.pubsub(romeo, "get", `<items node='urn:xmpp:microblog:0'/>`), "!after")
}

func TestCutAndDamagedFile(t *testing.T) {
	dir := t.TempDir()
	at := pubsub.Address{Service: bob, Node: "n"}
	s := NewStore(dir, Limits{})
	for i := range 3 {
		if _, err := s.Put(at.At(fmt.Sprint(i)), Item{XML: "<x/>"}); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(whole); cut += 7 {
		if err := os.WriteFile(files[0], whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewStore(dir, Limits{})
		if _, err := s.Put(at.At("new"), Item{XML: "<y/>"}); err != nil {
			t.Fatal(err)
		}
		s = NewStore(dir, Limits{})
		list, err := s.Items(at)
		if err != nil || len(list) == 0 || list[0].ID != "new" || len(list) != 1+max(0, strings.Count(string(whole[:cut]), "\n")-1) {
			t.Fatalf("cut at %d: %+v, %v", cut, list, err)
		}
	}
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(dir, Limits{Items: 5, Bytes: 4000, Item: 1000, Memory: 1, Actors: 10, Disk: 40 << 10})
	at := pubsub.Address{Service: bob, Node: pubsub.NSMicroblog}
	for i := range 150 {
		if _, err := s.Put(at.At(fmt.Sprint(i)), Item{XML: "<x>" + strings.Repeat("y", 400) + "</x>"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(pubsub.Address{Service: bob, Node: pubsub.CommentsPrefix + fmt.Sprint(i), Item: "c"}, Item{XML: "<c/>"}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Items(at)
	if err != nil || len(list) != 5 || list[0].ID != "149" {
		t.Fatalf("%d items, %v", len(list), err)
	}
	if it, ok, _ := s.Get(pubsub.Address{Service: bob, Node: pubsub.CommentsPrefix + "144", Item: "c"}); ok {
		t.Errorf("comments of a dropped post are still there: %+v", it)
	}
	if _, err := s.Put(at.At("big"), Item{XML: strings.Repeat("y", 1001)}); err == nil {
		t.Error("an item over the limit was kept")
	}
	info, err := os.Stat(fileName(dir, bob))
	if err != nil || info.Size() > 68<<10 {
		t.Errorf("file of %d bytes, %v", info.Size(), err)
	}
	for i := range 40 {
		if _, err := s.Put(pubsub.Address{Service: fmt.Sprint(i, "@ap.example.org"), Node: "n", Item: "1"}, Item{XML: "<x/>"}); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	if len(files) > 10 {
		t.Errorf("%d files", len(files))
	}
	all, err := s.list()
	var size int64
	for _, f := range all {
		size += f.size
	}
	if err != nil || size > 40<<10 {
		t.Errorf("%d bytes of files, %v", size, err)
	}
	if len(s.actors) > 1 {
		t.Errorf("%d actors in memory", len(s.actors))
	}
}

func FuzzDecodeLine(f *testing.F) {
	b, err := line{Node: "n", ID: "1", XML: "<x/>"}.encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := decodeLine(b)
		if !ok {
			return
		}
		out, err := l.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := decodeLine(out[:len(out)-1]); !ok || again != l {
			t.Fatalf("%+v became %+v", l, again)
		}
	})
}

func FuzzHandle(f *testing.F) {
	f.Add([]byte(`<iq id='1' type='get' from='ana@example.org/pc' to='` + bob + `'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:microblog:0'/><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set></pubsub></iq>`))
	f.Add([]byte(`<iq id='1' type='set' from='ana@example.org/pc' to='` + bob + `'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:microblog:0:comments/p1'><item id='c'>` + entry + `</item></publish></pubsub></iq>`))
	f.Add([]byte(`<iq id='1' type='set' from='ana@example.org/pc' to='` + bob + `'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:xmpp:microblog:0' jid='ana@example.org'/></pubsub></iq>`))
	f.Add([]byte(`<iq id='1' type='get' from='ana@example.org/pc' to='` + bob + `'><query xmlns='http://jabber.org/protocol/disco#info' node='urn:xmpp:microblog:0'/></iq>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := packet.DecodeBytes(b, packet.NSComponent)
		if err != nil {
			return
		}
		iq, ok := p.(*packet.IQ)
		if !ok || iq.ID == "" {
			return
		}
		w := newWorld(t)
		w.post("p1", "hello", Open)
		w.post("p2", "not for all", Presence)
		if !w.s.Mine(iq) {
			return
		}
		answer := w.s.Handle(t.Context(), iq)
		if answer.Type != "result" && answer.Type != "error" || strings.Contains(string(answer.Payload.Raw()), "not for all") {
			t.Fatalf("answer %+v", answer)
		}
		for _, ev := range w.events {
			if own, _, ok := sdk.SplitPeerPlace(ev.Place.ID); !ok || own != string(ev.Actor.Home.ID) {
				t.Fatalf("event of %s in %s", ev.Actor.Home.ID, ev.Place.ID)
			}
		}
	})
}

func BenchmarkPost(b *testing.B) {
	s := NewStore(b.TempDir(), Limits{})
	xml := `<entry xmlns='http://www.w3.org/2005/Atom'><title>` + strings.Repeat("text ", 100) + `</title></entry>`
	for i := range b.N {
		if _, err := s.Put(pubsub.Address{Service: bob, Node: pubsub.NSMicroblog, Item: fmt.Sprint(i)}, Item{XML: xml}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkItems(b *testing.B) {
	w := newWorld(b)
	for i := range 500 {
		at := pubsub.Address{Service: bob, Node: pubsub.NSMicroblog, Item: fmt.Sprint(i)}
		if _, err := w.s.o.Store.Put(at, Item{XML: entry}); err != nil {
			b.Fatal(err)
		}
	}
	iq := &packet.IQ{Attrs: packet.Attrs{From: ana + "/pc", To: bob, ID: "1", Type: "get"}, Payload: pubsub.GetItems(pubsub.NSMicroblog, 20)}
	for b.Loop() {
		if w.s.Handle(b.Context(), iq).Type != "result" {
			b.Fatal("refused")
		}
	}
}

func TestIDsMayBeUsedAgain(t *testing.T) {
	w := newWorld(t)
	w.post("p1", "hello", Open)
	node := "urn:xmpp:microblog:0:comments/p1"
	keys := map[string]bool{}
	for _, text := range []string{"one", "two"} {
		w.want(w.pubsub(romeo, "set", `<publish node='`+node+`'><item id='c'>`+strings.ReplaceAll(entry, "Nice", text)+`</item></publish>`), "type='result'")
		w.want(w.pubsub(romeo, "set", `<retract node='`+node+`'><item id='c'/></retract>`), "type='result'")
	}
	for _, ev := range w.events {
		keys[ev.Dedup] = true
	}
	if len(w.events) != 4 || len(keys) != 4 {
		t.Errorf("%d events with %d keys", len(w.events), len(keys))
	}
}
