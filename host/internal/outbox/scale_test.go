package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store/sqlite"
	"bridgehost/sdk"
)

// fanOut is one place that goes to many.
func fanOut(n int) []route.Rule {
	r := route.Rule{ID: "fan", From: ref("a:room")}
	for i := range n {
		r.To = append(r.To, ref(fmt.Sprint("b:", i)))
	}
	return []route.Rule{r}
}

func rss(b *testing.B) float64 {
	debug.FreeOSMemory()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("no resident set size here: %v", err)
	}
	_, rest, _ := strings.Cut(string(raw), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}

// fillQueue leaves lanes x per deliveries in a folder.
func fillQueue(b *testing.B, dir string, lanes, per int) {
	h := startHost(b, dir, fanOut(lanes), noBreaker)
	for i := range per {
		h.publish(b, "a", create("room", "romeo", fmt.Sprint("m", i), benchText))
	}
	h.stop()
}

// BenchmarkReady is the time from opening a folder with 100,000 queued
// deliveries until the first of them is handed out.
func BenchmarkReady(b *testing.B) {
	dir := b.TempDir()
	fillQueue(b, dir, 100, 1000)
	b.ResetTimer()
	start := time.Now()
	h := startHost(b, dir, fanOut(100), noBreaker)
	ready := time.Since(start)
	g := newGate()
	h.out.Attach("b", g, outbox.AttachOptions{})
	<-g.entered
	b.ReportMetric(float64(ready.Microseconds())/1000, "ready-ms")
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "first-delivery-ms")
	b.ReportMetric(0, "ns/op")
	h.out.Detach("b")
}

// BenchmarkMillion opens a folder with a million deliveries over 5,000 lanes,
// claims the heads of 100 lanes at a time, and then runs the lanes.
func BenchmarkMillion(b *testing.B) {
	const lanes, per = 5000, 200
	dir := b.TempDir()
	fillQueue(b, dir, lanes, per)
	db, err := sqlite.Open(b.Context(), dir, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	list, err := db.Lanes(b.Context())
	if err != nil || len(list) != lanes {
		b.Fatalf("%d lanes, %v", len(list), err)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "list-lanes-ms")
	var times []time.Duration
	for i := 0; i+100 <= lanes; i += 100 {
		start := time.Now()
		for _, l := range list[i : i+100] {
			if rows, err := db.Pending(b.Context(), l.ID, 0, 1, 1<<20); err != nil || len(rows) != 1 {
				b.Fatalf("%d rows, %v", len(rows), err)
			}
		}
		times = append(times, time.Since(start))
	}
	b.ReportMetric(float64(percentile(times, 0.5).Microseconds())/1000, "claim-p50-ms")
	o := outbox.New(outbox.Deps{Store: db, Archive: db, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- o.Run(ctx) }()
	<-o.Ready()
	s := &quickSink{want: 100_000, full: make(chan struct{})}
	start = time.Now()
	o.Attach("b", countSink{s}, outbox.AttachOptions{})
	<-s.full
	b.ReportMetric(100_000/time.Since(start).Seconds(), "drain/s")
	b.ReportMetric(rss(b), "RSS-MiB")
	o.Detach("b")
	cancel()
	if err := <-end; err != nil {
		b.Error(err)
	}
	if err := db.Close(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(0, "ns/op")
}

// countSink takes everything and tells when it was enough.
type countSink struct{ *quickSink }

func (s countSink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	r := make([]sdk.Receipt, len(batch))
	for i := range batch {
		r[i].Delivery = batch[i].ID
	}
	if n := s.got.Add(int64(len(batch))); n >= s.want && n-int64(len(batch)) < s.want {
		close(s.full)
	}
	return r, nil
}
