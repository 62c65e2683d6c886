package host

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// Bounds of what links are told.
const (
	informQueue   = 4096            // outcomes in memory that wait for one link; the oldest are dropped
	informBatch   = 256             // stored outcomes that are handed over at once
	informTimeout = 5 * time.Second // for one call
	informPause   = time.Second     // after a call that failed; doubles
	informPauses  = time.Minute     // up to this
	informTries   = 5               // of an outcome that the link says it will never take
	informCrashes = 2               // of the plugin while it was told of the same outcome
)

// outcomeStore keeps what a link has to be told at least once.
type outcomeStore interface {
	Outcomes(ctx context.Context, link sdk.LinkID, after int64, limit int) ([]store.OutcomeRow, error)
	OutcomesTaken(ctx context.Context, link sdk.LinkID, upto int64) error
}

// informer tells links what became of their events, without making those wait
// who found it out. Failures, dropped events, and deliveries that the sender
// asked about are in the database until the link has taken them; that an event
// had no route is told only if the link is there to hear it.
type informer struct {
	log   *slog.Logger
	store outcomeStore // set before run

	mu    sync.Mutex
	links map[sdk.LinkID]*informed
	wake  chan struct{} // holds one
}

// informed is what is known of one link.
type informed struct {
	taker   sdk.Informed  // nil while the link is down
	deaf    bool          // the link does not want to hear
	waiting []sdk.Outcome // not stored
	dropped int
	stored  bool // there may be stored outcomes
	busy    bool

	head     int64 // the first stored outcome of the last call that failed
	tries    int   // calls that failed with it
	crashes  int   // of those: the plugin died of it, perhaps
	calling  bool  // a call with stored outcomes is under way
	crashed  bool  // and the plugin died meanwhile
	failedAt time.Time
	retryAt  time.Time
}

func newInformer(log *slog.Logger) *informer {
	return &informer{log: log, links: map[sdk.LinkID]*informed{}, wake: make(chan struct{}, 1)}
}

// link gives the state of a link, under mu.
func (i *informer) link(id sdk.LinkID) *informed {
	l := i.links[id]
	if l == nil {
		l = &informed{stored: true} // perhaps since before the start
		i.links[id] = l
	}
	return l
}

// attach tells that a link runs; a nil taker is a link that does not want to hear.
func (i *informer) attach(id sdk.LinkID, taker sdk.Informed) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.link(id)
	l.taker, l.deaf, l.retryAt = taker, taker == nil, time.Time{}
	l.stored = true
	i.poke()
}

// detach tells that a link no longer runs.
func (i *informer) detach(id sdk.LinkID, why supervise.Leave) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.links[id]
	switch {
	case l == nil:
		return
	case why == supervise.Gone:
		l.waiting, l.dropped = nil, 0
	case why == supervise.Crashed && l.calling:
		l.crashed = true
	case why == supervise.Crashed && l.tries > 0 && time.Since(l.failedAt) < informTimeout:
		l.crashes++ // the call ended before the process was missed
	}
	l.taker = nil
}

// hears reports whether outcomes for a link are worth keeping: only a link that is
// known not to listen needs none.
func (i *informer) hears(id sdk.LinkID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.links[id]
	return l == nil || !l.deaf
}

// inform queues outcomes, or notes that they are in the database. It does not
// block.
func (i *informer) inform(id sdk.LinkID, outcomes []sdk.Outcome) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.link(id)
	if l.deaf {
		return
	}
	for _, o := range outcomes {
		if o.State != sdk.OutcomeUnrouted {
			l.stored = true
			continue
		}
		if l.taker != nil {
			l.waiting = append(l.waiting, o)
		}
	}
	if over := len(l.waiting) - informQueue; over > 0 {
		l.waiting = slices.Delete(l.waiting, 0, over)
		l.dropped += over
	}
	i.poke()
}

func (i *informer) poke() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// run hands outcomes over until ctx ends; one call for each link at a time.
func (i *informer) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wake:
		case <-timer.C:
		}
		next := time.Hour
		i.mu.Lock()
		for id, l := range i.links {
			if l.busy || l.taker == nil && !l.deaf || !l.stored && len(l.waiting) == 0 {
				continue
			}
			if wait := time.Until(l.retryAt); wait > 0 {
				next = min(next, wait)
				continue
			}
			l.busy = true
			wg.Go(func() { i.serve(ctx, id, l) })
		}
		i.mu.Unlock()
		timer.Reset(next)
	}
}

// serve hands over what waits for one link.
func (i *informer) serve(ctx context.Context, id sdk.LinkID, l *informed) {
	i.mu.Lock()
	taker, deaf, waiting, dropped, stored := l.taker, l.deaf, l.waiting, l.dropped, l.stored
	l.waiting, l.dropped, l.stored = nil, 0, false
	i.mu.Unlock()
	var err error
	switch {
	case deaf:
		err = i.forget(ctx, id, stored)
	case taker != nil:
		if dropped > 0 {
			i.log.Warn("outcomes dropped, the link does not take them", "link", id, "count", dropped)
		}
		if len(waiting) > 0 {
			if err := tell(ctx, taker, waiting); err != nil && ctx.Err() == nil {
				i.log.Debug("link not informed", "link", id, "error", err)
			}
		}
		if stored {
			err = i.handStored(ctx, id, l, taker)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	l.busy = false
	if err != nil {
		l.stored = true
		l.retryAt = time.Now().Add(min(informPause<<min(max(l.tries, 1)-1, 10), informPauses))
		if ctx.Err() == nil {
			i.log.Debug("link not informed, it is told again later", "link", id, "error", err)
		}
	}
	i.poke()
}

// forget deletes what was stored for a link that no longer wants to hear.
func (i *informer) forget(ctx context.Context, id sdk.LinkID, stored bool) error {
	if !stored {
		return nil
	}
	rows, err := i.store.Outcomes(ctx, id, 0, 1)
	if err != nil || len(rows) == 0 {
		return err
	}
	return i.store.OutcomesTaken(ctx, id, 1<<62)
}

func tell(ctx context.Context, taker sdk.Informed, outcomes []sdk.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, informTimeout)
	defer cancel()
	return taker.Inform(ctx, outcomes)
}

// handStored hands stored outcomes over until there are no more. Those of a call
// that failed come again: one by one, so that a single one that the link cannot
// take does not keep the others from it.
func (i *informer) handStored(ctx context.Context, id sdk.LinkID, l *informed, taker sdk.Informed) error {
	for limit := i.limit(l); ; limit = i.limit(l) {
		rows, err := i.store.Outcomes(ctx, id, 0, limit)
		if err != nil || len(rows) == 0 {
			return err
		}
		err = i.call(ctx, l, taker, rows)
		if err != nil && (ctx.Err() != nil || !i.hopeless(id, l, rows, err)) {
			return err
		}
		if err := i.store.OutcomesTaken(ctx, id, rows[len(rows)-1].ID); err != nil {
			return err
		}
		i.mu.Lock()
		l.tries, l.crashes = 0, 0
		i.mu.Unlock()
	}
}

// limit is how many outcomes the next call may have.
func (i *informer) limit(l *informed) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l.tries > 0 {
		return 1
	}
	return informBatch
}

// call hands rows over. One that the link has died of twice is not tried again.
func (i *informer) call(ctx context.Context, l *informed, taker sdk.Informed, rows []store.OutcomeRow) error {
	outcomes := make([]sdk.Outcome, 0, len(rows))
	for _, r := range rows {
		if r.Outcome.State != 0 { // not damaged
			outcomes = append(outcomes, r.Outcome)
		}
	}
	i.mu.Lock()
	deadly := len(rows) == 1 && l.head == rows[0].ID && l.crashes >= informCrashes
	l.calling, l.crashed = !deadly, false
	i.mu.Unlock()
	switch {
	case deadly:
		return errDeadly
	case len(outcomes) == 0:
		return nil
	}
	return tell(ctx, taker, outcomes)
}

// errDeadly stands for a call that was not made.
var errDeadly = sdk.Errorf(sdk.Invalid, "inform", "the plugin crashed each time that it was told")

// hopeless counts a call that failed, and reports whether its only outcome is
// given up: the link refuses it for good, or dies of it.
func (i *informer) hopeless(id sdk.LinkID, l *informed, rows []store.OutcomeRow, err error) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l.head != rows[0].ID {
		l.head, l.tries, l.crashes = rows[0].ID, 0, 0
	}
	l.tries++
	if l.crashed {
		l.crashes++
	}
	l.calling, l.failedAt = false, time.Now()
	if len(rows) > 1 || l.crashes < informCrashes && (l.tries < informTries || sdk.KindOf(err).Temporary()) {
		return false
	}
	i.log.Warn("outcome given up, the link does not take it", "link", id, "tries", l.tries, "crashes", l.crashes, "error", err)
	return true
}
