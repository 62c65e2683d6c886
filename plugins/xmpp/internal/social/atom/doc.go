// Package atom translates between Atom entries, as microblogs and social feeds
// carry them (XEP-0277, XEP-0472, RFC 4287, RFC 4685), and items. It is pure.
//
// Reading is lenient: what RFC 4287 demands may be missing, as it is in examples
// of the XEPs. Writing is strict: title, id and updated are always there, and
// XHTML content has a text alternative.
package atom

import "errors"

// Namespaces of entries.
const (
	NS        = "http://www.w3.org/2005/Atom"
	NSThread  = "http://purl.org/syndication/thread/1.0"
	NSXHTML   = "http://www.w3.org/1999/xhtml"
	NSSpoiler = "urn:xmpp:spoiler:0" // XEP-0382: the content warning, beside the title that shows it
)

// ErrNotEntry is returned for a payload that is no Atom entry.
var ErrNotEntry = errors.New("not an Atom entry")

// Bounds of what is read.
const (
	maxText   = 192 << 10 // bytes of content
	maxTitle  = 4 << 10
	maxWrite  = 64 << 10  // bytes of text that are written
	maxMarkup = 128 << 10 // bytes of XHTML that are written beside it
	maxList   = 64        // categories, links of one kind
	maxField  = 1024      // bytes of a name, a tag
	maxHref   = 8192      // bytes of a link
	titleRune = 100       // runes of a title that is made of the text
)
