package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"mellium.im/xmpp/jid"
)

// microblog is the node that a user without a named node speaks of (XEP-0277 §2.1).
const microblog = "urn:xmpp:microblog:0"

const (
	prefix    = "___" // begins a user part that is escaped
	separator = "---" // stands between node and user
)

// Handles brings JIDs with their nodes to handles and back. The zero value is not ready.
type Handles struct {
	// Domain is the prepared domain that is served, with all its sub-domains.
	Domain string
	// Virtual is the component's prepared domain: JIDs in it are far actors, and handles in it name foreign JIDs.
	Virtual string
	// Service reports whether a prepared domain is a pubsub service (identity pubsub/service, not pubsub/pep): nodes there have no user.
	// Nil means that there is none.
	Service func(domain string) bool
	// Foreign allows JIDs of other domains than those served.
	Foreign bool
}

// Handle is what Read found.
type Handle struct {
	JID       jid.JID // bare
	Node      string  // "" is none
	Canonical string  // how Write spells it
	Alias     bool    // it was asked for in another spelling
}

// Write gives the one handle of a bare JID and a node; "" is none. Resources do not count. Every error wraps ErrRefused, or ErrFar for a
// JID of the virtual domain.
func (h Handles) Write(j jid.JID, node string) (string, error) {
	local, domain := j.Localpart(), j.Domainpart()
	if domain == h.Virtual {
		return "", ErrFar
	}
	if !readable(node) {
		return "", refuse("node %q has characters that no handle can hold", node)
	}
	service := h.service(domain)
	switch {
	case service && local == "":
		if node == "" || strings.Contains(node, "@") {
			return "", refuse("node %q of the service %q has no handle", node, domain)
		}
		local, node = node, ""
	case node == microblog:
		node = ""
	}
	switch {
	case local == "":
		return "", refuse("%q has no user", j)
	case service && j.Localpart() != "" && node == "":
		return "", refuse("%q would read as a node", j)
	case !within(domain, h.Domain) && !h.Foreign:
		return "", refuse("%q is foreign", j)
	case !within(domain, h.Domain):
		local, domain = local+"@"+domain, h.Virtual
	}
	if plain(local, j.Localpart() != "") && (node == "" || plain(node, false)) {
		if node != "" {
			node += separator
		}
		return node + local + "@" + domain, nil
	}
	if node != "" {
		node = encode(node) + separator
	}
	return prefix + node + encode(local) + "@" + domain, nil
}

// Read gives what a handle names. Other spellings than Write's are read where they are unambiguous, and marked as aliases. Every error
// wraps ErrRefused.
func (h Handles) Read(handle string) (Handle, error) {
	user, domain, ok := strings.Cut(handle, "@")
	if !ok || user == "" || strings.Contains(domain, "@") || len(handle) > 8*1023 {
		return Handle{}, refuse("%q is not user@host", handle)
	}
	outer, err := prepare("", domain)
	if err != nil {
		return Handle{}, err
	}
	domain = outer.Domainpart()
	if !within(domain, h.Domain) && domain != h.Virtual {
		return Handle{}, refuse("%q is not served", domain)
	}
	user, node, err := parts(user)
	if err != nil {
		return Handle{}, err
	}
	user, domain, err = h.place(user, domain)
	if err != nil {
		return Handle{}, err
	}
	switch {
	case h.service(domain) && node == "":
		user, node = "", user
	case node == microblog:
		node = ""
	}
	j, err := prepare(user, domain)
	if err != nil {
		return Handle{}, err
	}
	canonical, err := h.Write(j, node)
	if err != nil {
		return Handle{}, err
	}
	return Handle{JID: j, Node: node, Canonical: canonical, Alias: canonical != handle}, nil
}

// place finds the domain of the user: the handle's own, or one that is part of the user.
func (h Handles) place(user, domain string) (local, at string, err error) {
	local, inner, embedded := strings.Cut(user, "@")
	switch {
	case !embedded && domain == h.Virtual:
		return "", "", refuse("%q is a far actor", user)
	case !embedded:
		return user, domain, nil
	case local == "" || inner == "" || strings.Contains(inner, "@"):
		return "", "", refuse("%q is not user@host", user)
	}
	j, err := prepare("", inner)
	if err != nil {
		return "", "", err
	}
	inner = j.Domainpart()
	switch {
	case inner == h.Virtual:
		return "", "", refuse("%q is a far actor", user)
	case !within(inner, h.Domain) && !h.Foreign:
		return "", "", refuse("%q is foreign", user)
	}
	return local, inner, nil
}

func (h Handles) service(domain string) bool { return h.Service != nil && h.Service(domain) }

// parts takes the user part of a handle apart and takes escapes away, once.
func parts(s string) (user, node string, err error) {
	s, escaped := strings.CutPrefix(s, prefix)
	user = s
	at := strings.LastIndex(s, separator)
	if at >= 0 {
		node, user = s[:at], s[at+len(separator):]
	}
	if escaped {
		node, user = decode(node), decode(user)
	}
	switch {
	case user == "" || at >= 0 && node == "":
		return "", "", refuse("%q lacks a user or a node", s)
	case !readable(user) || !readable(node):
		return "", "", refuse("%q has characters that no handle can hold", s)
	}
	return user, node, nil
}

// plain reports whether s needs no escape: [a-z0-9_]+([.-]+[a-z0-9_]+)*, the grammar of Mastodon's user names, dots only if they are
// allowed, without what means something else here.
func plain(s string, dots bool) bool {
	if s == "" || strings.HasPrefix(s, prefix) || strings.Contains(s, separator) {
		return false
	}
	if edge := s[0]; edge == '-' || edge == '.' || s[len(s)-1] == '-' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !unreserved(c) && (c != '.' || !dots) {
			return false
		}
	}
	return true
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// encode writes each byte that may not stand for itself as a dot and two lower-case hex digits.
func encode(s string) string {
	// Dashes at an edge would run together with a separator.
	lead := len(s) - len(strings.TrimLeft(s, "-"))
	trail := len(strings.TrimRight(s, "-"))
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if strings.HasPrefix(s[i:], prefix) || strings.HasPrefix(s[i:], separator) {
			for range 3 {
				escape(&b, c)
			}
			i += 2
			continue
		}
		if !unreserved(c) || i < lead || i >= trail {
			escape(&b, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func escape(b *strings.Builder, c byte) {
	b.WriteByte('.')
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// decode reads what encode wrote, hex digits in either case. A dot without two of them is a dot.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && i+2 < len(s) {
			if hi, lo := nibble(s[i+1]), nibble(s[i+2]); hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// readable reports whether s is text that XML can carry and a reader can see the end of.
func readable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}
