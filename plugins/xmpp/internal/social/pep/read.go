package pep

import (
	"slices"
	"strconv"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Bounds of one answer: the server takes stanzas of a limited size.
const (
	maxAnswer      = 50         // items
	maxAnswerBytes = 160 << 10  // of payloads
	maxPublicList  = 1000       // subscribers that are listed
	maxDiscoItems  = 100        // lines of disco#items
	comments       = "comments" // in names of nodes
)

// items answers a request for items (XEP-0060 §6.5). Items come newest first;
// pages follow XEP-0059, so that after leads to older ones.
func (s *Service) items(r *request) (xmltok.Element, error) {
	list, err := s.list(r)
	if err != nil {
		return xmltok.Element{}, err
	}
	if len(r.Items) > 0 { // by id
		var some []listed
		for _, want := range r.Items {
			if i := slices.IndexFunc(list, func(it listed) bool { return it.id == want.ID }); i >= 0 {
				some = append(some, list[i])
			}
		}
		if len(some) == 0 {
			return xmltok.Element{}, pubsub.Fault("cancel", "item-not-found", "")
		}
		return pubsub.ItemsResult(r.Node, fit(some[:min(len(some), maxAnswer)], nil), nil), nil
	}
	limit := maxAnswer
	if r.Max > 0 {
		limit = min(limit, r.Max)
	}
	if r.Set == nil {
		list = list[:min(limit, len(list))]
		return pubsub.ItemsResult(r.Node, fit(list, nil), nil), nil
	}
	ids := make([]string, len(list))
	for i, it := range list {
		ids[i] = it.id
	}
	from, to, page, ok := pubsub.Cut(ids, r.Set, limit)
	if !ok {
		return xmltok.Element{}, pubsub.Fault("cancel", "item-not-found", "")
	}
	return pubsub.ItemsResult(r.Node, fit(list[from:to], page), page), nil
}

// listed is an item of a node before it is read: of a stored one only the text is
// there, since most of a list is left out of an answer.
type listed struct {
	id     string
	stored Item
	made   xmltok.Element // payload of an item that is not stored
}

// fit gives items as they go over the stream. It leaves out the last ones where the
// answer would be too large, and says so in the page.
func fit(list []listed, page *pubsub.Page) []pubsub.Item {
	out := make([]pubsub.Item, 0, len(list))
	size := 0
	for i, it := range list {
		w, ok := pubsub.Item{ID: it.id, Payload: it.made}, true
		if it.made.IsZero() {
			w, ok = wire(it.stored)
		}
		if !ok {
			continue
		}
		if size += len(w.Payload.Raw()) + len(w.ID) + 64; size > maxAnswerBytes && i > 0 {
			if page != nil {
				page.Last = list[i-1].id
			}
			break
		}
		out = append(out, w)
	}
	return out
}

// list gives all items of a node that the requester may see, newest first.
func (s *Service) list(r *request) ([]listed, error) {
	switch r.kind {
	case kindSummary:
		return s.summaries(r)
	case kindSubscribers:
		return s.publicSubscribers(r), nil
	case kindFollowing:
		return nil, nil // whom a foreign actor follows is not known here
	default:
	}
	stored, err := s.o.Store.Items(pubsub.Address{Service: r.owner, Node: r.name})
	if err != nil {
		return nil, err
	}
	out := make([]listed, 0, len(stored))
	for _, it := range stored {
		if s.visible(it, r) {
			out = append(out, listed{id: it.ID, stored: it})
		}
	}
	return out, nil
}

// wire gives a stored item as it goes over the stream.
func wire(it Item) (pubsub.Item, bool) {
	e, err := xmltok.Parse([]byte(it.XML))
	return pubsub.Item{ID: it.ID, Publisher: it.Publisher, Payload: e}, err == nil
}

// summaries makes the items of a summary node (XEP-0470 §4.6): one for each item
// that has attachments.
func (s *Service) summaries(r *request) ([]listed, error) {
	stored, err := s.o.Store.Items(r.about)
	if err != nil {
		return nil, err
	}
	var out []listed
	for _, it := range stored {
		if !s.visible(it, r) {
			continue
		}
		sum, n, err := s.summary(r.about.At(it.ID))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out = append(out, listed{id: it.ID, made: sum})
		}
	}
	return out, nil
}

// summary counts the attachments of an item.
func (s *Service) summary(target pubsub.Address) (xmltok.Element, int, error) {
	stored, err := s.o.Store.Items(pubsub.Address{Service: target.Service, Node: attach.Node(target)})
	if err != nil {
		return xmltok.Element{}, 0, err
	}
	var sets []attach.Set
	for _, it := range slices.Backward(stored) {
		e, err := xmltok.Parse([]byte(it.XML))
		if err != nil {
			continue
		}
		if set, err := attach.Parse(e); err == nil {
			sets = append(sets, set)
		}
	}
	return attach.Summary(sets), len(sets), nil
}

// publicSubscribers lists who made the subscription public (XEP-0465 §4.4).
func (s *Service) publicSubscribers(r *request) []listed {
	var users []string
	for user, sub := range s.o.Subs.Of(r.owner, r.about.Node) {
		if sub.Public {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	var out []listed
	for _, u := range users[:min(len(users), maxPublicList)] {
		out = append(out, listed{id: u, made: xmltok.New(pubsub.NSPPS, "subscriber", "", xmltok.A("jid", u))})
	}
	return out
}

// subscriptions lists what the requester subscribed to here (XEP-0060 §5.6).
func (s *Service) subscriptions(r *request) xmltok.Element {
	by := s.o.Subs.By(r.user, r.owner)
	var nodes []string
	for n := range by {
		if r.Node == "" || n == r.Node {
			nodes = append(nodes, n)
		}
	}
	slices.Sort(nodes)
	list := make([]pubsub.Subscription, len(nodes))
	for i, n := range nodes {
		list[i] = pubsub.Subscription{Node: n, JID: by[n].JID, State: "subscribed", Public: by[n].Public}
	}
	return pubsub.SubscriptionsResult(r.Node, list)
}

// discoItems lists the nodes of the address, or the items of a node (XEP-0060
// §5.2 and §5.5).
func (s *Service) discoItems(r *request) (xmltok.Element, error) {
	var entries []pubsub.NodeEntry
	var ids []string
	if r.Node == "" {
		entries = []pubsub.NodeEntry{{JID: r.owner, Node: pubsub.NSMicroblog, Name: "microblog"}}
		ids = []string{pubsub.NSMicroblog}
	} else {
		if err := s.enter(r); err != nil {
			return xmltok.Element{}, err
		}
		list, err := s.list(r)
		if err != nil {
			return xmltok.Element{}, err
		}
		for _, it := range list {
			entries = append(entries, pubsub.NodeEntry{JID: r.owner, Name: it.id})
			ids = append(ids, it.id)
		}
	}
	set := r.Set
	if set == nil {
		set = &pubsub.Set{Max: -1, Index: -1}
	}
	from, to, page, ok := pubsub.Cut(ids, set, maxDiscoItems)
	if !ok {
		return xmltok.Element{}, pubsub.Fault("cancel", "item-not-found", "")
	}
	if r.Set == nil && to == len(ids) {
		page = nil
	}
	return pubsub.DiscoItems(r.Node, entries[from:to], page), nil
}

// discoInfo describes a node (XEP-0060 §5.3 and §5.4).
func (s *Service) discoInfo(r *request) (xmltok.Element, error) {
	if err := s.enter(r); err != nil {
		return xmltok.Element{}, err
	}
	list, err := s.list(r)
	if err != nil {
		return xmltok.Element{}, err
	}
	publish, typ := "publishers", pubsub.NSMicroblog
	switch r.kind {
	case kindComments:
		publish, typ = "open", "urn:xmpp:microblog:0:"+comments
	case kindAttachments:
		publish, typ = "open", pubsub.NSAttachments
	case kindSummary:
		typ = pubsub.NSSummary
	case kindSubscribers, kindFollowing:
		typ = pubsub.NSPPS
	default:
	}
	meta := pubsub.Form{Type: pubsub.FormMeta}
	for _, f := range [][2]string{
		{"pubsub#type", typ}, {"pubsub#access_model", r.access.String()}, {"pubsub#publish_model", publish},
		{"pubsub#owner", r.owner}, {"pubsub#persist_items", "1"}, {"pubsub#notify_retract", "1"},
		{"pubsub#deliver_payloads", "1"}, {"pubsub#send_last_published_item", "never"}, {"pubsub#num_items", strconv.Itoa(len(list))},
	} {
		meta.Set(f[0], f[1])
	}
	var w xmltok.Writer
	w.Start(packet.NSDiscoInfo, "query", xmltok.A("node", r.Node))
	w.Start(packet.NSDiscoInfo, "identity", xmltok.A("category", "pubsub"), xmltok.A("type", "leaf")).End()
	for _, f := range []string{pubsub.NS, packet.NSDiscoInfo} {
		w.Start(packet.NSDiscoInfo, "feature", xmltok.A("var", f)).End()
	}
	w.Child(meta.Element("result"))
	return w.Element()
}
