package guest

import (
	"errors"
	"time"
)

// Wire types of protobuf.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// varint reads a number at the front of b; n is 0 when there is none.
func varint(b []byte) (v uint64, n int) {
	for shift := uint(0); n < len(b) && shift < 64; shift += 7 {
		c := b[n]
		n++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, n
		}
	}
	return 0, 0
}

// next reads the field at the front of b: its number and its value, as bytes or
// (for varints) as a number with size in raw's place. rest follows it.
func next(b []byte) (num uint32, raw, rest []byte, ok bool) {
	num, raw, _, rest, ok = nextField(b)
	return num, raw, rest, ok
}

func nextField(b []byte) (num uint32, raw []byte, v uint64, rest []byte, ok bool) {
	tag, n := varint(b)
	if n == 0 {
		return 0, nil, 0, nil, false
	}
	b = b[n:]
	num = uint32(tag >> 3)
	switch tag & 7 {
	case wireVarint:
		v, n = varint(b)
		return num, nil, v, b[n:], n > 0
	case wireBytes:
		size, n := varint(b)
		if n == 0 || size > uint64(len(b)-n) {
			return 0, nil, 0, nil, false
		}
		end := n + int(size)
		return num, b[n:end:end], 0, b[end:], true
	case wire64:
		return num, nil, 0, b[min(8, len(b)):], len(b) >= 8
	case wire32:
		return num, nil, 0, b[min(4, len(b)):], len(b) >= 4
	}
	return 0, nil, 0, nil, false
}

// field finds the first occurrence of a length-delimited field; the host writes
// each single field once. Tags and sizes below 128, which nearly all are, take
// the short way.
func field(b []byte, want uint32) (out []byte, found bool) {
	for i := 0; i < len(b); {
		tag := uint64(b[i])
		i++
		if tag >= 0x80 {
			v, n := varint(b[i-1:])
			if n == 0 {
				return nil, false
			}
			tag, i = v, i-1+n
		}
		switch tag & 7 {
		case wireBytes:
			if i >= len(b) {
				return nil, false
			}
			size := uint64(b[i])
			i++
			if size >= 0x80 {
				v, n := varint(b[i-1:])
				if n == 0 {
					return nil, false
				}
				size, i = v, i-1+n
			}
			if size > uint64(len(b)-i) {
				return nil, false
			}
			end := i + int(size)
			if uint32(tag>>3) == want {
				return b[i:end:end], true
			}
			i = end
		case wireVarint:
			for i < len(b) && b[i] >= 0x80 {
				i++
			}
			i++
		case wire64:
			i += 8
		case wire32:
			i += 4
		default:
			return nil, false
		}
	}
	return nil, false
}

// str copies a string field.
func str(b []byte, want uint32) string {
	raw, _ := field(b, want)
	return string(raw)
}

// varintField finds a number; 0 when it is missing.
func varintField(b []byte, want uint32) uint64 {
	var out uint64
	for len(b) > 0 {
		num, raw, v, rest, ok := nextField(b)
		if !ok {
			return out
		}
		if num == want && raw == nil {
			out = v
		}
		b = rest
	}
	return out
}

// each visits all occurrences of a length-delimited field.
func each(b []byte, want uint32, visit func([]byte)) {
	for len(b) > 0 {
		num, raw, _, rest, ok := nextField(b)
		if !ok {
			return
		}
		if num == want && raw != nil {
			visit(raw)
		}
		b = rest
	}
}

// strs copies all occurrences of a string field.
func strs(b []byte, want uint32) []string {
	var out []string
	each(b, want, func(raw []byte) { out = append(out, string(raw)) })
	return out
}

// timeField reads a time; zero when it is missing.
func timeField(b []byte, want uint32) time.Time {
	if v := varintField(b, want); v != 0 {
		return time.Unix(0, int64(v))
	}
	return time.Time{}
}

func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// appendUint appends a number unless it is 0.
func appendUint(dst []byte, num uint32, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = appendVarint(dst, uint64(num)<<3|wireVarint)
	return appendVarint(dst, v)
}

// appendBytes appends a length-delimited field.
func appendBytes(dst []byte, num uint32, b []byte) []byte {
	dst = appendVarint(dst, uint64(num)<<3|wireBytes)
	dst = appendVarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// appendString appends a string field unless it is empty.
func appendString(dst []byte, num uint32, s string) []byte {
	if s == "" {
		return dst
	}
	dst = appendVarint(dst, uint64(num)<<3|wireBytes)
	dst = appendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendTime appends a time unless it is zero.
func appendTime(dst []byte, num uint32, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendUint(dst, num, uint64(t.UnixNano()))
}

// Kind says what an error means for what happens next; the numbers are those of
// sdk.Kind.
type Kind uint8

// Kinds of error.
const (
	Unknown Kind = iota
	Transient
	RateLimited
	Overloaded
	Invalid
	Forbidden
	NotFound
	Gone
	Conflict
	Unsupported
	TooLarge
	Unauthorized
	Internal
)

// Error is an error with its kind. The host's operations return it, and
// handlers may.
type Error struct {
	Kind   Kind
	Text   string        // for the operator
	Public string        // for people on the networks
	After  time.Duration // for RateLimited and Overloaded
	// Faults make it an error of the configuration, for Handlers.Open: the
	// operator sees each with file, line and column. All else is ignored then.
	Faults []Fault
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key     string // path in the link's config table, such as feed.planet.url
	Problem string
	Remedy  string // what to write instead
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Text
	for i, f := range e.Faults {
		if i > 0 {
			text += "\n"
		}
		text += f.Key + ": " + f.Problem
	}
	return text
}

// append writes message Error.
func (e *Error) append(dst []byte) []byte {
	if len(e.Faults) > 0 {
		for _, f := range e.Faults {
			dst = appendBytes(dst, 6, appendString(appendString(appendString(nil, 1, f.Key), 2, f.Problem), 3, f.Remedy))
		}
		return dst
	}
	dst = appendUint(dst, 1, uint64(e.Kind))
	dst = appendString(dst, 3, e.Public)
	dst = appendUint(dst, 4, uint64(e.After))
	return appendString(dst, 5, e.Text)
}

// asError gives err as an *Error.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Text: err.Error()}
}

// appendError appends field error of GuestReply unless err is nil.
func appendError(dst []byte, err error) []byte {
	if err == nil {
		return dst
	}
	return appendBytes(dst, 7, asError(err).append(nil))
}
