// Package filter runs the filters of a rule over events, in order and within a
// time budget, and says what became of each event.
//
// What happens when a filter cannot answer is the operator's choice, for each
// use of the filter:
//   - open: the event goes on as it is;
//   - closed (the default): while the filter is not there at all (its link is
//     down, restarting, or its circuit is open), Run fails with a temporary
//     error, nothing is acknowledged, and the network tries again. When the
//     filter is there and fails on this very event (a trap, a panic, the
//     deadline), trying again would fail again: the event is dropped, the
//     reason is recorded, and the sender is told.
package filter

import (
	"context"
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// RawFilter is the fast path of filters that work on encoded events. raw[i] is
// the encoded form of events[i]. A verdict's Raw replaces the event.
type RawFilter interface {
	FilterRaw(ctx context.Context, raw [][]byte, events []sdk.Event) ([]RawVerdict, error)
}

// RawVerdict is an sdk.Verdict whose event is still encoded: Raw is set instead
// of Event for sdk.Replace.
type RawVerdict struct {
	sdk.Verdict
	Raw []byte
}

// AttachOptions are the limits of one filter link.
type AttachOptions struct {
	Budget time.Duration            // for one event; a batch has at most ten times that; 0 = 1 s
	Emit   func(place sdk.Ref) bool // places that it may emit events to; nil = none
}

// Step is what one filter said about one event, for the audit.
type Step struct {
	Link   sdk.LinkID
	Verb   sdk.Verb
	Reason string
	Failed bool // the filter gave no answer; Verb follows from the policy
}

// Result is what the filters of a rule did with one event.
type Result struct {
	Verb    sdk.Verb // Pass, Drop or Hold; Replace shows as Pass with Changed
	Reason  string
	Event   sdk.Event
	Raw     []byte // encoded form of Event; nil when it has to be encoded
	Changed bool
	Until   time.Time // for Hold
	Steps   []Step
	Emit    []Emitted
}

// Emitted is a further event that a filter asks for.
type Emitted struct {
	By    sdk.LinkID
	Event sdk.Event
}

// Runner is what intake needs of the chain.
type Runner interface {
	// Run gives one result for each event. raw may be nil.
	Run(ctx context.Context, uses []route.FilterUse, events []sdk.Event, raw [][]byte) ([]Result, error)
	// MayEmit reports whether a filter link may emit events to a place.
	MayEmit(link sdk.LinkID, place sdk.Ref) bool
}

var _ Runner = (*Chain)(nil)
