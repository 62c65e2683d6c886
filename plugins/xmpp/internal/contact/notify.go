package contact

import (
	"context"
	"strings"
	"sync"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// maxInterests bounds the kinds of client whose wishes are known.
const maxInterests = 1000

// interests knows which notifications a kind of client wants, by the hash of its capabilities (XEP-0115, XEP-0163 §4.3.3).
type interests struct {
	mu    sync.Mutex
	known map[string][]string // nodes by node#ver; an entry without nodes also stands for a question that is open
}

// wanted gives what is known of a kind of client, and whether somebody has to ask. Only one caller is told to.
func (i *interests) wanted(ver string) (nodes []string, ask bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	nodes, known := i.known[ver]
	if known {
		return nodes, false
	}
	if len(i.known) >= maxInterests {
		clear(i.known)
	}
	i.known[ver] = nil
	return nil, true
}

func (i *interests) learn(ver string, nodes []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[ver] = nodes
}

// capsOf gives node#ver of a presence, "" without capabilities.
func capsOf(p *packet.Presence) string {
	e, ok := p.Extension(nsCaps, "c")
	if !ok || e.Get("ver") == "" || len(e.Get("node"))+len(e.Get("ver")) > 512 {
		return ""
	}
	return e.Get("node") + "#" + e.Get("ver")
}

// greet sends a client that has just come the last items that it wants (XEP-0163 §4.3.4). Called with r.mu held.
func (c *Contacts) greet(ctx context.Context, r *roster, p *pair, name, ver string) {
	if ver == "" || p.from != granted {
		return
	}
	want, ask := c.interests.wanted(ver)
	if user, foreign := r.user, p.foreign; ask {
		c.background(func(ctx context.Context) { c.askCaps(ctx, user, foreign, name, ver) })
		return
	}
	if prof := c.profiles.get(p.foreign); prof != nil && prof.err == nil {
		if err := c.notify(ctx, r, p, prof, name, want); err != nil {
			c.opt.Log.Debug("client not notified", "error", err)
		}
	}
}

// askCaps asks a client what it wants, and sends it that.
func (c *Contacts) askCaps(ctx context.Context, user, foreign, name, ver string) {
	v, err := c.opt.Address.Virtual(foreign)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answer, err := c.stream.IQ(ctx, &packet.IQ{
		Attrs:   packet.Attrs{From: v.String() + "/" + c.opt.Resource, To: user + "/" + name, Type: "get"},
		Payload: xmltok.New(packet.NSDiscoInfo, "query", "", xmltok.A("node", ver)),
	})
	if err != nil {
		c.opt.Log.Debug("capabilities of a client not read", "error", err)
		return
	}
	var want []string
	for f := range answer.Payload.Children() {
		node, ok := strings.CutSuffix(f.Get("var"), "+notify")
		if ok && f.Is(packet.NSDiscoInfo, "feature") && (node == nsMetadata || node == nsNick || node == nodeVCard4) {
			want = append(want, node)
		}
	}
	c.interests.learn(ver, want)
	r := c.lock(user, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	if p := r.pairs[foreign]; p != nil && p.resources[name].caps == ver {
		c.greet(ctx, r, p, name, ver)
	}
}

// notifyAll notifies the clients of a user. Called with r.mu held.
func (c *Contacts) notifyAll(ctx context.Context, r *roster, p *pair, prof *Profile) error {
	for name, res := range p.resources {
		want, _ := c.interests.wanted(res.caps)
		if err := c.notify(ctx, r, p, prof, name, want); err != nil {
			return err
		}
	}
	return nil
}

// notify sends one client the items of the nodes that it wants (XEP-0060 §12.2, as headlines). Called with r.mu held.
func (c *Contacts) notify(ctx context.Context, r *roster, p *pair, prof *Profile, name string, want []string) error {
	virtual := p.virtual.Bare().String()
	for _, node := range want {
		for _, it := range items(node, p.foreign, virtual, prof) {
			var w xmltok.Writer
			w.Start(nsEvent, "event").Start(nsEvent, "items", xmltok.A("node", node)).Start(nsEvent, "item", xmltok.A("id", it.id)).Child(it.payload)
			event, err := w.Element()
			if err != nil {
				return err
			}
			m := &packet.Message{Attrs: packet.Attrs{From: virtual, To: r.user + "/" + name, Type: "headline", Extensions: []xmltok.Element{event}}}
			if err := c.send(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// background runs f in the pool. It is false when the pool is full and f will not run.
func (c *Contacts) background(f func(context.Context)) bool {
	select {
	case c.tasks <- f:
		return true
	default:
		c.opt.Log.Debug("too much to do in the background")
		return false
	}
}

// work runs what is to be done in the background until ctx ends.
func (c *Contacts) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.tasks:
			f(ctx)
		}
	}
}
