package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// ID is what an XMPP message is called, as needed to refer to it later: a
// correction names the sender's id of the first version (XEP-0308 §3), a reply,
// a reaction or a retraction in a room the room's stanza-id (XEP-0461 §4.1,
// XEP-0444 §3.1, XEP-0424 §5.1). In a chat a reply or a reaction names the
// origin-id if there is one, else the id; a retraction always the id.
type ID struct {
	Room    string   // normalised bare JID of the room, or Chat.Scope: ids need not be unique beyond it
	Stanza  string   // stanza-id by the room; empty if the room assigns none, and in a chat
	Message string   // the sender's id attribute
	Origin  string   // the sender's origin-id, where it is another than Message
	From    string   // nick of the sender, bare JID in a chat; kept only where there is no stanza-id
	More    []string // stanza-ids of the further messages of a copy of ours that took several, in order
}

// InChat gives how a reply or a reaction names the message in a chat (XEP-0461 §4.1).
func (id ID) InChat() string {
	if id.Origin != "" {
		return id.Origin
	}
	return id.Message
}

// Remote encodes the id as the opaque name by which the host knows the message
// at this link. The same message always gives the same name.
func (id ID) Remote() sdk.RemoteID {
	if id.Stanza == "" && id.Message == "" {
		return ""
	}
	var b strings.Builder
	b.Grow(len(id.Room) + len(id.Stanza) + len(id.Message) + len(id.From) + 8)
	part := func(name byte, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteByte(name)
		b.WriteByte(':')
		b.WriteString(escapePart(value))
	}
	part('s', id.Stanza)
	part('o', id.Message)
	part('i', id.Origin)
	if id.Stanza == "" {
		part('n', id.From)
	}
	part('r', id.Room)
	for _, more := range id.More {
		part('m', more)
	}
	return sdk.RemoteID(b.String())
}

// escapePart escapes what separates parts; most ids come back as they are.
func escapePart(s string) string {
	if !strings.ContainsAny(s, "|%") {
		return s
	}
	return strings.NewReplacer("%", "%25", "|", "%7C").Replace(s)
}

// ParseRemote reads what Remote wrote. It reports false for anything else.
func ParseRemote(r sdk.RemoteID) (ID, bool) {
	var id ID
	if r == "" {
		return id, false
	}
	for part := range strings.SplitSeq(string(r), "|") {
		name, value, ok := strings.Cut(part, ":")
		if !ok || len(name) != 1 {
			return ID{}, false
		}
		value, err := url.PathUnescape(value)
		if err != nil {
			return ID{}, false
		}
		switch name[0] {
		case 's':
			id.Stanza = value
		case 'o':
			id.Message = value
		case 'i':
			id.Origin = value
		case 'n':
			id.From = value
		case 'm':
			id.More = append(id.More, value)
		case 'r':
			id.Room = value
		default:
			return ID{}, false
		}
	}
	return id, id.Stanza != "" || id.Message != ""
}

// maxToken is the longest delivery id that is used as a message id unchanged.
const maxToken = 64

// MessageID gives the id attribute of the message that carries a delivery. It
// depends on the link's tag and the delivery alone, so that a repeat is recognised.
func MessageID(tag string, d sdk.DeliveryID) string {
	if d != "" && len(d) <= maxToken && strings.IndexFunc(string(d), notToken) < 0 {
		return tag + string(d)
	}
	sum := sha256.Sum256([]byte(d))
	return tag + hex.EncodeToString(sum[:16])
}

// PartIDs gives the ids of the n messages that one delivery takes. From any of
// them PartsOf finds the others, so that nobody has to remember how many there were.
func PartIDs(id string, n int) []string {
	if n <= 1 {
		return []string{id}
	}
	out := make([]string, n)
	for i := range out {
		out[i] = id + "~" + strconv.Itoa(i+1) + "." + strconv.Itoa(n)
	}
	return out
}

// MaxParts is the most messages that one delivery takes.
const MaxParts = 32

// PartsOf gives the ids of all messages of the delivery that the message with
// this id belongs to, the first one first; only the id itself if it is no part.
func PartsOf(id string) []string {
	base, part, ok := cutLast(id, "~")
	at, of, dotted := strings.Cut(part, ".")
	if !ok || !dotted || !Relayed(id) {
		return []string{id}
	}
	i, err1 := strconv.Atoi(at)
	n, err2 := strconv.Atoi(of)
	if err1 != nil || err2 != nil || n < 2 || n > MaxParts || i < 1 || i > n || PartIDs(base, n)[i-1] != id {
		return []string{id}
	}
	return PartIDs(base, n)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Tag gives the beginning of the message ids of one link: the same after every
// restart, and another for each link and address.
func Tag(link sdk.LinkID, address string) string {
	sum := sha256.Sum256([]byte(string(link) + "\x00" + address))
	return "bh" + hex.EncodeToString(sum[:3]) + "-"
}

// Relayed reports whether a message was written by a link of a bridgehost, this
// one or another: its id begins with a Tag. Bridges that know nothing of each
// other would else carry a message round for ever. Who forges such an id keeps
// nobody's message but their own from being relayed.
func Relayed(ids ...string) bool {
	for _, id := range ids {
		if rest, ok := strings.CutPrefix(id, "bh"); ok && len(rest) > tagDigits && rest[tagDigits] == '-' && isHex(rest[:tagDigits]) {
			return true
		}
	}
	return false
}

// tagDigits are the hexadecimal digits of a Tag.
const tagDigits = 6

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// notToken reports characters that need escaping somewhere on a message's way.
func notToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.', r == ':':
		return false
	}
	return true
}
