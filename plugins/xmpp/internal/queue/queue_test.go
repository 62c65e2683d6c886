package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/sdk"
)

// host takes events, or answers with an error.
type host struct {
	mu   sync.Mutex
	got  []string
	fail func(events []sdk.Event) error
}

func (h *host) Publish(_ context.Context, events ...sdk.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		if err := h.fail(events); err != nil {
			return err
		}
	}
	for _, ev := range events {
		h.got = append(h.got, ev.Dedup)
	}
	return nil
}

func event(i int) sdk.Event {
	return sdk.Event{Dedup: fmt.Sprint(i), Change: sdk.ActorUpdated{}}
}

// A host that takes nothing for a minute, and one event that it never takes:
// all others come, in order, and the refused one is told.
func TestOrderOverRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		h := &host{}
		h.fail = func(events []sdk.Event) error {
			if time.Since(begin) < time.Minute {
				return &sdk.Error{Kind: sdk.Overloaded, After: 7 * time.Second}
			}
			if slices.ContainsFunc(events, func(ev sdk.Event) bool { return ev.Dedup == "13" }) {
				return &sdk.Error{Kind: sdk.Forbidden}
			}
			return nil
		}
		var refused []string
		q := New(h, 4, func(_ context.Context, ev *sdk.Event, _ error) { refused = append(refused, ev.Dedup) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			q.Run(ctx)
		}()
		var want []string
		for i := range 300 {
			if err := q.Put(ctx, event(i)); err != nil {
				t.Fatal(err)
			}
			if i != 13 {
				want = append(want, fmt.Sprint(i))
			}
		}
		synctest.Wait()
		cancel()
		<-done
		if !slices.Equal(h.got, want) || !slices.Equal(refused, []string{"13"}) {
			t.Errorf("got %v, refused %v", h.got, refused)
		}
	})
}

// What waits at the end is handed over in one last attempt.
func TestFlushAtTheEnd(t *testing.T) {
	h := &host{}
	q := New(h, 8, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 5 {
		if err := q.Put(ctx, event(i)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	q.Run(ctx)
	if len(h.got) != 5 {
		t.Errorf("got %v", h.got)
	}
	for i := range 8 {
		if err := q.Put(ctx, event(i)); err != nil {
			return // ctx has ended: either way out of a full queue is right
		}
	}
	if err := q.Put(ctx, event(9)); err == nil {
		t.Error("a full queue took an event after the end")
	}
}

// Marks are called after the events before them, and not where those are lost.
func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		h := &host{fail: func([]sdk.Event) error {
			if time.Since(begin) < time.Minute {
				return &sdk.Error{Kind: sdk.Overloaded}
			}
			return nil
		}}
		q := New(h, 8, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			q.Run(ctx)
		}()
		var seen []int
		mark := func() {
			if err := q.After(ctx, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				seen = append(seen, len(h.got))
			}); err != nil {
				t.Error(err)
			}
		}
		mark()
		for i := range 3 {
			if err := q.Put(ctx, event(i)); err != nil {
				t.Fatal(err)
			}
			mark()
		}
		marks := func() []int {
			synctest.Wait()
			h.mu.Lock()
			defer h.mu.Unlock()
			return slices.Clone(seen)
		}
		time.Sleep(30 * time.Second)
		if seen := marks(); slices.ContainsFunc(seen, func(n int) bool { return n != 0 }) || len(seen) > 1 {
			t.Errorf("marks %v were called before the host took anything", seen)
		}
		time.Sleep(time.Minute)
		if seen := marks(); len(seen) != 4 || seen[3] != 3 || !slices.IsSorted(seen) {
			t.Errorf("marks were called after %v events", seen)
		}
		h.mu.Lock()
		h.fail = func([]sdk.Event) error { return &sdk.Error{Kind: sdk.Overloaded} }
		h.mu.Unlock()
		if err := q.Put(ctx, event(4)); err != nil {
			t.Fatal(err)
		}
		mark()
		cancel()
		<-done
		if len(marks()) != 4 {
			t.Errorf("a mark was called though the event before it is lost")
		}
	})
}
