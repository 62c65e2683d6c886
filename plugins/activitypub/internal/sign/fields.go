package sign

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// maxField bounds the headers that are parsed here; 8,192-bit signatures and long ids stay far below.
const maxField = 16 << 10

var errField = errors.New("not a structured field")

// member is one member of a dictionary (RFC 9651 §3.2). value is a string, token, int64, bool, []byte or []component.
type member struct {
	name   string
	value  any
	params []param
	raw    string // value and parameters as they were spelled
}

// token is a bare word; other than a string it has no quotes.
type token string

// component is an item of an inner list, of which only strings are used here.
type component struct {
	name   string
	params []param
}

type param struct {
	name  string
	value any // bare item
}

// fieldParser reads the subset of structured fields (RFC 9651) that Signature, Signature-Input and Content-Digest use: dictionaries of
// items and of inner lists of strings. A name that comes twice is an error, while the standard lets the last one win: two readers that
// differ about it must not agree with one signature.
type fieldParser struct {
	s string
	i int
}

func parseDictionary(s string) ([]member, error) {
	if len(s) > maxField {
		return nil, errField
	}
	p := &fieldParser{s: strings.Trim(s, " ")}
	var out []member
	seen := map[string]bool{}
	for {
		m, err := p.member()
		if err != nil {
			return nil, err
		}
		if seen[m.name] {
			return nil, errField
		}
		seen[m.name] = true
		out = append(out, m)
		p.blank(true)
		if p.i == len(p.s) {
			return out, nil
		}
		if !p.eat(',') {
			return nil, errField
		}
		p.blank(true)
	}
}

func (p *fieldParser) blank(tabs bool) {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || tabs && p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *fieldParser) eat(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *fieldParser) member() (m member, err error) {
	if m.name, err = p.key(); err != nil {
		return m, err
	}
	start := p.i
	if p.eat('=') {
		start = p.i
		if p.i < len(p.s) && p.s[p.i] == '(' {
			m.value, err = p.innerList()
		} else {
			m.value, err = p.bare()
		}
		if err != nil {
			return m, err
		}
	} else {
		m.value = true
	}
	m.params, err = p.params()
	m.raw = p.s[start:p.i]
	return m, err
}

func (p *fieldParser) key() (string, error) {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		lower := c >= 'a' && c <= 'z' || c == '*'
		if !lower && (p.i == start || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			break
		}
		p.i++
	}
	if p.i == start {
		return "", errField
	}
	return p.s[start:p.i], nil
}

func (p *fieldParser) innerList() ([]component, error) {
	p.i++
	var out []component
	for {
		p.blank(false)
		if p.eat(')') {
			return out, nil
		}
		v, err := p.bare()
		if err != nil {
			return nil, err
		}
		name, ok := v.(string)
		if !ok {
			return nil, errField
		}
		ps, err := p.params()
		if err != nil {
			return nil, err
		}
		if p.i >= len(p.s) || p.s[p.i] != ' ' && p.s[p.i] != ')' {
			return nil, errField
		}
		out = append(out, component{name, ps})
	}
}

func (p *fieldParser) params() ([]param, error) {
	var out []param
	for p.eat(';') {
		p.blank(false)
		name, err := p.key()
		if err != nil {
			return nil, err
		}
		for _, q := range out {
			if q.name == name {
				return nil, errField
			}
		}
		var v any = true
		if p.eat('=') {
			if v, err = p.bare(); err != nil {
				return nil, err
			}
		}
		out = append(out, param{name, v})
	}
	return out, nil
}

// bare reads a bare item (RFC 9651 §3.3) other than decimals, dates and display strings.
func (p *fieldParser) bare() (any, error) {
	if p.i >= len(p.s) {
		return nil, errField
	}
	switch c := p.s[p.i]; {
	case c == '"':
		return p.quoted()
	case c == ':':
		end := strings.IndexByte(p.s[p.i+1:], ':')
		if end < 0 {
			return nil, errField
		}
		b, err := base64.StdEncoding.DecodeString(p.s[p.i+1 : p.i+1+end])
		if err != nil {
			return nil, errField
		}
		p.i += end + 2
		return b, nil
	case c == '?':
		if p.i+1 < len(p.s) && (p.s[p.i+1] == '0' || p.s[p.i+1] == '1') {
			p.i += 2
			return p.s[p.i-1] == '1', nil
		}
	case c == '-' || c >= '0' && c <= '9':
		start := p.i
		for p.i++; p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9'; {
			p.i++
		}
		n, err := strconv.ParseInt(p.s[start:p.i], 10, 64)
		if err != nil || p.i-start > 15 {
			return nil, errField
		}
		return n, nil
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '*':
		start := p.i
		for p.i < len(p.s) && tokenByte(p.s[p.i]) {
			p.i++
		}
		return token(p.s[start:p.i]), nil
	}
	return nil, errField
}

func (p *fieldParser) quoted() (string, error) {
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return b.String(), nil
		case c == '\\':
			p.i++
			if p.i >= len(p.s) || p.s[p.i] != '"' && p.s[p.i] != '\\' {
				return "", errField
			}
			b.WriteByte(p.s[p.i])
		case c < 0x20 || c > 0x7e:
			return "", errField
		default:
			b.WriteByte(c)
		}
	}
	return "", errField
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}

// parseCavage reads the parameters of a draft-cavage Signature header (§2.1, §4.1): name="value" or name=number, with commas between.
func parseCavage(s string) (map[string]string, error) {
	if len(s) > maxField {
		return nil, errField
	}
	out := map[string]string{}
	p := &fieldParser{s: strings.TrimSpace(s)}
	for {
		start := p.i
		for p.i < len(p.s) && (p.s[p.i] >= 'a' && p.s[p.i] <= 'z' || p.s[p.i] >= 'A' && p.s[p.i] <= 'Z') {
			p.i++
		}
		name := p.s[start:p.i]
		p.blank(true)
		if _, twice := out[name]; twice || name == "" || !p.eat('=') {
			return nil, errField
		}
		p.blank(true)
		var value string
		if p.i < len(p.s) && p.s[p.i] == '"' {
			v, err := p.quoted()
			if err != nil {
				return nil, err
			}
			value = v
		} else {
			start := p.i
			for p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] > ' ' && p.s[p.i] != '"' {
				p.i++
			}
			value = p.s[start:p.i]
		}
		out[name] = value
		if p.blank(true); p.i == len(p.s) {
			return out, nil
		}
		if !p.eat(',') {
			return nil, errField
		}
		p.blank(true)
	}
}
