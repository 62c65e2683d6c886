package contact

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"bridgehost/sdk"
)

// standing says how far a subscription in one direction is (RFC 6121 Appendix A.1).
type standing uint8

const (
	none    standing = iota
	pending          // asked, not answered
	granted
)

// known is a signal of presence that somebody gave, with room for nobody having given one.
type known uint8

const unknown known = 0

func knows(k sdk.SignalKind) known       { return known(k) + 1 }
func (k known) is(s sdk.SignalKind) bool { return k == knows(s) }

// available reports whether the presence is one of somebody who is there.
func (k known) available() bool { return k != unknown && !k.is(sdk.SignalOffline) }

// pair is one user's relation to one foreign address. It is guarded by its roster's mutex.
type pair struct {
	foreign string
	virtual jid.JID
	from    standing // whether the user may see the contact's presence
	to      standing // whether the contact may see the user's
	due     []due    // changes that are not known to be published yet
	shown   known    // the contact's presence, as the other network told it
	status  string   // and the text beside it; not kept over a restart, for want of room

	told      known // the user's presence, as the other network was told it
	toldText  string
	toldAt    time.Time
	pace      bucket              // of what was told
	asked     time.Time           // when the user asked last
	resources map[string]resource // of the user that are available
	settled   bool                // the resources are those that there are: a probe was answered, or nobody answered in time
	queued    bool                // waits for the publisher
}

// due is a change of a subscription that waits to be published.
type due struct {
	Kind     sdk.ChangeKind `json:"k"` // KindFollowAsked, KindFollowAnswered or KindUnfollowed
	Accepted bool           `json:"y,omitempty"`
	Seq      uint64         `json:"n"`
}

// maxDue bounds what waits for one pair; the oldest is dropped, since the newest counts.
const maxDue = 16

// maxResources bounds the resources of a user that are told apart.
const maxResources = 16

// resource is the presence of one of a user's clients.
type resource struct {
	kind     sdk.SignalKind
	text     string // for people
	priority int8
	caps     string // node#ver of XEP-0115, "" without capabilities
}

// presence gives the user's presence as a whole: that of the resource with the highest priority, the most present first.
func (p *pair) presence() (sdk.SignalKind, string) {
	best, found := resource{}, false
	for _, r := range p.resources {
		if !found || r.priority > best.priority || r.priority == best.priority && r.kind < best.kind {
			best, found = r, true
		}
	}
	if !found {
		return sdk.SignalOffline, ""
	}
	return best.kind, best.text
}

// knowsOf reports whether the other network has been told that.
func (p *pair) knowsOf(kind sdk.SignalKind, text string) bool {
	return p.told.is(kind) && p.toldText == text
}

// maxStatus bounds the text beside a presence, in bytes.
const maxStatus = 1000

// statusText makes a text for people fit beside a presence.
func statusText(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, ""))
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "")
	}
	return text
}

// idle reports whether nothing is left that is worth keeping.
func (p *pair) idle() bool { return p.from == none && p.to == none && len(p.due) == 0 }

// roster holds the contacts of one user.
type roster struct {
	user string // bare JID

	mu    sync.Mutex
	pairs map[string]*pair // by canonical foreign address
	dirty bool             // something changed that may be saved later
	news  news
	gone  bool // no longer the user's roster: get it anew
}

// record is the stored form of a pair.
type record struct {
	Foreign string   `json:"a"`
	From    standing `json:"f,omitempty"`
	To      standing `json:"t,omitempty"`
	Shown   known    `json:"p,omitempty"`
	Due     []due    `json:"d,omitempty"`
}

type stored struct {
	User  string   `json:"u"`
	News  news     `json:"o,omitzero"`
	Pairs []record `json:"c"`
}

// prefix of the keys of rosters in the link's store.
const prefix = "contact/"

// maxStored leaves room under the store's 64 KiB.
const maxStored = 60 << 10

// key gives the name of a user's roster in the store; addresses may be longer than names.
func key(user string) string {
	sum := sha256.Sum256([]byte(user))
	return prefix + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20])
}

// save writes the roster; what could not be written is written with the next flush. Called with mu held.
func (r *roster) save(ctx context.Context, store sdk.Store) error {
	r.dirty = true
	value, err := r.encode()
	if err != nil {
		return err
	}
	if err := store.Set(ctx, key(r.user), value); err != nil {
		return fmt.Errorf("save roster of %s: %w", r.user, err)
	}
	r.dirty = false
	return nil
}

// encode gives the stored form, nil for a roster with nothing in it. Called with mu held.
func (r *roster) encode() ([]byte, error) {
	s := stored{User: r.user, News: r.news}
	for _, p := range r.pairs {
		if !p.idle() {
			s.Pairs = append(s.Pairs, record{p.foreign, p.from, p.to, p.shown, p.due})
		}
	}
	if len(s.Pairs) == 0 {
		return nil, nil
	}
	value, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode roster of %s: %w", r.user, err)
	}
	if len(value) > maxStored {
		return nil, sdk.Errorf(sdk.TooLarge, "save roster of "+r.user, "%d bytes", len(value))
	}
	return value, nil
}

// load reads all rosters. What cannot be read is told and left out; it stays in the store until the user's next change.
func (c *Contacts) load(ctx context.Context) error {
	store := c.host.Store()
	for after := ""; ; {
		keys, err := store.Keys(ctx, prefix, after)
		if err != nil {
			return fmt.Errorf("list rosters: %w", err)
		}
		for _, k := range keys {
			after = k
			value, err := store.Get(ctx, k)
			if err != nil {
				return fmt.Errorf("read roster %s: %w", k, err)
			}
			if err := c.restore(value); err != nil {
				c.opt.Log.Error("roster cannot be read", "key", k, "error", err)
			}
		}
		if len(keys) == 0 {
			return nil
		}
	}
}

// restore takes up one stored roster.
func (c *Contacts) restore(value []byte) error {
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return fmt.Errorf("decode roster: %w", err)
	}
	if s.User == "" {
		return errors.New("decode roster: no user")
	}
	r := c.lock(s.User, true)
	if r == nil {
		return sdk.Errorf(sdk.TooLarge, "restore roster", "more than %d users", c.opt.MaxUsers)
	}
	defer r.mu.Unlock()
	r.news = s.News
	var errs []error
	for _, rec := range s.Pairs {
		p, err := c.pair(r, rec.Foreign)
		if err != nil { // the operator changed what is foreign
			errs = append(errs, err)
			continue
		}
		p.from, p.to, p.shown, p.due = rec.From, rec.To, rec.Shown, rec.Due
		if len(p.due) > 0 {
			c.push(r, p)
		}
	}
	c.forget(r, nil)
	return errors.Join(errs...)
}

// lock gives a user's roster with its mutex held. Without create it is nil when there is none, else only when there are too many.
func (c *Contacts) lock(user string, create bool) *roster {
	for {
		c.mu.Lock()
		r := c.rosters[user]
		if r == nil && create && len(c.rosters) < c.opt.MaxUsers {
			r = &roster{user: user, pairs: map[string]*pair{}}
			c.rosters[user] = r
		}
		c.mu.Unlock()
		if r == nil {
			return nil
		}
		r.mu.Lock()
		if !r.gone {
			return r
		}
		r.mu.Unlock()
	}
}

// pair gives the pair of a roster and a canonical foreign address, a new one if there is none. Called with r.mu held.
func (c *Contacts) pair(r *roster, foreign string) (*pair, error) {
	if p := r.pairs[foreign]; p != nil {
		return p, nil
	}
	v, err := c.opt.Address.Virtual(foreign)
	if err != nil {
		return nil, fmt.Errorf("contact %q: %w", foreign, err)
	}
	p := &pair{foreign: foreign, virtual: v, resources: map[string]resource{}}
	r.pairs[foreign] = p
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers[foreign] == nil {
		c.watchers[foreign] = map[string]bool{}
	}
	c.watchers[foreign][r.user] = true
	return p, nil
}

// settle saves the roster after a change, and forgets what has become empty. Called with r.mu held.
func (c *Contacts) settle(ctx context.Context, r *roster, p *pair) error {
	if err := r.save(ctx, c.host.Store()); err != nil {
		return err
	}
	c.forget(r, p)
	return nil
}

// forget drops the pair, which may be nil, if nothing is left of it, and the roster if it has no pair. Called with r.mu held.
func (c *Contacts) forget(r *roster, p *pair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != nil && p.idle() {
		delete(r.pairs, p.foreign)
		delete(c.watchers[p.foreign], r.user)
		if len(c.watchers[p.foreign]) == 0 {
			delete(c.watchers, p.foreign)
		}
	}
	if len(r.pairs) == 0 {
		r.gone = true
		delete(c.rosters, r.user)
	}
}

// usersOf lists the users who have the foreign address among their contacts.
func (c *Contacts) usersOf(foreign string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	users := make([]string, 0, len(c.watchers[foreign]))
	for u := range c.watchers[foreign] {
		users = append(users, u)
	}
	return users
}

// all lists the rosters.
func (c *Contacts) all() []*roster {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*roster, 0, len(c.rosters))
	for _, r := range c.rosters {
		list = append(list, r)
	}
	return list
}
