package address

import (
	"strings"

	"mellium.im/xmpp/jid"
)

// Component is a component's domain whose JIDs stand for people of another network. The zero value is not ready.
type Component struct {
	// Domain is the component's own domain, prepared.
	Domain string
	// Local are the prepared domains whose people are reached without the gateway, with all their sub-domains: an address of theirs is
	// no foreign one.
	Local []string
}

// Virtual gives the JID that stands for a foreign address such as bob@mastodon.example. Addresses that the networks hold to be the same
// (letter case, IDNA) have the same JID. Every error wraps ErrRefused.
func (c Component) Virtual(foreign string) (jid.JID, error) {
	local, domain, port, err := split(foreign)
	if err != nil {
		return jid.JID{}, err
	}
	if err := c.check(domain); err != nil {
		return jid.JID{}, err
	}
	escaped, err := Escape(strings.ToLower(local) + "@" + domain + port)
	if err != nil {
		return jid.JID{}, err
	}
	j, err := prepare(escaped, c.Domain)
	if err != nil {
		return jid.JID{}, err
	}
	// Width mapping makes a backslash of U+FF3C and so an escape sequence of what was none: that is another address.
	if strings.Count(j.Localpart(), `\`) != strings.Count(escaped, `\`) {
		return jid.JID{}, refuse("%q hides an escape sequence", foreign)
	}
	return j, nil
}

// Foreign gives the canonical foreign address that a JID of the component's domain stands for; its resource does not matter. Every error
// wraps ErrRefused. Virtual of the result is the canonical JID, which differs from j only where j was escaped more than it had to be.
func (c Component) Foreign(j jid.JID) (string, error) {
	if j.Domainpart() != c.Domain {
		return "", refuse("%q is not in %q", j, c.Domain)
	}
	s, err := Unescape(j.Localpart())
	if err != nil {
		return "", err
	}
	local, domain, port, err := split(s)
	if err != nil {
		return "", err
	}
	if err := c.check(domain); err != nil {
		return "", err
	}
	canonical := local + "@" + domain + port
	// What Virtual would not give out stands for nobody.
	if _, err := c.Virtual(canonical); err != nil {
		return "", err
	}
	return canonical, nil
}

// Canonical gives the one spelling of a foreign address. Every error wraps ErrRefused.
func (c Component) Canonical(foreign string) (string, error) {
	j, err := c.Virtual(foreign)
	if err != nil {
		return "", err
	}
	return c.Foreign(j)
}

// check refuses domains whose people are not foreign.
func (c Component) check(domain string) error {
	if domain == c.Domain {
		return refuse("%q is the component's own domain", domain)
	}
	for _, local := range c.Local {
		if within(domain, local) {
			return refuse("%q is a local domain", domain)
		}
	}
	return nil
}

// split takes a foreign address apart and prepares its domain. A port, which servers under test have, stays with its colon.
func split(s string) (local, domain, port string, err error) {
	local, domain, ok := strings.Cut(s, "@")
	switch {
	case !ok || local == "" || domain == "" || strings.Contains(domain, "@"):
		return "", "", "", refuse("%q is not user@host", s)
	case len(s) > 1023:
		return "", "", "", refuse("address of %d bytes", len(s))
	}
	if host, p, ok := strings.Cut(domain, ":"); ok {
		if p == "" || len(p) > 5 || strings.Trim(p, "0123456789") != "" {
			return "", "", "", refuse("%q has no port", domain)
		}
		domain, port = host, ":"+p
	}
	j, err := prepare("", domain)
	if err != nil {
		return "", "", "", err
	}
	return local, j.Domainpart(), port, nil
}
