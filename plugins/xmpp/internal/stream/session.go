package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Session is one account's or component's presence on a server, over as many connections as it takes. Its methods may be called from
// any goroutine; Run once.
type Session struct {
	opt     Options
	iqs     tracker
	counts  counters
	running atomic.Bool

	mu     sync.Mutex
	flow   *flow // nil while the stream is down
	pinned int   // strength of the best authentication that succeeded, see strength
}

type counters struct {
	connects, resumes, received, sent, skippedSize, skippedShape, ignored, forged, refused atomic.Uint64
}

// New checks the options and returns a Session that does nothing until Run.
func New(opt Options) (*Session, error) {
	if err := opt.complete(); err != nil {
		return nil, fmt.Errorf("xmpp stream: %w", err)
	}
	s := &Session{opt: opt}
	s.iqs.init(opt.Domain)
	return s, nil
}

// Run connects and keeps the stream until ctx ends, a live stream is taken over (ErrConflict), or the credentials are refused (ErrAuth) though
// they never were accepted.
// It returns ctx's error in the first case. Everything that Run started has ended when it returns.
func (s *Session) Run(ctx context.Context, h Handler) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("xmpp stream: Run called twice")
	}
	inbox := make(chan inItem, s.opt.Inbox)
	var wg sync.WaitGroup
	wg.Go(func() { s.handle(ctx, h, inbox) })
	defer wg.Wait()
	defer close(inbox)
	var last *managed
	defer func() { s.abandon(last) }()
	for attempt := 0; ; attempt++ {
		s.report(State{Phase: Connecting})
		began := time.Now()
		est, err := s.connect(ctx, last, inbox)
		if err == nil {
			if last != est.managed {
				s.abandon(last)
				last = est.managed
			}
			err = s.live(ctx, est, inbox)
			if !last.resumable() {
				s.abandon(last)
				last = nil
			}
			if time.Since(began) > min(s.opt.BackoffMax, 2*time.Second) {
				attempt = 0
			}
		}
		if ctx.Err() != nil {
			s.report(State{Phase: Down})
			return ctx.Err()
		}
		// Credentials that were good before are refused by servers that have just started and do not know their users yet.
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrAuth) && s.counts.connects.Load() == 0 {
			s.report(State{Phase: Down, Err: err})
			return err
		}
		pause := s.pause(attempt)
		s.opt.Log.Warn("stream is down", "reason", err, "retry", pause)
		s.report(State{Phase: Down, Err: err, Retry: pause})
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}

// pause is exponential with jitter: between half and all of BackoffMin * 2^attempt, at most BackoffMax.
func (s *Session) pause(attempt int) time.Duration {
	d := s.opt.BackoffMin << min(attempt, 20)
	if d > s.opt.BackoffMax || d <= 0 {
		d = s.opt.BackoffMax
	}
	return d/2 + rand.N(d/2+1)
}

func (s *Session) report(st State) {
	if s.opt.OnState != nil {
		s.opt.OnState(st)
	}
}

// Send writes p and returns when the operating system has taken it. p is one of packet's stanzas, one of gosrc.io/xmpp/stanza, or
// packet.Raw. It waits while the queue is full, but never for a stream that is down: then it returns ErrDown. If ctx ends first, the error says
// whether the stanza was already on its way. Stanzas of one goroutine are written in the order of its calls.
func (s *Session) Send(ctx context.Context, p stanza.Packet) error { return s.send(ctx, p, false) }

// SendConfirmed is Send, but returns only when the server has processed the stanza (not: when its addressee got it). Many callers share one
// acknowledgement. After ErrMaybeWritten the caller must find out, or bear a duplicate.
func (s *Session) SendConfirmed(ctx context.Context, p stanza.Packet) error {
	return s.send(ctx, p, true)
}

func (s *Session) send(ctx context.Context, p stanza.Packet, confirm bool) error {
	pending, err := s.Start(ctx, p, confirm)
	if err != nil {
		return err
	}
	return pending.Wait(ctx)
}

// Start queues p and returns without waiting for the write, so that one goroutine can keep many stanzas in flight; it waits for room in
// the queue. With confirm, Wait is as in SendConfirmed, else as in Send.
func (s *Session) Start(ctx context.Context, p stanza.Packet, confirm bool) (*Pending, error) {
	f := s.current()
	if f == nil {
		return nil, fmt.Errorf("send: %w: %w", ErrNotWritten, ErrDown)
	}
	it, err := s.encode(f, p)
	if err != nil {
		return nil, err
	}
	it.confirm = confirm
	if err := f.enqueue(ctx, it); err != nil {
		return nil, err
	}
	return &Pending{item: it, flow: f}, nil
}

func (s *Session) encode(f *flow, p stanza.Packet) (*outItem, error) {
	b, attrs, err := packet.Encode(p, f.rules)
	if err != nil {
		s.counts.refused.Add(1)
		return nil, fmt.Errorf("send: %w: %w: %w", ErrNotWritten, ErrRefused, err)
	}
	return &outItem{data: b, attrs: attrs, result: make(chan error, 1)}, nil
}

func (s *Session) current() *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flow
}

// JID returns the full JID of a client or the domain of a component while the stream is up, else "".
func (s *Session) JID() string {
	if f := s.current(); f != nil {
		return f.jid
	}
	return ""
}

// Stats returns the session's counters.
func (s *Session) Stats() Stats {
	c := &s.counts
	st := Stats{
		Connects: c.connects.Load(), Resumes: c.resumes.Load(), Received: c.received.Load(), Sent: c.sent.Load(),
		SkippedSize: c.skippedSize.Load(), SkippedShape: c.skippedShape.Load(), Ignored: c.ignored.Load(),
		ForgedReplies: c.forged.Load(), Refused: c.refused.Load(),
	}
	if f := s.current(); f != nil {
		st.Queued, st.Unconfirmed = len(f.queue), f.managed.ledger.len()
	}
	return st
}

// abandon gives up a stream that cannot be resumed: requests fail, senders that wait learn that nothing is known, and OnLost gets the rest.
func (s *Session) abandon(m *managed) {
	if m == nil {
		return
	}
	s.iqs.failAll(fmt.Errorf("iq: %w: %w", ErrMaybeWritten, ErrDown))
	var lost []packet.Attrs
	for _, it := range m.ledger.takeAll() {
		if !it.finish(fmt.Errorf("send: %w: %w", ErrMaybeWritten, ErrDown)) && it.written && !it.internal {
			lost = append(lost, it.attrs)
		}
	}
	if len(lost) > 0 && s.opt.OnLost != nil {
		s.opt.OnLost(lost)
	}
}

// complete fills in defaults and reports every fault.
func (o *Options) complete() error {
	var errs []error
	if j, err := packet.ParseJID(o.Domain); err != nil || o.Domain == "" || j.Domainpart() != j.String() {
		errs = append(errs, fmt.Errorf("domain %q is no domain", o.Domain))
	}
	if o.Mode == Component && o.Address == "" {
		errs = append(errs, errors.New("a component needs the address of its server, such as 127.0.0.1:5347"))
	}
	if o.Mode == Client && o.User == "" {
		errs = append(errs, errors.New("a client needs a user"))
	}
	if o.Secret == "" {
		errs = append(errs, errors.New("no secret"))
	}
	lim := xmltok.ComponentLimits()
	if o.Mode == Client {
		lim = xmltok.ClientLimits()
	}
	if o.Limits == (xmltok.Limits{}) {
		o.Limits = lim
	}
	setDefault(&o.MaxOutgoing, lim.MaxBytes)
	setDefault(&o.Queue, 256)
	setDefault(&o.Inbox, 256)
	setDefault(&o.Unconfirmed, 512)
	setDefault(&o.ConnectTimeout, 30*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.PingInterval, 60*time.Second)
	setDefault(&o.PingTimeout, 30*time.Second)
	setDefault(&o.IQTimeout, 60*time.Second)
	setDefault(&o.HandlerTimeout, 60*time.Second)
	setDefault(&o.BackoffMin, time.Second)
	setDefault(&o.BackoffMax, 60*time.Second)
	setDefault(&o.ServerName, o.Domain)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.network()
	return errors.Join(errs...)
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
