// Package meter gives WebAssembly modules a fuel gauge: it checks a module's
// structure against limits and rewrites its code so that every function entry
// and every loop head pays for the instructions that follow.
//
// The runtime of this host cannot stop a guest that never calls it: a plain
// loop ignores its deadline and, worse, keeps the garbage collector of the
// whole process waiting. The rewritten module counts down a private global;
// when it falls below zero the module calls the host, which looks at the clock
// and either answers with more fuel or ends the call.
//
// Order matters. [Inspect] runs first on foreign bytes: it bounds every count
// before any other decoder allocates for it. Then the original module must be
// validated by the runtime. Only then [Rewrite] runs, and the runtime validates
// its output again when it compiles it. A module can not pay its own fuel: the
// counter is a global beyond those that the module declares, it is neither
// imported nor exported, and an index beyond the declared ones is refused.
package meter

import (
	"errors"
	"fmt"
)

// ModuleName and RefuelName name the one import that Rewrite adds. The import
// takes nothing and returns the new amount of fuel as an i64; it does not
// return at all (it panics) when the call is to be stopped.
const (
	ModuleName = "bh_meter"
	RefuelName = "refuel"
)

// Version changes with every change of what Rewrite writes.
const Version = 2

// Errors that a caller tells apart. Every error of this package wraps one of them.
var (
	// ErrMalformed means that the bytes are not a module of the binary format.
	ErrMalformed = errors.New("malformed module")
	// ErrLimit means that the module is well formed but larger than allowed.
	ErrLimit = errors.New("module exceeds a limit")
	// ErrUnsupported means that the module uses an encoding or an instruction
	// that this package does not know. It cannot be metered; a caller may run it
	// under the runtime's own, slower, interruption instead.
	ErrUnsupported = errors.New("module cannot be metered")
	// ErrReserved means that the module reaches for what belongs to the meter:
	// it imports from bh_meter or names a global that it does not declare.
	ErrReserved = errors.New("module reaches for the meter")
	// ErrComponent means that the bytes are a component-model binary.
	ErrComponent = errors.New("component-model binary")
)

// Limits bounds what a module may contain. The zero value of a field means its
// default in [DefaultLimits].
type Limits struct {
	ModuleBytes   int    // size of the whole binary
	Functions     uint32 // imported and defined
	FunctionBytes uint32 // code size of one function
	Types         uint32
	Imports       uint32
	Exports       uint32
	Globals       uint32 // imported and defined
	Tables        uint32
	TableEntries  uint32 // entries of one table; also becomes its declared maximum
	Locals        uint32 // parameters and locals of one function
	Nesting       uint32 // control blocks inside each other
	DataSegments  uint32 // the Go linker writes tens of thousands
	ElemSegments  uint32
	MemoryPages   uint32 // pages of 64 KiB; a larger declared maximum is lowered to it
}

// DefaultLimits returns the limits used for guests: a module of 8 MiB with at
// most 100,000 functions and 32 MiB of memory (512 pages).
func DefaultLimits() Limits {
	return Limits{
		ModuleBytes:   8 << 20,
		Functions:     100_000,
		FunctionBytes: 1 << 20,
		Types:         20_000,
		Imports:       1_000,
		Exports:       20_000,
		Globals:       20_000,
		Tables:        8,
		TableEntries:  100_000,
		Locals:        50_000,
		Nesting:       20_000,
		DataSegments:  200_000,
		ElemSegments:  20_000,
		MemoryPages:   512,
	}
}

// orDefault fills the fields of l that are zero.
func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.ModuleBytes == 0 {
		l.ModuleBytes = d.ModuleBytes
	}
	fields := [...]struct {
		value *uint32
		def   uint32
	}{
		{&l.Functions, d.Functions}, {&l.FunctionBytes, d.FunctionBytes}, {&l.Types, d.Types},
		{&l.Imports, d.Imports}, {&l.Exports, d.Exports}, {&l.Globals, d.Globals}, {&l.Tables, d.Tables},
		{&l.TableEntries, d.TableEntries}, {&l.Locals, d.Locals}, {&l.Nesting, d.Nesting},
		{&l.DataSegments, d.DataSegments}, {&l.ElemSegments, d.ElemSegments}, {&l.MemoryPages, d.MemoryPages},
	}
	for _, f := range fields {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return l
}

// Import is one entry of a module's import section.
type Import struct {
	Module, Name string
	Kind         Kind
}

// Export is one entry of a module's export section.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Kind says what an import or export is.
type Kind byte

// The kinds of imports and exports.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

// String returns the word of the text format for k.
func (k Kind) String() string {
	names := [...]string{"func", "table", "memory", "global"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// Module is what Inspect learnt about a binary.
type Module struct {
	Imports []Import
	Exports []Export
	// Custom holds the custom sections in order, without those that the debugger uses.
	Custom []Custom

	binary    []byte
	limits    Limits
	sections  []section
	types     []funcType // parameter counts
	funcTypes []uint32   // type index of each defined function
	nImpFuncs uint32
	nFuncs    uint32 // imported and defined
	nGlobals  uint32 // imported and defined
	nTables   uint32
	nMemories uint32
}

// Custom is a custom section.
type Custom struct {
	Name string
	Data []byte
}

// funcType keeps what metering needs of a function type.
type funcType struct {
	params  uint32
	results []byte // value types
}

// section is a slice of the binary with its id. Start is the offset of its
// content, for messages.
type section struct {
	id    byte
	start int
	data  []byte
}

// Section ids of the binary format.
const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secCode      = 10
	secData      = 11
	secDataCount = 12
)

// sectionName returns the name of a section id for messages.
func sectionName(id byte) string {
	names := [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprintf("section %d", id)
}
