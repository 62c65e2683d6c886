// Package sqlite keeps the host's state in one SQLite database in the data
// folder: write-ahead log, synchronous=FULL, one writer that commits in groups.
//
// Why one writer: SQLite has one lock for writing, and a commit costs an fsync.
// The writer takes every request that waits, runs them in one transaction, and
// answers each after the commit, so that the fsync is shared under load and
// nothing waits when the host is idle.
package sqlite

import (
	"log/slog"
	"time"

	"bridgehost/sdk"
)

// Options are the limits of a database; the zero value of each is its default.
type Options struct {
	Now func() time.Time
	Log *slog.Logger
	// Reserve is how much disk must stay free; below that, requests that add to
	// the database are refused with sdk.Overloaded. Default 64 MiB; < 0 = none.
	Reserve int64
	// Free tells how much disk is free at a folder; nil asks the system.
	Free func(dir string) (int64, error)
	// Keys bounds the keys of each link's Store; default 10,000.
	Keys int
	// KeepEvents is how long events are kept after their last delivery;
	// default 30 days; < 0 = for ever.
	KeepEvents time.Duration
	// MaxPages bounds the database (SQLite's max_page_count); 0 = no bound.
	MaxPages int
}

// Damage is what Verify found.
type Damage struct {
	Events  []sdk.EventID // whose checksum does not fit
	Checked int64
	Pages   []string // what SQLite says about its own structure
}
