package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// batch is what one system call writes.
type batch struct {
	buf   []byte
	items []*outItem
	ends  []int // where each item ends in buf
}

func (b *batch) add(it *outItem) {
	b.buf = append(b.buf, it.data...)
	b.items = append(b.items, it)
	b.ends = append(b.ends, len(b.buf))
}

func (b *batch) reset() { b.buf, b.items, b.ends = b.buf[:0], b.items[:0], b.ends[:0] }

// write is the connection's only writer. It gathers what waits into one write, asks for confirmations and signs of life, and at its end
// answers for every stanza that it knows.
func (f *flow) write(ctx context.Context, resend []*outItem) error {
	defer f.drain()
	var b batch
	tick := time.NewTicker(max(min(f.s.opt.PingInterval, f.s.opt.PingTimeout)/4, time.Millisecond))
	defer tick.Stop()
	for _, it := range resend { // already in the ledger: XEP-0198 §5
		b.add(it)
	}
	f.ask(&b, false)
	if err := f.flush(&b); err != nil {
		return err
	}
	for {
		queue := f.queue
		if f.doubtful() {
			queue = nil
		}
		select {
		case <-f.done:
			f.goodbye(false)
			return nil
		case <-ctx.Done():
			f.goodbye(true)
			return ctx.Err()
		case it := <-queue:
			f.take(&b, it)
		case it := <-f.urgent:
			f.take(&b, it)
		case n := <-f.nonza:
			b.buf = append(b.buf, n...)
		case <-f.kick:
		case now := <-tick.C:
			if err := f.alive(&b, now); err != nil {
				f.conn.Close()
				return err
			}
		}
		f.gather(&b, queue)
		f.ask(&b, false)
		if err := f.flush(&b); err != nil {
			return err
		}
	}
}

// maxUnheard is how many times Options.Unconfirmed may be in doubt while the reader waits for the handler.
const maxUnheard = 32

// doubtful reports whether enough is in doubt, so that nothing more is written. While the reader waits for the handler it cannot hear a
// confirmation, and the handler may be waiting for us: a flood of messages that each get an answer would stop both for good.
func (f *flow) doubtful() bool {
	limit := f.s.opt.Unconfirmed
	if f.stalled.Load() {
		limit *= maxUnheard
	}
	return f.managed.ledger.len() >= limit
}

// take puts an item into the batch and the ledger, unless its sender has given up.
func (f *flow) take(b *batch, it *outItem) {
	if it.state.CompareAndSwap(itemQueued, itemTaken) {
		f.managed.ledger.push(it)
		b.add(it)
	}
}

// gather adds what waits without waiting for more.
func (f *flow) gather(b *batch, queue chan *outItem) {
	for len(b.buf) < maxBatch {
		if f.doubtful() {
			queue = nil
		}
		select {
		case n := <-f.nonza:
			b.buf = append(b.buf, n...)
		case it := <-f.urgent:
			f.take(b, it)
		case it := <-queue:
			f.take(b, it)
		default:
			return
		}
	}
}

// ask adds a request for confirmation if somebody waits for one, the ledger fills, or force is set, and none is outstanding.
func (f *flow) ask(b *batch, force bool) {
	if !force && !f.managed.ledger.wanted(max(f.s.opt.Unconfirmed/2, 1)) {
		return
	}
	f.probe.mu.Lock()
	busy := !f.probe.sent.IsZero()
	f.probe.mu.Unlock()
	if busy {
		return
	}
	id := ""
	if f.managed.sm {
		b.buf = append(b.buf, "<r xmlns='"+nsSM+"'/>"...)
	} else {
		it := f.pingItem()
		if it == nil {
			return
		}
		id = it.attrs.ID
		f.take(b, it)
	}
	mark := f.managed.ledger.mark()
	f.probe.mu.Lock()
	f.probe.id, f.probe.mark, f.probe.sent = id, mark, time.Now()
	f.probe.mu.Unlock()
}

// alive asks for a sign of life after a silence, or for a confirmation of what was written since the last one, so that little is in doubt
// when a stream breaks. It ends the stream if no sign came. A reader that waits for the handler cannot hear one.
func (f *flow) alive(b *batch, now time.Time) error {
	f.probe.mu.Lock()
	sent := f.probe.sent
	f.probe.mu.Unlock()
	heard := time.Unix(0, f.lastRead.Load())
	switch {
	case f.stalled.Load():
	case !sent.IsZero() && now.Sub(sent) > f.s.opt.PingTimeout && now.Sub(heard) > f.s.opt.PingTimeout:
		return ErrPingTimeout
	case sent.IsZero() && (f.managed.ledger.len() > 0 || now.Sub(heard) >= f.s.opt.PingInterval):
		f.ask(b, true)
	}
	return nil
}

// flush writes the batch under a deadline and tells the senders.
func (f *flow) flush(b *batch) error {
	if len(b.buf) == 0 {
		return nil
	}
	defer b.reset()
	err := f.conn.SetWriteDeadline(time.Now().Add(f.s.opt.WriteTimeout))
	n := 0
	if err == nil {
		n, err = f.conn.Write(b.buf)
	}
	if err == nil {
		f.s.counts.sent.Add(uint64(len(b.items)))
		for _, it := range b.items {
			it.written = true
			if !it.confirm {
				it.finish(nil)
			}
		}
		return nil
	}
	f.failed(b, n, err)
	// The server may have said why before it closed: let the reader hear it, but not for long.
	_ = f.conn.SetReadDeadline(time.Now().Add(time.Second))
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		_ = f.conn.Close()
	}
	return fmt.Errorf("write stream: %w", err)
}

// failed tells the senders of a batch of which only n bytes were taken. What can be resumed stays in the ledger and is sent again.
func (f *flow) failed(b *batch, n int, cause error) {
	if f.managed.resumable() {
		return
	}
	begin := 0
	for i, it := range b.items {
		kind := ErrMaybeWritten
		if begin >= n && !f.secure { // TLS hides how far a write came
			kind = ErrNotWritten
		}
		it.finish(fmt.Errorf("send: %w: %w", kind, cause))
		begin = b.ends[i]
	}
}

// goodbye ends the connection; at the end of Run, or if it cannot be resumed, the stream as well.
func (f *flow) goodbye(last bool) {
	_ = f.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if last {
		f.managed.ended.Store(true)
	}
	if !f.managed.resumable() { // the end tag would end what can be resumed
		_, _ = f.conn.Write([]byte("</stream:stream>"))
	}
	_ = f.conn.Close()
	f.end()
}

// drain answers for everything that the writer will not write.
func (f *flow) drain() {
	f.end()
	close(f.drained)
	for {
		select {
		case it := <-f.queue:
			if it.state.CompareAndSwap(itemQueued, itemCanceled) {
				it.finish(fmt.Errorf("send: %w: %w", ErrNotWritten, ErrDown))
			}
		default:
			return
		}
	}
}
