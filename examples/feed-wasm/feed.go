package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a feed, whose author is a stranger.
const (
	maxDepth   = 64      // of nested elements
	maxEntries = 500     // that are read
	maxField   = 8 << 10 // bytes of one text
)

// feed is what the document says.
type feed struct {
	title   string
	page    string // for people
	entries []entry
}

// entry is one piece of news.
type entry struct {
	id      string // guid or atom:id; else the link; else a digest of the text
	title   string
	page    string
	summary string // plain text
	tags    []string
	when    time.Time // zero = not told
}

// key names the entry in a few bytes.
func (e *entry) key() string {
	sum := sha256.Sum256([]byte(e.id))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// atom is the namespace of RFC 4287.
const atom = "http://www.w3.org/2005/Atom"

// content is the namespace of content:encoded in RSS.
const content = "http://purl.org/rss/1.0/modules/content/"

// reader walks over a document.
type reader struct {
	xml   *xml.Decoder
	out   feed
	entry *entry // at hand; nil outside of entries
	depth int
}

// parse reads RSS 0.9x, 1.0 and 2.0, and Atom 1.0 (RFC 4287).
func parse(text []byte) (feed, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false // feeds are written by all sorts of programs
	d.Entity = xml.HTMLEntity
	d.CharsetReader = charset
	r := &reader{xml: d}
	root, err := r.root()
	if err != nil {
		return feed{}, err
	}
	switch root.Local {
	case "feed", "rss", "RDF":
	default:
		return feed{}, fmt.Errorf("the document is <%s>, and neither RSS nor Atom", root.Local)
	}
	if err := r.children(r.top); err != nil && !errors.Is(err, io.EOF) {
		return feed{}, err
	}
	return r.out, nil
}

// root goes to the first element.
func (r *reader) root() (xml.Name, error) {
	for {
		t, err := r.xml.Token()
		if errors.Is(err, io.EOF) {
			return xml.Name{}, errors.New("the document is empty")
		}
		if err != nil {
			return xml.Name{}, err
		}
		if s, ok := t.(xml.StartElement); ok {
			r.depth++
			return s.Name, nil
		}
	}
}

// children visits the elements inside the one at hand, up to its end.
func (r *reader) children(visit func(xml.StartElement) error) error {
	for {
		t, err := r.xml.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if r.depth++; r.depth > maxDepth {
				return fmt.Errorf("more than %d elements inside each other", maxDepth)
			}
			if err := visit(t); err != nil {
				return err
			}
		case xml.EndElement:
			r.depth--
			return nil
		}
	}
}

// top visits what stands below the root, and below channel.
func (r *reader) top(s xml.StartElement) error {
	switch s.Name.Local {
	case "channel":
		return r.children(r.top)
	case "title":
		return r.text(&r.out.title)
	case "link":
		return r.link(s, &r.out.page)
	case "item", "entry":
		e := entry{}
		r.entry = &e
		err := r.children(r.field)
		r.entry = nil
		if err != nil {
			return err
		}
		if len(r.out.entries) < maxEntries {
			r.out.entries = append(r.out.entries, e.complete())
		}
		return nil
	default:
		return r.skip()
	}
}

// field visits what stands in an entry.
func (r *reader) field(s xml.StartElement) error {
	e := r.entry
	switch s.Name.Local {
	case "guid", "id":
		return r.text(&e.id)
	case "title":
		return r.text(&e.title)
	case "link":
		return r.link(s, &e.page)
	case "description", "summary":
		return r.text(&e.summary)
	case "content", "encoded":
		if e.summary != "" || s.Name.Local == "encoded" && s.Name.Space != content {
			return r.skip()
		}
		return r.text(&e.summary)
	case "category", "subject":
		term := attr(s, "term")
		if err := r.text(&term); err != nil {
			return err
		}
		if term != "" && len(e.tags) < 16 {
			e.tags = append(e.tags, term)
		}
		return nil
	case "pubDate", "published", "date", "updated":
		var text string
		if err := r.text(&text); err != nil {
			return err
		}
		if t := date(text); !t.IsZero() && (e.when.IsZero() || s.Name.Local != "updated") {
			e.when = t
		}
		return nil
	default:
		return r.skip()
	}
}

// skip goes to the end of the element at hand.
func (r *reader) skip() error {
	return r.children(func(xml.StartElement) error { return r.skip() })
}

// text reads the element at hand as plain text into out, unless it is empty.
// Markup inside of it, escaped or not, is dropped.
func (r *reader) text(out *string) error {
	var raw strings.Builder
	if err := r.collect(&raw, 0); err != nil {
		return err
	}
	if s := plain(raw.String()); s != "" {
		*out = s
	}
	return nil
}

// collect gathers text of the element at hand and of those inside of it.
func (r *reader) collect(out *strings.Builder, level int) error {
	for {
		t, err := r.xml.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if r.depth++; r.depth > maxDepth {
				return fmt.Errorf("more than %d elements inside each other", maxDepth)
			}
			out.WriteString("<" + t.Name.Local + ">") // for plain, which knows what breaks lines
			if err := r.collect(out, level+1); err != nil {
				return err
			}
			out.WriteString("</" + t.Name.Local + ">")
		case xml.EndElement:
			r.depth--
			return nil
		case xml.CharData:
			text := string(t)
			if level > 0 { // real markup: the text is no markup
				text = strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text)
			}
			if out.Len() < 16*maxField {
				out.WriteString(text)
			}
		}
	}
}

// link reads an RSS link, which is text, or an Atom link, which has attributes.
func (r *reader) link(s xml.StartElement, out *string) error {
	href, rel := attr(s, "href"), attr(s, "rel")
	var text string
	if err := r.text(&text); err != nil {
		return err
	}
	if s.Name.Space == atom {
		if rel != "" && rel != "alternate" {
			return nil
		}
		text = href
	}
	if *out == "" && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")) {
		*out = shorten(text, 2048)
	}
	return nil
}

func attr(s xml.StartElement, name string) string {
	for _, a := range s.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// complete fills in what the entry does not tell.
func (e entry) complete() entry {
	switch {
	case e.id != "":
	case e.page != "":
		e.id = e.page
	default:
		e.id = e.title + "\n" + e.summary
	}
	if e.page == "" && (strings.HasPrefix(e.id, "https://") || strings.HasPrefix(e.id, "http://")) && !strings.ContainsAny(e.id, " \n") {
		e.page = e.id // a guid that is a permalink
	}
	return e
}

// date reads the forms of RFC 822 (RSS) and RFC 3339 (Atom, Dublin Core); zero
// when it is none of them.
func date(s string) time.Time {
	for _, layout := range []string{
		time.RFC3339, time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST",
		"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04 -0700", "2006-01-02",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// charset turns the usual encodings of old feeds into UTF-8.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252":
	default:
		return nil, fmt.Errorf("encoding %q is not known", shorten(label, 40))
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return bytes.NewReader(out), nil
}

// shorten cuts s to at most n bytes, between runes.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
