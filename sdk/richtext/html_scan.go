package richtext

import (
	"html"
	"strings"
)

// tokenKind says what a token of HTML is.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota // of the document
	tokenText
	tokenOpen
	tokenClose
)

// token is a part of HTML. Names of elements and attributes are in lower case.
type token struct {
	kind  tokenKind
	name  string
	text  string
	attrs []attribute
	empty bool // <br/>
}

type attribute struct{ name, value string }

// get gives the value of an attribute; the first of its name counts.
func (t *token) get(name string) string {
	for _, a := range t.attrs {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// maxAttrs bounds how many attributes of an element are read.
const maxAttrs = 32

// scanner cuts HTML into tokens, in one pass and without ever failing: what is no markup is text, and what never ends is left out.
type scanner struct {
	src string
	pos int
	xml bool
}

// next gives the next token.
func (s *scanner) next() token {
	for s.pos < len(s.src) {
		if s.src[s.pos] != '<' {
			end := strings.IndexByte(s.src[s.pos:], '<')
			if end < 0 {
				end = len(s.src) - s.pos
			}
			return s.text(end)
		}
		rest := s.src[s.pos:]
		switch {
		case strings.HasPrefix(rest, "<!--"):
			s.skip("-->", 4)
		case s.xml && strings.HasPrefix(rest, "<![CDATA["):
			start := s.pos + len("<![CDATA[")
			s.skip("]]>", len("<![CDATA["))
			return token{kind: tokenText, text: strings.TrimSuffix(s.src[start:s.pos], "]]>")}
		case strings.HasPrefix(rest, "<!"), strings.HasPrefix(rest, "<?"):
			s.skip(">", 2)
		case len(rest) > 2 && rest[1] == '/' && isLetter(rest[2]):
			return s.closing()
		case strings.HasPrefix(rest, "</"):
			s.skip(">", 2)
		case len(rest) > 1 && isLetter(rest[1]):
			if t, ok := s.opening(); ok {
				return t
			}
			s.pos = len(s.src)
		default:
			return s.text(1)
		}
	}
	return token{}
}

// text takes n bytes as character data.
func (s *scanner) text(n int) token {
	t := token{kind: tokenText, text: html.UnescapeString(s.src[s.pos : s.pos+n])}
	s.pos += n
	return t
}

// skip goes behind what ends a part that begins here, or to the end.
func (s *scanner) skip(end string, from int) {
	i := strings.Index(s.src[min(s.pos+from, len(s.src)):], end)
	if i < 0 {
		s.pos = len(s.src)
		return
	}
	s.pos += from + i + len(end)
}

// closing reads </name ...>.
func (s *scanner) closing() token {
	s.pos += 2
	name := s.name()
	s.skip(">", 0)
	return token{kind: tokenClose, name: name}
}

// opening reads a start tag; it reports false for one that never ends.
func (s *scanner) opening() (token, bool) {
	s.pos++
	t := token{kind: tokenOpen, name: s.name()}
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '>':
			s.pos++
			return t, true
		case c == '/':
			s.pos++
			t.empty = s.pos < len(s.src) && s.src[s.pos] == '>'
		case isBlank(c):
			s.pos++
		default:
			a, ok := s.attribute()
			if !ok {
				return t, false
			}
			if len(t.attrs) < maxAttrs {
				t.attrs = append(t.attrs, a)
			}
		}
	}
	return t, false
}

// attribute reads name, name=value, name='value' or name="value".
func (s *scanner) attribute() (attribute, bool) {
	start := s.pos
	s.pos++ // even if it is an equals sign, so that every round gets on
	for s.pos < len(s.src) && !isBlank(s.src[s.pos]) && !strings.ContainsRune("=/>", rune(s.src[s.pos])) {
		s.pos++
	}
	a := attribute{name: strings.ToLower(s.src[start:s.pos])}
	at := s.pos
	for at < len(s.src) && isBlank(s.src[at]) {
		at++
	}
	if at >= len(s.src) || s.src[at] != '=' {
		return a, true
	}
	for at++; at < len(s.src) && isBlank(s.src[at]); at++ {
	}
	if at >= len(s.src) {
		return a, false
	}
	if q := s.src[at]; q == '"' || q == '\'' {
		end := strings.IndexByte(s.src[at+1:], q)
		if end < 0 {
			return a, false
		}
		a.value = html.UnescapeString(s.src[at+1 : at+1+end])
		s.pos = at + end + 2
		return a, true
	}
	start = at
	for at < len(s.src) && !isBlank(s.src[at]) && s.src[at] != '>' {
		at++
	}
	a.value = html.UnescapeString(s.src[start:at])
	s.pos = at
	return a, true
}

// name reads the name of an element.
func (s *scanner) name() string {
	start := s.pos
	for s.pos < len(s.src) && !isBlank(s.src[s.pos]) && s.src[s.pos] != '/' && s.src[s.pos] != '>' {
		s.pos++
	}
	return strings.ToLower(s.src[start:s.pos])
}

// raw goes behind the end tag of an element whose content is no markup, such as script.
func (s *scanner) raw(name string) {
	for s.pos < len(s.src) {
		i := strings.Index(s.src[s.pos:], "</")
		if i < 0 {
			break
		}
		s.pos += i + 2
		if end := s.pos + len(name); end <= len(s.src) && strings.EqualFold(s.src[s.pos:end], name) {
			s.skip(">", len(name))
			return
		}
	}
	s.pos = len(s.src)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }
