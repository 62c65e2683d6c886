package intake

import (
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// noQueue is a queue that nothing comes to.
type noQueue struct{ Queue }

func (noQueue) OnCopies(func([]store.Key)) {}

// BenchmarkAdmit admits events as calls of plugins do: each in a goroutine of
// its own, whose stack has to grow to what admit needs.
func BenchmarkAdmit(b *testing.B) {
	in := New(Deps{Queue: noQueue{}})
	table := route.NewTable(nil)
	ev := sdk.Event{
		Time: time.Now(), Place: sdk.Ref{ID: "hook"}, Actor: sdk.Actor{Home: sdk.Ref{ID: "grafana"}, Name: "Grafana"}, Dedup: "key",
		Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{ID: "key"}, Text: &sdk.Text{Plain: "disk is full"}}},
	}
	const together = 16
	b.ReportAllocs()
	for b.Loop() {
		var calls sync.WaitGroup
		for range together {
			calls.Go(func() {
				if _, err := in.admit("hooks", &ev, table); err != nil {
					b.Error(err)
				}
			})
		}
		calls.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*together), "ns/event")
}
