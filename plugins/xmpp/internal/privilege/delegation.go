package privilege

import (
	"fmt"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Request is a request that the server handed on (XEP-0355 §4.3).
type Request struct {
	// IQ is what the user sent, or somebody to the user. From is the sender as the
	// server knows it. An empty To stands for the sender's own account.
	IQ     *packet.IQ
	Server string // domain that handed it on

	outer *packet.IQ
}

// Account is the bare address whose data the request is about.
func (r *Request) Account() string {
	address := r.IQ.To
	if address == "" {
		address = r.IQ.From
	}
	j, err := packet.ParseJID(address)
	if err != nil {
		return ""
	}
	return j.Bare().String()
}

// Delegated reads a request that came in, and reports whether it was handed on by
// a server that delegates its namespace to us. A request that only looks so is
// not: it could name any sender. The caller answers every request by Answer.
func (e *Entity) Delegated(iq *packet.IQ) (*Request, bool) {
	if iq.Type != "set" || !iq.Payload.Is(NSDelegation, "delegation") && !iq.Payload.Is(NSDelegation1, "delegation") {
		return nil, false
	}
	domain, ok := e.server(iq.From)
	if !ok {
		return nil, false
	}
	inner, ok := innerIQ(iq.Payload)
	if !ok || !inner.IsRequest() || inner.From == "" || !e.Grants(domain).delegates(inner.Payload) {
		return nil, false
	}
	if !local(inner, domain) {
		return nil, false
	}
	return &Request{IQ: inner, Server: domain, outer: iq}, true
}

// local reports whether a request is about an account of the domain, or the domain itself.
func local(iq *packet.IQ, domain string) bool {
	address := iq.To
	if address == "" {
		address = iq.From
	}
	j, err := packet.ParseJID(address)
	return err == nil && packet.SameJID(j.Domainpart(), domain)
}

// Answer wraps the answer to r.IQ (made by its Reply or Refuse) for the server.
// The server checks that addresses and id are those of the request, so they are
// set here (XEP-0355 §4.3).
func (r *Request) Answer(answer *packet.IQ) (*packet.IQ, error) {
	inner := *answer
	inner.From, inner.To, inner.ID = r.IQ.To, r.IQ.From, r.IQ.ID
	wrapped, err := forwarded(&inner)
	if err != nil {
		return nil, fmt.Errorf("answer delegated request: %w", err)
	}
	var w xmltok.Writer
	payload, err := w.Start(r.outer.Payload.Name.Space, "delegation").Child(wrapped).Element()
	if err != nil {
		return nil, fmt.Errorf("answer delegated request: %w", err)
	}
	return r.outer.Reply(payload), nil
}

// NestedNode takes a disco node apart by which the server asks what we can do in
// a namespace that it delegates (XEP-0355 §7.2). bare means: what the accounts,
// not the server itself, can do there.
func NestedNode(node string) (namespace string, bare, ok bool) {
	for _, space := range []string{NSDelegation, NSDelegation1} {
		if ns, found := strings.CutPrefix(node, space+":bare:"); found && ns != "" {
			return ns, true, true
		}
		if ns, found := strings.CutPrefix(node, space+"::"); found && ns != "" {
			return ns, false, true
		}
	}
	return "", false, false
}
