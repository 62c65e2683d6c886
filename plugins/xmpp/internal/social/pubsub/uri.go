package pubsub

import (
	"fmt"
	"net/url"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
)

// Address names a node, or with Item an item of it.
type Address struct {
	Service string // normalised bare JID: a service, or a user for PEP (XEP-0163)
	Node    string
	Item    string // empty: the node itself
}

// IsZero reports whether the address names nothing.
func (a Address) IsZero() bool { return a == Address{} }

// At gives the address of an item of the same node.
func (a Address) At(item string) Address {
	return Address{Service: a.Service, Node: a.Node, Item: item}
}

// NodeOnly gives the address of the node.
func (a Address) NodeOnly() Address { return a.At("") }

// PEP reports whether the node belongs to a user.
func (a Address) PEP() bool { return strings.Contains(a.Service, "@") }

// URI gives the one spelling that bridgehost uses (XEP-0060 §12.22):
// xmpp:SERVICE?;node=NODE;item=ITEM, with everything but unreserved characters
// of names percent-encoded.
func (a Address) URI() string {
	if a.Service == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("xmpp:")
	escapeTo(&b, a.Service, "@/!$&()*+,;=:")
	b.WriteString("?;node=")
	escapeTo(&b, a.Node, "")
	if a.Item != "" {
		b.WriteString(";item=")
		escapeTo(&b, a.Item, "")
	}
	return b.String()
}

// escapeTo percent-encodes all bytes but the unreserved ones (RFC 3986 §2.3) and those of keep.
func escapeTo(b *strings.Builder, s, keep string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0, strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}

// ParseURI reads the URI of a node or an item as leniently as people write it:
// with or without the query type pubsub, with white space between the pairs, as
// the examples of XEP-0277 have it. The address comes back normalised, so that
// two spellings of one item are equal.
func ParseURI(s string) (Address, error) {
	if len(s) > maxURI {
		return Address{}, fmt.Errorf("parse pubsub URI: %d bytes are more than %d", len(s), maxURI)
	}
	s = strings.TrimSpace(s)
	if len(s) < 5 || !strings.EqualFold(s[:5], "xmpp:") {
		return Address{}, fmt.Errorf("parse pubsub URI %q: scheme is not xmpp", s)
	}
	path, query, _ := strings.Cut(s[5:], "?")
	if auth, ok := strings.CutPrefix(path, "//"); ok { // RFC 5122 §2.2: //account-to-use/address
		_, path, _ = strings.Cut(auth, "/")
	}
	service, err := url.PathUnescape(path)
	if err != nil {
		return Address{}, fmt.Errorf("parse pubsub URI %q: %w", s, err)
	}
	a := Address{}
	if a.Service, err = Service(service); err != nil {
		return Address{}, fmt.Errorf("parse pubsub URI %q: %w", s, err)
	}
	for i, pair := range strings.Split(query, ";") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || i == 0 && key != "node" && key != "item" {
			continue
		}
		if value, err = url.PathUnescape(value); err != nil {
			return Address{}, fmt.Errorf("parse pubsub URI %q: %w", s, err)
		}
		switch key {
		case "node":
			a.Node = value
		case "item":
			a.Item = value
		}
	}
	if !ValidName(a.Node) || a.Item != "" && !ValidName(a.Item) {
		return Address{}, fmt.Errorf("parse pubsub URI %q: no node, or a name that is too long", s)
	}
	return a, nil
}

// Service normalises the address of a service.
func Service(s string) (string, error) {
	j, err := packet.ParseJID(s)
	if err != nil {
		return "", fmt.Errorf("parse service: %w", err)
	}
	if j.Domainpart() == "" || j.Resourcepart() != "" {
		return "", fmt.Errorf("%q is no address of a pubsub service", s)
	}
	return j.String(), nil
}

// ValidName reports whether s can be a node's name or an item's id.
func ValidName(s string) bool { return s != "" && len(s) <= MaxName }

// placePrefix begins the names of places that are nodes.
const placePrefix = "node:"

// ParsePlace reads the operator's spelling of a node, node:SERVICE/NODE.
func ParsePlace(place string) (Address, error) {
	rest, ok := strings.CutPrefix(place, placePrefix)
	service, node, found := strings.Cut(rest, "/")
	if !ok || !found || !ValidName(node) {
		return Address{}, fmt.Errorf("%q is no node, which is written node:SERVICE/NODE", place)
	}
	s, err := Service(service)
	if err != nil {
		return Address{}, err
	}
	return Address{Service: s, Node: node}, nil
}

// IsPlace reports whether a place is spelled as a node; it need not be a right one.
func IsPlace(place string) bool { return strings.HasPrefix(place, placePrefix) }
