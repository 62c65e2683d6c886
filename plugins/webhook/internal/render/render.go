// Package render writes JSON values as text for people: JSON and YAML with two
// spaces of indent, keys in their order, and characters as they are.
package render

import (
	"errors"
	"strings"
	"unicode/utf8"

	"bridgehost/plugins/webhook/internal/jsonval"
)

// ErrTooLong says that the text would be longer than the limit: nesting makes
// a text with indents much longer than the document.
var ErrTooLong = errors.New("the message is longer than the limit")

// NoLimit is a limit that bodies of the size and depth that jsonval accepts
// cannot reach by mistake, yet keeps memory bounded.
const NoLimit = 32 << 20

// writer collects text up to a limit.
type writer struct {
	b     []byte
	limit int
}

func (w *writer) full() bool { return len(w.b) > w.limit }

func (w *writer) text() (string, error) {
	if w.full() {
		return "", ErrTooLong
	}
	return string(w.b), nil
}

func (w *writer) indent(n int) {
	w.b = append(w.b, '\n')
	for ; n > 0; n-- {
		w.b = append(w.b, ' ', ' ')
	}
}

// JSON writes v with an indent of two, at most limit bytes.
func JSON(v jsonval.Value, limit int) (string, error) {
	w := &writer{limit: limit, b: make([]byte, 0, 256)}
	w.json(v, 0, true)
	return w.text()
}

// CompactJSON writes v on one line, at most limit bytes.
func CompactJSON(v jsonval.Value, limit int) (string, error) {
	w := &writer{limit: limit}
	w.json(v, 0, false)
	return w.text()
}

func (w *writer) json(v jsonval.Value, level int, pretty bool) {
	if w.full() {
		return
	}
	switch v.Kind {
	case jsonval.Null:
		w.b = append(w.b, "null"...)
	case jsonval.String:
		w.b = appendQuoted(w.b, v.Text)
	case jsonval.List, jsonval.Object:
		open, end := byte('['), byte(']')
		if v.Kind == jsonval.Object {
			open, end = '{', '}'
		}
		w.b = append(w.b, open)
		for i, item := range v.Items {
			if i > 0 {
				w.b = append(w.b, ',')
				if !pretty {
					w.b = append(w.b, ' ')
				}
			}
			if pretty {
				w.indent(level + 1)
			}
			if v.Kind == jsonval.Object {
				w.b = append(appendQuoted(w.b, v.Names[i]), ':', ' ')
			}
			w.json(item, level+1, pretty)
		}
		if pretty && len(v.Items) > 0 {
			w.indent(level)
		}
		w.b = append(w.b, end)
	default:
		w.b = append(w.b, v.Text...)
	}
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes s in double quotes by rules that JSON and YAML share:
// real characters, except for quotes, backslashes, control characters, line
// separators, and what XML 1.0 §2.2 does not allow.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
			if !awkward(r) {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, r)
		i += n
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// awkward reports characters beyond ASCII that are written as escapes.
func awkward(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

func appendEscape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// Clean makes text safe for every network: line ends become \n, and characters
// that XML 1.0 §2.2 forbids, as well as invalid UTF-8, become U+FFFD. Blank
// lines and spaces at the end go.
func Clean(s string) string {
	s = strings.TrimRight(s, " \t\r\n")
	if clean(s) {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case forbidden(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

func clean(s string) bool {
	for i, r := range s {
		if r == '\r' || forbidden(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

// forbidden reports what is no Char of XML 1.0, and DEL and C1 controls, which
// XML discourages and terminals obey.
func forbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff
}
