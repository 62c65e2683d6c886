package meter

import (
	"fmt"
	"math"
)

// Rewrite returns the module with metering. The runtime must have validated the
// original before. Custom sections other than names are left out, since their
// offsets would no longer fit.
func (m *Module) Rewrite() ([]byte, error) {
	if len(m.funcTypes) == 0 {
		return m.binary, nil // no code: nothing can loop
	}
	out := make([]byte, 0, len(m.binary)+len(m.binary)/3+64)
	out = append(out, m.binary[:8]...)
	pending := []byte{secType, secImport, secGlobal}
	for _, s := range m.sections {
		for s.id != secCustom && len(pending) > 0 && order(s.id) >= order(pending[0]) {
			if s.id != pending[0] {
				out = m.appendMissing(out, pending[0])
			}
			pending = pending[1:]
		}
		body, keep, err := m.rewriteSection(s)
		if err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionName(s.id), err)
		}
		if keep {
			out = appendSection(out, s.id, body)
		}
	}
	for _, id := range pending {
		out = m.appendMissing(out, id)
	}
	return out, nil
}

func appendSection(out []byte, id byte, body []byte) []byte {
	out = append(out, id)
	out = appendU32(out, uint32(len(body)))
	return append(out, body...)
}

// appendMissing writes a section that the original does not have.
func (m *Module) appendMissing(out []byte, id byte) []byte {
	return appendSection(out, id, append([]byte{1}, m.extra(id)...))
}

// extra returns the entry that metering adds to a section.
func (m *Module) extra(id byte) []byte {
	switch id {
	case secType: // func () -> i64
		return []byte{0x60, 0, 1, 0x7e}
	case secImport:
		out := appendU32(nil, uint32(len(ModuleName)))
		out = append(out, ModuleName...)
		out = appendU32(out, uint32(len(RefuelName)))
		out = append(out, RefuelName...)
		return appendU32(append(out, byte(KindFunction)), uint32(len(m.types)))
	default: // global: mutable i64, empty at start, so that the first head asks the host
		return []byte{0x7e, 1, opI64Const, 0, opEnd}
	}
}

// rewriteSection returns the new content of a section and whether to keep it.
func (m *Module) rewriteSection(s section) (body []byte, keep bool, err error) {
	c := &cursor{b: s.data, base: s.start}
	var out []byte
	switch s.id {
	case secCustom:
		if c.name() != "name" {
			return nil, false, nil
		}
		out = append(out, c.b[:c.pos]...)
		m.names(c, &out)
	case secType, secImport:
		n := c.u32()
		out = appendU32(out, n+1)
		out = append(out, m.extraBehind(s.id, c)...)
	case secTable, secMemory:
		out = m.rewriteLimits(s.id, c)
	case secGlobal:
		out = m.rewriteGlobals(c)
	case secExport:
		out = m.rewriteExports(c)
	case secStart:
		out = appendU32(out, m.shift(m.funcIndex(c)))
	case secElement:
		n := c.u32()
		out = appendU32(out, n)
		for ; n > 0 && c.err == nil; n-- {
			m.elemSegment(c, &out)
		}
	case secCode:
		out = m.rewriteCode(c)
	default:
		return s.data, true, nil
	}
	return out, true, c.err
}

// extraBehind returns the rest of the section followed by the added entry.
func (m *Module) extraBehind(id byte, c *cursor) []byte {
	rest := c.b[c.pos:]
	return append(append(make([]byte, 0, len(rest)+32), rest...), m.extra(id)...)
}

// rewriteLimits gives tables and memories a maximum within the limits. It reads
// through a copy of the module so that counts are not taken twice.
func (m *Module) rewriteLimits(id byte, c *cursor) []byte {
	reader := &Module{limits: m.limits}
	n := c.u32()
	out := appendU32(nil, n)
	for ; n > 0 && c.err == nil; n-- {
		var low, high uint32
		if id == secTable {
			t := reader.readTable(c)
			out = append(out, t.elem)
			low, high = t.min, t.max
		} else {
			low, high = reader.readMemory(c)
		}
		out = append(out, 1)
		out = appendU32(out, low)
		out = appendU32(out, high)
	}
	return out
}

func (m *Module) rewriteGlobals(c *cursor) []byte {
	n := c.u32()
	out := appendU32(nil, n+1)
	for ; n > 0 && c.err == nil; n-- {
		out = append(out, c.byte(), c.byte())
		m.constExpr(c, &out)
	}
	return append(out, m.extra(secGlobal)...)
}

func (m *Module) rewriteExports(c *cursor) []byte {
	n := c.u32()
	out := appendU32(nil, n)
	p := patch{c: c, out: &out, done: c.pos}
	for ; n > 0 && c.err == nil; n-- {
		c.name()
		kind := Kind(c.byte())
		start := c.pos
		i := c.u32()
		if kind == KindFunction {
			i = m.shift(i)
		}
		p.index(start, i)
	}
	return out
}

// rewriteCode meters every function body.
func (m *Module) rewriteCode(c *cursor) []byte {
	n := c.u32()
	out := make([]byte, 0, len(c.b)+len(c.b)/3)
	out = appendU32(out, n)
	var body []byte
	for i := uint32(0); i < n && c.err == nil; i++ {
		src := c.sub(c.u32())
		body = m.rewriteBody(body[:0], src, m.types[m.funcTypes[i]])
		if src.err != nil && c.err == nil {
			c.err = fmt.Errorf("function %d: %w", m.nImpFuncs+i, src.err)
		}
		out = appendU32(out, uint32(len(body)))
		out = append(out, body...)
	}
	return out
}

// rewriteBody appends the metered form of one body to out. Two locals are
// declared behind those of the function: the fuel left (i64) and, where
// instructions are charged by an operand, that operand (i32).
func (m *Module) rewriteBody(out []byte, c *cursor, t funcType) []byte {
	groups := c.u32()
	groupsAt := c.pos
	c.pos = 0
	locals := m.locals(c, t.params)
	codeAt := c.pos
	p := m.walk(c, locals)
	if c.err != nil {
		return out
	}
	e := emitter{m: m, fuel: locals, operand: locals + 1, plan: p, cached: !p.calls && len(p.weights) > 1 && len(t.results) <= 1}
	extra := uint32(1)
	if p.bulk {
		extra = 2
	}
	out = appendU32(out, groups+extra)
	out = append(out, c.b[groupsAt:codeAt]...)
	out = append(out, 1, 0x7e)
	if p.bulk {
		out = append(out, 1, 0x7f)
	}
	out = e.enter(out, t.results)
	done := codeAt
	for _, ed := range p.edits {
		if ed.kind == editReturn && !e.cached {
			continue
		}
		out = append(out, c.b[done:ed.at]...)
		switch ed.kind {
		case editIndex:
			out = appendU32(out, ed.value)
		case editHead:
			out = e.head(out, ed.value)
		case editBulk:
			out = e.bulk(out, ed.value)
		case editReturn:
			out = appendU32(append(out, opBr), ed.value)
		}
		done = ed.end
	}
	return e.leave(append(out, c.b[done:]...))
}

// emitter writes the added instructions of one function.
type emitter struct {
	m             *Module
	fuel, operand uint32 // locals
	plan          plan
	// cached keeps the fuel in a local while the function runs. It is for
	// functions with loops that call nobody: there the counter in memory is what
	// a short loop would wait for. The body becomes a block, so that all ways out
	// of it pass the place where the counter is written back.
	cached bool
}

// enter charges the function's entry, unless its first loop does.
func (e *emitter) enter(out []byte, results []byte) []byte {
	if e.cached {
		out = append(out, opGlobalGet)
		out = appendU32(out, e.m.nGlobals)
		out = append(out, opLocalSet)
		out = appendU32(out, e.fuel)
	}
	if !e.plan.merged {
		out = e.head(out, 0)
	}
	if e.cached {
		out = append(out, opBlock)
		if len(results) == 1 {
			return append(out, results[0])
		}
		out = append(out, 0x40)
	}
	return out
}

// leave writes the counter back; out ends with the end of the original body.
func (e *emitter) leave(out []byte) []byte {
	if e.cached {
		out = append(out, opLocalGet)
		out = appendU32(out, e.fuel)
		out = append(out, opGlobalSet)
		out = appendU32(out, e.m.nGlobals)
		out = append(out, opEnd)
	}
	return out
}

// load puts the fuel on the stack.
func (e *emitter) load(out []byte) []byte {
	if e.cached {
		return appendU32(append(out, opLocalGet), e.fuel)
	}
	return appendU32(append(out, opGlobalGet), e.m.nGlobals)
}

// head charges the weight of a region.
func (e *emitter) head(out []byte, region uint32) []byte {
	out = append(e.load(out), opI64Const)
	out = appendS64(out, min(e.plan.weights[region], math.MaxInt32))
	return e.check(out)
}

// bulk charges the i32 on top of the stack, shifted right.
func (e *emitter) bulk(out []byte, shift uint32) []byte {
	out = append(out, opLocalSet)
	out = appendU32(out, e.operand)
	out = append(e.load(out), opLocalGet)
	out = appendU32(out, e.operand)
	out = append(out, 0xad, opI64Const) // i64.extend_i32_u
	out = appendS64(out, int64(shift))
	out = append(out, 0x88) // i64.shr_u
	out = e.check(out)
	out = append(out, opLocalGet)
	return appendU32(out, e.operand)
}

// check subtracts the charge on the stack from the fuel and asks the host when
// none is left:
//
//	i64.sub  local.tee $fuel  global.set $g
//	local.get $fuel  i64.const 0  i64.lt_s
//	if  call $refuel  global.set $g  end
//
// and, where the fuel is kept in the local, the same without the global.
func (e *emitter) check(out []byte) []byte {
	out = append(out, 0x7d, opLocalTee)
	out = appendU32(out, e.fuel)
	if !e.cached {
		out = append(out, opGlobalSet)
		out = appendU32(out, e.m.nGlobals)
		out = append(out, opLocalGet)
		out = appendU32(out, e.fuel)
	}
	out = append(out, opI64Const, 0, 0x53, opIf, 0x40, opCall)
	out = appendU32(out, e.m.nImpFuncs)
	if e.cached {
		out = appendU32(append(out, opLocalSet), e.fuel)
	} else {
		out = appendU32(append(out, opGlobalSet), e.m.nGlobals)
	}
	return append(out, opEnd)
}

// Rewrite inspects and rewrites a binary in one step.
func Rewrite(binary []byte, limits Limits) ([]byte, error) {
	m, err := Inspect(binary, limits)
	if err != nil {
		return nil, err
	}
	return m.Rewrite()
}
