package contact

import (
	"context"
	"fmt"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Contacts are the contacts of all users on one component.
type Contacts struct {
	opt    Options
	stream Stream
	host   Host
	limit  *limiter // of requests by users
	ver    string   // of the capabilities of contacts (XEP-0115)

	incoming  *limiter // of requests to users
	lookups   *limiter
	profiles  *profiles
	interests *interests
	tasks     chan func(context.Context) // cap maxLookups; more are not done
	ready     chan struct{}              // closed when rosters are loaded
	ups       chan bool                  // cap 1: the stream came up

	mu       sync.Mutex
	rosters  map[string]*roster         // by bare JID of the user
	watchers map[string]map[string]bool // users by foreign address
	queue    []ref                      // pairs with something to publish, each at most once
	later    []ref                      // those whose presence was told a moment ago
	wake     chan struct{}              // cap 1: queue has something
	seq      uint64                     // of the newest change
	up       bool
}

// ref names a pair.
type ref struct{ user, foreign string }

// New makes the contacts of a component. Run must be called for anything to happen.
func New(o Options, s Stream, h Host) *Contacts {
	o.defaults()
	c := &Contacts{
		opt: o, stream: s, host: h, limit: newLimiter(o.Requests, o.AllRequests),
		ready: make(chan struct{}), ups: make(chan bool, 1), wake: make(chan struct{}, 1),
		rosters: map[string]*roster{}, watchers: map[string]map[string]bool{},
		incoming: newLimiter(o.Requests, o.AllRequests), lookups: newLimiter(o.Lookups, 20*o.Lookups), profiles: newProfiles(),
		interests: &interests{known: map[string][]string{}}, tasks: make(chan func(context.Context), maxLookups),
	}
	c.ver = Ver(c.client())
	return c
}

// Run works until ctx ends, and then saves what is not saved yet.
func (c *Contacts) Run(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	close(c.ready)
	var wg sync.WaitGroup
	wg.Go(func() { c.publish(ctx) })
	wg.Go(func() { c.refresh(ctx) })
	for range lookers {
		wg.Go(func() { c.look(ctx) })
	}
	for range workers {
		wg.Go(func() { c.work(ctx) })
	}
	c.keep(ctx)
	wg.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.flush(end)
	c.goodbye(end)
	return nil
}

// goodbye tells users that their contacts are not there any more, for their servers do not tell them that the component has gone.
func (c *Contacts) goodbye(ctx context.Context) {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	if !up {
		return
	}
	for _, r := range c.all() {
		r.mu.Lock()
		for _, p := range r.pairs {
			if p.from != granted || !c.present(p) {
				continue
			}
			if err := c.hide(ctx, r, p); err != nil {
				r.mu.Unlock()
				c.opt.Log.Debug("goodbye not said", "error", err)
				return
			}
		}
		r.mu.Unlock()
	}
}

// wait waits until rosters are loaded.
func (c *Contacts) wait(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for rosters: %w", ctx.Err())
	}
}

// flushEvery is how often presence that changed is saved.
const flushEvery = 30 * time.Second

// keep does what has to be done from time to time.
func (c *Contacts) keep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := c.opt.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		again := len(c.later) > 0
		c.queue, c.later = append(c.queue, c.later...), nil
		c.mu.Unlock()
		if again {
			c.signal()
		}
		if now := c.opt.Now(); now.Sub(last) >= flushEvery {
			last = now
			c.flush(ctx)
		}
	}
}

// flush saves what changed and was not worth a write of its own.
func (c *Contacts) flush(ctx context.Context) {
	for _, r := range c.all() {
		r.mu.Lock()
		if r.dirty && !r.gone {
			if err := r.save(ctx, c.host.Store()); err != nil {
				c.opt.Log.Error("roster not saved", "error", err)
			}
			for _, p := range r.pairs {
				if p.idle() {
					c.forget(r, p)
				}
			}
		}
		r.mu.Unlock()
	}
}

// StreamUp must be called when the stream is up. Unless it goes on where it was, all presence is sent and asked for anew, since the
// server has told users that the component is gone, or will not tell us what changed meanwhile.
func (c *Contacts) StreamUp(resumed bool) {
	c.mu.Lock()
	c.up = true
	c.mu.Unlock()
	if resumed {
		return
	}
	select {
	case c.ups <- true:
	default:
	}
}

// StreamDown must be called when the stream is down.
func (c *Contacts) StreamDown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = false
}

// refresh makes both sides right again each time the stream comes up.
func (c *Contacts) refresh(ctx context.Context) {
	var grace <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-grace:
			grace = nil
			c.absent()
			continue
		case <-c.ups:
		}
		for _, r := range c.all() {
			if err := c.renew(ctx, r); err != nil {
				c.opt.Log.Warn("presence not renewed", "error", err)
				break // the stream is down again: the next StreamUp starts over
			}
		}
		grace = time.After(c.opt.Grace)
	}
}

// renew sends a user the presence of all contacts, and asks for the user's own (RFC 6121 §4.3.1). What was asked and not answered is
// asked again.
func (c *Contacts) renew(ctx context.Context, r *roster) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pairs {
		if p.from == granted {
			if err := c.show(ctx, r, p); err != nil {
				return err
			}
		}
		switch p.to {
		case pending:
			if err := c.ask(ctx, r, p, ""); err != nil {
				return err
			}
		case granted:
			clear(p.resources)
			p.settled = false
			if err := c.send(ctx, presence(p.virtual, r.user, "probe")); err != nil {
				return err
			}
		case none:
		}
	}
	return nil
}

// absent counts users as absent who were probed and did not answer.
func (c *Contacts) absent() {
	for _, r := range c.all() {
		r.mu.Lock()
		for _, p := range r.pairs {
			if p.to == granted && !p.settled {
				p.settled = true
				c.push(r, p)
			}
		}
		r.mu.Unlock()
	}
}

// virtual reads the address that a stanza is for. ok is false when it is none of a contact's: not in our domain, or the component itself.
func (c *Contacts) virtual(to string) (j jid.JID, foreign string, ok bool, err error) {
	j, err = packet.ParseJID(to)
	if err != nil || j.Domainpart() != c.opt.Address.Domain || j.Localpart() == "" {
		return jid.JID{}, "", false, nil //nolint:nilerr // what is no JID is no contact's either
	}
	foreign, err = c.opt.Address.Foreign(j)
	if err != nil {
		return j, "", true, fmt.Errorf("contact %q: %w", j, err)
	}
	return j, foreign, true, nil
}

// user reads the address of a local user: bare JID and resource.
func (c *Contacts) user(from string) (bare, resource string, ok bool) {
	j, err := packet.ParseJID(from)
	if err != nil || j.Localpart() == "" || j.Domainpart() == c.opt.Address.Domain {
		return "", "", false
	}
	return j.Bare().String(), j.Resourcepart(), true
}

// person gives the actor that a user is.
func person(user, name string) sdk.Actor {
	return sdk.Actor{Kind: sdk.ActorPerson, Home: sdk.Ref{ID: sdk.RemoteID(user)}, Handle: user, Name: name}
}

// send hands a stanza to the stream.
func (c *Contacts) send(ctx context.Context, p packet.Stanza) error {
	if err := c.stream.Send(ctx, p); err != nil {
		return fmt.Errorf("send %s to %s: %w", p.Name(), p.Header().To, err)
	}
	return nil
}
