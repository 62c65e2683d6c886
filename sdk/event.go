package sdk

import "time"

// Event is something that happened in a place. A link fills Time, Place.ID,
// Actor, Dedup and Change; the host stamps the rest, and refuses an event whose
// place, actor, or item belongs to another link.
type Event struct {
	ID    EventID // minted by the host
	Seq   uint64  // position in the host's journal; 0 before it is stored
	Time  time.Time
	Place Ref   // where it happened; Link may be left empty by the publishing link
	Actor Actor // who did it, as the network authenticated it
	// Dedup is the origin's unique key of the event within the link: the same
	// key is the same event, stored once. Empty means that the host may not
	// deduplicate it.
	Dedup string
	Via   []LinkID // the links it passed; the host appends
	// Want asks the host to tell the link the outcome of every delivery, not
	// only of failed ones (facet Informed).
	Want bool
	// Notice marks a message of the bridge itself, which is never relayed.
	Notice bool
	Change Change
}

// ChangeKind names a kind of change; the numbers are those of the wire.
type ChangeKind uint8

// Kinds of change.
const (
	KindNone ChangeKind = iota
	KindItemCreated
	KindItemUpdated
	KindItemRetracted
	KindReactionsSet
	KindShared
	KindUnshared
	KindVoted
	KindRSVPSet
	KindFollowAsked
	KindFollowAnswered
	KindUnfollowed
	KindActorUpdated
	KindActorMoved
	KindActorGone
	KindMemberChanged
	KindConversationUpdated
	KindBlocked
	KindUnblocked
	KindReported
	KindSignal
)

// Change is what happened. It is a closed set: the types of this file.
type Change interface {
	Kind() ChangeKind
}

// ItemCreated says that an item was published.
type ItemCreated struct{ Item Item }

// ItemUpdated says that an item has a new revision. Target names the item; Item
// is the new state as a whole.
type ItemUpdated struct {
	Target Target
	Item   Item
}

// ItemRetracted says that an item was taken back, by its author or, with
// Moderated, by somebody whom the place lets do so.
type ItemRetracted struct {
	Target    Target
	Moderated bool
	Reason    string
}

// ReactionsSet states the complete set of one actor's reactions to an item, so
// that repeating it does no harm. An empty set takes all back.
type ReactionsSet struct {
	Target    Target
	Reactions []string
}

// Shared says that the actor showed an item to its followers.
type Shared struct{ Target Target }

// Unshared takes a Shared back.
type Unshared struct{ Target Target }

// Voted states the complete set of one actor's choices in a poll.
type Voted struct {
	Target  Target
	Options []int
}

// RSVPSet states the actor's answer to a calendar event.
type RSVPSet struct {
	Target Target
	Answer string // yes, no, maybe; empty takes it back
	Guests int    // people who come along
}

// FollowAsked says that the actor wants to follow Object.
type FollowAsked struct{ Object Ref }

// FollowAnswered says that the actor answered Follower.
type FollowAnswered struct {
	Follower Ref
	Accepted bool
}

// Unfollowed says that the actor no longer follows Object.
type Unfollowed struct{ Object Ref }

// ActorUpdated says that the event's actor has a new profile.
type ActorUpdated struct{}

// ActorMoved says that the event's actor is now To.
type ActorMoved struct{ To Ref }

// ActorGone says that the event's actor no longer exists.
type ActorGone struct{}

// Membership is an actor's standing in a conversation.
type Membership uint8

// Memberships.
const (
	MemberJoined Membership = iota
	MemberLeft
	MemberKicked
	MemberBanned
	MemberInvited
	MemberRole
)

// MemberChanged says that Member joined, left, was removed, or has a new role.
type MemberChanged struct {
	Member     Ref
	Membership Membership
	Role       string
	Reason     string
}

// ConversationUpdated says that a conversation has a new title or topic.
type ConversationUpdated struct {
	Title string
	Topic *Text
}

// Blocked says that the actor blocks Object.
type Blocked struct{ Object Ref }

// Unblocked takes a Blocked back.
type Unblocked struct{ Object Ref }

// Reported says that the actor reports Object, and items of it, to moderators.
type Reported struct {
	Object  Ref
	Targets []Target
	Text    string
	Reason  string
}

// SignalKind is a kind of transient signal.
type SignalKind uint8

// Kinds of signal. Signals are not stored and may be dropped.
const (
	SignalTyping SignalKind = iota
	SignalPaused
	SignalReceived
	SignalDisplayed
	SignalOnline  // the actor is there
	SignalAway    // there, but not at the moment
	SignalBusy    // there, and wants not to be disturbed
	SignalOffline // not there
	SignalFailed  // the actor's network could not deliver the target after all; Text says why
)

// Signal is a transient sign of life.
type Signal struct {
	Signal SignalKind
	Target Target // for received, displayed and failed
	Text   string // status of presence, or why it failed; for people, may be empty
}

// Kind implements Change.
func (ItemCreated) Kind() ChangeKind { return KindItemCreated }

// Kind implements Change.
func (ItemUpdated) Kind() ChangeKind { return KindItemUpdated }

// Kind implements Change.
func (ItemRetracted) Kind() ChangeKind { return KindItemRetracted }

// Kind implements Change.
func (ReactionsSet) Kind() ChangeKind { return KindReactionsSet }

// Kind implements Change.
func (Shared) Kind() ChangeKind { return KindShared }

// Kind implements Change.
func (Unshared) Kind() ChangeKind { return KindUnshared }

// Kind implements Change.
func (Voted) Kind() ChangeKind { return KindVoted }

// Kind implements Change.
func (RSVPSet) Kind() ChangeKind { return KindRSVPSet }

// Kind implements Change.
func (FollowAsked) Kind() ChangeKind { return KindFollowAsked }

// Kind implements Change.
func (FollowAnswered) Kind() ChangeKind { return KindFollowAnswered }

// Kind implements Change.
func (Unfollowed) Kind() ChangeKind { return KindUnfollowed }

// Kind implements Change.
func (ActorUpdated) Kind() ChangeKind { return KindActorUpdated }

// Kind implements Change.
func (ActorMoved) Kind() ChangeKind { return KindActorMoved }

// Kind implements Change.
func (ActorGone) Kind() ChangeKind { return KindActorGone }

// Kind implements Change.
func (MemberChanged) Kind() ChangeKind { return KindMemberChanged }

// Kind implements Change.
func (ConversationUpdated) Kind() ChangeKind { return KindConversationUpdated }

// Kind implements Change.
func (Blocked) Kind() ChangeKind { return KindBlocked }

// Kind implements Change.
func (Unblocked) Kind() ChangeKind { return KindUnblocked }

// Kind implements Change.
func (Reported) Kind() ChangeKind { return KindReported }

// Kind implements Change.
func (Signal) Kind() ChangeKind { return KindSignal }

var kindNames = [...]string{
	"none", "item-created", "item-updated", "item-retracted", "reactions-set", "shared", "unshared",
	"voted", "rsvp-set", "follow-asked", "follow-answered", "unfollowed", "actor-updated", "actor-moved",
	"actor-gone", "member-changed", "conversation-updated", "blocked", "unblocked", "reported", "signal",
}

// String gives the name used in manifests, metrics and logs, such as item-created.
func (k ChangeKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseChangeKind reads what String wrote.
func ParseChangeKind(s string) (ChangeKind, bool) {
	for i, name := range kindNames {
		if i > 0 && name == s {
			return ChangeKind(i), true
		}
	}
	return KindNone, false
}

// Kind gives the kind of the event's change, KindNone when it has none.
func (e *Event) Kind() ChangeKind {
	if e.Change == nil {
		return KindNone
	}
	return e.Change.Kind()
}

// Item gives the item that the event carries, nil when it carries none. The
// pointer is to a copy: store a changed item with WithItem.
func (e *Event) Item() *Item {
	switch c := e.Change.(type) {
	case ItemCreated:
		return &c.Item
	case ItemUpdated:
		return &c.Item
	default:
		return nil
	}
}

// WithItem returns the event with its item replaced. It returns the event as it
// is when the change carries no item.
func (e Event) WithItem(it Item) Event {
	switch c := e.Change.(type) {
	case ItemCreated:
		c.Item = it
		e.Change = c
	case ItemUpdated:
		c.Item = it
		e.Change = c
	}
	return e
}

// Target gives the item that the event is about, as the change names it; zero
// for a change about no existing item.
func (e *Event) Target() Target {
	switch c := e.Change.(type) {
	case ItemUpdated:
		return c.Target
	case ItemRetracted:
		return c.Target
	case ReactionsSet:
		return c.Target
	case Shared:
		return c.Target
	case Unshared:
		return c.Target
	case Voted:
		return c.Target
	case RSVPSet:
		return c.Target
	case Signal:
		return c.Target
	default:
		return Target{}
	}
}

// WithTarget returns the event with the item that it is about replaced. It
// returns the event as it is when the change names none.
func (e Event) WithTarget(t Target) Event {
	switch c := e.Change.(type) {
	case ItemUpdated:
		c.Target = t
		e.Change = c
	case ItemRetracted:
		c.Target = t
		e.Change = c
	case ReactionsSet:
		c.Target = t
		e.Change = c
	case Shared:
		c.Target = t
		e.Change = c
	case Unshared:
		c.Target = t
		e.Change = c
	case Voted:
		c.Target = t
		e.Change = c
	case RSVPSet:
		c.Target = t
		e.Change = c
	case Signal:
		c.Target = t
		e.Change = c
	}
	return e
}
