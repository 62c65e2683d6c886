package wasm

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Abilities that a manifest can ask for and a configuration grants.
const (
	AbilityLog     = "log"
	AbilityKV      = "kv"
	AbilityTimer   = "timer"
	AbilityEmit    = "emit"
	AbilityHTTP    = "http"
	AbilityCommand = "command"
	AbilityConfig  = "config"
	AbilitySecret  = "secret"
	AbilityMetrics = "metrics"
)

// Quotas (PL-08).
const (
	emitQuota     = 16    // events in one reply of a filter
	emitQuotaLink = 1_000 // events in one other call
	maxStrikes    = 3     // calls over quota until emit is suspended
	storeTime     = 5 * time.Second
	publishTime   = 10 * time.Second
)

// operations are what bh.call does for one link. They are safe for concurrent use.
type operations struct {
	link    sdk.LinkID
	host    sdk.Host
	out     *output
	now     func() time.Time
	granted map[string]bool
	config  []byte
	secrets map[string]string
	http    *fetcher
	metric  func(name string, add float64)
	timers  *timers
	strikes atomic.Int32
}

// hostCall is the import bh.call: (op, ptr, len) -> result or minus an error kind.
func hostCall(ctx context.Context, mod api.Module, stack []uint64) {
	c := callOf(ctx)
	c.charge()
	op, ptr, n := uint32(stack[0]), uint32(stack[1]), uint32(stack[2])
	mem := mod.Memory()
	if op == opRead {
		k := min(int(n), len(c.pending))
		if mem == nil || !mem.Write(ptr, c.pending[:k]) {
			stack[0] = result(c, sdk.Errorf(sdk.Invalid, "read", "buffer is not in memory"))
			return
		}
		stack[0] = uint64(k)
		return
	}
	c.pending = c.pending[:0]
	if op == opTime {
		stack[0] = uint64(c.inst.env.now().UnixNano())
		return
	}
	var arg []byte
	ok := n <= MaxReply
	if ok && n > 0 {
		ok = mem != nil
		if ok {
			arg, ok = mem.Read(ptr, n)
		}
	}
	if !ok {
		stack[0] = result(c, sdk.Errorf(sdk.Invalid, "call", "%d bytes at %#x are not in memory", n, ptr))
		return
	}
	ops := c.inst.env.ops
	if ops == nil {
		stack[0] = result(c, sdk.Errorf(sdk.Forbidden, "call", "no operations while the module is probed"))
		return
	}
	stack[0] = result(c, ops.do(c, op, arg))
}

// result is what bh.call returns: the size of the answer, or minus the kind of
// an error whose text becomes the answer.
func result(c *guestCall, err error) uint64 {
	if err == nil {
		return uint64(len(c.pending))
	}
	kind := max(sdk.KindOf(err), sdk.Transient)
	c.pending = append(c.pending[:0], err.Error()...)
	return uint64(-int64(kind))
}

// need is the ability of each operation; empty = none.
var need = [...]string{
	opLog: AbilityLog, opKVGet: AbilityKV, opKVSet: AbilityKV, opKVKeys: AbilityKV, opTimer: AbilityTimer,
	opEmit: AbilityEmit, opHTTP: AbilityHTTP, opSecret: AbilitySecret, opMetric: AbilityMetrics, opTime: "",
}

// do performs an operation. arg is a part of the guest's memory and is not kept.
func (o *operations) do(c *guestCall, op uint32, arg []byte) error {
	if op >= uint32(len(need)) {
		return sdk.Errorf(sdk.Unsupported, "call", "operation %d is not known", op)
	}
	if ability := need[op]; ability != "" && !o.granted[ability] {
		return sdk.Errorf(sdk.Forbidden, "call", "ability %q was not asked for in the manifest or not granted to link %s", ability, o.link)
	}
	if c.kind == callFilter && (op == opTimer || op == opEmit || op == opHTTP || op == opReport) {
		return sdk.Errorf(sdk.Forbidden, "call", "not within filter, since an event may pass more than once")
	}
	switch op {
	case opLog:
		return o.log(arg)
	case opTimer:
		return o.timers.set(arg, o.now())
	case opConfig:
		c.pending = append(c.pending, o.config...)
		return nil
	case opSecret:
		v, ok := o.secrets[string(arg)]
		if !ok {
			return sdk.Errorf(sdk.NotFound, "secret", "no secret %q", escape(arg[:min(len(arg), 64)]))
		}
		c.pending = append(c.pending, v...)
		return nil
	case opMetric:
		return o.addMetric(arg)
	default:
		return o.slow(c, op, arg)
	}
}

// slow performs an operation that may wait for disk or network. Its time does
// not count towards the guest's own limit.
func (o *operations) slow(c *guestCall, op uint32, arg []byte) error {
	start := time.Now()
	defer func() { c.deadline = c.deadline.Add(time.Since(start)) }()
	limit := storeTime
	switch op {
	case opEmit:
		limit = publishTime
	case opHTTP:
		limit = httpTime
	}
	ctx, cancel := context.WithTimeout(c.Context, limit)
	defer cancel()
	switch op {
	case opKVGet:
		v, err := o.host.Store().Get(ctx, string(arg))
		if err == nil && v == nil {
			err = sdk.Errorf(sdk.NotFound, "kv_get", "no such key")
		}
		c.pending = append(c.pending, v...)
		return err
	case opKVSet:
		return o.set(ctx, arg)
	case opKVKeys:
		return o.keys(ctx, c, arg)
	case opEmit:
		return o.publish(ctx, c, arg)
	case opHTTP:
		return o.http.do(ctx, c, arg)
	default: // opReport
		report, err := codec.DecodeReport(arg)
		if err != nil {
			return invalid("report", err)
		}
		report.Reason, report.Title = escape([]byte(report.Reason)), escape([]byte(report.Title))
		return o.host.Report(ctx, report)
	}
}

func invalid(op string, err error) error { return &sdk.Error{Op: op, Kind: sdk.Invalid, Err: err} }

// log writes a record: a byte of level, then text.
func (o *operations) log(arg []byte) error {
	if len(arg) == 0 {
		return sdk.Errorf(sdk.Invalid, "log", "empty")
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if int(arg[0]) >= len(levels) {
		return sdk.Errorf(sdk.Invalid, "log", "level %d", arg[0])
	}
	o.out.emit(levels[arg[0]], arg[1:])
	return nil
}

// addMetric reads a Metric.
func (o *operations) addMetric(arg []byte) error {
	var name string
	var add float64
	err := fields(arg, func(f field) error {
		switch {
		case f.id == 1 && f.typ == protowire.BytesType:
			name = string(f.raw)
		case f.id == 2 && f.typ == protowire.Fixed64Type:
			bits, _ := protowire.ConsumeFixed64(f.full[len(f.full)-8:])
			add = math.Float64frombits(bits)
		}
		return nil
	})
	if err != nil {
		return invalid("metric", err)
	}
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, bad) || math.IsNaN(add) || math.IsInf(add, 0) || add < 0 {
		return sdk.Errorf(sdk.Invalid, "metric", "a name of [a-z0-9_] and an amount of at least 0 are needed")
	}
	if o.metric != nil {
		o.metric(name, add)
	}
	return nil
}

// set reads a StoreSet: key, and value unless the key is to be deleted.
func (o *operations) set(ctx context.Context, arg []byte) error {
	var key string
	var value []byte
	err := fields(arg, func(f field) error {
		switch {
		case f.id == 1 && f.typ == protowire.BytesType:
			key = string(f.raw)
		case f.id == 2 && f.typ == protowire.BytesType:
			value = append([]byte{}, f.raw...)
		}
		return nil
	})
	if err != nil {
		return invalid("kv_set", err)
	}
	if key == "" || len(key) > 256 || !utf8.ValidString(key) {
		return sdk.Errorf(sdk.Invalid, "kv_set", "a key has 1 to 256 bytes of UTF-8")
	}
	if len(value) > 64<<10 {
		return sdk.Errorf(sdk.TooLarge, "kv_set", "%d bytes, at most 64 KiB", len(value))
	}
	return o.host.Store().Set(ctx, key, value)
}

// keys reads a StoreKeys and answers with a StoreKeysReply.
func (o *operations) keys(ctx context.Context, c *guestCall, arg []byte) error {
	var prefix, after string
	err := fields(arg, func(f field) error {
		switch f.id {
		case 1:
			prefix = string(f.raw)
		case 2:
			after = string(f.raw)
		}
		return nil
	})
	if err != nil {
		return invalid("kv_keys", err)
	}
	keys, err := o.host.Store().Keys(ctx, prefix, after)
	for _, k := range keys {
		c.pending = protowire.AppendTag(c.pending, 1, protowire.BytesType)
		c.pending = protowire.AppendString(c.pending, k)
	}
	return err
}

// publish reads a Publish and hands its events to the host.
func (o *operations) publish(ctx context.Context, c *guestCall, arg []byte) error {
	var encoded [][]byte
	err := fields(arg, func(f field) error {
		if f.id == 1 && f.typ == protowire.BytesType {
			encoded = append(encoded, f.raw)
		}
		return nil
	})
	if err != nil {
		return invalid("emit", err)
	}
	free := max(emitQuotaLink-c.emitted, 0)
	c.emitted += len(encoded)
	events, quotaErr := o.events(encoded, free)
	if len(events) == 0 {
		return quotaErr
	}
	if err := o.host.Publish(ctx, events...); err != nil {
		return err
	}
	return quotaErr
}

// events decodes at most quota events that a guest emits. What is over quota is
// dropped and costs a strike; after three the link may emit no more.
func (o *operations) events(encoded [][]byte, quota int) ([]sdk.Event, error) {
	if o.strikes.Load() >= maxStrikes {
		return nil, sdk.Errorf(sdk.Forbidden, "emit", "suspended: link %s went over its quota %d times", o.link, maxStrikes)
	}
	var over error
	if len(encoded) > quota {
		over = sdk.Errorf(sdk.RateLimited, "emit", "%d events, %d are allowed here; the rest is dropped", len(encoded), quota)
		encoded = encoded[:quota]
		o.strike()
	}
	events := make([]sdk.Event, 0, len(encoded))
	for _, b := range encoded {
		ev, err := codec.DecodeEvent(b)
		if err != nil {
			return nil, invalid("emit", err)
		}
		if err := o.stamp(&ev); err != nil {
			return nil, err
		}
		events = append(events, ev)
	}
	return events, over
}

// strike counts a call over quota and tells the operator when emit is suspended.
func (o *operations) strike() {
	if o.strikes.Add(1) == maxStrikes && o.host != nil {
		o.host.Log().Error("module may emit no more events", "strikes", maxStrikes)
	}
}

// stamp gives an event the origin that the link has; one that claims another
// link's is refused (PL-09). What only the host mints is cleared.
func (o *operations) stamp(ev *sdk.Event) error {
	own := func(r *sdk.Ref, what string) error {
		if r.Link != "" && r.Link != o.link {
			return sdk.Errorf(sdk.Forbidden, "emit", "%s of link %q; link %s may only name its own", what, escape([]byte(r.Link)), o.link)
		}
		if r.ID != "" {
			r.Link = o.link
		}
		return nil
	}
	ev.ID, ev.Seq, ev.Via, ev.Actor.ID = "", 0, nil, ""
	err := errors.Join(own(&ev.Place, "place"), own(&ev.Actor.Home, "actor"))
	if it := ev.Item(); it != nil {
		it.ID, it.Conversation, it.Author, it.Revision = "", "", "", 0
		err = errors.Join(err, own(&it.Origin, "item"))
		it.Mentions = slices.Clone(it.Mentions)
		*ev = ev.WithItem(*it)
	}
	if ev.Time.IsZero() {
		ev.Time = o.now()
	}
	if err != nil {
		return &sdk.Error{Op: "emit", Kind: sdk.Forbidden, Err: err}
	}
	if ev.Kind() == sdk.KindNone {
		return sdk.Errorf(sdk.Invalid, "emit", "event without a change")
	}
	return nil
}
