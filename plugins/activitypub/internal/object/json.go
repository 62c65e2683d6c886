package object

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// parser reads strict JSON (RFC 8259) into map[string]any, []any, string, json.Number, bool and nil. Numbers keep their spelling.
type parser struct {
	b      []byte
	i      int
	lim    Limits
	values int
	path   []string
}

func (p *parser) fail(r Reason) error {
	var b strings.Builder
	for _, s := range p.path {
		b.WriteByte('/')
		b.WriteString(pointer.Replace(s))
	}
	return &Error{Reason: r, Where: b.String()}
}

// pointer escapes the tokens of a JSON pointer (RFC 6901 §3).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// parseJSON reads one value; nothing but white space may follow.
func parseJSON(raw []byte, lim Limits) (any, error) {
	p := &parser{b: raw, lim: lim}
	if len(raw) > lim.Size {
		return nil, p.fail(TooLarge)
	}
	if !utf8.Valid(raw) {
		return nil, p.fail(NotJSON)
	}
	v, err := p.value(0, false)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(p.b) {
		return nil, p.fail(NotJSON)
	}
	return v, nil
}

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// value reads any value; free says that the members of an object here are names of somebody's choice (languages, terms).
func (p *parser) value(depth int, free bool) (any, error) {
	p.space()
	if p.values++; p.values > p.lim.Values {
		return nil, p.fail(TooMany)
	}
	if p.i >= len(p.b) {
		return nil, p.fail(NotJSON)
	}
	switch c := p.b[p.i]; {
	case c == '{':
		if depth >= p.lim.Depth {
			return nil, p.fail(TooDeep)
		}
		return p.object(depth+1, free)
	case c == '[':
		if depth >= p.lim.Depth {
			return nil, p.fail(TooDeep)
		}
		return p.list(depth+1, free)
	case c == '"':
		return p.text()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	rest := p.b[p.i:]
	for _, w := range words {
		if len(rest) >= len(w.text) && string(rest[:len(w.text)]) == w.text {
			p.i += len(w.text)
			return w.value, nil
		}
	}
	return nil, p.fail(NotJSON)
}

// words are the literals of JSON.
var words = [...]struct {
	text  string
	value any
}{{"null", nil}, {"true", true}, {"false", false}}

func (p *parser) object(depth int, free bool) (any, error) {
	p.i++
	m := make(map[string]any, 16)
	var mixed []string
	for first := true; ; first = false {
		p.space()
		if p.i < len(p.b) && p.b[p.i] == '}' && first {
			p.i++
			return m, nil
		}
		if p.i >= len(p.b) || p.b[p.i] != '"' {
			return nil, p.fail(NotJSON)
		}
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		p.path = append(p.path, key)
		if _, twice := m[key]; twice {
			return nil, p.fail(Duplicate)
		}
		if folded := fold(key); !free && folded != key {
			if exact, known := foldedNames[folded]; known && exact != key {
				return nil, p.fail(Folded)
			}
			mixed = append(mixed, folded)
		}
		if p.space(); p.i >= len(p.b) || p.b[p.i] != ':' {
			return nil, p.fail(NotJSON)
		}
		p.i++
		v, err := p.value(depth, freeNames(key) || free && key == "@context")
		if err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		m[key] = v
		p.space()
		if p.i >= len(p.b) {
			return nil, p.fail(NotJSON)
		}
		c := p.b[p.i]
		p.i++
		switch c {
		case ',':
		case '}':
			return m, p.distinct(m, mixed)
		default:
			return nil, p.fail(NotJSON)
		}
	}
}

// distinct refuses members that are equal but for case; mixed are the folded names of those with capitals.
func (p *parser) distinct(m map[string]any, mixed []string) error {
	seen := make(map[string]bool, len(mixed))
	for _, f := range mixed {
		if _, lower := m[f]; lower || seen[f] {
			return p.fail(Folded)
		}
		seen[f] = true
	}
	return nil
}

func (p *parser) list(depth int, free bool) (any, error) {
	p.i++
	out := []any{}
	for {
		p.space()
		if p.i < len(p.b) && p.b[p.i] == ']' && len(out) == 0 {
			p.i++
			return out, nil
		}
		if len(out) >= p.lim.List {
			return nil, p.fail(ListTooLong)
		}
		p.path = append(p.path, strconv.Itoa(len(out)))
		v, err := p.value(depth, free)
		if err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		out = append(out, v)
		p.space()
		if p.i >= len(p.b) {
			return nil, p.fail(NotJSON)
		}
		c := p.b[p.i]
		p.i++
		switch c {
		case ',':
		case ']':
			return out, nil
		default:
			return nil, p.fail(NotJSON)
		}
	}
}

// text reads a string; a half surrogate becomes U+FFFD, as everywhere in Go.
func (p *parser) text() (string, error) {
	start := p.i + 1
	for i := start; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			p.i = i + 1
			return string(p.b[start:i]), nil
		case c == '\\':
			return p.escaped(start, i)
		case c < 0x20:
			return "", p.fail(NotJSON)
		}
	}
	return "", p.fail(NotJSON)
}

// escaped reads on from the first backslash.
func (p *parser) escaped(start, i int) (string, error) {
	out := append(make([]byte, 0, i-start+64), p.b[start:i]...)
	for i < len(p.b) {
		c := p.b[i]
		switch {
		case c == '"':
			p.i = i + 1
			return string(out), nil
		case c < 0x20:
			return "", p.fail(NotJSON)
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		if i+1 >= len(p.b) {
			break
		}
		if p.b[i+1] == 'u' {
			r, n := escapedRune(p.b[i:])
			if n == 0 {
				return "", p.fail(NotJSON)
			}
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, p.b[i+1])
		if at < 0 {
			return "", p.fail(NotJSON)
		}
		out = append(out, "\"\\/\b\f\n\r\t"[at])
		i += 2
	}
	return "", p.fail(NotJSON)
}

// escapedRune reads \uXXXX, or two of them that are a surrogate pair, and gives how many bytes that took; 0 = malformed.
func escapedRune(b []byte) (rune, int) {
	unit := func(b []byte) (rune, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return rune(n), err == nil
	}
	r, ok := unit(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := unit(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// number reads a number as it is spelled (RFC 8259 §6).
func (p *parser) number() (any, error) {
	start := p.i
	digits := func() bool {
		n := p.i
		for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
			p.i++
		}
		return p.i > n
	}
	at := func(set string) bool {
		if p.i < len(p.b) && strings.IndexByte(set, p.b[p.i]) >= 0 {
			p.i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return nil, p.fail(NotJSON)
	}
	if at(".") && !digits() {
		return nil, p.fail(NotJSON)
	}
	if at("eE") {
		if at("+-"); !digits() {
			return nil, p.fail(NotJSON)
		}
	}
	if p.i-start > 64 {
		return nil, p.fail(TextTooLong)
	}
	return json.Number(p.b[start:p.i]), nil
}

// fold maps what encoding/json and other readers take as the same name to one spelling.
func fold(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] < 0x80 && (s[i] < 'A' || s[i] > 'Z')
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'ſ':
			return 's'
		case r == '\u212A':
			return 'k'
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// freeNames reports members whose own members are no properties: contexts and language maps.
func freeNames(key string) bool {
	return key == "@context" || strings.HasSuffix(key, "Map")
}
