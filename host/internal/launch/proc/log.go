package proc

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"bridgehost/sdk/wire"
)

// Bounds of what a plugin process prints.
const (
	lineBytes  = 2 << 10
	tailBytes  = 4 << 10
	linesBurst = 500
	lineEvery  = 20 * time.Millisecond
)

// lineLogger logs what a process prints, a record a line, bounded in length and
// rate, and keeps the end of it to explain a crash.
type lineLogger struct {
	log   *slog.Logger
	level slog.Level
	from  string

	mu      sync.Mutex
	line    []byte
	tail    []byte
	limit   *rate.Limiter
	dropped int
}

func newLineLogger(log *slog.Logger, level slog.Level, from string) *lineLogger {
	return &lineLogger{log: log, level: level, from: from, limit: rate.NewLimiter(rate.Every(lineEvery), linesBurst)}
}

// Write implements io.Writer; it never fails.
func (w *lineLogger) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, b[max(0, len(b)-tailBytes):]...)
	w.tail = w.tail[max(0, len(w.tail)-tailBytes):]
	rest := b
	for {
		part, after, found := bytes.Cut(rest, []byte("\n"))
		w.line = append(w.line, part[:min(len(part), lineBytes-len(w.line))]...)
		if !found {
			return len(b), nil
		}
		w.flush()
		rest = after
	}
}

// flush logs the line that is complete; mu is held.
func (w *lineLogger) flush() {
	text := wire.Printable(string(w.line), lineBytes)
	w.line = w.line[:0]
	if text == "" {
		return
	}
	if !w.limit.Allow() {
		w.dropped++
		return
	}
	if w.dropped > 0 {
		w.log.Warn("lines of the plugin process were dropped", "from", w.from, "count", w.dropped)
		w.dropped = 0
	}
	w.log.Log(context.Background(), w.level, "plugin process printed", "from", w.from, "text", text)
}

// last gives the end of what was printed, printable, line by line.
func (w *lineLogger) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b bytes.Buffer
	for line := range bytes.SplitSeq(bytes.TrimSpace(w.tail), []byte("\n")) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(wire.Printable(string(line), lineBytes))
	}
	return b.String()
}
