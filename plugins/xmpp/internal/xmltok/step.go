package xmltok

// step consumes one byte in a state of markup.
func (s *Splitter) step(c byte) (event, error) {
	switch s.state {
	case stProlog, stTop, stDone:
		return evMore, s.between(c)
	case stDecl:
		return evMore, s.decl(c)
	case stOpen:
		return evMore, s.opened(c)
	case stTag, stValueEnd:
		return s.inTag(c)
	case stAttrSpace:
		s.pos++
		if c == '=' {
			s.state = stEq
		} else if !isSpace(c) {
			return evMore, malformed("attribute without '='")
		}
	case stEq:
		s.pos++
		if c == '"' || c == '\'' {
			s.quote, s.state, s.value = c, stValue, s.size()
		} else if !isSpace(c) {
			return evMore, malformed("attribute without quotes")
		}
	case stEmpty:
		s.pos++
		if c != '>' {
			return evMore, malformed("'/' within a tag")
		}
		return s.closed()
	case stClose:
		return evMore, s.beginName(stCloseName)
	case stCloseEnd:
		s.pos++
		if c == '>' {
			return s.pop()
		}
		if !isSpace(c) {
			return evMore, malformed("end tag with more than a name")
		}
	case stBang:
		return evMore, s.bang(c)
	case stRef:
		return evMore, s.reference(c)
	}
	return evMore, nil
}

// between consumes a byte outside of stanzas: white space, or the '<' of the next piece.
func (s *Splitter) between(c byte) error {
	if s.state == stDone {
		return malformed("data after the end of the stream")
	}
	if isSpace(c) {
		if s.state == stProlog && s.sawDecl || s.state == stTop {
			s.pos++
			s.start = s.pos
			return nil
		}
		// White space before the header without a declaration: harmless, but a declaration may not follow it.
		s.pos++
		s.start, s.sawDecl = s.pos, true
		return nil
	}
	if c != '<' {
		return malformed("text outside of stanzas")
	}
	s.start, s.state = s.pos, stOpen
	s.pos++
	return nil
}

// opened decides what the byte after '<' begins.
func (s *Splitter) opened(c byte) error {
	inProlog := s.root == nil && s.r != nil
	switch {
	case c == '/' && !inProlog:
		s.pos++
		s.state = stClose
		return nil
	case c == '?' && inProlog && !s.sawDecl:
		s.pos++
		s.state, s.sawDecl = stDecl, true
		return nil
	case c == '?':
		return malformed("processing instruction")
	case c == '!' && len(s.open) > 0:
		s.pos++
		s.state, s.match = stBang, 0
		return nil
	case c == '!':
		return malformed("comment or document type")
	}
	return s.beginName(stName)
}

// decl consumes a byte of the XML declaration.
func (s *Splitter) decl(c byte) error {
	s.pos++
	if s.size() > 256 {
		return malformed("XML declaration")
	}
	if c != '>' {
		return nil
	}
	if !declaration.Match(s.buf[s.start:s.pos]) {
		return malformed("XML declaration")
	}
	s.state, s.start = stProlog, s.pos
	return nil
}

// inTag consumes a byte of a start tag between its attributes.
func (s *Splitter) inTag(c byte) (event, error) {
	switch {
	case isSpace(c):
		s.pos++
		s.state = stTag
	case c == '>':
		s.pos++
		if len(s.open) == 0 { // the stream header
			s.state = stTop
			return evHeader, nil
		}
		s.state = stText
	case c == '/':
		s.pos++
		if len(s.open) == 0 {
			return evMore, malformed("stream header is an empty element")
		}
		s.state = stEmpty
	case s.state == stValueEnd:
		return evMore, malformed("no space before an attribute")
	default:
		return evMore, s.beginName(stAttr)
	}
	return evMore, nil
}

// bang consumes a byte after "<!": only a CDATA section may follow.
func (s *Splitter) bang(c byte) error {
	const want = "[CDATA["
	if c != want[s.match] {
		return malformed("comment or markup declaration")
	}
	s.pos++
	if s.match++; s.match == len(want) {
		s.state, s.brackets = stCData, 0
	}
	return nil
}

// reference consumes a byte after '&'.
func (s *Splitter) reference(c byte) error {
	s.pos++
	if c != ';' {
		if len(s.ref) == 32 {
			return malformed("reference is too long")
		}
		s.ref = append(s.ref, c)
		return nil
	}
	switch string(s.ref) {
	case "lt", "gt", "amp", "apos", "quot":
	default:
		if _, ok := charReference(s.ref); !ok {
			return malformed("reference to an entity or a forbidden character")
		}
	}
	s.state = s.ret
	return nil
}
