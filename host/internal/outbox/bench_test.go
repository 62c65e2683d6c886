package outbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/intake"
	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// benchText is the size of the reference event of docs (about 600 bytes).
var benchText = func() string {
	b := make([]byte, 420)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return string(b)
}()

var noBreaker = hostOptions{in: intake.Options{Breaker: intake.BreakerOptions{Burst: -1, Repeat: -1}}}

// fsyncLoop is the physical limit of one-by-one: append and fsync.
func fsyncLoop(b *testing.B, d time.Duration) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "loop"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n, start := 0, time.Now()
	for time.Since(start) < d {
		if _, err := f.WriteString(benchText); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}

func percentile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(float64(len(d))*p))]
}

// BenchmarkIntake compares durable intake by 64 producers with the fsync loop of
// the same run. Two rows for each event and one event for each call.
func BenchmarkIntake(b *testing.B) {
	loop := fsyncLoop(b, time.Second)
	h := startHost(b, b.TempDir(), oneWay, noBreaker)
	var total atomic.Int64
	var mu sync.Mutex
	var lat []time.Duration
	const producers = 64
	const dur = 3 * time.Second
	b.ResetTimer()
	start := time.Now()
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			var mine []time.Duration
			for i := 0; time.Since(start) < dur; i++ {
				t0 := time.Now()
				if err := h.in.Publish(context.Background(), "a", []sdk.Event{create("room", "romeo", fmt.Sprint(p, "-", i), benchText)}); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(t0))
				total.Add(1)
			}
			mu.Lock()
			lat = append(lat, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	rate := float64(total.Load()) / time.Since(start).Seconds()
	b.ReportMetric(rate, "events/s")
	b.ReportMetric(loop, "fsync-loop/s")
	b.ReportMetric(rate/loop, "x-fsync-loop")
	b.ReportMetric(float64(percentile(lat, 0.99).Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// passFilter stands for a filter that has nothing against anybody.
type passFilter struct{}

func (passFilter) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	return make([]sdk.Verdict, len(events)), nil
}

// quickSink takes everything at once and answers with a copy for each item.
type quickSink struct {
	got  atomic.Int64
	want int64
	full chan struct{}
}

func (s *quickSink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	r := make([]sdk.Receipt, len(batch))
	for i := range batch {
		r[i] = sdk.Receipt{Delivery: batch[i].ID, Copies: []sdk.Copy{{Item: batch[i].Event.Item().ID, Remote: sdk.RemoteID(batch[i].ID)}}}
	}
	if s.got.Add(int64(len(batch))) == s.want {
		close(s.full)
	}
	return r, nil
}

var filtered = []route.Rule{{ID: "r1", From: ref("a:room"), To: []sdk.Ref{ref("b:room")}, Filters: []route.FilterUse{{Link: "f"}}}}

// BenchmarkWholeWay is publish -> filter -> route -> commit -> deliver ->
// receipt committed, with 64 producers.
func BenchmarkWholeWay(b *testing.B) {
	for _, per := range []int{1, 16} {
		b.Run(fmt.Sprintf("publish=%d", per), func(b *testing.B) { wholeWay(b, per) })
	}
}

func wholeWay(b *testing.B, per int) {
	const n = 60_000
	var took time.Duration
	rounds := 0
	for b.Loop() {
		took += pushThrough(b, passFilter{}, per, n)
		rounds++
	}
	b.ReportMetric(float64(rounds)*n/took.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// pushThrough takes about n events by 64 producers, per at once, from publish
// to the last receipt on disk, on a host of its own, and tells how long it took
// for n.
func pushThrough(b *testing.B, f sdk.Filter, per, n int) time.Duration {
	b.Helper()
	const producers = 64
	h := startHost(b, b.TempDir(), filtered, noBreaker)
	defer h.stop()
	h.chain.Attach("f", f, filter.AttachOptions{})
	s := &quickSink{want: int64(n / (producers * per) * (producers * per)), full: make(chan struct{})}
	h.out.Attach("b", s, outbox.AttachOptions{})
	start := time.Now()
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			events := make([]sdk.Event, per)
			for i := range int(s.want) / producers / per {
				for k := range events {
					events[k] = create("room", "romeo", fmt.Sprint(p, "-", i, "-", k), benchText)
				}
				if err := h.in.Publish(context.Background(), "a", events); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow() // the sink would wait for ever
	}
	<-s.full
	for h.out.Stats().Depth > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	return time.Duration(float64(time.Since(start)) * float64(n) / float64(s.want))
}

// stampSink tells when a delivery arrived.
type stampSink struct{ at chan time.Time }

func (s stampSink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	r := make([]sdk.Receipt, len(batch))
	for i := range batch {
		s.at <- time.Now()
		r[i].Delivery = batch[i].ID
	}
	return r, nil
}

// BenchmarkIdle is one event on an idle host, from publish to delivered.
func BenchmarkIdle(b *testing.B) {
	h := startHost(b, b.TempDir(), filtered, noBreaker)
	h.chain.Attach("f", passFilter{}, filter.AttachOptions{})
	s := stampSink{make(chan time.Time, 16)}
	h.out.Attach("b", s, outbox.AttachOptions{})
	var lat []time.Duration
	for i := range 500 {
		t0 := time.Now()
		h.publish(b, "a", create("room", "romeo", fmt.Sprint("m", i), benchText))
		lat = append(lat, (<-s.at).Sub(t0))
	}
	b.ReportMetric(float64(percentile(lat, 0.5).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(percentile(lat, 0.99).Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
