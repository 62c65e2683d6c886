// Package store keeps what a link must remember of its own actors (posts,
// activities, tombstones, followers, whom they follow) and what it knows of far
// ones. Each owner has one append-only file of checksummed lines; a write is on
// disk when it returns, and a write that was cut by a crash is cut off when the
// file is read again. What is kept of one owner is bounded, and so is what is held
// in memory.
package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Kind is a family of records of one owner. Each has a bound of its own.
type Kind string

// ErrTooLarge is returned for a value that is over the limit.
var ErrTooLarge = errors.New("record is too large")

// Limits bound what the store keeps. Zero values mean the default named at each field.
type Limits struct {
	Records map[Kind]int // of one owner; the oldest go first; default 1,000
	Value   int          // bytes of one value; default 256 KiB
	Memory  int64        // bytes of owners held in memory; default 64 MiB
}

// Store keeps records by owner, kind and key. It is safe for concurrent use.
type Store struct {
	dir    string
	limits Limits

	mu     sync.Mutex
	owners map[string]*owner
	used   []string // longest unused first
	memory int64
}

// New makes a store in a folder, which need not exist; without one it keeps all
// in memory. No I/O.
func New(dir string, limits Limits) *Store {
	if limits.Value == 0 {
		limits.Value = 256 << 10
	}
	if limits.Memory == 0 {
		limits.Memory = 64 << 20
	}
	return &Store{dir: dir, limits: limits, owners: map[string]*owner{}}
}

// Record is one record.
type Record struct {
	Key   string
	Value json.RawMessage
	seq   uint64
}

// owner is the records of one owner, in memory as on disk.
type owner struct {
	name, path string
	users      int // calls that hold it; guarded by Store.mu
	counted    int64

	mu     sync.Mutex
	loaded bool
	kinds  map[Kind]map[string]Record
	seq    uint64
	live   int64 // bytes of records
	whole  int64 // bytes of the file that are in good order
}

// hold gives an owner, locked and read, and what ends the hold.
func (s *Store) hold(name string) (*owner, func(), error) {
	s.mu.Lock()
	o := s.owners[name]
	if o == nil {
		o = &owner{name: name, kinds: map[Kind]map[string]Record{}}
		if s.dir != "" {
			o.path = fileName(s.dir, name)
		}
		s.owners[name] = o
	}
	o.users++
	if i := slices.Index(s.used, name); i >= 0 {
		s.used = slices.Delete(s.used, i, i+1)
	}
	s.used = append(s.used, name)
	s.mu.Unlock()
	o.mu.Lock()
	release := func() {
		size := o.live + 4<<10
		o.mu.Unlock()
		s.release(o, size)
	}
	if !o.loaded {
		if err := o.load(s.limits); err != nil {
			release()
			return nil, nil, err
		}
	}
	return o, release, nil
}

// release ends a hold, and forgets owners that nobody holds where memory is short.
func (s *Store) release(o *owner, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.users--
	s.memory += size - o.counted
	o.counted = size
	if s.dir == "" {
		return // memory is all there is
	}
	for i := 0; i < len(s.used) && s.memory > s.limits.Memory; {
		old := s.owners[s.used[i]]
		if old.users > 0 {
			i++
			continue
		}
		s.memory -= old.counted
		delete(s.owners, s.used[i])
		s.used = slices.Delete(s.used, i, i+1)
	}
}

func (o *owner) load(limits Limits) error {
	if o.path == "" {
		o.loaded = true
		return nil
	}
	whole, err := readLog(o.path, o.name, func(l line) {
		switch {
		case l.Owner != "":
		case l.Gone:
			o.remove(l.Kind, l.Key)
		default:
			o.put(l.Kind, l.Key, l.Value, limits)
		}
	})
	if err != nil {
		return err
	}
	o.whole, o.loaded = whole, true
	return nil
}

func size(kind Kind, key string, value []byte) int64 {
	return int64(len(kind) + len(key) + len(value) + 64)
}

// put puts a record in memory and drops the oldest beyond the limit. One that was
// there keeps its place.
func (o *owner) put(kind Kind, key string, value []byte, limits Limits) {
	m := o.kinds[kind]
	if m == nil {
		m = map[string]Record{}
		o.kinds[kind] = m
	}
	o.seq++
	seq := o.seq
	if old, ok := m[key]; ok {
		seq = old.seq
		o.live -= size(kind, key, old.Value)
	}
	m[key] = Record{Key: key, Value: value, seq: seq}
	o.live += size(kind, key, value)
	bound := cmp.Or(limits.Records[kind], 1000)
	if len(m) <= bound+bound/8 {
		return
	}
	for _, r := range o.sorted(kind)[:len(m)-bound] { // some at a time, so that sorting is rare
		o.remove(kind, r.Key)
	}
}

func (o *owner) remove(kind Kind, key string) bool {
	old, ok := o.kinds[kind][key]
	if ok {
		o.live -= size(kind, key, old.Value)
		delete(o.kinds[kind], key)
	}
	return ok
}

// sorted gives the records of a kind, oldest first.
func (o *owner) sorted(kind Kind) []Record {
	out := make([]Record, 0, len(o.kinds[kind]))
	for _, r := range o.kinds[kind] {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

// write appends a line to the file, or writes it anew when more than half of it
// is of no use.
func (o *owner) write(l line, durable bool) error {
	if o.path == "" {
		return nil
	}
	var b []byte
	var err error
	if o.whole == 0 {
		if b, err = (line{Owner: o.name}).encode(b); err != nil {
			return err
		}
	}
	if b, err = l.encode(b); err != nil {
		return err
	}
	if total := o.whole + int64(len(b)); total > 64<<10 && total > 3*o.live {
		return o.rewrite()
	}
	if err := appendLog(o.path, o.whole, b, durable); err != nil {
		return err
	}
	o.whole += int64(len(b))
	return nil
}

func (o *owner) rewrite() error {
	b, err := line{Owner: o.name}.encode(nil)
	if err != nil {
		return err
	}
	for kind := range o.kinds {
		for _, r := range o.sorted(kind) {
			if b, err = (line{Kind: kind, Key: r.Key, Value: r.Value}).encode(b); err != nil {
				return err
			}
		}
	}
	if err := replaceLog(o.path, b); err != nil {
		return err
	}
	o.whole = int64(len(b))
	return nil
}

// forget makes the next user read the file again: after a write that went wrong,
// memory may be ahead of it.
func (o *owner) forget() {
	if o.path != "" {
		o.loaded, o.kinds, o.live, o.whole = false, map[Kind]map[string]Record{}, 0, 0
	}
}

// Put keeps a value, written as JSON. It is on disk when Put returns without an error.
func (s *Store) Put(owner string, kind Kind, key string, value any) error {
	return s.put(owner, kind, key, value, true)
}

// Cache is Put for what can be found out again: a crash of the machine may lose it.
func (s *Store) Cache(owner string, kind Kind, key string, value any) error {
	return s.put(owner, kind, key, value, false)
}

func (s *Store) put(owner string, kind Kind, key string, value any, durable bool) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("keep %s %s: %w", kind, key, err)
	}
	if len(data) > s.limits.Value {
		return fmt.Errorf("keep %s of %d bytes: %w", kind, len(data), ErrTooLarge)
	}
	o, release, err := s.hold(owner)
	if err != nil {
		return err
	}
	defer release()
	if old, ok := o.kinds[kind][key]; ok && string(old.Value) == string(data) {
		return nil
	}
	o.put(kind, key, data, s.limits)
	if err := o.write(line{Kind: kind, Key: key, Value: data}, durable); err != nil {
		o.forget()
		return err
	}
	return nil
}

// Delete removes a record, and reports whether it was there.
func (s *Store) Delete(owner string, kind Kind, key string) (bool, error) {
	o, release, err := s.hold(owner)
	if err != nil {
		return false, err
	}
	defer release()
	if !o.remove(kind, key) {
		return false, nil
	}
	if err := o.write(line{Kind: kind, Key: key, Gone: true}, true); err != nil {
		o.forget()
		return false, err
	}
	return true, nil
}

// Get reads a record into a value, and reports whether there is one.
func (s *Store) Get(owner string, kind Kind, key string, into any) (bool, error) {
	o, release, err := s.hold(owner)
	if err != nil {
		return false, err
	}
	defer release()
	r, ok := o.kinds[kind][key]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(r.Value, into); err != nil {
		return false, fmt.Errorf("read %s %s: %w", kind, key, err)
	}
	return true, nil
}

// List gives the records of a kind, oldest first. Their values must not be changed.
func (s *Store) List(owner string, kind Kind) ([]Record, error) {
	o, release, err := s.hold(owner)
	if err != nil {
		return nil, err
	}
	defer release()
	return o.sorted(kind), nil
}

// Count gives how many records of a kind there are.
func (s *Store) Count(owner string, kind Kind) (int, error) {
	o, release, err := s.hold(owner)
	if err != nil {
		return 0, err
	}
	defer release()
	return len(o.kinds[kind]), nil
}

// All reads every record of a kind, oldest first, as values of one type.
func All[T any](s *Store, owner string, kind Kind) ([]T, error) {
	records, err := s.List(owner, kind)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(records))
	for _, r := range records {
		var v T
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return nil, fmt.Errorf("read %s %s: %w", kind, r.Key, err)
		}
		out = append(out, v)
	}
	return out, nil
}
