package xmpp

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/account"
	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/chat"
	"bridgehost/plugins/xmpp/internal/contact"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/privilege"
	"bridgehost/plugins/xmpp/internal/queue"
	"bridgehost/plugins/xmpp/internal/service"
	"bridgehost/plugins/xmpp/internal/social"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/upload"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// parts are what a link consists of beside its rooms.
type parts struct {
	chats    *chat.Chats
	social   *social.Social
	contacts *contact.Contacts // nil where the link is part of no gateway, as the next two
	service  *service.Service
	users    *service.Users
	gate     *address.Component
	asks     *queue.Queue // follows that are told to the other network
	fetch    *upload.Guarded
	upload   *upload.Uploader
	granted  *privilege.Entity // nil where the link is an account
	account  *account.Account  // nil where the link is a component
}

// website names the software in capabilities (XEP-0115 §4).
const website = "https://bridgehost.example/"

// maxAsks bounds the follows that wait to be told.
const maxAsks = 1024

// maxUsers bounds the people whose registration is kept.
const maxUsers = 20_000

// newParts makes the parts of a link.
func (l *link) newParts(cfg sdk.Config) error {
	private, err := networks(l.s.Private)
	if err != nil {
		return err
	}
	uploads, err := networks(l.s.Upload.Allow)
	if err != nil {
		return err
	}
	l.parts.fetch = upload.NewGuarded(netguard.New(private...), 10*time.Second, "bridgehost/"+Version)
	l.parts.upload = upload.New((*sender)(l.sess), upload.Options{
		Server: l.s.server(), Service: l.s.Upload.Service, Guard: netguard.New(uploads...), Plain: l.s.Upload.Plaintext,
		Fetcher: l.parts.fetch, Foreign: l.s.Media == mediaUpload, Dir: cfg.Dir, MaxSize: int64(l.s.Upload.MaxSize), Now: time.Now,
	})
	o := chat.Options{
		Tag: l.tag(), Resource: l.s.Resource, Link: cfg.Link, Peer: cfg.Gateway, Own: l.own(),
		MaxText: int(l.s.Limits.MaxText), Now: time.Now, Log: l.host.Log(),
	}
	so := social.Options{
		Link: cfg.Link, Self: l.own(), Dir: filepath.Join(cfg.Dir, "nodes"), Now: time.Now, Log: l.host.Log(),
	}
	if l.s.Mode == modeComponent {
		o.From = l.s.Domain + "/" + l.s.Resource
		l.parts.granted = privilege.New((*sender)(l.sess), privilege.Options{
			Component: l.s.Domain, Servers: append([]string{l.s.server()}, l.s.Gateway.Local...), Log: l.host.Log(),
			Changed: func(string) { l.restate() },
		})
	}
	if l.granted != nil {
		so.AsUser = l.granted.IQ
	}
	if cfg.Gateway != "" {
		gate := address.Component{Domain: l.s.Domain, Local: l.s.Gateway.Local}
		users := service.NewUsers(l.host.Store(), maxUsers)
		allow := func(user string) bool {
			return l.s.may(user) && users.Allowed(user, service.Registration(l.s.Gateway.Registration))
		}
		l.parts.users, o.Allow, so.Consents = users, allow, allow
		l.parts.contacts = contact.New(contact.Options{
			Address: gate, Peer: cfg.Gateway, Resource: l.s.Resource, Nodes: []string{pubsub.NSMicroblog}, Caps: website, Features: append(chat.Features(), social.Features()...),
			Hide: l.s.Gateway.HidePresence, Allow: allow, Fetch: avatars{l.parts.fetch}, Now: time.Now, Log: l.host.Log(),
			MaxContacts: l.s.Gateway.MaxContacts, MaxUsers: l.s.Gateway.MaxUsers, Requests: float64(l.s.Gateway.Requests),
			Lookups: float64(l.s.Gateway.Lookups), MaxAvatar: int64(l.s.Gateway.MaxAvatar), Expiry: l.s.Gateway.Expiry,
			Names: l.inRosters(), Group: l.s.Gateway.Group,
		}, (*sender)(l.sess), followers{l.host, l})
		so.Follows, so.Subscribed = l.follows, l.subscribed
		l.parts.asks = queue.New(l.host, maxAsks, nil, l.host.Log())
		o.Gateway, l.parts.gate = &gate, &gate
		o.Name = func(bare string) string { return l.contacts.Actor(bare).Name }
		l.parts.service = service.New(service.Options{
			Address: gate, Type: l.s.Gateway.Network, Name: l.s.Gateway.Name, Resource: l.s.Resource, Example: l.s.Gateway.Example,
			Registration: service.Registration(l.s.Gateway.Registration), May: l.s.may, Admins: l.s.Gateway.Admins,
			Addresses: l.s.Gateway.Addresses, Features: ownFeatures(), Now: time.Now, Log: l.host.Log(),
		}, (*sender)(l.sess), l.parts.contacts, users)
		so.Virtual = func(foreign string) (string, error) {
			j, err := gate.Virtual(foreign)
			return j.String(), err
		}
		so.Foreign = func(virtual string) (string, error) {
			j, err := packet.ParseJID(virtual)
			if err != nil {
				return "", err
			}
			return gate.Foreign(j)
		}
	}
	if l.s.Mode == modeClient {
		l.parts.account = account.New(account.Options{
			JID: l.own(), Approval: account.Approval(l.s.Approve), Talks: func(bare string) bool { return l.chats.Talks(bare) },
			Take: l.conversation, After: func(ctx context.Context, done func()) error { return l.chats.After(ctx, done) },
			MaxAge: cmp.Or(l.s.CatchUp, -1), MaxCount: l.s.CatchMax, Now: time.Now, Log: l.host.Log(),
		}, (*sender)(l.sess), l.host.Store())
	}
	l.parts.chats = chat.New(o, (*sender)(l.sess), l.host)
	l.parts.social = social.New(so, (*sender)(l.sess), l.host)
	return nil
}

// own is the link's own bare JID.
func (l *link) own() string {
	if l.s.Mode == modeComponent {
		return l.s.Domain
	}
	return l.s.account.String()
}

// grants says for people what the servers grant us (XEP-0356, XEP-0355), empty
// for nothing.
func (l *link) grants() string {
	if l.granted == nil {
		return ""
	}
	var out []string
	seen := map[string]bool{}
	for _, domain := range append([]string{l.s.server()}, l.s.Gateway.Local...) {
		g := l.granted.Grants(domain)
		if seen[domain] || !g.Any() {
			continue
		}
		seen[domain] = true
		words := []string{}
		if g.Roster.Get || g.Roster.Set {
			words = append(words, "rosters ("+g.Roster.String()+")")
		}
		for _, ns := range slices.Sorted(maps.Keys(g.IQ)) {
			words = append(words, "requests of "+ns+" ("+g.IQ[ns].String()+")")
		}
		if g.Message {
			words = append(words, "messages")
		}
		if g.Presence != "" {
			words = append(words, "presence")
		}
		if n := len(g.Delegated); n > 0 {
			words = append(words, "delegated requests")
		}
		out = append(out, domain+" grants "+strings.Join(words, ", "))
	}
	if len(out) == 0 {
		return ""
	}
	return "; " + strings.Join(out, "; ")
}

// rosters names contacts in people's rosters, where their server grants that
// (XEP-0356 §4).
type rosters struct{ granted *privilege.Entity }

var _ contact.Namer = rosters{}

// inRosters gives what contacts are named by, nil where there is nothing to ask.
func (l *link) inRosters() contact.Namer {
	if l.parts.granted == nil {
		return nil
	}
	return rosters{l.parts.granted}
}

// Granted implements contact.Namer.
func (r rosters) Granted(user string) bool {
	access := r.granted.HasRoster(user)
	return access.Get && access.Set
}

// Entry implements contact.Namer.
func (r rosters) Entry(ctx context.Context, user, virtual string) (contact.RosterEntry, bool, error) {
	list, err := r.granted.Roster(ctx, user)
	if err != nil {
		return contact.RosterEntry{}, false, err
	}
	for _, it := range list {
		if packet.SameJID(it.JID, virtual) {
			return contact.RosterEntry{Name: it.Name, Groups: it.Groups, Subscription: it.Subscription}, true, nil
		}
	}
	return contact.RosterEntry{}, false, nil
}

// SetEntry implements contact.Namer.
func (r rosters) SetEntry(ctx context.Context, user, virtual string, e contact.RosterEntry) error {
	return r.granted.SetRoster(ctx, user, privilege.RosterItem{JID: virtual, Name: e.Name, Groups: e.Groups, Subscription: e.Subscription})
}

// avatars reads pictures for contacts.
type avatars struct{ from *upload.Guarded }

var _ contact.Fetcher = avatars{}

// Fetch implements contact.Fetcher.
func (a avatars) Fetch(ctx context.Context, url string, limit int64) ([]byte, string, error) {
	body, mediaType, err := a.from.Fetch(ctx, url, limit)
	if err != nil {
		return nil, "", err
	}
	data, err := io.ReadAll(body)
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, "", fmt.Errorf("fetch picture: %w", err)
	}
	return data, mediaType, nil
}

// rehost gives files an address on our server: those that have none, and all
// where the operator wants that. A file that waiting may help makes its delivery,
// and those after it, be tried again. lost is what files did not get, by delivery.
func (l *link) rehost(ctx context.Context, batch []sdk.Delivery) (ready []sdk.Delivery, lost map[sdk.DeliveryID][]sdk.Loss, later *sdk.Error) {
	for i := range batch {
		ev := &batch[i].Event
		it := ev.Item()
		if it == nil || !slices.ContainsFunc(it.Media, func(m sdk.Media) bool { return m.URL == "" || l.s.Media == mediaUpload }) {
			continue
		}
		from := ""
		if l.s.Mode == modeComponent {
			from = l.s.Domain
		}
		media, kept, err := l.parts.upload.RehostAll(ctx, from, it.Media)
		if err != nil {
			return batch[:i], lost, err
		}
		if len(kept) > 0 {
			if lost == nil {
				lost = map[sdk.DeliveryID][]sdk.Loss{}
			}
			lost[batch[i].ID] = kept
		}
		it.Media = media
		batch[i].Event = ev.WithItem(*it)
	}
	return batch, lost, nil
}

// run runs the parts until ctx ends.
func (p *parts) run(ctx context.Context, wg *sync.WaitGroup, failed func(error)) {
	wg.Go(func() { p.chats.Run(ctx) })
	wg.Go(func() {
		if err := p.social.Run(ctx); err != nil && ctx.Err() == nil {
			failed(fmt.Errorf("run pubsub: %w", err))
		}
	})
	if p.account != nil {
		wg.Go(func() {
			if err := p.account.Run(ctx); err != nil && ctx.Err() == nil {
				failed(fmt.Errorf("run account: %w", err))
			}
		})
	}
	if p.contacts != nil {
		wg.Go(func() { p.asks.Run(ctx) })
		wg.Go(func() {
			if err := p.contacts.Run(ctx); err != nil && ctx.Err() == nil {
				failed(fmt.Errorf("run contacts: %w", err))
			}
		})
		wg.Go(func() {
			if err := p.service.Run(ctx); err != nil && ctx.Err() == nil {
				failed(fmt.Errorf("run service: %w", err))
			}
		})
	}
}

// up tells the parts that the stream is up.
func (p *parts) up(resumed bool) {
	p.social.StreamUp(resumed)
	if p.account != nil {
		p.account.StreamUp(resumed)
	}
	if p.contacts != nil {
		p.contacts.StreamUp(resumed)
	}
}

// down tells the parts that it is not.
func (p *parts) down() {
	p.social.StreamDown()
	p.upload.Forget()
	if p.granted != nil {
		p.granted.Forget()
	}
	if p.contacts != nil {
		p.contacts.StreamDown()
	}
}

// usePlaces gives the parts their places of the routes.
func (p *parts) usePlaces(places []sdk.PlaceUse) {
	chats := map[string]sdk.RemoteID{}
	for _, use := range places {
		if at, err := parsePlace(use.ID); err == nil && at.kind == placeChat {
			chats[at.jid] = use.ID
		}
	}
	p.chats.SetPlaces(chats)
	p.social.SetNodes(places)
}

// Resolve implements sdk.Resolver: it says what is known of one of our people.
func (l *link) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	if l.parts.contacts == nil {
		return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "the link is part of no gateway")
	}
	a, err := l.parts.contacts.Profile(ctx, address)
	if err != nil {
		return sdk.Resolved{}, sdk.AsError("resolve "+address, err)
	}
	return sdk.Resolved{Actor: &a}, nil
}

// Inform implements sdk.Informed.
func (l *link) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	if l.contacts != nil {
		for _, o := range outcomes {
			l.contacts.Inform(ctx, o)
		}
	}
	return l.chats.Inform(ctx, outcomes)
}

// elsewhere delivers what is for no room, and reports false for what is.
func (l *link) elsewhere(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, bool) {
	place := batch[0].Place
	own, _, gate := sdk.SplitPeerPlace(place)
	at, err := parsePlace(place)
	switch {
	case gate && l.parts.contacts == nil:
		return refuse(batch, sdk.Errorf(sdk.NotFound, "deliver to "+string(place), "the link is part of no gateway")), true
	case gate && own == sdk.PeerAll:
		return l.inRuns(batch, byFeed, func(run []sdk.Delivery, contacts bool) []sdk.Receipt {
			if contacts {
				return l.toContacts(ctx, run)
			}
			return l.parts.social.Deliver(ctx, run)
		}), true
	case gate:
		return l.inRuns(batch, byChat, func(run []sdk.Delivery, contacts bool) []sdk.Receipt {
			if contacts {
				return l.toContacts(ctx, run)
			}
			return l.parts.chats.Deliver(ctx, run)
		}), true
	case err == nil && at.kind == placeChat:
		return l.parts.chats.Deliver(ctx, batch), true
	case err == nil && at.kind == placeNode:
		return l.parts.social.Deliver(ctx, batch), true
	default:
		return nil, false
	}
}

// byFeed and byChat report what of a feed and of a chat is about the contact.
func byFeed(ev *sdk.Event) bool { return contact.Takes(ev.Kind()) }

func byChat(ev *sdk.Event) bool {
	if s, ok := ev.Change.(sdk.Signal); ok {
		return contact.TakesSignal(s.Signal)
	}
	return contact.Takes(ev.Kind())
}

// inRuns delivers a batch in its order, as runs that one part takes. After a run
// that must be tried again nothing more is sent.
func (l *link) inRuns(batch []sdk.Delivery, of func(*sdk.Event) bool, deliver func(run []sdk.Delivery, contacts bool) []sdk.Receipt) []sdk.Receipt {
	out := make([]sdk.Receipt, 0, len(batch))
	for len(batch) > 0 {
		which, n := of(&batch[0].Event), 1
		for n < len(batch) && of(&batch[n].Event) == which {
			n++
		}
		got := deliver(batch[:n], which)
		out, batch = append(out, got...), batch[n:]
		for _, r := range got {
			if r.Err != nil && r.Err.Kind.Temporary() {
				return append(out, refuse(batch, r.Err)...)
			}
		}
	}
	return out
}

// toContacts delivers what is about contacts.
func (l *link) toContacts(ctx context.Context, run []sdk.Delivery) []sdk.Receipt {
	out := make([]sdk.Receipt, 0, len(run))
	for i := range run {
		r := l.parts.contacts.Deliver(ctx, run[i])
		out = append(out, r)
		if r.Err != nil && r.Err.Kind.Temporary() {
			return append(out, refuse(run[i+1:], r.Err)...)
		}
		l.unfollowed(&run[i])
	}
	return out
}

// refuse answers deliveries that are not sent.
func refuse(batch []sdk.Delivery, err *sdk.Error) []sdk.Receipt {
	out := make([]sdk.Receipt, len(batch))
	for i, d := range batch {
		out[i] = sdk.Receipt{Delivery: d.ID, Err: err, Unsent: true}
	}
	return out
}

var _ chat.Stream = (*sender)(nil)

// Start implements chat.Stream.
func (s *sender) Start(ctx context.Context, p stanza.Packet) (chat.Pending, error) {
	pending, err := (*stream.Session)(s).Start(ctx, p, true)
	if err != nil {
		return nil, err
	}
	return pending, nil
}
