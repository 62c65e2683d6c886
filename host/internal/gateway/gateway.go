// Package gateway is the public HTTP listener: it hands prefixes to links, and
// does before that what no link should have to do: tokens, methods, body
// limits, rates, deadlines, and the real address of the client.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Options are the settings of the listener.
type Options struct {
	TrustedProxies []netip.Prefix
	// Timeout bounds a request as a whole, reading and answering; 0 = 30 s.
	Timeout time.Duration
	// ReadTimeout bounds reading header and body; 0 = 10 s.
	ReadTimeout time.Duration
	// MaxInFlight bounds requests that are handled at once; more get 503. 0 = 512.
	MaxInFlight int
	// Observe is called with the prefix and the status of each answer.
	Observe func(prefix string, status int)
	Now     func() time.Time
	Log     *slog.Logger
}

func (o *Options) fill() {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 10 * time.Second
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 512
	}
	if o.Observe == nil {
		o.Observe = func(string, int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// mount is one route of one link.
type mount struct {
	link    sdk.LinkID
	route   web.Route
	handler web.Handler // nil while the link is down
	rate    *limiter
}

// Gateway is the public listener. Its methods may be called from any goroutine.
type Gateway struct {
	opt   Options
	mu    sync.Mutex
	table atomic.Pointer[[]*mount] // longest prefix first; never changed in place
	await map[sdk.LinkID]bool      // links that may still bring routes; guarded by mu
	slots chan struct{}
}

// New makes a gateway without routes.
func New(opt Options) *Gateway {
	opt.fill()
	g := &Gateway{opt: opt, slots: make(chan struct{}, opt.MaxInFlight)}
	g.table.Store(&[]*mount{})
	return g
}

// Await names links that are starting. Until each of them has arrived, a path
// that nobody serves is answered with 503 and not with 404: its link may be
// about to come, and a sender takes 404 for the last word.
func (g *Gateway) Await(links []sdk.LinkID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.await = map[sdk.LinkID]bool{}
	for _, l := range links {
		g.await[l] = true
	}
}

// Arrived says that a link has started, with or without routes, or never will.
func (g *Gateway) Arrived(link sdk.LinkID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.await, link)
}

// awaiting reports whether links are still starting.
func (g *Gateway) awaiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.await) > 0
}

// Attach gives the link's routes to its handler, in place of what the link had
// before. It fails, and changes nothing, when a prefix belongs to another link
// or is not a path.
func (g *Gateway) Attach(link sdk.LinkID, h web.Handler) error {
	routes := h.WebRoutes()
	g.mu.Lock()
	defer g.mu.Unlock()
	var next []*mount
	old := map[string]*mount{}
	for _, m := range *g.table.Load() {
		if m.link == link {
			old[m.route.Prefix] = m
			continue
		}
		next = append(next, m)
	}
	for _, r := range routes {
		if !strings.HasPrefix(r.Prefix, "/") {
			return fmt.Errorf("route %q of link %s: a prefix begins with a slash", r.Prefix, link)
		}
		for _, m := range next {
			if m.route.Prefix == r.Prefix {
				return fmt.Errorf("route %q of link %s: taken by link %s; give one of them another path", r.Prefix, link, m.link)
			}
		}
		m := &mount{link: link, route: r, handler: h, rate: newLimiter(r.PerMinute)}
		if o := old[r.Prefix]; o != nil && o.route.PerMinute == r.PerMinute {
			m.rate = o.rate
		}
		next = append(next, m)
	}
	sort.SliceStable(next, func(i, j int) bool { return len(next[i].route.Prefix) > len(next[j].route.Prefix) })
	g.table.Store(&next)
	return nil
}

// Suspend keeps the link's routes but answers them with 503 until the link is
// attached again: it is restarting.
func (g *Gateway) Suspend(link sdk.LinkID) { g.replace(link, true) }

// Detach removes the link's routes.
func (g *Gateway) Detach(link sdk.LinkID) { g.replace(link, false) }

func (g *Gateway) replace(link sdk.LinkID, keep bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var next []*mount
	for _, m := range *g.table.Load() {
		switch {
		case m.link != link:
			next = append(next, m)
		case keep:
			next = append(next, &mount{link: m.link, route: m.route, rate: m.rate})
		}
	}
	g.table.Store(&next)
}

// find gives the mount of the longest prefix that the path lies under.
func (g *Gateway) find(path string) *mount {
	for _, m := range *g.table.Load() {
		p := m.route.Prefix
		if strings.HasPrefix(path, p) && (strings.HasSuffix(p, "/") || len(path) == len(p) || path[len(p)] == '/') {
			return m
		}
		if strings.HasSuffix(p, "/") && path == p[:len(p)-1] {
			return m
		}
	}
	return nil
}

// Serve answers requests on l until ctx ends, then lets those in flight end
// within drain. It closes l.
func (g *Gateway) Serve(ctx context.Context, l net.Listener, drain time.Duration) error {
	srv := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: g.opt.ReadTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(g.opt.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("drain http on %s: %w", l.Addr(), err)
	}
	return nil
}
