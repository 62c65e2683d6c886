package contact

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/sdk"
)

// Bounds of look-ups.
const (
	workers     = 4   // other things that are done in the background at a time
	lookers     = 8   // look-ups at a time
	maxLookups  = 256 // addresses that wait to be looked up
	maxWaiting  = 64  // requests that wait for one address
	lookupTime  = 30 * time.Second
	failExpiry  = 2 * time.Minute // age at which an address that could not be looked up is tried again
	maxPictures = 32 << 20        // bytes of avatars that are kept
)

// Profile is what is known of a foreign actor.
type Profile struct {
	Actor  sdk.Actor // without the avatar
	Avatar *Avatar   // nil if there is none that can be shown
	err    error     // why there is no profile
	part   bool      // there is an avatar that could not be fetched
	at     time.Time
}

// hash gives the avatar's, "" without one.
func (p *Profile) hash() string {
	if p == nil || p.Avatar == nil {
		return ""
	}
	return p.Avatar.Hash
}

// Name gives what a contact is called: one readable line without what steers or hides from a reader.
func (p *Profile) Name(foreign string) string {
	if p == nil || p.err != nil {
		return foreign
	}
	if name := convert.Nick(p.Actor.Name); name != "" {
		return name
	}
	return foreign
}

// profiles keeps profiles, the least recently used ones go first, and who waits for which.
type profiles struct {
	mu      sync.Mutex
	byName  map[string]*list.Element
	order   *list.List // of *kept, newest use first
	bytes   int
	waiting map[string][]func(context.Context, *Profile)
	jobs    chan string // cap maxLookups; more are refused
}

type kept struct {
	foreign string
	*Profile
}

// held gives what stands in an element of the list, which holds nothing else.
func held(v any) *kept {
	k, _ := v.(*kept)
	return k
}

func newProfiles() *profiles {
	return &profiles{byName: map[string]*list.Element{}, order: list.New(), waiting: map[string][]func(context.Context, *Profile){}, jobs: make(chan string, maxLookups)}
}

// get gives a profile that is kept, nil if there is none.
func (s *profiles) get(foreign string) *Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[foreign]
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return held(e.Value).Profile
}

// put keeps a profile.
func (s *profiles) put(foreign string, p *Profile, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[foreign]; e != nil {
		s.drop(e)
	}
	s.byName[foreign] = s.order.PushFront(&kept{foreign, p})
	s.bytes += p.size()
	for s.order.Len() > most || s.bytes > maxPictures && s.order.Len() > 1 {
		s.drop(s.order.Back())
	}
}

func (s *profiles) drop(e *list.Element) {
	k := held(s.order.Remove(e))
	delete(s.byName, k.foreign)
	s.bytes -= k.size()
}

func (p *Profile) size() int {
	if p.Avatar == nil {
		return 0
	}
	return len(p.Avatar.Data)
}

// fresh reports whether a kept profile need not be looked up again.
func (c *Contacts) fresh(p *Profile) bool {
	switch {
	case p == nil:
		return false
	case p.err != nil:
		return c.opt.Now().Sub(p.at) < failExpiry
	default:
		return c.opt.Now().Sub(p.at) < c.opt.Expiry
	}
}

// lookup calls then with the profile of a canonical foreign address, at once or from the pool. It is false when too many wait already.
func (c *Contacts) lookup(ctx context.Context, foreign string, then func(context.Context, *Profile)) bool {
	if p := c.profiles.get(foreign); c.fresh(p) {
		then(ctx, p)
		return true
	}
	s := c.profiles
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting, running := s.waiting[foreign]; running {
		if len(waiting) >= maxWaiting {
			return false
		}
		s.waiting[foreign] = append(waiting, then)
		return true
	}
	select {
	case s.jobs <- foreign:
		s.waiting[foreign] = []func(context.Context, *Profile){then}
		return true
	default:
		return false
	}
}

// look works off look-ups until ctx ends.
func (c *Contacts) look(ctx context.Context) {
	for {
		var foreign string
		select {
		case <-ctx.Done():
			return
		case foreign = <-c.profiles.jobs:
		}
		c.learn(ctx, foreign, c.resolve(ctx, foreign))
	}
}

// learn keeps a profile, hands it to those who wait, and shows what changed to the users who have the contact.
func (c *Contacts) learn(ctx context.Context, foreign string, p *Profile) {
	s := c.profiles
	old := s.get(foreign)
	if p.err != nil && sdk.KindOf(p.err).Temporary() && old != nil && old.err == nil {
		p = &Profile{Actor: old.Actor, Avatar: old.Avatar, at: c.opt.Now().Add(failExpiry - c.opt.Expiry)} // better old than none
	}
	if p.part { // the same for an avatar, and not for long
		if old != nil && old.err == nil {
			p.Avatar = old.Avatar
		}
		p.at = c.opt.Now().Add(failExpiry - c.opt.Expiry)
	}
	s.put(foreign, p, c.opt.Profiles)
	s.mu.Lock()
	waiting := s.waiting[foreign]
	delete(s.waiting, foreign)
	s.mu.Unlock()
	for _, then := range waiting {
		then(ctx, p)
	}
	if p.err == nil && (old == nil || old.err != nil || old.hash() != p.hash() || old.Actor.Name != p.Actor.Name) {
		c.announce(ctx, foreign, p)
	}
}

// resolve asks the other network.
func (c *Contacts) resolve(ctx context.Context, foreign string) *Profile {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	r, err := c.host.Resolve(ctx, foreign)
	switch {
	case err != nil:
		return &Profile{err: fmt.Errorf("look up a contact: %w", err), at: c.opt.Now()}
	case r.Actor == nil:
		return &Profile{err: sdk.Errorf(sdk.NotFound, "look up a contact", "no actor"), at: c.opt.Now()}
	case r.Actor.Consent == sdk.ConsentRefused:
		return &Profile{err: sdk.Errorf(sdk.Forbidden, "look up a contact", "the actor is not to be bridged"), at: c.opt.Now()}
	}
	return c.profile(ctx, *r.Actor)
}

// profile makes a profile of an actor and gets the avatar.
func (c *Contacts) profile(ctx context.Context, a sdk.Actor) *Profile {
	p := &Profile{Actor: a, at: c.opt.Now()}
	p.Actor.Avatar = nil
	if a.Avatar == nil {
		return p
	}
	data := a.Avatar.Data
	if len(data) == 0 {
		if a.Avatar.URL == "" || c.opt.Fetch == nil || a.Avatar.Size > c.opt.MaxAvatar {
			return p
		}
		var err error
		if data, _, err = c.opt.Fetch.Fetch(ctx, a.Avatar.URL, c.opt.MaxAvatar); err != nil {
			c.opt.Log.Debug("avatar not fetched", "error", err)
			p.part = true
			return p
		}
	}
	if int64(len(data)) > c.opt.MaxAvatar {
		return p
	}
	avatar, err := NewAvatar(data)
	if err != nil {
		c.opt.Log.Debug("avatar not shown", "error", err)
		return p
	}
	p.Avatar = avatar
	return p
}

// announce shows a changed profile to the users who may see the contact's presence: the hash of the avatar in presence (XEP-0153), and
// notifications for clients that want them.
func (c *Contacts) announce(ctx context.Context, foreign string, p *Profile) {
	for _, user := range c.usersOf(foreign) {
		r := c.lock(user, false)
		if r == nil {
			continue
		}
		if pr := r.pairs[foreign]; pr != nil && pr.from == granted {
			err := c.show(ctx, r, pr)
			if err == nil {
				err = c.notifyAll(ctx, r, pr, p)
			}
			if err != nil {
				c.opt.Log.Debug("new profile not shown", "error", err)
			}
		}
		r.mu.Unlock()
	}
}
