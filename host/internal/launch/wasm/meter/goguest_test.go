package meter

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// buildGoGuest compiles testdata/goguest as a reactor.
func buildGoGuest(tb testing.TB) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build guest: %v\n%s", err, msg)
	}
	bin, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return bin
}

// TestGoGuestSame compares a Go module with its runtime, collector, goroutines
// and panics metered and plain.
func TestGoGuestSame(t *testing.T) {
	bin := buildGoGuest(t)
	g := &gauge{deadline: time.Now().Add(time.Minute), fuel: 100_000}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler(), g)
	ctx := context.Background()
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	start := func(bin []byte) api.Module {
		mod := mustInstantiate(t, r, bin)
		if _, err := mod.ExportedFunction("_initialize").Call(ctx); err != nil {
			t.Fatal(err)
		}
		return mod
	}
	began := time.Now()
	out, err := Rewrite(bin, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes rewritten to %d (%.2f) in %v", len(bin), len(out), float64(len(out))/float64(len(bin)), time.Since(began))
	plain, metered := start(bin), start(out)
	for _, name := range []string{"work", "routines", "recovers"} {
		for arg := range uint64(40) {
			want, err := plain.ExportedFunction(name).Call(ctx, arg)
			if err != nil {
				t.Fatal(name, err)
			}
			got, err := metered.ExportedFunction(name).Call(ctx, arg)
			if err != nil || got[0] != want[0] {
				t.Fatalf("%s(%d) = %v, %v metered; want %v", name, arg, got, err, want)
			}
		}
	}
}
