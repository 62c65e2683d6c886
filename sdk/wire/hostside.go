package wire

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Bounds of a plugin's log.
const (
	logPerSecond = 200
	logBurst     = 1000
	logText      = 4 << 10 // bytes of one message or attribute
	logAttrs     = 32
)

// hostSide answers the plugin's calls.
type hostSide struct {
	host    sdk.Host // nil in a session that only describes
	logRate *rate.Limiter
	dropped atomic.Int64
}

func newHostSide(h sdk.Host) *hostSide {
	return &hostSide{host: h, logRate: rate.NewLimiter(logPerSecond, logBurst)}
}

var _ handler = (*hostSide)(nil)

func failure(op string, err error) codec.Body { return &codec.Failure{Err: sdk.AsError(op, err)} }

// done answers a call without a result.
func done(op string, err error) codec.Body {
	if err != nil {
		return failure(op, err)
	}
	return &codec.Done{}
}

// broken answers a call that cannot be read.
func broken(err error) codec.Body {
	return &codec.Failure{Err: &sdk.Error{Kind: sdk.Invalid, Op: "read call", Err: err}}
}

func (s *hostSide) answer(ctx context.Context, e codec.Envelope) codec.Body {
	if s.host == nil {
		return failure("", sdk.Errorf(sdk.Invalid, "", "no link is open"))
	}
	switch e.Field {
	case codec.FieldPublish:
		var b codec.Publish
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		return done("publish", s.host.Publish(ctx, b.Events...))
	case codec.FieldReport:
		var b codec.Report
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		return done("report", s.host.Report(ctx, b.Reports...))
	case codec.FieldResolve:
		var b codec.Resolve
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		r, err := s.host.Resolve(ctx, b.Address)
		if err != nil {
			return failure("resolve", err)
		}
		return &codec.ResolveReply{Resolved: r}
	case codec.FieldStoreGet, codec.FieldStoreSet, codec.FieldStoreKeys:
		return s.store(ctx, e)
	case codec.FieldPing:
		return &codec.Done{}
	default:
		return unknownCall(e.Field)
	}
}

func unknownCall(f codec.Field) codec.Body {
	return &codec.Failure{Err: sdk.Errorf(sdk.Unsupported, "", "call %d is not known to this side", f)}
}

func (s *hostSide) store(ctx context.Context, e codec.Envelope) codec.Body {
	switch e.Field {
	case codec.FieldStoreGet:
		var b codec.StoreGet
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		value, err := s.host.Store().Get(ctx, b.Key)
		if err != nil {
			return failure("store get", err)
		}
		return &codec.StoreGetReply{Value: value}
	case codec.FieldStoreSet:
		var b codec.StoreSet
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		return done("store set", s.host.Store().Set(ctx, b.Key, b.Value))
	default:
		var b codec.StoreKeys
		if err := codec.Decode(e.Body, &b); err != nil {
			return broken(err)
		}
		keys, err := s.host.Store().Keys(ctx, b.Prefix, b.After)
		if err != nil {
			return failure("store keys", err)
		}
		return &codec.StoreKeysReply{Keys: keys}
	}
}

// note writes a log record of the plugin, up to the rate that one may have.
func (s *hostSide) note(e codec.Envelope) {
	if e.Field != codec.FieldLog || s.host == nil {
		return
	}
	if !s.logRate.Allow() {
		s.dropped.Add(1)
		return
	}
	var b codec.Log
	if err := codec.Decode(e.Body, &b); err != nil {
		return // a log record is not worth a session
	}
	logger := s.host.Log()
	level := slog.Level(b.Level)
	if !logger.Enabled(context.Background(), level) {
		return
	}
	if n := s.dropped.Swap(0); n > 0 {
		logger.Warn("log records of the plugin were dropped", "count", n)
	}
	r := slog.NewRecord(b.Time, level, Printable(b.Message, logText), 0)
	if b.Time.IsZero() {
		r.Time = time.Now()
	}
	for _, a := range b.Attrs[:min(len(b.Attrs), logAttrs)] {
		r.AddAttrs(slog.String(Printable(a.Key, 64), Printable(a.Value, logText)))
	}
	_ = logger.Handler().Handle(context.Background(), r)
}
