package outbox

import (
	"cmp"
	"container/heap"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// Outbox holds the lanes. Run does the work; all other methods may be called
// by many goroutines, before Run as well.
type Outbox struct {
	deps Deps
	opts Options

	mu          sync.Mutex
	rand        *rand.Rand
	lanes       map[int64]*lane
	byPlace     map[sdk.Ref]*lane
	links       map[sdk.LinkID]*link
	signals     chan signalJob
	lateSignals chan signalJob
	parked      laneHeap       // lanes that wait for a moment
	early       []*store.Entry // fed before the lanes were loaded
	window      int64          // bytes of events in memory
	loaded      bool
	closing     bool
	copied      func([]store.Key)
	puppets     map[puppetKey]sdk.RemoteID
	sweepAt     int    // lanes at which memory is looked through for idle ones
	rests       uint64 // how often a lane became idle

	wake  chan struct{} // capacity 1: something may run
	ready chan struct{} // closed when the lanes are loaded
	work  sync.WaitGroup
}

type puppetKey struct {
	actor int64
	link  sdk.LinkID
}

// New makes an outbox without lanes.
func New(d Deps) *Outbox {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Inform == nil {
		d.Inform = func(sdk.LinkID, []sdk.Outcome) {}
	}
	if d.Hears == nil {
		d.Hears = func(sdk.LinkID) bool { return true }
	}
	if d.Observe == nil {
		d.Observe = func(sdk.LinkID, sdk.ChangeKind, string, time.Duration) {}
	}
	o := d.Options
	o.MaxAge = cmp.Or(o.MaxAge, 3*24*time.Hour)
	o.BackoffMin = cmp.Or(o.BackoffMin, time.Second)
	o.BackoffMax = cmp.Or(o.BackoffMax, time.Hour)
	o.Timeout = cmp.Or(o.Timeout, 2*time.Minute)
	o.Drain = cmp.Or(o.Drain, 10*time.Second)
	o.Window = cmp.Or(o.Window, 16<<20)
	o.BatchBytes = cmp.Or(o.BatchBytes, 1<<20)
	o.PoisonAfter = cmp.Or(o.PoisonAfter, 3)
	o.HostTrip = cmp.Or(o.HostTrip, 3)
	o.IdleLanes = cmp.Or(o.IdleLanes, 10_000)
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return &Outbox{
		deps: d, opts: o, rand: rand.New(rand.NewPCG(o.Seed, o.Seed)),
		lanes: map[int64]*lane{}, byPlace: map[sdk.Ref]*lane{}, links: map[sdk.LinkID]*link{},
		puppets: map[puppetKey]sdk.RemoteID{}, copied: func([]store.Key) {},
		sweepAt: o.IdleLanes,
		signals: make(chan signalJob, signalQueue), lateSignals: make(chan signalJob, signalQueue),
		wake: make(chan struct{}, 1), ready: make(chan struct{}),
	}
}

// OnCopies implements intake.Queue.
func (o *Outbox) OnCopies(f func([]store.Key)) { o.copied = f }

// Ready is closed when Run has loaded the lanes.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

// Run loads the lanes and delivers until ctx ends. Then no new batch begins;
// Run returns when those in flight are over and settled, at most
// Options.Drain later.
func (o *Outbox) Run(ctx context.Context) error {
	lanes, err := o.deps.Store.Lanes(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	o.load(lanes)
	close(o.ready)
	for range signalWorkers {
		o.work.Go(func() { o.serveSignals(ctx) })
	}
	o.work.Go(func() { o.retrySignals(ctx) })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := o.dispatch(ctx)
		timer.Reset(next)
		select {
		case <-ctx.Done():
			o.drain()
			return nil
		case <-o.wake:
		case <-timer.C:
		}
	}
}

// drain waits for what is in flight, and cuts it off when that takes too long.
func (o *Outbox) drain() {
	o.mu.Lock()
	o.closing = true
	o.mu.Unlock()
	cut := time.AfterFunc(o.opts.Drain, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, k := range o.links {
			k.cancelAll()
		}
	})
	defer cut.Stop()
	o.work.Wait()
}

// load takes over the lanes found in the database, and then what was fed
// meanwhile and is not among them.
func (o *Outbox) load(list []store.Lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.deps.Now()
	for _, s := range list {
		l := o.lane(s.ID, s.Place)
		l.depth, l.cursor, l.last, l.fails = s.Depth, s.First-1, s.Last, s.Fails
		l.oldest, l.blank = s.Oldest, false
		l.amnesty, l.pardoned = s.Amnesty, s.Pardoned
		// A batch may have been on its way when the host went down, and another
		// one while its receipts were being written.
		l.unsureCount, l.found = 2*l.link.opts.BatchMax, s.Last
		if l.fails > 0 && s.Due.After(now) {
			o.park(l, min(s.Due.Sub(now), o.opts.BackoffMax))
		} else {
			o.enqueue(l)
		}
	}
	o.loaded = true
	o.feed(o.early)
	o.early = nil
}

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Feed implements intake.Queue. It runs in the database's writer.
func (o *Outbox) Feed(entries []*store.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.loaded {
		o.early = append(o.early, entries...)
		return
	}
	o.feed(entries)
}

func (o *Outbox) feed(entries []*store.Entry) {
	fed := false
	for _, e := range entries {
		if e.Duplicate {
			continue
		}
		for i := range e.Deliveries {
			d := &e.Deliveries[i]
			l := o.lane(d.Lane, d.To)
			if e.Seq <= l.last {
				continue // was among the lanes at start
			}
			fed = true
			l.last, l.blank = e.Seq, false
			l.depth++
			if l.depth == 1 {
				l.oldest = o.deps.Now()
			}
			o.keep(l, e, d)
			o.enqueue(l)
		}
	}
	if fed {
		o.signal()
	}
}

// keep adds a new delivery to the lane's window when everything before it is in
// memory and there is room; otherwise it is read from the disk later.
func (o *Outbox) keep(l *lane, e *store.Entry, d *store.Delivery) {
	size := memory(len(e.Body))
	switch {
	case e.Seq <= l.cursor: // the worker read it from the disk already
		return
	case l.link.to == nil || l.fails > 0 || l.depth-1 != int64(len(l.window)+l.inFlight) || o.window+size > o.opts.Window:
		return
	}
	o.window += size
	l.window = append(l.window, pending{
		seq: e.Seq, created: o.deps.Now(), rule: d.Rule, ev: e.Event, actor: e.ActorID, item: e.ItemID, size: size,
	})
	l.cursor = e.Seq
}

// memory estimates what a decoded event takes.
func memory(body int) int64 { return int64(2*body + 512) }

// lane gives the lane of a place, making it when it is new. Its number changes
// when the database had deleted the row of an unused lane.
func (o *Outbox) lane(id int64, place sdk.Ref) *lane {
	l := o.byPlace[place]
	if l == nil {
		o.sweep()
		l = &lane{place: place, link: o.linkOf(place.Link), heap: -1, blank: true}
		l.host = l.link.hostOf(place.ID)
		o.byPlace[place] = l
		l.link.lanes[l] = struct{}{}
		o.rested(l)
	}
	if l.id != id && id != 0 {
		if o.lanes[l.id] == l {
			delete(o.lanes, l.id)
		}
		l.id = id
		o.lanes[id] = l
	}
	return l
}

func (o *Outbox) linkOf(id sdk.LinkID) *link {
	k := o.links[id]
	if k == nil {
		k = newLink(id)
		o.links[id] = k
	}
	return k
}

// enqueue makes a lane run as soon as its link has room. A lane that waits for
// its moment goes on waiting.
func (o *Outbox) enqueue(l *lane) {
	if l.state != laneIdle || l.depth <= 0 || l.link.to == nil {
		return
	}
	l.state = laneQueued
	l.link.queue.push(l)
}

// park makes a lane wait.
func (o *Outbox) park(l *lane, d time.Duration) {
	l.state = laneParked
	l.wakeAt = time.Now().Add(d)
	heap.Push(&o.parked, l)
}

// unpark ends a lane's wait.
func (o *Outbox) unpark(l *lane) {
	if l.state == laneParked {
		heap.Remove(&o.parked, l.heap)
		l.state = laneIdle
		o.enqueue(l)
	}
}

// unparkQuietly ends a lane's wait without making it run.
func (o *Outbox) unparkQuietly(l *lane) {
	heap.Remove(&o.parked, l.heap)
	l.state = laneIdle
}

// dispatch starts what may run, and says when to look again.
func (o *Outbox) dispatch(ctx context.Context) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := time.Minute
	for len(o.parked) > 0 {
		l := o.parked[0]
		if d := time.Until(l.wakeAt); d > 0 {
			next = min(next, d)
			break
		}
		o.unpark(l)
	}
	for _, k := range o.links {
		for k.to != nil && k.running < k.slots() && !k.queue.empty() {
			l := k.queue.pop()
			if wait := k.admit(l); wait > 0 {
				o.park(l, wait)
				next = min(next, wait)
				continue
			}
			l.state = laneRunning
			k.running++
			o.work.Go(func() { o.serve(ctx, l) })
		}
	}
	return next
}

// Attach lets a link take deliveries, in place of what was attached before.
func (o *Outbox) Attach(id sdk.LinkID, to sdk.Deliverer, opts AttachOptions) {
	opts.BatchMax = cmp.Or(opts.BatchMax, defaultBatch)
	opts.Concurrency = cmp.Or(opts.Concurrency, defaultConcurrency)
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.linkOf(id)
	k.cancelAll()
	k.to, k.opts = to, opts
	for l := range k.lanes {
		if l.unsureCount > 0 {
			l.unsureCount = 2 * opts.BatchMax
		}
		l.host = k.hostOf(l.place.ID)
		o.enqueue(l)
	}
	o.signal()
}

// Detach stops deliveries to a link. Those in flight are cut off; they are
// uncertain and come again after the next Attach.
func (o *Outbox) Detach(id sdk.LinkID) { o.detach(id, false) }

// Crashed is Detach for a link whose plugin died. What was in flight is
// suspected: afterwards it is tried one by one, and what is there each time the
// plugin dies becomes a dead letter.
func (o *Outbox) Crashed(id sdk.LinkID) { o.detach(id, true) }

func (o *Outbox) detach(id sdk.LinkID, crashed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.linkOf(id)
	k.to = nil
	if crashed {
		k.crashed(time.Now())
	}
	k.cancelAll()
	for !k.queue.empty() {
		k.queue.pop().state = laneIdle
	}
	for l := range k.lanes {
		if l.state != laneRunning {
			o.forget(l)
		}
	}
}

// forget drops what memory holds of a lane that is not running; it is read from
// the disk again.
func (o *Outbox) forget(l *lane) {
	for i := range l.window {
		o.window -= l.window[i].size
	}
	if len(l.window) > 0 {
		l.cursor = l.window[0].seq - 1
	}
	l.window = nil
}
