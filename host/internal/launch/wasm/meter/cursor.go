package meter

import (
	"fmt"
	"unicode/utf8"
)

// cursor reads the binary format from a byte slice. Its first fault sticks:
// later reads return zero values, so that a caller checks err once per entry.
type cursor struct {
	b    []byte
	pos  int
	base int // offset of b in the module, for messages
	err  error
}

// fail records the first fault.
func (c *cursor) fail(kind error, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("offset %#x: %s: %w", c.base+c.pos, fmt.Sprintf(format, args...), kind)
	}
}

// more reports whether bytes are left and nothing went wrong.
func (c *cursor) more() bool { return c.err == nil && c.pos < len(c.b) }

// left returns the count of unread bytes.
func (c *cursor) left() int { return len(c.b) - c.pos }

func (c *cursor) byte() byte {
	if c.err != nil || c.pos >= len(c.b) {
		c.fail(ErrMalformed, "unexpected end")
		return 0
	}
	v := c.b[c.pos]
	c.pos++
	return v
}

// bytes returns the next n bytes without copying them.
func (c *cursor) bytes(n uint32) []byte {
	if c.err != nil || uint64(n) > uint64(c.left()) {
		c.fail(ErrMalformed, "unexpected end")
		return nil
	}
	v := c.b[c.pos : c.pos+int(n) : c.pos+int(n)]
	c.pos += int(n)
	return v
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (c *cursor) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 0xffffffff {
				break
			}
			return uint32(v)
		}
	}
	c.fail(ErrMalformed, "number does not fit 32 bits")
	return 0
}

// skipSigned reads a signed LEB128 number of at most bits bits; its value is
// checked by the runtime and does not matter here.
func (c *cursor) skipSigned(bits int) {
	for n := (bits + 6) / 7; n > 0; n-- {
		if c.byte() < 0x80 {
			return
		}
	}
	c.fail(ErrMalformed, "number does not fit %d bits", bits)
}

// count reads the length of a vector whose entries take at least one byte each.
// It bounds what any decoder would allocate for it.
func (c *cursor) count(what string, limit uint32) uint32 {
	n := c.u32()
	if c.err == nil && uint64(n) > uint64(c.left()) {
		c.fail(ErrMalformed, "%d %s do not fit the section", n, what)
	}
	if c.err == nil && n > limit {
		c.fail(ErrLimit, "%d %s, at most %d are allowed", n, what, limit)
	}
	if c.err != nil {
		return 0
	}
	return n
}

// name reads a string and checks its encoding.
func (c *cursor) name() string {
	b := c.bytes(c.u32())
	if c.err == nil && !utf8.Valid(b) {
		c.fail(ErrMalformed, "name is not UTF-8")
	}
	return string(b)
}

// sub returns a cursor over the next n bytes.
func (c *cursor) sub(n uint32) *cursor {
	start := c.pos
	return &cursor{b: c.bytes(n), base: c.base + start, err: c.err}
}

// appendU32 appends v as unsigned LEB128.
func appendU32(out []byte, v uint32) []byte {
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

// appendS64 appends v as signed LEB128.
func appendS64(out []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && b&0x40 == 0) || (v == -1 && b&0x40 != 0) {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
