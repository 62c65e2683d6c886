package host

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// reportRig is a log of reports at a clock that the test sets.
type reportRig struct {
	*reportLog
	t     *testing.T
	clock time.Time
	text  bytes.Buffer
}

func newReportRig(t *testing.T, level slog.Level) *reportRig {
	t.Helper()
	r := &reportRig{t: t, clock: time.Unix(1_700_000_000, 0)}
	log := slog.New(slog.NewTextHandler(&r.text, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
	r.reportLog = newReportLog(log, func() time.Time { return r.clock })
	return r
}

func (r *reportRig) say(place sdk.RemoteID, state sdk.State, reason string) bool {
	r.t.Helper()
	return r.report(r.t.Context(), sdk.Report{Place: place, State: state, Reason: reason})
}

func (r *reportRig) want(lines ...string) {
	r.t.Helper()
	if got, want := strings.TrimSuffix(r.text.String(), "\n"), strings.Join(lines, "\n"); got != want {
		r.t.Errorf("log\n%s\nwant\n%s", got, want)
	}
	r.text.Reset()
}

func TestReportsAreLoggedWhenTheyChange(t *testing.T) {
	r := newReportRig(t, slog.LevelInfo)
	r.say("room", sdk.StateUp, "")
	for range 1000 {
		r.say("room", sdk.StateDown, "banned")
	}
	r.say("room", sdk.StateDown, "password")
	r.say("hall", sdk.StateDown, "banned")
	r.want("level=WARN state=down reason=banned", "level=WARN state=down reason=password repeats=999", "level=WARN state=down reason=banned")
	r.say("room", sdk.StateUp, "")
	r.say("hall", sdk.StateStarting, "")
	r.want(`level=INFO state=up reason=""`, `level=INFO state=starting reason=""`)
	r.say("hall", sdk.StateUp, "")
	r.want("")
	r.say("", sdk.StateFailed, strings.Repeat("ä", 400))
	r.want("level=WARN state=failed reason=" + strings.Repeat("ä", 250) + "…")
}

// TestReportsThatGoOn are repeated in the log now and then, with their number.
func TestReportsThatGoOn(t *testing.T) {
	r := newReportRig(t, slog.LevelInfo)
	for range 60 {
		r.say("room", sdk.StateDown, "banned")
		r.clock = r.clock.Add(time.Minute)
	}
	r.want(append([]string{"level=WARN state=down reason=banned"},
		slicesRepeat("level=WARN state=down reason=banned repeats=9", 5)...)...)
}

func slicesRepeat(s string, n int) []string {
	return strings.Split(strings.TrimSuffix(strings.Repeat(s+"\n", n), "\n"), "\n")
}

// TestReportsThatFlap cannot fill the disk: not those of one place, and not those
// of ten thousand.
func TestReportsThatFlap(t *testing.T) {
	r := newReportRig(t, slog.LevelInfo)
	for i := range 10_000 {
		r.say("room", sdk.StateDown, fmt.Sprint("try ", i))
	}
	r.clock = r.clock.Add(reportPause)
	r.say("room", sdk.StateDown, "last")
	r.want(`level=WARN state=down reason="try 0"`, `level=WARN state=down reason="try 1"`, `level=WARN state=down reason="try 2"`,
		`level=WARN state=down reason="try 3"`, "level=WARN state=down reason=last repeats=9996")
	for i := range 2 * reportPlaces {
		r.say(sdk.RemoteID(fmt.Sprint(i)), sdk.StateDown, "gone")
	}
	if n := strings.Count(r.text.String(), "\n"); n > reportBurst || len(r.places) > reportPlaces {
		t.Errorf("%d lines, %d places remembered", n, len(r.places))
	}
	r.text.Reset()
	r.clock = r.clock.Add(time.Hour)
	r.say("a", sdk.StateDown, "gone")
	if got := r.text.String(); !strings.Contains(got, "left_out=") {
		t.Errorf("got %s, want the number of lines that were left out", got)
	}
}

// TestReportsNameNoAddress above the level of debugging.
func TestReportsNameNoAddress(t *testing.T) {
	r := newReportRig(t, slog.LevelDebug)
	r.say("romeo@example.org", sdk.StateUp, "")
	r.say("romeo@example.org", sdk.StateDown, "banned")
	r.want(`level=DEBUG state=up reason="" place=romeo@example.org`, "level=WARN state=down reason=banned")
}

// TestReportsWake lanes when a place works again, and no more than once a second
// when a link only says so.
func TestReportsWake(t *testing.T) {
	r := newReportRig(t, slog.LevelInfo)
	got := fmt.Sprint(r.say("room", sdk.StateUp, ""), r.say("room", sdk.StateUp, ""), r.say("room", sdk.StateDown, "x"), r.say("room", sdk.StateUp, ""),
		r.say("room", sdk.StateUp, ""), r.say("hall", sdk.StateUp, ""))
	r.clock = r.clock.Add(wakePause)
	got += fmt.Sprint(" ", r.say("room", sdk.StateUp, ""))
	if want := "true false false true false true true"; got != want {
		t.Errorf("wakes %s, want %s", got, want)
	}
}
