package privilege

import (
	"maps"
	"slices"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces that are read; answers use the one that the server used.
const (
	NSPrivilege   = "urn:xmpp:privilege:2"
	NSPrivilege1  = "urn:xmpp:privilege:1" // ejabberd before 24.10
	NSDelegation  = "urn:xmpp:delegation:2"
	NSDelegation1 = "urn:xmpp:delegation:1"
	NSForward     = "urn:xmpp:forward:0"
	NSRoster      = "jabber:iq:roster"
)

// maxNamespaces bounds what is kept of one message.
const maxNamespaces = 256

// Access is a right to ask (get), to change (set), or both.
type Access struct{ Get, Set bool }

// access reads a type attribute (XEP-0356 §4.1).
func access(s string) Access {
	return Access{Get: s == "get" || s == "both", Set: s == "set" || s == "both"}
}

// may reports whether a request of the type get or set is covered.
func (a Access) may(iqType string) bool {
	return iqType == "get" && a.Get || iqType == "set" && a.Set
}

// String gives the word of XEP-0356 §4.1.
func (a Access) String() string {
	switch {
	case a.Get && a.Set:
		return "both"
	case a.Get:
		return "get"
	case a.Set:
		return "set"
	default:
		return "none"
	}
}

// Grants are what one server grants. The zero value is nothing.
type Grants struct {
	Roster     Access
	RosterPush bool              // changes of rosters are told
	Message    bool              // messages in the name of users and of the server
	Presence   string            // "", managed_entity or roster (XEP-0356 §7)
	IQ         map[string]Access // requests in the name of users, by namespace
	// Delegated are the namespaces that the server hands on, with the attributes
	// that a request needs to be handed on (XEP-0355 §4.1).
	Delegated map[string][]string

	space string // of the privileges
}

// Any reports whether anything is granted.
func (g Grants) Any() bool {
	return g.Roster != Access{} || g.Message || g.Presence != "" || len(g.IQ) > 0 || len(g.Delegated) > 0
}

// clone makes maps that the caller may keep.
func (g Grants) clone() Grants {
	g.IQ = maps.Clone(g.IQ)
	g.Delegated = maps.Clone(g.Delegated)
	return g
}

// privileges reads <privilege/> into g, whose rights it replaces (XEP-0356 §4.2,
// §5.2, §6.2, §7.2).
func (g *Grants) privileges(e xmltok.Element) {
	g.Roster, g.RosterPush, g.Message, g.Presence, g.IQ, g.space = Access{}, false, false, "", nil, e.Name.Space
	for perm := range e.Children() {
		if !perm.Is(e.Name.Space, "perm") {
			continue
		}
		switch kind := perm.Get("type"); perm.Get("access") {
		case "roster":
			g.Roster = access(kind)
			push := perm.Get("push")
			g.RosterPush = g.Roster.Get && push != "false" && push != "0"
		case "message":
			g.Message = kind == "outgoing"
		case "presence":
			if kind == "managed_entity" || kind == "roster" {
				g.Presence = kind
			}
		case "iq":
			if g.IQ == nil {
				g.IQ = map[string]Access{}
			}
			g.namespaces(perm, e.Name.Space)
		}
	}
}

// namespaces reads the <namespace/> elements in e. Prosody's module of 2023 puts
// each one into the one before.
func (g *Grants) namespaces(e xmltok.Element, space string) {
	for ns := range e.Children() {
		if !ns.Is(space, "namespace") || len(g.IQ) == maxNamespaces {
			continue
		}
		if a := access(ns.Get("type")); a != (Access{}) && ns.Get("ns") != "" {
			g.IQ[ns.Get("ns")] = a
		}
		g.namespaces(ns, space)
	}
}

// delegations reads <delegation/> into g, whose delegated namespaces it replaces (XEP-0355 §4.2).
func (g *Grants) delegations(e xmltok.Element) {
	g.Delegated = map[string][]string{}
	for d := range e.Children() {
		name := d.Get("namespace")
		if !d.Is(e.Name.Space, "delegated") || name == "" || len(g.Delegated) == maxNamespaces {
			continue
		}
		var filter []string
		for a := range d.Children() {
			if a.Is(e.Name.Space, "attribute") && a.Get("name") != "" && len(filter) < maxNamespaces {
				filter = append(filter, a.Get("name"))
			}
		}
		g.Delegated[name] = filter
	}
}

// delegates reports whether the server hands on requests with this payload.
func (g Grants) delegates(payload xmltok.Element) bool {
	filter, ok := g.Delegated[payload.Name.Space]
	return ok && !slices.ContainsFunc(filter, func(name string) bool {
		return !slices.ContainsFunc(payload.Attr, func(a attr) bool { return a.Name.Space == "" && a.Name.Local == name })
	})
}
