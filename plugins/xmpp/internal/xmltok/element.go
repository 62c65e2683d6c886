package xmltok

import (
	"bytes"
	"encoding/xml"
	"iter"
	"strings"
)

// xmlNamespace is what the prefix "xml" is bound to in every document.
const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

// Element is one element as it came over the wire: its name and attributes are resolved, everything inside is kept byte for byte and
// parsed only when asked. The zero Element has an empty name and no content. An Element is immutable and safe for concurrent reading;
// it keeps the bytes of the whole stanza it came from alive.
type Element struct {
	// Name is the resolved name: Space is the namespace URI, not the prefix.
	Name xml.Name
	// Attr holds the attributes in document order without namespace declarations. An attribute without a prefix has an empty Space.
	Attr []xml.Attr

	raw   []byte // from '<' of the start tag to '>' of the end tag
	inner []byte // what is between the tags; empty for <a/>
	outer *scope // namespace declarations in force around the element
	scope *scope // the same with the element's own
}

// scope is one namespace declaration and those around it.
type scope struct {
	prefix string // empty for the default namespace
	uri    string
	up     *scope
}

// lookup returns the URI that prefix is bound to; an undeclared default namespace is the empty one.
func (s *scope) lookup(prefix string) (string, bool) {
	if prefix == "xml" {
		return xmlNamespace, true
	}
	for ; s != nil; s = s.up {
		if s.prefix == prefix {
			return s.uri, true
		}
	}
	return "", prefix == ""
}

// IsZero reports whether e is no element at all.
func (e Element) IsZero() bool { return e.Name.Local == "" }

// Is reports whether e has the name local in the namespace space.
func (e Element) Is(space, local string) bool { return e.Name.Local == local && e.Name.Space == space }

// Raw returns the element verbatim. It may rely on namespace declarations of the elements around it, see Standalone.
func (e Element) Raw() []byte { return e.raw }

// Inner returns verbatim what is between the start and the end tag.
func (e Element) Inner() []byte { return e.inner }

// Get returns the value of the un-namespaced attribute local, or "" if there is none.
func (e Element) Get(local string) string {
	for i := range e.Attr {
		if e.Attr[i].Name.Local == local && e.Attr[i].Name.Space == "" {
			return e.Attr[i].Value
		}
	}
	return ""
}

// Lang returns the element's own xml:lang, or "".
func (e Element) Lang() string {
	for i := range e.Attr {
		if e.Attr[i].Name.Local == "lang" && e.Attr[i].Name.Space == xmlNamespace {
			return e.Attr[i].Value
		}
	}
	return ""
}

// Text returns the character data directly inside the element, references resolved and line ends normalised (XML 1.0 §2.11). Text
// inside child elements does not count.
func (e Element) Text() string {
	if bytes.IndexByte(e.inner, '<') < 0 {
		return unescape(e.inner, false)
	}
	var b strings.Builder
	c := cursor{b: e.inner}
	for c.i < len(c.b) {
		if c.atTag() {
			if !c.skip() {
				break
			}
			continue
		}
		if text, cdata := c.text(); cdata {
			b.WriteString(normalizeLines(text))
		} else {
			b.WriteString(unescape(text, false))
		}
	}
	return b.String()
}

// Children yields the child elements in document order; text between them is passed over.
func (e Element) Children() iter.Seq[Element] {
	return func(yield func(Element) bool) {
		c := cursor{b: e.inner}
		for {
			for c.i < len(c.b) && !c.atTag() {
				c.text()
			}
			if c.i >= len(c.b) {
				return
			}
			child, err := c.element(e.scope)
			if err != nil || !yield(child) {
				return
			}
		}
	}
}

// Child returns the first child with the name local in the namespace space, and whether there is one.
func (e Element) Child(space, local string) (Element, bool) {
	for c := range e.Children() {
		if c.Is(space, local) {
			return c, true
		}
	}
	return Element{}, false
}

// ChildText returns the text of the first child with that name, or "".
func (e Element) ChildText(space, local string) string {
	c, _ := e.Child(space, local)
	return c.Text()
}

// Standalone returns the element with every namespace declaration that it borrows from around it written into its start tag, so that
// it means the same in another document. An element that borrows nothing comes back verbatim; the content always does.
func (e Element) Standalone() []byte {
	if e.IsZero() {
		return nil
	}
	own := map[string]bool{}
	for s := e.scope; s != e.outer; s = s.up {
		own[s.prefix] = true
	}
	var add []byte
	if !own[""] {
		uri, _ := e.outer.lookup("")
		if uri != "" {
			add = appendAttr(add, "xmlns", uri)
		}
	}
	seen := map[string]bool{}
	for s := e.outer; s != nil; s = s.up {
		if s.prefix == "" || own[s.prefix] || seen[s.prefix] || !bytes.Contains(e.raw, []byte(s.prefix+":")) {
			continue
		}
		seen[s.prefix] = true
		add = appendAttr(add, "xmlns:"+s.prefix, s.uri)
	}
	if len(add) == 0 {
		return e.raw
	}
	at := 1
	for at < len(e.raw) && !isSpace(e.raw[at]) && e.raw[at] != '/' && e.raw[at] != '>' {
		at++
	}
	out := make([]byte, 0, len(e.raw)+len(add))
	out = append(out, e.raw[:at]...)
	out = append(out, add...)
	return append(out, e.raw[at:]...)
}

// Decode unmarshals the element into v with encoding/xml. It is meant for payloads whose types match namespaces, such as those of
// gosrc.io/xmpp/stanza; addresses must never be read this way (encoding/xml takes attributes of any namespace).
func (e Element) Decode(v any) error { return xml.Unmarshal(e.Standalone(), v) }
