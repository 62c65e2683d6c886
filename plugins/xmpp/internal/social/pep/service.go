package pep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Stream is what the service needs of the connection.
type Stream interface {
	Send(ctx context.Context, p packet.Stanza) error
}

// Publisher takes events; sdk.Host is one.
type Publisher interface {
	Publish(ctx context.Context, events ...sdk.Event) error
}

// Options are what a service is made of.
type Options struct {
	Store  *Store
	Subs   *Subscriptions
	Stream Stream
	Host   Publisher
	// Virtual reports whether a bare JID is the virtual address of a foreign actor.
	Virtual func(jid string) bool
	// Follows reports whether a local user (bare JID) may see what the actor of
	// the virtual address shows to followers only. nil: nobody may.
	Follows func(user, virtual string) bool
	// Subscribed is told when a user begins or ends a subscription to the
	// microblog of a virtual address, so that it can be followed in its own
	// network. It must not block. May be nil.
	Subscribed func(user, virtual string, on bool)
	NewID      func() string // ids of items that came without
	Now        func() time.Time
	Log        *slog.Logger
}

// Service answers pubsub requests to virtual addresses. Handle is called from one
// goroutine; the other methods may be called meanwhile.
type Service struct{ o Options }

// NewService makes a service. No I/O.
func NewService(o Options) *Service {
	if o.Follows == nil {
		o.Follows = func(string, string) bool { return false }
	}
	if o.Subscribed == nil {
		o.Subscribed = func(string, string, bool) {}
	}
	return &Service{o: o}
}

// Features are what a virtual address must advertise in disco#info, beside the
// identity pubsub/pep.
func Features() []string {
	return []string{
		pubsub.NS, pubsub.NS + "#access-open", pubsub.NS + "#access-presence", pubsub.NS + "#item-ids", pubsub.NS + "#persistent-items",
		pubsub.NS + "#publish", pubsub.NS + "#retract-items", pubsub.NS + "#retrieve-items", pubsub.NS + "#retrieve-subscriptions",
		pubsub.NS + "#rsm", pubsub.NS + "#subscribe", pubsub.NS + "#meta-data", pubsub.NSRSM, pubsub.NSDiscoItems,
		pubsub.NSMicroblog, pubsub.NSFeed, pubsub.NSAttachments, pubsub.NSPPS,
	}
}

// Mine reports whether a request is for this service.
func (s *Service) Mine(iq *packet.IQ) bool {
	p := iq.Payload
	switch {
	case p.Is(pubsub.NS, "pubsub"), p.Is(pubsub.NSOwner, "pubsub"), p.Is(pubsub.NSDiscoItems, "query"):
	case p.Is(packet.NSDiscoInfo, "query") && p.Get("node") != "":
		if k, _ := classify(bare(iq.To), p.Get("node")); k == kindNone {
			return false
		}
	default:
		return false
	}
	if p.Is(pubsub.NSDiscoItems, "query") {
		if k, _ := classify(bare(iq.To), p.Get("node")); k == kindNone && p.Get("node") != "" {
			return false // a list of commands, say
		}
	}
	return s.o.Virtual(bare(iq.To))
}

// request is one request with who asks, and of whom.
type request struct {
	pubsub.Request
	iq    *packet.IQ
	user  string // bare JID of who asks
	owner string // the virtual address
	kind  kind
	name  string // the node's one spelling: that of attachments holds a URI, which has several
	about pubsub.Address
	// access is what the node's items, or the node as a whole, may be seen by.
	access Access
}

// Handle answers a request. It never returns nil.
func (s *Service) Handle(ctx context.Context, iq *packet.IQ) *packet.IQ {
	user, err := packet.ParseJID(iq.From)
	owner, err2 := packet.ParseJID(iq.To)
	if err != nil || err2 != nil || user.Domainpart() == "" {
		return iq.Refuse("modify", "jid-malformed", "")
	}
	r := &request{iq: iq, user: user.Bare().String(), owner: owner.Bare().String()}
	var answer xmltok.Element
	switch {
	case iq.Payload.Is(pubsub.NSDiscoItems, "query"):
		r.Verb, r.Node = pubsub.VerbUnknown, iq.Payload.Get("node")
		r.Set = pubsub.ParseSet(iq.Payload)
		answer, err = s.discoItems(r)
	case iq.Payload.Is(packet.NSDiscoInfo, "query"):
		r.Node = iq.Payload.Get("node")
		answer, err = s.discoInfo(r)
	default:
		r.Request, _ = pubsub.ParseRequest(iq)
		answer, err = s.serve(ctx, r)
	}
	if err == nil {
		return iq.Reply(answer)
	}
	return pubsub.Refusal(iq, s.fault(err))
}

// fault gives the stanza error of an error.
func (s *Service) fault(err error) *packet.Error {
	var e *packet.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrTooMany):
		return pubsub.Fault("wait", "resource-constraint", "too-many-subscriptions")
	case errors.Is(err, ErrTooLarge):
		return pubsub.Fault("modify", "not-acceptable", "payload-too-big")
	}
	switch sdk.KindOf(err) {
	case sdk.Forbidden:
		return pubsub.Fault("auth", "forbidden", "")
	case sdk.Overloaded, sdk.RateLimited:
		return pubsub.Fault("wait", "resource-constraint", "")
	case sdk.TooLarge:
		return pubsub.Fault("modify", "not-acceptable", "payload-too-big")
	case sdk.Invalid, sdk.Unsupported:
		return pubsub.Fault("modify", "not-acceptable", "")
	default:
		s.o.Log.Warn("pubsub request not served", "error", err)
		return pubsub.Fault("wait", "internal-server-error", "")
	}
}

// serve answers the requests of the namespace pubsub.
func (s *Service) serve(ctx context.Context, r *request) (xmltok.Element, error) {
	switch r.Verb {
	case pubsub.VerbSubscriptions:
		return s.subscriptions(r), nil
	case pubsub.VerbAffiliations:
		return pubsub.AffiliationsResult(nil, ""), nil
	case pubsub.VerbOwner, pubsub.VerbCreate:
		return xmltok.Element{}, s.refuseOwner(r)
	case pubsub.VerbOptions:
		return xmltok.Element{}, pubsub.Unsupported("subscription-options")
	case pubsub.VerbDefault:
		return xmltok.Element{}, pubsub.Unsupported("retrieve-default-sub")
	case pubsub.VerbUnknown:
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "")
	default:
	}
	if r.Node == "" {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "nodeid-required")
	}
	err := s.enter(r)
	if r.Verb == pubsub.VerbUnsubscribe { // also from what is gone
		return s.unsubscribe(ctx, r)
	}
	if err != nil {
		return xmltok.Element{}, err
	}
	switch r.Verb {
	case pubsub.VerbItems:
		return s.items(r)
	case pubsub.VerbSubscribe:
		return s.subscribe(ctx, r)
	case pubsub.VerbPublish:
		return s.publish(ctx, r)
	default:
		return s.retract(ctx, r)
	}
}

// refuseOwner refuses to create or to manage nodes: they belong to people in
// another network. XEP-0470 §4.4 and XEP-0465 §5 say with which condition.
func (s *Service) refuseOwner(r *request) error {
	if k, _ := classify(r.owner, r.Node); k == kindAttachments || k == kindSummary {
		return pubsub.Fault("cancel", "not-allowed", "")
	}
	return pubsub.Fault("auth", "forbidden", "")
}

// enter finds out what the node is and whether the requester may see it. A node
// beside an item that the requester may not see is not found, as if it were not.
func (s *Service) enter(r *request) error {
	notFound := pubsub.Fault("cancel", "item-not-found", "")
	r.kind, r.about = classify(r.owner, r.Node)
	r.name = r.Node
	if r.kind == kindAttachments {
		r.name = attach.Node(r.about)
	}
	switch r.kind {
	case kindNone:
		return notFound
	case kindComments, kindAttachments:
		it, ok, err := s.o.Store.Get(r.about)
		if err != nil {
			return err
		}
		if !ok || !s.visible(it, r) {
			return notFound
		}
		r.access = it.Access
	default:
	}
	return nil
}

// visible reports whether the requester may see an item.
func (s *Service) visible(it Item, r *request) bool {
	return it.Access == Open || it.Publisher == r.user || s.o.Follows(r.user, r.owner)
}

// bare gives a JID without its resource.
func bare(j string) string {
	for i := range len(j) {
		if j[i] == '/' {
			return j[:i]
		}
	}
	return j
}
