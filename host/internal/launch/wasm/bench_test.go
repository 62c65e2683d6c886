package wasm

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// The benchmarks of this file print the figures of the plugin contract. Each
// runs the compared ways in turns of short slices, so that other work on the
// machine touches all of them alike; compare the ratios.

// benchEvent is an event of about 570 bytes on the wire.
func benchEvent() sdk.Event {
	ev := said("mark " + strings.Repeat("what light through yonder window breaks ", 5))
	it := *ev.Item()
	it.URL, it.Native = "https://example.net/item/1", map[string][]byte{"xmpp": []byte(strings.Repeat("x", 120))}
	return ev.WithItem(it)
}

// nativeEcho copies a request in and a reply out, as the border does.
func nativeEcho(guest, req, dst []byte) []byte {
	copy(guest, req)
	return append(dst, guest[:len(req)]...)
}

// timed runs f in a slice and adds the processor time that it took.
func timed(total *time.Duration, n int, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := cpuTime()
	for range n {
		f()
	}
	*total += cpuTime() - start
}

// loadPlain loads a module without metering.
func loadPlain(b *testing.B, bin []byte, o LoadOptions) *Link {
	b.Helper()
	o.Trusted = true
	return open(b, load(b, sharedHost, bin, o), newFakeHost())
}

// loadInterrupted loads a module with the runtime's own interruption.
func loadInterrupted(b *testing.B, bin []byte, o LoadOptions) *Link {
	b.Helper()
	code, err := sharedHost.build(mustInspect(b, bin), bin, instanceOptions{memory: DefaultMemory, initTime: DefaultInitTime})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(code.release)
	return open(b, &Plugin{host: sharedHost, opts: o, code: code}, newFakeHost())
}

// BenchmarkBorder is the border itself: one request in, the same bytes out.
func BenchmarkBorder(b *testing.B) {
	const slice = 2000
	o := LoadOptions{Name: "raw.wasm", Shards: 1, Manifest: sdk.Manifest{ID: "raw", Facets: []string{"filter"}}}
	ev := benchEvent()
	req := codec.AppendEvent(nil, &ev)
	dst, mem := make([]byte, 0, 4096), make([]byte, 4096)
	var insts []*instance
	for _, l := range []*Link{rawLink(b), loadPlain(b, rawGuest, o), loadInterrupted(b, rawGuest, o)} {
		if _, err := ask(l, "x"); err != nil {
			b.Fatal(err)
		}
		inst := l.shards[0].inst
		inst.answer(b, 1, nil)
		insts = append(insts, inst)
	}
	ctx := context.Background()
	var times [4]time.Duration
	n := 0
	for b.Loop() {
		timed(&times[0], slice, func() { dst = nativeEcho(mem, req, dst[:0]) })
		for i, inst := range insts {
			timed(&times[i+1], slice, func() {
				var err error
				if dst, err = inst.do(ctx, callFilter, time.Second, req, dst[:0]); err != nil || len(dst) != len(req) {
					b.Fatal(len(dst), err)
				}
			})
		}
		n += slice
	}
	allocs := testing.AllocsPerRun(1000, func() { dst, _ = insts[0].do(ctx, callFilter, time.Second, req, dst[:0]) })
	per := func(i int) float64 { return float64(times[i].Nanoseconds()) / float64(n) }
	b.ReportMetric(float64(len(req)), "bytes")
	b.ReportMetric(per(0), "native-ns")
	b.ReportMetric(per(1), "metered-ns")
	b.ReportMetric(per(2), "plain-ns")
	b.ReportMetric(per(1)/per(0), "metered/native")
	b.ReportMetric(per(1)/per(2), "metered/plain")
	b.ReportMetric(per(3)/per(2), "interrupted/plain")
	b.ReportMetric(allocs, "allocs/echo")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGoGuest is a Go guest that reads the text of the event by a lazy view
// and replies with a patch of text and tags; then the whole filter call with encoding and merging,
// and that with the bytes that are there already.
func BenchmarkGoGuest(b *testing.B) {
	const slice = 500
	ev := benchEvent()
	encoded := [][]byte{codec.AppendEvent(nil, &ev)}
	req := appendMessage(nil, callFilter, func(d []byte) []byte { return append(d, encoded[0]...) })
	o := leanOptions()
	metered := open(b, load(b, sharedHost, leanGuest, o), newFakeHost())
	plain, interrupted := loadPlain(b, leanGuest, o), loadInterrupted(b, leanGuest, o)
	ctx := context.Background()
	dst := make([]byte, 0, 4096)
	var times [6]time.Duration
	n := 0
	for _, l := range []*Link{metered, plain, interrupted} {
		if _, err := ask(l, "mark warm"); err != nil {
			b.Fatal(err)
		}
	}
	native := func() {
		it := *ev.Item()
		it.Text, it.Tags = &sdk.Text{Plain: "marked"}, append(it.Tags[:len(it.Tags):len(it.Tags)], "seen")
		sinkEvent = ev.WithItem(it)
	}
	for b.Loop() {
		timed(&times[0], slice, native)
		for i, l := range []*Link{metered, plain, interrupted} {
			timed(&times[i+1], slice, func() {
				var err error
				if dst, err = l.shards[0].inst.do(ctx, callFilter, time.Second, req, dst[:0]); err != nil || len(dst) == 0 {
					b.Fatal(err)
				}
			})
		}
		timed(&times[4], slice, func() {
			if _, err := metered.Facets().Filter.Filter(ctx, []sdk.Event{ev}); err != nil {
				b.Fatal(err)
			}
		})
		timed(&times[5], slice, func() {
			if _, err := (facetLink{metered}).FilterRaw(ctx, encoded, []sdk.Event{ev}); err != nil {
				b.Fatal(err)
			}
		})
		n += slice
	}
	per := func(i int) float64 { return float64(times[i].Nanoseconds()) / float64(n) }
	b.ReportMetric(per(0), "native-ns")
	b.ReportMetric(per(1), "metered-ns")
	b.ReportMetric(per(2), "plain-ns")
	b.ReportMetric(per(4), "filter-ns")
	b.ReportMetric(per(5), "filter-raw-ns")
	b.ReportMetric(per(1)/per(0), "metered/native")
	b.ReportMetric(per(1)/per(2), "metered/plain")
	b.ReportMetric(per(3)/per(2), "interrupted/plain")
	b.ReportMetric(0, "ns/op")
}

var sinkEvent sdk.Event

// leanOptions are options for the lean Go guest with one instance.
func leanOptions() LoadOptions {
	return LoadOptions{Name: "leanguest.wasm", Shards: 1, Manifest: sdk.Manifest{ID: "lean", Facets: []string{"filter"}}}
}

// BenchmarkStart times the first load of a Go module (cold), a load with the
// cache on disk from another process's run (warm), and an instance.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	ctx := context.Background()
	var cold, warm, instance time.Duration
	var cpu [2]time.Duration
	n := 0
	for b.Loop() {
		n++
		sub := filepath.Join(dir, "c")
		for i, total := range []*time.Duration{&cold, &warm} {
			start, busy := time.Now(), processTime()
			h, err := NewHost(Options{Dir: sub})
			if err != nil {
				b.Fatal(err)
			}
			p, err := h.Load(ctx, leanGuest, leanOptions())
			if err != nil {
				b.Fatal(err)
			}
			l, err := p.OpenLink(sdk.Config{Link: "guest"}, newFakeHost())
			if err != nil {
				b.Fatal(err)
			}
			*total += time.Since(start)
			cpu[i] += processTime() - busy
			if i == 1 {
				start = time.Now()
				if _, err := ask(l, "x"); err != nil {
					b.Fatal(err)
				}
				instance += time.Since(start)
			}
			l.Close()
			p.Close()
			if err := h.Close(ctx); err != nil {
				b.Fatal(err)
			}
		}
		_ = os.RemoveAll(sub)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(n) }
	b.ReportMetric(float64(len(leanGuest))/1e6, "MB")
	b.ReportMetric(ms(cold), "cold-ms")
	b.ReportMetric(ms(warm), "warm-ms")
	b.ReportMetric(ms(cpu[0]), "cold-cpu-ms")
	b.ReportMetric(ms(cpu[1]), "warm-cpu-ms")
	b.ReportMetric(ms(instance), "first-call-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkNeighbour is the 99th percentile of a link's calls alone and while
// another link's guest loops without end.
func BenchmarkNeighbour(b *testing.B) {
	good := open(b, load(b, sharedHost, leanGuest, leanOptions()), newFakeHost())
	bad, _ := goLink(b)
	for _, l := range []*Link{good, bad} {
		if _, err := ask(l, "mark warm"); err != nil {
			b.Fatal(err)
		}
	}
	p99 := func() time.Duration {
		took := make([]time.Duration, 2000)
		for i := range took {
			start := time.Now()
			if _, err := ask(good, "mark me"); err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(start)
			time.Sleep(50 * time.Microsecond) // a link between events
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	var alone, beside time.Duration
	n := time.Duration(0)
	for b.Loop() {
		alone += p99()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = ask(bad, "loop")
			}
		})
		beside += p99()
		cancel()
		wg.Wait()
		n++
	}
	b.ReportMetric(float64((alone / n).Nanoseconds()), "alone-p99-ns")
	b.ReportMetric(float64((beside / n).Nanoseconds()), "beside-p99-ns")
	b.ReportMetric(float64(beside)/float64(alone), "beside/alone")
	b.ReportMetric(0, "ns/op")
}
