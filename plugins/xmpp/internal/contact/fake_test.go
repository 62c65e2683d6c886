package contact

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

const (
	domain  = "ap.example.org"
	romeo   = "romeo@example.org"
	juliet  = "juliet@s2.example"
	vjuliet = `juliet\40s2.example@ap.example.org`
)

// fakeStream keeps what is sent.
type fakeStream struct {
	mu      sync.Mutex
	sent    []packet.Stanza
	down    bool
	answers func(*packet.IQ) (*packet.IQ, error)
}

func (s *fakeStream) Send(_ context.Context, p packet.Stanza) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return &downError{}
	}
	if _, _, err := packet.Encode(p, packet.Rules{Space: packet.NSComponent, Domain: domain}); err != nil {
		return err
	}
	s.sent = append(s.sent, p)
	return nil
}

// downError is the error of a stream that is down.
type downError struct{}

func (*downError) Error() string   { return "stream is down" }
func (*downError) Unwrap() []error { return []error{stream.ErrNotWritten, stream.ErrDown} }

func (s *fakeStream) IQ(_ context.Context, iq *packet.IQ) (*packet.IQ, error) {
	s.mu.Lock()
	answers := s.answers
	s.mu.Unlock()
	if answers == nil {
		return nil, &packet.Error{Type: "cancel", Condition: "service-unavailable"}
	}
	return answers(iq)
}

func (s *fakeStream) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// world is contacts with a fake stream and a fake host, inside a bubble of synctest.
type world struct {
	t      *testing.T
	c      *Contacts
	s      *fakeStream
	h      *faulty
	cancel context.CancelFunc
	done   chan error
}

// faulty is a host whose store can be made to fail.
type faulty struct {
	*sdktest.Host
	fail atomic.Bool
}

func (f *faulty) Store() sdk.Store { return faultyStore{f.Host.Store(), f} }

type faultyStore struct {
	sdk.Store
	f *faulty
}

func (s faultyStore) Set(ctx context.Context, key string, value []byte) error {
	if s.f.fail.Load() {
		return errors.New("disk is full")
	}
	return s.Store.Set(ctx, key, value)
}

// options are those of most tests.
func options() Options {
	return Options{Address: address.Component{Domain: domain, Local: []string{"example.org"}}, Peer: "other"}
}

// run runs a test in a bubble of its own.
func run(t *testing.T, o Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, s: &fakeStream{}, h: &faulty{Host: sdktest.NewHost(nil)}}
		w.start(o)
		defer w.stop()
		test(w)
	})
}

func (w *world) start(o Options) {
	w.c = New(o, w.s, w.h)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan error, 1)
	go func() { w.done <- w.c.Run(ctx) }()
	synctest.Wait()
}

func (w *world) stop() {
	w.t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

// restart stops and starts anew on the same store.
func (w *world) restart(o Options) {
	w.t.Helper()
	w.stop()
	later(time.Millisecond) // a restart takes time
	w.start(o)              // what stops the test stops this one
}

// in hands in a presence as the stream would.
func (w *world) in(xml string) {
	w.t.Helper()
	st, err := packet.DecodeBytes([]byte(xml), packet.NSComponent)
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.c.HandlePresence(context.Background(), st.(*packet.Presence)) {
		w.t.Errorf("not taken: %s", xml)
	}
	synctest.Wait()
}

func (w *world) presence(from, typ, children string) {
	w.t.Helper()
	attr := ""
	if typ != "" {
		attr = " type='" + typ + "'"
	}
	w.in("<presence from='" + from + "' to='" + vjuliet + "'" + attr + ">" + children + "</presence>")
}

// sent gives what was sent since the last call, one line each: type, from, to and what is inside.
func (w *world) sent() []string {
	w.t.Helper()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	var lines []string
	for _, p := range w.s.sent {
		b, _, err := packet.Encode(p, packet.Rules{Space: packet.NSComponent, Domain: domain})
		if err != nil {
			w.t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	w.s.sent = nil
	return lines
}

// expect checks what was sent since the last call: for each stanza, words that it must hold.
func (w *world) expect(what string, want ...string) {
	w.t.Helper()
	got := w.sent()
	if len(got) != len(want) {
		w.t.Fatalf("%s: %d stanzas, want %d:\n%s", what, len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		for _, word := range strings.Fields(want[i]) {
			if no, ok := strings.CutPrefix(word, "!"); ok {
				if strings.Contains(got[i], no) {
					w.t.Errorf("%s: stanza %d must not hold %s: %s", what, i, no, got[i])
				}
			} else if !strings.Contains(got[i], word) {
				w.t.Errorf("%s: stanza %d lacks %s: %s", what, i, word, got[i])
			}
		}
	}
}

// events gives what was published since the last call.
func (w *world) events() []sdk.Event {
	synctest.Wait()
	var list []sdk.Event
	for {
		select {
		case e := <-w.h.Events():
			list = append(list, e)
		default:
			return list
		}
	}
}

// published checks what was published since the last call.
func (w *world) published(what string, want ...sdk.Change) {
	w.t.Helper()
	got := w.events()
	if len(got) != len(want) {
		w.t.Fatalf("%s: published %+v, want %+v", what, got, want)
	}
	for i, e := range got {
		if e.Change != want[i] {
			w.t.Errorf("%s: published %#v, want %#v", what, e.Change, want[i])
		}
		if e.Place.ID != sdk.PeerPlace(romeo, juliet) || e.Actor.Home.ID != romeo {
			w.t.Errorf("%s: published by %q in %q", what, e.Actor.Home.ID, e.Place.ID)
		}
	}
}

// deliver delivers a change of Juliet to Romeo.
func (w *world) deliver(ch sdk.Change) sdk.Receipt {
	w.t.Helper()
	r := w.c.Deliver(context.Background(), sdk.Delivery{
		ID: "d", Place: sdk.PeerPlace(romeo, juliet),
		Event: sdk.Event{Actor: sdk.Actor{Home: sdk.Ref{Link: "other", ID: juliet}, Name: "Juliet"}, Change: ch},
	})
	if r.Err != nil {
		w.t.Errorf("deliver %#v: %v", ch, r.Err)
	}
	synctest.Wait()
	return r
}

func later(d time.Duration) {
	time.Sleep(d) // inside a bubble time is not real
	synctest.Wait()
}
