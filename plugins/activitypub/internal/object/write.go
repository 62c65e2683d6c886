package object

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// lists are members that are always written as lists: several servers read nothing else.
var lists = map[string]bool{
	"to": true, "cc": true, "bto": true, "bcc": true, "tag": true, "attachment": true, "oneOf": true, "anyOf": true, "alsoKnownAs": true,
	"items": true, "orderedItems": true, "assertionMethod": true,
}

// leading are members that are written first, for people who read along.
var leading = []string{"@context", "id", "type", "actor", "attributedTo"}

// MarshalJSON writes every member as it is. The order is that of leading, then the alphabet.
func (o *Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := writeValue(&b, o.m, 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Document writes the object as a document of its own: with the exact context of the terms that it uses (its own one is replaced) and
// with lists where other servers need lists.
func (o *Object) Document() ([]byte, error) {
	m, _ := listed(o.m).(map[string]any)
	m["@context"] = contextOf(m)
	var b bytes.Buffer
	if err := writeValue(&b, m, 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// listed gives a copy in which lists are lists and nothing below has a context.
func listed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v)+1)
		for k, e := range v {
			if k == "@context" {
				continue
			}
			e = listed(e)
			if _, is := e.([]any); lists[k] && !is && e != nil {
				e = []any{e}
			}
			m[k] = e
		}
		return m
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = listed(e)
		}
		return out
	default:
		return v
	}
}

// maxWrite bounds the depth of what is written, so that a value that holds itself is an error.
const maxWrite = 64

func writeValue(b *bytes.Buffer, v any, depth int) error {
	if depth > maxWrite {
		return &Error{Reason: TooDeep}
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprintf(b, "%t", v)
	case string:
		writeString(b, v)
	case json.Number:
		if !json.Valid([]byte(v)) || v == "" {
			return fmt.Errorf("writing number %q: no JSON", string(v))
		}
		b.WriteString(string(v))
	case int, int64, float64:
		fmt.Fprintf(b, "%v", v)
	case *Object:
		return writeValue(b, v.m, depth)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeValue(b, e, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case map[string]any:
		return writeObject(b, v, depth)
	default:
		return fmt.Errorf("writing a %T: no JSON value", v)
	}
	return nil
}

func writeObject(b *bytes.Buffer, m map[string]any, depth int) error {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, byKey)
	b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, k)
		b.WriteByte(':')
		if err := writeValue(b, m[k], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func byKey(x, y string) int {
	i, j := slices.Index(leading, x), slices.Index(leading, y)
	switch {
	case i >= 0 && j >= 0:
		return i - j
	case i >= 0:
		return -1
	case j >= 0:
		return 1
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// writeString writes a string with the escapes that JSON demands and no others, so that HTML stays readable.
func writeString(b *bytes.Buffer, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x80 {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b.WriteString(s[start:i])
				b.WriteString("\uFFFD")
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b.WriteString(s[start:i])
		switch c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
		i++
		start = i
	}
	b.WriteString(s[start:])
	b.WriteByte('"')
}
