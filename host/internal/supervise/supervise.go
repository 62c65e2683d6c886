package supervise

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Instance is a launched plugin.
type Instance interface {
	Plugin() sdk.Plugin
	// Done is closed when the instance has ended by itself; nil for one that
	// cannot (in process).
	Done() <-chan struct{}
	// Close ends the instance and waits until nothing of it is left.
	Close() error
}

// Launcher makes an instance of a link's plugin.
type Launcher interface {
	Launch(ctx context.Context, spec Spec) (Instance, error)
}

// Attachment is who uses the facets of running links. Attach comes after Open
// and before Run; Detach after Run has returned, or after the link's process
// has died.
type Attachment interface {
	Attach(link sdk.LinkID, m sdk.Manifest, f sdk.Facets, h web.Handler) error
	Detach(link sdk.LinkID, why Leave)
}

// Leave says why a link is detached.
type Leave uint8

// Reasons to be detached. A link that ended or crashed is started again.
const (
	Gone    Leave = iota // for good, or until the operator acts
	Ended                // Run returned by itself
	Crashed              // the plugin's process died
)

// Spec is what a link is to be.
type Spec struct {
	Link sdk.LinkID
	// Plugin is the operator's word: xmpp, wasm:FILE, exec:FILE.
	Plugin string
	Config sdk.Config
	// Version changes when the plugin's code, its limits or grants, or its
	// configuration do; a link is started anew only then.
	Version string
	// Swap says that a new instance may be started beside the old one (a WASM
	// filter), so that a change costs no event.
	Swap bool
	// Detail is for the launcher.
	Detail any
}

// Options are the settings of a supervisor.
type Options struct {
	Launcher   Launcher
	Attachment Attachment
	// NewHost makes the link's view of the host.
	NewHost func(spec Spec, report func(...sdk.Report)) sdk.Host
	// Crashes within Window after which a link is failed; 0 = 3 in 10 min.
	Crashes int
	Window  time.Duration
	// Pause is the longest pause before a start; 0 = 1 min.
	Pause time.Duration
	// Drain bounds how long a link may take to end; 0 = 10 s.
	Drain time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Supervisor runs links. Its methods may be called from any goroutine.
type Supervisor struct {
	opt     Options
	applyMu sync.Mutex // one change of the set at a time
	mu      sync.Mutex // guards links; held for moments only
	links   map[sdk.LinkID]*keeper
	spawn   func(work func(ctx context.Context)) (stop func()) // runs work under Run's context
	wg      sync.WaitGroup
}

// backoff gives the pause before the n-th start in a row, n from 1: 1, 2, 4 …
// 60 s (PL-16); the first restart comes at once, since most crashes are single.
func (s *Supervisor) backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(time.Second<<min(n-2, 6), s.opt.Pause)
}

// New makes a supervisor without links.
func New(opt Options) *Supervisor {
	if opt.Crashes == 0 {
		opt.Crashes = 3
	}
	if opt.Window == 0 {
		opt.Window = 10 * time.Minute
	}
	if opt.Pause == 0 {
		opt.Pause = time.Minute
	}
	if opt.Drain == 0 {
		opt.Drain = 10 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Supervisor{opt: opt, links: map[sdk.LinkID]*keeper{}}
}

// Run applies specs and keeps the links alive until ctx ends; then it drains
// them all. Apply may change the set meanwhile.
func (s *Supervisor) Run(ctx context.Context, specs []Spec, ready func()) error {
	s.applyMu.Lock()
	s.spawn = func(work func(context.Context)) func() {
		ctx, cancel := context.WithCancel(ctx)
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			work(ctx)
		}()
		return cancel
	}
	s.apply(specs)
	s.applyMu.Unlock()
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	s.applyMu.Lock() // no link is started any more: wait for those there are
	defer s.applyMu.Unlock()
	s.spawn = nil
	s.wg.Wait()
	return nil
}

// Apply changes the set of links by difference. It returns when links that are
// gone or changed have ended and new ones have been started; they may still be
// starting up. Outside Run it does nothing.
func (s *Supervisor) Apply(specs []Spec) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.spawn != nil {
		s.apply(specs)
	}
}

// apply does the work of Apply, under applyMu.
func (s *Supervisor) apply(specs []Spec) {
	want := map[sdk.LinkID]Spec{}
	for _, spec := range specs {
		want[spec.Link] = spec
	}
	var ending []*keeper
	for id, k := range s.keepers() {
		spec, ok := want[id]
		have := k.current()
		switch {
		case !ok, spec.Version != have.Version && (!spec.Swap || !have.Swap):
			k.cancel()
			ending = append(ending, k)
		case spec.Version != have.Version:
			k.swap(spec)
		case !slices.Equal(spec.Config.Places, have.Config.Places):
			k.setPlaces(spec)
		}
	}
	for _, k := range ending {
		k.stop()
		s.mu.Lock()
		delete(s.links, k.link)
		s.mu.Unlock()
	}
	running := s.keepers()
	for _, spec := range specs {
		if running[spec.Link] == nil {
			s.start(spec)
		}
	}
}

// keepers copies the set of links.
func (s *Supervisor) keepers() map[sdk.LinkID]*keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.links)
}

// start keeps a new link alive, under applyMu.
func (s *Supervisor) start(spec Spec) {
	k := &keeper{sup: s, link: spec.Link, plugin: spec.Plugin, spec: spec, done: make(chan struct{}), poke: make(chan struct{}, 1)}
	k.status = Status{Link: spec.Link, Plugin: spec.Plugin, State: sdk.StateStarting, Since: s.opt.Now(), Places: map[sdk.RemoteID]PlaceStatus{}}
	s.mu.Lock()
	s.links[spec.Link] = k
	s.mu.Unlock()
	k.cancel = s.spawn(func(ctx context.Context) {
		defer close(k.done)
		k.run(ctx)
	})
}

// Restart starts a link anew, also one that has failed. It reports false when
// there is no such link.
func (s *Supervisor) Restart(link sdk.LinkID) bool {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	k := s.keepers()[link]
	if k == nil || s.spawn == nil {
		return false
	}
	k.stop()
	s.start(k.current())
	return true
}

// Status tells the state of every link, in the order of their names.
func (s *Supervisor) Status() []Status {
	keepers := s.keepers()
	out := make([]Status, 0, len(keepers))
	for _, k := range keepers {
		out = append(out, k.snapshot())
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Link, b.Link) })
	return out
}

// Facets gives the facets of a running link, false when it does not run.
func (s *Supervisor) Facets(link sdk.LinkID) (sdk.Facets, bool) {
	s.mu.Lock()
	k := s.links[link]
	s.mu.Unlock()
	if k == nil {
		return sdk.Facets{}, false
	}
	return k.facets()
}
