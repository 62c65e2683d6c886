package xmltok

import (
	"encoding/xml"
	"fmt"
	"unicode/utf8"
)

// AppendText appends s as character data: markup characters escaped, characters that XML forbids and broken UTF-8 replaced by U+FFFD.
func AppendText(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

// appendAttr appends ` name='value'`.
func appendAttr(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '\'')
	dst = appendEscaped(dst, value, true)
	return append(dst, '\'')
}

// AppendAttr appends an attribute with a leading space, its value escaped; nothing if value is empty. The name must be a valid one.
func AppendAttr(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendAttr(dst, name, value)
}

func appendEscaped(dst []byte, s string, attr bool) []byte {
	last := 0
	for i := 0; i < len(s); {
		r, width := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRuneInString(s[i:])
		}
		esc := ""
		switch {
		case r == '<':
			esc = "&lt;"
		case r == '>':
			esc = "&gt;"
		case r == '&':
			esc = "&amp;"
		case r == '\'' && attr:
			esc = "&apos;"
		case r == '"' && attr:
			esc = "&quot;"
		case r == '\r':
			esc = "&#xD;"
		case attr && r == '\n':
			esc = "&#xA;"
		case attr && r == '\t':
			esc = "&#x9;"
		case !IsChar(r), r == utf8.RuneError && width == 1:
			esc = "\uFFFD"
		}
		if esc != "" {
			dst = append(dst, s[last:i]...)
			dst = append(dst, esc...)
			last = i + width
		}
		i += width
	}
	return append(dst, s[last:]...)
}

// A Writer builds an Element. The zero Writer is ready. Names given to it must be valid XML names without a prefix; Element reports it
// if they are not.
type Writer struct {
	buf   []byte
	open  []string
	space []string
}

// Start opens an element. Attributes need a Name.Local only; Space may be empty or that of xml:lang.
func (w *Writer) Start(space, local string, attr ...xml.Attr) *Writer {
	w.buf = append(append(w.buf, '<'), local...)
	if around := w.around(); around != space {
		w.buf = appendAttr(w.buf, "xmlns", space)
	}
	for _, a := range attr {
		name := a.Name.Local
		if a.Name.Space == xmlNamespace {
			name = "xml:" + name
		}
		w.buf = appendAttr(w.buf, name, a.Value)
	}
	w.buf = append(w.buf, '>')
	w.open, w.space = append(w.open, local), append(w.space, space)
	return w
}

// around is the default namespace where the next element goes.
func (w *Writer) around() string {
	if len(w.space) == 0 {
		return ""
	}
	return w.space[len(w.space)-1]
}

// Text adds character data.
func (w *Writer) Text(s string) *Writer {
	w.buf = AppendText(w.buf, s)
	return w
}

// Child adds a whole element.
func (w *Writer) Child(e Element) *Writer {
	w.buf = append(w.buf, e.Standalone()...)
	return w
}

// End closes the element opened last.
func (w *Writer) End() *Writer {
	if n := len(w.open); n > 0 {
		w.buf = append(append(append(w.buf, '<', '/'), w.open[n-1]...), '>')
		w.open, w.space = w.open[:n-1], w.space[:n-1]
	}
	return w
}

// Element closes what is open and returns the one element that was built.
func (w *Writer) Element() (Element, error) {
	for len(w.open) > 0 {
		w.End()
	}
	return Parse(w.buf)
}

// A is an un-namespaced attribute for Writer.Start.
func A(local, value string) xml.Attr { return xml.Attr{Name: xml.Name{Local: local}, Value: value} }

// New returns an element with text and no children. It panics if the names are no XML names, so use it with constants.
func New(space, local, text string, attr ...xml.Attr) Element {
	e, err := new(Writer).Start(space, local, attr...).Text(text).Element()
	if err != nil {
		panic("xmltok: New " + local + ": " + err.Error())
	}
	return e
}

// Marshal turns a value of a payload type, such as those of gosrc.io/xmpp/stanza, into an element by encoding/xml.
func Marshal(v any) (Element, error) {
	b, err := xml.Marshal(v)
	if err != nil {
		return Element{}, fmt.Errorf("marshal %T: %w", v, err)
	}
	return Parse(b)
}
