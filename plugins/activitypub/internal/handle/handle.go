// Package handle brings addresses of the other network of a gateway, such as
// juliet@xmpp.example, to the user names of the actors that stand for them, and
// back. It is pure. One address has exactly one user name and one user name one
// address; other spellings are read where they are unambiguous.
package handle

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrRefused is in the chain of every error of this package.
var ErrRefused = errors.New("no handle")

const (
	prefix    = "___" // begins a user name that is escaped
	separator = "---" // stands between a node and a user in the handles of predecessors
	hexDigits = "0123456789abcdef"
	maxLength = 1023 // bytes of an address
)

// Map is the rule of one link. The zero value maps every address to its escaped form.
type Map struct {
	// Domain is the host of our handles, in lower case.
	Domain string
	// Plain is the domain of the other network whose users have plain user
	// names; empty = none.
	Plain string
	// Names are user names that the operator chose, by address.
	Names map[string]string
}

// Name gives the user name of the actor of a foreign address. Addresses are
// compared without case. Every error wraps ErrRefused.
func (m Map) Name(foreign string) (string, error) {
	user, domain, err := split(strings.ToLower(foreign))
	if err != nil {
		return "", err
	}
	if name := m.Names[user+"@"+domain]; name != "" {
		return name, nil
	}
	if domain != m.Plain {
		return prefix + encode(user+"@"+domain), nil
	}
	if m.taken(user) == "" && plain(user) {
		return user, nil
	}
	if m.taken(user) != "" { // the plain name is another's by the operator's choice
		return prefix + encode(user+"@"+domain), nil
	}
	return prefix + encode(user), nil
}

// Address gives the foreign address that a user name means, and the user name as
// Name writes it. Every error wraps ErrRefused.
func (m Map) Address(name string) (foreign, canonical string, err error) {
	name = strings.ToLower(name)
	if foreign := m.taken(name); foreign != "" {
		return foreign, name, nil
	}
	user, escaped := strings.CutPrefix(name, prefix)
	if strings.Contains(user, separator) {
		return "", "", refuse("%q names a node", name)
	}
	if escaped {
		user = decode(user)
	}
	if !strings.Contains(user, "@") {
		if m.Plain == "" {
			return "", "", refuse("%q has no domain", name)
		}
		user += "@" + m.Plain
	}
	user, domain, err := split(strings.ToLower(user))
	if err != nil {
		return "", "", err
	}
	foreign = user + "@" + domain
	canonical, err = m.Name(foreign)
	return foreign, canonical, err
}

// taken gives the address to which the operator gave a user name.
func (m Map) taken(name string) string {
	for address, given := range m.Names {
		if given == name {
			return address
		}
	}
	return ""
}

// Valid reports whether an operator may give the user name to an address: it
// must be plain, so that it survives every server.
func Valid(name string) bool { return plain(name) }

func refuse(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrRefused)
}

// split takes an address apart and checks both parts.
func split(address string) (user, domain string, err error) {
	user, domain, ok := strings.Cut(address, "@")
	switch {
	case !ok || user == "" || len(address) > maxLength:
		return "", "", refuse("%q is not user@host", address)
	case !isDomain(domain):
		return "", "", refuse("%q has no domain", address)
	case !readable(user):
		return "", "", refuse("%q has characters that no handle can hold", address)
	}
	return user, domain, nil
}

// isDomain reports whether s can be a domain: labels of letters, digits and
// hyphens, or in another script, with a port at most.
func isDomain(s string) bool {
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	if host == "" || len(host) > 253 || !utf8.ValidString(host) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
				return false
			}
		}
	}
	return true
}

// Split takes a handle apart as people write it: @bob@host, bob@host or
// acct:bob@host, in lower case. Every error wraps ErrRefused.
func Split(s string) (user, host string, err error) {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "acct:")
	return split(strings.TrimPrefix(s, "@"))
}

// plain reports whether s needs no escape: [a-z0-9_]+([.-]+[a-z0-9_]+)*, the
// grammar of Mastodon's user names, without what means something else here.
func plain(s string) bool {
	if s == "" || strings.HasPrefix(s, prefix) || strings.Contains(s, separator) {
		return false
	}
	if strings.IndexByte("-.", s[0]) >= 0 || strings.IndexByte("-.", s[len(s)-1]) >= 0 {
		return false
	}
	for i := range len(s) {
		if !unreserved(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// encode writes each byte that may not stand for itself as a dot and two
// lower-case hex digits: servers compare handles without case.
func encode(s string) string {
	lead := len(s) - len(strings.TrimLeft(s, "-")) // dashes at an edge would run together with a separator
	trail := len(strings.TrimRight(s, "-"))
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], prefix) || strings.HasPrefix(s[i:], separator) {
			for range 3 {
				escape(&b, s[i])
			}
			i += 2
			continue
		}
		if !unreserved(s[i]) || i < lead || i >= trail {
			escape(&b, s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func escape(b *strings.Builder, c byte) {
	b.WriteByte('.')
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// decode reads what encode wrote, once. A dot without two hex digits is a dot.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// readable reports whether s is text that an address can hold: no control
// characters, no spaces, nothing that separates addresses or paths.
func readable(s string) bool {
	if !utf8.ValidString(s) || strings.ContainsAny(s, "@/<>\"&' ") {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.IsSpace(r) || r == utf8.RuneError || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}
