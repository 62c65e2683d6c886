package wasm

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/web"
)

// Link is a link whose code is a module. Its facets are those that the module
// declared. It is safe for concurrent use: calls about one place come one after
// the other at one instance.
type Link struct {
	cfg    sdk.Config
	host   sdk.Host
	env    *environment
	ops    *operations
	seed   maphash.Seed
	shards []*shard

	mu     sync.Mutex // guards code, limit, declared, closed
	code   *compiled
	limit  time.Duration
	facets []string
	routes []web.Route
	closed bool
}

var (
	_ sdk.Link    = (*Link)(nil)
	_ sdk.Faceted = (*Link)(nil)
	_ web.Faceted = (*Link)(nil)
)

// shard is one slot for an instance. Buffers are used again.
type shard struct {
	mu    sync.Mutex
	inst  *instance
	code  *compiled // that inst runs; retained
	req   []byte
	reply []byte
}

func newLink(p *Plugin, cfg sdk.Config, host sdk.Host) *Link {
	out := newOutput(nil)
	if host != nil {
		out.log = host.Log()
	}
	l := &Link{cfg: cfg, host: host, seed: maphash.MakeSeed(), code: p.code, limit: p.time()}
	p.code.retain()
	l.ops = &operations{
		link: cfg.Link, host: host, out: out, now: p.host.opts.Now, granted: map[string]bool{},
		config: cfg.JSON, secrets: p.opts.Secrets, http: newFetcher(p.hosts(), slices.Concat(p.host.opts.Allow, p.opts.Allow)), timers: newTimers(),
	}
	for _, a := range p.opts.Manifest.Abilities {
		l.ops.granted[a] = slices.Contains(p.opts.Grant, a)
	}
	if m := p.opts.Metric; m != nil {
		l.ops.metric = func(name string, add float64) { m(cfg.Link, name, add) }
	}
	l.env = &environment{now: p.host.opts.Now, entropy: p.host.opts.Random, out: out, ops: l.ops}
	l.facets = p.opts.Manifest.Facets
	n := 1
	if !slices.ContainsFunc(l.facets, func(f string) bool { return f != "filter" && f != "commander" }) && len(l.facets) > 0 {
		n = shards()
		if p.opts.Shards > 0 {
			n = p.opts.Shards
		}
	}
	for range n {
		l.shards = append(l.shards, &shard{})
	}
	return l
}

// probe starts an instance of code, opens it, and takes over what it declares.
func (l *Link) probe(code *compiled) error {
	inst, r, err := l.start(context.Background(), code)
	if err != nil {
		return err
	}
	inst.close()
	b, ok := r.body[10]
	if !ok {
		return nil
	}
	var facets []string
	var routes []web.Route
	err = fields(b, func(f field) error {
		switch f.id {
		case 1:
			facets = append(facets, string(f.raw))
		case 2:
			route, err := codec.DecodeWebRoute(f.raw)
			routes = append(routes, route)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("decode open reply: %w: %w", err, ErrReply)
	}
	for _, f := range facets {
		if len(l.facets) > 0 && !slices.Contains(l.facets, f) {
			return sdk.Errorf(sdk.Invalid, "", "module has facet %q, which its manifest does not list", escape([]byte(f)))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(facets) > 0 {
		l.facets = facets
	}
	l.routes = routes
	return nil
}

// start makes an instance and gives it the configuration.
func (l *Link) start(ctx context.Context, code *compiled) (*instance, reply, error) {
	inst, err := newInstance(ctx, code.runtime, code.module, l.env, code.limits)
	if err != nil {
		return nil, reply{}, err
	}
	req := appendMessage(nil, callOpen, func(b []byte) []byte {
		return appendMessage(b, 1, func(b []byte) []byte { return codec.AppendConfig(b, &l.cfg) })
	})
	b, err := inst.do(ctx, callOpen, DefaultInitTime, req, nil)
	var r reply
	if err == nil {
		r, err = parseReply(b)
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		inst.close()
		return nil, reply{}, fmt.Errorf("open: %w", err)
	}
	return inst, r, nil
}

// errBusy means that a call waited for its instance until its time was over.
var errBusy = fmt.Errorf("the module was busy with other calls for too long: %w", context.DeadlineExceeded)

// call hands one request to the instance of a key. build appends the message;
// done reads that message and the reply; the bytes of both are used again after
// it returns.
func (l *Link) call(ctx context.Context, key string, kind int, build func([]byte) []byte, done func(req, reply []byte) error) error {
	sh := l.shards[0]
	if len(l.shards) > 1 {
		sh = l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch err := ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded): // spent behind other calls: nothing is known of this one
		return &sdk.Error{Op: callNames[kind], Kind: sdk.Overloaded, Err: errBusy}
	case err != nil:
		return fmt.Errorf("%s: %w", callNames[kind], err)
	}
	if err := l.ready(ctx, sh); err != nil {
		return fmt.Errorf("%s: %w", callNames[kind], err)
	}
	sh.req = appendMessage(sh.req[:0], protowire.Number(kind), build)
	var err error
	sh.reply, err = sh.inst.do(ctx, kind, l.limit, sh.req, sh.reply[:0])
	if err == nil && done != nil {
		sent, _, _ := nextField(sh.req)
		err = done(sent.raw, sh.reply)
		if errors.Is(err, ErrReply) { // a runtime that replies nonsense is not to be trusted
			sh.stop()
		}
	} else if err != nil {
		sh.stop()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", callNames[kind], err)
	}
	return nil
}

// ready makes sure that the shard, whose lock is held, has an instance.
func (l *Link) ready(ctx context.Context, sh *shard) error {
	if sh.inst != nil {
		return nil
	}
	l.mu.Lock()
	code, closed := l.code, l.closed
	if !closed {
		code.retain()
	}
	l.mu.Unlock()
	if closed {
		return &sdk.Error{Kind: sdk.Gone, Err: ErrClosed}
	}
	inst, _, err := l.start(ctx, code)
	if err != nil {
		code.release()
		return err
	}
	sh.inst, sh.code = inst, code
	return nil
}

// stop closes the instance of a shard, whose lock is held.
func (s *shard) stop() {
	if s.inst != nil {
		s.inst.close()
		s.code.release()
		s.inst, s.code = nil, nil
	}
}

// simple makes a call whose reply says no more than whether it succeeded.
func (l *Link) simple(ctx context.Context, key string, kind int, build func([]byte) []byte) error {
	_, err := l.ask(ctx, key, kind, build)
	return err
}

// ask makes a call and returns a copy of the reply.
func (l *Link) ask(ctx context.Context, key string, kind int, build func([]byte) []byte) (reply, error) {
	var r reply
	err := l.call(ctx, key, kind, build, func(_, b []byte) error {
		var err error
		if r, err = parseReply(slices.Clone(b)); err == nil {
			err = r.err
		}
		return err
	})
	return r, err
}

// Reload changes to a newer module: an instance of it is probed and one is made
// for each that works now; then each shard changes between two calls, and the
// old code is closed when its last instance has gone. On an error the link goes
// on as it was. Grants and limits of time stay those of the link; state that a
// module keeps in memory is lost.
func (l *Link) Reload(ctx context.Context, p *Plugin) error {
	fresh, err := l.prepare(ctx, p.code)
	if err != nil {
		return fmt.Errorf("reload link %s: %w", l.cfg.Link, err)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		drop(fresh)
		return &sdk.Error{Op: "reload link " + string(l.cfg.Link), Kind: sdk.Gone, Err: ErrClosed}
	}
	old := l.code
	p.code.retain()
	l.code = p.code
	l.mu.Unlock()
	for i, sh := range l.shards {
		sh.mu.Lock()
		sh.stop() // waits for the call in it
		if fresh[i] != nil && !l.isClosed() {
			sh.inst, sh.code = fresh[i], p.code
			p.code.retain()
			fresh[i] = nil
		}
		sh.mu.Unlock()
	}
	drop(fresh)
	old.release()
	return nil
}

// prepare probes code and makes an instance for each shard that has one.
func (l *Link) prepare(ctx context.Context, code *compiled) ([]*instance, error) {
	fresh := make([]*instance, len(l.shards))
	if err := l.probe(code); err != nil {
		return nil, err
	}
	for i, sh := range l.shards {
		sh.mu.Lock()
		used := sh.inst != nil
		sh.mu.Unlock()
		if !used {
			continue
		}
		inst, _, err := l.start(ctx, code)
		if err != nil {
			drop(fresh)
			return nil, err
		}
		fresh[i] = inst
	}
	return fresh, nil
}

// drop closes instances that no shard has taken.
func drop(instances []*instance) {
	for _, inst := range instances {
		if inst != nil {
			inst.close()
		}
	}
}

func (l *Link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close ends all instances after the calls in them. Run does so when it ends;
// a link that was used and never run must be closed.
func (l *Link) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	code := l.code
	l.mu.Unlock()
	for _, sh := range l.shards {
		sh.mu.Lock()
		sh.stop()
		sh.mu.Unlock()
	}
	code.release()
	l.ops.http.close()
}

// maxTimerFaults is how many calls by timers may fail in a row before the link gives up.
const maxTimerFaults = 3

// Run implements sdk.Link: it tells the module that the link runs, then calls
// it for its timers until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	defer l.Close()
	if err := l.simple(ctx, "", callRun, func(b []byte) []byte { return b }); err != nil {
		return fmt.Errorf("link %s: %w", l.cfg.Link, err)
	}
	if err := l.host.Report(ctx, sdk.Report{State: sdk.StateUp}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("link %s: report state: %w", l.cfg.Link, err)
	}
	faults := 0
	for l.waitTimer(ctx) {
		for _, id := range l.ops.timers.take(l.ops.now()) {
			err := l.simple(ctx, "", callTimer, func(b []byte) []byte {
				return protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(id))
			})
			if err == nil {
				faults = 0
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			l.host.Log().Warn("timer of the module did not succeed", "timer", id, "error", err)
			if faults++; faults >= maxTimerFaults {
				return fmt.Errorf("link %s: %w", l.cfg.Link, err)
			}
		}
	}
	return nil
}

// waitTimer waits until a timer may be due; false when ctx has ended.
func (l *Link) waitTimer(ctx context.Context) bool {
	var due <-chan time.Time
	if next := l.ops.timers.next(); !next.IsZero() {
		timer := time.NewTimer(next.Sub(l.ops.now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-l.ops.timers.wake:
	case <-due:
	}
	return true
}
