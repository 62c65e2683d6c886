package contact

import (
	"context"
	"slices"
	"strings"

	"bridgehost/sdk"
)

// Entry is one contact of a user.
type Entry struct {
	Foreign string // canonical address
	JID     string // virtual JID, bare
	// From says that the user sees the contact's presence, To that the contact sees the user's. Asked says that one of them waits for an
	// answer.
	From, To, Asked bool
}

// List gives a user's contacts in the order of their addresses.
func (c *Contacts) List(user string) []Entry {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	var entries []Entry
	for _, p := range r.pairs {
		if p.from == none && p.to == none {
			continue
		}
		entries = append(entries, Entry{
			Foreign: p.foreign, JID: p.virtual.String(), From: p.from == granted, To: p.to == granted,
			Asked: p.from == pending || p.to == pending,
		})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Foreign, b.Foreign) })
	return entries
}

// Actor gives the actor that a user, a bare JID, is, with what is known of the user's profile without asking. It does not wait.
func (c *Contacts) Actor(user string) sdk.Actor {
	r := c.lock(user, false)
	if r == nil {
		return person(user, "")
	}
	defer r.mu.Unlock()
	return person(user, r.news.Name)
}

// Leave ends all relations of a user in both directions, takes the contacts out of the user's roster as far as the user's server lets
// (XEP-0100 §4.3.1), and tells the other network. It returns how many there were.
func (c *Contacts) Leave(ctx context.Context, user string) (int, error) {
	if err := c.wait(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, e := range c.List(user) {
		if err := c.leave(ctx, user, e.Foreign); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (c *Contacts) leave(ctx context.Context, user, foreign string) error {
	r := c.lock(user, false)
	if r == nil {
		return nil
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	if p == nil {
		return nil
	}
	if p.from == granted {
		if err := c.hide(ctx, r, p); err != nil {
			return err
		}
	}
	for _, typ := range []string{"unsubscribe", "unsubscribed"} {
		if err := c.send(ctx, presence(p.virtual, user, typ)); err != nil {
			return err
		}
	}
	if p.from != none {
		c.change(r, p, sdk.KindUnfollowed, false)
	}
	if p.to != none {
		c.change(r, p, sdk.KindFollowAnswered, false)
	}
	p.from, p.to, p.shown, p.told, p.settled = none, none, unknown, unknown, false
	clear(p.resources)
	c.strike(r, p)
	return c.settle(ctx, r, p)
}

// Find looks a foreign address up, in the cache or at the other network. user is who asks, "" for nobody whose requests count. The error has
// the kind that the other network gave, RateLimited when too much is asked.
func (c *Contacts) Find(ctx context.Context, user, foreign string) (Profile, error) {
	canonical, err := c.opt.Address.Canonical(foreign)
	if err != nil {
		return Profile{}, sdk.Errorf(sdk.Invalid, "look up a contact", "%w", err)
	}
	if user != "" && !c.fresh(c.profiles.get(canonical)) && !c.lookups.take(user, c.opt.Now()) {
		return Profile{}, sdk.Errorf(sdk.RateLimited, "look up a contact", "too many requests")
	}
	found := make(chan *Profile, 1)
	if !c.lookup(ctx, canonical, func(_ context.Context, p *Profile) { found <- p }) {
		return Profile{}, sdk.Errorf(sdk.RateLimited, "look up a contact", "too many look-ups wait")
	}
	select {
	case p := <-found:
		return *p, p.err
	case <-ctx.Done():
		return Profile{}, sdk.Errorf(sdk.Transient, "look up a contact", "%w", ctx.Err())
	}
}

// Counts is how much there is.
type Counts struct{ Users, Contacts, Waiting int }

// Counts counts users, relations of users to contacts, and relations that wait to be published.
func (c *Contacts) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := Counts{Users: len(c.rosters), Waiting: len(c.queue)}
	for _, users := range c.watchers {
		n.Contacts += len(users)
	}
	return n
}
