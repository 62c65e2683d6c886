package meter

// Opcodes that the walker names.
const (
	opBlock      = 0x02
	opLoop       = 0x03
	opIf         = 0x04
	opElse       = 0x05
	opEnd        = 0x0b
	opBr         = 0x0c
	opBrIf       = 0x0d
	opBrTable    = 0x0e
	opReturn     = 0x0f
	opCall       = 0x10
	opCallInd    = 0x11
	opRetCall    = 0x12
	opRetCallInd = 0x13
	opSelectT    = 0x1c
	opLocalGet   = 0x20
	opLocalSet   = 0x21
	opLocalTee   = 0x22
	opGlobalGet  = 0x23
	opGlobalSet  = 0x24
	opTableGet   = 0x25
	opTableSet   = 0x26
	opMemorySize = 0x3f
	opMemoryGrow = 0x40
	opI32Const   = 0x41
	opI64Const   = 0x42
	opF32Const   = 0x43
	opF64Const   = 0x44
	opRefNull    = 0xd0
	opRefIsNull  = 0xd1
	opRefFunc    = 0xd2
	opPrefixMisc = 0xfc
	opPrefixSIMD = 0xfd
)

// editKind says what to do at a place of a function body.
type editKind byte

const (
	editIndex  editKind = iota // replace a function index
	editHead                   // charge behind a loop opcode
	editBulk                   // charge by the i32 on top of the stack
	editReturn                 // return; value is the depth of the function's label
)

// edit is one change of a function body: bytes [at, end) are replaced.
type edit struct {
	kind    editKind
	at, end int
	value   uint32 // new index; region of a head; shift of a bulk charge
}

// plan is what walking a body yields.
type plan struct {
	edits   []edit
	weights []int64 // cost of region 0 (function entry) and of each loop
	bulk    bool    // a scratch i32 is needed
	merged  bool    // the first loop pays for the function's entry as well
	calls   bool    // the function calls others
}

// frame is an open control block; region is the loop (or function) it belongs to.
type frame struct {
	op     byte
	region uint32
}

// walker goes over the instructions of one function body.
type walker struct {
	m      *Module
	c      *cursor
	locals uint32
	frames []frame
	plan   plan
	branch bool // something before the first loop may branch, call or end
}

// walk reads the instructions of a body from the cursor to its end. Each
// instruction is charged to the innermost loop around it, or to the function:
// between two visits of that head it runs at most once, so the sum is an upper
// bound of the straight-line work that a visit pays for.
func (m *Module) walk(c *cursor, locals uint32) plan {
	w := walker{m: m, c: c, locals: locals, frames: []frame{{op: opBlock}}, plan: plan{weights: []int64{weightEntry}}}
	for len(w.frames) > 0 && c.err == nil {
		w.plan.weights[w.frames[len(w.frames)-1].region]++
		w.instruction()
	}
	if c.err == nil && c.left() != 0 {
		c.fail(ErrMalformed, "%d bytes behind the function's end", c.left())
	}
	if w.plan.merged {
		w.plan.weights[1] += w.plan.weights[0]
	}
	return w.plan
}

// straight reports whether an instruction always goes on with the next one,
// inside the function, or traps.
func straight(op byte) bool {
	switch op {
	case 0x01, opBlock, opLoop, opGlobalGet, opGlobalSet, opLocalGet, opLocalSet, opLocalTee, opI32Const, opI64Const, opF32Const, opF64Const, 0x1a, 0x1b:
		return true
	}
	return op >= 0x28 && op <= 0x3e || op >= 0x45 && op <= 0xc4
}

// instruction reads one instruction with its immediates.
func (w *walker) instruction() {
	c := w.c
	start := c.pos
	op := c.byte()
	w.branch = w.branch || !straight(op)
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		w.open(op)
	case op == opElse:
		if w.frames[len(w.frames)-1].op != opIf {
			c.fail(ErrMalformed, "else without if")
		}
	case op == opEnd:
		w.frames = w.frames[:len(w.frames)-1]
	case op == opReturn:
		w.plan.edits = append(w.plan.edits, edit{kind: editReturn, at: start, end: c.pos, value: uint32(len(w.frames) - 1)})
	case op <= 0x01, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == opRefIsNull:
	case op >= 0x28 && op <= 0x3e:
		w.memArg()
	case op == opBr, op == opBrIf:
		w.label()
	case op == opBrTable:
		for n := c.count("branch targets", ^uint32(0)); n > 0 && c.err == nil; n-- {
			w.label()
		}
		w.label()
	case op == opCall, op == opRetCall, op == opRefFunc:
		w.plan.calls = w.plan.calls || op != opRefFunc
		w.function()
	case op == opCallInd, op == opRetCallInd:
		w.plan.calls = true
		c.u32()
		c.u32()
	case op >= opLocalGet && op <= opLocalTee:
		w.local()
	case op == opGlobalGet, op == opGlobalSet:
		w.m.globalIndex(c)
	case op == opMemorySize, op == opMemoryGrow:
		w.memorySize(op, start)
	default:
		w.rare(op, start)
	}
}

// local reads the index of a local.
func (w *walker) local() {
	if i := w.c.u32(); w.c.err == nil && i >= w.locals {
		w.c.fail(ErrMalformed, "local index %d of %d", i, w.locals)
	}
}

// label reads a label. The block that may be put around a body must not become
// a target that the original does not have.
func (w *walker) label() {
	if i := w.c.u32(); w.c.err == nil && int(i) >= len(w.frames) {
		w.c.fail(ErrMalformed, "label %d of %d", i, len(w.frames))
	}
}

// rare reads the instructions that ordinary code seldom has.
func (w *walker) rare(op byte, start int) {
	c := w.c
	switch op {
	case opI32Const:
		c.skipSigned(32)
	case opI64Const:
		c.skipSigned(64)
	case opF32Const:
		c.bytes(4)
	case opF64Const:
		c.bytes(8)
	case opTableGet, opTableSet:
		c.u32()
	case opSelectT:
		if n := c.byte(); n != 1 {
			c.fail(ErrUnsupported, "select with %d types", n)
		}
		w.valueType()
	case opRefNull:
		if t := c.byte(); t != 0x70 && t != 0x6f {
			c.fail(ErrUnsupported, "heap type %#x", t)
		}
	case opPrefixMisc:
		w.misc(start)
	case opPrefixSIMD:
		w.simd()
	default:
		c.fail(ErrUnsupported, "instruction %#x", op)
	}
}

// open reads a block type and opens a frame.
func (w *walker) open(op byte) {
	c := w.c
	w.blockType()
	region := w.frames[len(w.frames)-1].region
	if op == opLoop {
		region = uint32(len(w.plan.weights))
		// A first loop that is reached in any case can pay for the entry: the code
		// of Go's compiler, where nearly every function is such a loop, then has
		// one charge in place of two.
		w.plan.merged = w.plan.merged || region == 1 && !w.branch
		w.plan.weights = append(w.plan.weights, 0)
		w.plan.edits = append(w.plan.edits, edit{kind: editHead, at: c.pos, end: c.pos, value: region})
	}
	if uint32(len(w.frames)) >= w.m.limits.Nesting {
		c.fail(ErrLimit, "blocks nested %d deep", len(w.frames))
	}
	w.frames = append(w.frames, frame{op: op, region: region})
}

// blockType reads a block type: a value type, nothing (0x40), or a type index.
// Typed references (0x63, 0x64) carry a second number and are not known here.
func (w *walker) blockType() {
	c := w.c
	start := c.pos
	c.skipSigned(33)
	if c.err != nil {
		return
	}
	if c.pos-start > 1 {
		return // an index; the runtime refuses overlong forms of the negative ones below
	}
	switch b := c.b[start]; {
	case b < 0x40: // index of a type
	case b == 0x40, b >= 0x7b, b == 0x70, b == 0x6f:
	default:
		c.fail(ErrUnsupported, "block type %#x", b)
	}
}

// valueType reads a plain value type.
func (w *walker) valueType() {
	if t := w.c.byte(); t < 0x7b && t != 0x70 && t != 0x6f {
		w.c.fail(ErrUnsupported, "value type %#x", t)
	}
}

// memArg reads alignment and offset. Bit 6 of the alignment (multi-memory)
// would bring a third number.
func (w *walker) memArg() {
	if align := w.c.u32(); w.c.err == nil && align > 4 {
		w.c.fail(ErrUnsupported, "memory alignment %d", align)
	}
	w.c.u32()
}

// zero reads a reserved zero byte.
func (w *walker) zero() {
	if b := w.c.byte(); w.c.err == nil && b != 0 {
		w.c.fail(ErrUnsupported, "reserved byte %#x", b)
	}
}

// function reads a function index that the import of refuel may shift.
func (w *walker) function() {
	start := w.c.pos
	i := w.m.funcIndex(w.c)
	if w.c.err == nil && i >= w.m.nImpFuncs {
		w.plan.edits = append(w.plan.edits, edit{kind: editIndex, at: start, end: w.c.pos, value: w.m.shift(i)})
	}
}

// Costs that depend on an operand, as a shift of it: a unit of fuel stands for
// about one nanosecond, in which eight bytes are moved.
const (
	shiftBytes   = 3
	shiftEntries = 0
	// weightGrow is added for growing a memory or a table, which may move it.
	weightGrow = 1 << 15
	// weightEntry is added for entering a function: frame, stack check, and the
	// growth of the stack that recursion brings.
	weightEntry = 10
)

// charge plans a charge by the operand on top of the stack before start.
func (w *walker) charge(start int, shift uint32) {
	w.plan.bulk = true
	w.plan.edits = append(w.plan.edits, edit{kind: editBulk, at: start, end: start, value: shift})
}

// memorySize reads memory.size or memory.grow.
func (w *walker) memorySize(op byte, start int) {
	w.zero()
	if op == opMemoryGrow {
		w.plan.weights[w.frames[len(w.frames)-1].region] += weightGrow
		w.charge(start, shiftEntries)
	}
}

// misc reads the instructions behind the prefix 0xfc. The operand that is
// charged is on top of the stack for all of them.
func (w *walker) misc(start int) {
	c := w.c
	switch sub := c.byte(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncation
	case 8: // memory.init
		w.charge(start, shiftBytes)
		c.u32()
		w.zero()
	case 9, 13: // data.drop, elem.drop
		c.u32()
	case 10: // memory.copy
		w.charge(start, shiftBytes)
		w.zero()
		w.zero()
	case 11: // memory.fill
		w.charge(start, shiftBytes)
		w.zero()
	case 12, 14: // table.init, table.copy
		w.charge(start, shiftEntries)
		c.u32()
		c.u32()
	case 15: // table.grow
		w.plan.weights[w.frames[len(w.frames)-1].region] += weightGrow
		w.charge(start, shiftEntries)
		c.u32()
	case 16: // table.size
		c.u32()
	case 17: // table.fill
		w.charge(start, shiftEntries)
		c.u32()
	default:
		c.fail(ErrUnsupported, "instruction fc %#x", sub)
	}
}

// simd reads the instructions behind the prefix 0xfd. The runtime takes the
// opcode as one byte and the second byte of a number above 0x7f, always 1, as a
// nop; so the number must be canonical, or the two would read different code.
func (w *walker) simd() {
	c := w.c
	sub := c.byte()
	if sub >= 0x80 {
		if next := c.byte(); c.err == nil && next != 1 {
			c.fail(ErrUnsupported, "instruction fd %#x %#x", sub, next)
		}
		return
	}
	switch {
	case sub <= 0x0b, sub == 0x5c, sub == 0x5d: // loads and stores
		w.memArg()
	case sub == 0x0c, sub == 0x0d: // v128.const, i8x16.shuffle
		c.bytes(16)
	case sub >= 0x15 && sub <= 0x22: // lanes
		c.byte()
	case sub >= 0x54 && sub <= 0x5b: // loads and stores of a lane
		w.memArg()
		c.byte()
	}
}
