package codec

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
)

// MaxElements bounds the elements of all repeated fields in one message that
// is read, so that a small message cannot make a large value.
const MaxElements = 1 << 16

// Errors of reading. All of them are wrapped with the place in the message.
var (
	errWireType = errors.New("wire type does not fit the field")
	errElements = fmt.Errorf("more than %d elements", MaxElements)
	errGroup    = errors.New("group fields are not part of the contract")
)

// coder walks over a message's fields, and writes or reads each. The methods
// that visit a field are called in the order of field numbers; a writer appends
// the field, a reader takes it when it is the one at the front of the input.
// Since writers keep that order, one walk reads a message; for other orders
// the walk is repeated, and a walk that took nothing skips one unknown field.
type coder struct {
	enc bool
	buf []byte // writer: what is written so far
	// scratch holds a copy of the item being written: a change is behind an
	// interface, and a copy of its own would be an allocation each.
	scratch sdk.Item

	src    []byte // reader: the input
	text   string // reader: the bytes src[base:], shared by all strings; empty = copy each
	base   int
	pos    int // reader: of the value of field num
	end    int // reader: of the message being read
	num    protowire.Number
	typ    protowire.Type
	took   bool // reader: this walk took a field
	budget int
	err    error
}

var coders sync.Pool // of *coder

// pooled takes an empty coder, to be given back by finish or close.
func pooled() *coder {
	if c, ok := coders.Get().(*coder); ok {
		return c
	}
	return new(coder)
}

func newWriter(dst []byte) *coder {
	c := pooled()
	c.enc, c.buf = true, dst
	return c
}

// finish gives what was written and gives the coder back.
func (c *coder) finish() []byte {
	out := c.buf
	*c = coder{}
	coders.Put(c)
	return out
}

// newReader begins to read a message. With share, all strings of the result
// share one copy of the input.
func newReader(b []byte, share bool) *coder {
	c := pooled()
	c.src, c.end, c.budget, c.took = b, len(b), MaxElements, true
	if share {
		c.text = string(b)
	}
	c.next()
	return c
}

// close gives the reader's error, if any, and gives the coder back.
func (c *coder) close(what string) error {
	err, pos := c.err, c.pos
	*c = coder{}
	coders.Put(c)
	if err != nil {
		return fmt.Errorf("decode %s: byte %d: %w", what, pos, err)
	}
	return nil
}

// walk reports whether the top-level message has to be walked (once more).
func (c *coder) walk() bool {
	if c.num == 0 {
		return false
	}
	if !c.took {
		c.skip()
	}
	c.took = false
	return c.num != 0
}

// fail ends reading with an error; no field matches from now on.
func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.num, c.pos = 0, c.end
}

// next reads the tag at pos.
func (c *coder) next() {
	if c.pos >= c.end {
		c.num = 0
		return
	}
	num, typ, n := protowire.ConsumeTag(c.src[c.pos:c.end])
	if n < 0 {
		c.fail(protowire.ParseError(n))
		return
	}
	c.num, c.typ, c.pos = num, typ, c.pos+n
}

// skip passes over the value of an unknown field.
func (c *coder) skip() {
	if c.typ == protowire.StartGroupType || c.typ == protowire.EndGroupType {
		c.fail(errGroup)
		return
	}
	n := protowire.ConsumeFieldValue(c.num, c.typ, c.src[c.pos:c.end])
	if n < 0 {
		c.fail(protowire.ParseError(n))
		return
	}
	c.pos += n
	c.next()
}

// varint takes the value at pos.
func (c *coder) varint() uint64 {
	if c.typ != protowire.VarintType {
		c.fail(errWireType)
		return 0
	}
	v, n := protowire.ConsumeVarint(c.src[c.pos:c.end])
	if n < 0 {
		c.fail(protowire.ParseError(n))
		return 0
	}
	c.pos += n
	c.took = true
	c.next()
	return v
}

// span takes the length at pos, and gives the range of the bytes that follow;
// the caller moves pos.
func (c *coder) span() (from, to int) {
	if c.typ != protowire.BytesType {
		c.fail(errWireType)
		return c.end, c.end
	}
	l, n := protowire.ConsumeVarint(c.src[c.pos:c.end])
	if n < 0 {
		c.fail(protowire.ParseError(n))
		return c.end, c.end
	}
	from = c.pos + n
	if l > uint64(c.end-from) {
		c.fail(protowire.ParseError(-1))
		return c.end, c.end
	}
	c.took = true
	return from, from + int(l)
}

// takeString takes the string at pos.
func (c *coder) takeString() string {
	from, to := c.span()
	if c.err != nil {
		return ""
	}
	var s string
	if c.text == "" {
		s = string(c.src[from:to])
	} else {
		s = c.text[from-c.base : to-c.base]
	}
	c.pos = to
	c.next()
	return valid(s)
}

// takeBytes takes a copy of the bytes at pos; never nil without an error.
func (c *coder) takeBytes() []byte {
	from, to := c.span()
	if c.err != nil {
		return nil
	}
	b := make([]byte, to-from)
	copy(b, c.src[from:to])
	c.pos = to
	c.next()
	return b
}

// element counts an element of a repeated field against the budget.
func (c *coder) element() bool {
	if c.budget--; c.budget < 0 {
		c.fail(errElements)
		return false
	}
	return true
}

// valid gives s with each run of bytes that are not UTF-8 replaced by U+FFFD.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// tag appends a tag; those below 16 take one byte.
func (c *coder) tag(num protowire.Number, typ protowire.Type) {
	if num < 16 {
		c.buf = append(c.buf, byte(num)<<3|byte(typ))
		return
	}
	c.buf = protowire.AppendTag(c.buf, num, typ)
}

// write appends a string field.
func (c *coder) write(num protowire.Number, s string) {
	s = valid(s)
	c.tag(num, protowire.BytesType)
	if len(s) < 0x80 {
		c.buf = append(c.buf, byte(len(s)))
	} else {
		c.buf = protowire.AppendVarint(c.buf, uint64(len(s)))
	}
	c.buf = append(c.buf, s...)
}

// string visits a string field.
func (c *coder) string(num protowire.Number, p *string) {
	if c.enc {
		if *p != "" {
			c.write(num, *p)
		}
		return
	}
	for c.num == num {
		*p = c.takeString()
	}
}

// id visits a string field of a named type.
func id[T ~string](c *coder, num protowire.Number, p *T) {
	if c.enc {
		if *p != "" {
			c.write(num, string(*p))
		}
		return
	}
	if c.num != num {
		return
	}
	v := string(*p)
	c.string(num, &v)
	*p = T(v)
}

// stringList visits a repeated string field.
func stringList[T ~string](c *coder, num protowire.Number, p *[]T) {
	if c.enc {
		for _, s := range *p {
			c.write(num, string(s))
		}
		return
	}
	for c.num == num && c.element() {
		if s := c.takeString(); c.err == nil {
			*p = append(*p, T(s))
		}
	}
}

// bytes visits a bytes field; nil and empty are the same.
func (c *coder) bytes(num protowire.Number, p *[]byte) {
	if c.enc {
		if len(*p) > 0 {
			c.tag(num, protowire.BytesType)
			c.buf = protowire.AppendBytes(c.buf, *p)
		}
		return
	}
	for c.num == num {
		if *p = c.takeBytes(); len(*p) == 0 {
			*p = nil
		}
	}
}

// optionalBytes visits a bytes field for which nil and empty differ.
func (c *coder) optionalBytes(num protowire.Number, p *[]byte) {
	if c.enc {
		if *p != nil {
			c.tag(num, protowire.BytesType)
			c.buf = protowire.AppendBytes(c.buf, *p)
		}
		return
	}
	for c.num == num {
		*p = c.takeBytes()
	}
}

// uint64 visits an unsigned field.
func (c *coder) uint64(num protowire.Number, p *uint64) {
	if c.enc {
		if *p != 0 {
			c.tag(num, protowire.VarintType)
			c.buf = protowire.AppendVarint(c.buf, *p)
		}
		return
	}
	for c.num == num {
		*p = c.varint()
	}
}

// uint32 visits an unsigned field; larger values are cut as protobuf does.
func (c *coder) uint32(num protowire.Number, p *uint32) {
	v := uint64(*p)
	c.uint64(num, &v)
	*p = uint32(v)
}

// int64 visits a signed field.
func (c *coder) int64(num protowire.Number, p *int64) {
	if c.enc && *p == 0 || !c.enc && c.num != num {
		return
	}
	v := uint64(*p)
	c.uint64(num, &v)
	*p = int64(v)
}

// int visits a signed field.
func (c *coder) int(num protowire.Number, p *int) {
	if c.enc && *p == 0 || !c.enc && c.num != num {
		return
	}
	v := uint64(*p)
	c.uint64(num, &v)
	*p = int(v)
}

// bool visits a bool field.
func (c *coder) bool(num protowire.Number, p *bool) {
	if c.enc {
		if *p {
			c.tag(num, protowire.VarintType)
			c.buf = append(c.buf, 1)
		}
		return
	}
	for c.num == num {
		*p = c.varint() != 0
	}
}

// enum visits an enumeration. A number that the Go type cannot hold becomes
// 255, which is no known value of any, rather than another one.
func enum[T ~uint8](c *coder, num protowire.Number, p *T) {
	v := uint64(*p)
	c.uint64(num, &v)
	*p = T(min(v, math.MaxUint8))
}

// duration visits a duration in nanoseconds.
func (c *coder) duration(num protowire.Number, p *time.Duration) { c.int64(num, (*int64)(p)) }

// Times that int64 nanoseconds can hold, in whole seconds.
const (
	firstSecond = math.MinInt64 / int64(time.Second)
	lastSecond  = math.MaxInt64 / int64(time.Second)
)

// nanos gives t for the wire. The zero time is 0; times out of range become the
// nearest that fits, and the epoch itself its first nanosecond.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	switch s := t.Unix(); {
	case s >= lastSecond:
		return math.MaxInt64
	case s <= firstSecond:
		return math.MinInt64
	}
	if n := t.UnixNano(); n != 0 {
		return n
	}
	return 1
}

// time visits a time.
func (c *coder) time(num protowire.Number, p *time.Time) {
	if c.enc {
		n := nanos(*p)
		c.int64(num, &n)
		return
	}
	for c.num == num {
		if n := int64(c.varint()); n == 0 {
			*p = time.Time{}
		} else {
			*p = time.Unix(0, n).UTC()
		}
	}
}
