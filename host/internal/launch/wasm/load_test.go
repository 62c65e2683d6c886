package wasm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// FuzzLoad loads, opens and calls mutated modules: whatever they do, the host
// gets an error or a verdict in time.
func FuzzLoad(f *testing.F) {
	f.Add(rawGuest)
	f.Add(variant(rawGuest, 1))
	h, err := NewHost(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, bin []byte) {
		if len(bin) > 1<<16 {
			return
		}
		ctx := context.Background()
		p, err := h.Load(ctx, bin, LoadOptions{Name: "fuzz.wasm", Memory: 1 << 20, Time: 20 * time.Millisecond, Shards: 1, Grant: []string{"log"},
			Manifest: sdk.Manifest{ID: "fuzz", Facets: []string{"filter"}, Abilities: []string{"log"}}})
		if err != nil {
			return
		}
		defer p.Close()
		if !p.Metered {
			t.Error("a module without unknown instructions is not metered")
		}
		l, err := p.OpenLink(sdk.Config{Link: "fuzz"}, newFakeHost())
		if err != nil {
			return
		}
		defer l.Close()
		start := time.Now()
		_, _ = ask(l, "x")
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("call took %v", took)
		}
	})
}

// TestKept: the metered form is read back, a damaged one is made anew, and the
// mark of a module that is not valid is never made.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	load := func() {
		t.Helper()
		h, err := NewHost(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(ctx)
		p, err := h.Load(ctx, rawGuest, LoadOptions{Name: "raw.wasm", Manifest: sdk.Manifest{Facets: []string{"filter"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		l, err := p.OpenLink(sdk.Config{Link: "raw"}, newFakeHost())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := ask(l, "x"); err != nil || !p.Metered {
			t.Fatal(err, p.Metered)
		}
	}
	load()
	files, err := filepath.Glob(filepath.Join(dir, "metered", "*.wasm"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	load()
	for name, bad := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "changed": append(append([]byte{}, good[:100]...), append([]byte{good[100] ^ 1}, good[101:]...)...)} {
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		load()
		if again, err := os.ReadFile(files[0]); err != nil || string(again) != string(good) {
			t.Errorf("%s: the file was not written anew (%v)", name, err)
		}
	}
	invalid := append([]byte{}, rawGuest...)
	invalid[len(invalid)/2] ^= 0xff
	h, err := NewHost(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(ctx)
	if p, err := h.Load(ctx, invalid, LoadOptions{Name: "invalid.wasm"}); err == nil {
		p.Close()
	} else if !strings.Contains(err.Error(), "invalid.wasm") {
		t.Errorf("error does not name the module: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(h.opts.Dir, "metered", "*")); len(left) > 1 {
		t.Errorf("left over: %v", left)
	}
}
