package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/host/config"
	"bridgehost/sdk"
)

// wire is a plugin whose links the test holds in its hands.
type wire struct {
	opened chan *wireLink // each link that is opened to run
}

func newWire() *wire {
	return &wire{opened: make(chan *wireLink, 64)}
}

func (*wire) Describe() sdk.Manifest {
	return sdk.Manifest{ID: "wire", Facets: []string{"deliverer", "informed", "placer", "resolver"}}
}

func (w *wire) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	return &wireLink{wire: w, cfg: cfg, host: h, told: make(chan sdk.Outcome, 64), got: make(chan sdk.Delivery, 64), end: make(chan error, 1)}, nil
}

// wireLink is one link. The answers are set by the test; the zero values take
// everything.
type wireLink struct {
	wire *wire
	cfg  sdk.Config
	host sdk.Host
	told chan sdk.Outcome
	got  chan sdk.Delivery
	end  chan error // ends Run

	mu      sync.Mutex
	refuse  *sdk.Error // of deliveries
	deaf    error      // of outcomes
	resolve func(address string) (sdk.Resolved, error)
}

func (l *wireLink) Run(ctx context.Context) error {
	l.wire.opened <- l
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-l.end:
		return err
	}
}

func (l *wireLink) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *wireLink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]sdk.Receipt, len(batch))
	for i := range batch {
		out[i] = sdk.Receipt{Delivery: batch[i].ID, Err: l.refuse}
		if l.refuse == nil {
			l.got <- batch[i]
		}
	}
	return out, nil
}

func (l *wireLink) Inform(_ context.Context, outcomes []sdk.Outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range outcomes {
		l.told <- o
	}
	return l.deaf
}

func (l *wireLink) SetPlaces(context.Context, []sdk.PlaceUse) error { return nil }

func (l *wireLink) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resolve == nil {
		return sdk.Resolved{}, sdk.Errorf(sdk.NotFound, "resolve", "no %s", address)
	}
	return l.resolve(address)
}

// say publishes a message of the link's place "room".
func (l *wireLink) say(t *testing.T, id, text string, want bool) {
	t.Helper()
	name := l.cfg.Link
	err := l.host.Publish(t.Context(), sdk.Event{
		Time: time.Unix(1_700_000_000, 0), Place: sdk.Ref{Link: name, ID: "room"}, Dedup: id, Want: want,
		Actor:  sdk.Actor{Home: sdk.Ref{Link: name, ID: "romeo"}, Name: "Romeo"},
		Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{Link: name, ID: sdk.RemoteID(id)}, Text: sdk.NewText(text)}},
	})
	if err != nil {
		t.Fatalf("publish %s: %v", id, err)
	}
}

// running is a host that runs.
type running struct {
	*Host
	links map[sdk.LinkID]*wireLink
	wire  *wire
	path  string
	admin string // address of the admin listener
	web   string // address of the public listener; empty without
	hup   chan os.Signal
	stop  func()
}

const twoLinks = `[host]
data = "data"
crash_pause = "1s"
[admin]
listen = "127.0.0.1:0"
[link.a]
plugin = "wire"
[link.b]
plugin = "wire"
`

const oneRoute = "[[route]]\nfrom = \"a:room\"\nto = [\"b:room\"]\n"

// start runs a host on the folder until the test ends, or stop is called, and
// waits for its links.
func start(t *testing.T, dir, text string, n int) *running {
	t.Helper()
	path := filepath.Join(dir, "bridgehost.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, "wire")
	if err != nil {
		t.Fatal(err)
	}
	w := newWire()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r := &running{links: map[sdk.LinkID]*wireLink{}, wire: w, path: path, hup: make(chan os.Signal, 1)}
	ready := make(chan struct{})
	h, err := New(cfg, map[string]sdk.Plugin{"wire": w}, Options{Log: log, InProcess: true, Version: "test", Ready: func(public, admin net.Addr) {
		if r.admin = admin.String(); public != nil {
			r.web = public.String()
		}
		close(ready)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r.Host = h
	go func() { ended <- h.Run(ctx, r.hup) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("host ended: %v", err)
		}
	})
	t.Cleanup(r.stop)
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("host did not start: %v", err)
	}
	for range n {
		r.next(t)
	}
	return r
}

// next waits for a link that begins to run.
func (r *running) next(t *testing.T) *wireLink {
	t.Helper()
	l := receive(t, r.wire.opened, "a link that runs")
	r.links[l.cfg.Link] = l
	return l
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// TestOutcomesSurviveARestart loses neither a failure nor a success that the
// sender asked about when the link did not take it before the host went down.
func TestOutcomesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, twoLinks+oneRoute, 2)
	a, b := r.links["a"], r.links["b"]
	a.set(func() { a.deaf = errors.New("busy") })
	b.set(func() { b.refuse = sdk.Errorf(sdk.Forbidden, "send", "banned") })
	a.say(t, "m1", "x", false)
	if o := receive(t, a.told, "outcome"); o.State != sdk.OutcomeDead || o.Dedup != "m1" {
		t.Errorf("told %+v", o)
	}
	b.set(func() { b.refuse = nil })
	a.say(t, "m2", "y", true)
	receive(t, b.got, "delivery")
	a.say(t, "m3", "z", false) // nobody asks about it
	receive(t, b.got, "delivery")
	r.stop()

	r = start(t, dir, twoLinks+oneRoute, 2)
	a = r.links["a"]
	var told []string
	for range 2 {
		o := receive(t, a.told, "outcome after the restart")
		told = append(told, fmt.Sprintf("%s %d %s", o.Dedup, o.State, o.Place))
	}
	if got := strings.Join(told, ", "); got != "m1 2 b:room, m2 1 b:room" {
		t.Errorf("told %s", got)
	}
	a.say(t, "m4", "x", true)
	if o := receive(t, a.told, "outcome"); o.Dedup != "m4" {
		t.Errorf("told %+v, what was taken must not come again", o)
	}
}
