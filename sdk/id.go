package sdk

import "strings"

// Identifiers are opaque strings. Those named Remote are minted by a network
// and mean something only to the plugin that minted them; all others are minted
// by the host, and a plugin hands them back as it got them.
type (
	// LinkID is the operator's name of a link: [a-z0-9_-]+.
	LinkID string
	// RemoteID names an actor, a place, or an item inside one network.
	RemoteID string
	// ActorID is the host's name of an actor.
	ActorID string
	// ConversationID is the host's name of places that are kept in step.
	ConversationID string
	// ItemID is the host's name of an item.
	ItemID string
	// EventID is the host's name of an event.
	EventID string
	// RouteID is the name of an operator's rule.
	RouteID string
	// DeliveryID names one event asked of one place. It stays the same over
	// all attempts, so a network that deduplicates can drop a repeat.
	DeliveryID string
)

// Ref is a name inside the network of one link.
type Ref struct {
	Link LinkID
	ID   RemoteID
}

// String gives the operator's spelling, link:remote.
func (r Ref) String() string { return string(r.Link) + ":" + string(r.ID) }

// IsZero reports whether the reference names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// ParseRef reads link:remote; the first colon separates. It reports false when
// either side is empty.
func ParseRef(s string) (Ref, bool) {
	link, id, ok := strings.Cut(s, ":")
	if !ok || link == "" || id == "" {
		return Ref{}, false
	}
	return Ref{Link: LinkID(link), ID: RemoteID(id)}, true
}

// Target names an item in both worlds. A link that publishes fills Remote with
// its own id of the item; the host fills Item, and before it hands the event to
// another link it replaces Remote by that link's own id of its copy. Remote is
// empty in a delivery when the item has no copy at that link.
type Target struct {
	Item   ItemID
	Remote RemoteID
}

// IsZero reports whether the target names nothing.
func (t Target) IsZero() bool { return t == Target{} }
