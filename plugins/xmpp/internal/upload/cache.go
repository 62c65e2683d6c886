package upload

import (
	"container/list"
	"sync"
	"time"
)

// uploaded is what became of a content.
type uploaded struct {
	url, digest, mediaType string
	size                   int64
}

// cache remembers uploads: bounded in number, the least recently used goes
// first, and for a limited time, since the server deletes files after its own.
type cache struct {
	mu    sync.Mutex
	limit int
	life  time.Duration
	now   func() time.Time
	order *list.List // of *cached, most recently used in front
	byKey map[string]*list.Element
}

type cached struct {
	key     string
	value   uploaded
	expires time.Time
}

func newCache(limit int, life time.Duration, now func() time.Time) *cache {
	return &cache{limit: limit, life: life, now: now, order: list.New(), byKey: map[string]*list.Element{}}
}

// entry is what stands at a place of the order.
func entry(e *list.Element) *cached {
	c, ok := e.Value.(*cached)
	if !ok {
		panic("upload: something else is in the cache") // only put fills it
	}
	return c
}

// get finds what is not too old.
func (c *cache) get(key string) (uploaded, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return uploaded{}, false
	}
	have := entry(e)
	if !c.now().Before(have.expires) {
		c.order.Remove(e)
		delete(c.byKey, key)
		return uploaded{}, false
	}
	c.order.MoveToFront(e)
	return have.value, true
}

// put remembers value under key.
func (c *cache) put(key string, value uploaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		c.order.Remove(e)
	}
	c.byKey[key] = c.order.PushFront(&cached{key, value, c.now().Add(c.life)})
	for c.order.Len() > c.limit {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, entry(last).key)
	}
}
