package wasm

import (
	"context"
	"errors"
	"testing"

	"bridgehost/host/internal/launch/wasm/meter"
)

// TestCompileCancelled holds that a compilation which nobody wants any more is
// not blamed on the module.
func TestCompileCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun, end, dropped := make(chan struct{}), make(chan struct{}), make(chan int, 1)
	go func() {
		<-begun
		cancel()
	}()
	_, err := guarded(ctx, sharedHost, func() (int, error) {
		close(begun)
		<-end
		return 7, nil
	}, func(v int) { dropped <- v })
	close(end)
	if !errors.Is(err, context.Canceled) || errors.Is(err, meter.ErrLimit) {
		t.Errorf("got %v, want context.Canceled and not ErrLimit", err)
	}
	if v := <-dropped; v != 7 {
		t.Errorf("dropped %d, want the late result", v)
	}
}
