package xmpp

import (
	"fmt"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// placeKind says what a place that a route names is.
type placeKind uint8

const (
	placeRoom placeKind = iota // ops@muc.example.org
	placeChat                  // chat:romeo@example.org, the link's own conversation with one person
	placeNode                  // node:pubsub.example.org/blog, a pubsub node
)

// place is a place of a route, read.
type place struct {
	kind placeKind
	jid  string // normalised bare JID
	node string // of a placeNode
}

// key names the place the same however it is spelt.
func (p place) key() string {
	switch p.kind {
	case placeChat:
		return "chat:" + p.jid
	case placeNode:
		return "node:" + p.jid + "/" + p.node
	default:
		return p.jid
	}
}

// parsePlace reads the operator's spelling of a place.
func parsePlace(id sdk.RemoteID) (place, error) {
	if rest, ok := strings.CutPrefix(string(id), "chat:"); ok {
		j, err := packet.ParseJID(rest)
		if err != nil || j.Localpart() == "" || j.Resourcepart() != "" {
			return place{}, fmt.Errorf("%q is no address of a person", rest)
		}
		return place{kind: placeChat, jid: j.String()}, nil
	}
	if rest, ok := strings.CutPrefix(string(id), "node:"); ok {
		service, node, _ := strings.Cut(rest, "/")
		j, err := packet.ParseJID(service)
		if err != nil || service == "" || node == "" {
			return place{}, fmt.Errorf("%q is no service and node", rest)
		}
		return place{kind: placeNode, jid: j.String(), node: node}, nil
	}
	j, err := roomJID(string(id))
	return place{jid: j}, err
}
