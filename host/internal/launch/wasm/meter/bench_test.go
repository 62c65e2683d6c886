package meter

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// BenchmarkRatio times functions of the corpus plain, metered, and with the
// runtime's own interruption, in interleaved slices, and reports the ratios to plain.
func BenchmarkRatio(b *testing.B) {
	bin := readFile(b, "corpus.wasm")
	for _, c := range []struct {
		name string
		arg  uint64
	}{{"fib", 15}, {"sieve", 4000}, {"switch", 77}, {"indirect", 9}, {"floats", 12}, {"simd", 5}, {"bulk", 2000}, {"sort", 250}, {"grow", 0}} {
		b.Run(c.name, func(b *testing.B) { ratio(b, bin, c.name, c.arg) })
	}
}

func ratio(b *testing.B, bin []byte, name string, arg uint64) {
	g := &gauge{deadline: time.Now().Add(time.Hour), fuel: 100_000}
	r := newRuntime(b, wazero.NewRuntimeConfigCompiler(), g)
	plain := mustInstantiate(b, r, bin).ExportedFunction(name)
	metered := mustInstantiate(b, r, mustRewrite(b, bin)).ExportedFunction(name)
	rc := newRuntime(b, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(true), nil)
	closing := mustInstantiate(b, rc, bin).ExportedFunction(name)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var times [3]time.Duration
	n := 0
	for b.Loop() {
		for i, f := range []api.Function{plain, metered, closing} {
			c := context.Background()
			if i == 2 {
				c = ctx
			}
			times[i] += slice(b, c, f, arg)
		}
		n += sliceLen
	}
	b.ReportMetric(float64(times[0].Nanoseconds())/float64(n), "plain-ns")
	b.ReportMetric(float64(times[1].Nanoseconds())/float64(n), "metered-ns")
	b.ReportMetric(float64(times[1])/float64(times[0]), "metered/plain")
	b.ReportMetric(float64(times[2])/float64(times[0]), "closeOnDone/plain")
}

const sliceLen = 50

func slice(b *testing.B, ctx context.Context, f api.Function, arg uint64) time.Duration {
	stack := make([]uint64, 1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := cpuTime()
	for range sliceLen {
		stack[0] = arg
		if err := f.CallWithStack(ctx, stack); err != nil {
			b.Fatal(err)
		}
	}
	return cpuTime() - start
}
