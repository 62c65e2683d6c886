package host

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bridgehost/sdk"
)

// informQueue bounds the outcomes that wait for one link. When a link does not
// take them, the oldest are dropped: outcomes are also in the audit and in the
// dead letters, and a slow link must not cost the host memory.
const informQueue = 4096

// informer tells links what became of their events, without making those wait
// who found it out.
type informer struct {
	log *slog.Logger

	mu    sync.Mutex
	links map[sdk.LinkID]*informed
	wake  chan struct{} // holds one
}

type informed struct {
	taker   sdk.Informed // nil while the link is down
	waiting []sdk.Outcome
	busy    bool
	dropped int
}

func newInformer(log *slog.Logger) *informer {
	return &informer{log: log, links: map[sdk.LinkID]*informed{}, wake: make(chan struct{}, 1)}
}

func (i *informer) attach(link sdk.LinkID, taker sdk.Informed) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.links[link]
	if l == nil {
		l = &informed{}
		i.links[link] = l
	}
	l.taker = taker
	i.poke()
}

func (i *informer) detach(link sdk.LinkID, restarting bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !restarting {
		delete(i.links, link)
		return
	}
	if l := i.links[link]; l != nil {
		l.taker = nil
	}
}

// inform queues outcomes. It does not block.
func (i *informer) inform(link sdk.LinkID, outcomes []sdk.Outcome) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.links[link]
	if l == nil {
		return
	}
	l.waiting = append(l.waiting, outcomes...)
	if over := len(l.waiting) - informQueue; over > 0 {
		l.waiting = append(l.waiting[:0], l.waiting[over:]...)
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wake:
		}
		i.mu.Lock()
		for link, l := range i.links {
			if l.busy || l.taker == nil || len(l.waiting) == 0 {
				continue
			}
			batch, taker, dropped := l.waiting, l.taker, l.dropped
			l.waiting, l.dropped, l.busy = nil, 0, true
			wg.Go(func() { i.hand(ctx, link, l, taker, batch, dropped) })
		}
		i.mu.Unlock()
	}
}

func (i *informer) hand(ctx context.Context, link sdk.LinkID, l *informed, taker sdk.Informed, batch []sdk.Outcome, dropped int) {
	if dropped > 0 {
		i.log.Warn("outcomes dropped, the link does not take them", "link", link, "count", dropped)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := taker.Inform(ctx, batch); err != nil && ctx.Err() == nil {
		i.log.Debug("link not informed", "link", link, "error", err)
	}
	i.mu.Lock()
	l.busy = false
	i.mu.Unlock()
	i.poke()
}
