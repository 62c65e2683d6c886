// Package social carries posts: nodes of pubsub services and of users (XEP-0060,
// XEP-0163) as places, microblogs and social feeds (XEP-0277, XEP-0472) with
// their comments, repeats and attachments (XEP-0470), and the microblogs of
// foreign actors, which package pep keeps and serves.
//
// # Places
//
//	node:SERVICE/NODE   a node of a route; SERVICE is a service or, for PEP, a user
//	romeo@x.example *   the microblog of a local user, in a gateway
//	* bob@m.example     the microblog of a foreign actor, in a gateway
//
// # Reading
//
// A node that is read is subscribed to, and its newest items are read once after
// each connection. The publisher that the service names is the author; where it
// names none, the owner of a PEP node is. Else the node itself is the actor:
// nobody speaks for somebody else. In a gateway such items do not cross. Items of
// an unknown access model count as for followers. Comments and attachments of the
// newest posts are followed, too.
//
// # Writing
//
// An item's id follows from the host's name of it, so that writing again does no
// harm. On a node of a route all items are published by the link itself, and name
// their author. Nothing that is for followers is published on an open node: the
// node's access model is looked up, and stated as a precondition (publish-options).
package social

import (
	"context"
	"log/slog"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Stream is what the package needs of the connection.
type Stream interface {
	Send(ctx context.Context, p packet.Stanza) error
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// Host is what the package needs of the host.
type Host interface {
	Publish(ctx context.Context, events ...sdk.Event) error
	Report(ctx context.Context, reports ...sdk.Report) error
	Store() sdk.Store
}

// Options are what a Social is made of.
type Options struct {
	Link sdk.LinkID
	Self string // bare JID that subscribes and publishes: the component's domain or the account
	Dir  string // folder for the items of foreign actors; may be lost

	// Virtual gives the virtual address (bare JID) of a foreign address; nil
	// where the link is part of no gateway.
	Virtual func(foreign string) (string, error)
	// Foreign gives the foreign address of a virtual one, an error for any other
	// JID. Set with Virtual.
	Foreign func(virtual string) (string, error)
	// Follows reports whether a local user follows a foreign actor, with its
	// consent, and so may see what is for followers only. nil: nobody does.
	Follows func(own, foreign string) bool
	// Subscribed is told when a local user begins or ends a subscription to the
	// microblog of a foreign actor. It must not block. May be nil.
	Subscribed func(own, foreign string, on bool)
	// AsUser sends a request in the name of a local user (From), where the server
	// grants that (XEP-0356), and fails elsewhere. With it, posts of local users get
	// their attachments nodes when a foreign actor reacts. May be nil.
	AsUser func(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
	// Consents reports whether the comments and reactions of a local user, whose
	// own feed nobody follows, may cross. nil: they may.
	Consents func(own string) bool

	Newest   int           // items that are read of a node at each connection; default 20
	Comments int           // newest posts of a node whose comments and attachments are followed; default 10, negative: none
	Retry    time.Duration // pause before a node that refused is asked again; default 10 min
	Poll     time.Duration // pause after which a node is read again, whether it notifies or not; default 15 min, negative: never
	NewID    func() string // ids of comments that came without; default random
	Now      func() time.Time
	Log      *slog.Logger
}
