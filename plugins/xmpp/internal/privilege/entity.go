package privilege

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/packet"
)

type attr = xml.Attr

// ErrNotGranted is wrapped where the server has not granted what was asked.
var ErrNotGranted = errors.New("the server has not granted it")

// Stream is what an Entity sends over; a stream session is one.
type Stream interface {
	Send(ctx context.Context, p packet.Stanza) error
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// Options configure an Entity.
type Options struct {
	Component string   // our domain: sender and addressee of what is privileged
	Servers   []string // domains that may grant: those of the users whom the operator trusts the server with
	Log       *slog.Logger
	// Changed is called from HandleMessage and Forget with a domain whose grants have changed; may be nil.
	Changed func(domain string)
}

// Entity is a component as a privileged entity. It is safe for use by many goroutines.
type Entity struct {
	o      Options
	stream Stream

	mu     sync.Mutex
	grants map[string]Grants // by domain; only Options.Servers
}

// New makes an Entity that knows no grants yet.
func New(stream Stream, o Options) *Entity {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Entity{o: o, stream: stream, grants: map[string]Grants{}}
}

// Grants gives what a domain grants.
func (e *Entity) Grants(domain string) Grants {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.grants[domain].clone()
}

// Forget drops all grants. Call it when the stream is down: the server tells them
// anew after the next handshake.
func (e *Entity) Forget() {
	e.mu.Lock()
	had := e.grants
	e.grants = map[string]Grants{}
	e.mu.Unlock()
	if e.o.Changed == nil {
		return
	}
	for domain := range had {
		e.o.Changed(domain)
	}
}

// HandleMessage learns from a message and reports whether it was about grants, so
// that nobody else needs to look at it. Grants of a domain that is not among
// Options.Servers, or of an address that is no domain, are ignored.
func (e *Entity) HandleMessage(m *packet.Message) bool {
	priv, isPriv := extension(m, "privilege", NSPrivilege, NSPrivilege1)
	del, isDel := extension(m, "delegation", NSDelegation, NSDelegation1)
	if !isPriv && !isDel || m.Type == "error" {
		return false
	}
	domain, ok := e.server(m.From)
	if !ok || !packet.SameJID(m.To, e.o.Component) {
		e.o.Log.Warn("grant ignored, since it does not come from the server")
		e.o.Log.Debug("grant ignored", "from", m.From)
		return true
	}
	e.mu.Lock()
	g := e.grants[domain]
	if isPriv {
		g.privileges(priv)
	}
	// A delegation with "to" is for one user alone (XEP-0355 §5); it is not asked for here.
	if isDel && del.Get("to") == "" {
		g.delegations(del)
	}
	e.grants[domain] = g
	e.mu.Unlock()
	e.o.Log.Info("server grants", "roster", g.Roster, "message", g.Message, "presence", g.Presence, "iq", len(g.IQ), "delegated", len(g.Delegated))
	if e.o.Changed != nil {
		e.o.Changed(domain)
	}
	return true
}

// extension is the first extension with the name in one of the namespaces.
func extension(m *packet.Message, local string, spaces ...string) (xmlElement, bool) {
	for _, space := range spaces {
		if x, ok := m.Extension(space, local); ok {
			return x, true
		}
	}
	return xmlElement{}, false
}

// server gives the domain among Options.Servers that an address is, if it is one.
func (e *Entity) server(address string) (string, bool) {
	for _, s := range e.o.Servers {
		if address != "" && packet.SameJID(address, s) {
			return s, true
		}
	}
	return "", false
}

// user gives the bare form of a user's address, and what the user's server grants.
func (e *Entity) user(address string) (jid.JID, Grants, error) {
	j, err := packet.ParseJID(address)
	if err != nil {
		return jid.JID{}, Grants{}, err
	}
	domain, ok := e.server(j.Domainpart())
	if !ok {
		return j.Bare(), Grants{}, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return j.Bare(), e.grants[domain], nil
}

// HasRoster reports whether rosters of a user's server may be read (get) or changed (set).
func (e *Entity) HasRoster(user string) Access {
	_, g, _ := e.user(user) // an address that is none has no grants
	return g.Roster
}

// HasMessage reports whether messages may be sent in the name of a user.
func (e *Entity) HasMessage(user string) bool {
	_, g, _ := e.user(user) // as above
	return g.Message
}

// HasIQ reports whether requests with a payload of the namespace may be sent in the name of a user.
func (e *Entity) HasIQ(user, namespace string) Access {
	_, g, _ := e.user(user) // as above
	return g.IQ[namespace]
}

// notGranted is the error of an operation without the right to it.
func notGranted(what, user string) error {
	return fmt.Errorf("%s of %s: %w", what, user, ErrNotGranted)
}
