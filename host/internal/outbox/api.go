// Package outbox delivers. A lane is the ordered queue of deliveries for one
// place of one link; one batch is in flight in each lane, and lanes do not wait
// for each other. What a link could not take stays at the head of its lane and
// is tried again later; what it never will take becomes a dead letter, which
// operators see, retry and drop, and which the sender is told of.
package outbox

import (
	"context"
	"log/slog"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// Store is what the lanes need of the database.
type Store interface {
	// Lanes lists the lanes that have deliveries or a state of retry.
	Lanes(ctx context.Context) ([]store.Lane, error)
	// Pending reads deliveries of a lane with Seq > after, in order.
	Pending(ctx context.Context, lane, after int64, limit, maxBytes int) ([]store.Pending, error)
	// Settle writes what became of deliveries. done is called by the writer
	// once, in the order of commits, and must not block.
	Settle(s *store.Settlement, done func(error))
	// Resolve finds items by a name that they have anywhere, and says what they
	// are called in a place. Unknown names are missing in the result.
	Resolve(ctx context.Context, place sdk.Ref, anyPlace bool, keys []store.Key) (map[store.Key]store.Resolved, error)
	// Puppet gives an actor's appearance at a link, empty when it has none.
	Puppet(ctx context.Context, actor int64, link sdk.LinkID) (sdk.RemoteID, error)
	// Names spells ids.
	Names() store.Names
}

// Archive is what operators ask of the database; see the methods of Outbox.
type Archive interface {
	Queue(ctx context.Context, f store.QueueFilter) ([]store.Queued, error)
	DeadLetters(ctx context.Context, f store.QueueFilter) ([]store.Queued, error)
	Revive(ctx context.Context, ids []sdk.DeliveryID) ([]store.Pending, error)
	Discard(ctx context.Context, ids []sdk.DeliveryID) (int, error)
	Trace(ctx context.Context, what string) (*store.Trace, error)
}

// Deps are the parts that the outbox works with. Store is needed.
type Deps struct {
	Store   Store
	Archive Archive
	Inform  func(link sdk.LinkID, outcomes []sdk.Outcome) // must not block; nil = nobody is told
	// Hears says whether a link has the facet Informed: outcomes for others are
	// not stored. It must not block; nil = all do.
	Hears func(link sdk.LinkID) bool
	// Observe hears of each delivery that is over (result delivered or dead) and how long ago its event was
	// stored. It must not block; nil = nobody counts.
	Observe func(link sdk.LinkID, kind sdk.ChangeKind, result string, took time.Duration)
	Now     func() time.Time
	Log     *slog.Logger
	Options Options
}

// Options are the limits of the outbox; the zero value of each is its default.
type Options struct {
	MaxAge      time.Duration // of a delivery before it is given up; default 3 days
	BackoffMin  time.Duration // default 1 s
	BackoffMax  time.Duration // default 1 h
	Timeout     time.Duration // for one batch; default 2 min
	Drain       time.Duration // for what is in flight when Run ends; default 10 s
	Window      int64         // bytes of events kept in memory over all lanes; default 16 MiB
	BatchBytes  int           // bytes of events in one batch; default 1 MiB
	PoisonAfter int           // crashes of the link with the same delivery at the head; default 3
	HostTrip    int           // failing lanes of one remote host that open its breaker; default 3
	IdleLanes   int           // lanes without deliveries that memory keeps; default 10,000
	Seed        uint64        // of the jitter; 0 = random
}

// AttachOptions say how one link takes deliveries.
type AttachOptions struct {
	BatchMax    int // deliveries in one batch; 0 = 256
	Concurrency int // lanes of the link in flight; 0 = 64
	// GlobalIDs says that the link's ids of items mean the same in all its
	// places, so that a copy in one place names the item in every other.
	GlobalIDs bool
	MaxAge    time.Duration // replaces Options.MaxAge; 0 = that
	// HostOf names the remote host behind a place, for the breaker. nil takes
	// the domain of user@domain/resource or of a URL.
	HostOf func(sdk.RemoteID) string
}

// LinkStats is the state of one link's lanes.
type LinkStats struct {
	Link                    sdk.LinkID
	Attached                bool
	Depth                   int64         // deliveries that wait or are in flight
	Lanes                   int           // lanes with deliveries
	InFlight                int           // lanes with a batch in flight
	Backoff                 int           // lanes that wait to be tried again
	Oldest                  time.Duration // age of the oldest delivery
	Delivered, Failed, Dead uint64        // since the start
}

// Stats is the state of the outbox.
type Stats struct {
	Depth  int64
	Window int64 // bytes of events kept in memory
	Kept   int   // lanes in memory, with and without deliveries
	Links  []LinkStats
}
