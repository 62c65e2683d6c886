package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// keeper keeps one link alive.
type keeper struct {
	sup    *Supervisor
	link   sdk.LinkID
	plugin string // as it was first started; for the log
	cancel context.CancelFunc
	done   chan struct{}
	poke   chan struct{} // one waiting: the spec has changed by swap

	mu     sync.Mutex
	spec   Spec
	status Status
	live   *sdk.Facets // nil while the link does not run
}

// steady is how long a link must run at least for its next start to come at once.
const steady = time.Second

// errCrashed says that the instance ended by itself.
var errCrashed = errors.New("the plugin's process ended")

// stop ends the link and waits for it.
func (k *keeper) stop() {
	k.cancel()
	<-k.done
}

// swap asks the running link to be replaced by one of the new spec.
func (k *keeper) swap(spec Spec) {
	k.mu.Lock()
	k.spec = spec
	k.mu.Unlock()
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

func (k *keeper) current() Spec {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spec
}

func (k *keeper) facets() (sdk.Facets, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live == nil {
		return sdk.Facets{}, false
	}
	return *k.live, true
}

func (k *keeper) setLive(f *sdk.Facets) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live = f
}

// setPlaces tells the link its new places; a link that is not running gets them
// when it is opened.
func (k *keeper) setPlaces(spec Spec) {
	k.mu.Lock()
	k.spec = spec
	live := k.live
	k.mu.Unlock()
	if live == nil || live.Placer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := live.Placer.SetPlaces(ctx, spec.Config.Places); err != nil {
		k.log().Warn("places not set", "error", err)
	}
}

func (k *keeper) log() *slog.Logger {
	return k.sup.opt.Log.With("link", k.link, "plugin", k.plugin)
}

// run starts the link again and again until ctx ends or it has failed. A failed
// link waits for the operator: Restart or a changed configuration.
func (k *keeper) run(ctx context.Context) {
	var crashes []time.Time
	var pause time.Duration
	for attempt := 1; ; attempt++ {
		began := k.sup.opt.Now()
		err := k.once(ctx)
		if ctx.Err() != nil {
			return
		}
		now := k.sup.opt.Now()
		if now.Sub(began) > max(pause, steady) {
			attempt = 1 // it ran longer than it was made to wait: no crash loop
		}
		crashes = append(recent(crashes, now.Add(-k.sup.opt.Window)), now)
		if hopeless(err) || len(crashes) >= k.sup.opt.Crashes {
			k.fail(ctx, err, len(crashes))
			return
		}
		pause = k.sup.backoff(attempt)
		k.set(sdk.StateDegraded, fmt.Sprintf("%v; starting again in %v", err, pause))
		k.log().Warn("link ended", "error", err, "again_in", pause, "crashes", len(crashes))
		k.mu.Lock()
		k.status.Restarts++
		k.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-k.poke:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// hopeless reports errors that a new start cannot help against: a configuration
// that is wrong, and a network that says that somebody else has taken the link's
// place, with whom it would else fight for it.
func hopeless(err error) bool {
	switch sdk.KindOf(err) {
	case sdk.Invalid, sdk.Conflict:
		return true
	}
	return errors.As(err, new(*sdk.ConfigError))
}

func (k *keeper) fail(ctx context.Context, err error, crashes int) {
	count := ""
	if crashes > 1 {
		count = fmt.Sprintf(" (%d crashes)", crashes)
	}
	k.set(sdk.StateFailed, fmt.Sprintf("%v%s; repair it, then: bridgehost plugin restart %s", err, count, k.link))
	k.log().Error("link failed", "error", err, "crashes", crashes)
	k.sup.opt.Attachment.Detach(k.link, Gone)
	<-ctx.Done()
}

func recent(times []time.Time, after time.Time) []time.Time {
	for len(times) > 0 && times[0].Before(after) {
		times = times[1:]
	}
	return times
}

// running is one running link.
type running struct {
	inst   Instance
	link   sdk.Link
	man    sdk.Manifest
	facets sdk.Facets
	web    web.Handler
	cancel context.CancelFunc
	ended  chan error // holds what Run returned
	sick   chan error // holds why the instance no longer answers
}

// open launches the plugin and opens the link, without attaching it.
func (k *keeper) open(ctx context.Context) (*running, error) {
	spec := k.current()
	inst, err := k.sup.opt.Launcher.Launch(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("launch %s: %w", spec.Plugin, err)
	}
	r := &running{inst: inst, man: inst.Plugin().Describe()}
	r.link, err = inst.Plugin().Open(spec.Config, k.sup.opt.NewHost(spec, k.report))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open: %w", err), inst.Close())
	}
	r.facets, r.web = sdk.FacetsOf(r.link), web.HandlerOf(r.link)
	return r, nil
}

// start attaches the link and runs it.
func (k *keeper) start(ctx context.Context, r *running) error {
	if err := k.sup.opt.Attachment.Attach(k.link, r.man, r.facets, r.web); err != nil {
		return &sdk.Error{Op: "attach", Kind: sdk.Invalid, Err: err}
	}
	k.mu.Lock()
	k.live = &r.facets
	k.status.Version = r.man.Version
	k.mu.Unlock()
	runCtx, cancel := context.WithCancel(ctx)
	r.cancel, r.ended, r.sick = cancel, make(chan error, 1), make(chan error, 1)
	go func() { r.ended <- r.link.Run(runCtx) }()
	if p, ok := r.inst.(pinger); ok {
		k.sup.wg.Go(func() { k.watch(runCtx, p, r.sick) })
	}
	return nil
}

// pinger is an instance that can be asked whether it still answers.
type pinger interface {
	Ping(ctx context.Context) error
}

// Health checks: a plugin that does not answer twice in a row hangs (PL-15).
const (
	pingEvery   = 10 * time.Second
	pingTimeout = 5 * time.Second
	pingMisses  = 2
)

// watch asks the instance until ctx ends or it no longer answers.
func (k *keeper) watch(ctx context.Context, p pinger, sick chan<- error) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for misses := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked, cancel := context.WithTimeout(ctx, pingTimeout)
		err := p.Ping(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			misses = 0
			continue
		}
		if misses++; misses == pingMisses {
			sick <- fmt.Errorf("the plugin does not answer: %w", err)
			return
		}
	}
}

// finish ends a running link within the drain time and closes its instance.
func (k *keeper) finish(r *running) error {
	if r.cancel != nil {
		r.cancel()
		timer := time.NewTimer(k.sup.opt.Drain)
		defer timer.Stop()
		select {
		case err := <-r.ended: // as asked, so it is no fault
			k.log().Debug("link ended as asked", "error", err)
		case <-r.inst.Done():
		case <-timer.C:
			k.log().Warn("link did not end in time; it is stopped", "after", k.sup.opt.Drain)
		}
	}
	return r.inst.Close()
}

// once runs the link one time, swapping instances when asked.
func (k *keeper) once(ctx context.Context) error {
	k.set(sdk.StateStarting, "")
	r, err := k.open(ctx)
	if err != nil {
		return err
	}
	if err := k.start(ctx, r); err != nil {
		return errors.Join(err, k.finish(r))
	}
	k.up(r.man)
	for {
		select {
		case err := <-r.ended:
			return k.over(r, k.cause(r, err))
		case <-r.inst.Done():
			return k.over(r, errCrashed)
		case err := <-r.sick:
			return k.over(r, errors.Join(errCrashed, err))
		case <-ctx.Done():
			k.setLive(nil)
			err := k.finish(r)
			k.sup.opt.Attachment.Detach(k.link, Gone)
			return err
		case <-k.poke:
			r = k.exchange(ctx, r)
		}
	}
}

// cause tells a crash from a link that ended: when a process dies its Run ends
// as well, and either may be seen first.
func (k *keeper) cause(r *running, err error) error {
	done := r.inst.Done()
	if done == nil {
		return err
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-done:
		return errors.Join(errCrashed, err)
	case <-timer.C:
		return err
	}
}

// up marks the link as running unless it has already said something itself or
// will do so: a link that reports is starting until its first report.
func (k *keeper) up(man sdk.Manifest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.status.State == sdk.StateStarting && !man.Reports {
		k.status.State, k.status.Since = sdk.StateUp, k.sup.opt.Now()
	}
}

// over cleans up behind a link that ended by itself.
func (k *keeper) over(r *running, err error) error {
	k.setLive(nil)
	why := Ended
	if errors.Is(err, errCrashed) {
		why = Crashed
	}
	k.sup.opt.Attachment.Detach(k.link, why)
	if err == nil {
		err = errors.New("the link stopped by itself")
	}
	r.cancel()
	return errors.Join(err, r.inst.Close())
}

// exchange starts an instance of the new spec beside the old one, switches over
// and drains the old. When the new one cannot start the old one goes on, and
// the status says so.
func (k *keeper) exchange(ctx context.Context, old *running) *running {
	next, err := k.open(ctx)
	if err == nil {
		k.set(sdk.StateStarting, "") // before the new one can report
		if err = k.start(ctx, next); err != nil {
			err = errors.Join(err, k.finish(next))
		}
	}
	if err != nil {
		k.set(sdk.StateDegraded, fmt.Sprintf("the new version does not start, the old one goes on: %v", err))
		k.log().Error("link not exchanged", "error", err)
		return old
	}
	k.up(next.man)
	if err := k.finish(old); err != nil {
		k.log().Warn("old instance not closed cleanly", "error", err)
	}
	return next
}
