package convert

import (
	"fmt"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// WrapKind says why a message carries another one.
type WrapKind uint8

// Kinds of wrapper.
const (
	Unwrapped      WrapKind = iota // none: the message speaks for itself
	CarbonReceived                 // XEP-0280: what another resource of the account got
	CarbonSent                     // XEP-0280: what another resource of the account sent
	Archived                       // XEP-0313: a result of a query
	Forwarded                      // XEP-0297: somebody shows it; it proves nothing about who sent it
)

// Wrapper is a message around another one. The inner message counts only if the outer one comes from who may say so: a carbon from the
// account's own bare JID (XEP-0280 §11, XM-06), an archive's result from that archive and with the id of a query of ours (XEP-0313, XM-07).
type Wrapper struct {
	Kind    WrapKind
	From    string // who wrapped it: the outer message's from
	Query   string // id of the query, for Archived
	Archive string // the archive's id of the message, for Archived
	Delay   packet.Delay
	Message *packet.Message
}

// wrappers are the elements that carry a message.
var wrappers = []struct {
	space, local string
	kind         WrapKind
}{
	{NSMAM, "result", Archived}, {NSCarbons, "received", CarbonReceived}, {NSCarbons, "sent", CarbonSent}, {NSForward, "forwarded", Forwarded},
}

func wrapped(m *packet.Message) (xmltok.Element, WrapKind) {
	for _, w := range wrappers {
		if e, ok := m.Extension(w.space, w.local); ok {
			return e, w.kind
		}
	}
	return xmltok.Element{}, 0
}

// wraps reports whether a message only carries another one, whatever its own body says. A forwarded message beside a body is an attachment
// to what the sender says (XEP-0297 §3.1), and so does not count.
func wraps(m *packet.Message) bool {
	_, kind := wrapped(m)
	return kind != 0 && (kind != Forwarded || !m.HasBody())
}

// Unwrap gives the message inside of a wrapper, nil if there is none that can be
// read, and the kind of the wrapper: Unwrapped with m itself if it is none.
func Unwrap(m *packet.Message) (*packet.Message, WrapKind) {
	if !wraps(m) {
		return m, Unwrapped
	}
	w, _, err := ReadWrapper(m)
	if err != nil {
		return nil, w.Kind
	}
	return w.Message, w.Kind
}

// ReadWrapper gives all that a carbon, a result of an archive, or a forward
// tells. It reports false when m is none. An error says that nothing inside can
// be read. The caller decides by Wrapper.From whether to believe it.
func ReadWrapper(m *packet.Message) (Wrapper, bool, error) {
	e, kind := wrapped(m)
	if kind == 0 {
		return Wrapper{}, false, nil
	}
	w := Wrapper{Kind: kind, From: m.From}
	forwarded := e
	if kind != Forwarded {
		forwarded, _ = e.Child(NSForward, "forwarded")
	}
	if kind == Archived {
		w.Query, w.Archive = e.Get("queryid"), e.Get("id")
	}
	for c := range forwarded.Children() {
		switch {
		case c.Is(packet.NSDelay, "delay"):
			a := packet.Attrs{Extensions: []xmltok.Element{c}}
			w.Delay, _ = a.Delay()
		case c.Name.Local == "message" && w.Message == nil:
			s, err := packet.Decode(c)
			if err != nil {
				return w, true, fmt.Errorf("unwrap message from %s: %w", m.From, err)
			}
			w.Message, _ = s.(*packet.Message)
		}
	}
	if w.Message == nil {
		return w, true, fmt.Errorf("unwrap message from %s: nothing inside", m.From)
	}
	return w, true, nil
}
