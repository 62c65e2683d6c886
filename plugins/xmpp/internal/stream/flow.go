package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

const (
	nsSM      = "urn:xmpp:sm:3"
	nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"
	maxBatch  = 64 << 10 // bytes written at once
	maxUrgent = 256      // automatic answers and acknowledgements waiting
)

// Error is a <stream:error/> from the server (RFC 6120 §4.9).
type Error struct{ Condition, Text string }

// Error implements error.
func (e *Error) Error() string {
	if e.Text == "" {
		return "stream error " + e.Condition
	}
	return "stream error " + e.Condition + ": " + strconv.Quote(e.Text)
}

// errClosed is the reason of a stream that the server ended in good order.
var errClosed = errors.New("server closed the stream")

// managed is what outlives a connection: the state of XEP-0198, or without it the ledger alone.
type managed struct {
	ledger  ledger
	handled atomic.Uint32 // incoming stanzas whose handler has returned
	sm      bool          // acknowledgements are on
	id      string        // for resumption; "" if the server does not allow it
	jid     string
	ended   atomic.Bool // the stream was ended for good: nothing to resume
}

func (m *managed) resumable() bool { return m.sm && m.id != "" && !m.ended.Load() }

// flow is one live connection.
type flow struct {
	s       *Session
	conn    net.Conn
	split   *xmltok.Splitter
	secure  bool
	jid     string
	rules   packet.Rules
	managed *managed

	queue   chan *outItem
	urgent  chan *outItem // never waits for confirmations
	nonza   chan []byte   // acknowledgements and requests for them
	kick    chan struct{} // something was confirmed, or cannot be heard
	done    chan struct{} // the connection is ending
	drained chan struct{} // the writer has ended and answered for all it knew
	endOnce sync.Once

	lastRead atomic.Int64 // UnixNano of the last bytes from the server
	stalled  atomic.Bool  // the reader waits for the handler
	probe    probe
}

// probe is the one outstanding question for a sign of life.
type probe struct {
	mu   sync.Mutex
	id   string // of the ping; "" if XEP-0198 answers
	mark uint32
	sent time.Time // zero: none outstanding
}

// inItem is one step for the handler; a nil stanza only counts.
type inItem struct {
	stanza packet.Stanza
	flow   *flow
	run    func()
}

// live runs one connection to its end and returns the reason.
func (s *Session) live(ctx context.Context, est *established, inbox chan<- inItem) error {
	f := est.flow
	if !est.resumed {
		if err := s.settle(ctx, inbox); err != nil {
			_ = f.conn.Close()
			return err
		}
	}
	s.mu.Lock()
	s.flow = f
	s.mu.Unlock()
	s.counts.connects.Add(1)
	if est.resumed {
		s.counts.resumes.Add(1)
	}
	s.opt.Log.Info("stream is up", "resumed", est.resumed)
	f.lastRead.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	var werr error
	wg.Go(func() { werr = f.write(ctx, est.resend) })
	s.report(State{Phase: Up, JID: f.jid, Resumed: est.resumed})
	rerr := f.read(inbox)
	f.end()
	_ = f.conn.SetWriteDeadline(time.Now().Add(time.Second))
	wg.Wait()
	_ = f.conn.Close()
	s.mu.Lock()
	s.flow = nil
	s.mu.Unlock()
	var se *Error
	switch {
	case errors.As(rerr, &se):
		if se.Condition == "conflict" {
			return fmt.Errorf("%w: %w", ErrConflict, se)
		}
		return rerr
	case werr != nil:
		return werr
	}
	return rerr
}

// settle waits until the handler is done with what came over the connection before, so that after State Up it only gets what is new.
func (s *Session) settle(ctx context.Context, inbox chan<- inItem) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.HandlerTimeout)
	defer cancel()
	idle := make(chan struct{})
	select {
	case inbox <- inItem{run: func() { close(idle) }}:
	case <-ctx.Done():
		return fmt.Errorf("settle: %w: %w", ErrHandlerStuck, ctx.Err())
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("settle: %w: %w", ErrHandlerStuck, ctx.Err())
	}
}

// end makes reader and writer stop.
func (f *flow) end() { f.endOnce.Do(func() { close(f.done) }) }

func (f *flow) enqueue(ctx context.Context, it *outItem) error {
	select {
	case <-f.done:
		return fmt.Errorf("send: %w: %w", ErrNotWritten, ErrDown)
	default:
	}
	select {
	case f.queue <- it:
		return nil
	case <-f.done:
		return fmt.Errorf("send: %w: %w", ErrNotWritten, ErrDown)
	case <-ctx.Done():
		return fmt.Errorf("send: %w: queue is full: %w", ErrNotWritten, context.Cause(ctx))
	}
}

// read takes pieces until the stream ends. It never writes, and waits for nothing but the handler's inbox.
func (f *flow) read(inbox chan<- inItem) error {
	for {
		p, err := f.split.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("server closed the connection: %w", io.ErrUnexpectedEOF)
			}
			return fmt.Errorf("read stream: %w", err)
		}
		switch p.Kind {
		case xmltok.End:
			f.managed.ended.Store(true)
			return errClosed
		case xmltok.Header:
			return fmt.Errorf("read stream: %w: second header", xmltok.ErrNotWellFormed)
		case xmltok.Skipped:
			f.skipped(p)
			if err := f.pass(inbox, inItem{flow: f}); err != nil {
				return err
			}
		case xmltok.Stanza:
			if err := f.element(p.Element, inbox); err != nil {
				return err
			}
		}
	}
}

func (f *flow) skipped(p xmltok.Piece) {
	f.s.counts.received.Add(1)
	if p.Reason == xmltok.TooLarge {
		f.s.counts.skippedSize.Add(1)
	} else {
		f.s.counts.skippedShape.Add(1)
	}
	f.s.opt.Log.Warn("incoming stanza skipped", "reason", p.Reason.String(), "bytes", p.Size)
}

// element handles one top-level element.
func (f *flow) element(e xmltok.Element, inbox chan<- inItem) error {
	switch e.Name.Space {
	case packet.NSStream:
		if e.Name.Local == "error" {
			f.managed.ended.Store(true) // RFC 6120 §4.9.1.1: a stream error is final
			return streamError(e)
		}
	case nsSM:
		return f.acknowledgement(e)
	}
	st, err := packet.Decode(e)
	if errors.Is(err, packet.ErrNotStanza) {
		f.s.counts.ignored.Add(1)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	f.s.counts.received.Add(1)
	if iq, ok := st.(*packet.IQ); ok && f.answer(iq) {
		return f.pass(inbox, inItem{flow: f})
	}
	return f.pass(inbox, inItem{flow: f, stanza: st})
}

// answer handles an iq for which the handler need not be asked, and reports whether it was one.
func (f *flow) answer(iq *packet.IQ) bool {
	if f.confirmedBy(iq) {
		return true
	}
	switch iq.Type {
	case "result", "error":
		if !f.s.iqs.deliver(iq) {
			f.s.counts.forged.Add(1)
		}
		return true
	case "get":
		if iq.Payload.Is(packet.NSPing, "ping") && iq.ID != "" {
			f.reply(iq.Reply(xmltok.Element{}))
			return true
		}
	case "set":
	default:
		f.s.counts.ignored.Add(1)
		return true
	}
	if iq.ID == "" {
		f.s.counts.ignored.Add(1)
		return true
	}
	return false
}

// reply sends an automatic answer without waiting; if a flood of requests has filled the way out, the answer is dropped.
func (f *flow) reply(iq *packet.IQ) {
	it, err := f.s.encode(f, iq)
	if err != nil {
		f.s.counts.ignored.Add(1)
		return
	}
	it.internal = true
	select {
	case f.urgent <- it:
	default:
		f.s.counts.ignored.Add(1)
	}
}

// pass gives an item to the handler's goroutine and bears a full inbox for HandlerTimeout.
func (f *flow) pass(inbox chan<- inItem, it inItem) error {
	f.lastRead.Store(time.Now().UnixNano())
	select {
	case inbox <- it:
		return nil
	default:
	}
	f.stalled.Store(true)
	f.nudge()
	defer f.stalled.Store(false)
	t := time.NewTimer(f.s.opt.HandlerTimeout)
	defer t.Stop()
	select {
	case inbox <- it:
		f.lastRead.Store(time.Now().UnixNano())
		return nil
	case <-f.done:
		return ErrDown
	case <-t.C:
		return ErrHandlerStuck
	}
}

// acknowledgement handles the elements of XEP-0198, which are not counted as stanzas.
func (f *flow) acknowledgement(e xmltok.Element) error {
	f.lastRead.Store(time.Now().UnixNano())
	switch e.Name.Local {
	case "r":
		f.control(fmt.Appendf(nil, "<a xmlns='%s' h='%d'/>", nsSM, f.managed.handled.Load()))
	case "a":
		h, err := strconv.ParseUint(e.Get("h"), 10, 32)
		if err != nil || !f.managed.ledger.ack(uint32(h)) {
			return fmt.Errorf("read stream: server acknowledges %q stanzas, which were not sent", e.Get("h"))
		}
		f.probe.clear()
		f.nudge()
	}
	return nil
}

// control queues bytes that are no stanza; a newer acknowledgement makes a dropped one good.
func (f *flow) control(b []byte) {
	select {
	case f.nonza <- b:
	default:
	}
}

func (f *flow) nudge() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// confirmedBy recognises the answer to our own ping: from the server as a client, or as a component the ping itself, which the server
// has routed back to the domain that it is from (or an error that says it could not).
func (f *flow) confirmedBy(iq *packet.IQ) bool {
	f.probe.mu.Lock()
	ours := f.probe.id != "" && iq.ID == f.probe.id && packet.SameJID(iq.From, f.s.opt.Domain)
	mark := f.probe.mark
	f.probe.mu.Unlock()
	if !ours {
		return false
	}
	f.probe.clear()
	f.managed.ledger.ack(mark)
	f.nudge()
	return true
}

func (p *probe) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id, p.sent = "", time.Time{}
}

// streamError reads a <stream:error/>.
func streamError(e xmltok.Element) error {
	se := &Error{Condition: "undefined-condition"}
	for c := range e.Children() {
		if c.Name.Space != nsStreams {
			continue
		}
		if c.Name.Local == "text" {
			se.Text = c.Text()
		} else {
			se.Condition = c.Name.Local
		}
	}
	return se
}

// pingItem is an XEP-0199 ping that the server answers after everything that was written before it.
func (f *flow) pingItem() *outItem {
	iq := &packet.IQ{Attrs: packet.Attrs{ID: newID(), Type: "get", To: f.s.opt.Domain}, Payload: pingPayload}
	if f.s.opt.Mode == Component {
		iq.From = f.s.opt.Domain
	}
	it, err := f.s.encode(f, iq)
	if err != nil {
		return nil
	}
	it.internal = true
	return it
}

var pingPayload = xmltok.New(packet.NSPing, "ping", "")
