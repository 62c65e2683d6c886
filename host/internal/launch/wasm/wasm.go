// Package wasm makes links from WebAssembly modules (docs/wasm-abi.md).
//
// A [Host] owns what modules share: the compile cache and the slots for
// compiling. [Host.Load] checks a module's bytes, meters and compiles it;
// [Plugin.Open] gives a [Link], which owns a pool of instances and may change to
// a newer module while it runs ([Link.Reload]).
//
// A module has nothing but what its manifest asks for and the operator grants.
// It cannot outlive its deadline by more than the time of a few thousand
// instructions, cannot take more memory than its limit, and any fault costs it
// the instance in which the fault happened, never the host.
package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"bridgehost/host/internal/launch/wasm/meter"
)

// Defaults of limits; see Limits.
const (
	DefaultMemory   = 32 << 20
	DefaultTime     = 100 * time.Millisecond
	DefaultInitTime = 2 * time.Second
	// CompileTime bounds one compilation (PL-04) by the clock: five seconds of work
	// on a machine that has other things to do.
	CompileTime = slowdown * 20 * time.Second
	// MaxReply bounds a reply and every buffer of an operation.
	MaxReply = 1 << 20
	// MaxHostCalls bounds the calls from the guest to the host in one call (PL-06).
	MaxHostCalls = 10_000
	// initHostCalls is the same bound for starting an instance, in which a
	// language's runtime asks for clocks, randomness and arguments.
	initHostCalls = 100_000
)

// features are the parts of WebAssembly that modules may use. All runtimes that
// share a cache must have the same.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// Errors that a caller tells apart; they are wrapped by *sdk.Error of a fitting kind.
var (
	// ErrDeadline means that a call took longer than its limit.
	// It is a context.DeadlineExceeded as well: the call failed on what it was
	// asked, which is not the same as a link that cannot be asked.
	ErrDeadline error = deadlineError{}
	// ErrTrap means that the guest crashed: a panic, an out-of-bounds access, a stack overflow.
	ErrTrap = errors.New("module crashed")
	// ErrReply means that the guest's reply is outside of its memory, too large, or not a GuestReply.
	ErrReply = errors.New("bad reply")
	// ErrBudget means that the guest called the host too often in one call.
	ErrBudget = errors.New("too many host calls")
	// ErrImport means that the module imports something that no module gets.
	ErrImport = errors.New("import not allowed")
	// ErrABI means that the module does not export what ABI 1 asks for.
	ErrABI = errors.New("not a module of ABI 1")
	// ErrClosed means that the link or plugin has been closed.
	ErrClosed = errors.New("closed")
)

// Options are what all modules of a host share.
type Options struct {
	// Dir keeps compiled modules by digest between runs; empty = in memory only.
	// It must not be writable by others: compiled code is trusted when read back.
	Dir string
	// Now is the clock that guests see; nil = time.Now. Deadlines always follow the real clock.
	Now func() time.Time
	// Random is the source of random_get; nil = crypto/rand.
	Random io.Reader
	// Allow lists addresses that are not public and that guests may still reach by http.
	Allow []netip.Prefix
}

// Host compiles modules and owns what they share. It is safe for concurrent use.
type Host struct {
	opts  Options
	cache wazero.CompilationCache
	slot  chan struct{}  // one compilation at a time, outside of the hot path
	wg    sync.WaitGroup // compilations that outlasted their time limit
}

// NewHost opens the compile cache.
func NewHost(opts Options) (*Host, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Random == nil {
		opts.Random = rand.Reader
	}
	h := &Host{opts: opts, slot: make(chan struct{}, 1)}
	if opts.Dir == "" {
		h.cache = wazero.NewCompilationCache()
		return h, nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("open compile cache %s: %w", opts.Dir, err)
	}
	if err := os.MkdirAll(filepath.Join(opts.Dir, "metered"), 0o700); err != nil {
		return nil, fmt.Errorf("open compile cache %s: %w", opts.Dir, err)
	}
	h.cache = cache
	return h, nil
}

// Close frees the compiled code. All plugins must have been closed before.
func (h *Host) Close(ctx context.Context) error {
	h.wg.Wait()
	if err := h.cache.Close(ctx); err != nil {
		return fmt.Errorf("close compile cache: %w", err)
	}
	return nil
}

// guarded runs f with the compile slot and a bound in time. The runtime cannot
// be interrupted while it compiles: when time is up, guarded returns, and drop
// is called with the late result. The slot is held until then, so that one
// stubborn module cannot occupy more than one processor.
func guarded[T any](ctx context.Context, h *Host, f func() (T, error), drop func(T)) (T, error) {
	var zero T
	ctx, cancel := context.WithTimeout(ctx, CompileTime)
	defer cancel()
	select {
	case h.slot <- struct{}{}:
	case <-ctx.Done():
		return zero, fmt.Errorf("wait for the compiler: %w", ctx.Err())
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		defer func() { <-h.slot }()
		defer func() {
			if r := recover(); r != nil {
				done <- result{err: fmt.Errorf("compiler: %v", r)}
			}
		}()
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		h.wg.Add(1)
		go func() {
			defer h.wg.Done()
			if r := <-done; r.err == nil {
				drop(r.v)
			}
		}()
		if errors.Is(ctx.Err(), context.Canceled) { // the caller no longer wants it
			return zero, fmt.Errorf("compile: %w", ctx.Err())
		}
		return zero, fmt.Errorf("compile for more than %v: %w", CompileTime, meter.ErrLimit)
	}
}

// runtimeConfig returns the configuration of a plugin's runtime.
func (h *Host) runtimeConfig(memory int64, interrupt bool) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false).
		WithCompilationCache(h.cache).WithMemoryLimitPages(pages(memory)).WithCloseOnContextDone(interrupt)
}

// pages converts bytes to pages of 64 KiB, at least one.
func pages(memory int64) uint32 {
	return uint32(min(max(memory>>16, 1), 65536))
}

// shards returns how many instances a link that is only a filter has.
func shards() int { return min(max(runtime.GOMAXPROCS(0), 1), 8) }

// deadlineError is the type of ErrDeadline.
type deadlineError struct{}

// Error implements error.
func (deadlineError) Error() string { return "time limit exceeded" }

// Is implements the comparison of errors.Is.
func (deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }
