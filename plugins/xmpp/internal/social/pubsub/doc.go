// Package pubsub reads and writes the elements of publish-subscribe: requests
// and events (XEP-0060), pages of results (XEP-0059), forms (XEP-0004), and the
// URIs that name nodes and items (XEP-0060 §12.22, RFC 5122). It is pure: nothing
// here talks to anybody.
package pubsub

// Namespaces, and names of nodes that have a meaning of their own.
const (
	NS               = "http://jabber.org/protocol/pubsub"
	NSEvent          = "http://jabber.org/protocol/pubsub#event"
	NSOwner          = "http://jabber.org/protocol/pubsub#owner"
	NSErrors         = "http://jabber.org/protocol/pubsub#errors"
	FormConfig       = "http://jabber.org/protocol/pubsub#node_config"
	FormMeta         = "http://jabber.org/protocol/pubsub#meta-data"
	FormPublish      = "http://jabber.org/protocol/pubsub#publish-options"
	NSRSM            = "http://jabber.org/protocol/rsm"
	NSData           = "jabber:x:data"
	NSDiscoItems     = "http://jabber.org/protocol/disco#items"
	NSMicroblog      = "urn:xmpp:microblog:0"           // XEP-0277; also the name of the node
	NSFeed           = "urn:xmpp:pubsub-social-feed:1"  // XEP-0472
	CommentsPrefix   = "urn:xmpp:microblog:0:comments/" // XEP-0277 §3.1; the id of the item follows
	NSPPS            = "urn:xmpp:pps:0"                 // XEP-0465
	NodeFollowing    = "urn:xmpp:pps:subscriptions:0"   // XEP-0465 §4.2
	SubscriberPrefix = "urn:xmpp:pps:subscribers:0/"    // XEP-0465 §4.4; the name of the node follows
	NSAttachments    = "urn:xmpp:pubsub-attachments:1"  // XEP-0470
	AttachPrefix     = "urn:xmpp:pubsub-attachments:1/" // the URI of the item follows
	NSSummary        = "urn:xmpp:pubsub-attachments:summary:1"
	SummaryPrefix    = "urn:xmpp:pubsub-attachments:summary:1/" // the name of the node follows
)

// Bounds of what is read from other people.
const (
	MaxItems = 256  // items of one event or answer; more are passed over
	MaxName  = 1024 // bytes of a node's name or an item's id
	maxURI   = 8192 // bytes of a URI
)
