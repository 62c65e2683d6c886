package atom

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Link is a link of an entry (RFC 4287 §4.2.7).
type Link struct {
	Href, Type, Title, Ref string
	Length                 int64
}

// Entry is an Atom entry.
type Entry struct {
	ID         string
	Title      string
	Text       string         // text content; empty if there is only XHTML
	XHTML      xmltok.Element // the div of XHTML content; zero if there is none
	AuthorName string
	AuthorURI  string
	Published  time.Time
	Updated    time.Time
	Lang       string
	Warning    string   // hint of XEP-0382
	Spoiler    bool     // there is a XEP-0382 element, maybe without hint
	Categories []string // without #
	Alternates []Link   // the same as a page, or as an XMPP URI
	Comments   []pubsub.Address
	Enclosures []Link
	Related    []Link
	Via        []Link // repeated from there; the first XMPP URI counts (XEP-0472 §4.5)
	ReplyTo    []Link // thr:in-reply-to (XEP-0472 §4.4)
}

// Parse reads an entry. The error is ErrNotEntry.
func Parse(e xmltok.Element) (Entry, error) {
	if !e.Is(NS, "entry") {
		return Entry{}, ErrNotEntry
	}
	x := Entry{Lang: e.Lang()}
	for c := range e.Children() {
		switch c.Name.Space {
		case NS:
			x.readAtom(c)
		case NSThread:
			if c.Name.Local == "in-reply-to" {
				x.ReplyTo = addLink(x.ReplyTo, c)
			}
		case NSSpoiler:
			if c.Name.Local == "spoiler" {
				x.Spoiler, x.Warning = true, clip(strings.TrimSpace(c.Text()), maxTitle)
			}
		}
	}
	return x, nil
}

func (x *Entry) readAtom(c xmltok.Element) {
	switch c.Name.Local {
	case "id":
		x.ID = clip(strings.TrimSpace(c.Text()), maxHref)
	case "title":
		if x.Title == "" {
			x.Title = clip(strings.TrimSpace(plainOf(c)), maxTitle)
		}
	case "content", "summary":
		x.readContent(c)
	case "author":
		if x.AuthorName == "" && x.AuthorURI == "" {
			x.AuthorName = clip(strings.TrimSpace(c.ChildText(NS, "name")), maxField)
			x.AuthorURI = clip(strings.TrimSpace(c.ChildText(NS, "uri")), maxHref)
		}
	case "published":
		x.Published = parseTime(c.Text())
	case "updated":
		x.Updated = parseTime(c.Text())
	case "category":
		tag := strings.TrimPrefix(strings.TrimSpace(c.Get("term")), "#")
		if tag != "" && len(tag) <= maxField && len(x.Categories) < maxList {
			x.Categories = append(x.Categories, tag)
		}
	case "link":
		x.readLink(c)
	}
}

// readContent takes the first content of each type; a summary only where there
// is no content before or after it.
func (x *Entry) readContent(c xmltok.Element) {
	summary := c.Name.Local == "summary"
	if c.Get("type") == "xhtml" {
		div, ok := c.Child(NSXHTML, "div")
		if ok && !summary && x.XHTML.IsZero() && len(div.Raw()) <= maxText {
			x.XHTML = div
		}
		return
	}
	switch c.Get("type") {
	case "", "text", "text/plain":
		if text := clip(strings.TrimSpace(c.Text()), maxText); text != "" && (x.Text == "" || !summary) {
			x.Text = text
		}
	}
}

func (x *Entry) readLink(c xmltok.Element) {
	switch rel := c.Get("rel"); rel {
	case "alternate", "":
		x.Alternates = addLink(x.Alternates, c)
	case "replies":
		a, err := pubsub.ParseURI(c.Get("href"))
		if err == nil && len(x.Comments) < maxList {
			x.Comments = append(x.Comments, a.NodeOnly())
		}
	case "enclosure":
		x.Enclosures = addLink(x.Enclosures, c)
	case "related":
		x.Related = addLink(x.Related, c)
	case "via":
		x.Via = addLink(x.Via, c)
	}
}

func addLink(list []Link, c xmltok.Element) []Link {
	l := Link{Href: strings.TrimSpace(c.Get("href")), Type: clip(c.Get("type"), maxField), Title: clip(c.Get("title"), maxTitle), Ref: c.Get("ref")}
	if l.Href == "" && l.Ref == "" || len(l.Href) > maxHref || len(l.Ref) > maxHref || len(list) >= maxList {
		return list
	}
	if n, err := strconv.ParseInt(c.Get("length"), 10, 64); err == nil && n > 0 {
		l.Length = n
	}
	return append(list, l)
}

// parseTime reads RFC 3339 (XEP-0082), the zero time for anything else.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(s))
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// clip cuts s to at most limit bytes, between characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[:limit]
	for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
		s = s[:len(s)-1]
	}
	return s
}

// xmppLink gives the first address among links that are XMPP URIs.
func xmppLink(links []Link) (pubsub.Address, bool) {
	for _, l := range links {
		if a, err := pubsub.ParseURI(l.Href); err == nil && a.Item != "" {
			return a, true
		}
	}
	return pubsub.Address{}, false
}

// Repeats gives the item that the entry repeats, if it is a repeat of an item on
// XMPP (XEP-0472 §4.5).
func (x Entry) Repeats() (pubsub.Address, bool) { return xmppLink(x.Via) }

// Answers gives the item that the entry answers, if that is on XMPP (XEP-0472 §4.4).
func (x Entry) Answers() (pubsub.Address, bool) { return xmppLink(x.ReplyTo) }

// Changed gives when the entry was last changed: updated, else published.
func (x Entry) Changed() time.Time {
	if x.Updated.IsZero() {
		return x.Published
	}
	return x.Updated
}
