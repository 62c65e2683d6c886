// Package xmltok cuts an XMPP stream into whole stanzas and gives access to their content without copying or changing it.
//
// A Splitter reads the stream byte by byte with a scanner of its own, checks the XML 1.0 syntax that RFC 6120 §11 allows, and applies
// its Limits while it reads: a stanza over a limit is passed over to its end without being kept, and the stream lives on. Bytes that are
// not well-formed, and what RFC 6120 §11.1 forbids (comments, processing instructions, document types, entities), end the stream.
//
// An Element is a view of a captured stanza: names are resolved, the content is kept verbatim and parsed lazily.
package xmltok

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// Limits bound what one stanza may be. They are applied before the stanza is kept. All must be positive.
type Limits struct {
	MaxBytes    int // bytes of the whole stanza
	MaxDepth    int // nesting; the stanza itself is level 1
	MaxElements int // elements in the stanza, itself included
	MaxAttrs    int // attributes of one element, namespace declarations included
}

// ClientLimits are the limits for a client's stream; the size is Prosody's own (c2s_stanza_size_limit).
func ClientLimits() Limits {
	return Limits{MaxBytes: 256 << 10, MaxDepth: 64, MaxElements: 10000, MaxAttrs: 256}
}

// ComponentLimits are the limits for a component's stream; the size is Prosody's own (component_stanza_size_limit).
func ComponentLimits() Limits {
	l := ClientLimits()
	l.MaxBytes = 512 << 10
	return l
}

// maxSkipDepth and maxSkipAttrs bound the memory for what is passed over; a stanza beyond them ends the stream.
const (
	maxSkipDepth = 1 << 18
	maxSkipAttrs = 1 << 17
	chunk        = 16 << 10
)

// ErrLimit is wrapped by errors about a limit that cannot be kept by skipping a stanza.
var ErrLimit = errors.New("limit exceeded")

// Kind says what a Piece is.
type Kind int

// Kinds of pieces.
const (
	Header  Kind = iota // the stream's start tag
	Stanza              // a whole top-level element
	Skipped             // a top-level element that broke a limit; it was not kept
	End                 // the stream's end tag
)

// Piece is one step of a stream.
type Piece struct {
	Kind    Kind
	Element Element // Header: name and attributes only; Stanza: everything; else zero
	Reason  Reason  // Skipped only
	Size    int     // bytes on the wire
}

// Reason is the limit that a skipped stanza broke.
type Reason int

// Reasons.
const (
	TooLarge Reason = iota + 1
	TooDeep
	TooManyElements
	TooManyAttrs
)

// String names the limit.
func (r Reason) String() string {
	switch r {
	case TooLarge:
		return "too large"
	case TooDeep:
		return "too deep"
	case TooManyElements:
		return "too many elements"
	case TooManyAttrs:
		return "too many attributes"
	}
	return "within limits"
}

// span is a name: its place in the current stanza, and a hash that stays when the bytes are gone.
type span struct {
	off, n int
	hash   uint64
}

// Splitter cuts a stream into pieces. It is for one goroutine. After an error it returns that error for ever.
type Splitter struct {
	r     io.Reader
	lim   Limits
	buf   []byte // unread and current bytes
	start int    // where the current piece begins in buf
	pos   int    // next byte to scan
	err   error

	state    state
	ret      state // state after a reference
	quote    byte
	brackets int // consecutive ']' seen, at most 2
	match    int // matched bytes of "[CDATA["
	ref      []byte
	name     span // name being read
	value    int  // where the attribute's value begins in the piece
	inXMLNS  bool // the attribute declares the default namespace
	sawDecl  bool

	open     []span
	attrs    []span
	attrSet  map[uint64]struct{}
	elements int
	gone     int // bytes of the current piece that are no longer in buf
	skip     Reason
	prefixed bool // the piece has names that need a namespace check throughout

	header span // the stream's qualified name
	root   []byte
	base   *scope
}

// NewSplitter returns a Splitter at the start of a stream.
func NewSplitter(r io.Reader, lim Limits) *Splitter {
	return &Splitter{r: r, lim: lim, state: stProlog}
}

// Restart makes the Splitter expect a new stream header on the same bytes, as after SASL (RFC 6120 §6.4.6).
func (s *Splitter) Restart() {
	rest := s.buf[s.pos:]
	*s = Splitter{r: s.r, lim: s.lim, buf: append([]byte(nil), rest...), err: s.err, state: stProlog}
}

// Buffered returns how many bytes were read but belong to no piece that was returned.
func (s *Splitter) Buffered() int { return len(s.buf) - s.start }

// Next returns the next piece. It blocks in the reader only when more bytes are needed. io.EOF means that the connection ended between
// two pieces, io.ErrUnexpectedEOF that it ended within one.
func (s *Splitter) Next() (Piece, error) {
	for s.err == nil {
		ev, err := s.scan()
		if err != nil {
			s.err = err
			break
		}
		if ev != evMore {
			p, err := s.piece(ev)
			if err != nil {
				s.err = err
				break
			}
			return p, nil
		}
		s.err = s.fill()
	}
	return Piece{}, s.err
}

// size is the length of the current piece so far.
func (s *Splitter) size() int { return s.gone + s.pos - s.start }

// piece cuts off what scan has just completed.
func (s *Splitter) piece(ev event) (Piece, error) {
	p := Piece{Size: s.size(), Reason: s.skip}
	var err error
	switch {
	case s.skip != 0:
		p.Kind = Skipped
	case ev == evHeader:
		p.Kind = Header
		raw := bytes.Clone(s.buf[s.start:s.pos])
		s.root = raw[s.header.off : s.header.off+s.header.n]
		raw = raw[s.header.off-1:]
		p.Element.raw = raw
		err = p.Element.resolve(raw[1 : len(raw)-1])
		s.base = p.Element.scope
	case ev == evEnd:
		p.Kind = End
	default:
		p.Kind = Stanza
		p.Element, err = whole(bytes.Clone(s.buf[s.start:s.pos]), s.base)
		if err == nil && s.prefixed {
			err = verify(p.Element)
		}
	}
	if cap(s.open) > 4096 {
		s.open = nil
	}
	if cap(s.attrs) > 4096 {
		s.attrs, s.attrSet = nil, nil
	}
	s.start = s.pos
	s.gone, s.skip, s.elements, s.prefixed = 0, 0, 0, false
	return p, err
}

// whole views raw, which is exactly one accepted element.
func whole(raw []byte, outer *scope) (Element, error) {
	head := tagEnd(raw)
	if head < 3 {
		return Element{}, malformed("no start tag")
	}
	e := Element{outer: outer, raw: raw}
	tag := raw[1 : head-1]
	if tag[len(tag)-1] == '/' {
		return e, e.resolve(tag[:len(tag)-1])
	}
	e.inner = raw[head:bytes.LastIndexByte(raw, '<')]
	return e, e.resolve(tag)
}

// verify resolves every name in the element, so that unbound prefixes and attributes doubled by two prefixes of one namespace are found.
func verify(e Element) error {
	c := cursor{b: e.inner}
	for {
		for c.i < len(c.b) && !c.atTag() {
			c.text()
		}
		if c.i >= len(c.b) {
			return nil
		}
		child, err := c.element(e.scope)
		if err != nil {
			return err
		}
		if err := verify(child); err != nil {
			return err
		}
	}
}

// fill reads more bytes. What is scanned and not part of a kept piece is dropped first.
func (s *Splitter) fill() error {
	if s.r == nil {
		return s.eof(io.EOF)
	}
	if s.skip != 0 || s.state == stTop || (s.state == stProlog && s.size() == 0) {
		s.gone += s.pos - s.start
		if s.skip == 0 {
			s.gone = 0
		}
		s.start = s.pos
	}
	if s.start > 0 && cap(s.buf)-len(s.buf) < chunk {
		n := copy(s.buf, s.buf[s.start:])
		s.buf, s.pos, s.start = s.buf[:n], s.pos-s.start, 0
	}
	if cap(s.buf)-len(s.buf) < chunk {
		grown := make([]byte, len(s.buf), 2*cap(s.buf)+2*chunk)
		copy(grown, s.buf)
		s.buf = grown
	}
	for range 100 {
		n, err := s.r.Read(s.buf[len(s.buf) : len(s.buf)+chunk])
		s.buf = s.buf[:len(s.buf)+n]
		if n > 0 {
			return nil
		}
		if err != nil {
			return s.eof(err)
		}
	}
	return io.ErrNoProgress
}

// eof tells an end between two pieces from one within a piece.
func (s *Splitter) eof(err error) error {
	if errors.Is(err, io.EOF) && (s.size() > 0 && s.state != stTop || len(s.open) > 0 || s.pos < len(s.buf)) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// startSkip gives up keeping the current stanza.
func (s *Splitter) startSkip(r Reason) error {
	if s.skip != 0 {
		return nil
	}
	if s.r == nil || s.root == nil {
		return fmt.Errorf("%w: %v", ErrLimit, r)
	}
	s.skip = r
	s.attrSet = nil
	if len(s.attrs) > 0 {
		s.attrSet = make(map[uint64]struct{}, len(s.attrs))
		for _, a := range s.attrs {
			s.attrSet[a.hash] = struct{}{}
		}
	}
	return nil
}

// Parse checks that b is exactly one element, without anything around it but white space, and returns a view of b's copy. Limits are
// those of a component's stream; breaking one gives an error that wraps ErrLimit.
func Parse(b []byte) (Element, error) { return ParseIn(b, "", ComponentLimits()) }

// ParseIn is Parse with limits of the caller's, for an element that stands where space is the default namespace.
func ParseIn(b []byte, space string, lim Limits) (Element, error) {
	s := Splitter{lim: lim, buf: bytes.TrimSpace(b), state: stTop}
	if space != "" {
		s.base = &scope{uri: space}
	}
	p, err := s.Next()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Element{}, malformed("element is not complete")
	}
	if err != nil {
		return Element{}, err
	}
	if p.Kind != Stanza || s.pos != len(s.buf) {
		return Element{}, malformed("more than one element")
	}
	return p.Element, nil
}

// nameOK checks a name that has non-ASCII characters against the tables of XML 1.0, fourth edition, which expat and encoding/xml share.
func nameOK(name []byte) bool {
	doc := append(append([]byte{'<'}, name...), '/', '>')
	_, err := xml.NewDecoder(bytes.NewReader(doc)).RawToken()
	return err == nil
}
