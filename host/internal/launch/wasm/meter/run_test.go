package meter

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const testFeatures = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

var errStopped = errors.New("stopped by the meter")

// gauge is the host's side of the meter for tests.
type gauge struct {
	deadline time.Time
	refuels  int
	max      int   // refuels before a stop; 0 = by deadline
	fuel     int64 // given each time
}

func (g *gauge) refuel(_ context.Context, _ api.Module, stack []uint64) {
	g.refuels++
	if (g.max > 0 && g.refuels > g.max) || (g.max == 0 && !time.Now().Before(g.deadline)) {
		panic(errStopped)
	}
	stack[0] = uint64(g.fuel)
}

// newRuntime returns a runtime with the meter's import bound to g.
func newRuntime(tb testing.TB, cfg wazero.RuntimeConfig, g *gauge) wazero.Runtime {
	tb.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, cfg.WithCoreFeatures(testFeatures).WithDebugInfoEnabled(false))
	tb.Cleanup(func() { _ = r.Close(ctx) })
	if g != nil {
		_, err := r.NewHostModuleBuilder(ModuleName).NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(g.refuel), nil, []api.ValueType{api.ValueTypeI64}).
			Export(RefuelName).Instantiate(ctx)
		if err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// instantiate compiles and instantiates a module that has no name.
func instantiate(r wazero.Runtime, bin []byte) (api.Module, error) {
	ctx := context.Background()
	cm, err := r.CompileModule(ctx, bin)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	mod, err := r.InstantiateModule(ctx, cm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	return mod, nil
}

func mustInstantiate(tb testing.TB, r wazero.Runtime, bin []byte) api.Module {
	tb.Helper()
	mod, err := instantiate(r, bin)
	if err != nil {
		tb.Fatal(err)
	}
	return mod
}

func mustRewrite(tb testing.TB, bin []byte) []byte {
	tb.Helper()
	out, err := Rewrite(bin, Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
