package contact

import (
	"sync"
	"time"
)

// maxBuckets bounds the users whose requests are counted; who is over it shares one count.
const maxBuckets = 10_000

// limiter counts requests of each user and of all together, as leaking buckets.
type limiter struct {
	each, all float64 // requests in an hour

	mu      sync.Mutex
	total   bucket
	buckets map[string]*bucket
}

type bucket struct {
	level float64 // requests that still count
	at    time.Time
}

func newLimiter(each, all float64) *limiter {
	return &limiter{each: each, all: all, buckets: map[string]*bucket{}}
}

// take counts one request and reports whether it is within bounds: at once, half of what is allowed in an hour.
func (l *limiter) take(user string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[user]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		if len(l.buckets) >= maxBuckets {
			user = ""
			b = l.buckets[user]
		}
		if b == nil {
			b = &bucket{at: now}
			l.buckets[user] = b
		}
	}
	if b.leak(l.each, now); b.level+1 > l.each/2 {
		return false
	}
	if l.total.leak(l.all, now); l.total.level+1 > l.all/2 {
		return false
	}
	b.level++
	l.total.level++
	return true
}

func (b *bucket) leak(rate float64, now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = max(0, b.level-d.Hours()*rate)
	}
	b.at = now
}

// sweep drops buckets that are empty by now.
func (l *limiter) sweep(now time.Time) {
	for user, b := range l.buckets {
		if b.leak(l.each, now); b.level == 0 {
			delete(l.buckets, user)
		}
	}
}
