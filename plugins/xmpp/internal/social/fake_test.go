package social

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

const (
	domain = "ap.example.org"
	bob    = `bob\40m.example@ap.example.org`
	romeo  = "romeo@example.org"
)

// memoryKV is a store in memory.
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
	slices.Sort(list)
	return list, nil
}

// fakeNode is a node of the fake services.
type fakeNode struct {
	access string
	items  []pubsub.Item // oldest first
	subs   []string
	closed bool // refuses strangers
	open   bool // anybody may publish
	secret bool // strangers are told nothing of its configuration
	final  bool // what was published is taken back by the owner alone
}

// world is everything around a Social: host, stream, and pubsub services.
type world struct {
	t  *testing.T
	kv *memoryKV

	mu      sync.Mutex
	nodes   map[pubsub.Address]*fakeNode
	events  []sdk.Event
	reports []sdk.Report
	sent    []packet.Stanza
	asked   []string
	down    bool
	more    chan struct{}
}

func newWorld(t *testing.T) *world {
	return &world{t: t, kv: &memoryKV{m: map[string][]byte{}}, nodes: map[pubsub.Address]*fakeNode{}, more: make(chan struct{})}
}

// social makes a Social for the world and runs it until the test, or stop, ends it.
func (w *world) social(change func(*Options)) (s *Social, stop func()) {
	o := Options{
		Link: "home", Self: domain, Dir: w.t.TempDir(), Retry: time.Hour, Log: slog.New(slog.DiscardHandler),
		Virtual: func(foreign string) (string, error) {
			return strings.ReplaceAll(foreign, "@", `\40`) + "@" + domain, nil
		},
		Foreign: func(j string) (string, error) {
			local, ok := strings.CutSuffix(j, "@"+domain)
			if !ok || !strings.Contains(local, `\40`) {
				return "", errors.New("not virtual")
			}
			return strings.ReplaceAll(local, `\40`, "@"), nil
		},
		Now: func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) },
	}
	if change != nil {
		change(&o)
	}
	s = New(o, w, w)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	s.StreamUp(false)
	return s, stop
}

func (w *world) changed() {
	close(w.more)
	w.more = make(chan struct{})
}

// Publish implements Host.
func (w *world) Publish(_ context.Context, events ...sdk.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
	w.changed()
	return nil
}

// Report implements Host.
func (w *world) Report(_ context.Context, reports ...sdk.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, reports...)
	w.changed()
	return nil
}

// Store implements Host.
func (w *world) Store() sdk.Store { return w.kv }

// Send implements Stream.
func (w *world) Send(_ context.Context, p packet.Stanza) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, p)
	w.changed()
	return nil
}

// IQ implements Stream: the services answer.
func (w *world) IQ(_ context.Context, iq *packet.IQ) (*packet.IQ, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.changed()
	w.asked = append(w.asked, iq.From+" "+iq.To+" "+string(iq.Payload.Raw()))
	if w.down {
		return nil, context.DeadlineExceeded
	}
	service := iq.To
	if iq.Payload.Is(packet.NSDiscoInfo, "query") {
		n := w.nodes[pubsub.Address{Service: service, Node: iq.Payload.Get("node")}]
		if n == nil {
			return iq.Refuse("cancel", "item-not-found", ""), nil
		}
		if n.secret {
			return iq.Refuse("cancel", "service-unavailable", ""), nil
		}
		f := pubsub.Form{Type: pubsub.FormMeta}
		f.Set("pubsub#access_model", n.access)
		e, err := new(xmltok.Writer).Start(packet.NSDiscoInfo, "query").Child(f.Element("result")).Element()
		return iq.Reply(e), err
	}
	r, _ := pubsub.ParseRequest(iq)
	n := w.nodes[pubsub.Address{Service: service, Node: r.Node}]
	switch {
	case n == nil:
		return iq.Refuse("cancel", "item-not-found", ""), nil
	case n.closed && (iq.From == domain || strings.HasPrefix(iq.From, "probe-")):
		return iq.Refuse("auth", "not-authorized", ""), nil
	}
	return w.pubsub(iq, r, n), nil
}

func (w *world) pubsub(iq *packet.IQ, r pubsub.Request, n *fakeNode) *packet.IQ {
	switch r.Verb {
	case pubsub.VerbSubscribe:
		if !slices.Contains(n.subs, r.JID) {
			n.subs = append(n.subs, r.JID)
		}
		return iq.Reply(pubsub.SubscribeResult(pubsub.Subscription{Node: r.Node, JID: r.JID, State: "subscribed"}))
	case pubsub.VerbUnsubscribe:
		n.subs = slices.DeleteFunc(n.subs, func(j string) bool { return j == r.JID })
		return iq.Reply(xmltok.Element{})
	case pubsub.VerbItems:
		list := n.items
		if len(r.Items) > 0 {
			list = slices.DeleteFunc(slices.Clone(list), func(it pubsub.Item) bool {
				return !slices.ContainsFunc(r.Items, func(want pubsub.Item) bool { return want.ID == it.ID })
			})
		} else if r.Max > 0 && r.Max < len(list) {
			list = list[len(list)-r.Max:]
		}
		return iq.Reply(pubsub.ItemsResult(r.Node, list, nil))
	case pubsub.VerbPublish:
		if !n.open && iq.From != domain {
			return iq.Refuse("auth", "forbidden", "")
		}
		if want := iq.Payload; strings.Contains(string(want.Raw()), "publish-options") && !strings.Contains(string(want.Raw()), "<value>"+n.access+"</value>") {
			return pubsub.Refusal(iq, pubsub.Fault("cancel", "conflict", "precondition-not-met"))
		}
		n.items = slices.DeleteFunc(n.items, func(it pubsub.Item) bool { return it.ID == r.Items[0].ID })
		n.items = append(n.items, pubsub.Item{ID: r.Items[0].ID, Publisher: iq.From, Payload: r.Items[0].Payload})
		return iq.Reply(pubsub.PublishResult(r.Node, r.Items[0].ID))
	case pubsub.VerbRetract:
		if n.final && iq.From != iq.To {
			return iq.Refuse("auth", "forbidden", "")
		}
		before := len(n.items)
		n.items = slices.DeleteFunc(n.items, func(it pubsub.Item) bool { return it.ID == r.Items[0].ID })
		if len(n.items) == before {
			return iq.Refuse("cancel", "item-not-found", "")
		}
		return iq.Reply(xmltok.Element{})
	default:
		return iq.Refuse("cancel", "feature-not-implemented", "")
	}
}

// until waits for something to hold.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for {
		w.mu.Lock()
		done, more := ok(), w.more
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("waited for %s in vain; events %+v; asked\n%s", what, w.events, strings.Join(w.asked, "\n"))
		}
	}
}

// read waits until a node was subscribed to and read.
func (w *world) read(at pubsub.Address) {
	w.t.Helper()
	w.until("reading of "+at.URI(), func() bool {
		return slices.ContainsFunc(w.asked, func(a string) bool {
			return strings.Contains(a, " "+at.Service+" ") && strings.Contains(a, "<items node='"+at.Node+"' max_items='20'")
		})
	})
}

// nextEvents waits for n events and takes them.
func (w *world) nextEvents(n int) []sdk.Event {
	w.t.Helper()
	w.until(fmt.Sprint(n, " events"), func() bool { return len(w.events) >= n })
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.events[:n]
	w.events = w.events[n:]
	return list
}

func element(t testing.TB, s string) xmltok.Element {
	t.Helper()
	e, err := xmltok.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// entry is an item with an Atom entry; more are further elements of it.
func entry(t testing.TB, id, publisher, text, updated string, more ...string) pubsub.Item {
	return pubsub.Item{ID: id, Publisher: publisher, Payload: element(t, `<entry xmlns='http://www.w3.org/2005/Atom'><title>`+text+`</title><id>tag:`+id+
		`</id><published>2026-05-01T10:00:00Z</published><updated>`+updated+`</updated>`+strings.Join(more, "")+`</entry>`)}
}

// notify hands a notification to the Social.
func notify(t testing.TB, s *Social, from string, event xmltok.Element) {
	t.Helper()
	if !s.HandleMessage(context.Background(), &packet.Message{Attrs: packet.Attrs{From: from, To: domain, Type: "headline", Extensions: []xmltok.Element{event}}}) {
		t.Fatalf("notification of %s was not taken", from)
	}
}
