package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/sdk"
)

// BenchmarkWholeWayWASM is BenchmarkWholeWay with the example filter shout, a
// Go module with metering that changes every event, in turns with a native
// filter that passes all, so that other work on the machine touches both alike.
func BenchmarkWholeWayWASM(b *testing.B) {
	shout := shoutFilter(b)
	for _, per := range []int{1, 16} {
		b.Run(fmt.Sprintf("publish=%d", per), func(b *testing.B) {
			const n = 20_000
			var module, native time.Duration
			rounds := 0
			for b.Loop() {
				module += pushThrough(b, shout, per, n)
				native += pushThrough(b, passFilter{}, per, n)
				rounds++
			}
			rate := func(d time.Duration) float64 { return float64(rounds) * n / d.Seconds() }
			b.ReportMetric(rate(module), "wasm-events/s")
			b.ReportMetric(rate(native), "native-events/s")
			b.ReportMetric(rate(module)/rate(native), "wasm/native")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// moduleHost is what a filter needs of a host: a log.
type moduleHost struct{ sdk.Host }

func (moduleHost) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "there is no gateway")
}

func (moduleHost) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

// shoutFilter builds, loads and opens the example, as the host does.
func shoutFilter(b *testing.B) sdk.Filter {
	b.Helper()
	path := filepath.Join(b.TempDir(), "shout.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "bridgehost/examples/shout-go")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build shout: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	modules, err := wasm.NewHost(wasm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := modules.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	p, err := modules.Load(b.Context(), binary, wasm.LoadOptions{Name: "shout.wasm", Manifest: sdk.Manifest{ID: "shout", Facets: []string{"filter"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	link, err := p.OpenLink(sdk.Config{Link: "f", JSON: []byte("{}")}, moduleHost{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(link.Close)
	f := sdk.FacetsOf(link).Filter
	if _, ok := f.(filter.RawFilter); !ok {
		b.Fatalf("the filter is a %T, which takes no encoded events", f)
	}
	v, err := f.Filter(b.Context(), []sdk.Event{create("room", "romeo", "1", "hush")})
	if err != nil || v[0].Verb != sdk.Replace || v[0].Event.Item().Body() != "HUSH" {
		b.Fatalf("shout: %+v, %v", v, err)
	}
	return f
}
