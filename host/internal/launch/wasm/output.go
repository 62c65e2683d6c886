package wasm

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of what a guest may write to the log.
const (
	maxLine     = 2 << 10 // bytes of one record
	logsASecond = 10      // sustained
	logBurst    = 50
)

// output turns what a guest writes into log records: one line each, control
// characters escaped, so that no text can pretend to be another record or move
// a terminal's cursor (PL-10), at a bounded rate. It is used by one link and
// safe for concurrent use.
type output struct {
	log *slog.Logger

	mu      sync.Mutex
	line    []byte
	tokens  float64
	last    time.Time
	dropped int
}

func newOutput(log *slog.Logger) *output {
	return &output{log: log, tokens: logBurst, last: time.Now()}
}

// write takes bytes of standard output or error.
func (o *output) write(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range b {
		if c == '\n' {
			o.flush()
		} else if len(o.line) < maxLine {
			o.line = append(o.line, c)
		}
	}
}

// flush writes the pending line. The caller holds mu.
func (o *output) flush() {
	if len(o.line) > 0 {
		o.record(slog.LevelInfo, o.line, "stderr")
		o.line = o.line[:0]
	}
}

// emit writes one record of the log operation.
func (o *output) emit(level slog.Level, text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.record(level, text[:min(len(text), maxLine)], "log")
}

// record writes a record if the rate allows. The caller holds mu.
func (o *output) record(level slog.Level, text []byte, source string) {
	now := time.Now()
	o.tokens = min(logBurst, o.tokens+now.Sub(o.last).Seconds()*logsASecond)
	o.last = now
	if o.tokens < 1 {
		o.dropped++
		return
	}
	o.tokens--
	if o.log == nil {
		return
	}
	attrs := []slog.Attr{slog.String("source", source), slog.String("text", escape(text))}
	if o.dropped > 0 {
		attrs = append(attrs, slog.Int("dropped", o.dropped))
		o.dropped = 0
	}
	o.log.LogAttrs(context.Background(), level, "module says", attrs...)
}

// escape writes control characters, invalid UTF-8, and characters that turn
// the direction of text as escapes; the rest stays readable.
func escape(text []byte) string {
	out := make([]byte, 0, len(text)+8)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[text[0]>>4], "0123456789abcdef"[text[0]&15])
		case r == '\\' || !strconv.IsPrint(r):
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			out = append(out, quoted[1:len(quoted)-1]...)
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return string(out)
}
