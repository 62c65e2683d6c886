// Package memory remembers, durably and within a bound, which names were used:
// delivery ids, idempotency keys, update keys. A restart must not open a window
// for replays, and a lookup must not cost a round trip to the store.
//
// Records are packed into segments, each one value of the link's store, and are
// held in memory as well. A lookup touches memory only; a new record costs one
// write of the last segment, which waiting writers share.
package memory

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"bridgehost/sdk"
)

const (
	recordSize = 16 + 4 + 8 // digest of the name, seconds since 1970, note
	perSegment = 128
)

// Options are the settings of a memory.
type Options struct {
	Store  sdk.Store
	Prefix string        // of the keys in Store; this memory owns all keys below it
	Keep   time.Duration // how long a name is remembered
	Max    int           // names at most, rounded up to whole segments; the oldest go
	Now    func() time.Time
}

// Record is what is remembered of a name.
type Record struct {
	At   time.Time // when it was first used, in seconds
	Note uint64    // the caller's
}

type digest [16]byte

type segment struct {
	seq  uint64
	data []byte
}

// Memory is safe for use by many goroutines.
type Memory struct {
	opt     Options
	writing chan struct{} // one token: who holds it writes to the store

	mu       sync.Mutex
	loaded   bool
	known    map[digest]Record
	pending  map[digest]chan struct{} // claimed; closed when the claim ends
	segments []*segment               // oldest first; the last takes new records
	dirty    map[uint64]*segment
	gone     []uint64 // segments to delete from the store
	gen, put uint64   // changes made, changes written
}

// New makes a memory. It does no I/O; the first Begin loads it.
func New(opt Options) *Memory {
	return &Memory{opt: opt, writing: make(chan struct{}, 1), known: map[digest]Record{},
		pending: map[digest]chan struct{}{}, dirty: map[uint64]*segment{}}
}

// Claim is the right to use names that were not used before. Exactly one of
// Commit and Abort must be called.
type Claim struct {
	m    *Memory
	keys []digest
	done chan struct{}
}

// Begin looks the names up. When one of them is remembered it returns its
// record. Otherwise it claims them all: others that ask for one of them wait
// until the claim has ended.
func (m *Memory) Begin(ctx context.Context, names ...string) (*Record, *Claim, error) {
	if err := m.load(ctx); err != nil {
		return nil, nil, err
	}
	keys := make([]digest, len(names))
	for i, n := range names {
		sum := sha256.Sum256([]byte(n))
		keys[i] = digest(sum[:16])
	}
	for {
		m.mu.Lock()
		rec, wait := m.find(keys)
		if rec == nil && wait == nil {
			c := &Claim{m: m, keys: keys, done: make(chan struct{})}
			for _, k := range keys {
				m.pending[k] = c.done
			}
			m.mu.Unlock()
			return nil, c, nil
		}
		m.mu.Unlock()
		if rec != nil {
			return rec, nil, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("wait for an equal request: %w", ctx.Err())
		}
	}
}

// find is called with mu held.
func (m *Memory) find(keys []digest) (*Record, chan struct{}) {
	now := m.opt.Now()
	for _, k := range keys {
		if rec, ok := m.known[k]; ok && now.Sub(rec.At) <= m.opt.Keep {
			return &rec, nil
		}
	}
	for _, k := range keys {
		if wait, ok := m.pending[k]; ok {
			return nil, wait
		}
	}
	return nil, nil
}

// Abort gives the names back: nothing was done with them.
func (c *Claim) Abort() {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.end()
}

// end is called with mu held.
func (c *Claim) end() {
	for _, k := range c.keys {
		delete(c.m.pending, k)
	}
	close(c.done)
}

// Commit remembers the names and returns when they are in the store. Also
// after an error they are remembered for as long as the process lives.
func (c *Claim) Commit(ctx context.Context, note uint64) error {
	m := c.m
	m.mu.Lock()
	rec := Record{At: time.Unix(m.opt.Now().Unix(), 0), Note: note}
	for _, k := range c.keys {
		m.append(k, rec)
	}
	m.gen++
	gen := m.gen
	c.end()
	m.mu.Unlock()
	return m.flush(ctx, gen)
}

// append adds a record to the last segment; called with mu held.
func (m *Memory) append(k digest, rec Record) {
	n := len(m.segments)
	if n == 0 || len(m.segments[n-1].data) >= perSegment*recordSize {
		seq := uint64(1)
		if n > 0 {
			seq = m.segments[n-1].seq + 1
		}
		m.segments = append(m.segments, &segment{seq: seq})
		m.forget()
	}
	s := m.segments[len(m.segments)-1]
	s.data = append(s.data, k[:]...)
	s.data = binary.BigEndian.AppendUint32(s.data, uint32(rec.At.Unix()))
	s.data = binary.BigEndian.AppendUint64(s.data, rec.Note)
	m.dirty[s.seq] = s
	m.known[k] = rec
}

// forget drops the oldest segments that are over the bound or hold nothing
// that still counts; called with mu held.
func (m *Memory) forget() {
	limit := max(2, (m.opt.Max+perSegment-1)/perSegment+1)
	now := m.opt.Now()
	for len(m.segments) > 1 {
		s := m.segments[0]
		last := s.data[len(s.data)-recordSize:]
		if len(m.segments) <= limit && now.Sub(time.Unix(int64(binary.BigEndian.Uint32(last[16:])), 0)) <= m.opt.Keep {
			return
		}
		for k, rec := range records(s.data) {
			// The name may have come again since.
			if m.known[k] == rec {
				delete(m.known, k)
			}
		}
		m.segments = m.segments[1:]
		delete(m.dirty, s.seq)
		m.gone = append(m.gone, s.seq)
	}
}

// records yields the records of a segment.
func records(data []byte) func(yield func(digest, Record) bool) {
	return func(yield func(digest, Record) bool) {
		for ; len(data) >= recordSize; data = data[recordSize:] {
			rec := Record{At: time.Unix(int64(binary.BigEndian.Uint32(data[16:])), 0), Note: binary.BigEndian.Uint64(data[20:])}
			if !yield(digest(data[:16]), rec) {
				return
			}
		}
	}
}

func (m *Memory) key(seq uint64) string { return fmt.Sprintf("%s%016x", m.opt.Prefix, seq) }

// flush writes what changed up to gen, unless another writer did so meanwhile.
func (m *Memory) flush(ctx context.Context, gen uint64) error {
	select {
	case m.writing <- struct{}{}:
		defer func() { <-m.writing }()
	case <-ctx.Done():
		return fmt.Errorf("write the memory of %s: %w", m.opt.Prefix, ctx.Err())
	}
	m.mu.Lock()
	if m.put >= gen {
		m.mu.Unlock()
		return nil
	}
	upto := m.gen
	values := make(map[uint64][]byte, len(m.dirty))
	for seq, s := range m.dirty {
		values[seq] = slices.Clone(s.data)
	}
	gone := m.gone
	clear(m.dirty)
	m.gone = nil
	m.mu.Unlock()

	err := m.write(ctx, values, gone)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.put = max(m.put, upto)
		return nil
	}
	for seq := range values { // written again next time, if they are still there
		for _, s := range m.segments {
			if s.seq == seq {
				m.dirty[seq] = s
			}
		}
	}
	m.gone = append(m.gone, gone...)
	return err
}

func (m *Memory) write(ctx context.Context, values map[uint64][]byte, gone []uint64) error {
	for seq, data := range values {
		if err := m.opt.Store.Set(ctx, m.key(seq), data); err != nil {
			return fmt.Errorf("write %s: %w", m.key(seq), err)
		}
	}
	for _, seq := range gone {
		if err := m.opt.Store.Set(ctx, m.key(seq), nil); err != nil {
			return fmt.Errorf("delete %s: %w", m.key(seq), err)
		}
	}
	return nil
}

// load reads what an earlier process remembered, once.
func (m *Memory) load(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded {
		return nil
	}
	var segments []*segment
	known := map[digest]Record{}
	after := ""
	for {
		keys, err := m.opt.Store.Keys(ctx, m.opt.Prefix, after)
		if err != nil {
			return fmt.Errorf("list %s: %w", m.opt.Prefix, err)
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			var seq uint64
			if _, err := fmt.Sscanf(key[len(m.opt.Prefix):], "%016x", &seq); err != nil {
				continue // not ours; an operator may have put it there
			}
			data, err := m.opt.Store.Get(ctx, key)
			if err != nil {
				return fmt.Errorf("read %s: %w", key, err)
			}
			data = slices.Clone(data[:len(data)/recordSize*recordSize])
			if len(data) == 0 {
				continue
			}
			segments = append(segments, &segment{seq: seq, data: data})
			for k, rec := range records(data) {
				known[k] = rec
			}
		}
		after = keys[len(keys)-1]
	}
	slices.SortFunc(segments, func(a, b *segment) int { return int(int64(a.seq - b.seq)) })
	m.segments, m.known, m.loaded = segments, known, true
	return nil
}
