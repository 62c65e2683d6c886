package xmltok

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

type state uint8

const (
	stProlog    state = iota // before the stream header
	stDecl                   // in the XML declaration
	stTop                    // between stanzas
	stText                   // character data in a stanza
	stOpen                   // after '<'
	stName                   // in the name of a start tag
	stTag                    // in a start tag, after white space
	stAttr                   // in an attribute's name
	stAttrSpace              // after an attribute's name
	stEq                     // after '='
	stValue                  // in an attribute's value
	stValueEnd               // after the element's name or an attribute's value
	stEmpty                  // after '/' in a start tag
	stClose                  // after "</"
	stCloseName              // in the name of an end tag
	stCloseEnd               // after the name of an end tag
	stBang                   // after "<!"
	stCData                  // in a CDATA section
	stRef                    // after '&'
	stDone                   // after the stream's end tag
)

type event uint8

const (
	evMore event = iota // more bytes are needed
	evHeader
	evStanza
	evEnd
)

// Classes of ASCII bytes.
const (
	clsText      = 1 << iota // character data that needs no look
	clsValue                 // the same within an attribute
	clsName                  // may be in a name
	clsNameStart             // may begin a name
)

var class = classes()

func classes() (t [256]byte) {
	for c := range utf8.RuneSelf {
		b := byte(c)
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b == ':'
		if IsChar(rune(c)) && b != '<' && b != '&' {
			if b != ']' && b != '>' {
				t[c] |= clsText
			}
			if b != '\'' && b != '"' {
				t[c] |= clsValue
			}
		}
		if letter {
			t[c] |= clsNameStart | clsName
		}
		if b >= '0' && b <= '9' || b == '-' || b == '.' {
			t[c] |= clsName
		}
	}
	return t
}

const hashPrime = 0x100000001b3

// declaration is what may stand before the stream header (XML 1.0 §2.8, RFC 6120 §11.5 and §11.6).
var declaration = regexp.MustCompile(`^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*('1\.0'|"1\.0")` +
	`([ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?i:'utf-8'|"utf-8"))?([ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*('yes'|"yes"|'no'|"no"))?[ \t\r\n]*\?>$`)

// scan consumes buffered bytes until a piece is complete, the bytes run out, or they are wrong.
func (s *Splitter) scan() (event, error) {
	for s.pos < len(s.buf) {
		if s.size() > s.lim.MaxBytes && s.skip == 0 && s.state != stTop {
			if err := s.startSkip(TooLarge); err != nil {
				return evMore, err
			}
		}
		switch s.state {
		case stText, stCData, stValue:
			if more, err := s.data(); err != nil || more {
				return evMore, err
			}
			continue
		case stName, stAttr, stCloseName:
			if more, err := s.names(); err != nil || more {
				return evMore, err
			}
			continue
		}
		c := s.buf[s.pos]
		ev, err := s.step(c)
		if err != nil || ev != evMore {
			return ev, err
		}
	}
	if s.size() > s.lim.MaxBytes && s.skip == 0 && s.state != stTop {
		return evMore, s.startSkip(TooLarge)
	}
	return evMore, nil
}

// data consumes character data, a CDATA section or an attribute's value. more is true if a character is not yet complete.
func (s *Splitter) data() (more bool, err error) {
	mask := byte(clsText)
	if s.state == stValue {
		mask = clsValue
	}
	i, end := s.pos, len(s.buf)
	if most := s.pos + chunk; end > most { // so that the size is looked at now and then
		end = most
	}
	for i < end {
		c := s.buf[i]
		if class[c]&mask != 0 {
			s.brackets = 0
			i++
			for i < end && class[s.buf[i]]&mask != 0 {
				i++
			}
			continue
		}
		if c >= utf8.RuneSelf {
			n, err := runeAt(s.buf[i:])
			if err != nil {
				return false, err
			}
			if n == 0 {
				s.pos = i
				return true, nil
			}
			s.brackets = 0
			i += n
			continue
		}
		s.pos = i + 1
		return false, s.special(c)
	}
	s.pos = i
	return false, nil
}

// runeAt returns the length of the character at the start of b, 0 if more bytes are needed.
func runeAt(b []byte) (int, error) {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n == 1 {
		if !utf8.FullRune(b) {
			return 0, nil
		}
		return 0, malformed("bad UTF-8")
	}
	if !IsChar(r) {
		return 0, malformed("character U+%04X", r)
	}
	return n, nil
}

// special handles an ASCII byte that is not plain in the current state.
func (s *Splitter) special(c byte) error {
	switch {
	case s.state == stCData:
		switch {
		case c == ']':
			s.brackets = min(s.brackets+1, 2)
		case c == '>' && s.brackets == 2:
			s.state, s.brackets = stText, 0
		case !IsChar(rune(c)):
			return malformed("control character")
		default:
			s.brackets = 0
		}
		return nil
	case c == '&':
		s.ret, s.state, s.ref = s.state, stRef, s.ref[:0]
		s.brackets = 0
	case s.state == stValue:
		switch {
		case c == s.quote:
			s.state = stValueEnd
			s.checkReserved()
		case c == '<':
			return malformed("'<' in an attribute")
		case c != '\'' && c != '"':
			return malformed("control character")
		}
	case c == '<':
		s.state, s.brackets = stOpen, 0
	case c == ']':
		s.brackets = min(s.brackets+1, 2)
	case c == '>':
		if s.brackets == 2 {
			return malformed("']]>' in text")
		}
		s.brackets = 0
	default:
		return malformed("control character")
	}
	return nil
}

// names consumes bytes of a name and ends the name at the first byte that cannot be part of it.
func (s *Splitter) names() (more bool, err error) {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		n := 1
		if c >= utf8.RuneSelf {
			if n, err = runeAt(s.buf[s.pos:]); err != nil || n == 0 {
				return n == 0, err
			}
		} else if class[c]&clsName == 0 {
			return false, s.endName()
		}
		for _, b := range s.buf[s.pos : s.pos+n] {
			s.name.hash = (s.name.hash ^ uint64(b)) * hashPrime
		}
		s.name.n += n
		s.pos += n
		if s.size() > s.lim.MaxBytes && s.skip == 0 {
			return false, nil
		}
	}
	return false, nil
}

// bytesOf returns a name's bytes; only valid while the piece is kept.
func (s *Splitter) bytesOf(n span) []byte { return s.buf[s.start+n.off : s.start+n.off+n.n] }

// beginName starts a name at the current byte.
func (s *Splitter) beginName(next state) error {
	c := s.buf[s.pos]
	if c < utf8.RuneSelf && class[c]&clsNameStart == 0 {
		return malformed("byte %#02x where a name must be", c)
	}
	s.state, s.name = next, span{off: s.size(), hash: 14695981039346656037}
	return nil
}

// endName files the name that was read.
func (s *Splitter) endName() error {
	if s.skip == 0 {
		name := s.bytesOf(s.name)
		if !ascii(name) && !nameOK(name) {
			return malformed("bad name")
		}
		if bytes.IndexByte(name, ':') >= 0 && string(name) != "xml:lang" {
			s.prefixed = true
		}
	}
	switch s.state {
	case stName:
		s.state = stValueEnd
		s.attrs, s.attrSet = s.attrs[:0], nil
		return s.push()
	case stAttr:
		s.state = stAttrSpace
		return s.addAttr()
	default:
		s.state = stCloseEnd
		return nil
	}
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// push opens an element.
func (s *Splitter) push() error {
	if s.root == nil && s.r != nil { // the stream's own start tag
		s.header = s.name
		return nil
	}
	s.open = append(s.open, s.name)
	s.elements++
	switch {
	case len(s.open) > maxSkipDepth:
		return ErrLimit
	case len(s.open) > s.lim.MaxDepth:
		return s.startSkip(TooDeep)
	case s.elements > s.lim.MaxElements:
		return s.startSkip(TooManyElements)
	}
	return nil
}

// addAttr adds an attribute to the current tag and refuses a second one of its name.
func (s *Splitter) addAttr() error {
	if s.skip == 0 && len(s.attrs) < 32 {
		name := s.bytesOf(s.name)
		for _, a := range s.attrs {
			if a.hash == s.name.hash && bytes.Equal(s.bytesOf(a), name) {
				return malformed("duplicate attribute %q", name)
			}
		}
	} else {
		if s.attrSet == nil {
			s.attrSet = make(map[uint64]struct{}, len(s.attrs)+1)
			for _, a := range s.attrs {
				s.attrSet[a.hash] = struct{}{}
			}
		}
		if _, dup := s.attrSet[s.name.hash]; dup {
			return malformed("duplicate attribute")
		}
		s.attrSet[s.name.hash] = struct{}{}
	}
	s.attrs = append(s.attrs, s.name)
	switch {
	case len(s.attrs) > maxSkipAttrs:
		return ErrLimit
	case len(s.attrs) > s.lim.MaxAttrs:
		return s.startSkip(TooManyAttrs)
	}
	s.inXMLNS = s.skip == 0 && s.name.n == len("xmlns") && string(s.bytesOf(s.name)) == "xmlns"
	return nil
}

// pop closes the element whose end tag was read, or the stream itself.
func (s *Splitter) pop() (event, error) {
	if len(s.open) == 0 {
		if s.root == nil || !bytes.Equal(s.bytesOf(s.name), s.root) {
			return evMore, malformed("end tag without start tag")
		}
		s.state = stDone
		return evEnd, nil
	}
	top := s.open[len(s.open)-1]
	if top.hash != s.name.hash || top.n != s.name.n || s.skip == 0 && !bytes.Equal(s.bytesOf(top), s.bytesOf(s.name)) {
		return evMore, malformed("end tag does not match")
	}
	return s.closed()
}

// closed takes the innermost element away and ends the stanza if it was the last.
func (s *Splitter) closed() (event, error) {
	s.open = s.open[:len(s.open)-1]
	if len(s.open) > 0 {
		s.state = stText
		return evMore, nil
	}
	s.state = stTop
	if s.skip == 0 && s.size() > s.lim.MaxBytes {
		if err := s.startSkip(TooLarge); err != nil {
			return evMore, err
		}
	}
	return evStanza, nil
}

// checkReserved looks whether the default namespace just declared may be one that is reserved, which verify then finds out.
func (s *Splitter) checkReserved() {
	if !s.inXMLNS || s.skip != 0 {
		return
	}
	s.inXMLNS = false
	value := s.buf[s.start+s.value : s.pos-1]
	if bytes.IndexByte(value, '&') >= 0 || bytes.HasPrefix(value, []byte("http://www.w3.org/XML/")) || bytes.HasPrefix(value, []byte("http://www.w3.org/2000/")) {
		s.prefixed = true
	}
}
