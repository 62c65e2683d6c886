// Package webhook is the plugin that lets services speak by HTTP: what is
// posted to a hook becomes an item in the hook's place, and what happens in a
// place can be posted to a URL.
//
// Incoming hooks answer through the host's public listener (sdk/web), which
// checks tokens, methods and sizes first; an answer 202 means that the message
// is on disk. Outgoing hooks are places that take deliveries; order and retries
// are the host's lanes.
package webhook

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"bridgehost/plugins/webhook/internal/memory"
	"bridgehost/sdk"
	"bridgehost/sdk/settings"
	"bridgehost/sdk/web"
)

// Version is the plugin's.
const Version = "0.1.0"

//go:embed sample.toml
var sample string

// Options are the plugin's settings for tests.
type Options struct {
	Now func() time.Time // nil = time.Now
}

// Plugin is the webhook plugin.
type Plugin struct{ opt Options }

// New makes the plugin.
func New(opt Options) *Plugin {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Plugin{opt: opt}
}

// Describe implements sdk.Plugin.
func (p *Plugin) Describe() sdk.Manifest {
	schema, err := settings.Schema(options{Path: defaultPath})
	if err != nil {
		schema = nil // a test holds that the table has a schema
	}
	return sdk.Manifest{
		ID:          "webhook",
		Version:     Version,
		Description: "messages in and out by HTTP: services post to hooks, places are posted to URLs",
		ContractMin: sdk.ContractVersionMin,
		ContractMax: sdk.ContractVersion,
		Gives:       []sdk.ChangeKind{sdk.KindItemCreated, sdk.KindItemUpdated},
		Facets:      []string{"deliverer", "placer", "informed", "web"},
		Abilities:   []string{"log", "kv", "http"},
		Sample:      sample,
		BatchMax:    64, // posts one after the other: a slow receiver must not use up the host's patience
		Schema:      schema,
	}
}

// Open implements sdk.Plugin.
func (p *Plugin) Open(cfg sdk.Config, host sdk.Host) (sdk.Link, error) {
	c, err := parseConfig(cfg.JSON)
	if err != nil {
		return nil, err
	}
	l := &link{id: cfg.Link, config: c, host: host, now: p.opt.Now, changed: make(chan struct{}, 1),
		byToken: map[[32]byte]*intake{}, waiters: map[string]*waiter{}, places: cfg.Places}
	perHook := max(256, min(maxNamesPerHook, 900_000/max(1, len(c.hooks))))
	for _, name := range sortedKeys(c.hooks) {
		h := c.hooks[name]
		in := &intake{hook: h, rate: newBucket(h.rate)}
		keep := 24 * time.Hour
		if h.seal != nil && h.seal.BodyOnly() {
			keep = h.window
		}
		in.once = memory.New(memory.Options{Store: host.Store(), Prefix: "once/" + name + "/", Keep: keep, Max: perHook, Now: p.opt.Now})
		in.updates = memory.New(memory.Options{Store: host.Store(), Prefix: "update/" + name + "/", Keep: h.updateWindow, Max: perHook, Now: p.opt.Now})
		for _, d := range h.digests {
			l.byToken[d] = in
		}
	}
	l.senders = newSenders(cfg.Link, c.outs, p.opt.Now)
	return l, nil
}

// link is one configured instance.
type link struct {
	id      sdk.LinkID
	config  *config
	host    sdk.Host
	now     func() time.Time
	byToken map[[32]byte]*intake
	senders map[sdk.RemoteID]*sender
	changed chan struct{} // places changed; Run reports them

	mu      sync.Mutex
	places  []sdk.PlaceUse
	waiters map[string]*waiter // by the dedup key of their event
}

var (
	_ sdk.Plugin    = (*Plugin)(nil)
	_ sdk.Link      = (*link)(nil)
	_ sdk.Deliverer = (*link)(nil)
	_ sdk.Placer    = (*link)(nil)
	_ sdk.Informed  = (*link)(nil)
	_ web.Handler   = (*link)(nil)
)

// Run implements sdk.Link. The work is done by the facets; Run tells the host
// the state of the places and closes idle connections at the end.
func (l *link) Run(ctx context.Context) error {
	defer func() {
		for _, s := range l.senders {
			s.client.CloseIdleConnections()
		}
	}()
	for {
		if err := l.host.Report(ctx, l.reports()...); err != nil && ctx.Err() == nil {
			return fmt.Errorf("report the state of link %s: %w", l.id, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		}
	}
}

// SetPlaces implements sdk.Placer.
func (l *link) SetPlaces(_ context.Context, places []sdk.PlaceUse) error {
	l.mu.Lock()
	l.places = places
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default: // Run has not looked yet and will see these
	}
	return nil
}

// reports gives the state of the link and of each place: a hook without a route
// and a route without a hook are the operator's to mend.
func (l *link) reports() []sdk.Report {
	l.mu.Lock()
	places := l.places
	l.mu.Unlock()
	uses := map[string]sdk.PlaceUse{}
	for _, u := range places {
		uses[string(u.ID)] = u
	}
	out := []sdk.Report{{State: sdk.StateUp}}
	for _, name := range sortedKeys(l.config.hooks) {
		r := sdk.Report{Place: sdk.RemoteID(name), State: sdk.StateUp, Title: l.config.hooks[name].name}
		if !uses[name].Source {
			r.State, r.Reason = sdk.StateDegraded, fmt.Sprintf("no route leads from %s:%s; what is posted there goes nowhere", l.id, name)
		}
		out = append(out, r)
	}
	for _, name := range sortedKeys(l.config.outs) {
		out = append(out, sdk.Report{Place: sdk.RemoteID(name), State: sdk.StateUp, Title: name, Capabilities: &sdk.Capabilities{Features: outFeatures}})
	}
	for _, u := range places {
		name := string(u.ID)
		switch {
		case u.Target && l.config.outs[name] == nil:
			out = append(out, sdk.Report{Place: u.ID, State: sdk.StateFailed, Reason: fmt.Sprintf("a route leads to %s:%s, but there is no out.%s in the configuration", l.id, name, name)})
		case u.Source && l.config.hooks[name] == nil && l.config.outs[name] == nil:
			out = append(out, sdk.Report{Place: u.ID, State: sdk.StateFailed, Reason: fmt.Sprintf("a route leads from %s:%s, but there is no hook.%s in the configuration", l.id, name, name)})
		}
	}
	return out
}

var outFeatures = []sdk.Feature{sdk.FeatureUpdate, sdk.FeatureRetract, sdk.FeatureReply, sdk.FeatureReaction, sdk.FeatureRichText, sdk.FeatureThread,
	sdk.FeatureWarning, sdk.FeaturePoll, sdk.FeatureCalendar, sdk.FeatureMembers, sdk.FeatureStableIDs}
