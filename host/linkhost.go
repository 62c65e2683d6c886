package host

import (
	"context"
	"log/slog"

	"bridgehost/sdk"
)

// linkHost is the host as one link sees it.
type linkHost struct {
	link    sdk.LinkID
	publish func(ctx context.Context, link sdk.LinkID, events []sdk.Event) error
	report  func(reports ...sdk.Report)
	wake    func(link sdk.LinkID, place sdk.RemoteID) // lanes of a place that works again
	resolve func(ctx context.Context, link sdk.LinkID, address string) (sdk.Resolved, error)
	reports *reportLog
	store   sdk.Store
	log     *slog.Logger
}

var _ sdk.Host = (*linkHost)(nil)

// Publish implements sdk.Host.
func (h *linkHost) Publish(ctx context.Context, events ...sdk.Event) error {
	return h.publish(ctx, h.link, events)
}

// Report implements sdk.Host.
func (h *linkHost) Report(ctx context.Context, reports ...sdk.Report) error {
	h.report(reports...)
	for _, r := range reports {
		if h.reports.report(ctx, r) {
			h.wake(h.link, r.Place)
		}
	}
	return nil
}

// Resolve implements sdk.Host.
func (h *linkHost) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	return h.resolve(ctx, h.link, address)
}

// Store implements sdk.Host.
func (h *linkHost) Store() sdk.Store { return h.store }

// Log implements sdk.Host.
func (h *linkHost) Log() *slog.Logger { return h.log }

// checkHost is the host for a link that is only checked: it does nothing. Open
// should not ask it (sdk.Plugin), and a plugin that does must not end the check.
type checkHost struct{ log *slog.Logger }

var (
	_ sdk.Host  = checkHost{}
	_ sdk.Store = checkHost{}
)

func onlyChecked(op string) error {
	return sdk.Errorf(sdk.Unsupported, "", "%s: the link is only checked, and Open does no I/O", op)
}

// Publish implements sdk.Host.
func (checkHost) Publish(context.Context, ...sdk.Event) error { return onlyChecked("publish") }

// Report implements sdk.Host.
func (checkHost) Report(context.Context, ...sdk.Report) error { return nil }

// Resolve implements sdk.Host.
func (checkHost) Resolve(context.Context, string) (sdk.Resolved, error) {
	return sdk.Resolved{}, onlyChecked("resolve")
}

// Store implements sdk.Host.
func (h checkHost) Store() sdk.Store { return h }

// Log implements sdk.Host.
func (h checkHost) Log() *slog.Logger { return h.log }

// Get implements sdk.Store.
func (checkHost) Get(context.Context, string) ([]byte, error) { return nil, onlyChecked("get") }

// Set implements sdk.Store.
func (checkHost) Set(context.Context, string, []byte) error { return onlyChecked("set") }

// Keys implements sdk.Store.
func (checkHost) Keys(context.Context, string, string) ([]string, error) {
	return nil, onlyChecked("keys")
}
