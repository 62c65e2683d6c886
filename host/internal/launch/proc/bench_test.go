package proc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

// item is a delivery of about 600 bytes.
func item(i int) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(fmt.Sprint("delivery-", i)), Place: "sink", Attempt: 1, Event: sdk.Event{
		ID: "01J9ZK3V5X8Q2M7N4P6R8S0T2V", Seq: 123456, Time: time.Unix(1_800_000_000, 0).UTC(),
		Place: sdk.Ref{Link: "home", ID: "ops@muc.example.org"},
		Actor: sdk.Actor{ID: "act-01J9ZK3V5X8Q2M7N", Home: sdk.Ref{Link: "home", ID: "juliet@example.org"},
			Handle: "juliet@example.org", Name: "Juliet Capulet"},
		Dedup: "stanza-5f3c1e0a-7b7e-4c6f-9d2a-1f0e6b1c9a77", Via: []sdk.LinkID{"home"},
		Change: sdk.ItemCreated{Item: sdk.Item{
			ID: "item-01J9ZK3V5X8Q2M7N4P6R", Conversation: "conv-01J9ZK3V5X8Q", Author: "act-01J9ZK3V5X8Q2M7N",
			Origin: sdk.Ref{Link: "home", ID: "5f3c1e0a-7b7e-4c6f-9d2a-1f0e6b1c9a77"},
			Text:   sdk.NewText("What's in a name? That which we call a rose by any other name would smell as sweet; so Romeo would."),
			Media:  []sdk.Media{{URL: "https://files.example.org/a/rose.png", Type: "image/png", Name: "rose.png", Size: 48213}},
			Tags:   []string{"rose"}, Language: "en",
		}},
	}}
}

// deliverMany delivers rounds batches of size, with inFlight at a time, and
// gives the time for one item.
func deliverMany(b *testing.B, d sdk.Deliverer, size, inFlight, rounds int) time.Duration {
	batch := make([]sdk.Delivery, size)
	for i := range batch {
		batch[i] = item(i)
	}
	var wg sync.WaitGroup
	start := time.Now()
	for w := range inFlight {
		wg.Go(func() {
			for range (rounds - w + inFlight - 1) / inFlight {
				if got, err := d.Deliver(context.Background(), batch); err != nil || len(got) != size {
					b.Errorf("%d receipts, %v", len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start) / time.Duration(size*rounds)
}

// BenchmarkSubprocess prints the cost of an item over the border of a process,
// and its ratio to the same call within this process in the same run.
func BenchmarkSubprocess(b *testing.B) {
	dir := b.TempDir()
	r, err := OpenRuntime(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	p, err := Launch(b.Context(), Spec{Name: "echo", Self: []string{asEcho}, RuntimeDir: r.Dir(), Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Kill()
	open := func(plugin sdk.Plugin) sdk.Deliverer {
		l, err := plugin.Open(sdk.Config{Link: "echo"}, sdktest.NewHost(nil))
		if err != nil {
			b.Fatal(err)
		}
		return sdk.FacetsOf(l).Deliverer
	}
	native, remote := open(sdktest.Echo{}), open(p.Plugin())
	for _, c := range []struct {
		name           string
		size, inFlight int
	}{{"batch64", 64, 4}, {"batch64-one", 64, 1}, {"single-64-in-flight", 1, 64}, {"single", 1, 1}} {
		b.Run(c.name, func(b *testing.B) {
			base := deliverMany(b, native, c.size, c.inFlight, max(b.N, 100))
			rounds := max(b.N, c.inFlight)
			before := cpuTime(b, p.Pid())
			per := deliverMany(b, remote, c.size, c.inFlight, rounds)
			used := (cpuTime(b, p.Pid()) - before) / time.Duration(c.size*rounds)
			b.ReportMetric(float64(used.Nanoseconds()), "cpu-ns/item")
			b.ReportMetric(float64(per.Nanoseconds()), "ns/item")
			b.ReportMetric(float64(base.Nanoseconds()), "native-ns/item")
			b.ReportMetric(float64(per)/float64(max(base, 1)), "x-native")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTime gives the processor time of this process and of another one. On a
// machine that is shared it says more than the clock.
func cpuTime(b *testing.B, pid int) time.Duration {
	var total time.Duration
	for _, id := range []int{os.Getpid(), pid} {
		total += threads(b, id)
	}
	return total
}

// threads sums the time on a processor of a process's threads, see
// Documentation/scheduler/sched-stats.rst of Linux.
func threads(b *testing.B, pid int) time.Duration {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	var total time.Duration
	for _, t := range tasks {
		var onCPU int64
		text, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		if _, err := fmt.Sscan(string(text), &onCPU); err == nil {
			total += time.Duration(onCPU)
		}
	}
	return total
}

// BenchmarkStart prints how long a plugin process takes to be ready.
func BenchmarkStart(b *testing.B) {
	r, err := OpenRuntime(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for b.Loop() {
		p, err := Launch(b.Context(), Spec{Name: "echo", Self: []string{asEcho}, RuntimeDir: r.Dir(), Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Kill()
		b.StartTimer()
	}
}
