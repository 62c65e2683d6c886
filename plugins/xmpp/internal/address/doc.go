// Package address names people of one network in another.
//
// Component brings the address of a foreign actor (bob@mastodon.example, juliet@s2.example) to a JID of a component's domain
// (bob\40mastodon.example@ap.example.org) and back, by the escaping of XEP-0106. Handles brings a JID, with a pubsub node or without,
// to a handle as the fediverse writes it and back. In both directions one side has exactly one counterpart on the other: every address
// that is not written in its canonical form is an alias of one that is, or refused. Two addresses are never merged because they look
// alike; what PRECIS (RFC 8265) and IDNA hold to be the same is the same.
//
// The package is pure: nothing is looked up and nothing is kept.
package address

import (
	"errors"
	"fmt"
	"strings"

	"mellium.im/xmpp/jid"
)

// ErrRefused is wrapped by every error of this package: there is no such address, and asking again is of no use.
var ErrRefused = errors.New("no such address")

// ErrFar refuses a handle for a JID of the virtual domain: the actor behind it is a far one and has a handle of its own, which
// Component.Foreign gives.
var ErrFar = fmt.Errorf("%w: the actor is a far one", ErrRefused)

// refuse says why an address is none.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// prepare makes a bare JID of its parts, never of a joined string, so that no part can contain the separator of another (RFC 7622).
// A JID that changes when it is prepared again is refused: it would have two spellings.
func prepare(local, domain string) (jid.JID, error) {
	j, err := jid.New(local, domain, "")
	if err != nil {
		return jid.JID{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	again, err := jid.New(j.Localpart(), j.Domainpart(), "")
	if err != nil || !again.Equal(j) {
		return jid.JID{}, refuse("the address has no stable form")
	}
	if !isDomain(j.Domainpart()) {
		return jid.JID{}, refuse("%q is no domain", domain)
	}
	return j, nil
}

// isDomain reports whether a prepared domain holds only what labels of the DNS and of IDNA can.
func isDomain(s string) bool {
	if s == "" || strings.Contains(s, "..") || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c < 0x80 && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// within reports whether domain is parent or one of its sub-domains.
func within(domain, parent string) bool {
	return parent != "" && (domain == parent || strings.HasSuffix(domain, "."+parent))
}
