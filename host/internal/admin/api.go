// Package admin is the listener for operators: status, health, metrics, the
// queue and the provenance of items, as JSON for the command line and as a
// plain page for people. It never shows what items say, and it is never the
// public listener.
package admin

import (
	"context"
	"time"

	"bridgehost/host/internal/supervise"
)

// Status is the state of the host.
type Status struct {
	Version string             `json:"version"`
	Ready   bool               `json:"ready"`
	Reason  string             `json:"reason,omitempty"` // why it is not ready
	Started time.Time          `json:"started"`
	Links   []supervise.Status `json:"links"`
	Queues  []QueueStatus      `json:"queues"`
	Store   StoreStatus        `json:"store"`
	Routes  []RouteStatus      `json:"routes"`
}

// QueueStatus is the queue of one link.
type QueueStatus struct {
	Link   string        `json:"link"`
	Depth  int           `json:"depth"`
	Oldest time.Duration `json:"oldest_ns"`
	Dead   int           `json:"dead"`
}

// StoreStatus is the state of the disk.
type StoreStatus struct {
	Path     string `json:"path"`
	Free     int64  `json:"free_bytes"`
	Writable bool   `json:"writable"`
	Reason   string `json:"reason,omitempty"`
}

// RouteStatus is one rule of the operator.
type RouteStatus struct {
	ID       string   `json:"id"`
	From     string   `json:"from"`
	To       []string `json:"to"`
	BothWays bool     `json:"both_ways"`
	Filters  []string `json:"filters,omitempty"`
}

// QueueFilter selects deliveries; empty fields select all.
type QueueFilter struct {
	IDs   []string `json:"ids,omitempty"`
	Link  string   `json:"link,omitempty"`
	Place string   `json:"place,omitempty"`
	Dead  bool     `json:"dead"` // dead letters in place of waiting deliveries
	Limit int      `json:"limit,omitempty"`
}

// QueueRow is one delivery that waits or was given up.
type QueueRow struct {
	ID       string    `json:"id"`
	Link     string    `json:"link"`
	Place    string    `json:"place"`
	Kind     string    `json:"kind"`
	Item     string    `json:"item,omitempty"`
	Created  time.Time `json:"created"`
	Due      time.Time `json:"due,omitzero"`
	Attempts int       `json:"attempts"`
	Reason   string    `json:"reason,omitempty"`
	Dead     bool      `json:"dead"`
}

// Explanation is the provenance of one item: what arrived, which rule did what,
// where it went.
type Explanation struct {
	Item    string      `json:"item"`
	Origin  string      `json:"origin"`
	Created time.Time   `json:"created"`
	Copies  []string    `json:"copies,omitempty"`
	Steps   []ExplainAt `json:"steps"`
}

// ExplainAt is one step in the life of an item.
type ExplainAt struct {
	Time time.Time `json:"time"`
	What string    `json:"what"`
}

// Host is what the listener shows and does.
type Host interface {
	Status(ctx context.Context) Status
	Queue(ctx context.Context, f QueueFilter) ([]QueueRow, error)
	// Retry makes deliveries due now, dead letters among them, and returns how many.
	Retry(ctx context.Context, f QueueFilter) (int, error)
	// Drop removes deliveries for good and returns how many.
	Drop(ctx context.Context, f QueueFilter) (int, error)
	Explain(ctx context.Context, item string) (Explanation, error)
	Reload(ctx context.Context) (string, error)
}

// Restarter is the part of the supervisor that starts a link anew.
type Restarter interface {
	RestartLink(ctx context.Context, link string) error
}
