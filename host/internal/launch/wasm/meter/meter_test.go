package meter

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestCorpusSame runs every exported function of the compiled corpus metered and
// plain and compares results and the memory afterwards.
func TestCorpusSame(t *testing.T) {
	for _, name := range []string{"corpus.wasm", "corpus_O0.wasm"} {
		for engine, cfg := range map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				bin := readFile(t, name)
				g := &gauge{deadline: time.Now().Add(time.Minute), fuel: 1000}
				r := newRuntime(t, cfg, g)
				plain, metered := mustInstantiate(t, r, bin), mustInstantiate(t, r, mustRewrite(t, bin))
				compareModules(t, plain, metered)
				if g.refuels == 0 {
					t.Error("the metered module never asked for fuel")
				}
			})
		}
	}
}

func compareModules(t *testing.T, plain, metered api.Module) {
	t.Helper()
	ctx := context.Background()
	n := 0
	for name, def := range plain.ExportedFunctionDefinitions() {
		if len(def.ParamTypes()) != 1 || len(def.ResultTypes()) != 1 {
			continue
		}
		n++
		for _, arg := range []uint64{0, 1, 2, 7, 19, 100, 255, 4095, 65537, 0x7fffffff, 0x80000000, 0xffffffff} {
			want, wantErr := plain.ExportedFunction(name).Call(ctx, arg)
			got, gotErr := metered.ExportedFunction(name).Call(ctx, arg)
			if (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("%s(%d): plain error %v, metered error %v", name, arg, wantErr, gotErr)
			}
			if wantErr == nil && got[0] != want[0] {
				t.Errorf("%s(%d) = %d metered, %d plain", name, arg, got[0], want[0])
			}
		}
	}
	if n < 12 {
		t.Errorf("compared %d functions, want all 12 of the corpus", n)
	}
	a, _ := plain.Memory().Read(0, plain.Memory().Size())
	b, _ := metered.Memory().Read(0, metered.Memory().Size())
	if string(a) != string(b) {
		t.Error("memories differ after the same calls")
	}
}

// TestStopped asserts that hostile modules end soon after their deadline. What
// counts is the processor time of the best of three runs, since other programs
// may hold the processors; it is never more than what the clock shows.
func TestStopped(t *testing.T) {
	const deadline, grace = 30 * time.Millisecond, 50 * time.Millisecond
	for name, bin := range hostile() {
		t.Run(name, func(t *testing.T) {
			metered := mustRewrite(t, bin)
			best := time.Hour
			for try := 0; try < 3 || try < 10 && best > deadline+grace; try++ {
				best = min(best, runHostile(t, metered, deadline))
			}
			if best > deadline+grace {
				t.Errorf("stopped after %v, want at most %v", best, deadline+grace)
			}
			t.Logf("stopped after %v (deadline %v)", best, deadline)
		})
	}
}

// runHostile runs a metered module once and returns the time that it took until it was stopped.
func runHostile(t *testing.T, metered []byte, deadline time.Duration) time.Duration {
	t.Helper()
	g := &gauge{fuel: 100_000}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(512), g)
	cm, err := r.CompileModule(context.Background(), metered)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := cpuTime()
	g.deadline = time.Now().Add(deadline)
	mod, err := r.InstantiateModule(context.Background(), cm, wazero.NewModuleConfig().WithStartFunctions())
	if err == nil {
		_, err = mod.ExportedFunction("run").Call(context.Background())
	}
	took := cpuTime() - start
	if err == nil {
		t.Fatal("returned without an error")
	}
	if !errors.Is(err, errStopped) && !strings.Contains(err.Error(), "stack overflow") {
		t.Errorf("error %v, want a stop", err)
	}
	return took
}

// TestSelfFuelling asserts that a module cannot reach the counter.
func TestSelfFuelling(t *testing.T) {
	cases := map[string]func(m *module){
		"sets the global behind its own": func(m *module) {
			m.fn("run", 0, nil, opLoop, 0x40, opI64Const, 0xff, 0xff, 0xff, 0xff, 7, opGlobalSet, 1, opBr, 0, opEnd)
		},
		"reads the global behind its own": func(m *module) { m.fn("run", 2, nil, opGlobalGet, 1) },
		"exports the global behind its own": func(m *module) {
			m.fn("run", 0, nil)
			m.exports = append(m.exports, cat(str("fuel"), []byte{3, 1}))
		},
		"initialises from the global behind its own": func(m *module) {
			m.fn("run", 0, nil)
			m.globals = append(m.globals, []byte{0x7e, 0, opGlobalGet, 2, opEnd})
		},
		"imports refuel": func(m *module) {
			m.imports = append(m.imports, cat(str(ModuleName), str(RefuelName), []byte{0, 2}))
			m.fn("run", 0, nil)
		},
		"imports a global of the meter": func(m *module) {
			m.imports = append(m.imports, cat(str(ModuleName), str("g"), []byte{3, 0x7e, 1}))
			m.fn("run", 0, nil)
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			m := newModule()
			m.globals = [][]byte{{0x7e, 1, opI64Const, 0, opEnd}}
			build(m)
			if _, err := Rewrite(m.bytes(), Limits{}); !errors.Is(err, ErrReserved) {
				t.Errorf("error %v, want %v", err, ErrReserved)
			}
		})
	}
}

// TestShift asserts that every kind of function index is shifted: a module whose
// functions are reached by call, table, export, ref.func, start and names gives
// the same results with an import in front of them.
func TestShift(t *testing.T) {
	m := newModule()
	m.imports = [][]byte{cat(str("env"), str("host"), []byte{0, 1})}
	m.tables = [][]byte{{0x70, 0, 4}}
	m.globals = [][]byte{{0x70, 0, opRefFunc, 2, opEnd}, {0x7f, 1, opI32Const, 0, opEnd}}
	m.fn("a", 1, nil, opLocalGet, 0, opI32Const, 1, 0x6a)                                                        // 1
	m.fn("b", 1, nil, opLocalGet, 0, opCall, 1, opCall, 0)                                                       // 2
	m.fn("c", 1, nil, opLocalGet, 0, opI32Const, 0, opCallInd, 1, 0)                                             // 3, through table 0
	m.fn("d", 1, nil, opI32Const, 2, opRefFunc, 1, opTableSet, 0, opLocalGet, 0, opI32Const, 2, opCallInd, 1, 0) // 4
	m.fn("e", 1, nil, opLocalGet, 0, opI32Const, 3, opCallInd, 1, 0)                                             // 5
	m.fn("f", 1, nil, opGlobalGet, 1)                                                                            // 6
	m.fn("s", 0, nil, opI32Const, 42, opGlobalSet, 1)                                                            // 7
	m.fn("g", 3, nil, opLocalGet, 1, opLocalGet, 0)                                                              // 8: swaps
	m.start = []byte{7}
	m.elems = [][]byte{
		{0, opI32Const, 0, opEnd, 2, 2, 1},                // indexes
		{4, opI32Const, 3, opEnd, 1, opRefFunc, 2, opEnd}, // expressions
		{3, 0, 1, 1}, // declared, for ref.func
		{5, 0x70, 2, opRefFunc, 3, opEnd, opRefNull, 0x70, opEnd}, // passive expressions
		{1, 0, 2, 3, 4}, // passive
		{6, 0, opI32Const, 1, opEnd, 0x70, 1, opRefNull, 0x70, opEnd}, // explicit table
	}
	m.custom = [][]byte{cat(str("name"), section1(1, vec([][]byte{cat([]byte{0}, str("host")), cat([]byte{1}, str("alpha"))})),
		section1(2, vec([][]byte{cat([]byte{1}, vec([][]byte{cat([]byte{0}, str("x"))}))})))}
	bin := m.bytes()
	g := &gauge{fuel: 10, deadline: time.Now().Add(time.Minute)}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler(), g)
	ctx := context.Background()
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(v uint32) uint32 { return v * 10 }).
		Export("host").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	rewritten := mustRewrite(t, bin)
	plain, metered := mustInstantiate(t, r, bin), mustInstantiate(t, r, rewritten)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		want, err := plain.ExportedFunction(name).Call(ctx, 5)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := metered.ExportedFunction(name).Call(ctx, 5)
		if err != nil || got[0] != want[0] {
			t.Errorf("%s(5) = %v, %v metered; want %v", name, got, err, want)
		}
	}
	if got, _ := metered.ExportedFunction("b").Call(ctx, 5); got[0] != 60 {
		t.Errorf("b(5) = %d, want 60", got[0])
	}
	if name := metered.ExportedFunction("a").Definition().DebugName(); !strings.Contains(name, "alpha") {
		t.Errorf("debug name %q, want the name alpha kept", name)
	}
	if metered.ExportedGlobal("fuel") != nil || len(metered.(interface {
		ExportedFunctionDefinitions() map[string]api.FunctionDefinition
	}).ExportedFunctionDefinitions()) != 8 {
		t.Error("the rewritten module exports something new")
	}
}

func section1(id byte, body []byte) []byte { return appendSection(nil, id, body) }

// TestRefused names the inputs that must not reach another decoder.
func TestRefused(t *testing.T) {
	big := newModule()
	big.mems = [][]byte{{0, 0x81, 4}} // 513 pages
	table := newModule()
	table.tables = [][]byte{cat([]byte{0x70, 0}, appendU32(nil, 1<<27))}
	many := newModule()
	for range 100_001 {
		many.funcs = append(many.funcs, []byte{0})
	}
	locals := newModule()
	locals.fn("f", 0, cat([]byte{1}, appendU32(nil, 1<<31), []byte{0x7f}))
	nameBomb := newModule()
	nameBomb.custom = [][]byte{cat(str("name"), section1(1, appendU32(nil, 0xffffffff)))}
	typed := newModule()
	typed.fn("f", 0, nil, 0x14, 0) // call_ref
	atomic := newModule()
	atomic.fn("f", 0, nil, 0xfe, 3, 0)
	overlong := newModule()
	overlong.fn("f", 0, nil, opPrefixSIMD, 0x8c, 0) // would be v128.const for one reader and another instruction for the other
	cases := []struct {
		name string
		bin  []byte
		want error
	}{
		{"empty", nil, ErrMalformed},
		{"text", []byte("(module)"), ErrMalformed},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), ErrComponent},
		{"version 2", []byte("\x00asm\x02\x00\x00\x00"), ErrMalformed},
		{"nine mebibytes", make([]byte, 9<<20), ErrLimit},
		{"memory of 513 pages", big.bytes(), ErrLimit},
		{"table of 2^27", table.bytes(), ErrLimit},
		{"100,001 functions", many.bytes(), ErrLimit},
		{"2^31 locals", locals.bytes(), ErrLimit},
		{"name section that promises 2^32 names", nameBomb.bytes(), ErrMalformed},
		{"typed function references", typed.bytes(), ErrUnsupported},
		{"atomics", atomic.bytes(), ErrUnsupported},
		{"overlong vector opcode", overlong.bytes(), ErrUnsupported},
		{"section out of order", cat([]byte("\x00asm\x01\x00\x00\x00"), section1(3, []byte{0}), section1(1, []byte{0})), ErrMalformed},
		{"section twice", cat([]byte("\x00asm\x01\x00\x00\x00"), section1(1, []byte{0}), section1(1, []byte{0})), ErrMalformed},
		{"tag section", cat([]byte("\x00asm\x01\x00\x00\x00"), section1(13, []byte{0})), ErrUnsupported},
		{"truncated section", []byte("\x00asm\x01\x00\x00\x00\x01\x05\x01"), ErrMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Rewrite(c.bin, Limits{}); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// TestLimitsLowered asserts that declared maxima are brought down to the limits.
func TestLimitsLowered(t *testing.T) {
	m := newModule()
	m.mems = [][]byte{cat([]byte{1, 1}, appendU32(nil, 65536))}
	m.tables = [][]byte{{0x70, 0, 1}}
	m.fn("run", 1, nil, opLocalGet, 0, opMemoryGrow, 0)
	m.fn("table", 1, nil, opRefNull, 0x70, opLocalGet, 0, opPrefixMisc, 15, 0)
	out, err := Rewrite(m.bytes(), Limits{MemoryPages: 4, TableEntries: 10})
	if err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler(), &gauge{fuel: 1 << 20, deadline: time.Now().Add(time.Minute)})
	mod := mustInstantiate(t, r, out)
	for _, c := range []struct {
		name string
		arg  uint64
		want int32
	}{{"run", 4, -1}, {"run", 3, 1}, {"run", 1, -1}, {"table", 10, -1}, {"table", 9, 1}, {"table", 1, -1}} {
		got, err := mod.ExportedFunction(c.name).Call(context.Background(), c.arg)
		if err != nil || int32(got[0]) != c.want {
			t.Errorf("%s(%d) = %v, %v; want %d", c.name, c.arg, got, err, c.want)
		}
	}
}
