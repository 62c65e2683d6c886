// Package intake takes events from links. An event is checked (a link may only
// speak for what is its own), deduplicated, shown to filters, routed, and
// written together with its deliveries in one transaction; only then is it
// acknowledged.
//
// The order of the measures against loops, cheapest first: notices of the
// bridge are never relayed; the trail of links has a hop limit; actors that are
// puppets of ours and items that are copies of ours are echoes; a breaker for
// each rule stops what goes round through bridges that we do not know.
package intake

import (
	"context"
	"log/slog"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// Store is what intake needs of the database.
type Store interface {
	// Append writes a request; see store.Appender. It fails with sdk.Overloaded
	// when the disk is (nearly) full.
	Append(ctx context.Context, req store.Appender) error
	// Waiting lists the events that wait.
	Waiting(ctx context.Context) ([]store.Waiting, error)
	// Event reads a stored event.
	Event(ctx context.Context, seq int64) (store.EventRow, error)
	// Actor reads an actor.
	Actor(ctx context.Context, id int64) (sdk.Actor, error)
	// IsPuppet reports whether the actor is an appearance that this host made.
	IsPuppet(ref sdk.Ref) bool
	// Names spells ids.
	Names() store.Names
}

// Queue is what intake needs of the outbox.
type Queue interface {
	// Feed hands over entries that were just committed, in that order. It must
	// not block.
	Feed(entries []*store.Entry)
	// OnCopies names the function that hears of new names of items, after they
	// are stored. It is called once, before anything is fed.
	OnCopies(f func([]store.Key))
	// Signal hands over a transient event, which may be dropped.
	Signal(ev *sdk.Event, to []route.Target)
}

// Deps are the parts that intake works with. Store, Queue and Filters
// are needed; the others have defaults.
type Deps struct {
	Store   Store
	Queue   Queue
	Filters filter.Runner
	Places  route.Places                                  // kinds of places; nil = all are rooms
	Inform  func(link sdk.LinkID, outcomes []sdk.Outcome) // must not block; nil = nobody is told
	// Hears says whether a link has the facet Informed: outcomes for others are
	// not stored. It must not block; nil = all do.
	Hears func(link sdk.LinkID) bool
	// Observe hears of each event that a link published, Policy of what filters and loop safety did. Neither
	// may block; nil = nobody counts.
	Observe func(link sdk.LinkID, kind sdk.ChangeKind, result string)
	Policy  func(rule, action string)
	Now     func() time.Time
	Log     *slog.Logger
	Options Options
}

// Options are intake's limits; the zero value of each is its default.
type Options struct {
	MaxHops    int           // links that an event may have passed, with its origin; default 1
	WaitReply  time.Duration // how long a reply waits for its parent; default 5 s
	WaitTarget time.Duration // how long an update or a reaction waits; default 30 s
	MaxWaiting int           // events that may wait; default 10,000
	MaxBatch   int           // events in one Publish; default 1,024
	MaxBody    int           // bytes of text in one item; default 256 KiB
	MaxEvent   int           // bytes of one encoded event; default 1 MiB
	Breaker    BreakerOptions
}

// BreakerOptions are the limits of the breaker of each rule.
type BreakerOptions struct {
	Burst  int           // events that may come at once; default 20,000; < 0 = no limit
	Rate   float64       // events a second in the long run; default 500
	Repeat int           // equal messages of one author within Window; default 20; < 0 = no limit
	Window time.Duration // default 10 s
}

// Stats counts what intake did since the start.
type Stats struct {
	Published, Stored, Duplicates, Echoes, Dropped, Held, Waited, Unrouted, Signals, Forbidden, Refused, Broken, Hops uint64
	Waiting                                                                                                           int
}
