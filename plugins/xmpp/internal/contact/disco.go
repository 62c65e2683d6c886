package contact

import (
	"crypto/sha1" //nolint:gosec // XEP-0115 §5 and XEP-0084 name it; nothing is protected by it
	"encoding/base64"
	"slices"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces of this package.
const (
	nsCaps       = "http://jabber.org/protocol/caps"
	nsDiscoItems = "http://jabber.org/protocol/disco#items"
	nsPubsub     = "http://jabber.org/protocol/pubsub"
	nsEvent      = "http://jabber.org/protocol/pubsub#event"
	nsVCard      = "vcard-temp"
	nsUpdate     = "vcard-temp:x:update"
	nsVCard4     = "urn:ietf:params:xml:ns:vcard-4.0"
	nsMetadata   = "urn:xmpp:avatar:metadata"
	nsData       = "urn:xmpp:avatar:data"
	nodeVCard4   = "urn:xmpp:vcard4"
)

// nodes are the PEP nodes of a contact that this package answers for.
var nodes = []string{nsMetadata, nsData, nodeVCard4, nsNick}

// Disco describes a contact's JID (XEP-0030): its bare form as an account with its nodes, its full form as the client that its presence
// tells of (XEP-0115). ok is false for addresses that are no contact's, and for unknown nodes: HandleIQ refuses them.
func (c *Contacts) Disco(to, node string) (info stream.Disco, ok bool) {
	j, _, isContact, err := c.virtual(to)
	switch {
	case !isContact || err != nil:
		return stream.Disco{}, false
	case j.Resourcepart() == "" && node == "":
		return c.account(), true
	case j.Resourcepart() == "" && slices.Contains(nodes, node):
		return stream.Disco{Identities: []stream.Identity{{Category: "pubsub", Type: "leaf"}}, Features: []string{packet.NSDiscoInfo, nsPubsub}}, true
	case j.Resourcepart() == c.opt.Resource && (node == "" || node == c.opt.Caps+"#"+c.ver):
		return c.client(), true
	}
	return stream.Disco{}, false
}

// account is what the bare JID is.
func (c *Contacts) account() stream.Disco {
	return stream.Disco{
		Identities: []stream.Identity{{Category: "account", Type: "registered"}, {Category: "pubsub", Type: "pep"}},
		Features: sorted(c.opt.Features, packet.NSDiscoInfo, nsDiscoItems, packet.NSPing, packet.NSVersion, nsVCard, nsVCard4, nsNick,
			nsPubsub, nsPubsub+"#retrieve-items", nsPubsub+"#persistent-items", nsPubsub+"#last-published", nsPubsub+"#filtered-notifications",
			"urn:xmpp:pep-vcard-conversion:0"),
	}
}

// client is what the full JID is. The wish for notifications makes servers tell us of changed avatars and nicks (XEP-0163 §4.3.3).
func (c *Contacts) client() stream.Disco {
	return stream.Disco{
		Identities: []stream.Identity{{Category: "client", Type: "web", Name: "bridgehost"}},
		Features: sorted(c.opt.Features, packet.NSDiscoInfo, nsCaps, packet.NSPing, packet.NSVersion, nsVCard, nsNick,
			nsMetadata+"+notify", nsNick+"+notify", nodeVCard4+"+notify"),
	}
}

func sorted(more []string, own ...string) []string {
	list := slices.Concat(own, more)
	slices.Sort(list)
	return slices.Compact(list)
}

// Ver computes the verification string of XEP-0115 §5.1 of a description without forms.
func Ver(d stream.Disco) string {
	var ids []string
	for _, id := range d.Identities {
		ids = append(ids, id.Category+"/"+id.Type+"//"+id.Name)
	}
	slices.Sort(ids)
	features := slices.Clone(d.Features)
	slices.Sort(features)
	sum := sha1.Sum([]byte(strings.Join(append(ids, features...), "<") + "<")) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// capsElement is what a contact's presence says of its capabilities.
func (c *Contacts) capsElement() xmltok.Element {
	return xmltok.New(nsCaps, "c", "", xmltok.A("hash", "sha-1"), xmltok.A("node", c.opt.Caps), xmltok.A("ver", c.ver))
}
