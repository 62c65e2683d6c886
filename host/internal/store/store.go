// Package store holds the words that the host and its databases share: what
// the database knows of a name, what one published event writes, what a batch
// of receipts settles, and how host-minted ids are spelled. The interfaces are
// with their users (intake, outbox); store/sqlite implements them.
//
// Only plain values cross: the meaning of an event is decided by intake, in
// one function without I/O, so that every database gives the same answer.
package store

import (
	"time"

	"bridgehost/sdk"
)

// Fate says what became of a stored event at intake.
type Fate uint8

// Fates.
const (
	FateRouted  Fate = iota + 1 // it has, or had, deliveries
	FateDropped                 // a filter, the breaker, or a tombstone ended it
	FateHeld                    // a filter wants to see it again later
	FateWaiting                 // it waits for the item that it is about
	FateNowhere                 // accepted, but no place may have it
)

// String gives the name shown to operators.
func (f Fate) String() string {
	switch f {
	case FateRouted:
		return "routed"
	case FateDropped:
		return "dropped"
	case FateHeld:
		return "held"
	case FateWaiting:
		return "waiting"
	case FateNowhere:
		return "nowhere"
	default:
		return "unknown"
	}
}

// ItemState is the state of an item.
type ItemState uint8

// States of an item.
const (
	ItemLive      ItemState = iota
	ItemRetracted           // taken back; a tombstone when it never arrived
	ItemHeld                // its creation is held by a filter
	ItemDropped             // its creation was dropped
)

// Key names something in the world of one link.
type Key struct {
	Link   sdk.LinkID
	Remote sdk.RemoteID
}

// Known is what the database knows of a Key.
type Known struct {
	Item       int64
	State      ItemState
	Copy       bool         // the key names a copy that this host made
	Place      sdk.RemoteID // where the thing that the key names is
	Origin     sdk.Ref      // the item's own name
	Author     sdk.Ref      // home address of the author; of whoever retracted, for a tombstone
	Moderated  bool         // for a tombstone: retracted by a moderator
	Revision   uint32
	Visibility sdk.Visibility
}

// Entry is one event to write. The database fills Seq, ActorID, ItemID and
// Duplicate, and the ids of the deliveries; whoever reads them must wait for
// the Appender's Done.
type Entry struct {
	Event  *sdk.Event
	Body   []byte // encoded event; empty when its content must not be kept
	Fate   Fate
	Audit  string // JSON: which rules, which filters, why
	Parent *Entry // the entry that this one is a variant of: no dedup, same item

	Item       ItemChange
	ItemFrom   *Entry // with Item == ItemKnown: the entry of the same request that makes the item
	Deliveries []Delivery
	Wait       *Wait
	Outcomes   []OutcomeRow
	Resume     int64 // the waiting event that this entry continues; 0 = a new event

	Seq       int64
	ActorID   int64
	ItemID    int64
	Duplicate bool
}

// ItemOp says what an entry does to an item.
type ItemOp uint8

// Operations on items.
const (
	ItemNone     ItemOp = iota
	ItemCreate          // a new item, with the name Origin when that is not empty
	ItemKnown           // about an item that stays as it is
	ItemRevise          // a new revision
	ItemSetState        // only the state changes
)

// ItemChange is what an entry does to an item.
type ItemChange struct {
	Op         ItemOp
	ID         int64 // of a known item
	Origin     sdk.Ref
	Place      sdk.RemoteID
	State      ItemState
	Moderated  bool
	Visibility sdk.Visibility
	Revision   uint32
}

// Delivery is one delivery to write: the event goes to the place To.
type Delivery struct {
	To   sdk.Ref
	Rule sdk.RouteID

	Lane int64 // filled by the database
}

// Wait keeps an event back: until Until, or until the item Key arrives.
type Wait struct {
	Until time.Time
	Key   Key // zero for a held event
}

// Waiting is an event that waits, as found at start.
type Waiting struct {
	Event int64
	Until time.Time
	Key   Key
}

// Appender is one publish request. All of it is written in one transaction
// together with other requests, or none of it.
type Appender interface {
	// Keys are the names that Decide asks about.
	Keys() []Key
	// Decide says what to write. It is called by the writer, with what is known
	// at that moment, and may be called again when the transaction has to be
	// repeated. An error refuses this request alone.
	Decide(known map[Key]Known) ([]*Entry, error)
	// Done is called by the writer once, in the order of commits, before
	// Append returns. It must not block.
	Done(err error)
}

// OriginOf gives the publishing link's name of the item that an event is about.
func OriginOf(ev *sdk.Event) sdk.RemoteID {
	if c, ok := ev.Change.(sdk.ItemCreated); ok {
		return c.Item.Origin.ID
	}
	return ev.Target().Remote
}

// CopyRow says what an item is called in a place after a delivery.
type CopyRow struct {
	Item   int64
	Place  sdk.Ref // link and place
	Remote sdk.RemoteID
	Rule   sdk.RouteID
}

// Resolved is an item as one place knows it. Remote is empty when it has no
// copy there.
type Resolved struct {
	Item   int64
	Remote sdk.RemoteID
}

// PuppetRow says how an actor appears at a link.
type PuppetRow struct {
	Actor  int64
	Puppet sdk.Ref
}

// LossRow says what a delivery could not express.
type LossRow struct {
	Event int64
	Place sdk.Ref
	Rule  sdk.RouteID
	Text  string // JSON list of sdk.Loss
}

// DeadRow is a delivery that was given up.
type DeadRow struct {
	Lane     int64
	Seq      int64
	Event    int64
	Rule     sdk.RouteID
	Created  time.Time
	Attempts int
	Kind     sdk.Kind
	Reason   string
}

// OutcomeRow is an outcome that a link has to be told of. The database fills ID.
type OutcomeRow struct {
	ID      int64 // grows with the age of the database
	To      sdk.LinkID
	Outcome sdk.Outcome
}

// Settlement is what a batch of receipts of one lane writes.
type Settlement struct {
	Lane    int64
	First   int64 // with Upto: all deliveries of First..Upto are over; 0 = see Done
	Upto    int64
	Done    []int64 // deliveries that are over, when they are no range
	Copies  []CopyRow
	Puppets []PuppetRow
	Losses  []LossRow
	Dead    []DeadRow
	Spread  []*Entry // the same events for further places
	// Outcomes are kept until the links that they are for have taken them.
	Outcomes []OutcomeRow

	// SetRetry writes the lane's state of retry.
	SetRetry  bool
	Fails     int
	Due       time.Time // zero = now
	Uncertain bool
}

// Lane is a lane as found at start.
type Lane struct {
	ID        int64
	Place     sdk.Ref
	Depth     int64
	First     int64
	Last      int64
	Oldest    time.Time
	Fails     int
	Due       time.Time
	Uncertain bool
	Amnesty   time.Time // when dead letters were revived; zero = never
	Pardoned  int64     // the highest seq of those; the age of what is not above counts from Amnesty
}

// Pending is a delivery as read back, with its event.
type Pending struct {
	Lane    int64
	Place   sdk.Ref // only from Revive
	Seq     int64
	Created time.Time
	Rule    sdk.RouteID
	Event   EventRow
}

// EventRow is a stored event as read back. Damaged says that its checksum does
// not fit; Body is then nil.
type EventRow struct {
	Seq     int64
	Link    sdk.LinkID
	Place   sdk.RemoteID
	Kind    sdk.ChangeKind
	ActorID int64
	ItemID  int64
	Dedup   string
	Time    time.Time
	Fate    Fate
	Audit   string
	Body    []byte
	Damaged bool
}

// QueueFilter selects deliveries. The zero value selects all.
type QueueFilter struct {
	IDs   []sdk.DeliveryID
	Link  sdk.LinkID
	Place sdk.RemoteID
	Kind  sdk.ChangeKind
	Limit int            // 0 = 1,000
	After sdk.DeliveryID // of a former page
}

// Queued is a pending or dead delivery as operators see it.
type Queued struct {
	ID       sdk.DeliveryID
	Place    sdk.Ref
	Event    sdk.EventID
	Item     sdk.ItemID
	Kind     sdk.ChangeKind
	From     sdk.Ref
	Rule     sdk.RouteID
	Created  time.Time
	Dead     bool
	Died     time.Time
	Attempts int
	ErrKind  sdk.Kind
	Reason   string
	Due      time.Time // of the lane; zero = now
}

// Trace is everything that is known of an item: bridgehost explain.
type Trace struct {
	Item       sdk.ItemID
	State      string
	Origin     sdk.Ref
	Place      sdk.Ref
	Author     sdk.Actor
	Revision   uint32
	Visibility sdk.Visibility
	Created    time.Time
	Events     []TraceEvent
	Copies     []TraceCopy
	Pending    []Queued
	Dead       []Queued
}

// TraceEvent is one event of an item.
type TraceEvent struct {
	Event   sdk.EventID
	Time    time.Time
	Kind    sdk.ChangeKind
	Place   sdk.Ref
	Actor   sdk.ActorID
	Fate    Fate
	Audit   string // JSON, as intake wrote it
	Damaged bool
	Losses  []TraceLoss
}

// TraceLoss is a loss of one event at one place.
type TraceLoss struct {
	Place sdk.Ref
	Rule  sdk.RouteID
	Loss  []sdk.Loss
}

// TraceCopy is one copy of an item.
type TraceCopy struct {
	Place  sdk.Ref
	Remote sdk.RemoteID
	Rule   sdk.RouteID
	Made   time.Time
}
