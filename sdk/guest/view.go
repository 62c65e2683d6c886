package guest

import (
	"time"
	"unsafe"
)

// ChangeKind names a kind of change; the numbers are those of sdk.ChangeKind.
type ChangeKind uint8

// Kinds of change.
const (
	ItemCreated ChangeKind = iota + 1
	ItemUpdated
	ItemRetracted
	ReactionsSet
	Shared
	Unshared
	Voted
	RSVPSet
	FollowAsked
	FollowAnswered
	Unfollowed
	ActorUpdated
	ActorMoved
	ActorGone
	MemberChanged
	ConversationUpdated
	Blocked
	Unblocked
	Reported
	Signal
)

// Event is a view of an encoded event.
type Event struct{ b []byte }

// ID is the host's name of the event.
func (e Event) ID() string { return str(e.b, 1) }

// Time is when it happened.
func (e Event) Time() time.Time { return timeField(e.b, 3) }

// Place is where it happened.
func (e Event) Place() Ref { return Ref{sub(e.b, 4)} }

// Actor is who did it.
func (e Event) Actor() Actor { return Actor{sub(e.b, 5)} }

// Dedup is the origin's key of the event.
func (e Event) Dedup() string { return str(e.b, 6) }

// Via lists the links that it passed.
func (e Event) Via() []string { return strs(e.b, 7) }

// lastChange remembers where the change of the event at hand is, since most
// handlers look at it more than once.
var lastChange struct {
	event *byte
	kind  ChangeKind
	body  []byte
}

// change finds the change: its kind and its message.
func (e Event) change() (ChangeKind, []byte) {
	if lastChange.event != nil && lastChange.event == unsafe.SliceData(e.b) {
		return lastChange.kind, lastChange.body
	}
	for b := e.b; len(b) > 0; {
		num, raw, rest, ok := next(b)
		if !ok {
			break
		}
		if num >= 21 && num <= 40 {
			lastChange.event, lastChange.kind, lastChange.body = unsafe.SliceData(e.b), ChangeKind(num-20), raw
			return lastChange.kind, raw
		}
		b = rest
	}
	return 0, nil
}

// Kind is the kind of change, 0 when it is unknown.
func (e Event) Kind() ChangeKind {
	kind, _ := e.change()
	return kind
}

// Item is the item that was created or updated; false for all other changes.
func (e Event) Item() (Item, bool) {
	kind, b := e.change()
	if kind != ItemCreated && kind != ItemUpdated {
		return Item{}, false
	}
	return Item{sub(b, 1)}, true
}

// Target names the item that the change is about; its fields are empty for a
// change about none.
func (e Event) Target() (item, remote string) {
	_, b := e.change()
	t := sub(b, 2)
	return str(t, 1), str(t, 2)
}

// Reactions is the complete set of a ReactionsSet.
func (e Event) Reactions() []string {
	if kind, b := e.change(); kind == ReactionsSet {
		return strs(b, 3)
	}
	return nil
}

// sub finds a message field; nil when it is missing.
func sub(b []byte, num uint32) []byte {
	raw, _ := field(b, num)
	return raw
}

// Ref is a view of a name inside the network of one link.
type Ref struct{ b []byte }

// Link is the name of the link.
func (r Ref) Link() string { return str(r.b, 1) }

// ID is the name in the link's network.
func (r Ref) ID() string { return str(r.b, 2) }

// Actor is a view of who acts.
type Actor struct{ b []byte }

// ID is the host's name of the actor.
func (a Actor) ID() string { return str(a.b, 1) }

// Kind is 0 person, 1 bot, 2 group, 3 service.
func (a Actor) Kind() int { return int(varintField(a.b, 2)) }

// Home is the actor's own address.
func (a Actor) Home() Ref { return Ref{sub(a.b, 3)} }

// Handle is the address as people write it.
func (a Actor) Handle() string { return str(a.b, 4) }

// Name is the display name.
func (a Actor) Name() string { return str(a.b, 5) }

// Item is a view of a thing that was published.
type Item struct{ b []byte }

// ID is the host's name of the item.
func (it Item) ID() string { return str(it.b, 1) }

// Origin is the origin network's name of the item.
func (it Item) Origin() Ref { return Ref{sub(it.b, 5)} }

// Title is the title, usually empty.
func (it Item) Title() string { return str(it.b, 9) }

// Text is the text with its markup.
func (it Item) Text() Text { return Text{sub(it.b, 10)} }

// Media visits the files of the item.
func (it Item) Media(visit func(Media)) { each(it.b, 11, func(b []byte) { visit(Media{b}) }) }

// Tags are the tags without #.
func (it Item) Tags() []string { return strs(it.b, 15) }

// Visibility is 0 place, 1 public, 2 unlisted, 3 followers, 4 direct.
func (it Item) Visibility() int { return int(varintField(it.b, 17)) }

// Warning is the content warning.
func (it Item) Warning() string { return str(it.b, 18) }

// Language is a BCP 47 tag.
func (it Item) Language() string { return str(it.b, 19) }

// URL is the page for people.
func (it Item) URL() string { return str(it.b, 20) }

// Created is when it was published.
func (it Item) Created() time.Time { return timeField(it.b, 21) }

// Text is a view of text with markup.
type Text struct{ b []byte }

// Plain is the text without markup.
func (t Text) Plain() string { return str(t.b, 1) }

// PlainBytes is Plain without a copy: valid until the handler returns, and not to be changed.
func (t Text) PlainBytes() []byte { return sub(t.b, 1) }

// Media is a view of a file.
type Media struct{ b []byte }

// URL is where it can be fetched.
func (m Media) URL() string { return str(m.b, 1) }

// Type is the media type.
func (m Media) Type() string { return str(m.b, 2) }

// Name is the file name.
func (m Media) Name() string { return str(m.b, 3) }

// Size is the count of bytes, 0 when unknown.
func (m Media) Size() int64 { return int64(varintField(m.b, 5)) }

// Config is a view of what the operator wrote for the link.
type Config struct{ b []byte }

// Link is the operator's name of the link.
func (c Config) Link() string { return str(c.b, 1) }

// JSON is the config table; it may be kept.
func (c Config) JSON() []byte { return append([]byte(nil), sub(c.b, 2)...) }

// Places visits the places that routes name, with how they are used.
func (c Config) Places(visit func(id string, source, target bool)) { Places{c.b, 3}.Each(visit) }

// PublicURL is where the host's HTTP listener is seen from outside.
func (c Config) PublicURL() string { return str(c.b, 4) }

// Places is a view of the places that routes name.
type Places struct {
	b   []byte
	num uint32 // of the repeated field
}

// Each visits the places with how they are used: as a source of events, as a
// target of deliveries.
func (p Places) Each(visit func(id string, source, target bool)) {
	each(p.b, p.num, func(b []byte) { visit(str(b, 1), varintField(b, 2) != 0, varintField(b, 3) != 0) })
}

// Outcome is a view of what became of a published event at one place.
type Outcome struct{ b []byte }

// Dedup is that of the event, as published.
func (o Outcome) Dedup() string { return str(o.b, 1) }

// Place is where it went.
func (o Outcome) Place() Ref { return Ref{sub(o.b, 3)} }

// State is 1 delivered, 2 dead, 3 dropped by a filter, 4 unrouted.
func (o Outcome) State() int { return int(varintField(o.b, 4)) }

// Reason says why, for people.
func (o Outcome) Reason() string { return str(o.b, 5) }

// Delivery is a view of one event asked of one place.
type Delivery struct{ b []byte }

// ID names the delivery over all attempts.
func (d Delivery) ID() string { return str(d.b, 1) }

// Place is where the event shall go.
func (d Delivery) Place() string { return str(d.b, 2) }

// Event is what shall go there.
func (d Delivery) Event() Event { return Event{sub(d.b, 3)} }

// Attempt is 1 for the first.
func (d Delivery) Attempt() int { return int(varintField(d.b, 4)) }

// Uncertain says that an earlier attempt may have reached the network.
func (d Delivery) Uncertain() bool { return varintField(d.b, 5) != 0 }

// Invocation is a view of a command.
type Invocation struct{ b []byte }

// Name is the command's name.
func (c Invocation) Name() string { return str(c.b, 1) }

// Args are its arguments.
func (c Invocation) Args() []string { return strs(c.b, 2) }

// Actor is who asks; without an ID it is the operator.
func (c Invocation) Actor() Actor { return Actor{sub(c.b, 3)} }

// WebRequest is a view of an HTTP request.
type WebRequest struct{ b []byte }

// Method is the method.
func (r WebRequest) Method() string { return str(r.b, 1) }

// Path is the path below the route's prefix.
func (r WebRequest) Path() string { return str(r.b, 2) }

// Header is the first value of a header; name in canonical form.
func (r WebRequest) Header(name string) string { return named(r.b, 5, name) }

// Query is the first value of a query parameter.
func (r WebRequest) Query(name string) string { return named(r.b, 4, name) }

// Body is the body; valid until the handler returns.
func (r WebRequest) Body() []byte { return sub(r.b, 6) }

// named finds the first value of a Header with a name.
func named(b []byte, num uint32, name string) (value string) {
	found := false
	each(b, num, func(h []byte) {
		if found || str(h, 1) != name {
			return
		}
		each(h, 2, func(v []byte) {
			if !found {
				value, found = string(v), true
			}
		})
	})
	return value
}
