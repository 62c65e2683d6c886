package pubsub

import (
	"strconv"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// EventKind says what a notification tells.
type EventKind uint8

// Kinds of notification (XEP-0060 §7.1.2, §7.2.2, §8.3 to §8.5, §8.8).
const (
	EventNone    EventKind = iota
	EventItems             // items, taken-back ids, or both
	EventPurged            // all items are gone
	EventDeleted           // the node is gone
	EventConfigured
	EventSubscription
)

// Event is a notification of a node.
type Event struct {
	Kind      EventKind
	Node      string
	Items     []Item
	Retracted []string
	State     string // of the subscription, for EventSubscription
	Cut       bool   // there were more than MaxItems
}

// ParseEvent reads the notification that a message carries. Items without a
// name, or with one that is too long, are passed over.
func ParseEvent(m *packet.Message) (Event, bool) {
	e, ok := m.Extension(NSEvent, "event")
	if !ok {
		return Event{}, false
	}
	for c := range e.Children() {
		ev := Event{Node: c.Get("node")}
		if c.Name.Space != NSEvent || !ValidName(ev.Node) {
			continue
		}
		switch c.Name.Local {
		case "items":
			ev.Kind = EventItems
			ev.Items, ev.Retracted, ev.Cut = readItems(c, NSEvent)
		case "purge":
			ev.Kind = EventPurged
		case "delete":
			ev.Kind = EventDeleted
		case "configuration":
			ev.Kind = EventConfigured
		case "subscription":
			ev.Kind, ev.State = EventSubscription, c.Get("subscription")
		default:
			continue
		}
		return ev, true
	}
	return Event{}, false
}

// readItems reads item and retract children.
func readItems(e xmltok.Element, ns string) (items []Item, retracted []string, cut bool) {
	for c := range e.Children() {
		id := c.Get("id")
		if len(id) > MaxName {
			continue
		}
		if len(items)+len(retracted) >= MaxItems {
			return items, retracted, true
		}
		switch {
		case c.Is(ns, "item"):
			items = append(items, readItem(c))
		case c.Is(ns, "retract") && id != "":
			retracted = append(retracted, id)
		}
	}
	return items, retracted, false
}

func readItem(c xmltok.Element) Item {
	it := Item{ID: c.Get("id"), Publisher: c.Get("publisher")}
	for p := range c.Children() {
		it.Payload = p
		break
	}
	return it
}

// ParseItems reads the answer to a request for items, in the order of the service.
func ParseItems(payload xmltok.Element) []Item {
	items, ok := payload.Child(NS, "items")
	if !payload.Is(NS, "pubsub") || !ok {
		return nil
	}
	list, _, _ := readItems(items, NS)
	return list
}

// ParseSubscribed reads the state that an answer to a subscription names; a
// service that says nothing has subscribed.
func ParseSubscribed(payload xmltok.Element) string {
	s, ok := payload.Child(NS, "subscription")
	if !ok || s.Get("subscription") == "" {
		return "subscribed"
	}
	return s.Get("subscription")
}

// Verb is what a request asks.
type Verb uint8

// Verbs of requests.
const (
	VerbUnknown       Verb = iota
	VerbItems              // §6.5
	VerbSubscribe          // §6.1
	VerbUnsubscribe        // §6.2
	VerbSubscriptions      // §5.6
	VerbAffiliations       // §5.7
	VerbOptions            // §6.3
	VerbDefault            // §6.4
	VerbPublish            // §7.1
	VerbRetract            // §7.2
	VerbCreate             // §8.1
	VerbOwner              // anything of #owner
)

var verbs = map[string]struct {
	verb Verb
	set  bool
}{
	"items": {VerbItems, false}, "subscriptions": {VerbSubscriptions, false}, "affiliations": {VerbAffiliations, false},
	"default": {VerbDefault, false}, "subscribe": {VerbSubscribe, true}, "unsubscribe": {VerbUnsubscribe, true},
	"publish": {VerbPublish, true}, "retract": {VerbRetract, true}, "create": {VerbCreate, true},
}

// Request is what somebody asks of a service.
type Request struct {
	Verb   Verb
	Node   string
	JID    string // of subscribe and unsubscribe
	Items  []Item // of publish, retract, and items by id
	Max    int    // max_items; 0 = not said
	Set    *Set
	Public bool // subscribe: XEP-0465
	Notify bool // retract
}

// ParseRequest reads a request. It reports false for an iq that is none.
func ParseRequest(iq *packet.IQ) (Request, bool) {
	p := iq.Payload
	if p.Is(NSOwner, "pubsub") {
		r := Request{Verb: VerbOwner}
		for c := range p.Children() {
			r.Node = c.Get("node")
			break
		}
		return r, true
	}
	if !p.Is(NS, "pubsub") {
		return Request{}, false
	}
	r := Request{Set: ParseSet(p)}
	for c := range p.Children() {
		if c.Name.Space != NS {
			continue
		}
		if c.Name.Local == "options" && r.Verb == VerbUnknown {
			r.Verb, r.Node = VerbOptions, c.Get("node")
			continue
		}
		v, known := verbs[c.Name.Local]
		if !known || v.set != (iq.Type == "set") {
			continue
		}
		r.read(v.verb, c)
		break
	}
	return r, true
}

func (r *Request) read(v Verb, c xmltok.Element) {
	r.Verb, r.Node, r.JID = v, c.Get("node"), c.Get("jid")
	r.Items, _, _ = readItems(c, NS)
	if n, err := strconv.Atoi(c.Get("max_items")); err == nil && n > 0 {
		r.Max = n
	}
	_, r.Public = c.Child(NSPPS, "public")
	r.Notify = c.Get("notify") == "true" || c.Get("notify") == "1"
}
