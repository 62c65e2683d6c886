package intake

import (
	"cmp"
	"hash/maphash"
	"sync"
	"time"

	"bridgehost/sdk"
)

// maxPrints bounds the remembered messages of the breaker; when there are more
// all are forgotten, which only delays the detection of a loop.
const maxPrints = 1 << 14

// breaker is the last defence against loops that no id shows.
type breaker struct {
	opts   BreakerOptions
	mu     sync.Mutex
	seed   maphash.Seed
	bucket map[sdk.RouteID]*bucket
	prints map[uint64]*fingerprint
}

type bucket struct {
	tokens float64
	at     time.Time
}

type fingerprint struct {
	since time.Time
	count int
}

func newBreaker(o BreakerOptions) *breaker {
	o.Burst = cmp.Or(o.Burst, 20_000)
	o.Rate = cmp.Or(o.Rate, 500)
	o.Repeat = cmp.Or(o.Repeat, 20)
	o.Window = cmp.Or(o.Window, 10*time.Second)
	return &breaker{opts: o, seed: maphash.MakeSeed(), bucket: map[sdk.RouteID]*bucket{}, prints: map[uint64]*fingerprint{}}
}

// take counts an event of a rule; false says when the next may come.
func (b *breaker) take(rule sdk.RouteID, now time.Time) (time.Duration, bool) {
	if b.opts.Burst < 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.bucket[rule]
	if k == nil {
		k = &bucket{tokens: float64(b.opts.Burst), at: now}
		b.bucket[rule] = k
	}
	if d := now.Sub(k.at); d > 0 {
		k.tokens = min(float64(b.opts.Burst), k.tokens+d.Seconds()*b.opts.Rate)
	}
	k.at = now
	if k.tokens < 1 {
		return time.Duration((1 - k.tokens) / b.opts.Rate * float64(time.Second)), false
	}
	k.tokens--
	return 0, true
}

// repeats reports whether the same author said the same in the same place too
// often for the rule.
func (b *breaker) repeats(rule sdk.RouteID, ev *sdk.Event, now time.Time) bool {
	c, ok := ev.Change.(sdk.ItemCreated)
	if !ok || b.opts.Repeat < 0 || c.Item.Body() == "" {
		return false
	}
	h := maphash.Comparable(b.seed, struct {
		rule          sdk.RouteID
		place, author sdk.Ref
		text          string
	}{rule, ev.Place, ev.Actor.Home, c.Item.Body()})
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.prints[h]
	if p == nil {
		if len(b.prints) >= maxPrints {
			clear(b.prints)
		}
		p = &fingerprint{since: now}
		b.prints[h] = p
	}
	if d := now.Sub(p.since); d < 0 || d > b.opts.Window {
		p.since, p.count = now, 0
	}
	p.count++
	return p.count > b.opts.Repeat
}
