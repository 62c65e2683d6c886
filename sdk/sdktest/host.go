package sdktest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"bridgehost/sdk"
)

// Bounds of the host's store, as sdk.Store states them.
const (
	maxKey   = 256
	maxValue = 64 << 10
	maxKeys  = 10_000
	pageKeys = 1000
)

// Host is an sdk.Host in memory. The zero value is not ready: use NewHost.
type Host struct {
	log    *slog.Logger
	events chan sdk.Event
	calls  atomic.Int64

	mu      sync.Mutex
	reports []sdk.Report
	changed chan struct{} // closed and replaced at each report
	refuse  func([]sdk.Event) error
	peers   func(address string) (sdk.Resolved, error)
	values  map[string][]byte
	dedup   map[string]bool
}

var (
	_ sdk.Host  = (*Host)(nil)
	_ sdk.Store = (*Host)(nil)
)

// NewHost makes a host that holds up to 4,096 published events until they are
// taken from Events; Publish waits then. A nil log discards.
func NewHost(log *slog.Logger) *Host {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	return &Host{
		log: log, events: make(chan sdk.Event, 4096), changed: make(chan struct{}),
		values: make(map[string][]byte), dedup: make(map[string]bool),
	}
}

// Calls counts the calls of Publish, Report and the store.
func (h *Host) Calls() int { return int(h.calls.Load()) }

// Events gives what was published, in order, without repeats of Event.Dedup.
func (h *Host) Events() <-chan sdk.Event { return h.events }

// Refuse makes Publish answer with f's error, until it is set to nil.
func (h *Host) Refuse(f func([]sdk.Event) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = f
}

// Publish implements sdk.Host.
func (h *Host) Publish(ctx context.Context, events ...sdk.Event) error {
	h.calls.Add(1)
	h.mu.Lock()
	refuse := h.refuse
	h.mu.Unlock()
	if refuse != nil {
		if err := refuse(events); err != nil {
			return err
		}
	}
	for _, e := range events {
		if h.seen(e.Dedup) {
			continue
		}
		select {
		case h.events <- e:
		case <-ctx.Done():
			return fmt.Errorf("publish: %w", ctx.Err())
		}
	}
	return nil
}

func (h *Host) seen(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key == "" {
		return false
	}
	seen := h.dedup[key]
	h.dedup[key] = true
	return seen
}

// Report implements sdk.Host.
func (h *Host) Report(_ context.Context, reports ...sdk.Report) error {
	h.calls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reports = append(h.reports, reports...)
	close(h.changed)
	h.changed = make(chan struct{})
	return nil
}

// Reports gives all reports so far.
func (h *Host) Reports() []sdk.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reports)
}

// WaitReport waits for a report, made before or after the call, that ok accepts.
func (h *Host) WaitReport(ctx context.Context, ok func(sdk.Report) bool) (sdk.Report, error) {
	for {
		h.mu.Lock()
		reports, changed := h.reports, h.changed
		h.mu.Unlock()
		if i := slices.IndexFunc(reports, ok); i >= 0 {
			return reports[i], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return sdk.Report{}, fmt.Errorf("wait for a report, %d came that do not fit: %w", len(reports), ctx.Err())
		}
	}
}

// AnswerResolve names the function that answers Resolve, as the other link of a
// gateway would; without one every address is Unsupported.
func (h *Host) AnswerResolve(answer func(address string) (sdk.Resolved, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers = answer
}

// Resolve implements sdk.Host.
func (h *Host) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	h.calls.Add(1)
	h.mu.Lock()
	answer := h.peers
	h.mu.Unlock()
	if answer == nil {
		return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "the link is part of no gateway")
	}
	return answer(address)
}

// Store implements sdk.Host.
func (h *Host) Store() sdk.Store { return h }

// Log implements sdk.Host.
func (h *Host) Log() *slog.Logger { return h.log }

// Get implements sdk.Store.
func (h *Host) Get(_ context.Context, key string) ([]byte, error) {
	h.calls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.values[key]), nil
}

// Set implements sdk.Store.
func (h *Host) Set(_ context.Context, key string, value []byte) error {
	h.calls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.values[key]
	switch {
	case key == "" || len(key) > maxKey:
		return sdk.Errorf(sdk.Invalid, "store set", "key of %d bytes: 1 to %d are allowed", len(key), maxKey)
	case len(value) > maxValue:
		return sdk.Errorf(sdk.TooLarge, "store set", "value of %d bytes: %d are allowed", len(value), maxValue)
	case value == nil:
		delete(h.values, key)
	case !known && len(h.values) >= maxKeys:
		return sdk.Errorf(sdk.TooLarge, "store set", "%d keys are stored already", maxKeys)
	default:
		h.values[key] = append([]byte{}, value...)
	}
	return nil
}

// Keys implements sdk.Store.
func (h *Host) Keys(_ context.Context, prefix, after string) ([]string, error) {
	h.calls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []string
	for k := range h.values {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), pageKeys)], nil
}
