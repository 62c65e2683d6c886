package contact

import (
	"context"
	"slices"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// HandleIQ takes a request to a contact's JID: vCards, the nodes of profile and avatar, and lists of nodes. It is false for everything that
// it has no answer to; requests to addresses that nobody can have are refused.
func (c *Contacts) HandleIQ(ctx context.Context, iq *packet.IQ) bool {
	j, foreign, ok, err := c.virtual(iq.To)
	if !ok || !iq.IsRequest() {
		return false
	}
	if err != nil {
		c.reply(ctx, iq.Refuse("cancel", "item-not-found", "There is no such address."))
		return true
	}
	virtual := j.Bare().String()
	switch {
	case iq.Payload.Is(nsVCard, "vCard"):
		c.read(ctx, iq, foreign, func(p *Profile) xmltok.Element { return vcardTemp(foreign, virtual, p) })
	case iq.Payload.Is(nsVCard4, "vcard"):
		c.read(ctx, iq, foreign, func(p *Profile) xmltok.Element { return vcard4(foreign, virtual, p) })
	case iq.Payload.Is(nsPubsub, "pubsub"):
		return c.pubsub(ctx, iq, foreign, virtual)
	case iq.Payload.Is(nsDiscoItems, "query") && iq.Type == "get" && j.Resourcepart() == "" && iq.Payload.Get("node") == "":
		c.reply(ctx, iq.Reply(c.nodeList(virtual)))
	case iq.Payload.Is(packet.NSDiscoInfo, "query") && iq.Payload.Get("node") == "": // of a resource that there is not
		c.reply(ctx, iq.Refuse("cancel", "item-not-found", ""))
	default:
		return false
	}
	return true
}

// nodeList lists a contact's nodes (XEP-0030 §4).
func (c *Contacts) nodeList(virtual string) xmltok.Element {
	var w xmltok.Writer
	w.Start(nsDiscoItems, "query")
	for _, node := range sorted(c.opt.Nodes, nodes...) {
		w.Start(nsDiscoItems, "item", xmltok.A("jid", virtual), xmltok.A("node", node)).End()
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// pubsub answers requests about the nodes of this package, and leaves others to others.
func (c *Contacts) pubsub(ctx context.Context, iq *packet.IQ, foreign, virtual string) bool {
	for request := range iq.Payload.Children() {
		node := request.Get("node")
		switch {
		case !slices.Contains(nodes, node):
			return false
		case request.Is(nsPubsub, "items") && iq.Type == "get":
			c.read(ctx, iq, foreign, func(p *Profile) xmltok.Element { return itemsElement(request, node, items(node, foreign, virtual, p)) })
		default:
			c.reply(ctx, iq.Refuse("auth", "forbidden", "Profiles are kept where the contact is at home."))
		}
		return true
	}
	return false
}

// itemsElement answers a request for items, all or those that it names (XEP-0060 §6.5).
func itemsElement(request xmltok.Element, node string, list []item) xmltok.Element {
	var wanted []string
	for e := range request.Children() {
		if e.Is(nsPubsub, "item") {
			wanted = append(wanted, e.Get("id"))
		}
	}
	var w xmltok.Writer
	w.Start(nsPubsub, "pubsub").Start(nsPubsub, "items", xmltok.A("node", node))
	for _, it := range list {
		if len(wanted) == 0 || slices.Contains(wanted, it.id) {
			w.Start(nsPubsub, "item", xmltok.A("id", it.id)).Child(it.payload).End()
		}
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// read answers a request with something made of the contact's profile.
func (c *Contacts) read(ctx context.Context, iq *packet.IQ, foreign string, answer func(*Profile) xmltok.Element) {
	user, _, ok := c.user(iq.From)
	switch {
	case iq.Type != "get":
		c.reply(ctx, iq.Refuse("auth", "forbidden", "Profiles are kept where the contact is at home."))
		return
	case !ok || !c.opt.Allow(user):
		c.reply(ctx, iq.Refuse("auth", "forbidden", ""))
		return
	case !c.fresh(c.profiles.get(foreign)) && !c.lookups.take(user, c.opt.Now()):
		c.reply(ctx, iq.Refuse("wait", "resource-constraint", "Too many requests. Please try again later."))
		return
	}
	queued := c.lookup(ctx, foreign, func(ctx context.Context, p *Profile) {
		switch {
		case p.err == nil:
			c.reply(ctx, iq.Reply(answer(p)))
		case sdk.KindOf(p.err) == sdk.NotFound, sdk.KindOf(p.err) == sdk.Gone, sdk.KindOf(p.err) == sdk.Invalid:
			c.reply(ctx, iq.Refuse("cancel", "item-not-found", ""))
		case sdk.KindOf(p.err) == sdk.Forbidden:
			c.reply(ctx, iq.Refuse("auth", "forbidden", "This person does not want to be reached through the bridge."))
		default:
			c.reply(ctx, iq.Refuse("wait", "remote-server-timeout", "The other network does not answer."))
		}
	})
	if !queued {
		c.reply(ctx, iq.Refuse("wait", "resource-constraint", "Too many requests. Please try again later."))
	}
}

func (c *Contacts) reply(ctx context.Context, iq *packet.IQ) {
	if err := c.send(ctx, iq); err != nil {
		c.opt.Log.Debug("request not answered", "error", err)
	}
}
