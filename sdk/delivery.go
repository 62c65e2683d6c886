package sdk

import "time"

// Delivery is one event asked of one place.
type Delivery struct {
	ID      DeliveryID
	Place   RemoteID // at the link that gets the delivery
	Event   Event    // targets, reply and puppet name what this link knows
	Attempt int      // 1 for the first
	// Uncertain says that an earlier attempt may have reached the network
	// without an answer: the host or the link went down in between. The link
	// must look (archive, history, idempotent id) before it sends again.
	Uncertain bool
	// Since is when the first attempt can have happened at the earliest; set
	// with Uncertain.
	Since time.Time
	// Deadline is when the host no longer waits for the receipt.
	Deadline time.Time
}

// LossKind is a kind of loss.
type LossKind string

// Kinds of loss.
const (
	LossText     LossKind = "text"     // shortened
	LossMedia    LossKind = "media"    // left out, or only linked
	LossMarkup   LossKind = "markup"   // shown as plain text
	LossReply    LossKind = "reply"    // shown without its parent
	LossUpdate   LossKind = "update"   // an edit could not be shown
	LossRetract  LossKind = "retract"  // could not be taken back
	LossReaction LossKind = "reaction" // not shown
	LossAuthor   LossKind = "author"   // the author is only named in the text
	LossName     LossKind = "name"     // the author appears under another name
	LossPoll     LossKind = "poll"
	LossCalendar LossKind = "calendar"
	LossWarning  LossKind = "warning"
	LossSealed   LossKind = "sealed" // encrypted, unreadable here
	LossKindless LossKind = "kind"   // the whole change cannot be expressed
)

// Loss is what a place could not express of a delivery.
type Loss struct {
	Kind   LossKind
	Detail string // for people; names no secrets and no content
}

// Copy is how an item appears in another place.
type Copy struct {
	Item   ItemID
	Remote RemoteID
}

// Receipt answers one delivery. Err nil means that the network has it.
type Receipt struct {
	Delivery DeliveryID
	Copies   []Copy   // what the item is called at this link now
	Puppet   RemoteID // how the author appears at this link, when that is new
	Loss     []Loss
	// Spread asks the host to deliver the same event to these places of the
	// link as well, each in a lane of its own: a post goes to its followers'
	// servers, and none of them waits for another. They are on disk before the
	// delivery counts as done. At most 10,000; none when Err is set.
	Spread []RemoteID
	Err    *Error
	// Unsent is set beside Err when the link knows that nothing was handed to
	// the network, so that the next attempt is not Uncertain.
	Unsent bool
}

// OutcomeState says what became of a delivery.
type OutcomeState uint8

// States of an outcome.
const (
	OutcomeDelivered OutcomeState = iota + 1
	OutcomeDead                   // in the dead letters; Reason says why
	OutcomeDropped                // a filter dropped the event; Reason is the filter's
	OutcomeUnrouted               // no route leads anywhere from the place
)

// Outcome tells the link that published an event what became of it at one place.
type Outcome struct {
	Dedup  string   // of the event, as published
	Origin RemoteID // of the item, as published; empty when the event has none
	Place  Ref      // where it went; zero for OutcomeDropped and OutcomeUnrouted
	State  OutcomeState
	Reason string // for people
	Loss   []Loss
}
