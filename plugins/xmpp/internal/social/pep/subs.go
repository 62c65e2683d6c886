package pep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// KV keeps small values durably; sdk.Store is one.
type KV interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
	Keys(ctx context.Context, prefix, after string) ([]string, error)
}

// Subscriber is one subscription to a node of a virtual address.
type Subscriber struct {
	JID    string // as it was given: bare or full
	Public bool   // XEP-0465
}

// subscription is how a subscriber's record holds one.
type subscription struct {
	To     string `json:"to"` // virtual address
	Node   string `json:"node"`
	JID    string `json:"jid"`
	Public bool   `json:"public,omitempty"`
}

// record is the value of one subscriber in the store.
type record struct {
	User string         `json:"user"` // bare JID
	List []subscription `json:"list"`
}

const (
	subsPrefix = "social/sub/"
	maxRecord  = 60 << 10 // bytes of a record; the store takes 64 KiB
)

// ErrTooMany is returned for a subscription beyond what one subscriber may have.
var ErrTooMany = errors.New("too many subscriptions")

// Subscriptions are who subscribed to which virtual node. They are in memory as
// a whole, and in the store a record for each subscriber.
type Subscriptions struct {
	kv KV

	mu     sync.Mutex
	users  map[string]*record
	byNode map[nodeKey]map[string]Subscriber // by bare JID
}

type nodeKey struct{ owner, node string }

// NewSubscriptions makes an empty set; Load reads what the store has.
func NewSubscriptions(kv KV) *Subscriptions {
	return &Subscriptions{kv: kv, users: map[string]*record{}, byNode: map[nodeKey]map[string]Subscriber{}}
}

// Load reads all records.
func (s *Subscriptions) Load(ctx context.Context) error {
	after := ""
	for {
		keys, err := s.kv.Keys(ctx, subsPrefix, after)
		if err != nil {
			return fmt.Errorf("list subscriptions: %w", err)
		}
		if len(keys) == 0 {
			return nil
		}
		for _, k := range keys {
			after = k
			b, err := s.kv.Get(ctx, k)
			if err != nil {
				return fmt.Errorf("read subscriptions: %w", err)
			}
			var r record
			if b == nil || json.Unmarshal(b, &r) != nil || r.User == "" {
				continue
			}
			s.mu.Lock()
			s.use(&r)
			s.mu.Unlock()
		}
	}
}

// use puts a record in memory. Called with mu held.
func (s *Subscriptions) use(r *record) {
	if old := s.users[r.User]; old != nil {
		for _, sub := range old.List {
			k := nodeKey{sub.To, sub.Node}
			if delete(s.byNode[k], r.User); len(s.byNode[k]) == 0 {
				delete(s.byNode, k)
			}
		}
	}
	if len(r.List) == 0 {
		delete(s.users, r.User)
		return
	}
	s.users[r.User] = r
	for _, sub := range r.List {
		k := nodeKey{sub.To, sub.Node}
		if s.byNode[k] == nil {
			s.byNode[k] = map[string]Subscriber{}
		}
		s.byNode[k][r.User] = Subscriber{JID: sub.JID, Public: sub.Public}
	}
}

// Add keeps a subscription of user, and reports whether it is a new one.
func (s *Subscriptions) Add(ctx context.Context, user, owner, node string, sub Subscriber) (bool, error) {
	return s.change(ctx, user, func(list []subscription) ([]subscription, bool) {
		entry := subscription{To: owner, Node: node, JID: sub.JID, Public: sub.Public}
		if i := find(list, owner, node); i >= 0 {
			list[i] = entry
			return list, false
		}
		return append(list, entry), true
	})
}

// Remove ends a subscription of user, and reports whether there was one.
func (s *Subscriptions) Remove(ctx context.Context, user, owner, node string) (bool, error) {
	return s.change(ctx, user, func(list []subscription) ([]subscription, bool) {
		if i := find(list, owner, node); i >= 0 {
			return slices.Delete(list, i, i+1), true
		}
		return list, false
	})
}

func find(list []subscription, owner, node string) int {
	return slices.IndexFunc(list, func(sub subscription) bool { return sub.To == owner && sub.Node == node })
}

// change stores a changed record, then uses it. The lock is not held meanwhile:
// one caller at a time changes subscriptions, that is Service.
func (s *Subscriptions) change(ctx context.Context, user string, edit func([]subscription) ([]subscription, bool)) (bool, error) {
	s.mu.Lock()
	r := &record{User: user}
	if old := s.users[user]; old != nil {
		r.List = slices.Clone(old.List)
	}
	s.mu.Unlock()
	var changed bool
	r.List, changed = edit(r.List)
	var value []byte
	if len(r.List) > 0 {
		var err error
		if value, err = json.Marshal(r); err != nil {
			return false, fmt.Errorf("encode subscriptions: %w", err)
		}
	}
	if len(value) > maxRecord {
		return false, ErrTooMany
	}
	if err := s.kv.Set(ctx, subsKey(user), value); err != nil {
		return false, fmt.Errorf("keep subscriptions: %w", err)
	}
	s.mu.Lock()
	s.use(r)
	s.mu.Unlock()
	return changed, nil
}

// subsKey gives the key of a subscriber: addresses may be longer than keys.
func subsKey(user string) string {
	sum := sha256.Sum256([]byte(user))
	return subsPrefix + hex.EncodeToString(sum[:16])
}

// Of gives who subscribed to a node, by bare JID.
func (s *Subscriptions) Of(owner, node string) map[string]Subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Subscriber, len(s.byNode[nodeKey{owner, node}]))
	for user, sub := range s.byNode[nodeKey{owner, node}] {
		out[user] = sub
	}
	return out
}

// By gives the subscriptions of user at one virtual address.
func (s *Subscriptions) By(user, owner string) map[string]Subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Subscriber{}
	if r := s.users[user]; r != nil {
		for _, sub := range r.List {
			if sub.To == owner {
				out[sub.Node] = Subscriber{JID: sub.JID, Public: sub.Public}
			}
		}
	}
	return out
}
