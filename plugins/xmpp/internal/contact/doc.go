// Package contact makes the people of another network contacts of XMPP users: each foreign address is a JID of a component's domain, with
// subscriptions in both directions, presence, capabilities, profile and avatar.
//
// The package stands where the server of such a contact would stand (RFC 6121 Appendix A): it knows, for each user and each foreign
// address, who may see whose presence, keeps that in the link's store, and shows presence to nobody else. What a user does becomes an event
// in the place of the two (sdk.PeerPlace), and what the foreign actor does comes as a delivery to that place.
//
// Handlers are called from the stream's goroutine and return soon; look-ups of profiles run in a bounded pool inside Run, and so does
// everything that is published.
package contact

import (
	"context"
	"log/slog"
	"time"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Stream sends stanzas.
type Stream interface {
	// Send queues a stanza; an error that wraps stream.ErrNotWritten says that nothing was sent.
	Send(ctx context.Context, p packet.Stanza) error
	// IQ sends a request and waits for the answer.
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// Host is what contacts ask of the host. Every sdk.Host is one.
type Host interface {
	// Publish hands over events; nil means that they are on disk.
	Publish(ctx context.Context, events ...sdk.Event) error
	// Resolve asks the other network about one of its addresses.
	Resolve(ctx context.Context, foreign string) (sdk.Resolved, error)
	// Store keeps values of the link.
	Store() sdk.Store
}

// Fetcher gets files of the other network.
type Fetcher interface {
	// Fetch gets what a URL names and its media type. It must give up, before it has buffered them, when there are more than limit bytes,
	// and must not reach into private networks.
	Fetch(ctx context.Context, url string, limit int64) (data []byte, mediaType string, err error)
}

// RosterEntry is what a user's roster says of a contact (RFC 6121 §2.1.2).
type RosterEntry struct {
	Name         string
	Groups       []string
	Subscription string // none, to, from or both; remove takes the entry out
}

// Namer changes rosters of users whose server lets it (XEP-0356 §4).
type Namer interface {
	// Granted reports whether the user's server grants that now.
	Granted(user string) bool
	// Entry reads the entry of a virtual JID, and reports whether there is one.
	Entry(ctx context.Context, user, virtual string) (RosterEntry, bool, error)
	// SetEntry writes it.
	SetEntry(ctx context.Context, user, virtual string, e RosterEntry) error
}

// Options configure Contacts. Zero values mean the default that is named at each field.
type Options struct {
	Address  address.Component // required
	Peer     sdk.LinkID        // the other link of the gateway
	Resource string            // resource of the presence of virtual JIDs; default "bridgehost"
	Caps     string            // node of capabilities (XEP-0115), a URL of the software; default "https://bridgehost.example/"
	Features []string          // features of virtual JIDs beyond those of this package, such as those of chats
	// Nodes are PEP nodes of contacts beyond those of this package, for lists (XEP-0030 §4).
	Nodes []string
	// Allow decides whether a local user, a bare JID, may use the gateway; nil allows everybody.
	Allow func(user string) bool
	// Hide shows people whose network never told their presence as absent. Without it they are shown as available, so that clients see
	// their capabilities and avatars.
	Hide bool
	// Names gives contacts their names in rosters; nil leaves that to people. Group is the group that it puts them into, empty for none.
	Names Namer
	Group string
	// Fetch gets avatars; nil leaves out those that are not carried along.
	Fetch Fetcher

	MaxContacts int           // contacts of one user; default 500
	MaxUsers    int           // users with contacts; default 5,000
	Requests    float64       // subscription requests of one user in an hour, half of them at once; default 120
	AllRequests float64       // subscription requests of all users in an hour; default 6,000
	Lookups     float64       // look-ups of profiles for one user in an hour, half of them at once; default 1,200
	MaxAvatar   int64         // bytes of an avatar that is fetched; default 2 MiB
	Profiles    int           // profiles kept; default 2,000
	Expiry      time.Duration // age at which a profile is looked up again; default 6 h
	Grace       time.Duration // how long probes may be unanswered before a user counts as absent; default 30 s

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: discard
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) defaults() {
	setDefault(&o.Resource, "bridgehost")
	setDefault(&o.Caps, "https://bridgehost.example/")
	setDefault(&o.MaxContacts, 500)
	setDefault(&o.MaxUsers, 5000)
	setDefault(&o.Requests, 120)
	setDefault(&o.AllRequests, 6000)
	setDefault(&o.Lookups, 1200)
	setDefault(&o.MaxAvatar, 2<<20)
	setDefault(&o.Profiles, 2000)
	setDefault(&o.Expiry, 6*time.Hour)
	setDefault(&o.Grace, 30*time.Second)
	if o.Allow == nil {
		o.Allow = func(string) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.Log, slog.New(slog.DiscardHandler))
}
