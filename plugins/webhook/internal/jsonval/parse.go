package jsonval

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a document.
const (
	MaxDepth  = 64
	MaxValues = 200_000
)

// SyntaxError says where a document is wrong.
type SyntaxError struct {
	Line, Column int // from 1; the column counts characters
	Problem      string
	Limit        bool // the document is over a limit rather than wrong
}

// Error names line, column and problem.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

type parser struct {
	s      string
	pos    int
	values int
}

// Parse reads one JSON document (RFC 8259). It refuses invalid UTF-8,
// duplicate names, more than MaxDepth levels, more than MaxValues values, and
// anything behind the document. A lone surrogate escape becomes U+FFFD, since
// senders that cut a text in its middle make them.
func Parse(data []byte) (Value, error) {
	p := &parser{s: string(data)}
	p.s = strings.TrimPrefix(p.s, "\ufeff") // RFC 8259 §8.1 lets a reader ignore it
	if !utf8.ValidString(p.s) {
		for i, r := range p.s {
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(p.s[i:]); n == 1 {
					return Value{}, p.fault(i, "invalid UTF-8")
				}
			}
		}
	}
	p.space()
	if p.pos == len(p.s) {
		return Value{}, p.fault(p.pos, "the document is empty")
	}
	v, err := p.value(1)
	if err != nil {
		return Value{}, err
	}
	p.space()
	if p.pos < len(p.s) {
		return Value{}, p.fault(p.pos, "something follows the end of the document")
	}
	return v, nil
}

func (p *parser) fault(at int, format string, args ...any) *SyntaxError {
	before := p.s[:min(at, len(p.s))]
	line := strings.Count(before, "\n") + 1
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	return &SyntaxError{Line: line, Column: utf8.RuneCountInString(before) + 1, Problem: fmt.Sprintf(format, args...)}
}

func (p *parser) limit(format string, args ...any) *SyntaxError {
	e := p.fault(p.pos, format, args...)
	e.Limit = true
	return e
}

func (p *parser) space() {
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek gives the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

func (p *parser) value(depth int) (Value, error) {
	if p.values++; p.values > MaxValues {
		return Value{}, p.limit("more than %d values", MaxValues)
	}
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth > MaxDepth {
			return Value{}, p.fault(p.pos, "nested deeper than %d levels", MaxDepth)
		}
		if c == '{' {
			return p.object(depth)
		}
		return p.list(depth)
	case c == '"':
		s, err := p.str()
		return Value{Kind: String, Text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	default:
		return p.word()
	}
}

func (p *parser) word() (Value, error) {
	for _, w := range [...]struct {
		text string
		v    Value
	}{{"null", Value{}}, {"true", Value{Kind: Bool, Text: "true"}}, {"false", Value{Kind: Bool, Text: "false"}}} {
		if strings.HasPrefix(p.s[p.pos:], w.text) {
			p.pos += len(w.text)
			return w.v, nil
		}
	}
	if p.pos == len(p.s) {
		return Value{}, p.fault(p.pos, "the document ends where a value should be")
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.pos:])
	return Value{}, p.fault(p.pos, "a value cannot begin with %q", r)
}

func (p *parser) list(depth int) (Value, error) {
	p.pos++
	v := Value{Kind: List}
	p.space()
	if p.peek() == ']' {
		p.pos++
		return v, nil
	}
	for {
		p.space()
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Items = append(v.Items, item)
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return v, nil
		default:
			return v, p.fault(p.pos, "a list goes on with , or ends with ]")
		}
	}
}

// manyNames is the number of members from which duplicates are found by a set.
const manyNames = 16

func (p *parser) object(depth int) (Value, error) {
	p.pos++
	v := Value{Kind: Object}
	p.space()
	if p.peek() == '}' {
		p.pos++
		return v, nil
	}
	var seen map[string]struct{}
	for {
		p.space()
		at := p.pos
		if p.peek() != '"' {
			return v, p.fault(at, "the name of a member is a string in double quotes")
		}
		name, err := p.str()
		if err != nil {
			return v, err
		}
		if seen, err = p.fresh(seen, v.Names, name, at); err != nil {
			return v, err
		}
		p.space()
		if p.peek() != ':' {
			return v, p.fault(p.pos, "a colon follows the name of a member")
		}
		p.pos++
		p.space()
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Names, v.Items = append(v.Names, name), append(v.Items, item)
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return v, nil
		default:
			return v, p.fault(p.pos, "an object goes on with , or ends with }")
		}
	}
}

// fresh refuses a name that the object has already.
func (p *parser) fresh(seen map[string]struct{}, names []string, name string, at int) (map[string]struct{}, error) {
	dup := false
	switch {
	case len(names) < manyNames:
		for _, n := range names {
			dup = dup || n == name
		}
	default:
		if seen == nil {
			seen = make(map[string]struct{}, 2*len(names))
			for _, n := range names {
				seen[n] = struct{}{}
			}
		}
		_, dup = seen[name]
		seen[name] = struct{}{}
	}
	if dup {
		return seen, p.fault(at, "the name of this member occurs twice")
	}
	return seen, nil
}

// number reads a literal by the grammar of RFC 8259 §6 and keeps it verbatim.
func (p *parser) number() (Value, error) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	digits := func() bool {
		n := p.pos
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.pos++
		}
		return p.pos > n
	}
	if p.peek() == '0' {
		p.pos++
	} else if !digits() {
		return Value{}, p.fault(p.pos, "a digit is missing in a number")
	}
	if p.peek() == '.' {
		p.pos++
		if !digits() {
			return Value{}, p.fault(p.pos, "a digit is missing behind the point of a number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if !digits() {
			return Value{}, p.fault(p.pos, "a digit is missing in the exponent of a number")
		}
	}
	return Value{Kind: Number, Text: p.s[start:p.pos]}, nil
}

// str reads a string; p.pos is at its opening quote.
func (p *parser) str() (string, error) {
	open := p.pos
	p.pos++
	start := p.pos
	var b []byte // nil as long as no escape was seen
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case c == '"':
			text := p.s[start:p.pos]
			p.pos++
			if b == nil {
				return text, nil
			}
			return string(append(b, text...)), nil
		case c == '\\':
			b = append(b, p.s[start:p.pos]...)
			var err error
			if b, err = p.escape(b); err != nil {
				return "", err
			}
			start = p.pos
			if b == nil {
				b = []byte{}
			}
		case c < 0x20:
			return "", p.fault(p.pos, "a control character in a string is written as an escape")
		default:
			p.pos++
		}
	}
	return "", p.fault(open, "a string has no end")
}

const escapes = "\"\\/bfnrt"
const escaped = "\"\\/\b\f\n\r\t"

func (p *parser) escape(b []byte) ([]byte, error) {
	at := p.pos
	p.pos++
	if i := strings.IndexByte(escapes, p.peek()); i >= 0 && p.pos < len(p.s) {
		p.pos++
		return append(b, escaped[i]), nil
	}
	r, ok := p.hex4()
	if !ok {
		return b, p.fault(at, "unknown escape in a string")
	}
	if utf16.IsSurrogate(r) {
		mark := p.pos
		if p.peek() == '\\' {
			p.pos++
			if low, ok := p.hex4(); ok {
				if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
					return utf8.AppendRune(b, full), nil
				}
			}
			p.pos = mark
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(b, r), nil
}

// hex4 reads u and four hexadecimal digits.
func (p *parser) hex4() (rune, bool) {
	if p.peek() != 'u' || p.pos+5 > len(p.s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.s[p.pos+1 : p.pos+5]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.pos += 5
	return r, true
}
