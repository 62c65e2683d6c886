package service

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"bridgehost/sdk"
)

// Store keeps registrations; every sdk.Store is one.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// pages are how many values of the store registrations are spread over.
const pages = 64

// maxPage leaves room under the store's 64 KiB.
const maxPage = 60 << 10

// choice is what a user said.
type choice uint8

const (
	silent choice = iota
	in            // registered
	out           // left
)

// Users knows who registered and who left. It is made before the contacts, which ask it who may use the gateway.
type Users struct {
	store Store
	most  int

	mu    sync.Mutex
	said  map[string]choice
	ready bool
}

// NewUsers makes an empty list; Load reads what is kept.
func NewUsers(store Store, most int) *Users {
	return &Users{store: store, most: most, said: map[string]choice{}}
}

func page(user string) int {
	sum := sha256.Sum256([]byte(user))
	return int(sum[0]) % pages
}

func pageKey(n int) string { return "service/users/" + strconv.Itoa(n) }

// Load reads what is kept. It must be called before the first question.
func (u *Users) Load(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ready {
		return nil
	}
	for n := range pages {
		value, err := u.store.Get(ctx, pageKey(n))
		if err != nil {
			return fmt.Errorf("read registrations: %w", err)
		}
		if value == nil {
			continue
		}
		var said map[string]choice
		if err := json.Unmarshal(value, &said); err != nil {
			return fmt.Errorf("decode registrations %d: %w", n, err)
		}
		for user, c := range said {
			u.said[user] = c
		}
	}
	u.ready = true
	return nil
}

// get gives what a user said.
func (u *Users) get(user string) choice {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.said[user]
}

// set keeps what a user said.
func (u *Users) set(ctx context.Context, user string, c choice) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, known := u.said[user]
	switch {
	case before == c:
		return nil
	case !known && len(u.said) >= u.most:
		return sdk.Errorf(sdk.Overloaded, "register", "more than %d users", u.most)
	}
	u.said[user] = c
	if c == silent {
		delete(u.said, user)
	}
	if err := u.save(ctx, page(user)); err != nil {
		u.said[user] = before
		if !known {
			delete(u.said, user)
		}
		return err
	}
	return nil
}

// save writes one page. Called with mu held.
func (u *Users) save(ctx context.Context, n int) error {
	said := map[string]choice{}
	for user, c := range u.said {
		if page(user) == n {
			said[user] = c
		}
	}
	var value []byte
	if len(said) > 0 {
		var err error
		if value, err = json.Marshal(said); err != nil {
			return fmt.Errorf("encode registrations: %w", err)
		}
		if len(value) > maxPage {
			return sdk.Errorf(sdk.Overloaded, "register", "page %d is full", n)
		}
	}
	if err := u.store.Set(ctx, pageKey(n), value); err != nil {
		return fmt.Errorf("save registrations: %w", err)
	}
	return nil
}

// Allowed reports whether a user, a bare JID, may use the gateway under a kind of registration.
func (u *Users) Allowed(user string, r Registration) bool {
	switch c := u.get(user); r {
	case Required, Closed:
		return c == in
	default:
		return c != out
	}
}

// count gives how many registered.
func (u *Users) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, c := range u.said {
		if c == in {
			n++
		}
	}
	return n
}
