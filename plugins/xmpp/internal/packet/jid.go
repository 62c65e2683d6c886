package packet

import (
	"fmt"

	"mellium.im/xmpp/jid"
)

// maxJID is the longest address that RFC 7622 §3.1 allows: three parts of at most 1,023 bytes and two separators.
const maxJID = 3*1023 + 2

// ParseJID parses and normalises an address by RFC 7622 (PRECIS). The empty string is the zero JID, which stands for an absent address.
// Unlike gosrc.io/xmpp it never returns an address together with an error.
func ParseJID(s string) (jid.JID, error) {
	if s == "" {
		return jid.JID{}, nil
	}
	if len(s) > maxJID {
		return jid.JID{}, fmt.Errorf("parse address of %d bytes: longer than %d", len(s), maxJID)
	}
	j, err := jid.Parse(s)
	if err != nil {
		return jid.JID{}, fmt.Errorf("parse address %q: %w", s, err)
	}
	return j, nil
}

// SameJID reports whether two addresses are the same after normalisation. Addresses that cannot be parsed are the same only if equal
// byte for byte.
func SameJID(a, b string) bool {
	if a == b {
		return true
	}
	if a == "" || b == "" {
		return false
	}
	ja, err := ParseJID(a)
	if err != nil {
		return false
	}
	jb, err := ParseJID(b)
	return err == nil && ja.Equal(jb)
}
