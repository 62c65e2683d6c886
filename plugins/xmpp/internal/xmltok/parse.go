package xmltok

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNotWellFormed is wrapped by every error about bytes that are not the XML of a stream: broken syntax, bad UTF-8, unbound prefixes,
// duplicate attributes, or what RFC 6120 §11.1 forbids. A stream cannot go on after it.
var ErrNotWellFormed = errors.New("not well-formed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotWellFormed}, args...)...)
}

// cursor walks over bytes that a Splitter has accepted. It still checks every index, so that wrong bytes give an error, not a panic.
type cursor struct {
	b []byte
	i int
}

// atTag reports whether the cursor stands before a start or end tag, in distinction to text and CDATA.
func (c *cursor) atTag() bool {
	return c.i < len(c.b) && c.b[c.i] == '<' && (c.i+1 >= len(c.b) || c.b[c.i+1] != '!')
}

// text returns the run of character data, or the content of the CDATA section, at the cursor and goes past it.
func (c *cursor) text() (text []byte, cdata bool) {
	rest := c.b[c.i:]
	if bytes.HasPrefix(rest, cdataStart) {
		rest = rest[len(cdataStart):]
		end := bytes.Index(rest, cdataEnd)
		if end < 0 {
			c.i = len(c.b)
			return rest, true
		}
		c.i += len(cdataStart) + end + len(cdataEnd)
		return rest[:end], true
	}
	end := bytes.IndexByte(rest, '<')
	if end < 0 {
		end = len(rest)
	}
	c.i += end
	if end == 0 && !c.atTag() {
		c.i = len(c.b) // a markup declaration: cannot be in accepted bytes
	}
	return rest[:end], false
}

var (
	cdataStart = []byte("<![CDATA[")
	cdataEnd   = []byte("]]>")
)

// skip goes past the element at the cursor, or reports false if there is none.
func (c *cursor) skip() bool {
	depth := 0
	for c.i < len(c.b) {
		if !c.atTag() {
			c.text()
			continue
		}
		end := tagEnd(c.b[c.i:])
		if end < 0 {
			break
		}
		tag := c.b[c.i : c.i+end]
		switch {
		case len(tag) > 1 && tag[1] == '/':
			if depth == 0 {
				return false
			}
			depth--
		case tag[len(tag)-2] != '/':
			depth++
		}
		c.i += end
		if depth == 0 {
			return true
		}
	}
	c.i = len(c.b)
	return false
}

// tagEnd returns the length of the tag at the start of b, or -1.
func tagEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '>':
			return i + 1
		case '"', '\'':
			end := bytes.IndexByte(b[i+1:], b[i])
			if end < 0 {
				return -1
			}
			i += end + 1
		}
	}
	return -1
}

// element parses the element at the cursor, resolves its names in outer and goes past it.
func (c *cursor) element(outer *scope) (Element, error) {
	start := c.i
	head := tagEnd(c.b[start:])
	if !c.atTag() || head < 3 {
		return Element{}, malformed("no start tag")
	}
	tag := c.b[start+1 : start+head-1]
	empty := tag[len(tag)-1] == '/'
	if empty {
		tag = tag[:len(tag)-1]
	}
	e := Element{outer: outer}
	if err := e.resolve(tag); err != nil {
		return Element{}, err
	}
	if empty {
		c.i = start + head
		e.raw = c.b[start:c.i:c.i]
		return e, nil
	}
	if !c.skip() {
		return Element{}, malformed("element %q has no end", e.Name.Local)
	}
	e.raw = c.b[start:c.i:c.i]
	tail := bytes.LastIndexByte(e.raw, '<')
	if tail < head {
		return Element{}, malformed("element %q has no end tag", e.Name.Local)
	}
	e.inner = e.raw[head:tail:tail]
	return e, nil
}

// resolve reads the inside of a start tag: name, attributes and namespace declarations.
func (e *Element) resolve(tag []byte) error {
	i := nameEnd(tag, 0)
	name := tag[:i]
	e.scope = e.outer
	type raw struct{ name, value []byte }
	var few [8]raw
	attrs := few[:0]
	for {
		for i < len(tag) && isSpace(tag[i]) {
			i++
		}
		if i >= len(tag) {
			break
		}
		n := i
		i = nameEnd(tag, i)
		a := raw{name: tag[n:i]}
		for i < len(tag) && (isSpace(tag[i]) || tag[i] == '=') {
			i++
		}
		if i >= len(tag) || (tag[i] != '"' && tag[i] != '\'') || len(a.name) == 0 {
			return malformed("attribute without value")
		}
		end := bytes.IndexByte(tag[i+1:], tag[i])
		if end < 0 {
			return malformed("attribute without end")
		}
		a.value = tag[i+1 : i+1+end]
		i += end + 2
		declared, err := e.declare(a.name, a.value)
		if err != nil {
			return err
		}
		if !declared {
			attrs = append(attrs, a)
		}
	}
	var err error
	if e.Name, err = e.scope.name(name, true); err != nil {
		return err
	}
	if len(attrs) == 0 {
		return nil
	}
	e.Attr = make([]xml.Attr, 0, len(attrs))
	for _, a := range attrs {
		an, err := e.scope.name(a.name, false)
		if err != nil {
			return err
		}
		e.Attr = append(e.Attr, xml.Attr{Name: an, Value: unescape(a.value, true)})
	}
	return uniqueAttrs(e.Attr)
}

// uniqueAttrs refuses two attributes of one expanded name (Namespaces in XML 1.0 §6.3).
func uniqueAttrs(attrs []xml.Attr) error {
	if len(attrs) > 16 {
		seen := make(map[xml.Name]bool, len(attrs))
		for _, a := range attrs {
			if seen[a.Name] {
				return malformed("duplicate attribute %q", a.Name.Local)
			}
			seen[a.Name] = true
		}
		return nil
	}
	for i, a := range attrs {
		for _, b := range attrs[:i] {
			if a.Name == b.Name {
				return malformed("duplicate attribute %q", a.Name.Local)
			}
		}
	}
	return nil
}

// declare adds a namespace declaration to the element's scope and reports whether the attribute was one (Namespaces in XML 1.0 §3).
func (e *Element) declare(name, value []byte) (bool, error) {
	prefix, ok := "", string(name) == "xmlns"
	if !ok {
		p, found := bytes.CutPrefix(name, []byte("xmlns:"))
		if !found {
			return false, nil
		}
		prefix = string(p)
	}
	uri := intern(value)
	if bytes.ContainsAny(value, "&\r\n\t") {
		uri = unescape(value, true)
	}
	switch {
	case !ok && (prefix == "" || strings.Contains(prefix, ":") || prefix == "xmlns"):
		return false, malformed("bad namespace prefix %q", prefix)
	case !ok && uri == "":
		return false, malformed("prefix %q bound to no namespace", prefix)
	case (prefix == "xml") != (uri == xmlNamespace):
		return false, malformed("reserved namespace")
	case uri == "http://www.w3.org/2000/xmlns/":
		return false, malformed("reserved namespace")
	}
	for s := e.scope; s != e.outer; s = s.up {
		if s.prefix == prefix {
			return false, malformed("namespace prefix %q declared twice", prefix)
		}
	}
	e.scope = &scope{prefix: prefix, uri: uri, up: e.scope}
	return true, nil
}

// name resolves a qualified name. Attributes without a prefix are in no namespace; elements are in the default one.
func (s *scope) name(qname []byte, element bool) (xml.Name, error) {
	colon := bytes.IndexByte(qname, ':')
	if colon < 0 {
		n := xml.Name{Local: intern(qname)}
		if element {
			n.Space, _ = s.lookup("")
		}
		return n, nil
	}
	prefix, local := qname[:colon], qname[colon+1:]
	if len(prefix) == 0 || len(local) == 0 || bytes.IndexByte(local, ':') >= 0 || !nameStart(local) {
		return xml.Name{}, malformed("bad qualified name %q", qname)
	}
	uri, ok := s.lookup(string(prefix))
	if !ok {
		return xml.Name{}, malformed("unbound prefix %q", prefix)
	}
	return xml.Name{Space: uri, Local: intern(local)}, nil
}

// nameStart reports whether b may begin a name without a prefix: neither digit nor dash nor dot (XML 1.0 §2.3).
func nameStart(b []byte) bool {
	return b[0] >= utf8.RuneSelf || class[b[0]]&clsNameStart != 0
}

// intern spares the allocation for the names and namespaces that nearly every stanza has.
func intern(b []byte) string {
	switch string(b) {
	case "from":
		return "from"
	case "to":
		return "to"
	case "id":
		return "id"
	case "type":
		return "type"
	case "lang":
		return "lang"
	case "message":
		return "message"
	case "presence":
		return "presence"
	case "iq":
		return "iq"
	case "body":
		return "body"
	case "x":
		return "x"
	case "item":
		return "item"
	case "stanza-id":
		return "stanza-id"
	case "by":
		return "by"
	case "origin-id":
		return "origin-id"
	case "urn:xmpp:sid:0":
		return "urn:xmpp:sid:0"
	case "http://jabber.org/protocol/muc#user":
		return "http://jabber.org/protocol/muc#user"
	case "urn:xmpp:delay":
		return "urn:xmpp:delay"
	case "urn:xmpp:occupant-id:0":
		return "urn:xmpp:occupant-id:0"
	case "jabber:client":
		return "jabber:client"
	case "jabber:component:accept":
		return "jabber:component:accept"
	}
	return string(b)
}

func nameEnd(b []byte, i int) int {
	for i < len(b) && !isSpace(b[i]) && b[i] != '=' && b[i] != '/' && b[i] != '>' {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// unescape resolves references and normalises line ends; in an attribute, white space becomes spaces (XML 1.0 §3.3.3).
func unescape(b []byte, attr bool) string {
	special := "&\r"
	if attr {
		special = "&\r\n\t"
	}
	first := bytes.IndexAny(b, special)
	if first < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	out = append(out, b[:first]...)
	for i := first; i < len(b); i++ {
		switch c := b[i]; {
		case c == '&':
			end := bytes.IndexByte(b[i:], ';')
			if end < 0 {
				return string(append(out, b[i:]...))
			}
			out = appendReference(out, b[i+1:i+end])
			i += end
		case c == '\r':
			if attr {
				out = append(out, ' ')
			} else {
				out = append(out, '\n')
			}
			if i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
		case attr && (c == '\n' || c == '\t'):
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// appendReference appends what the reference between & and ; stands for.
func appendReference(out, ref []byte) []byte {
	switch string(ref) {
	case "lt":
		return append(out, '<')
	case "gt":
		return append(out, '>')
	case "amp":
		return append(out, '&')
	case "apos":
		return append(out, '\'')
	case "quot":
		return append(out, '"')
	}
	if r, ok := charReference(ref); ok {
		return utf8.AppendRune(out, r)
	}
	return out
}

// charReference reads a numeric reference without & and ; and checks that XML allows the character.
func charReference(ref []byte) (rune, bool) {
	if len(ref) < 2 || ref[0] != '#' {
		return 0, false
	}
	digits, base := ref[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	if len(digits) == 0 || digits[0] == '+' || digits[0] == '-' || digits[0] == '_' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), base, 64)
	if err != nil || n > utf8.MaxRune || !IsChar(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

// normalizeLines turns CR LF and lone CR into LF (XML 1.0 §2.11).
func normalizeLines(b []byte) string {
	if bytes.IndexByte(b, '\r') < 0 {
		return string(b)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\r", "\n")
}

// IsChar reports whether XML 1.0 §2.2 allows the character.
func IsChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}
