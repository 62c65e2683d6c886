package gateway

import (
	"sync"
	"time"
)

// limiterKeys bounds the table of a limiter; when it is full the entries that
// are fresh again are dropped, and if none is, new keys share one bucket.
const limiterKeys = 10_000

// limiter is a token bucket for each key: a minute's allowance at once, then an
// even flow. A nil limiter allows everything.
type limiter struct {
	perMinute float64
	mu        sync.Mutex
	buckets   map[string]*bucket
	swept     time.Time // when fresh buckets were last dropped
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(perMinute int) *limiter {
	if perMinute <= 0 {
		return nil
	}
	return &limiter{perMinute: float64(perMinute), buckets: map[string]*bucket{}}
}

// take takes one request from the key's bucket. It returns 0, or how long to
// wait until there is one.
func (l *limiter) take(key string, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		key = l.makeRoom(key, now)
		if b = l.buckets[key]; b == nil {
			b = &bucket{left: l.perMinute, at: now}
			l.buckets[key] = b
		}
	}
	b.left = min(l.perMinute, b.left+now.Sub(b.at).Minutes()*l.perMinute)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / l.perMinute * float64(time.Minute))
	}
	b.left--
	return 0
}

func (l *limiter) makeRoom(key string, now time.Time) string {
	if len(l.buckets) < limiterKeys {
		return key
	}
	if now.Sub(l.swept) < time.Second { // a flood of keys must not buy a scan each
		return ""
	}
	l.swept = now
	for k, b := range l.buckets {
		if b.left+now.Sub(b.at).Minutes()*l.perMinute >= l.perMinute {
			delete(l.buckets, k)
		}
	}
	if len(l.buckets) < limiterKeys {
		return key
	}
	return ""
}
