package wasm

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"bridgehost/host/internal/launch/wasm/meter"
)

// WASI error numbers (wasi_snapshot_preview1).
const (
	errnoSuccess = 0
	errnoBadf    = 8
	errnoFault   = 21
	errnoInval   = 28
	errnoNosys   = 52
)

// wasiFunction is one function of the allow-listed part of WASI. The signature
// is written as one letter a value: i for i32, l for i64.
type wasiFunction struct {
	params string
	run    func(c *guestCall, mem api.Memory, stack []uint64) uint32
}

// answer always returns the same error number.
func answer(errno uint32) func(*guestCall, api.Memory, []uint64) uint32 {
	return func(*guestCall, api.Memory, []uint64) uint32 { return errno }
}

// wasiFunctions is what a module may import from WASI. Functions that touch the
// outside answer that there is nothing there.
var wasiFunctions = map[string]wasiFunction{
	"clock_time_get":          {"ili", wasiClockTime},
	"clock_res_get":           {"ii", wasiClockRes},
	"random_get":              {"ii", wasiRandom},
	"fd_write":                {"iiii", wasiWrite},
	"proc_exit":               {"i", wasiExit},
	"sched_yield":             {"", answer(errnoSuccess)},
	"args_get":                {"ii", answer(errnoSuccess)},
	"args_sizes_get":          {"ii", wasiNone},
	"environ_get":             {"ii", answer(errnoSuccess)},
	"environ_sizes_get":       {"ii", wasiNone},
	"poll_oneoff":             {"iiii", wasiPoll},
	"fd_close":                {"i", answer(errnoBadf)},
	"fd_read":                 {"iiii", answer(errnoBadf)},
	"fd_seek":                 {"ilii", answer(errnoBadf)},
	"fd_fdstat_get":           {"ii", answer(errnoBadf)},
	"fd_fdstat_set_flags":     {"ii", answer(errnoBadf)},
	"fd_filestat_get":         {"ii", answer(errnoBadf)},
	"fd_filestat_set_size":    {"il", answer(errnoBadf)},
	"fd_prestat_get":          {"ii", answer(errnoBadf)},
	"fd_prestat_dir_name":     {"iii", answer(errnoBadf)},
	"fd_readdir":              {"iiili", answer(errnoBadf)},
	"fd_pread":                {"iiili", answer(errnoBadf)},
	"fd_pwrite":               {"iiili", answer(errnoBadf)},
	"fd_sync":                 {"i", answer(errnoBadf)},
	"fd_datasync":             {"i", answer(errnoBadf)},
	"fd_tell":                 {"ii", answer(errnoBadf)},
	"path_open":               {"iiiiillii", answer(errnoBadf)},
	"path_filestat_get":       {"iiiii", answer(errnoBadf)},
	"path_create_directory":   {"iii", answer(errnoBadf)},
	"path_remove_directory":   {"iii", answer(errnoBadf)},
	"path_unlink_file":        {"iii", answer(errnoBadf)},
	"path_readlink":           {"iiiiii", answer(errnoBadf)},
	"path_rename":             {"iiiiii", answer(errnoBadf)},
	"path_link":               {"iiiiiii", answer(errnoBadf)},
	"path_symlink":            {"iiiii", answer(errnoBadf)},
	"path_filestat_set_times": {"iiiilli", answer(errnoBadf)},
	"sock_accept":             {"iii", answer(errnoNosys)},
	"sock_recv":               {"iiiiii", answer(errnoNosys)},
	"sock_send":               {"iiiii", answer(errnoNosys)},
	"sock_shutdown":           {"ii", answer(errnoNosys)},
}

// bindHost instantiates the host's side of the border in a plugin's runtime.
func bindHost(ctx context.Context, r wazero.Runtime) error {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	type binding struct {
		module, name    string
		params, results []api.ValueType
		f               api.GoModuleFunc
	}
	bindings := []binding{
		{meter.ModuleName, meter.RefuelName, nil, []api.ValueType{i64}, refuel},
		{importModule, importCall, []api.ValueType{i32, i32, i32}, []api.ValueType{i64}, hostCall},
		{"env", "abort", []api.ValueType{i32, i32, i32, i32}, nil, abort},
	}
	for name, w := range wasiFunctions {
		params := make([]api.ValueType, len(w.params))
		for i, p := range w.params {
			params[i] = i32
			if p == 'l' {
				params[i] = i64
			}
		}
		results := []api.ValueType{i32}
		if name == "proc_exit" {
			results = nil
		}
		bindings = append(bindings, binding{wasiModule, name, params, results, w.call})
	}
	builders := map[string]wazero.HostModuleBuilder{}
	for _, b := range bindings {
		if builders[b.module] == nil {
			builders[b.module] = r.NewHostModuleBuilder(b.module)
		}
		builders[b.module].NewFunctionBuilder().WithGoModuleFunction(b.f, b.params, b.results).Export(b.name)
	}
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("bind module %s: %w", name, err)
		}
	}
	return nil
}

// call adapts a WASI function to the runtime and charges the budget of calls.
func (w wasiFunction) call(ctx context.Context, mod api.Module, stack []uint64) {
	c := callOf(ctx)
	c.charge()
	stack[0] = uint64(w.run(c, mod.Memory(), stack))
}

// putU32 writes little-endian numbers one after the other.
func putU32(mem api.Memory, at uint32, values ...uint32) bool {
	for i, v := range values {
		if mem == nil || !mem.WriteUint32Le(at+uint32(4*i), v) {
			return false
		}
	}
	return true
}

func wasiClockTime(c *guestCall, mem api.Memory, stack []uint64) uint32 {
	if mem == nil || !mem.WriteUint64Le(uint32(stack[2]), uint64(c.inst.env.now().UnixNano())) {
		return errnoFault
	}
	return errnoSuccess
}

func wasiClockRes(_ *guestCall, mem api.Memory, stack []uint64) uint32 {
	if mem == nil || !mem.WriteUint64Le(uint32(stack[1]), 1000) {
		return errnoFault
	}
	return errnoSuccess
}

func wasiRandom(c *guestCall, mem api.Memory, stack []uint64) uint32 {
	n := uint32(stack[1])
	if mem == nil || n > 1<<16 {
		return errnoInval
	}
	buf, ok := mem.Read(uint32(stack[0]), n)
	if !ok {
		return errnoFault
	}
	if err := c.inst.env.random(buf); err != nil {
		return errnoInval
	}
	return errnoSuccess
}

// wasiNone answers counts and sizes of arguments and environment: none.
func wasiNone(_ *guestCall, mem api.Memory, stack []uint64) uint32 {
	if !putU32(mem, uint32(stack[0]), 0) || !putU32(mem, uint32(stack[1]), 0) {
		return errnoFault
	}
	return errnoSuccess
}

// wasiWrite takes what a guest prints on standard output and error as log lines.
func wasiWrite(c *guestCall, mem api.Memory, stack []uint64) uint32 {
	fd, iovs, count, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if fd != 1 && fd != 2 {
		return errnoBadf
	}
	if mem == nil || count > 1024 {
		return errnoInval
	}
	total := uint32(0)
	for i := range count {
		vec, ok := mem.Read(iovs+8*i, 8)
		if !ok {
			return errnoFault
		}
		ptr, n := binary.LittleEndian.Uint32(vec), binary.LittleEndian.Uint32(vec[4:])
		data, ok := mem.Read(ptr, n)
		if !ok || total+n < total {
			return errnoFault
		}
		c.inst.env.out.write(data)
		total += n
	}
	if !putU32(mem, result, total) {
		return errnoFault
	}
	return errnoSuccess
}

// wasiExit ends the call; the instance is of no further use.
func wasiExit(_ *guestCall, _ api.Memory, stack []uint64) uint32 {
	panic(fmt.Errorf("exit with status %d: %w", uint32(stack[0]), ErrTrap))
}

// wasiPoll waits for the earliest clock subscription, at most until the call's
// deadline; subscriptions to descriptors fail, since there are none.
func wasiPoll(c *guestCall, mem api.Memory, stack []uint64) uint32 {
	in, out, n, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	if mem == nil || n == 0 || n > 64 {
		return errnoInval
	}
	wait := time.Hour
	for i := range n {
		sub, ok := mem.Read(in+48*i, 48)
		if !ok {
			return errnoFault
		}
		var event [32]byte
		copy(event[:8], sub[:8]) // userdata
		event[10] = sub[8]       // type of event
		if sub[8] == 0 {
			wait = min(wait, subscribed(c, sub))
		} else {
			event[8], wait = errnoBadf, 0
		}
		if !mem.Write(out+32*i, event[:]) {
			return errnoFault
		}
	}
	c.sleep(wait)
	if !putU32(mem, result, n) {
		return errnoFault
	}
	return errnoSuccess
}

// subscribed returns how long a clock subscription waits: a timeout at offset
// 24, absolute when bit 0 of the flags at offset 40 is set.
func subscribed(c *guestCall, sub []byte) time.Duration {
	timeout := time.Duration(min(binary.LittleEndian.Uint64(sub[24:]), 1<<62))
	if sub[40]&1 != 0 {
		timeout -= time.Duration(c.inst.env.now().UnixNano())
	}
	return max(timeout, 0)
}

// sleep waits on behalf of the guest, whose time goes on.
func (c *guestCall) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(min(d, time.Until(c.deadline)+time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.Context.Done():
	}
	c.checkTime()
}

// abort is AssemblyScript's env.abort(message, file, line, column). Strings are
// UTF-16 with their size in bytes in the four bytes before them.
func abort(_ context.Context, mod api.Module, stack []uint64) {
	panic(fmt.Errorf("abort: %s at %s:%d:%d: %w", asString(mod.Memory(), uint32(stack[0])),
		asString(mod.Memory(), uint32(stack[1])), uint32(stack[2]), uint32(stack[3]), ErrTrap))
}

// asString reads a string of AssemblyScript, cut and escaped.
func asString(mem api.Memory, ptr uint32) string {
	if mem == nil || ptr < 4 {
		return ""
	}
	size, ok := mem.ReadUint32Le(ptr - 4)
	b, ok2 := mem.Read(ptr, min(size, 512)&^1)
	if !ok || !ok2 {
		return ""
	}
	runes := make([]rune, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		runes = append(runes, rune(binary.LittleEndian.Uint16(b[i:])))
	}
	return escape([]byte(string(runes)))
}
