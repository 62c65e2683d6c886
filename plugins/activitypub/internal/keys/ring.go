// Package keys makes, writes and keeps the keys of actors: RSA of 2,048 bits for HTTP signatures, Ed25519 for proofs inside documents.
package keys

import (
	"container/list"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pair holds the keys of one actor.
type Pair struct {
	RSA     *rsa.PrivateKey
	Ed25519 ed25519.PrivateKey
	Made    time.Time
}

// String keeps private keys out of logs.
func (p Pair) String() string { return "keys made " + p.Made.UTC().Format(time.RFC3339) }

// GoString keeps private keys out of %#v.
func (p Pair) GoString() string { return p.String() }

// rsaBits is the size of our keys, which every server takes.
const rsaBits = 2048

// Generate makes a new pair; it takes some 100 ms of CPU.
func Generate(now time.Time) (Pair, error) {
	r, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return Pair{}, fmt.Errorf("make rsa key: %w", err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make ed25519 key: %w", err)
	}
	return Pair{RSA: r, Ed25519: e, Made: now.UTC().Truncate(time.Second)}, nil
}

// Store keeps values; sdk.Store has this shape. Get gives nil and no error when there is no such key; Set with nil deletes.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// buckets is how many values the keys are spread over: a value takes some 35 pairs (64 KiB), and a link has 10,000 values.
const (
	buckets   = 4096
	maxBucket = 64 << 10
	maxName   = 512
)

// ErrFull is returned when no further pair fits into the store.
var ErrFull = errors.New("the store of keys is full")

// Options of a Ring. Zero values mean the defaults.
type Options struct {
	Prefix string           // of the store's keys; default "keys/"
	Cache  int              // pairs in memory; default 2,048
	Now    func() time.Time // default time.Now
}

// Ring gives each actor its keys: it makes them when they are first asked for, keeps them in the store and the latest in memory. It is
// safe for use by many goroutines, and expects to be the only one that writes below its prefix.
type Ring struct {
	store Store
	opt   Options

	mu    sync.Mutex // of order and known
	known map[string]*list.Element
	order *list.List // of *entry, the latest first

	// write is held while a bucket is read, changed and stored. It is a channel so that who waits can give up.
	write chan struct{}
}

type entry struct {
	name string
	pair Pair
}

// stored is a pair as it is in a bucket: PKCS#1 and the seed.
type stored struct {
	RSA  []byte `json:"r"`
	Seed []byte `json:"e"`
	Made int64  `json:"t"`
}

// New makes a ring; it does no I/O.
func New(store Store, opt Options) *Ring {
	if opt.Prefix == "" {
		opt.Prefix = "keys/"
	}
	if opt.Cache <= 0 {
		opt.Cache = 2048
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Ring{store: store, opt: opt, known: map[string]*list.Element{}, order: list.New(), write: make(chan struct{}, 1)}
}

// Of gives the keys of the actor with a name of the caller's choice (at most 512 bytes), and makes them if there are none.
func (r *Ring) Of(ctx context.Context, name string) (Pair, error) {
	if p, ok := r.cached(name); ok {
		return p, nil
	}
	return r.change(ctx, name, func(old *Pair) (*Pair, error) {
		if old != nil {
			return old, nil
		}
		p, err := Generate(r.opt.Now())
		return &p, err
	})
}

// Find gives the keys of an actor only if it has any.
func (r *Ring) Find(ctx context.Context, name string) (Pair, bool, error) {
	if p, ok := r.cached(name); ok {
		return p, true, nil
	}
	p, err := r.change(ctx, name, func(old *Pair) (*Pair, error) { return old, nil })
	return p, p.RSA != nil, err
}

// Rotate replaces the keys of an actor by new ones.
func (r *Ring) Rotate(ctx context.Context, name string) (Pair, error) {
	return r.change(ctx, name, func(*Pair) (*Pair, error) {
		p, err := Generate(r.opt.Now())
		return &p, err
	})
}

// Delete removes the keys of an actor.
func (r *Ring) Delete(ctx context.Context, name string) error {
	_, err := r.change(ctx, name, func(*Pair) (*Pair, error) { return nil, nil })
	return err
}

// change reads the bucket of a name, lets f decide about its pair, and stores what is new. The cache follows only what is stored.
func (r *Ring) change(ctx context.Context, name string, f func(old *Pair) (*Pair, error)) (Pair, error) {
	if name == "" || len(name) > maxName {
		return Pair{}, fmt.Errorf("keys of an actor: name of %d bytes", len(name))
	}
	select {
	case r.write <- struct{}{}:
		defer func() { <-r.write }()
	case <-ctx.Done():
		return Pair{}, fmt.Errorf("keys of %q: %w", name, ctx.Err())
	}
	key := r.bucket(name)
	all, err := r.read(ctx, key)
	if err != nil {
		return Pair{}, err
	}
	var old *Pair
	if s, ok := all[name]; ok {
		if old, err = s.pair(); err != nil {
			return Pair{}, fmt.Errorf("keys of %q: %w", name, err)
		}
	}
	p, err := f(old)
	if err != nil {
		return Pair{}, err
	}
	if p != old {
		if err := r.save(ctx, key, name, all, p); err != nil {
			return Pair{}, err
		}
	}
	if p == nil {
		r.forget(name)
		return Pair{}, nil
	}
	r.remember(name, *p)
	return *p, nil
}

func (r *Ring) bucket(name string) string {
	sum := sha256.Sum256([]byte(name))
	return r.opt.Prefix + hex.EncodeToString(sum[:2])[:len(fmt.Sprintf("%x", buckets-1))]
}

func (r *Ring) read(ctx context.Context, key string) (map[string]stored, error) {
	raw, err := r.store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	all := map[string]stored{}
	if raw == nil {
		return all, nil
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("read keys of %s: damaged value of %d bytes", key, len(raw)) // the cause could quote a key
	}
	return all, nil
}

func (r *Ring) save(ctx context.Context, key, name string, all map[string]stored, p *Pair) error {
	delete(all, name)
	if p != nil {
		all[name] = stored{RSA: x509.MarshalPKCS1PrivateKey(p.RSA), Seed: p.Ed25519.Seed(), Made: p.Made.Unix()}
	}
	var raw []byte
	if len(all) > 0 {
		var err error
		if raw, err = json.Marshal(all); err != nil {
			return fmt.Errorf("write keys: %w", err)
		}
	}
	if len(raw) > maxBucket {
		return fmt.Errorf("write keys of %q: %w", name, ErrFull)
	}
	if err := r.store.Set(ctx, key, raw); err != nil {
		return fmt.Errorf("write keys of %q: %w", name, err)
	}
	return nil
}

func (s stored) pair() (*Pair, error) {
	k, err := x509.ParsePKCS1PrivateKey(s.RSA)
	if err != nil || len(s.Seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: damaged in the store", ErrUnusable)
	}
	return &Pair{RSA: k, Ed25519: ed25519.NewKeyFromSeed(s.Seed), Made: time.Unix(s.Made, 0).UTC()}, nil
}

func (r *Ring) cached(name string) (Pair, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[name]
	if e == nil {
		return Pair{}, false
	}
	r.order.MoveToFront(e)
	return entryOf(e).pair, true
}

// entryOf gives what an element of the list holds: nothing else is put there.
func entryOf(e *list.Element) *entry {
	n, ok := e.Value.(*entry)
	if !ok {
		panic("keys: a foreign element")
	}
	return n
}

func (r *Ring) remember(name string, p Pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[name]; e != nil {
		entryOf(e).pair = p
		r.order.MoveToFront(e)
		return
	}
	r.known[name] = r.order.PushFront(&entry{name, p})
	if r.order.Len() > r.opt.Cache {
		last := r.order.Back()
		r.order.Remove(last)
		delete(r.known, entryOf(last).name)
	}
}

func (r *Ring) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[name]; e != nil {
		r.order.Remove(e)
		delete(r.known, name)
	}
}
