// Package service is the component's own face: what users meet when they look at the gateway itself. It describes the gateway (XEP-0030,
// XEP-0157), registers users (XEP-0077), finds people of the other network (XEP-0055), turns their addresses into JIDs (XEP-0100 §6.3), and
// offers commands (XEP-0050).
//
// Handlers return at once; what needs the other network runs in Run, in a bounded pool.
package service

import (
	"context"
	"log/slog"
	"time"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/contact"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Stream sends stanzas.
type Stream interface {
	Send(ctx context.Context, p packet.Stanza) error
}

// Contacts are the contacts of users; *contact.Contacts is one.
type Contacts interface {
	// List gives the contacts of a user, a bare JID.
	List(user string) []contact.Entry
	// Find looks a foreign address up on behalf of a user.
	Find(ctx context.Context, user, foreign string) (contact.Profile, error)
	// Leave ends all relations of a user and returns how many there were.
	Leave(ctx context.Context, user string) (int, error)
	// Counts counts.
	Counts() contact.Counts
}

// Registration says who may use the gateway.
type Registration string

// Kinds of registration.
const (
	Optional Registration = "optional" // everybody but those who left
	Required Registration = "required" // those who registered
	Closed   Registration = "closed"   // those who registered before, and nobody new
)

// Options configure a Service. Zero values mean the default that is named at each field.
type Options struct {
	Address      address.Component // required
	Type         string            // of the network behind the gateway, such as xmpp or activitypub (XEP-0030 registry); default "bridgehost"
	Name         string            // of the gateway, for people; default "bridgehost"
	Resource     string            // of the gateway's own presence; default "bridgehost"
	Example      string            // a foreign address as people write it; default "bob@example.net"
	Registration Registration      // default Optional
	// May decides whether a user, a bare JID, may use the gateway at all, registered or not; nil allows everybody.
	May func(user string) bool
	// Admins are the prepared bare JIDs of those who may use commands for operators.
	Admins []string
	// Addresses are where people can reach the operator: URIs by the kinds of XEP-0157, such as abuse-addresses.
	Addresses map[string][]string
	// Features are those of the component beyond this package's own.
	Features []string
	// Status gives lines about the link for operators; nil gives none.
	Status func(ctx context.Context) []string

	MaxUsers int           // users whose registration is kept; default 20,000
	Session  time.Duration // how long a command waits for its user; default 10 min

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
	setDefault(&o.Type, "bridgehost")
	setDefault(&o.Name, "bridgehost")
	setDefault(&o.Resource, "bridgehost")
	setDefault(&o.Example, "bob@example.net")
	setDefault(&o.Registration, Optional)
	setDefault(&o.MaxUsers, 20_000)
	setDefault(&o.Session, 10*time.Minute)
	if o.May == nil {
		o.May = func(string) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	setDefault(&o.Log, slog.New(slog.DiscardHandler))
}

var (
	_ Contacts = (*contact.Contacts)(nil)
	_ Store    = sdk.Store(nil)
)
