package meter

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// FuzzRewrite holds four things for any bytes: nothing panics; a module that the
// runtime accepts and Rewrite takes is accepted again after rewriting; one that
// the runtime refuses stays refused; and calls that end within bounded fuel give
// the same result as without metering.
func FuzzRewrite(f *testing.F) {
	for _, bin := range hostile() {
		f.Add(bin)
	}
	f.Add(readFile(f, "corpus.wasm"))
	f.Add(readFile(f, "corpus_O0.wasm"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	m := newModule()
	m.globals = [][]byte{{0x7e, 1, opI64Const, 0, opEnd}}
	m.fn("f", 1, nil, opLocalGet, 0, opI64Const, 5, opGlobalSet, 0)
	m.fn("g", 1, nil, opLocalGet, 0, opI32Const, 3, opCall, 0, 0x6a)
	f.Add(m.bytes())
	limits := Limits{MemoryPages: 16, TableEntries: 1000}
	f.Fuzz(func(t *testing.T, bin []byte) {
		mod, err := Inspect(bin, limits)
		if err != nil {
			return
		}
		g := &gauge{fuel: 1000, max: 50}
		r := newRuntime(t, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(16), g)
		ctx := context.Background()
		out, rewriteErr := mod.Rewrite()
		if rewriteErr == nil {
			// The runtime refuses a declared maximum above its own limit; Rewrite lowers it.
			wide := newRuntime(t, wazero.NewRuntimeConfigInterpreter(), nil)
			_, plainErr := wide.CompileModule(ctx, bin)
			cm, meteredErr := r.CompileModule(ctx, out)
			if (plainErr == nil) != (meteredErr == nil) && !bodiless(plainErr) {
				t.Fatalf("plain: %v\nmetered: %v", plainErr, meteredErr)
			}
			if meteredErr == nil && len(mod.Imports) == 0 {
				compareCalls(t, r, g, bin, cm)
			}
		}
	})
}

// bodiless reports faults of sections that rewriting leaves out.
func bodiless(err error) bool { return err != nil && strings.Contains(err.Error(), "custom") }

// compareCalls calls every exported function metered, and plain when it ended.
func compareCalls(t *testing.T, r wazero.Runtime, g *gauge, bin []byte, cm wazero.CompiledModule) {
	ctx := context.Background()
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	metered, err := r.InstantiateModule(ctx, cm, cfg)
	if err != nil {
		return
	}
	plainCM, err := r.CompileModule(ctx, bin)
	if err != nil || bytes.Contains(bin, []byte{opPrefixMisc, 15}) { // limits of memory and tables differ
		return
	}
	plain, err := r.InstantiateModule(ctx, plainCM, cfg)
	if err != nil {
		t.Fatalf("plain module: %v", err)
	}
	for name, def := range cm.ExportedFunctions() {
		args := make([]uint64, len(def.ParamTypes()))
		for i := range args {
			args[i] = uint64(i*7 + 3)
			if pt := def.ParamTypes()[i]; pt == api.ValueTypeExternref || pt == 0x70 || pt == 0x7b {
				return
			}
		}
		g.refuels = 0
		got, gotErr := metered.ExportedFunction(name).Call(ctx, args...)
		if errors.Is(gotErr, errStopped) || (gotErr != nil && strings.Contains(gotErr.Error(), "stack overflow")) {
			return
		}
		want, wantErr := plain.ExportedFunction(name).Call(ctx, args...)
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("%s: metered %v, plain %v", name, gotErr, wantErr)
		}
		if gotErr != nil {
			return // state after a trap need not be compared
		}
		for i, rt := range def.ResultTypes() {
			if got[i] != want[i] && !bothNaN(rt, got[i], want[i]) && rt != 0x70 {
				t.Fatalf("%s: result %d is %#x metered, %#x plain", name, i, got[i], want[i])
			}
		}
	}
}

// bothNaN reports results that differ only in the bits of a NaN.
func bothNaN(t api.ValueType, a, b uint64) bool {
	switch t {
	case api.ValueTypeF32:
		x, y := math.Float32frombits(uint32(a)), math.Float32frombits(uint32(b))
		return x != x && y != y
	case api.ValueTypeF64:
		return math.IsNaN(math.Float64frombits(a)) && math.IsNaN(math.Float64frombits(b))
	default:
		return t == 0x7b // vectors come as two results
	}
}
