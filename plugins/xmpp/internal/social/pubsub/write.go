package pubsub

import (
	"encoding/xml"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// must gives the element of a writer whose names are constants: it cannot fail.
func must(w *xmltok.Writer) xmltok.Element {
	e, err := w.Element()
	if err != nil {
		return xmltok.Element{}
	}
	return e
}

// given makes attributes of name and value pairs, without those whose value is empty.
func given(pairs ...string) []xml.Attr {
	var list []xml.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, xmltok.A(pairs[i], pairs[i+1]))
		}
	}
	return list
}

// Item is an item of a node.
type Item struct {
	ID        string
	Publisher string // bare JID; empty where the service does not say it (XEP-0060 §12.17)
	Payload   xmltok.Element
}

func (it Item) write(w *xmltok.Writer, ns string) {
	w.Start(ns, "item", given("id", it.ID, "publisher", it.Publisher)...)
	if !it.Payload.IsZero() {
		w.Child(it.Payload)
	}
	w.End()
}

// GetItems asks for the newest max items of a node (XEP-0060 §6.5.7), or for the
// items with the ids given.
func GetItems(node string, limit int, ids ...string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub")
	w.Start(NS, "items", given("node", node, "max_items", positive(limit))...)
	for _, id := range ids {
		w.Start(NS, "item", xmltok.A("id", id)).End()
	}
	return must(&w)
}

// Subscribe asks for a subscription of jid to a node (XEP-0060 §6.1), public or not (XEP-0465 §4.1).
func Subscribe(node, jid string, public bool) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "subscribe", xmltok.A("node", node), xmltok.A("jid", jid))
	if public {
		w.Start(NSPPS, "public").End()
	}
	return must(&w)
}

// Unsubscribe takes a subscription back (XEP-0060 §6.2).
func Unsubscribe(node, jid, subid string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "unsubscribe", given("node", node, "jid", jid, "subid", subid)...)
	return must(&w)
}

// Publish publishes an item (XEP-0060 §7.1). With options the service refuses
// unless the node is configured so (publish-options, §7.1.5).
func Publish(node string, it Item, options map[string]string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "publish", xmltok.A("node", node))
	it.write(&w, NS)
	w.End()
	if len(options) > 0 {
		f := Form{Type: FormPublish}
		for _, name := range sortedKeys(options) {
			f.Set(name, options[name])
		}
		w.Start(NS, "publish-options")
		f.write(&w, "submit")
		w.End()
	}
	return must(&w)
}

// Create makes a node with a configuration (XEP-0060 §8.1.3).
func Create(node string, config map[string]string) xmltok.Element {
	f := Form{Type: FormConfig}
	for _, name := range sortedKeys(config) {
		f.Set(name, config[name])
	}
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "create", xmltok.A("node", node)).End().Start(NS, "configure")
	f.write(&w, "submit")
	return must(&w)
}

// Retract takes an item back and tells the subscribers (XEP-0060 §7.2).
func Retract(node, id string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "retract", xmltok.A("node", node), xmltok.A("notify", "true"))
	w.Start(NS, "item", xmltok.A("id", id))
	return must(&w)
}

// ItemsResult answers a request for items, with the page where one was asked for.
func ItemsResult(node string, items []Item, page *Page) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "items", xmltok.A("node", node))
	for _, it := range items {
		it.write(&w, NS)
	}
	w.End()
	if page != nil {
		page.write(&w)
	}
	return must(&w)
}

// PublishResult answers a publication with the item's id (XEP-0060 §7.1.2).
func PublishResult(node, id string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "publish", xmltok.A("node", node)).Start(NS, "item", xmltok.A("id", id))
	return must(&w)
}

// Subscription is one subscription of somebody to a node.
type Subscription struct {
	Node, JID string
	State     string // subscribed, pending, none
	Public    bool   // XEP-0465
}

func (s Subscription) write(w *xmltok.Writer, ns string) {
	w.Start(ns, "subscription", given("node", s.Node, "jid", s.JID, "subscription", s.State)...)
	if s.Public {
		w.Start(NSPPS, "public").End()
	}
	w.End()
}

// SubscribeResult answers a subscription (XEP-0060 §6.1.2).
func SubscribeResult(s Subscription) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub")
	s.write(&w, NS)
	return must(&w)
}

// SubscriptionsResult lists the requester's subscriptions (XEP-0060 §5.6).
func SubscriptionsResult(node string, list []Subscription) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "subscriptions", given("node", node)...)
	for _, s := range list {
		s.write(&w, NS)
	}
	return must(&w)
}

// AffiliationsResult lists the requester's affiliations, node by node (XEP-0060 §5.7).
func AffiliationsResult(nodes []string, affiliation string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NS, "pubsub").Start(NS, "affiliations")
	for _, n := range nodes {
		w.Start(NS, "affiliation", xmltok.A("node", n), xmltok.A("affiliation", affiliation)).End()
	}
	return must(&w)
}

// ItemEvent tells subscribers of items (XEP-0060 §7.1.2.1).
func ItemEvent(node string, items ...Item) xmltok.Element {
	var w xmltok.Writer
	w.Start(NSEvent, "event").Start(NSEvent, "items", xmltok.A("node", node))
	for _, it := range items {
		it.write(&w, NSEvent)
	}
	return must(&w)
}

// RetractEvent tells subscribers that an item is gone (XEP-0060 §7.2.2.1).
func RetractEvent(node, id string) xmltok.Element {
	var w xmltok.Writer
	w.Start(NSEvent, "event").Start(NSEvent, "items", xmltok.A("node", node)).Start(NSEvent, "retract", xmltok.A("id", id))
	return must(&w)
}

// NodeEntry is a line of a list of nodes.
type NodeEntry struct{ JID, Node, Name string }

// DiscoItems answers a request for the nodes of a service, or for the items of a
// node (XEP-0060 §5.2, §5.5).
func DiscoItems(node string, list []NodeEntry, page *Page) xmltok.Element {
	var w xmltok.Writer
	w.Start(NSDiscoItems, "query", given("node", node)...)
	for _, n := range list {
		w.Start(NSDiscoItems, "item", given("jid", n.JID, "node", n.Node, "name", n.Name)...).End()
	}
	if page != nil {
		page.write(&w)
	}
	return must(&w)
}
