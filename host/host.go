// Package host is the core's public face: New makes a host from a
// configuration, and Run runs it. Check examines a configuration without
// running it, and Client talks to a host that runs.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bridgehost/host/config"
	"bridgehost/host/internal/admin"
	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/gateway"
	"bridgehost/host/internal/intake"
	"bridgehost/host/internal/launch/proc"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/obs"
	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/store/sqlite"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// Options are what the program, and not the operator, decides.
type Options struct {
	Version string
	Log     *slog.Logger
	// InProcess runs built-in plugins without subprocesses, for benchmarks.
	InProcess bool
	// Ready is called when the listeners answer, with their addresses.
	Ready func(public, admin net.Addr)
	Now   func() time.Time
}

// Host is one bridge.
type Host struct {
	opt      Options
	builtins map[string]sdk.Plugin
	log      *slog.Logger

	reload sync.Mutex // one reload at a time
	cfg    atomic.Pointer[config.Config]

	started  time.Time
	running  atomic.Bool
	db       *sqlite.DB
	intake   *intake.Intake
	outbox   *outbox.Outbox
	filters  *filter.Chain
	sup      *supervise.Supervisor
	web      *gateway.Gateway
	cert     *gateway.Certificate
	informer *informer
	metrics  *obs.Metrics
	modules  *wasm.Host
	runtime  *proc.Runtime
}

// New makes a host. It does no I/O; faults of the configuration were found when
// it was loaded.
func New(cfg *config.Config, builtins map[string]sdk.Plugin, opt Options) (*Host, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	h := &Host{opt: opt, builtins: builtins, log: opt.Log, informer: newInformer(opt.Log)}
	h.cfg.Store(cfg)
	if err := h.checkPlugins(cfg); err != nil {
		return nil, err
	}
	return h, nil
}

// Run works until ctx ends, then drains: intake stops, what is in flight is
// finished, the queue stays on disk. A value on hup reads the configuration
// again. It returns nil after an orderly end.
func (h *Host) Run(ctx context.Context, hup <-chan os.Signal) (err error) {
	if err := h.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	public, err := h.listenPublic(ctx)
	if err != nil {
		return err
	}
	adminListener, err := listen(ctx, h.config().Admin.Listen)
	if err != nil {
		return err
	}
	server, err := admin.New(h, h, promhttp.HandlerFor(h.metrics.Registry, promhttp.HandlerOpts{}), h.log)
	if err != nil {
		return err
	}
	h.started = h.opt.Now()
	h.running.Store(true)
	defer h.running.Store(false)
	if h.opt.Ready != nil {
		h.opt.Ready(addrOf(public), addrOf(adminListener))
	}
	return h.serve(ctx, hup, public, adminListener, server)
}

// serve runs the parts. When ctx ends, or one of them fails, they end in the
// order of the way of an event: intake first, the database last.
func (h *Host) serve(ctx context.Context, hup <-chan os.Signal, public, adminListener net.Listener, server *admin.Server) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	links, stopLinks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLinks()
	lanes, stopLanes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLanes()

	var listeners, core, supervisor sync.WaitGroup
	var awaited []sdk.LinkID
	part := func(wg *sync.WaitGroup, run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				stop(err)
			}
		})
	}
	specs := h.specs(h.config())
	for _, spec := range specs {
		awaited = append(awaited, spec.Link)
	}
	h.web.Await(awaited)
	if public != nil {
		part(&listeners, func() error { return h.web.Serve(ctx, public, 5*time.Second) })
	}
	if adminListener != nil {
		part(&core, func() error { return server.Serve(lanes, adminListener) })
	}
	part(&core, func() error { return h.outbox.Run(lanes) })
	part(&core, func() error { return h.intake.Run(lanes) })
	part(&core, func() error { h.informer.run(lanes); return nil })
	part(&supervisor, func() error {
		return h.sup.Run(links, specs, func() { h.notify("READY=1") })
	})
	h.reloads(ctx, hup)

	h.notify("STOPPING=1")
	h.log.Info("stopping")
	listeners.Wait()
	stopLinks()
	supervisor.Wait()
	stopLanes()
	core.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// reloads reads the configuration again for each value on hup, until ctx ends.
func (h *Host) reloads(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			h.notify("RELOADING=1")
			if text, err := h.Reload(ctx); err != nil {
				h.log.Error("configuration not applied; the running one goes on", "error", err)
			} else {
				h.log.Info("configuration applied", "changes", text)
			}
			h.notify("READY=1")
		}
	}
}

func (h *Host) notify(state string) {
	if err := notify(state); err != nil {
		h.log.Warn("service manager not told", "error", err)
	}
}

// listen opens a TCP listener; an empty address gives nil.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w; choose another address or stop what uses it", err)
	}
	return l, nil
}

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// runtimeDir is where sockets of plugins lie.
func (h *Host) runtimeDir() string { return filepath.Join(h.config().DataDir(), "run") }
