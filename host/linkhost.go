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
	wake    func(link sdk.LinkID, place sdk.RemoteID) // lanes of a place that works again; nil = none
	resolve func(ctx context.Context, link sdk.LinkID, address string) (sdk.Resolved, error)
	store   sdk.Store
	log     *slog.Logger
}

var _ sdk.Host = (*linkHost)(nil)

// Publish implements sdk.Host.
func (h *linkHost) Publish(ctx context.Context, events ...sdk.Event) error {
	return h.publish(ctx, h.link, events)
}

// Report implements sdk.Host.
func (h *linkHost) Report(_ context.Context, reports ...sdk.Report) error {
	h.report(reports...)
	for _, r := range reports {
		if r.State >= sdk.StateDown {
			h.log.Warn("state", "state", r.State, "reason", r.Reason)
			continue
		}
		h.log.Debug("state", "state", r.State)
		if r.State == sdk.StateUp && h.wake != nil {
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
