package fetch

import "container/list"

// lru is a map that forgets what was not used for longest, bounded by entries and, if maxSize is not 0, by the sum of sizes. It is not
// safe for use by many goroutines.
type lru[K comparable, V any] struct {
	max     int
	maxSize int64
	size    int64
	m       map[K]*list.Element
	order   *list.List // of *node, the latest first
}

type node[K comparable, V any] struct {
	key  K
	val  V
	size int64
}

func newLRU[K comparable, V any](entries int, size int64) *lru[K, V] {
	return &lru[K, V]{max: entries, maxSize: size, m: map[K]*list.Element{}, order: list.New()}
}

// node gives what an element of the list holds: nothing else is put there.
func (l *lru[K, V]) node(e *list.Element) *node[K, V] {
	n, ok := e.Value.(*node[K, V])
	if !ok {
		panic("lru: a foreign element")
	}
	return n
}

func (l *lru[K, V]) get(k K) (v V, ok bool) {
	e := l.m[k]
	if e == nil {
		return v, false
	}
	l.order.MoveToFront(e)
	return l.node(e).val, true
}

func (l *lru[K, V]) put(k K, v V, size int64) {
	l.drop(k)
	if l.maxSize > 0 && size > l.maxSize {
		return
	}
	l.m[k] = l.order.PushFront(&node[K, V]{k, v, size})
	l.size += size
	for len(l.m) > l.max || l.maxSize > 0 && l.size > l.maxSize {
		l.drop(l.node(l.order.Back()).key)
	}
}

func (l *lru[K, V]) drop(k K) {
	if e := l.m[k]; e != nil {
		l.size -= l.node(e).size
		l.order.Remove(e)
		delete(l.m, k)
	}
}
