package host

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"bridgehost/sdk"
)

// Bounds of what one link's reports write into the log.
const (
	reportPlaces = 10_000           // places of which the last state is remembered
	reportAgain  = 10 * time.Minute // a state that is reported again and again is repeated in the log so often
	reportPause  = 10 * time.Second // between two lines about one place, after the first few
	reportFew    = 4                // lines about one place without a pause
	reportBurst  = 50               // lines of the link at once
	reportRate   = time.Second      // and one more after each
	reportReason = 500              // bytes of a reason
	wakePause    = time.Second      // between two wakes of a place that was up already
)

// reportLog writes the reports of one link into the log: changes of each place's
// state, not repeats, and few lines however much the link has to say. What is left
// out is counted in the next line; status shows the newest state in any case.
type reportLog struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	places map[sdk.RemoteID]*reported
	tokens int // lines that may be written at once
	since  time.Time
	missed int // lines that were left out since the link had too many
}

// reported is what was last said of one place.
type reported struct {
	state   sdk.State
	reason  string
	at      time.Time // of the last line
	wokenAt time.Time
	burst   int // lines without a pause between them
	repeats int // reports that wrote no line since then
	down    bool
}

func newReportLog(log *slog.Logger, now func() time.Time) *reportLog {
	return &reportLog{log: log, now: now, places: map[sdk.RemoteID]*reported{}, tokens: reportBurst, since: now()}
}

// report takes one report, and tells whether lanes of the place should be woken:
// it works again, or may do so since a while.
func (r *reportLog) report(ctx context.Context, p sdk.Report) (wake bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	last, known := r.places[p.Place]
	if !known {
		last = &reported{}
		if len(r.places) < reportPlaces {
			r.places[p.Place] = last
		}
	}
	changed := !known || last.state != p.State
	if p.State == sdk.StateUp && (changed || now.Sub(last.wokenAt) >= wakePause) {
		last.wokenAt, wake = now, true
	}
	if changed || last.reason != p.Reason || now.Sub(last.at) >= reportAgain {
		r.line(ctx, p, last, changed, now)
	} else {
		last.repeats++
	}
	last.state, last.reason = p.State, p.Reason
	return wake
}

// line writes a line unless there were too many.
func (r *reportLog) line(ctx context.Context, p sdk.Report, last *reported, changed bool, now time.Time) {
	level := slog.LevelDebug
	switch {
	case p.State >= sdk.StateDown:
		level = slog.LevelWarn
	case last.down && changed:
		level = slog.LevelInfo // it works again
	}
	if !r.log.Enabled(ctx, level) {
		last.down = p.State >= sdk.StateDown
		return
	}
	if now.Sub(last.at) >= reportPause {
		last.burst = 0
	}
	if last.burst >= reportFew {
		last.repeats++
		return
	}
	if !r.token(now) {
		r.missed++
		return
	}
	last.burst++
	attrs := []any{"state", p.State, "reason", shortened(p.Reason)}
	if last.repeats > 0 {
		attrs = append(attrs, "repeats", last.repeats)
	}
	if r.missed > 0 {
		attrs = append(attrs, "left_out", r.missed)
	}
	if p.Place != "" && level < slog.LevelInfo {
		attrs = append(attrs, "place", p.Place) // addresses are for debugging only
	}
	r.log.Log(ctx, level, "state", attrs...)
	last.at, last.repeats, last.down, r.missed = now, 0, p.State >= sdk.StateDown, 0
}

// token takes one of the lines that the link may write now.
func (r *reportLog) token(now time.Time) bool {
	if fresh := int(now.Sub(r.since) / reportRate); fresh > 0 {
		r.tokens = min(r.tokens+fresh, reportBurst)
		r.since = r.since.Add(time.Duration(fresh) * reportRate)
	}
	if r.tokens == 0 {
		return false
	}
	r.tokens--
	return true
}

func shortened(s string) string {
	if len(s) > reportReason {
		return strings.ToValidUTF8(s[:reportReason], "") + "…"
	}
	return s
}
