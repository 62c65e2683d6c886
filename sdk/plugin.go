package sdk

import (
	"context"
	"log/slog"
	"time"
)

// Plugin is code that follows the contract. Neither method does I/O.
type Plugin interface {
	// Describe says what the plugin is and can do.
	Describe() Manifest
	// Open makes a link from its configuration; the host calls Run next, or
	// drops the link (bridgehost check). Faults in the configuration come back
	// all at once as *ConfigError.
	Open(cfg Config, h Host) (Link, error)
}

// Link is one configured instance of a plugin. Abilities are the facets below,
// detected once by FacetsOf.
type Link interface {
	// Run works until ctx ends or the link cannot go on; nothing that it
	// started outlives it. The host calls it once. Facet methods may be called
	// as soon as Open has returned, and until Run has returned.
	Run(ctx context.Context) error
}

// Host is what a link may ask of the host.
type Host interface {
	// Publish hands over events, in order. It returns nil only when they are
	// on disk (or were already: see Event.Dedup). An error of kind Overloaded
	// says that the host cannot take them now and when to try again; Forbidden
	// names an event that the link may not publish; none of the batch is
	// stored then.
	Publish(ctx context.Context, events ...Event) error
	// Report tells the state of the link or of one of its places.
	Report(ctx context.Context, reports ...Report) error
	// Resolve asks the other link of the gateway what it knows of an address of
	// its network. The error is of kind NotFound when there is no such address,
	// Unsupported without a gateway or when that link cannot look up addresses,
	// and Transient while it is not there.
	Resolve(ctx context.Context, address string) (Resolved, error)
	// Store keeps small values of this link.
	Store() Store
	// Log is the link's logger. Never log bodies, secrets, or, above debug
	// level, addresses.
	Log() *slog.Logger
}

// Store keeps small values durably in the link's own name space: keys up to 256
// bytes, values up to 64 KiB, 10,000 keys unless the operator allows more.
type Store interface {
	// Get returns nil and no error when there is no such key.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores the value; nil deletes the key.
	Set(ctx context.Context, key string, value []byte) error
	// Keys lists the keys that begin with prefix, in order, at most 1,000
	// after the key after.
	Keys(ctx context.Context, prefix, after string) ([]string, error)
}

// State is the state of a link or a place.
type State uint8

// States.
const (
	StateStarting State = iota
	StateUp
	StateDegraded // works, but not fully
	StateDown     // does not work now; tried again
	StateFailed   // does not work and is not tried again without the operator
)

// String gives the name shown to operators.
func (s State) String() string {
	return [...]string{"starting", "up", "degraded", "down", "failed"}[min(s, StateFailed)]
}

// Report is the state of the link (Place empty) or of one place, with a reason
// for people. Capabilities replaces what is known of the place when not nil.
type Report struct {
	Place        RemoteID
	State        State
	Reason       string
	Title        string
	Capabilities *Capabilities
}

// Deliverer is the facet of links that take deliveries.
type Deliverer interface {
	// Deliver hands over deliveries for one place, in order, and waits for
	// their receipts: one for each, in any order. After a delivery that failed
	// with a temporary error, later ones of the same batch must not be sent:
	// they come back with Unsent. The next batch for the place comes only
	// after Deliver has returned; other places go on meanwhile.
	Deliver(ctx context.Context, batch []Delivery) ([]Receipt, error)
}

// Verb says what a filter does with an event.
type Verb uint8

// Verbs of a verdict.
const (
	Pass    Verb = iota
	Drop         // Reason is recorded and shown to the operator
	Replace      // the event goes on as Event
	Hold         // the event waits until Until, then passes the filter again
)

// Verdict is a filter's answer to one event.
type Verdict struct {
	Verb   Verb
	Reason string
	Event  *Event // for Replace; identity, place, actor and dedup are kept by the host
	Until  time.Time
	Emit   []Event // further events, granted places only
}

// Filter is the facet of links that decide about events or change them. A
// filter has no effect on the outside within Filter, since an event may pass
// more than once.
type Filter interface {
	// Filter answers each event by the verdict at the same index.
	Filter(ctx context.Context, events []Event) ([]Verdict, error)
}

// Placer is the facet of links that want to hear when the operator's routes use
// other places than those in Config.Places.
type Placer interface {
	SetPlaces(ctx context.Context, places []PlaceUse) error
}

// Informed is the facet of links that want to hear what became of their events:
// failures always, successes where the event asked (Event.Want).
type Informed interface {
	Inform(ctx context.Context, outcomes []Outcome) error
}

// Resolved is what a link knows of an address that a person wrote.
type Resolved struct {
	Actor *Actor
	Place *Place
}

// Resolver is the facet of links that can look an address up.
type Resolver interface {
	Resolve(ctx context.Context, address string) (Resolved, error)
}

// Backfiller is the facet of links that can read what a place said before.
type Backfiller interface {
	// Backfill publishes the items of place after since, oldest first, at
	// most limit, and returns how many there were.
	Backfill(ctx context.Context, place RemoteID, since time.Time, limit int) (int, error)
}

// Invocation is a command that an operator or a person gives to a link.
type Invocation struct {
	Name  string
	Args  []string
	Actor Actor // who asks; zero = the operator
}

// Commander is the facet of links that have commands of their own.
type Commander interface {
	Command(ctx context.Context, call Invocation) (string, error)
}

// Facets are the abilities of a link; a nil field is an ability it lacks.
type Facets struct {
	Deliverer  Deliverer
	Filter     Filter
	Placer     Placer
	Informed   Informed
	Resolver   Resolver
	Backfiller Backfiller
	Commander  Commander
}

// Faceted is implemented by links whose abilities are known only at run time,
// such as those on the other side of a border.
type Faceted interface {
	Facets() Facets
}

// FacetsOf detects the abilities of a link. It is called once for each link.
func FacetsOf(l Link) Facets {
	if f, ok := l.(Faceted); ok {
		return f.Facets()
	}
	var f Facets
	f.Deliverer, _ = l.(Deliverer)
	f.Filter, _ = l.(Filter)
	f.Placer, _ = l.(Placer)
	f.Informed, _ = l.(Informed)
	f.Resolver, _ = l.(Resolver)
	f.Backfiller, _ = l.(Backfiller)
	f.Commander, _ = l.(Commander)
	return f
}
