package meter

import (
	"bytes"
	"fmt"
	"strings"
)

// Inspect reads the structure of a module without running or compiling it and
// checks it against limits. It does not validate types or code; it makes sure
// that a decoder which trusts the counts in the binary allocates no more than a
// small multiple of the binary's size, and that nothing in the module reaches
// for the meter. The binary must not be changed while the Module is in use.
func Inspect(binary []byte, limits Limits) (*Module, error) {
	m := &Module{binary: binary, limits: limits.orDefault()}
	if len(binary) > m.limits.ModuleBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed: %w", len(binary), m.limits.ModuleBytes, ErrLimit)
	}
	if err := checkHeader(binary); err != nil {
		return nil, err
	}
	if err := m.split(); err != nil {
		return nil, err
	}
	for _, s := range m.sections {
		c := &cursor{b: s.data, base: s.start}
		m.readSection(s.id, c)
		if c.err == nil && c.left() != 0 && s.id != secCustom {
			c.fail(ErrMalformed, "%d bytes too many", c.left())
		}
		if c.err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionName(s.id), c.err)
		}
	}
	return m, nil
}

// checkHeader tells core modules from components. The last four bytes of the
// header are version (1) and layer (0 for core modules, 1 for components).
func checkHeader(binary []byte) error {
	if len(binary) < 8 || !bytes.Equal(binary[:4], []byte("\x00asm")) {
		return fmt.Errorf("no WebAssembly magic number: %w", ErrMalformed)
	}
	if binary[6] == 1 && binary[7] == 0 {
		return ErrComponent
	}
	if !bytes.Equal(binary[4:8], []byte{1, 0, 0, 0}) {
		return fmt.Errorf("binary version % x: %w", binary[4:8], ErrMalformed)
	}
	return nil
}

// split cuts the binary into sections and checks their order.
func (m *Module) split() error {
	c := &cursor{b: m.binary, pos: 8}
	last := 0
	for c.more() {
		id := c.byte()
		size := c.u32()
		start := c.pos
		data := c.bytes(size)
		if c.err != nil {
			return fmt.Errorf("%s section: %w", sectionName(id), c.err)
		}
		if id > secDataCount {
			return fmt.Errorf("offset %#x: section id %d: %w", start, id, ErrUnsupported)
		}
		if id != secCustom {
			if order(id) <= last {
				return fmt.Errorf("offset %#x: %s section out of order: %w", start, sectionName(id), ErrMalformed)
			}
			last = order(id)
		}
		m.sections = append(m.sections, section{id: id, start: start, data: data})
	}
	return c.err
}

// order returns the place of a section; data count stands between element and code.
func order(id byte) int {
	if id == secDataCount {
		return secElement*2 + 1
	}
	return int(id) * 2
}

// readSection reads one section; faults stay in c.
func (m *Module) readSection(id byte, c *cursor) {
	switch id {
	case secCustom:
		m.readCustom(c)
	case secType:
		m.readTypes(c)
	case secImport:
		m.readImports(c)
	case secFunction:
		m.readFunctions(c)
	case secTable:
		for n := c.count("tables", m.limits.Tables); n > 0 && c.err == nil; n-- {
			m.readTable(c)
		}
	case secMemory:
		for n := c.count("memories", 1); n > 0 && c.err == nil; n-- {
			m.readMemory(c)
		}
	case secGlobal:
		m.readGlobals(c)
	case secExport:
		m.readExports(c)
	case secStart:
		m.funcIndex(c)
	case secElement:
		for n := c.count("element segments", m.limits.ElemSegments); n > 0 && c.err == nil; n-- {
			m.elemSegment(c, nil)
		}
	case secCode:
		m.readCode(c)
	case secData:
		m.readData(c)
	case secDataCount:
		if n := c.u32(); n > m.limits.DataSegments {
			c.fail(ErrLimit, "%d data segments, at most %d are allowed", n, m.limits.DataSegments)
		}
	}
}

func (m *Module) readCustom(c *cursor) {
	name := c.name()
	if c.err != nil {
		return
	}
	if name == "name" {
		m.names(c, nil)
	} else if !strings.HasPrefix(name, ".debug_") {
		m.Custom = append(m.Custom, Custom{Name: name, Data: c.b[c.pos:]})
	}
}

func (m *Module) readTypes(c *cursor) {
	for n := c.count("types", m.limits.Types); n > 0 && c.err == nil; n-- {
		if form := c.byte(); form != 0x60 {
			c.fail(ErrUnsupported, "type form %#x", form)
		}
		params := c.count("parameters", 1000)
		c.bytes(params)
		results := c.bytes(c.count("results", 1000))
		m.types = append(m.types, funcType{params: params, results: results})
	}
}

func (m *Module) readImports(c *cursor) {
	for n := c.count("imports", m.limits.Imports); n > 0 && c.err == nil; n-- {
		imp := Import{Module: c.name(), Name: c.name(), Kind: Kind(c.byte())}
		if imp.Module == ModuleName {
			c.fail(ErrReserved, "import %q.%q", imp.Module, imp.Name)
		}
		switch imp.Kind {
		case KindFunction:
			c.u32()
			m.nImpFuncs++
			m.nFuncs++
		case KindTable:
			m.readTable(c)
		case KindMemory:
			m.readMemory(c)
		case KindGlobal:
			c.byte()
			c.byte()
			m.nGlobals++
		default:
			c.fail(ErrUnsupported, "import kind %d", imp.Kind)
		}
		m.Imports = append(m.Imports, imp)
	}
}

func (m *Module) readFunctions(c *cursor) {
	n := c.count("functions", m.limits.Functions)
	m.funcTypes = make([]uint32, 0, n)
	for ; n > 0 && c.err == nil; n-- {
		t := c.u32()
		if c.err == nil && t >= uint32(len(m.types)) {
			c.fail(ErrMalformed, "type index %d of %d", t, len(m.types))
		}
		m.funcTypes = append(m.funcTypes, t)
	}
	m.nFuncs += uint32(len(m.funcTypes))
}

// tableType is a table's type as read.
type tableType struct {
	elem     byte
	min, max uint32
}

// readTable reads a table type. It returns the type with its maximum lowered to the limit.
func (m *Module) readTable(c *cursor) tableType {
	t := tableType{elem: c.byte()}
	if c.err == nil && t.elem != 0x70 && t.elem != 0x6f {
		c.fail(ErrUnsupported, "table element type %#x", t.elem)
	}
	t.min, t.max = m.limitsType(c, m.limits.TableEntries)
	if c.err == nil && t.min > m.limits.TableEntries {
		c.fail(ErrLimit, "table of %d entries, at most %d are allowed", t.min, m.limits.TableEntries)
	}
	m.nTables++
	return t
}

// readMemory reads a memory type and returns its bounds, the upper one lowered to the limit.
func (m *Module) readMemory(c *cursor) (low, high uint32) {
	low, high = m.limitsType(c, m.limits.MemoryPages)
	if c.err == nil && low > m.limits.MemoryPages {
		c.fail(ErrLimit, "memory of %d pages at start, at most %d are allowed", low, m.limits.MemoryPages)
	}
	m.nMemories++
	return low, high
}

// limitsType reads a limits entry; the maximum is at most limit.
func (m *Module) limitsType(c *cursor, limit uint32) (low, high uint32) {
	flag := c.byte()
	if c.err == nil && flag > 1 {
		c.fail(ErrUnsupported, "limits of kind %#x", flag)
	}
	low, high = c.u32(), limit
	if flag == 1 {
		declared := c.u32()
		if c.err == nil && declared < low {
			c.fail(ErrMalformed, "maximum %d below minimum %d", declared, low)
		}
		high = min(limit, declared)
	}
	return low, high
}

func (m *Module) readGlobals(c *cursor) {
	for n := c.count("globals", m.limits.Globals); n > 0 && c.err == nil; n-- {
		c.byte()
		c.byte()
		m.constExpr(c, nil)
		m.nGlobals++
	}
}

func (m *Module) readExports(c *cursor) {
	for n := c.count("exports", m.limits.Exports); n > 0 && c.err == nil; n-- {
		e := Export{Name: c.name(), Kind: Kind(c.byte())}
		switch e.Kind {
		case KindFunction:
			e.Index = m.funcIndex(c)
		case KindTable, KindMemory:
			e.Index = c.u32()
		case KindGlobal:
			e.Index = m.globalIndex(c)
		default:
			c.fail(ErrUnsupported, "export kind %d", e.Kind)
		}
		m.Exports = append(m.Exports, e)
	}
}

// readCode checks the count and the size of function bodies.
func (m *Module) readCode(c *cursor) {
	n := c.count("function bodies", m.limits.Functions)
	if c.err == nil && int(n) != len(m.funcTypes) {
		c.fail(ErrMalformed, "%d bodies for %d functions", n, len(m.funcTypes))
	}
	for i := uint32(0); i < n && c.err == nil; i++ {
		size := c.u32()
		if c.err == nil && size > m.limits.FunctionBytes {
			c.fail(ErrLimit, "function %d has %d bytes, at most %d are allowed", m.nImpFuncs+i, size, m.limits.FunctionBytes)
		}
		body := c.sub(size)
		m.locals(body, m.types[m.funcTypes[i]].params)
		if c.err == nil {
			c.err = body.err
		}
	}
}

// locals reads the declarations of locals and returns the count of locals with
// parameters. The cursor then stands at the first instruction.
func (m *Module) locals(c *cursor, params uint32) uint32 {
	total := uint64(params)
	for n := c.count("groups of locals", m.limits.Locals); n > 0 && c.err == nil; n-- {
		total += uint64(c.u32())
		c.byte()
		if total > uint64(m.limits.Locals) {
			c.fail(ErrLimit, "%d locals, at most %d are allowed", total, m.limits.Locals)
		}
	}
	return uint32(total)
}

func (m *Module) readData(c *cursor) {
	for n := c.count("data segments", m.limits.DataSegments); n > 0 && c.err == nil; n-- {
		switch mode := c.u32(); mode {
		case 0:
			m.constExpr(c, nil)
		case 1:
		case 2:
			c.u32()
			m.constExpr(c, nil)
		default:
			c.fail(ErrUnsupported, "data segment of kind %d", mode)
		}
		c.bytes(c.u32())
	}
}

// funcIndex reads an index of a function and checks it.
func (m *Module) funcIndex(c *cursor) uint32 {
	i := c.u32()
	if c.err == nil && i >= m.nFuncs {
		c.fail(ErrMalformed, "function index %d of %d", i, m.nFuncs)
	}
	return i
}

// globalIndex reads an index of a global. One beyond the module's own globals
// could name the fuel counter after rewriting.
func (m *Module) globalIndex(c *cursor) uint32 {
	i := c.u32()
	if c.err == nil && i >= m.nGlobals {
		c.fail(ErrReserved, "global index %d, the module declares %d", i, m.nGlobals)
	}
	return i
}

// shift returns the index of function i after the import of refuel.
func (m *Module) shift(i uint32) uint32 {
	if i >= m.nImpFuncs {
		return i + 1
	}
	return i
}
