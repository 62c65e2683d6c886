package xmpp

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

// cord is a connection to a server that can be cut, as the kernel cuts those of
// a process that was killed: what was written is still delivered, nothing is
// said.
type cord struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	cut   bool
	wg    sync.WaitGroup
}

func newCord(t *testing.T, to string) *cord {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cord{Listener: ln, to: to}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		c.Cut()
		c.wg.Wait()
	})
	return c
}

func (c *cord) accept() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		c.mu.Lock()
		if err != nil || c.cut {
			in.Close()
			if out != nil {
				out.Close()
			}
			c.mu.Unlock()
			continue
		}
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.wg.Go(func() { _, _ = io.Copy(out, in) })
		c.wg.Go(func() { _, _ = io.Copy(in, out) })
	}
}

// Cut ends all connections for good.
func (c *cord) Cut() {
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		conn.Close()
	}
}

// TestLinkKilled cuts the link at many moments of a burst and goes on with a new
// one that knows only what the host knows. Every message is there once, in
// order, and what people say is still heard.
func TestLinkKilled(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		began := time.Now()
		const total = 600
		next, rounds := 0, 0
		uncertain := map[int]bool{}
		for ; next < total; rounds++ {
			c := newCord(t, srv.Component)
			cfg := component(srv)
			cfg["address"] = c.Addr().String()
			h := newFakeHost(t)
			l, stop := start(t, h, cfg, bothWays(room))
			timer := time.AfterFunc(time.Duration(50+rounds*53)*time.Millisecond, c.Cut)
			for broken := false; !broken && next < total; {
				var batch []sdk.Delivery
				for i := next; i < min(next+64, total); i++ {
					d := textTo(sdk.RemoteID(room), fmt.Sprintf("k%04d", i), grafana, fmt.Sprintf("message %d", i))
					d.Uncertain, d.Since = uncertain[i], began
					batch = append(batch, d)
				}
				first := next
				for i, r := range tryDeliver(t, l, batch...) {
					broken = broken || r.Err != nil
					uncertain[first+i] = r.Err != nil && !r.Unsent
					if r.Err == nil && first+i == next {
						next++
					}
				}
			}
			timer.Stop()
			c.Cut()
			stop()
		}
		juliet.WaitBody(room, fmt.Sprintf("message %d", total-1))
		got := juliet.Messages(room)
		for i := range min(total, len(got)) {
			if want := fmt.Sprintf("message %d", i); got[i].Body != want {
				t.Fatalf("message %d is %q (%d kills)", i, got[i].Body, rounds)
			}
		}
		if len(got) != total {
			t.Errorf("%d messages, want %d (%d kills)", len(got), total, rounds)
		}
		t.Logf("%d kills", rounds)
		h := newFakeHost(t)
		start(t, h, component(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		juliet.SendGroupchat(room, "hello")
		if ev := h.event(); ev.Item().Body() != "hello" {
			t.Errorf("event: %+v", ev)
		}
	})
}

// TestHeardThroughKills cuts the link at many moments while people talk, and goes
// on each time with a new one that knows only what the host keeps. The host gets
// every message, in order, and a repeated one under the key that it had before.
func TestHeardThroughKills(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		h := newFakeHost(t)
		_, stop := start(t, h, component(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		juliet.SendGroupchat(room, "begin")
		h.event()
		stop()

		const total = 400
		go func() {
			for i := range total {
				juliet.SendGroupchat(room, fmt.Sprintf("message %d", i))
				time.Sleep(5 * time.Millisecond) // people are slow
			}
		}()
		next, rounds := 0, 0
		keys := map[string]bool{}
		for ; next < total; rounds++ {
			c := newCord(t, srv.Component)
			cfg := component(srv)
			cfg["address"] = c.Addr().String()
			after := newFakeHost(t)
			after.store = h.store
			h = after
			_, stop := start(t, h, cfg, bothWays(room))
			timer := time.AfterFunc(time.Duration(80+rounds*61)*time.Millisecond, func() {
				h.mu.Lock()
				h.refuse = func([]sdk.Event) error { return sdk.Errorf(sdk.Transient, "publish", "killed") }
				h.mu.Unlock()
				c.Cut()
			})
			if rounds > 8 { // let it end
				timer.Stop()
				for next < total {
					next = hearNext(t, h.event(), keys, next)
				}
			}
			h.report("cut", func(r sdk.Report) bool { return next == total || r.Place == "" && r.State == sdk.StateDown })
			c.Cut()
			stop()
			for more := true; more && next < total; {
				select {
				case ev := <-h.events:
					next = hearNext(t, ev, keys, next)
				default:
					more = false
				}
			}
		}
		t.Logf("%d kills", rounds)
	})
}

// hearNext checks that an event is the next message, or one that the host has
// already, and returns the number of the next.
func hearNext(t *testing.T, ev sdk.Event, keys map[string]bool, next int) int {
	t.Helper()
	if ev.Dedup == "" {
		t.Fatalf("no dedup key: %+v", ev)
	}
	if keys[ev.Dedup] {
		return next
	}
	keys[ev.Dedup] = true
	if ev.Item() == nil || ev.Item().Body() == "begin" {
		return next
	}
	if want := fmt.Sprintf("message %d", next); ev.Item().Body() != want {
		t.Fatalf("heard %q, want %q", ev.Item().Body(), want)
	}
	return next + 1
}
