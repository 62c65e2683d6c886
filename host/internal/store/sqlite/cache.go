package sqlite

import (
	"context"
	"database/sql/driver"
	"hash/maphash"
	"sync"

	"bridgehost/sdk"
)

// cacheSize bounds each cache of the writer; a full one is emptied.
const cacheSize = 1 << 15

// state is what the writer knows of the database without asking it.
type state struct {
	lastSeq, lastItem int64
	lanes             map[sdk.Ref]*laneMemo
	actors            map[sdk.Ref]actorMemo
	outcomes          map[int64]int64 // how many wait, by link
}

// actorMemo is an actor as last written.
type actorMemo struct {
	id   int64
	hash uint64
}

func newState() state {
	return state{lanes: map[sdk.Ref]*laneMemo{}, actors: map[sdk.Ref]actorMemo{}, outcomes: map[int64]int64{}}
}

func remember[V any](m map[sdk.Ref]V, k sdk.Ref, v V) {
	if len(m) >= cacheSize {
		clear(m)
	}
	m[k] = v
}

// linkNames interns links: rows hold small numbers.
type linkNames struct {
	mu    sync.RWMutex
	ids   map[sdk.LinkID]int64
	names map[int64]sdk.LinkID
}

func newLinkNames() *linkNames {
	return &linkNames{ids: map[sdk.LinkID]int64{}, names: map[int64]sdk.LinkID{}}
}

// load replaces what is known by what is in the database.
func (l *linkNames) load(ctx context.Context, c *conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ids)
	clear(l.names)
	return c.query(ctx, "SELECT id, name FROM link", func(row []driver.Value) error {
		id, name := num(row[0]), sdk.LinkID(text(row[1]))
		l.ids[name], l.names[id] = id, name
		return nil
	})
}

func (l *linkNames) name(id int64) sdk.LinkID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.names[id]
}

// id gives the number of a link, 0 for one that was never seen.
func (l *linkNames) id(name sdk.LinkID) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ids[name]
}

func (l *linkNames) put(name sdk.LinkID, id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[name], l.names[id] = id, name
}

// puppetSet answers quickly that an actor is no puppet, which is nearly always
// so; a yes has to be confirmed. It holds 8 bytes for each puppet.
type puppetSet struct {
	mu   sync.RWMutex
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newPuppetSet() *puppetSet {
	return &puppetSet{seed: maphash.MakeSeed(), set: map[uint64]struct{}{}}
}

func (p *puppetSet) add(ref sdk.Ref) {
	h := maphash.Comparable(p.seed, ref)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set[h] = struct{}{}
}

func (p *puppetSet) may(ref sdk.Ref) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.set) == 0 {
		return false
	}
	_, ok := p.set[maphash.Comparable(p.seed, ref)]
	return ok
}
