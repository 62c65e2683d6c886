package meter

// module is a small assembler for hand-made test modules.
type module struct {
	types, imports, funcs, tables, mems, globals, exports, elems, codes, datas [][]byte
	start                                                                      []byte
	dataCount                                                                  []byte
	custom                                                                     [][]byte
}

func cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func str(s string) []byte { return append(appendU32(nil, uint32(len(s))), s...) }

func vec(entries [][]byte) []byte {
	return append(appendU32(nil, uint32(len(entries))), cat(entries...)...)
}

// fn adds a function of a type with a body (locals included) and exports it.
func (m *module) fn(name string, typ uint32, locals []byte, body ...byte) uint32 {
	index := uint32(len(m.imports) + len(m.funcs))
	m.funcs = append(m.funcs, appendU32(nil, typ))
	if locals == nil {
		locals = []byte{0}
	}
	code := cat(locals, body, []byte{opEnd})
	m.codes = append(m.codes, append(appendU32(nil, uint32(len(code))), code...))
	if name != "" {
		m.exports = append(m.exports, cat(str(name), []byte{0}, appendU32(nil, index)))
	}
	return index
}

func (m *module) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	add := func(id byte, entries [][]byte) {
		if len(entries) > 0 {
			out = appendSection(out, id, vec(entries))
		}
	}
	add(secType, m.types)
	add(secImport, m.imports)
	add(secFunction, m.funcs)
	add(secTable, m.tables)
	add(secMemory, m.mems)
	add(secGlobal, m.globals)
	add(secExport, m.exports)
	if m.start != nil {
		out = appendSection(out, secStart, m.start)
	}
	add(secElement, m.elems)
	if m.dataCount != nil {
		out = appendSection(out, secDataCount, m.dataCount)
	}
	add(secCode, m.codes)
	add(secData, m.datas)
	for _, c := range m.custom {
		out = appendSection(out, secCustom, c)
	}
	return out
}

// Types that hand-made modules use: 0 () -> (), 1 (i32) -> i32, 2 () -> i64, 3 (i32 i32) -> (i32 i32).
func newModule() *module {
	return &module{types: [][]byte{
		{0x60, 0, 0}, {0x60, 1, 0x7f, 1, 0x7f}, {0x60, 0, 1, 0x7e}, {0x60, 2, 0x7f, 0x7f, 2, 0x7f, 0x7f},
	}}
}

// hostile returns modules whose exported function "run" never ends by itself or
// asks for too much, by name.
func hostile() map[string][]byte {
	out := map[string][]byte{}
	add := func(name string, build func(m *module)) {
		m := newModule()
		m.mems = [][]byte{{0, 1}}
		build(m)
		out[name] = m.bytes()
	}
	add("loop", func(m *module) { m.fn("run", 0, nil, opLoop, 0x40, opBr, 0, opEnd) })
	add("nested loops", func(m *module) {
		m.fn("run", 0, nil, opLoop, 0x40, opLoop, 0x40, opBr, 0, opEnd, opBr, 0, opEnd)
	})
	add("loop by br_table", func(m *module) {
		m.fn("run", 0, []byte{1, 1, 0x7f},
			opLoop, 0x40, opBlock, 0x40, opBlock, 0x40,
			opLocalGet, 0, opI32Const, 1, 0x6a, opLocalTee, 0, opI32Const, 1, 0x71,
			opBrTable, 2, 0, 1, 2, opEnd, opBr, 1, opEnd, opBr, 0, opEnd)
	})
	add("loop with value", func(m *module) {
		m.fn("run", 0, nil, opI32Const, 7, opLoop, 1, opBr, 0, opEnd, 0x1a)
	})
	add("recursion", func(m *module) { m.fn("run", 0, nil, opCall, 0) })
	add("recursion by table", func(m *module) {
		m.tables = [][]byte{{0x70, 0, 1}}
		m.elems = [][]byte{{0, opI32Const, 0, opEnd, 1, 0}}
		m.fn("run", 0, nil, opI32Const, 0, opCallInd, 0, 0)
	})
	add("tail recursion", func(m *module) { m.fn("run", 0, nil, opRetCall, 0) })
	add("tail recursion by table", func(m *module) {
		m.tables = [][]byte{{0x70, 0, 1}}
		m.elems = [][]byte{{0, opI32Const, 0, opEnd, 1, 0}}
		m.fn("run", 0, nil, opI32Const, 0, opRetCallInd, 0, 0)
	})
	add("memory growth", func(m *module) {
		m.fn("run", 0, nil, opLoop, 0x40, opI32Const, 1, opMemoryGrow, 0, 0x1a, opBr, 0, opEnd)
	})
	add("memory fill", func(m *module) {
		m.mems = [][]byte{{0, 0x80, 4}} // 512 pages
		size := appendS64(nil, 512<<16)
		m.fn("run", 0, nil, cat([]byte{opLoop, 0x40, opI32Const, 0, opI32Const, 1, opI32Const}, size,
			[]byte{opPrefixMisc, 11, 0, opBr, 0, opEnd})...)
	})
	add("memory copy", func(m *module) {
		m.mems = [][]byte{{0, 0x80, 4}}
		size := appendS64(nil, 511<<16)
		m.fn("run", 0, nil, cat([]byte{opLoop, 0x40, opI32Const, 1, opI32Const, 0, opI32Const}, size,
			[]byte{opPrefixMisc, 10, 0, 0, opBr, 0, opEnd})...)
	})
	add("table growth", func(m *module) {
		m.tables = [][]byte{{0x70, 0, 1}}
		m.fn("run", 0, nil, opLoop, 0x40, opRefNull, 0x70, opI32Const, 0xe8, 7, opPrefixMisc, 15, 0, 0x1a, opBr, 0, opEnd)
	})
	add("start function", func(m *module) {
		m.fn("run", 0, nil, opLoop, 0x40, opBr, 0, opEnd)
		m.start = []byte{0}
	})
	return out
}
