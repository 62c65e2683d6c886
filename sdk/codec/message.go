package codec

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// part is a sub-message that is being visited:
//
//	for f := c.enter(4, present); c.step(&f); {
//		c.ref(&e.Place)
//	}
//
// A writer runs the body once when present; a reader runs it, at least once,
// when the field is at the front, until the sub-message is read.
type part struct {
	num    protowire.Number
	state  uint8
	single bool // an element of a list: do not merge the next one into it
	mark   int  // writer: where the content begins; reader: end of the parent
}

const (
	partDone uint8 = iota
	partFirst
	partRest
)

// maxVarint is the longest length that is written.
const maxVarint = 10

func (c *coder) enter(num protowire.Number, present bool) part {
	switch {
	case c.enc && present:
		c.tag(num, protowire.BytesType)
		c.buf = append(c.buf, 0) // the length, if it is below 128
		return part{num: num, state: partFirst, mark: len(c.buf)}
	case !c.enc && c.num == num:
		return part{num: num, state: partFirst}
	default:
		return part{}
	}
}

func (c *coder) step(f *part) bool {
	if f.state == partDone {
		return false
	}
	if c.enc {
		if f.state == partFirst {
			f.state = partRest
			return true
		}
		c.seal(f.mark)
		f.state = partDone
		return false
	}
	return c.stepRead(f)
}

// seal writes the length of the content that begins at mark.
func (c *coder) seal(mark int) {
	n := len(c.buf) - mark
	if n < 0x80 {
		c.buf[mark-1] = byte(n)
		return
	}
	var length [maxVarint]byte
	size := len(protowire.AppendVarint(length[:0], uint64(n)))
	c.buf = append(c.buf, length[:size-1]...)
	copy(c.buf[mark+size-1:], c.buf[mark:mark+n])
	copy(c.buf[mark-1:], length[:size])
}

func (c *coder) stepRead(f *part) bool {
	if f.state == partRest {
		if c.num != 0 {
			if !c.took {
				c.skip()
			}
			c.took = false
			return c.err == nil && (c.num != 0 || c.stepRead(f))
		}
		c.end = f.mark
		c.took = true
		if c.err != nil {
			c.pos, f.state = c.end, partDone
			return false
		}
		c.next()
		if f.single || c.num != f.num {
			f.state = partDone
			return false
		}
	}
	from, to := c.span()
	if c.err != nil {
		f.state = partDone
		return false
	}
	f.state, f.mark = partRest, c.end
	c.pos, c.end, c.took = from, to, false
	c.next()
	return true
}

// list visits a repeated message field.
func list[T any](c *coder, num protowire.Number, p *[]T, visit func(*coder, *T)) {
	if c.enc {
		for i := range *p {
			for f := c.enter(num, true); c.step(&f); {
				visit(c, &(*p)[i])
			}
		}
		return
	}
	for c.num == num && c.element() {
		var zero T
		*p = append(*p, zero)
		v := &(*p)[len(*p)-1]
		f := c.enter(num, true)
		f.single = true
		for c.step(&f) {
			visit(c, v)
		}
	}
}

// units is list for elements that outlive each other: the strings of each share
// the memory of that element alone, not that of the whole input.
func units[T any](c *coder, num protowire.Number, p *[]T, visit func(*coder, *T)) {
	if c.enc {
		list(c, num, p, visit)
		return
	}
	for c.num == num && c.element() {
		var zero T
		*p = append(*p, zero)
		v := &(*p)[len(*p)-1]
		f := c.enter(num, true)
		f.single = true
		text, base := c.text, c.base
		for first := true; c.step(&f); first = false {
			if first {
				c.text, c.base = string(c.src[c.start():c.end]), c.start()
			}
			visit(c, v)
		}
		c.text, c.base = text, base
	}
}

// start gives where the content of the message that was just entered can begin
// at the earliest: its first tag is at most five bytes before pos.
func (c *coder) start() int { return max(c.pos-maxVarint, 0) }

// optional visits a message field behind a pointer.
func optional[T any](c *coder, num protowire.Number, p **T, visit func(*coder, *T)) {
	for f := c.enter(num, *p != nil); c.step(&f); {
		if *p == nil {
			*p = new(T)
		}
		visit(c, *p)
	}
}

// mapField visits a map<string, bytes>; entries are written in order of keys.
func mapField(c *coder, num protowire.Number, p *map[string][]byte) {
	if c.enc {
		for _, k := range sortedKeys(*p) {
			v := (*p)[k]
			for f := c.enter(num, true); c.step(&f); {
				c.string(1, &k)
				c.bytes(2, &v)
			}
		}
		return
	}
	for c.num == num && c.element() {
		var k string
		var v []byte
		f := c.enter(num, true)
		f.single = true
		for c.step(&f) {
			c.string(1, &k)
			c.bytes(2, &v)
		}
		if *p == nil {
			*p = make(map[string][]byte)
		}
		if v == nil {
			v = []byte{}
		}
		(*p)[k] = v
	}
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// numbers visits a repeated number field, packed. Readers take both forms.
func numbers[T ~int | ~uint8](c *coder, num protowire.Number, p *[]T, cut func(uint64) T) {
	if c.enc {
		for f := c.enter(num, len(*p) > 0); c.step(&f); {
			for _, v := range *p {
				c.buf = protowire.AppendVarint(c.buf, uint64(v))
			}
		}
		return
	}
	for c.num == num {
		if c.typ == protowire.VarintType {
			if v := c.varint(); c.err == nil && c.element() {
				*p = append(*p, cut(v))
			}
			continue
		}
		from, to := c.span()
		for from < to && c.err == nil && c.element() {
			v, n := protowire.ConsumeVarint(c.src[from:to])
			if n < 0 {
				c.fail(protowire.ParseError(n))
				return
			}
			*p = append(*p, cut(v))
			from += n
		}
		if c.err == nil {
			c.pos = to
			c.next()
		}
	}
}
