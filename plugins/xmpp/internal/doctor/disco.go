package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces that the checks look for.
const (
	nsItems      = "http://jabber.org/protocol/disco#items"
	nsPubsub     = "http://jabber.org/protocol/pubsub"
	nsRSM        = "http://jabber.org/protocol/rsm"
	nsMAM        = "urn:xmpp:mam:2"
	nsOccupantID = "urn:xmpp:occupant-id:0"
	nsModerate   = "urn:xmpp:message-moderate:1"
	nsModerate0  = "urn:xmpp:message-moderate:0"
	nsBlocking   = "urn:xmpp:blocking"
	nsVCard      = "vcard-temp"
	nsCarbons    = "urn:xmpp:carbons:2"
)

// Kinds of server.
const (
	kindProsody  = "prosody"
	kindEjabberd = "ejabberd"
)

// maxServices bounds the services of a server that are looked at.
const maxServices = 64

// entity is what an address says of itself by disco#info (XEP-0030 §3).
type entity struct {
	address    string
	identities []string // category/type
	name       string
	features   []string
}

// has reports whether a feature is there.
func (e entity) has(feature string) bool { return slices.Contains(e.features, feature) }

// is reports whether an identity is there.
func (e entity) is(identity string) bool { return slices.Contains(e.identities, identity) }

// info asks an address what it is.
func (c *connection) info(ctx context.Context, address string) (entity, error) {
	answer, err := c.ask(ctx, address, "get", xmltok.New(packet.NSDiscoInfo, "query", ""))
	if err != nil {
		return entity{address: address}, err
	}
	return parseInfo(address, answer.Payload), nil
}

// maxInfo bounds the identities and the features that are kept of one answer.
const maxInfo = 1000

// parseInfo reads an answer to disco#info.
func parseInfo(address string, query xmltok.Element) entity {
	e := entity{address: address}
	for x := range query.Children() {
		switch {
		case x.Is(packet.NSDiscoInfo, "identity") && len(e.identities) < maxInfo:
			e.identities = append(e.identities, x.Get("category")+"/"+x.Get("type"))
			if e.name == "" {
				e.name = x.Get("name")
			}
		case x.Is(packet.NSDiscoInfo, "feature") && len(e.features) < maxInfo:
			e.features = append(e.features, x.Get("var"))
		}
	}
	return e
}

// services are the server's items that answer.
func (c *connection) services(ctx context.Context, server, own string) []entity {
	answer, err := c.ask(ctx, server, "get", xmltok.New(nsItems, "query", ""))
	if err != nil {
		return nil
	}
	var out []entity
	for x := range answer.Payload.Children() {
		address := x.Get("jid")
		if !x.Is(nsItems, "item") || address == "" || x.Get("node") != "" || strings.Contains(address, "@") || packet.SameJID(address, own) || len(out) == maxServices {
			continue
		}
		if e, err := c.info(ctx, address); err == nil {
			out = append(out, e)
		}
	}
	return out
}

// version asks a server for its software (XEP-0092).
func (c *connection) version(ctx context.Context, server string) string {
	answer, err := c.ask(ctx, server, "get", xmltok.New(packet.NSVersion, "query", ""))
	if err != nil {
		return ""
	}
	name := answer.Payload.ChildText(packet.NSVersion, "name")
	return strings.TrimSpace(name + " " + answer.Payload.ChildText(packet.NSVersion, "version"))
}

// kindOf recognises a server by its software or by the name of its identity.
func kindOf(software string, server entity) string {
	for _, s := range []string{software, server.name} {
		switch s = strings.ToLower(s); {
		case strings.Contains(s, kindProsody):
			return kindProsody
		case strings.Contains(s, kindEjabberd):
			return kindEjabberd
		}
	}
	return ""
}

// condition is the defined condition of a refusal, empty for other errors.
func condition(err error) string {
	var e *packet.Error
	if errors.As(err, &e) {
		return e.Condition
	}
	return ""
}

// said is an error as people read it.
func said(err error) string {
	if c := condition(err); c != "" {
		return "answers " + c
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "does not answer"
	}
	return cause(err)
}
