package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// mirror is a network that shows everybody everything: what the bridge writes
// into a room comes back as an event of that room, under the id of the copy.
type mirror struct {
	link sdk.LinkID
	host *host
	mu   sync.Mutex
	got  map[string]int // place and text
	back chan sdk.Event
	n    atomic.Int64
}

func (m *mirror) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	r := make([]sdk.Receipt, len(batch))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batch {
		d := &batch[i]
		id := sdk.RemoteID(fmt.Sprint(d.Place, "/", d.ID))
		r[i] = sdk.Receipt{Delivery: d.ID, Copies: []sdk.Copy{{Remote: id}}}
		m.got[fmt.Sprint(d.Place, " ", body(d))]++
		m.n.Add(1)
		m.back <- create(string(d.Place), "bridge-bot", string(id), body(d))
	}
	return r, nil
}

// TestNoLoopsInARandomGraph is BR-01, BR-02 and BR-04 (R13): 20 rooms of 5
// links under random rules, 10,000 events, and every copy comes back once. What
// goes out is exactly what the rules say, once.
func TestNoLoopsInARandomGraph(t *testing.T) {
	const rooms, events = 20, 10_000
	rnd := rand.New(rand.NewPCG(7, 7))
	place := func(i int) sdk.Ref { return ref(fmt.Sprintf("l%d:r%d", i%5, i)) }
	var rules []route.Rule
	for i := range 14 {
		r := route.Rule{ID: sdk.RouteID(fmt.Sprint("r", i)), From: place(rnd.IntN(rooms)), BothWays: rnd.IntN(3) > 0}
		for range 1 + rnd.IntN(3) {
			r.To = append(r.To, place(rnd.IntN(rooms)))
		}
		rules = append(rules, r)
	}
	table := route.NewTable(rules)
	h := startHost(t, t.TempDir(), rules, noBreaker)
	links := map[sdk.LinkID]*mirror{}
	for i := range 5 {
		id := sdk.LinkID(fmt.Sprint("l", i))
		m := &mirror{link: id, host: h, got: map[string]int{}, back: make(chan sdk.Event, 1<<18)}
		links[id] = m
		h.out.Attach(id, m, outbox.AttachOptions{})
	}
	want := map[sdk.LinkID]map[string]int{}
	total := 0
	for i := 0; i < events; i += 100 {
		batch := map[sdk.LinkID][]sdk.Event{}
		for k := i; k < i+100; k++ {
			from := place(rnd.IntN(rooms))
			text := fmt.Sprint("text ", k)
			batch[from.Link] = append(batch[from.Link], create(string(from.ID), fmt.Sprint("user", k%50), fmt.Sprint("m", k), text))
			seen := map[sdk.Ref]bool{}
			for _, w := range table.Ways(from) {
				for _, to := range w.To {
					if !seen[to] {
						seen[to] = true
						total++
						if want[to.Link] == nil {
							want[to.Link] = map[string]int{}
						}
						want[to.Link][fmt.Sprint(to.ID, " ", text)]++
					}
				}
			}
		}
		for link, events := range batch {
			h.publish(t, link, events...)
		}
	}
	settle(t, h)
	echoes := 0
	for id, m := range links {
		for len(m.back) > 0 {
			events := make([]sdk.Event, 0, 100)
			for len(m.back) > 0 && len(events) < 100 {
				events = append(events, <-m.back)
			}
			h.publish(t, id, events...)
			echoes += len(events)
		}
	}
	settle(t, h)
	sent := 0
	for id, m := range links {
		sent += int(m.n.Load())
		for what, n := range want[id] {
			if m.got[what] != n {
				t.Errorf("%s: %q came %d times, want %d", id, what, m.got[what], n)
			}
		}
	}
	if sent != total || echoes != total {
		t.Errorf("%d deliveries and %d echoes, want %d", sent, echoes, total)
	}
	t.Logf("%d events, %d deliveries, %d echoes dropped", events, sent, h.in.Stats().Echoes)
}

// settle waits until nothing is left to deliver.
func settle(t *testing.T, h *host) {
	t.Helper()
	for h.out.Stats().Depth > 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("lanes did not empty")
		case <-h.settled():
		}
	}
}

// settled is ready when the database's writer has gone round once.
func (h *host) settled() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		_ = h.db.KV("settled").Set(context.Background(), "x", []byte("x"))
	}()
	return c
}
