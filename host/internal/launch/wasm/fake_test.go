package wasm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/sdk"
)

// TestMain builds the Go guest once.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "bridgehost-wasm")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		goGuest, err = buildGuest(dir, "goguest")
		if err == nil {
			leanGuest, err = buildGuest(dir, "leanguest")
		}
		if err == nil {
			rawGuest, err = os.ReadFile("testdata/cguest/raw.wasm")
		}
		if err == nil {
			cacheDir = filepath.Join(dir, "cache")
			sharedHost, err = NewHost(Options{Dir: cacheDir})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer sharedHost.Close(context.Background())
		return m.Run()
	}())
}

// buildGuest compiles a Go guest of testdata.
func buildGuest(dir, name string) ([]byte, error) {
	out := filepath.Join(dir, name+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", name, err, msg)
	}
	return os.ReadFile(out)
}

var (
	goGuest, leanGuest, rawGuest []byte
	cacheDir                     string
	sharedHost                   *Host
)

// fakeHost records what a link does.
type fakeHost struct {
	mu        sync.Mutex
	published []sdk.Event
	reports   []sdk.Report
	kv        map[string][]byte
	logs      bytes.Buffer
	got       chan sdk.Event
}

func newFakeHost() *fakeHost {
	return &fakeHost{kv: map[string][]byte{}, got: make(chan sdk.Event, 2000)}
}

func (h *fakeHost) Publish(_ context.Context, events ...sdk.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = append(h.published, events...)
	for _, e := range events {
		h.got <- e
	}
	return nil
}

func (h *fakeHost) Report(_ context.Context, r ...sdk.Report) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reports = append(h.reports, r...)
	return nil
}

func (h *fakeHost) Store() sdk.Store { return h }

func (*fakeHost) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "there is no gateway")
}

func (h *fakeHost) Log() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

func (h *fakeHost) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs.Write(b)
}

func (h *fakeHost) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs.String()
}

func (h *fakeHost) Get(_ context.Context, key string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kv[key], nil
}

func (h *fakeHost) Set(_ context.Context, key string, value []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if value == nil {
		delete(h.kv, key)
	} else {
		h.kv[key] = value
	}
	return nil
}

func (h *fakeHost) Keys(_ context.Context, prefix, after string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for k := range h.kv {
		if strings.HasPrefix(k, prefix) && k > after {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out, nil
}

// guestOptions are options for the Go guest with some abilities.
func guestOptions(abilities ...string) LoadOptions {
	facets := []string{"filter", "commander", "deliverer", "web"}
	return LoadOptions{Name: "goguest.wasm", Grant: abilities,
		Manifest: sdk.Manifest{ID: "goguest", Facets: facets, Abilities: abilities, Hosts: []string{"*"}}}
}

// load loads a module and closes it with the test.
func load(tb testing.TB, h *Host, bin []byte, o LoadOptions) *Plugin {
	tb.Helper()
	p, err := h.Load(context.Background(), bin, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// open opens a link and closes it with the test.
func open(tb testing.TB, p *Plugin, host *fakeHost) *Link {
	tb.Helper()
	l, err := p.OpenLink(sdk.Config{Link: "guest", JSON: []byte(`{"a":1}`)}, host)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	return l
}

// goLink is a link of the Go guest.
func goLink(tb testing.TB, abilities ...string) (*Link, *fakeHost) {
	tb.Helper()
	host := newFakeHost()
	return open(tb, load(tb, sharedHost, goGuest, guestOptions(abilities...)), host), host
}

// said is an event with a text.
func said(text string) sdk.Event {
	return sdk.Event{
		ID: "e1", Seq: 3, Time: time.Unix(1000, 5).UTC(), Place: sdk.Ref{Link: "home", ID: "room@muc.example"}, Dedup: "k1", Via: []sdk.LinkID{"home"},
		Actor: sdk.Actor{ID: "a1", Home: sdk.Ref{Link: "home", ID: "romeo@example.net"}, Name: "Romeo", Handle: "romeo@example.net"},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "i1", Author: "a1", Origin: sdk.Ref{Link: "home", ID: "s1"}, Title: "title", Tags: []string{"a", "b"},
			Text: &sdk.Text{Plain: text, Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 0, End: 1}}}, Media: []sdk.Media{{URL: "https://example.net/1.png", Type: "image/png"}},
			Language: "en", Created: time.Unix(1000, 0).UTC()}},
	}
}

// ask filters one event.
func ask(l *Link, text string) (sdk.Verdict, error) {
	v, err := l.Facets().Filter.Filter(context.Background(), []sdk.Event{said(text)})
	if err != nil {
		return sdk.Verdict{}, err
	}
	return v[0], nil
}
