package contact

import (
	"context"

	"bridgehost/plugins/xmpp/internal/convert"
)

// entitle gives the contact its name, and the operator's group, in the user's roster, where the user's server lets us. An entry that the user
// has named stays as it is: the name is the user's own (RFC 6121 §2.1.2.3). Called with r.mu held.
func (c *Contacts) entitle(r *roster, p *pair) {
	if c.opt.Names == nil || !c.opt.Names.Granted(r.user) {
		return
	}
	user, foreign, virtual := r.user, p.foreign, p.virtual.Bare().String()
	c.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		name := ""
		if found, err := c.Find(ctx, "", foreign); err == nil {
			name = convert.Nick(found.Actor.Name)
		}
		if err := c.writeName(ctx, user, foreign, virtual, name); err != nil {
			c.opt.Log.Info("contact not named in a roster", "reason", err)
		}
	})
}

// writeName names a contact that has no name yet. What it writes of the subscription is what we know of it: the entry may have been read before
// the last answer changed it. While one is open nothing is written; its answer brings another attempt.
func (c *Contacts) writeName(ctx context.Context, user, foreign, virtual, name string) error {
	e, ok, err := c.opt.Names.Entry(ctx, user, virtual)
	if err != nil || !ok {
		return err
	}
	before := e.Name
	if e.Name == "" {
		e.Name = name
	}
	grouped := c.opt.Group != "" && len(e.Groups) == 0
	if grouped {
		e.Groups = []string{c.opt.Group}
	}
	if e.Name == before && !grouped {
		return nil
	}
	if e.Subscription, ok = c.subscription(user, foreign); !ok {
		return nil
	}
	return c.opt.Names.SetEntry(ctx, user, virtual, e)
}

// subscription gives the word for a settled relation (RFC 6121 §2.1.2.5). ok is false while a request is open.
func (c *Contacts) subscription(user, foreign string) (word string, ok bool) {
	r := c.lock(user, false)
	if r == nil {
		return "", false
	}
	defer r.mu.Unlock()
	p := r.pairs[foreign]
	switch {
	case p == nil, p.from == pending, p.to == pending:
		return "", false
	case p.from == granted && p.to == granted:
		return "both", true
	case p.from == granted:
		return "to", true
	case p.to == granted:
		return "from", true
	default:
		return "none", true
	}
}

// strike takes the entry of a contact out of the user's roster when nothing relates the two any more. Without the right to it the entry stays,
// without a subscription, until the user takes it out. Called with r.mu held.
func (c *Contacts) strike(r *roster, p *pair) {
	if c.opt.Names == nil || p.from != none || p.to != none || !c.opt.Names.Granted(r.user) {
		return
	}
	user, virtual := r.user, p.virtual.Bare().String()
	c.background(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		e, ok, err := c.opt.Names.Entry(ctx, user, virtual)
		if err == nil && ok {
			e.Name, e.Groups, e.Subscription = "", nil, "remove"
			err = c.opt.Names.SetEntry(ctx, user, virtual, e)
		}
		if err != nil {
			c.opt.Log.Info("contact not taken out of a roster", "reason", err)
		}
	})
}
