package wasm

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"sync"
)

// Bounds of timers.
const (
	maxTimers = 64
	minTimer  = time.Second
	maxTimer  = 366 * 24 * time.Hour
)

// timers are the timers of one link. They are set from any call and run out in
// the link's Run.
type timers struct {
	mu   sync.Mutex
	due  map[uint32]time.Time
	wake chan struct{} // of capacity 1: the earliest timer may have changed
}

func newTimers() *timers {
	return &timers{due: map[uint32]time.Time{}, wake: make(chan struct{}, 1)}
}

// set reads a TimerSet.
func (t *timers) set(arg []byte, now time.Time) error {
	var id uint32
	var after time.Duration
	err := fields(arg, func(f field) error {
		if f.typ == protowire.VarintType && f.id == 1 {
			id = uint32(f.num)
		} else if f.typ == protowire.VarintType && f.id == 2 {
			after = time.Duration(f.num)
		}
		return nil
	})
	if err != nil {
		return invalid("timer", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if after <= 0 {
		delete(t.due, id)
		return nil
	}
	if _, ok := t.due[id]; !ok && len(t.due) >= maxTimers {
		return sdk.Errorf(sdk.RateLimited, "timer", "%d timers are set, no more are allowed", maxTimers)
	}
	t.due[id] = now.Add(min(max(after, minTimer), maxTimer))
	select {
	case t.wake <- struct{}{}:
	default: // already told
	}
	return nil
}

// next returns the time of the earliest timer; zero when none is set.
func (t *timers) next() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for _, at := range t.due {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// take removes and returns the timers that are due, in no order.
func (t *timers) take(now time.Time) []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []uint32
	for id, at := range t.due {
		if !at.After(now) {
			ids = append(ids, id)
			delete(t.due, id)
		}
	}
	return ids
}
