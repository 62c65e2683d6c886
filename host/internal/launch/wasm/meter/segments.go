package meter

// The readers in this file serve two passes. With out == nil they only check;
// otherwise they append the entry with shifted function indexes to *out.

// patch copies what a reader passes over and lets it replace function indexes.
type patch struct {
	c    *cursor
	out  *[]byte
	done int // bytes of c already copied
}

// index copies everything up to start, then v in place of what was read.
func (p *patch) index(start int, v uint32) {
	if p.out == nil || p.c.err != nil {
		return
	}
	*p.out = append(*p.out, p.c.b[p.done:start]...)
	*p.out = appendU32(*p.out, v)
	p.done = p.c.pos
}

// flush copies the rest that was read.
func (p *patch) flush() {
	if p.out == nil || p.c.err != nil {
		return
	}
	*p.out = append(*p.out, p.c.b[p.done:p.c.pos]...)
	p.done = p.c.pos
}

// constExpr reads a constant expression up to its end.
func (m *Module) constExpr(c *cursor, out *[]byte) {
	p := patch{c: c, out: out, done: c.pos}
	for c.err == nil {
		switch op := c.byte(); op {
		case opEnd:
			p.flush()
			return
		case opI32Const:
			c.skipSigned(32)
		case opI64Const:
			c.skipSigned(64)
		case opF32Const:
			c.bytes(4)
		case opF64Const:
			c.bytes(8)
		case opGlobalGet:
			m.globalIndex(c)
		case opRefNull:
			if t := c.byte(); t != 0x70 && t != 0x6f {
				c.fail(ErrUnsupported, "heap type %#x", t)
			}
		case opRefFunc:
			start := c.pos
			p.index(start, m.shift(m.funcIndex(c)))
		case opPrefixSIMD:
			if sub := c.byte(); sub != 0x0c {
				c.fail(ErrUnsupported, "constant instruction fd %#x", sub)
			}
			c.bytes(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // extended-const: add, sub, mul
		default:
			c.fail(ErrUnsupported, "constant instruction %#x", op)
		}
	}
}

// elemSegment reads one element segment. The eight forms are those of the
// binary format: bit 0 passive or declarative, bit 1 explicit table or
// declarative, bit 2 expressions instead of indexes.
func (m *Module) elemSegment(c *cursor, out *[]byte) {
	p := patch{c: c, out: out, done: c.pos}
	form := c.u32()
	if c.err == nil && form > 7 {
		c.fail(ErrUnsupported, "element segment of kind %d", form)
	}
	if form&1 == 0 {
		if form&2 != 0 {
			c.u32()
		}
		p.flush()
		m.constExpr(c, out)
		p.done = c.pos
	}
	if form&3 != 0 { // element kind or reference type, absent in forms 0 and 4
		c.byte()
	}
	for n := c.count("elements", m.limits.TableEntries); n > 0 && c.err == nil; n-- {
		if form&4 == 0 {
			start := c.pos
			p.index(start, m.shift(m.funcIndex(c)))
			continue
		}
		p.flush()
		m.constExpr(c, out)
		p.done = c.pos
	}
	p.flush()
}

// Subsections of the name section that carry function indexes.
const (
	nameFunctions = 1
	nameLocals    = 2
	nameLabels    = 3
)

// names reads the content of the name section behind its own name. Indexes of
// functions are shifted; other name maps are copied.
func (m *Module) names(c *cursor, out *[]byte) {
	for c.more() {
		id := c.byte()
		sub := c.sub(c.u32())
		var body []byte
		target := &body
		if out == nil {
			target = nil
		}
		p := patch{c: sub, out: target}
		switch id {
		case nameFunctions:
			for n := sub.count("function names", m.limits.Functions); n > 0 && sub.err == nil; n-- {
				start := sub.pos
				p.index(start, m.shift(m.funcIndex(sub)))
				sub.name()
			}
		case nameLocals, nameLabels:
			m.indirectNames(sub, &p)
		default:
			sub.bytes(uint32(sub.left()))
		}
		p.flush()
		if sub.err == nil && sub.left() != 0 {
			sub.fail(ErrMalformed, "%d bytes too many in names", sub.left())
		}
		if c.err == nil {
			c.err = sub.err
		}
		if c.err == nil && out != nil {
			*out = append(*out, id)
			*out = appendU32(*out, uint32(len(body)))
			*out = append(*out, body...)
		}
	}
}

// indirectNames reads names of locals or labels, grouped by function.
func (m *Module) indirectNames(c *cursor, p *patch) {
	for n := c.count("functions with names", m.limits.Functions); n > 0 && c.err == nil; n-- {
		start := c.pos
		p.index(start, m.shift(m.funcIndex(c)))
		for k := c.count("names", ^uint32(0)); k > 0 && c.err == nil; k-- {
			c.u32()
			c.name()
		}
	}
}
