// Package chat keeps a link's places in order that are conversations of two: of
// a person on the link's network with a foreign one who appears under a virtual
// JID (a gateway), or with the link's own account.
//
// Names of messages are made of the two addresses and the id that the sender
// gave (XEP-0359 §4, XEP-0444 §3.1), never of what this process remembers: a
// reply or an edit means the same after a restart.
package chat

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gosrc.io/xmpp/stanza"
	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/queue"
	"bridgehost/sdk"
)

// Stream is what conversations need of the session.
type Stream interface {
	// Send writes one stanza.
	Send(ctx context.Context, p packet.Stanza) error
	// Start queues a stanza. Its Wait returns when the server has processed it;
	// the error wraps stream.ErrNotWritten or stream.ErrMaybeWritten.
	Start(ctx context.Context, p stanza.Packet) (Pending, error)
}

// Pending is a stanza on its way.
type Pending interface {
	Wait(ctx context.Context) error
}

// Options configure the conversations of a link. Fields without a default are
// required.
type Options struct {
	Tag string // beginning of our message ids, from convert.Tag
	// Gateway maps foreign addresses to virtual JIDs; nil = the link is part of
	// no gateway.
	Gateway  *address.Component
	Resource string // of the virtual JIDs
	// Link is the link's own name, Peer that of the other link of its gateway.
	Link, Peer sdk.LinkID
	// Own is the link's own bare JID: the component's domain, or the account. From is what it speaks as, empty on
	// a client's stream.
	Own, From string
	MaxText   int // bytes of an escaped body
	Parts     int // most messages of one item; 0 = 8
	// Allow decides whether a person, a bare JID, may talk through the gateway; nil = everybody may.
	Allow func(bare string) bool
	// Name gives a person's display name, empty when it is not known; nil = never known. It must not wait.
	Name func(bare string) string

	Now func() time.Time
	Log *slog.Logger
}

// Bounds of what is kept in memory.
const (
	maxWaiting = 4096 // events that the host has not taken yet
	maxRecent  = 4096 // messages sent whose late errors are told
	maxTexts   = 1024 // messages that replies may quote
	maxPeople  = 4096 // people whose last full JID, and what they were told, is remembered
)

// Chats are all conversations of one link.
type Chats struct {
	o      Options
	stream Stream
	events *queue.Queue

	mu      sync.Mutex
	places  map[string]sdk.RemoteID // of routes, by the person's bare JID
	sent    map[string]*sent        // by message id: on its way to the server
	recent  *ring[string, late]     // by message id: taken by the server
	last    *ring[string, string]   // by conversation: full JID that wrote last
	told    *ring[string, time.Time]
	alias   *ring[string, string]       // by conversation and origin-id: id
	origins *ring[string, string]       // the other way round
	texts   *ring[sdk.RemoteID, quoted] // what replies may quote
	serial  atomic.Uint64               // of signals
	ignored atomic.Uint64               // forged or foreign wrappers
}

// sent is a message that the server may refuse at once.
type sent struct {
	to  string
	err *packet.Error
}

// late is a message that a far server may refuse later.
type late struct {
	place  sdk.RemoteID
	user   string
	remote sdk.RemoteID
}

// New makes the conversations of a link. No I/O.
func New(o Options, stream Stream, host queue.Publisher) *Chats {
	o.Parts = cmp.Or(o.Parts, 8)
	c := &Chats{
		o: o, stream: stream, places: map[string]sdk.RemoteID{}, sent: map[string]*sent{},
		recent: newRing[string, late](maxRecent), last: newRing[string, string](maxPeople), told: newRing[string, time.Time](maxPeople),
		alias: newRing[string, string](maxPeople), origins: newRing[string, string](maxPeople), texts: newRing[sdk.RemoteID, quoted](maxTexts),
	}
	c.events = queue.New(host, maxWaiting, c.refused, o.Log)
	return c
}

// Run hands events to the host until ctx ends.
func (c *Chats) Run(ctx context.Context) { c.events.Run(ctx) }

// After has done called when the host has taken all that HandleMessage took
// before. It waits while the queue is full, and fails only when ctx ends.
func (c *Chats) After(ctx context.Context, done func()) error { return c.events.After(ctx, done) }

// SetPlaces names the people with whom the link itself talks, by bare JID.
func (c *Chats) SetPlaces(places map[string]sdk.RemoteID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places = places
}

// Talks reports whether a route talks with a person, a bare JID.
func (c *Chats) Talks(bare string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.places[bare]
	return ok
}

// Features are what the addresses of conversations understand, for disco#info.
func Features() []string {
	return []string{
		convert.NSCorrect, convert.NSRetract, convert.NSReply, convert.NSReactions, convert.NSReceipts, convert.NSMarkers, convert.NSChatStates,
		convert.NSOOB, convert.NSSFS, convert.NSFile, convert.NSSpoiler, convert.NSReference, convert.NSFallback, convert.NSStyling,
		packet.NSStanzaID,
	}
}

// Capabilities says what a conversation can express.
func (c *Chats) Capabilities() *sdk.Capabilities {
	return &sdk.Capabilities{
		Features: []sdk.Feature{
			sdk.FeatureUpdate, sdk.FeatureRetract, sdk.FeatureReply, sdk.FeatureReaction, sdk.FeatureMedia, sdk.FeatureRichText,
			sdk.FeatureTyping, sdk.FeatureReceipt, sdk.FeatureWarning,
		},
		MaxText: c.o.MaxText,
	}
}

// Reports says that the places of routes are in the state of the link.
func (c *Chats) Reports(link sdk.Report) []sdk.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]sdk.Report, 0, len(c.places))
	for _, place := range c.places {
		r := sdk.Report{Place: place, State: link.State, Reason: link.Reason}
		if r.State == sdk.StateUp {
			r.Capabilities = c.Capabilities()
		}
		out = append(out, r)
	}
	return out
}

// talk is one conversation.
type talk struct {
	place sdk.RemoteID
	user  string // bare JID of the person on our network
	ours  string // bare JID of the other: a virtual one, or our own
	from  string // what we send as; empty on a client's stream
	named bool   // the foreign author is named in the text
}

// talkWith finds the conversation of a person with one of our addresses.
func (c *Chats) talkWith(user, ours jid.JID) (talk, bool) {
	t := talk{user: user.Bare().String(), ours: ours.Bare().String()}
	if c.o.Gateway != nil && ours.Localpart() != "" && ours.Domainpart() == c.o.Gateway.Domain {
		foreign, err := c.o.Gateway.Foreign(ours)
		if err != nil || user.Localpart() == "" || c.o.Allow != nil && !c.o.Allow(t.user) {
			return talk{}, false
		}
		t.place, t.from = sdk.PeerPlace(t.user, foreign), t.ours+"/"+c.o.Resource
		return t, true
	}
	if t.ours != c.o.Own {
		return talk{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.places[t.user]
	t.place, t.from, t.named = place, c.o.From, true
	return t, ok
}

// talkAt finds the conversation that a place is.
func (c *Chats) talkAt(place sdk.RemoteID) (talk, *sdk.Error) {
	op := "deliver to " + string(place)
	user, foreign, ok := sdk.SplitPeerPlace(place)
	if !ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		for bare, p := range c.places {
			if p == place {
				return talk{place: place, user: bare, ours: c.o.Own, from: c.o.From, named: true}, nil
			}
		}
		return talk{}, sdk.Errorf(sdk.NotFound, op, "no conversation of this link")
	}
	if c.o.Gateway == nil {
		return talk{}, sdk.Errorf(sdk.NotFound, op, "the link is part of no gateway")
	}
	j, err := packet.ParseJID(user)
	if err != nil || j.Localpart() == "" || j.Resourcepart() != "" {
		return talk{}, &sdk.Error{Op: op, Kind: sdk.NotFound, Public: "this is no XMPP address", Err: err}
	}
	if j.Domainpart() == c.o.Gateway.Domain {
		return talk{}, &sdk.Error{Op: op, Kind: sdk.Forbidden, Public: "the address leads back to the bridge"}
	}
	if c.o.Allow != nil && !c.o.Allow(j.String()) {
		return talk{}, &sdk.Error{Op: op, Kind: sdk.Forbidden, Public: "the person does not use the bridge"}
	}
	virtual, err := c.o.Gateway.Virtual(foreign)
	if err != nil {
		return talk{}, &sdk.Error{Op: op, Kind: sdk.Invalid, Public: "the author has no address here", Err: err}
	}
	bare := virtual.String()
	return talk{place: place, user: j.String(), ours: bare, from: bare + "/" + c.o.Resource}, nil
}

// ring remembers the newest n values.
type ring[K comparable, V any] struct {
	values map[K]V
	order  []K
	next   int
}

func newRing[K comparable, V any](n int) *ring[K, V] {
	return &ring[K, V]{values: make(map[K]V), order: make([]K, 0, n)}
}

func (r *ring[K, V]) get(k K) (V, bool) {
	v, ok := r.values[k]
	return v, ok
}

func (r *ring[K, V]) put(k K, v V) {
	if _, ok := r.values[k]; !ok {
		if len(r.order) < cap(r.order) {
			r.order = append(r.order, k)
		} else {
			delete(r.values, r.order[r.next])
			r.order[r.next] = k
			r.next = (r.next + 1) % len(r.order)
		}
	}
	r.values[k] = v
}
