package social

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/pep"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// Bounds of what waits.
const (
	maxRequests = 128    // requests to virtual addresses; more are told to wait
	maxEvents   = 128    // notifications; a node whose notification finds no room is read again
	maxSources  = 20_000 // nodes that are read
)

// Social is the nodes of one link. Handle functions are called from one
// goroutine and do not block; Deliver may be called from several.
type Social struct {
	o      Options
	stream Stream
	host   Host
	tag    string
	pep    *pep.Service // nil where there are no virtual addresses
	subs   *pep.Subscriptions

	loaded   chan struct{} // closed when Run has read what is stored
	requests chan *packet.IQ
	events   chan notification
	wake     chan struct{} // cap 1: something is due

	reading sync.Mutex // one item is read at a time

	mu      sync.Mutex
	up      bool
	sources map[pubsub.Address]*source
	places  map[sdk.RemoteID]pubsub.Address // of routes
	busy    map[pubsub.Address]bool         // looked at now
	models  map[pubsub.Address]model
}

// notification is an event of a node that is read.
type notification struct {
	at    pubsub.Address
	event pubsub.Event
}

// New makes a Social. No I/O.
func New(o Options, stream Stream, host Host) *Social {
	o = o.withDefaults()
	s := &Social{
		o: o, stream: stream, host: host, tag: convert.Tag(o.Link, o.Self),
		loaded: make(chan struct{}), requests: make(chan *packet.IQ, maxRequests), events: make(chan notification, maxEvents), wake: make(chan struct{}, 1),
		sources: map[pubsub.Address]*source{}, busy: map[pubsub.Address]bool{}, places: map[sdk.RemoteID]pubsub.Address{}, models: map[pubsub.Address]model{},
	}
	if o.Virtual == nil {
		return s
	}
	s.subs = pep.NewSubscriptions(host.Store())
	s.pep = pep.NewService(pep.Options{
		Store: pep.NewStore(filepath.Join(o.Dir, "social"), pep.Limits{}), Subs: s.subs, Stream: stream, Host: host,
		Virtual: s.virtual,
		Follows: func(user, virtual string) bool {
			foreign, err := o.Foreign(virtual)
			return err == nil && o.Follows(user, foreign)
		},
		Subscribed: func(user, virtual string, on bool) {
			if foreign, err := o.Foreign(virtual); err == nil {
				o.Subscribed(user, foreign, on)
			}
		},
		NewID: o.NewID, Now: o.Now, Log: o.Log,
	})
	return s
}

func (o Options) withDefaults() Options {
	if o.Newest == 0 {
		o.Newest = 20
	}
	if o.Comments == 0 {
		o.Comments = 10
	}
	if o.Retry == 0 {
		o.Retry = 10 * time.Minute
	}
	if o.Poll == 0 {
		o.Poll = 15 * time.Minute
	}
	if o.NewID == nil {
		o.NewID = rand.Text
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Follows == nil {
		o.Follows = func(string, string) bool { return false }
	}
	if o.Subscribed == nil {
		o.Subscribed = func(string, string, bool) {}
	}
	if o.Consents == nil {
		o.Consents = func(string) bool { return true }
	}
	return o
}

// virtual reports whether a bare JID is a virtual address of ours, in its one
// spelling: an actor's nodes have one address.
func (s *Social) virtual(j string) bool {
	if s.o.Foreign == nil {
		return false
	}
	foreign, err := s.o.Foreign(j)
	if err != nil {
		return false
	}
	canonical, err := s.o.Virtual(foreign)
	return err == nil && canonical == j
}

// Features are what a virtual address must advertise in disco#info, beside an
// identity of category pubsub and type pep (XEP-0163 §6.1).
func Features() []string { return pep.Features() }

// FeedCapabilities are those of the microblog of a foreign actor.
func FeedCapabilities() sdk.Capabilities {
	return sdk.Capabilities{Features: []sdk.Feature{
		sdk.FeatureUpdate, sdk.FeatureRetract, sdk.FeatureReply, sdk.FeatureReaction, sdk.FeatureMedia, sdk.FeatureRichText,
		sdk.FeaturePuppet, sdk.FeatureStableIDs,
	}}
}

// Capabilities are those of a node of a route.
func Capabilities() sdk.Capabilities {
	return sdk.Capabilities{Features: []sdk.Feature{
		sdk.FeatureUpdate, sdk.FeatureRetract, sdk.FeatureReply, sdk.FeatureMedia, sdk.FeatureRichText, sdk.FeatureStableIDs,
	}}
}

// Run works until ctx ends. It is called once.
func (s *Social) Run(ctx context.Context) error {
	if s.subs != nil {
		if err := s.subs.Load(ctx); err != nil {
			return err
		}
		if err := s.loadFeeds(ctx); err != nil {
			return err
		}
	}
	close(s.loaded)
	var wg sync.WaitGroup
	wg.Go(func() { s.serve(ctx) })
	wg.Go(func() { s.hear(ctx) })
	for range lookers {
		wg.Go(func() { s.look(ctx) })
	}
	wg.Wait()
	return nil
}

// HandleIQ takes requests to virtual addresses, and reports whether it did. They
// are answered by Run, in order.
func (s *Social) HandleIQ(ctx context.Context, iq *packet.IQ) bool {
	if s.pep == nil || !iq.IsRequest() || !s.pep.Mine(iq) {
		return false
	}
	select {
	case s.requests <- iq:
	default:
		s.answer(ctx, pubsub.Refusal(iq, pubsub.Fault("wait", "resource-constraint", "")))
	}
	return true
}

func (s *Social) answer(ctx context.Context, iq *packet.IQ) {
	if err := s.stream.Send(ctx, iq); err != nil {
		s.o.Log.Debug("pubsub request not answered", "error", err)
	}
}

// serve answers requests until ctx ends.
func (s *Social) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case iq := <-s.requests:
			s.answer(ctx, s.pep.Handle(ctx, iq))
		}
	}
}

// HandleMessage takes notifications of nodes that are read, and what comes back
// of our own, and reports whether it did.
func (s *Social) HandleMessage(_ context.Context, m *packet.Message) bool {
	ev, ok := pubsub.ParseEvent(m)
	if !ok {
		return false
	}
	if m.Type == "error" {
		return s.virtual(convert.Bare(m.To))
	}
	// A service speaks by its bare address; a message of a user's client has a resource.
	service, err := pubsub.Service(m.From)
	if err != nil {
		return false
	}
	at := pubsub.Address{Service: service, Node: ev.Node}
	s.mu.Lock()
	src := s.sources[at]
	s.mu.Unlock()
	if src == nil || src.passive {
		return src != nil
	}
	select {
	case s.events <- notification{at, ev}:
	default:
		s.due(at, s.o.Now())
	}
	return true
}

// StreamUp says that stanzas flow. Without resumption, nodes are subscribed to
// and read anew.
func (s *Social) StreamUp(resumed bool) {
	s.mu.Lock()
	s.up = true
	if !resumed {
		now := s.o.Now()
		for _, src := range s.sources {
			src.due, src.ready = now, false
		}
	}
	s.mu.Unlock()
	s.poke()
}

// StreamDown says that stanzas no longer flow.
func (s *Social) StreamDown() {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
}

// poke wakes the goroutine that looks at nodes.
func (s *Social) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// due makes a node be read at a time, unless that is to happen before.
func (s *Social) due(at pubsub.Address, when time.Time) {
	s.mu.Lock()
	if src := s.sources[at]; src != nil && (src.due.IsZero() || when.Before(src.due)) {
		src.due = when
	}
	s.mu.Unlock()
	s.poke()
}

// IsPlace reports whether a place belongs to this package: a node of a route, or
// the feed of a foreign actor.
func IsPlace(id sdk.RemoteID) bool {
	if pubsub.IsPlace(string(id)) {
		return true
	}
	own, foreign, ok := sdk.SplitPeerPlace(id)
	return ok && (own == sdk.PeerAll || foreign == sdk.PeerAll)
}

// CheckPlace reports what is wrong with the spelling of a node.
func CheckPlace(id sdk.RemoteID) error {
	if _, err := pubsub.ParsePlace(string(id)); err != nil {
		return fmt.Errorf("check place: %w", err)
	}
	return nil
}

// SetNodes says which nodes the routes use. Places that are no nodes are passed over.
func (s *Social) SetNodes(places []sdk.PlaceUse) {
	s.mu.Lock()
	wanted, passive := map[pubsub.Address]sdk.RemoteID{}, map[pubsub.Address]bool{}
	s.places = map[sdk.RemoteID]pubsub.Address{}
	for _, p := range places {
		at, err := pubsub.ParsePlace(string(p.ID))
		if err != nil {
			continue
		}
		if p.Target {
			s.places[p.ID] = at
		}
		if p.Source || p.Target {
			wanted[at] = p.ID
			passive[at] = !p.Source
		}
	}
	now := s.o.Now()
	for at, src := range s.sources {
		if src.place != "" && src.parent == nil && (wanted[at] != src.place || passive[at] != src.passive) {
			src.leaving, src.due = true, now
		}
	}
	for at, place := range wanted {
		if src := s.sources[at]; src == nil || src.leaving {
			s.replace(&source{at: at, place: place, passive: passive[at], due: now})
		}
	}
	s.mu.Unlock()
	s.poke()
}

// replace puts a source in the place of the one of the same node, if there is
// one; what was below that one is left. Called with mu held.
func (s *Social) replace(src *source) {
	if old := s.sources[src.at]; old != nil {
		for _, child := range s.sources {
			if child.parent == old {
				child.leaving, child.due = true, src.due
			}
		}
		src.as = old.as
	}
	s.sources[src.at] = src
}

// Follow says that a foreign actor follows a local user, so that the user's
// microblog is to be read. Repeating it does no harm.
func (s *Social) Follow(own, foreign string) {
	at := pubsub.Address{Service: own, Node: pubsub.NSMicroblog}
	now := s.o.Now()
	s.mu.Lock()
	src := s.sources[at]
	switch {
	case src == nil && len(s.sources) >= maxSources:
		s.o.Log.Warn("feed is not read: too many nodes", "limit", maxSources)
	case src == nil || src.leaving && src.own == "":
		s.replace(&source{at: at, own: own, by: []string{foreign}, changed: true, due: now})
	case src.own == "":
		s.o.Log.Warn("feed is not read for its followers: a route reads it already")
	default:
		src.follow(foreign, now)
	}
	s.mu.Unlock()
	s.poke()
}

// Unfollow takes a Follow back. The microblog is left with its last follower.
func (s *Social) Unfollow(own, foreign string) {
	at := pubsub.Address{Service: own, Node: pubsub.NSMicroblog}
	s.mu.Lock()
	if src := s.sources[at]; src != nil && src.own != "" {
		src.unfollow(foreign, s.o.Now())
	}
	s.mu.Unlock()
	s.poke()
}
