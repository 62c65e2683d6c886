package xmpp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/sdk"
)

// fakeHost keeps what a link publishes and reports.
type fakeHost struct {
	t  testing.TB
	mu sync.Mutex
	// refuse, if set, decides about a batch before it is taken.
	refuse func([]sdk.Event) error
	log    *slog.Logger

	store *memory

	events  chan sdk.Event
	reports chan sdk.Report
}

// memory is a store that outlives the links of a test.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *memory) Set(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == nil {
		delete(m.values, key)
		return nil
	}
	m.values[key] = append([]byte(nil), value...)
	return nil
}

func (m *memory) Keys(_ context.Context, prefix, after string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.values {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), 1000)], nil
}

func newFakeHost(t testing.TB) *fakeHost {
	h := &fakeHost{t: t, store: newMemory(), events: make(chan sdk.Event, 10000), reports: make(chan sdk.Report, 10000), log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		h.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return h
}

func (h *fakeHost) Publish(_ context.Context, events ...sdk.Event) error {
	h.mu.Lock()
	refuse := h.refuse
	h.mu.Unlock()
	if refuse != nil {
		if err := refuse(events); err != nil {
			return err
		}
	}
	for _, e := range events {
		h.events <- e
	}
	return nil
}

func (h *fakeHost) Report(_ context.Context, reports ...sdk.Report) error {
	for _, r := range reports {
		h.reports <- r
	}
	return nil
}

func (h *fakeHost) Store() sdk.Store { return h.store }
func (*fakeHost) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "there is no gateway")
}

func (h *fakeHost) Log() *slog.Logger { return h.log }

// event waits for the next event.
func (h *fakeHost) event() sdk.Event {
	h.t.Helper()
	select {
	case e := <-h.events:
		return e
	case <-time.After(itest.WaitTimeout):
		h.t.Fatal("no event came")
		panic("unreachable")
	}
}

// noEvent fails if an event has come.
func (h *fakeHost) noEvent() {
	h.t.Helper()
	select {
	case e := <-h.events:
		h.t.Fatalf("event came: %+v", e)
	default:
	}
}

// report waits for a report of the place that match accepts.
func (h *fakeHost) report(what string, match func(sdk.Report) bool) sdk.Report {
	h.t.Helper()
	end := time.After(itest.WaitTimeout)
	var last sdk.Report
	for {
		select {
		case r := <-h.reports:
			if match(r) {
				return r
			}
			last = r
		case <-end:
			h.t.Fatalf("no report: %s; last was %+v", what, last)
		}
	}
}

// roomUp waits until the room works.
func (h *fakeHost) roomUp(place sdk.RemoteID) {
	h.t.Helper()
	h.report(string(place)+" up", func(r sdk.Report) bool { return r.Place == place && r.State == sdk.StateUp })
}

// start opens a link and runs it until the test ends or stop is called.
func start(t testing.TB, h sdk.Host, cfg map[string]any, places ...sdk.PlaceUse) (l sdk.Link, stop func()) {
	t.Helper()
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err = New().Open(sdk.Config{Link: "home", JSON: raw, Places: places}, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(stop)
	return l, stop
}

func component(srv *itest.Server) map[string]any {
	return map[string]any{"mode": "component", "address": srv.Component, "domain": bridgeDomain, "secret": "s3cret", "timeout": "5s"}
}

const bridgeDomain = "bridge.xmpp.test"

// tag begins the ids of the messages of the link that start makes.
var tag = convert.Tag("home", bridgeDomain)

var grafana = sdk.Actor{ID: "a1", Kind: sdk.ActorService, Home: sdk.Ref{Link: "hooks", ID: "grafana"}, Name: "Grafana"}

// textTo makes the delivery of a new message.
func textTo(place sdk.RemoteID, id string, author sdk.Actor, body string) sdk.Delivery {
	return sdk.Delivery{
		ID: sdk.DeliveryID(id), Place: place, Attempt: 1, Deadline: time.Now().Add(time.Minute),
		Event: sdk.Event{ID: sdk.EventID("e" + id), Actor: author, Change: sdk.ItemCreated{Item: sdk.Item{ID: sdk.ItemID("i" + id), Text: sdk.NewText(body)}}},
	}
}

// deliver hands over a batch and wants every receipt to be good.
func deliver(t testing.TB, l sdk.Link, batch ...sdk.Delivery) []sdk.Receipt {
	t.Helper()
	receipts := tryDeliver(t, l, batch...)
	for _, r := range receipts {
		if r.Err != nil {
			t.Fatalf("delivery %s: %v (%s)", r.Delivery, r.Err, r.Err.Public)
		}
	}
	return receipts
}

func tryDeliver(t testing.TB, l sdk.Link, batch ...sdk.Delivery) []sdk.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	receipts, err := l.(sdk.Deliverer).Deliver(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	if len(receipts) != len(batch) {
		t.Fatalf("%d receipts for %d deliveries", len(receipts), len(batch))
	}
	return receipts
}

// servers runs a test against both servers.
func servers(t *testing.T, opt itest.Options, test func(t *testing.T, srv *itest.Server)) {
	if opt.Users == nil {
		opt.Users = map[string]string{"juliet": "pw", "romeo": "pw", "bot": "pw"}
	}
	if opt.Components == nil {
		opt.Components = map[string]string{bridgeDomain: "s3cret"}
	}
	for name, begin := range map[string]func(itest.TB, itest.Options) *itest.Server{"prosody": itest.Prosody, "ejabberd": itest.Ejabberd} {
		t.Run(name, func(t *testing.T) { test(t, begin(t, opt)) })
	}
}

func writeTo(id string) sdk.PlaceUse { return sdk.PlaceUse{ID: sdk.RemoteID(id), Target: true} }

func bothWays(id string) sdk.PlaceUse {
	return sdk.PlaceUse{ID: sdk.RemoteID(id), Source: true, Target: true}
}

func hasLoss(r sdk.Receipt, k sdk.LossKind) bool {
	for _, l := range r.Loss {
		if l.Kind == k {
			return true
		}
	}
	return false
}

func bodies(events []itest.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s: %s\n", e.Nick, e.Body)
	}
	return b.String()
}
