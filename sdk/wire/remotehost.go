package wire

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// remoteHost is the host as the plugin sees it.
type remoteHost struct {
	peer *peer
	log  *slog.Logger
}

var (
	_ sdk.Host  = (*remoteHost)(nil)
	_ sdk.Store = (*remoteHost)(nil)
)

func newRemoteHost(p *peer, level int) *remoteHost {
	return &remoteHost{peer: p, log: slog.New(&logHandler{
		peer: p, level: slog.Level(level),
		limit: &logLimit{rate: rate.NewLimiter(logPerSecond, logBurst)},
	})}
}

// ask makes a call; timeout 0 leaves it to ctx.
func (h *remoteHost) ask(ctx context.Context, op string, timeout time.Duration, body, reply codec.Body) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := h.peer.call(ctx, body, reply)
	if errors.Is(err, errNoReply) || errors.Is(err, errEnded) {
		return &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}
	}
	if e := sdk.AsError(op, err); e != nil {
		return e
	}
	return nil
}

// Publish implements sdk.Host. It waits as long as ctx lasts: the host writes
// to disk, and makes callers wait when it has much to do.
func (h *remoteHost) Publish(ctx context.Context, events ...sdk.Event) error {
	if len(events) == 0 {
		return nil
	}
	return h.ask(ctx, "publish", 0, &codec.Publish{Events: events}, nil)
}

// Report implements sdk.Host.
func (h *remoteHost) Report(ctx context.Context, reports ...sdk.Report) error {
	if len(reports) == 0 {
		return nil
	}
	return h.ask(ctx, "report", DefaultCallTimeout, &codec.Report{Reports: reports}, nil)
}

// Resolve implements sdk.Host.
func (h *remoteHost) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	var reply codec.ResolveReply
	err := h.ask(ctx, "resolve", DefaultCallTimeout, &codec.Resolve{Address: address}, &reply)
	return reply.Resolved, err
}

// Store implements sdk.Host.
func (h *remoteHost) Store() sdk.Store { return h }

// Log implements sdk.Host.
func (h *remoteHost) Log() *slog.Logger { return h.log }

// Get implements sdk.Store.
func (h *remoteHost) Get(ctx context.Context, key string) ([]byte, error) {
	var reply codec.StoreGetReply
	err := h.ask(ctx, "store get", DefaultCallTimeout, &codec.StoreGet{Key: key}, &reply)
	return reply.Value, err
}

// Set implements sdk.Store.
func (h *remoteHost) Set(ctx context.Context, key string, value []byte) error {
	return h.ask(ctx, "store set", DefaultCallTimeout, &codec.StoreSet{Key: key, Value: value}, nil)
}

// Keys implements sdk.Store.
func (h *remoteHost) Keys(ctx context.Context, prefix, after string) ([]string, error) {
	var reply codec.StoreKeysReply
	err := h.ask(ctx, "store keys", DefaultCallTimeout, &codec.StoreKeys{Prefix: prefix, After: after}, &reply)
	return reply.Keys, err
}

// logLimit is shared by all loggers of a link.
type logLimit struct {
	rate    *rate.Limiter
	dropped atomic.Int64
}

// logHandler sends records to the host. Records above the rate are dropped and
// counted; Warn and above have to pass the same limit, since a loop may log at
// any level.
type logHandler struct {
	peer  *peer
	level slog.Level
	limit *logLimit
	group string // with a dot at the end
	attrs []codec.Attr
}

var _ slog.Handler = (*logHandler)(nil)

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	if !h.limit.rate.Allow() {
		h.limit.dropped.Add(1)
		return nil
	}
	note := &codec.Log{Time: r.Time, Level: int(r.Level), Message: cut(r.Message), Attrs: slices.Clone(h.attrs)}
	r.Attrs(func(a slog.Attr) bool {
		note.Attrs = appendAttr(note.Attrs, h.group, a)
		return len(note.Attrs) < logAttrs
	})
	if n := h.limit.dropped.Swap(0); n > 0 {
		note.Attrs = appendAttr(note.Attrs, "", slog.Int64("dropped_before", n))
	}
	h.peer.tell(note)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, h.group, a)
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group = h.group + name + "."
	}
	return &with
}

// appendAttr adds a fact, groups as names joined by dots.
func appendAttr(attrs []codec.Attr, group string, a slog.Attr) []codec.Attr {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key == "" {
			return attrs
		}
		return append(attrs, codec.Attr{Key: group + a.Key, Value: cut(v.String())})
	}
	if a.Key != "" {
		group += a.Key + "."
	}
	for _, member := range v.Group() {
		attrs = appendAttr(attrs, group, member)
	}
	return attrs
}

// cut bounds a text of a log record; the host does so again.
func cut(s string) string { return s[:min(len(s), logText)] }
