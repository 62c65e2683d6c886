package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"bridgehost/sdk"
)

// fuelSlice is the fuel given at a time: about a tenth of a millisecond of work,
// after which the guest asks again and the host looks at the clock.
const fuelSlice = 100_000

// yieldEvery is the count of refills after which a guest lets others run: about
// a millisecond, where Go's scheduler would take ten.
const yieldEvery = 8

// environment is what an instance's host functions act on. The instances of one
// link share one.
type environment struct {
	now      func() time.Time
	entropy  io.Reader
	randomMu sync.Mutex
	out      *output
	ops      *operations // nil outside of a link
}

// random fills b.
func (e *environment) random(b []byte) error {
	e.randomMu.Lock()
	defer e.randomMu.Unlock()
	_, err := io.ReadFull(e.entropy, b)
	return err
}

// instance is one running module. It is used by one goroutine at a time, and
// not again after an error.
type instance struct {
	env    *environment
	mod    api.Module
	mem    api.Memory
	alloc  api.Function
	handle api.Function
	timed  bool // stopped by the runtime, which wants a context with a deadline
	stack  [2]uint64
	buf    uint32 // request buffer in the guest
	bufLen uint32
	call   guestCall
}

// guestCall is the state of the call that an instance is in. It is the context
// that the runtime hands to host functions, made once for each instance so that
// a call allocates nothing. It carries no values of the caller.
type guestCall struct {
	context.Context // of the caller
	inst            *instance
	kind            int       // field number of GuestRequest
	deadline        time.Time // moved on by the time that slow operations take
	budget          int       // host calls left
	emitted         int       // events given to emit
	refuels         int       // refills so far
	pending         []byte    // answer of the last operation
}

// callKey finds the guestCall below contexts that wrap it.
type callKey struct{}

// Value implements context.Context.
func (c *guestCall) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return nil
}

// callOf returns the call that a host function runs for.
func callOf(ctx context.Context) *guestCall {
	if c, ok := ctx.(*guestCall); ok {
		return c
	}
	c, _ := ctx.Value(callKey{}).(*guestCall) // there always is one: the host calls guests with nothing else
	return c
}

// charge pays for one call to the host and ends the guest when it has no more,
// or no time.
func (c *guestCall) charge() {
	c.budget--
	if c.budget < 0 {
		panic(ErrBudget)
	}
	if c.budget&63 == 0 {
		c.checkTime()
	}
}

// checkTime ends the guest when its time is up.
func (c *guestCall) checkTime() {
	if time.Now().After(c.deadline) {
		panic(ErrDeadline)
	}
	if err := c.Context.Err(); err != nil {
		panic(err)
	}
}

// refuel is the meter's import.
func refuel(ctx context.Context, _ api.Module, stack []uint64) {
	c := callOf(ctx)
	c.checkTime()
	if c.refuels++; c.refuels%yieldEvery == 0 {
		runtime.Gosched()
	}
	stack[0] = fuelSlice
}

// newInstance instantiates a compiled module and runs its initialisers.
func newInstance(ctx context.Context, r wazero.Runtime, cm wazero.CompiledModule, env *environment, o instanceOptions) (inst *instance, err error) {
	inst = &instance{env: env, timed: !o.metered && !o.trusted}
	inst.begin(ctx, 0, o.initTime, initHostCalls)
	defer inst.end()
	defer func() {
		if r := recover(); r != nil {
			inst, err = nil, fmt.Errorf("instantiate module: %v", r)
		}
	}()
	var c context.Context = &inst.call
	if inst.timed {
		var cancel context.CancelFunc
		c, cancel = context.WithDeadline(c, inst.call.deadline)
		defer cancel()
	}
	if m := reserve(uint64(o.memory)); m != nil {
		c = experimental.WithMemoryAllocator(c, m)
	}
	mod, err := r.InstantiateModule(c, cm, wazero.NewModuleConfig().WithName("").WithStartFunctions(exportInit))
	if err != nil {
		return nil, fmt.Errorf("instantiate module: %w", guestError(err))
	}
	inst.mod, inst.mem = mod, mod.Memory()
	inst.alloc, inst.handle = mod.ExportedFunction(exportAlloc), mod.ExportedFunction(exportHandle)
	return inst, nil
}

// instanceOptions are the limits of an instance.
type instanceOptions struct {
	memory   int64
	initTime time.Duration
	metered  bool
	trusted  bool
}

// begin prepares the state of a call.
func (i *instance) begin(ctx context.Context, kind int, limit time.Duration, budget int) {
	c := &i.call
	c.Context, c.inst, c.kind = ctx, i, kind
	c.deadline = time.Now().Add(limit)
	c.budget, c.emitted, c.refuels, c.pending = budget, 0, 0, c.pending[:0]
}

// end drops what the call borrowed.
func (i *instance) end() { i.call.Context = context.Background() }

// do hands a request to the guest and appends its reply to dst. After an error
// the instance must be closed. The request is not kept.
func (i *instance) do(ctx context.Context, kind int, limit time.Duration, req, dst []byte) ([]byte, error) {
	i.begin(ctx, kind, limit, MaxHostCalls)
	defer i.end()
	var c context.Context = &i.call
	if i.timed {
		var cancel context.CancelFunc
		c, cancel = context.WithDeadline(c, i.call.deadline)
		defer cancel()
	}
	if err := i.put(c, req); err != nil {
		return dst, err
	}
	i.stack[0], i.stack[1] = uint64(i.buf), uint64(len(req))
	if err := i.handle.CallWithStack(c, i.stack[:]); err != nil {
		return dst, guestError(err)
	}
	ptr, n := uint32(i.stack[0]>>32), uint32(i.stack[0])
	if n == 0 {
		return dst, nil
	}
	if n > MaxReply {
		return dst, fmt.Errorf("%d bytes, at most %d: %w", n, MaxReply, ErrReply)
	}
	reply, ok := i.mem.Read(ptr, n)
	if !ok {
		return dst, fmt.Errorf("%d bytes at %#x are not in memory: %w", n, ptr, ErrReply)
	}
	return append(dst, reply...), nil
}

// put copies a request into the guest's buffer, asking for a larger one when
// the last does not do.
func (i *instance) put(ctx context.Context, req []byte) error {
	if uint32(len(req)) > i.bufLen || i.buf == 0 {
		n := max(len(req), 1024)
		i.stack[0] = uint64(n)
		if err := i.alloc.CallWithStack(ctx, i.stack[:]); err != nil {
			return guestError(err)
		}
		i.buf, i.bufLen = uint32(i.stack[0]), uint32(n)
		if i.buf == 0 {
			return fmt.Errorf("%s gave no buffer of %d bytes: %w", exportAlloc, n, ErrTrap)
		}
	}
	if !i.mem.Write(i.buf, req) {
		return fmt.Errorf("buffer of %d bytes at %#x is not in memory: %w", len(req), i.buf, ErrReply)
	}
	return nil
}

// close frees the instance.
func (i *instance) close() {
	if i.mod != nil {
		_ = i.mod.Close(context.Background())
	}
}

// guestError sorts what ended a guest into kinds.
func guestError(err error) error {
	kind, cause := sdk.Internal, ErrTrap
	switch {
	case errors.Is(err, ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		kind, cause = sdk.Transient, ErrDeadline
	case errors.Is(err, context.Canceled):
		kind, cause = sdk.Transient, context.Canceled
	case errors.Is(err, ErrBudget):
		cause = ErrBudget
	case strings.Contains(err.Error(), "closed with exit_code("): // the runtime's own interruption
		kind, cause = sdk.Transient, ErrDeadline
	}
	text, _, _ := strings.Cut(err.Error(), "\nwasm stack trace:")
	text = strings.TrimSuffix(text, " (recovered by wazero)")
	if text == cause.Error() {
		return &sdk.Error{Kind: kind, Err: cause}
	}
	return &sdk.Error{Kind: kind, Err: fmt.Errorf("%w: %s", cause, escape([]byte(text)))}
}
