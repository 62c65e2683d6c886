package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Bounds of a session.
const (
	// MaxFrame is the largest message in bytes; a larger one ends the session.
	MaxFrame = 4 << 20
	// Window is how many calls may be in flight in one direction.
	Window = 256

	maxEnvelope = MaxFrame - 1024 // leaves room for the credit
	fullFrame   = 256 << 10       // a frame of this size takes no further envelope
	firstFrame  = 8 << 10         // capacity of a new frame
	maxCredit   = 1 << 16         // more credit than this is an attack
	// maxHeld bounds the bytes of calls that are being handled; calls beyond
	// it are answered with Overloaded.
	maxHeld = 32 << 20
)

// Errors that end a session.
var (
	errWindow  = errors.New("the other side began a call without credit")
	errCredit  = errors.New("the other side granted too much credit")
	errCallID  = errors.New("the other side used the number of a running call")
	errEnded   = errors.New("the session has ended")
	errNoReply = errors.New("no answer in time")
)

// stream is what a session needs of a gRPC stream.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// handler is the side of a session that answers calls.
type handler interface {
	// answer handles one call; it runs in a goroutine of its own.
	answer(ctx context.Context, e codec.Envelope) codec.Body
	// note handles a note; it must not block.
	note(e codec.Envelope)
}

// peer is one side of a session; both sides are alike.
type peer struct {
	stream  stream
	handler handler
	wake    chan struct{} // 1 = there is something to send
	credits chan struct{} // a token for each call that may begin
	done    chan struct{} // closed when the session has ended

	mu      sync.Mutex
	err     error     // why the session ended
	queue   []*[]byte // frames to send; the last one takes further envelopes
	owed    uint32    // credit to grant with the next frame
	last    uint64    // number of the last call of this side
	waiting map[uint64]chan codec.Envelope
	running map[uint64]context.CancelFunc
	held    int // bytes of running calls
}

func newPeer(s stream, h handler) *peer {
	return &peer{
		stream: s, handler: h,
		wake:    make(chan struct{}, 1),
		credits: make(chan struct{}, maxCredit),
		done:    make(chan struct{}),
		owed:    Window,
		waiting: make(map[uint64]chan codec.Envelope),
		running: make(map[uint64]context.CancelFunc),
	}
}

// run moves frames until the stream ends, and returns why; the end of the
// stream by the other side is nil. Nothing that it started outlives it. The
// caller ends it by ending the stream: stop must make SendMsg and RecvMsg
// return.
func (p *peer) run(ctx context.Context, stop func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var calls, sender sync.WaitGroup
	sender.Go(func() {
		if err := p.send(); err != nil {
			p.end(err)
			stop()
		}
	})
	p.signal() // the first frame grants credit
	err := p.receive(ctx, &calls)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	p.end(err)
	stop()
	cancel()
	sender.Wait()
	calls.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// end marks the session as ended; the first reason counts.
func (p *peer) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		p.err = err
		close(p.done)
	}
}

// reason gives why the session has ended.
func (p *peer) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%w: %w", errEnded, p.err)
	}
	return errEnded
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// send writes what is queued until the session ends.
func (p *peer) send() error {
	for {
		select {
		case <-p.done:
			return nil
		case <-p.wake:
		}
		if p.busy() {
			runtime.Gosched() // who is ready to queue something does so first
		}
		for _, f := range p.take() {
			if err := p.stream.SendMsg(&outFrame{f}); err != nil {
				return fmt.Errorf("send frame: %w", err)
			}
		}
	}
}

// busy reports whether several calls are in flight.
func (p *peer) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)+len(p.running) > 2 // Run is one
}

// take empties the queue and adds the credit that is owed.
func (p *peer) take() []*[]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed > 0 {
		if len(p.queue) == 0 {
			p.queue = append(p.queue, frames.Get(0))
		}
		f := p.queue[len(p.queue)-1]
		*f = codec.AppendCredit(*f, p.owed)
		p.owed = 0
	}
	q := p.queue
	p.queue = nil
	return q
}

// push queues an envelope; mu is held. The queue is bounded by the credits of
// both sides, since each call, reply and cancel belongs to one.
func (p *peer) push(id uint64, timeout time.Duration, body codec.Body) error {
	var f *[]byte
	if n := len(p.queue); n > 0 && len(*p.queue[n-1]) < fullFrame {
		f = p.queue[n-1]
	} else {
		f = frames.Get(0)
		p.queue = append(p.queue, f)
	}
	start := len(*f)
	*f = codec.AppendEnvelope(*f, id, timeout, body)
	size := len(*f) - start
	if size > maxEnvelope {
		*f = (*f)[:start]
		return sdk.Errorf(sdk.TooLarge, "", "message of %d bytes: the limit is %d", size, maxEnvelope)
	}
	if start > 0 && len(*f) > fullFrame {
		own := frames.Get(size)
		copy(*own, (*f)[start:])
		*f = (*f)[:start]
		p.queue = append(p.queue, own)
	}
	p.signal()
	return nil
}

// call asks the other side and waits for the answer, which is read into reply
// (nil when the answer is Done). It waits for credit, too. When ctx ends first
// the other side is told to stop.
func (p *peer) call(ctx context.Context, body, reply codec.Body) error {
	id, answer, err := p.begin(ctx, body)
	if err != nil {
		return err
	}
	select {
	case e := <-answer:
		return readAnswer(e, reply)
	case <-ctx.Done():
		p.abandon(id)
		return fmt.Errorf("%w: %w", errNoReply, ctx.Err())
	case <-p.done:
		select {
		case e := <-answer:
			return readAnswer(e, reply)
		default:
			return p.reason()
		}
	}
}

// begin queues a call as soon as there is credit for it.
func (p *peer) begin(ctx context.Context, body codec.Body) (uint64, chan codec.Envelope, error) {
	select {
	case <-p.credits:
	case <-ctx.Done():
		return 0, nil, fmt.Errorf("%w: wait for credit: %w", errNoReply, ctx.Err())
	case <-p.done:
		return 0, nil, p.reason()
	}
	var timeout time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), 1)
	}
	answer := make(chan codec.Envelope, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.push(p.last+1, timeout, body); err != nil {
		p.credits <- struct{}{} // has room: the token was taken above
		return 0, nil, err
	}
	p.last++
	p.waiting[p.last] = answer
	return p.last, answer, nil
}

// cancel asks the other side to end a call of this side, which is still answered.
func (p *peer) cancel(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.push(id, 0, &codec.Cancel{}) // never too large
}

// abandon cancels a call and forgets it.
func (p *peer) abandon(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
	_ = p.push(id, 0, &codec.Cancel{}) // never too large
}

// tell queues a note.
func (p *peer) tell(body codec.Body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.push(0, 0, body) // a note that is too large is dropped
}

func readAnswer(e codec.Envelope, reply codec.Body) error {
	switch {
	case e.Field == codec.FieldError:
		var f codec.Failure
		if err := codec.Decode(e.Body, &f); err != nil {
			return err
		}
		if f.Err == nil { // an Error without fields
			return &sdk.Error{}
		}
		return f.Err
	case reply == nil && e.Field == codec.FieldDone:
		return nil
	case reply != nil && e.Field == reply.Field():
		return codec.Decode(e.Body, reply)
	default:
		return fmt.Errorf("answer has field %d of Envelope, which does not fit the call", e.Field)
	}
}

// receive reads frames until the stream ends.
func (p *peer) receive(ctx context.Context, calls *sync.WaitGroup) error {
	for {
		var f inFrame
		if err := p.stream.RecvMsg(&f); err != nil {
			return err
		}
		err := codec.ReadFrame(f.data,
			func(e codec.Envelope) error { return p.accept(ctx, e, calls) }, p.grant)
		if err != nil {
			return err
		}
	}
}

func (p *peer) grant(n uint32) error {
	if n > maxCredit {
		return errCredit
	}
	for range n {
		select {
		case p.credits <- struct{}{}:
		default:
			return errCredit
		}
	}
	return nil
}

// accept handles one envelope; it does not block.
func (p *peer) accept(ctx context.Context, e codec.Envelope, calls *sync.WaitGroup) error {
	switch {
	case e.Field == codec.FieldCancel:
		p.mu.Lock()
		stop := p.running[e.ID]
		p.mu.Unlock()
		if stop != nil {
			stop()
		}
		return nil
	case isReply(e.Field):
		p.mu.Lock()
		answer := p.waiting[e.ID]
		delete(p.waiting, e.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- e // has room: each call is answered once
		}
		return nil
	case e.ID == 0:
		p.handler.note(e)
		return nil
	default:
		return p.serve(ctx, e, calls)
	}
}

func isReply(f codec.Field) bool {
	return f == codec.FieldError || f == codec.FieldDone || f >= codec.FieldDescribeReply
}

// serve starts the handling of a call.
func (p *peer) serve(ctx context.Context, e codec.Envelope, calls *sync.WaitGroup) error {
	var stop context.CancelFunc
	if e.Timeout > 0 {
		ctx, stop = context.WithTimeout(ctx, e.Timeout)
	} else {
		ctx, stop = context.WithCancel(ctx)
	}
	p.mu.Lock()
	_, twice := p.running[e.ID]
	p.running[e.ID] = stop
	inFlight := len(p.running)
	p.held += len(e.Body)
	full := p.held > maxHeld
	p.mu.Unlock()
	if twice || inFlight > Window {
		stop()
		if twice {
			return errCallID
		}
		return errWindow
	}
	calls.Go(func() {
		defer stop()
		if full {
			p.reply(e, &codec.Failure{Err: &sdk.Error{Kind: sdk.Overloaded, After: time.Second,
				Err: errors.New("too many bytes of calls in flight")}})
			return
		}
		p.reply(e, p.handler.answer(ctx, e))
	})
	return nil
}

// reply answers a call and returns its credit.
func (p *peer) reply(e codec.Envelope, body codec.Body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, e.ID)
	p.held -= len(e.Body)
	p.owed++
	if err := p.push(e.ID, 0, body); err != nil {
		_ = p.push(e.ID, 0, &codec.Failure{Err: err}) // small
	}
}
