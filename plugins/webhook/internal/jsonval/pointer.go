package jsonval

import (
	"fmt"
	"strconv"
	"strings"
)

// Pointer is a parsed JSON Pointer (RFC 6901).
type Pointer []string

// ParsePointer reads a pointer such as /alerts/0/fingerprint; empty text is the
// whole document.
func ParsePointer(s string) (Pointer, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("pointer %q: begins with a slash (RFC 6901)", s)
	}
	parts := strings.Split(s[1:], "/")
	for i, p := range parts {
		for j := range len(p) {
			if p[j] == '~' && (j+1 == len(p) || p[j+1] != '0' && p[j+1] != '1') {
				return nil, fmt.Errorf("pointer %q: ~ is written ~0, / is written ~1 (RFC 6901 §3)", s)
			}
		}
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts, nil
}

// Lookup gives the value that p names in v; false when there is none.
func (p Pointer) Lookup(v Value) (Value, bool) {
	for _, part := range p {
		switch v.Kind {
		case Object:
			item, ok := v.Get(part)
			if !ok {
				return Value{}, false
			}
			v = item
		case List:
			// RFC 6901 §4: digits without leading zeros.
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v.Items) || strconv.Itoa(i) != part {
				return Value{}, false
			}
			v = v.Items[i]
		default:
			return Value{}, false
		}
	}
	return v, true
}
