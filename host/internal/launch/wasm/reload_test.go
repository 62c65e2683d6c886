package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"bridgehost/sdk"
)

// variant gives the raw module another digest by a custom section.
func variant(bin []byte, n int) []byte {
	text := fmt.Sprintf("v%06d", n)
	out := append([]byte{}, bin...)
	out = append(out, 0, byte(len(text)+2), 1, 'x')
	return append(out, text...)
}

// TestReloadFlat reloads a link 1,000 times, to modules that differ, under
// calls; goroutines and memory stay flat and no call goes astray.
func TestReloadFlat(t *testing.T) {
	h, err := NewHost(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(context.Background())
	ctx := context.Background()
	o := LoadOptions{Name: "raw.wasm", Shards: 2, Manifest: sdk.Manifest{ID: "raw", Facets: []string{"filter"}}}
	first, err := h.Load(ctx, rawGuest, o)
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, first, newFakeHost())
	first.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var calls sync.Mutex // held while memory is measured: what calls allocate is not what reloads keep
	call := func() error {
		calls.Lock()
		defer calls.Unlock()
		_, err := ask(l, "x")
		return err
	}
	measure := func() [2]int64 {
		calls.Lock()
		defer calls.Unlock()
		return settled(t)
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := call(); err != nil {
					t.Errorf("call during reload: %v", err)
					return
				}
			}
		}
	})
	reload := func(n int) {
		p, err := h.Load(ctx, variant(rawGuest, n), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Reload(ctx, p); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	for n := range 100 {
		reload(n)
	}
	goroutines, before := runtime.NumGoroutine(), measure()
	for n := range 1000 {
		reload(100 + n%300)
	}
	after := measure()
	close(stop)
	wg.Wait()
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines after, %d before", got, goroutines)
	}
	t.Logf("heap %d KiB before, %d KiB after; resident %d MiB before, %d MiB after", before[0]>>10, after[0]>>10, before[1]>>20, after[1]>>20)
	if after[0] > before[0]+1<<20 {
		t.Errorf("heap grew by %d KiB in 1,000 reloads", (after[0]-before[0])>>10)
	}
	if after[1] > before[1]+16<<20 {
		t.Errorf("resident size grew by %d MiB in 1,000 reloads", (after[1]-before[1])>>20)
	}
}

// settled returns heap in use and resident size after collections.
func settled(tb testing.TB) [2]int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [2]int64{int64(m.HeapAlloc), rss(tb)}
}

// TestReloadKeepsOld: a module that does not open leaves the link as it was.
func TestReloadKeepsOld(t *testing.T) {
	l := rawLink(t)
	o := guestOptions()
	o.Manifest.Facets = nil
	p := load(t, sharedHost, goGuest, o)
	l.cfg.JSON = []byte(`{"refuse":1}`)
	err := l.Reload(context.Background(), p)
	if err == nil {
		t.Fatal("reload to a module that refuses its configuration succeeded")
	}
	if _, err := ask(l, "x"); err != nil {
		t.Errorf("after a reload that did not succeed: %v", err)
	}
	l.Close()
	if err := l.Reload(context.Background(), p); err == nil {
		t.Error("reload of a closed link succeeded")
	}
	if _, err := ask(l, "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("call of a closed link: %v", err)
	}
}
