package doctor

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/privilege"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// rooms checks the MUC service and each configured room (XEP-0045 §6).
func rooms(ctx context.Context, o *Options, r *Report, c *connection, services []entity) {
	known := map[string]entity{}
	for _, e := range services {
		if e.is("conference/text") {
			known[e.address] = e
		}
	}
	if len(o.Rooms) == 0 {
		if e, ok := first(services, "conference/text"); ok {
			r.add("rooms", e.address, OK, "has rooms; the link uses none")
		} else {
			r.add("rooms", o.Server, Warn, "has no service for rooms", roomRemedies(o, "muc."+o.Server)...)
		}
		return
	}
	seen := map[string]bool{}
	for _, room := range o.Rooms {
		domain := domainOf(room)
		service, ok := known[domain]
		if !ok {
			var err error
			if service, err = c.info(ctx, domain); err != nil {
				if !seen[domain] {
					r.add("rooms", domain, Fail, said(err), roomRemedies(o, domain)...)
				}
				seen[domain] = true
				continue
			}
			known[domain] = service
		}
		if !seen[domain] {
			r.add("rooms", domain, OK, "has rooms")
			seen[domain] = true
		}
		oneRoom(ctx, o, r, c, service, room)
	}
}

// roomRemedies give the server a service for rooms.
func roomRemedies(o *Options, domain string) []Remedy {
	if !own(o, domain) {
		return nil
	}
	return []Remedy{
		prosody("a section of its own, at the end", `Component "`+domain+`" "muc"`, "\t"+modules("muc_mam")),
		ejabberd("modules:", "mod_muc:", `  host: "`+domain+`"`, "  default_room_options:", "    mam: true", "    persistent: true"),
	}
}

// oneRoom checks that a room exists and what it can do.
func oneRoom(ctx context.Context, o *Options, r *Report, c *connection, service entity, room string) {
	e, err := c.info(ctx, room)
	switch {
	case condition(err) == "item-not-found" && o.Create:
		r.add("room", room, OK, "does not exist yet; the link will make it")
		return
	case condition(err) == "item-not-found":
		r.add("room", room, Fail, "does not exist; make it with any client, or let the link make it",
			Remedy{Server: "bridgehost", Where: "[link." + o.Link + ".config]", Lines: []string{"create_rooms = true"}})
		return
	case err != nil:
		r.add("room", room, Fail, said(err))
		return
	}
	r.add("room", room, OK, "exists")
	feature := func(check string, bad Status, have bool, yes, no string, remedies ...Remedy) {
		switch {
		case have:
			r.add(check, room, OK, yes)
		case own(o, room):
			r.add(check, room, bad, no, remedies...)
		default:
			r.add(check, room, bad, no+"; its server is not yours to change")
		}
	}
	archive := archiveRemedies(service.address, room, service.has(nsMAM))
	feature("room-archive", Fail, e.has(nsMAM), "is archived (XEP-0313)", "is not archived (XEP-0313): what is said while the bridge is down is lost to it", archive...)
	feature("room-stanza-id", Warn, e.has(packet.NSStanzaID), "names messages (XEP-0359)",
		"does not name messages (XEP-0359): reactions and replies cannot refer to them surely", archive...)
	feature("room-occupants", Warn, e.has(nsOccupantID), "names occupants (XEP-0421)",
		"does not name occupants (XEP-0421): who comes back under another nick is taken for another person",
		prosody(`Component "`+service.address+`" "muc"`, modules("muc_mam", "muc_occupant_id")).remark("Prosody 0.12 and later have it without the line."),
		ejabberd("modules:", "mod_muc_occupantid: {}").remark("Needs ejabberd 23.10 or later."))
	feature("room-moderation", Warn, e.has(nsModerate) || e.has(nsModerate0), "lets moderators take messages back (XEP-0425)",
		"does not let moderators take messages back (XEP-0425)",
		prosody(`Component "`+service.address+`" "muc"`, modules("muc_mam", "muc_moderation")).remark("mod_muc_moderation is in Debian's package prosody-modules."),
		ejabberd("modules:", "mod_mam: {}").remark("Needs ejabberd 24.06 or later."))
}

// grants tells what the server grants the component (XEP-0356, XEP-0355).
func grants(o *Options, r *Report, c *connection) {
	g := c.grants.Grants(o.Server)
	var have []string
	add := func(ok bool, what string) {
		if ok {
			have = append(have, what)
		}
	}
	add(g.Roster != privilege.Access{}, "roster "+g.Roster.String())
	add(g.Message, "message")
	add(g.Presence != "", "presence "+g.Presence)
	add(g.IQ[nsPubsub] != privilege.Access{}, "pubsub "+g.IQ[nsPubsub].String())
	if len(have) == 0 {
		r.add("privilege", o.Server, Warn, "grants nothing (XEP-0356): people add contacts themselves, and their blogs are read only where they are open", grantRemedies(o)...)
	} else {
		r.add("privilege", o.Server, OK, "grants "+strings.Join(have, ", ")+" (XEP-0356)")
	}
	if len(g.Delegated) == 0 {
		r.add("delegation", o.Server, OK, "delegates nothing (XEP-0355), and nothing needs it")
		return
	}
	var spaces []string
	for ns := range g.Delegated {
		spaces = append(spaces, ns)
	}
	r.add("delegation", o.Server, OK, "delegates "+strings.Join(sorted(spaces), ", ")+" (XEP-0355)")
}

// accounts checks what the server gives its users, as far as a component sees it.
func accounts(o *Options, r *Report, server entity) {
	feature(r, server, "blocking", nsBlocking, "people can block addresses of the bridge (XEP-0191)", "people cannot block addresses of the bridge (XEP-0191)",
		prosody(`VirtualHost "`+o.Server+`"`, modules("blocklist")).remark(beside), ejabberd("modules:", "mod_privacy: {}", "mod_blocking: {}"))
	feature(r, server, "vcard", nsVCard, "people have profiles (XEP-0054)", "people have no profiles (XEP-0054)",
		prosody(`VirtualHost "`+o.Server+`"`, modules("vcard4", "vcard_legacy")).remark(beside), ejabberd("modules:", "mod_vcard: {}", "mod_avatar: {}"))
	if server.is("pubsub/pep") {
		r.add("pep", o.Server, OK, "people have nodes of their own (XEP-0163)")
		return
	}
	r.add("pep", o.Server, Skip, "the server does not show a component whether people have nodes of their own (XEP-0163); every client shows it")
}

func pepRemedies(o *Options) []Remedy {
	return []Remedy{
		prosody(`VirtualHost "`+o.Server+`"`, modules("pep")).remark("Prosody has it unless modules_disabled names it."),
		ejabberd("modules:", "mod_pubsub:", `  plugins: ["flat", "pep"]`, "mod_caps: {}"),
	}
}

// feature notes whether an entity has a feature.
func feature(r *Report, e entity, check, ns, yes, no string, remedies ...Remedy) {
	if e.has(ns) {
		r.add(check, e.address, OK, yes)
		return
	}
	r.add(check, e.address, Warn, no, remedies...)
}

// ownAccount checks what the link's account has.
func ownAccount(ctx context.Context, o *Options, r *Report, c *connection) {
	j, err := packet.ParseJID(c.jid)
	if err != nil {
		r.add("account", c.jid, Fail, "the server gave an address that is none")
		return
	}
	account, err := c.info(ctx, j.Bare().String())
	if err != nil {
		r.add("account", account.address, Fail, said(err))
		return
	}
	host := `VirtualHost "` + o.Server + `"`
	feature(r, account, "archive", nsMAM, "is archived (XEP-0313)", "is not archived (XEP-0313): what is written while the bridge is down is lost to it",
		prosody(host, modules("mam")).remark(beside), ejabberd("modules:", "mod_mam:", "  default: always"))
	if account.is("pubsub/pep") {
		r.add("pep", account.address, OK, "has nodes of its own (XEP-0163)")
	} else {
		r.add("pep", account.address, Warn, "has no nodes of its own (XEP-0163)", pepRemedies(o)...)
	}
	server, err := c.info(ctx, o.Server)
	if err != nil {
		r.add("carbons", o.Server, Warn, said(err))
		return
	}
	feature(r, server, "carbons", nsCarbons, "copies messages to all devices (XEP-0280)", "does not copy messages to all devices (XEP-0280)",
		prosody(host, modules("carbons")).remark(beside), ejabberd("modules:", "mod_carboncopy: {}"))
}

// trial is a node that lives for one check.
type trial struct {
	c       *connection
	service string
	node    string
}

// do sends a request about the node.
func (t trial) do(ctx context.Context, space, verb string, inner func(*xmltok.Writer)) (*packet.IQ, error) {
	var w xmltok.Writer
	w.Start(space, "pubsub").Start(space, verb, xmltok.A("node", t.node))
	if inner != nil {
		inner(&w)
	}
	payload, err := w.Element()
	if err != nil {
		return nil, err
	}
	return t.c.ask(ctx, t.service, "set", payload)
}

// pubsub checks the pubsub service by a node that is made and taken away.
func pubsub(ctx context.Context, o *Options, r *Report, c *connection, services []entity) {
	candidates := o.Nodes
	if e, ok := first(services, "pubsub/service"); ok && len(candidates) == 0 {
		candidates = []string{e.address}
	}
	if len(candidates) == 0 {
		r.add("pubsub", o.Server, Warn, "has no pubsub service (XEP-0060)", pubsubRemedies(o, "")...)
		return
	}
	for _, address := range candidates {
		e, err := c.info(ctx, address)
		if err != nil {
			r.add("pubsub", address, Fail, said(err), pubsubRemedies(o, address)...)
			continue
		}
		r.add("pubsub", address, OK, "has nodes (XEP-0060)")
		if !e.has(nsPubsub + "#persistent-items") {
			r.add("pubsub-items", address, Warn, "does not keep items")
		}
		t := trial{c: c, service: address, node: "bridgehost-doctor-" + strings.ToLower(rand.Text()[:12])}
		t.run(ctx, o, r)
	}
}

// run makes the node, uses it and deletes it.
func (t trial) run(ctx context.Context, o *Options, r *Report) {
	if _, err := t.do(ctx, nsPubsub, "create", nil); err != nil {
		r.add("pubsub-create", t.service, Warn, "does not let the link make nodes: "+said(err), pubsubRemedies(o, t.service)...)
		return
	}
	r.add("pubsub-create", t.service, OK, "lets the link make nodes")
	defer func() {
		// Also after ctx has ended: what was made must go.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Timeout)
		defer cancel()
		if _, err := t.do(ctx, nsPubsub+"#owner", "delete", nil); err != nil {
			r.add("pubsub-delete", t.service, Warn, "does not delete the node "+t.node+" of this check: "+said(err))
		}
	}()
	jid := t.c.from
	if jid == "" {
		jid = t.c.jid
	}
	var w xmltok.Writer
	subscribe, err := w.Start(nsPubsub, "pubsub").Start(nsPubsub, "subscribe", xmltok.A("node", t.node), xmltok.A("jid", jid)).Element()
	if err == nil {
		_, err = t.c.ask(ctx, t.service, "set", subscribe)
	}
	for _, id := range []string{"one", "two"} {
		if err == nil {
			_, err = t.do(ctx, nsPubsub, "publish", func(w *xmltok.Writer) {
				w.Start(nsPubsub, "item", xmltok.A("id", id)).Start("urn:xmpp:bridgehost:doctor", "check").End().End()
			})
		}
	}
	if err != nil {
		r.add("pubsub-use", t.service, Fail, "does not let the link use its node: "+said(err), pubsubRemedies(o, t.service)...)
		return
	}
	t.publisher(ctx, o, r)
	t.pages(ctx, r)
}

// publisher looks whether notifications name the publisher (XEP-0060 §7.1.2.3).
func (t trial) publisher(ctx context.Context, o *Options, r *Report) {
	timeout := time.NewTimer(o.Timeout)
	defer timeout.Stop()
	for {
		select {
		case m := <-t.c.events:
			e, _ := m.Extension(nsPubsub+"#event", "event")
			items, _ := e.Child(nsPubsub+"#event", "items")
			item, ok := items.Child(nsPubsub+"#event", "item")
			if !ok || items.Get("node") != t.node || !packet.SameJID(m.From, t.service) {
				continue
			}
			if item.Get("publisher") != "" {
				r.add("pubsub-author", t.service, OK, "names the publisher of an item")
				return
			}
			r.add("pubsub-author", t.service, Fail, "does not name the publisher of an item, so that nobody can be believed to have written it",
				prosody(`Component "`+t.service+`" "pubsub"`, "expose_publisher = true"),
				ejabberd("modules:", "mod_pubsub:", "  default_node_config:", "    itemreply: publisher"))
			return
		case <-timeout.C:
			r.add("pubsub-author", t.service, Fail, "does not notify subscribers")
			return
		case <-ctx.Done():
			return
		}
	}
}

// pages looks whether items can be read in pages (XEP-0059).
func (t trial) pages(ctx context.Context, r *Report) {
	var w xmltok.Writer
	payload, err := w.Start(nsPubsub, "pubsub").Start(nsPubsub, "items", xmltok.A("node", t.node)).End().
		Start(nsRSM, "set").Start(nsRSM, "max").Text("1").Element()
	if err != nil {
		return
	}
	answer, err := t.c.ask(ctx, t.service, "get", payload)
	if err != nil {
		r.add("pubsub-pages", t.service, Warn, said(err))
		return
	}
	items, _ := answer.Payload.Child(nsPubsub, "items")
	n := 0
	for range items.Children() {
		n++
	}
	_, paged := answer.Payload.Child(nsRSM, "set")
	switch {
	case n == 0:
		r.add("pubsub-items", t.service, Fail, "does not keep items")
	case n == 1 && paged:
		r.add("pubsub-pages", t.service, OK, "gives items in pages (XEP-0059)")
	default:
		r.add("pubsub-pages", t.service, OK, "gives all items at once (no XEP-0059); the bridge pages from its own store")
	}
}
