package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/packet"
)

// running is a Session under test whose states and messages can be awaited.
type running struct {
	*Session
	states chan State
	msgs   chan *packet.Message
	lost   chan packet.Attrs
	done   chan error
	cancel context.CancelFunc
}

// start runs a session to the end of the test.
func start(t testing.TB, opt Options, h Handler) *running {
	t.Helper()
	r := &running{states: make(chan State, 1000), msgs: make(chan *packet.Message, 10000), lost: make(chan packet.Attrs, 10000), done: make(chan error, 1)}
	opt.OnState = func(s State) { r.states <- s }
	opt.OnLost = func(l []packet.Attrs) {
		for _, a := range l {
			r.lost <- a
		}
	}
	setDefault(&opt.BackoffMin, 50*time.Millisecond)
	setDefault(&opt.BackoffMax, 200*time.Millisecond)
	if h.Message == nil {
		h.Message = func(_ context.Context, m *packet.Message) { r.msgs <- m }
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	r.Session = s
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	var once sync.Once
	finished := make(chan struct{})
	go func() {
		r.done <- s.Run(ctx, h)
		once.Do(func() { close(finished) })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-finished:
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	return r
}

// wait returns the next state of the phase.
func (r *running) wait(t testing.TB, p Phase) State {
	t.Helper()
	after := time.After(30 * time.Second)
	for {
		select {
		case s := <-r.states:
			if s.Phase == p && (p != Down || s.Err != nil) {
				return s
			}
			if s.Err != nil {
				t.Logf("state %v: %v", s.Phase, s.Err)
			}
		case <-after:
			t.Fatalf("no state %v", p)
		}
	}
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func servers() map[string]func(itest.TB, itest.Options) *itest.Server {
	return map[string]func(itest.TB, itest.Options) *itest.Server{"prosody": itest.Prosody, "ejabberd": itest.Ejabberd}
}

func componentOptions(srv *itest.Server) Options {
	return Options{Mode: Component, Address: srv.Component, Domain: "bridge.xmpp.test", Secret: "s3cret", Plaintext: PlaintextLoopback}
}

func clientOptions(srv *itest.Server, user string) Options {
	return Options{Mode: Client, Address: srv.C2S, Domain: srv.Domain, User: user, Secret: "pw", CAFile: srv.CAFile}
}

func message(from, to, body string) *packet.Message {
	return &packet.Message{Attrs: packet.Attrs{From: from, To: to, Type: "chat"}, Bodies: packet.NewText(body)}
}

// TestServers runs component and client against real servers: STARTTLS, SCRAM, order, requests, confirmation, server restart, resumption.
func TestServers(t *testing.T) {
	for name, run := range servers() {
		t.Run(name, func(t *testing.T) {
			srv := run(t, itest.Options{Users: map[string]string{"juliet": "pw"}, Components: map[string]string{"bridge.xmpp.test": "s3cret"}, DirectTLS: true})
			comp := start(t, componentOptions(srv), Handler{})
			comp.wait(t, Up)
			cl := start(t, clientOptions(srv, "juliet"), Handler{})
			up := cl.wait(t, Up)
			t.Logf("client bound as %s, sm=%v", up.JID, cl.current().managed.sm)
			if cl.pinned < strengthScram || !cl.current().secure {
				t.Errorf("authenticated with strength %d, TLS %v", cl.pinned, cl.current().secure)
			}
			t.Run("order", func(t *testing.T) { testOrder(t, comp, cl, up.JID) })
			t.Run("requests", func(t *testing.T) { testRequests(t, comp, cl, srv.Domain) })
			t.Run("refused", func(t *testing.T) {
				if err := comp.Send(ctx(t), message("x@elsewhere.test", up.JID, "x")); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrNotWritten) {
					t.Errorf("got %v", err)
				}
				if err := comp.SendConfirmed(ctx(t), message("x@bridge.xmpp.test", up.JID, "y")); err != nil {
					t.Errorf("stream after refusal: %v", err)
				}
				<-cl.msgs
			})
			t.Run("resume", func(t *testing.T) { testResume(t, comp, cl, up.JID) })
			t.Run("direct TLS", func(t *testing.T) {
				opt := clientOptions(srv, "juliet")
				opt.Security, opt.Address = DirectTLS, srv.C2SDirectTLS
				d := start(t, opt, Handler{})
				d.wait(t, Up)
				t.Logf("strength %d", d.pinned)
			})
			t.Run("wrong password", func(t *testing.T) {
				opt := clientOptions(srv, "juliet")
				opt.Secret = "wrong"
				if err := <-start(t, opt, Handler{}).done; !errors.Is(err, ErrAuth) {
					t.Errorf("got %v, want ErrAuth", err)
				}
				opt = componentOptions(srv)
				opt.Secret = "wrong"
				if err := <-start(t, opt, Handler{}).done; !errors.Is(err, ErrAuth) {
					t.Errorf("component: got %v, want ErrAuth", err)
				}
			})
			t.Run("server restart", func(t *testing.T) { testRestart(t, srv, comp, cl) })
		})
	}
}

func testOrder(t *testing.T, comp, cl *running, to string) {
	const n = 2000
	var last *Pending
	for i := range n {
		p, err := comp.Start(ctx(t), message("x@bridge.xmpp.test", to, fmt.Sprint(i)), i == n-1)
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if err := last.Wait(ctx(t)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		select {
		case m := <-cl.msgs:
			if m.Body() != fmt.Sprint(i) {
				t.Fatalf("message %d has body %q", i, m.Body())
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("message %d did not come", i)
		}
	}
}

func testRequests(t *testing.T, comp, cl *running, domain string) {
	for range 300 {
		if _, err := cl.IQ(ctx(t), &packet.IQ{Attrs: packet.Attrs{To: domain}, Payload: pingPayload}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cl.IQ(ctx(t), &packet.IQ{Attrs: packet.Attrs{To: "x@bridge.xmpp.test"}, Payload: pingPayload}); err != nil {
		t.Errorf("component's pong: %v", err)
	}
	var refused *packet.Error
	_, err := comp.IQ(ctx(t), &packet.IQ{Attrs: packet.Attrs{From: "y@bridge.xmpp.test", To: cl.JID()}, Payload: Software{Name: "x"}.element()})
	if !errors.As(err, &refused) || refused.Condition != "service-unavailable" {
		t.Errorf("request that nobody answers: got %v", err)
	}
	if n := cl.iqs.len() + comp.iqs.len(); n != 0 {
		t.Errorf("%d requests left", n)
	}
}

func testResume(t *testing.T, comp, cl *running, full string) {
	if !cl.current().managed.resumable() {
		t.Fatal("server offers no resumption")
	}
	old := cl.current()
	_ = old.conn.Close()
	cl.wait(t, Down)
	if err := comp.SendConfirmed(ctx(t), message("x@bridge.xmpp.test", full, "while away")); err != nil {
		t.Fatal(err)
	}
	st := cl.wait(t, Up)
	if !st.Resumed || st.JID != full {
		t.Fatalf("got %+v", st)
	}
	if m := <-cl.msgs; m.Body() != "while away" {
		t.Errorf("got %q", m.Body())
	}
	if err := cl.SendConfirmed(ctx(t), message("", "x@bridge.xmpp.test", "back")); err != nil {
		t.Error(err)
	}
	if m := <-comp.msgs; m.Body() != "back" {
		t.Errorf("got %q", m.Body())
	}
}

// testRestart kills the server during traffic: what was confirmed stands, what was not is reported, and both sessions come back.
func testRestart(t *testing.T, srv *itest.Server, comp, cl *running) {
	result := make(chan error, 1)
	go func() {
		for {
			if err := comp.SendConfirmed(context.Background(), message("x@bridge.xmpp.test", "juliet@"+srv.Domain, "traffic")); err != nil {
				result <- err
				return
			}
		}
	}()
	srv.Kill()
	if err := <-result; !errors.Is(err, ErrMaybeWritten) && !errors.Is(err, ErrNotWritten) {
		t.Errorf("got %v", err)
	}
	comp.wait(t, Down)
	if err := comp.Send(ctx(t), message("x@bridge.xmpp.test", "juliet@"+srv.Domain, "x")); !errors.Is(err, ErrDown) {
		t.Errorf("send while down: got %v", err)
	}
	srv.Start()
	comp.wait(t, Up)
	if st := cl.wait(t, Up); st.Resumed {
		t.Error("resumed on a new server")
	}
	if err := comp.SendConfirmed(ctx(t), message("x@bridge.xmpp.test", cl.JID(), "again")); err != nil {
		t.Error(err)
	}
}

// XM-15: a certificate of an unknown authority, or for another name, ends the attempt before any credentials.
func TestXM15Certificates(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Users: map[string]string{"juliet": "pw"}})
	opt := clientOptions(srv, "juliet")
	opt.CAFile = ""
	st := start(t, opt, Handler{}).wait(t, Down)
	t.Log(st.Err)
	opt = clientOptions(srv, "juliet")
	opt.ServerName = "other.test"
	st = start(t, opt, Handler{}).wait(t, Down)
	t.Log(st.Err)
}

// A second connection of the component's domain waits; on a live stream a takeover ends Run.
func TestConflict(t *testing.T) {
	for _, kick := range []bool{false, true} {
		srv := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.xmpp.test": "s3cret"}, KickOldComponent: kick})
		first := start(t, componentOptions(srv), Handler{})
		first.wait(t, Up)
		second := start(t, componentOptions(srv), Handler{})
		if kick {
			second.wait(t, Up)
			if err := <-first.done; !errors.Is(err, ErrConflict) {
				t.Errorf("got %v, want ErrConflict", err)
			}
			continue
		}
		st := second.wait(t, Down)
		var se *Error
		if !errors.As(st.Err, &se) || se.Condition != "conflict" || st.Retry == 0 {
			t.Errorf("got %+v", st)
		}
	}
}
