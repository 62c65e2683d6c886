package stream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"bridgehost/plugins/xmpp/internal/packet"
)

// Life of an outgoing stanza.
const (
	itemQueued   int32 = iota // waits in the queue
	itemTaken                 // the writer has it
	itemCanceled              // its sender gave up before the writer took it
	itemDone                  // the sender was told
)

// outItem is one outgoing stanza.
type outItem struct {
	data     []byte
	attrs    packet.Attrs
	confirm  bool // tell the sender at confirmation, not at the write
	written  bool // a write took it; the writer's, and after the writer's end the ledger's
	internal bool // ours: pings and automatic answers; never reported as lost
	state    atomic.Int32
	result   chan error // buffered; gets exactly one value, from finish
}

// finish tells the sender the outcome; it reports false if that has happened before or nobody waits.
func (it *outItem) finish(err error) bool {
	if it.state.Swap(itemDone) == itemDone {
		return false
	}
	it.result <- err
	return true
}

// Pending is a stanza on its way, from Session.Start.
type Pending struct {
	item *outItem
	flow *flow
}

// Wait returns when the outcome is known or ctx ends. Ending ctx takes the stanza back if it was not yet being written (ErrNotWritten).
// It must be called at most once.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case err := <-p.item.result:
		return err
	default:
	}
	select {
	case err := <-p.item.result:
		return err
	case <-p.flow.drained:
		// The writer is gone. An item that it took is answered by the ledger, maybe after a resumption.
		if p.item.state.CompareAndSwap(itemQueued, itemCanceled) {
			return fmt.Errorf("send: %w: %w", ErrNotWritten, ErrDown)
		}
	case <-ctx.Done():
		return p.giveUp(ctx)
	}
	select {
	case err := <-p.item.result:
		return err
	case <-ctx.Done():
		return p.giveUp(ctx)
	}
}

func (p *Pending) giveUp(ctx context.Context) error {
	if p.item.state.CompareAndSwap(itemQueued, itemCanceled) {
		return fmt.Errorf("send: %w: %w", ErrNotWritten, context.Cause(ctx))
	}
	select {
	case err := <-p.item.result:
		return err
	default:
		return fmt.Errorf("send: %w: %w", ErrMaybeWritten, context.Cause(ctx))
	}
}

// ledger keeps the stanzas that were written and are not known to be processed, in order (XEP-0198 §4, and the same for pings).
type ledger struct {
	mu      sync.Mutex
	items   []*outItem
	base    uint32 // stanzas confirmed; counts modulo 2^32
	waiters int    // items whose senders wait for confirmation
}

// push adds what is about to be written.
func (l *ledger) push(it *outItem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items = append(l.items, it)
	if it.confirm {
		l.waiters++
	}
}

// mark is the number of stanzas written so far.
func (l *ledger) mark() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base + uint32(len(l.items))
}

// ack confirms everything up to h. False means that h was never written.
func (l *ledger) ack(h uint32) bool {
	l.mu.Lock()
	n := h - l.base
	if uint64(n) > uint64(len(l.items)) {
		l.mu.Unlock()
		return false
	}
	done := l.items[:n:n]
	l.items, l.base = l.items[n:], h
	for _, it := range done {
		if it.confirm {
			l.waiters--
		}
	}
	l.mu.Unlock()
	for _, it := range done {
		it.finish(nil)
	}
	return true
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// wanted reports whether the server should be asked for a confirmation now.
func (l *ledger) wanted(half int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiters > 0 || len(l.items) >= half
}

// snapshot returns what is unconfirmed.
func (l *ledger) snapshot() []*outItem {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*outItem(nil), l.items...)
}

// takeAll empties the ledger.
func (l *ledger) takeAll() []*outItem {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := l.items
	l.base += uint32(len(items))
	l.items, l.waiters = nil, 0
	return items
}
