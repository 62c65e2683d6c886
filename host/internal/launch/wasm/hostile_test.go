package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/launch/wasm/meter"
	"bridgehost/sdk"
)

// The tests of this file are the cases PL-01 to PL-11 of the security list.

// rss returns the resident size of this process in bytes.
func rss(tb testing.TB) int64 {
	tb.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip("no /proc")
	}
	n, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n * int64(os.Getpagesize())
}

// stopped runs a hostile word three times, or more often while other programs
// hold the processors; each run must fail with one of the
// causes, the fastest within the deadline and 50 ms, and the link must work
// afterwards.
func stopped(t *testing.T, word string, causes ...error) {
	t.Helper()
	l, _ := goLink(t, "log")
	if _, err := ask(l, "warm up"); err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for try := 0; try < 3 || try < 10 && best > DefaultTime+50*time.Millisecond; try++ {
		start := time.Now()
		_, err := ask(l, word)
		best = min(best, time.Since(start))
		ok := false
		for _, cause := range causes {
			ok = ok || errors.Is(err, cause)
		}
		if !ok {
			t.Fatalf("%s: error %v, want one of %v", word, err, causes)
		}
		if _, err := ask(l, "still there"); err != nil {
			t.Fatalf("after %s: %v", word, err)
		}
	}
	if best > DefaultTime+50*time.Millisecond {
		t.Errorf("%s: stopped after %v, want at most %v", word, best, DefaultTime+50*time.Millisecond)
	}
	t.Logf("%s: stopped after %v (limit %v)", word, best, DefaultTime)
}

// TestPL01Loop: an endless loop is stopped, and calls of another link meanwhile
// take no longer than the sharing of processors explains.
func TestPL01Loop(t *testing.T) {
	stopped(t, "loop", ErrDeadline)
	bad, _ := goLink(t)
	good, _ := goLink(t)
	if _, err := ask(good, "warm up"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 3 {
			_, _ = ask(bad, "loop")
		}
	})
	calls := 0
	var worst time.Duration
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for running := true; running; {
		select {
		case <-finished:
			running = false
		default:
			start := time.Now()
			if _, err := ask(good, "shout on"); err != nil {
				t.Fatal(err)
			}
			worst = max(worst, time.Since(start))
			if calls++; calls%50 == 10 {
				runtime.GC() // must not wait for the looping guest
			}
		}
	}
	if calls < 20 {
		t.Errorf("another link made %d calls while one looped", calls)
	}
	t.Logf("another link made %d calls and collections between them, the slowest took %v", calls, worst)
}

// TestPL02Memory: memory.grow without end stays within the limit.
func TestPL02Memory(t *testing.T) {
	before := rss(t)
	stopped(t, "bomb", ErrDeadline, ErrTrap)
	if grown := rss(t) - before; grown > DefaultMemory+32<<20 {
		t.Errorf("resident size grew by %d MiB", grown>>20)
	}
}

// TestPL03Recursion: endless recursion ends the instance, not the host.
func TestPL03Recursion(t *testing.T) { stopped(t, "recurse", ErrTrap, ErrDeadline) }

// TestPL04Giant: giant modules are refused by size and count before they are
// compiled, and quickly.
func TestPL04Giant(t *testing.T) {
	functions := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03")
	var body []byte
	body = append(body, 0xc0, 0x84, 0x3d) // 1,000,000
	body = append(body, make([]byte, 1_000_000)...)
	functions = append(append(functions, 0xc3, 0x84, 0x3d), body...)
	names := []byte("\x00asm\x01\x00\x00\x00\x00\x0b\x04name\x01\x05\xff\xff\xff\xff\x0f")
	for name, bin := range map[string][]byte{
		"9 MiB": append([]byte("\x00asm\x01\x00\x00\x00\x00\x81\x80\xc0\x04\x00"), make([]byte, 9<<20)...), "1,000,000 functions": functions, "names without end": names,
	} {
		start := time.Now()
		_, err := sharedHost.Load(context.Background(), bin, LoadOptions{Name: name})
		if !errors.Is(err, meter.ErrLimit) && !errors.Is(err, meter.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
	}
}

// TestPL05Pointers: pointers and lengths out of range get an error, no panic.
func TestPL05Pointers(t *testing.T) {
	l := rawLink(t, "log", "kv")
	inst := l.shards[0].inst
	inst.begin(context.Background(), callCommand, time.Second, MaxHostCalls)
	call := inst.mod.ExportedFunction("test_call")
	size := uint64(inst.mem.Size())
	for _, op := range []uint64{opRead, opLog, opKVGet, opKVSet, opKVKeys, opTimer, opEmit, opHTTP, opSecret, opMetric, opReport, 99, 0xffffffff} {
		for _, p := range [][2]uint64{{0xffffffff, 1}, {0, 0xffffffff}, {0xffffffff, 0xffffffff}, {size, 1}, {size - 1, 2}, {0x80000000, 0x80000000}, {16, size}} {
			got, err := call.Call(&inst.call, op, p[0], p[1])
			if err != nil {
				t.Fatalf("op %d (%#x, %#x): %v", op, p[0], p[1], err)
			}
			if op != opRead && int64(got[0]) >= 0 && op != opKVSet {
				t.Errorf("op %d (%#x, %#x) = %d, want an error", op, p[0], p[1], int64(got[0]))
			}
		}
	}
}

// TestPL06Flood: a guest that floods the host with calls is stopped by its budget.
func TestPL06Flood(t *testing.T) {
	stopped(t, "flood", ErrBudget)
	stopped(t, "print", ErrBudget, ErrDeadline)
	stopped(t, "sleep", ErrDeadline)
	stopped(t, "panic", ErrTrap)
	stopped(t, "exit", ErrTrap)
}

// TestPL07Abilities: what was not declared and granted is not there, by name.
func TestPL07Abilities(t *testing.T) {
	o := guestOptions("kv", "http")
	o.Grant = []string{"kv"}
	if _, err := sharedHost.Load(context.Background(), goGuest, o); err == nil || !strings.Contains(err.Error(), `"http"`) || sdk.KindOf(err) != sdk.Forbidden {
		t.Errorf("missing grant: %v", err)
	}
	o = guestOptions("command")
	o.Grant = []string{"command", "kv", "http", "secret", "emit", "timer", "metrics"} // granted, not asked for
	l := open(t, load(t, sharedHost, goGuest, o), newFakeHost())
	for _, name := range []string{"kv", "secret", "fetch", "count", "publish", "timer"} {
		_, err := l.Facets().Commander.Command(context.Background(), sdk.Invocation{Name: name, Args: []string{"http://127.0.0.1/", "b"}})
		if sdk.KindOf(err) != sdk.Forbidden {
			t.Errorf("%s without ability: %v", name, err)
		}
	}
	imports := func(module, name string) []byte {
		imp := append([]byte{1, byte(len(module))}, module...)
		imp = append(append(append(imp, byte(len(name))), name...), 0, 0)
		bin := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02")
		return append(append(bin, byte(len(imp))), imp...)
	}
	for _, imp := range [][2]string{{"env", "socket"}, {"wasi_snapshot_preview1", "sock_open"}, {"bh", "other"}, {"wasi:sockets/tcp", "x"}, {"bh_meter", "refuel"}} {
		_, err := sharedHost.Load(context.Background(), imports(imp[0], imp[1]), LoadOptions{Name: "x.wasm"})
		if (!errors.Is(err, ErrImport) && !errors.Is(err, meter.ErrReserved)) || !strings.Contains(err.Error(), imp[1]) {
			t.Errorf("import %v: %v", imp, err)
		}
	}
	_, err := sharedHost.Load(context.Background(), []byte("\x00asm\x0d\x00\x01\x00"), LoadOptions{Name: "c.wasm"})
	if !errors.Is(err, meter.ErrComponent) || !strings.Contains(err.Error(), "wasm32-wasip1") {
		t.Errorf("component: %v", err)
	}
	if _, err := sharedHost.Load(context.Background(), []byte("\x00asm\x01\x00\x00\x00"), LoadOptions{Name: "e.wasm"}); !errors.Is(err, ErrABI) {
		t.Errorf("empty module: %v", err)
	}
}

// TestPL08Emit: of 10,000 events 16 are kept; the third time emit is suspended.
func TestPL08Emit(t *testing.T) {
	host, o := newFakeHost(), guestOptions("emit")
	o.Time = 5 * time.Second // the guest needs a while for 10,000
	l := open(t, load(t, sharedHost, goGuest, o), host)
	for i := range 5 {
		v, err := ask(l, "emit10000")
		if err != nil {
			t.Fatal(err)
		}
		want := emitQuota
		if i >= maxStrikes {
			want = 0
		}
		if len(v.Emit) != want {
			t.Errorf("call %d: %d events kept, want %d", i, len(v.Emit), want)
		}
	}
	if !strings.Contains(host.text(), "may emit no more events") {
		t.Error("the operator was not told")
	}
}

// TestPL09Forged: events that claim another link's places, actors or items are refused.
func TestPL09Forged(t *testing.T) {
	ops := &operations{link: "guest", now: time.Now}
	own := said("x")
	own.Place.Link, own.Actor.Home.Link = "", "guest"
	it := *own.Item()
	it.Origin.Link = ""
	own = own.WithItem(it)
	if err := ops.stamp(&own); err != nil || own.Place.Link != "guest" || own.Item().Origin.Link != "guest" || own.ID != "" || own.Actor.ID != "" || own.Item().Author != "" || own.Via != nil {
		t.Errorf("own event: %+v, %v", own, err)
	}
	for what, forge := range map[string]func(*sdk.Event){
		"place": func(e *sdk.Event) { e.Place.Link = "home" },
		"actor": func(e *sdk.Event) { e.Actor.Home.Link = "home" },
		"item": func(e *sdk.Event) {
			it := *e.Item()
			it.Origin.Link = "home"
			*e = e.WithItem(it)
		},
	} {
		ev := own
		forge(&ev)
		if err := ops.stamp(&ev); sdk.KindOf(err) != sdk.Forbidden {
			t.Errorf("forged %s: %v", what, err)
		}
	}
}

// TestPL10LogText: newlines, escapes and invalid bytes cannot forge records, and
// the rate is bounded.
func TestPL10LogText(t *testing.T) {
	l, host := goLink(t, "log", "command")
	_, err := l.Facets().Commander.Command(context.Background(), sdk.Invocation{Name: "log", Args: []string{"a\nlevel=ERROR \x1b[31mred\u202e \x00 ü ok"}})
	if err != nil {
		t.Fatal(err)
	}
	text := host.text()
	if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\x00\u202e") || !strings.Contains(text, "ü ok") {
		t.Errorf("log %q", text)
	}
	_, _ = ask(l, "print")
	if n := strings.Count(host.text(), "\n"); n > logBurst+20 {
		t.Errorf("%d records of an endless print", n)
	}
	if got := escape([]byte("a\\n\xff\u2028b")); got != `a\\n\xff\u2028b` {
		t.Errorf("escape gave %s", got)
	}
}

// TestPL11Same: with the same clock and random source two runs give the same.
func TestPL11Same(t *testing.T) {
	run := func() string {
		fixed := time.Unix(1_700_000_000, 0)
		h, err := NewHost(Options{Dir: cacheDir, Now: func() time.Time { fixed = fixed.Add(time.Millisecond); return fixed },
			Random: bytes.NewReader(make([]byte, 1<<20))})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(context.Background())
		p, err := h.Load(context.Background(), goGuest, guestOptions("command"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		l, err := p.OpenLink(sdk.Config{Link: "guest"}, newFakeHost())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out, err := l.Facets().Commander.Command(context.Background(), sdk.Invocation{Name: "random"})
		if err != nil {
			t.Fatal(err)
		}
		v, err := ask(l, "shout same")
		return fmt.Sprint(out, v.Event.Item().Body(), err)
	}
	if a, b := run(), run(); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

// TestFallback: a module that the meter does not know is interrupted by the runtime.
func TestFallback(t *testing.T) {
	r, err := sharedHost.build(mustInspect(t, goGuest), goGuest, instanceOptions{memory: DefaultMemory, initTime: DefaultInitTime})
	if err != nil {
		t.Fatal(err)
	}
	defer r.release()
	p := &Plugin{host: sharedHost, opts: guestOptions(), code: r}
	l := open(t, p, newFakeHost())
	if _, err := ask(l, "warm up"); err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for try := 0; try < 3 || try < 10 && best > DefaultTime+50*time.Millisecond; try++ {
		start := time.Now()
		if _, err := ask(l, "loop"); !errors.Is(err, ErrDeadline) {
			t.Fatalf("loop: %v, want %v", err, ErrDeadline)
		}
		best = min(best, time.Since(start))
	}
	if best > DefaultTime+50*time.Millisecond {
		t.Errorf("stopped after %v", best)
	}
}
