// Package activitypub is the plugin that lets people of the other network of a
// gateway meet those of the fediverse: each of them has an actor here, and each
// far actor is somebody there.
//
// The link answers HTTP through the host's public listener (WebFinger, actors,
// inboxes, pages); a 202 of an inbox means that the event is on disk. What goes
// out is posted from the host's lanes, one for each inbox, so that no server waits
// for another.
package activitypub

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"time"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/far"
	"bridgehost/plugins/activitypub/internal/inbox"
	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/store"
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
	// Transport makes what speaks to other servers; nil = by HTTP.
	Transport func(Needs) (Transport, error)
}

// Plugin is the ActivityPub plugin.
type Plugin struct{ opt Options }

// New makes the plugin.
func New(opt Options) *Plugin {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Transport == nil {
		opt.Transport = newTransport
	}
	return &Plugin{opt: opt}
}

// Describe implements sdk.Plugin.
func (p *Plugin) Describe() sdk.Manifest {
	schema, err := settings.Schema(defaults())
	if err != nil {
		schema = nil // a test holds that the table has a schema
	}
	return sdk.Manifest{
		ID:          "activitypub",
		Version:     Version,
		Description: "people of another network and the fediverse meet as equals",
		ContractMin: sdk.ContractVersionMin,
		ContractMax: sdk.ContractVersion,
		Gives: []sdk.ChangeKind{sdk.KindItemCreated, sdk.KindItemUpdated, sdk.KindItemRetracted, sdk.KindReactionsSet, sdk.KindShared,
			sdk.KindUnshared, sdk.KindVoted, sdk.KindFollowAsked, sdk.KindFollowAnswered, sdk.KindUnfollowed, sdk.KindActorUpdated,
			sdk.KindActorMoved, sdk.KindActorGone, sdk.KindBlocked, sdk.KindUnblocked, sdk.KindReported},
		Facets:    []string{"deliverer", "informed", "resolver", "web"},
		Abilities: []string{"log", "kv", "http"},
		Sample:    sample,
		Schema:    schema,
		BatchMax:  16, // posts one after the other: a slow server must not use up the host's patience
		GlobalIDs: true,
	}
}

// Open implements sdk.Plugin.
func (p *Plugin) Open(cfg sdk.Config, host sdk.Host) (sdk.Link, error) {
	c, err := parseConfig(cfg)
	if err != nil {
		return nil, err
	}
	l := &link{id: cfg.Link, gateway: cfg.Gateway, config: c, host: host, now: p.opt.Now, names: c.names(),
		site: actor.Site{Base: c.base, Path: c.Path, Domain: c.Domain}, keys: keys.New(host.Store(), keys.Options{Now: p.opt.Now})}
	dir := cfg.Dir
	if dir != "" {
		dir = filepath.Join(dir, "activitypub")
	}
	l.store = store.New(dir, actor.Limits())
	l.people = actor.NewPeople(actor.PeopleOptions{Names: l.names, Resolve: host.Resolve, Allow: c.allowed, Store: l.store, Now: p.opt.Now})
	l.transport, err = p.opt.Transport(Needs{Config: c, Site: l.site, Keys: l.keys, Store: l.store, Now: p.opt.Now, Log: host.Log()})
	if err != nil {
		return nil, fmt.Errorf("open link %s: %w", cfg.Link, err)
	}
	l.far = far.New(l.transport, l.store, p.opt.Now)
	l.server = actor.New(actor.Options{Site: l.site, People: l.people, Store: l.store, PublicKey: l.publicKey, Signer: l.signer,
		Secure: c.SecureMode, Version: Version})
	l.inbox = inbox.New(inbox.Options{Site: l.site, Gateway: cfg.Gateway, Store: l.store, People: l.people, Far: l.far,
		Verifier: l.transport.Verifier(), Get: l.transport.Document, Publish: host.Publish, Refused: c.refused, Now: p.opt.Now, Log: host.Log()})
	return l, nil
}

var (
	_ sdk.Plugin    = (*Plugin)(nil)
	_ sdk.Link      = (*link)(nil)
	_ sdk.Deliverer = (*link)(nil)
	_ sdk.Resolver  = (*link)(nil)
	_ sdk.Informed  = (*link)(nil)
	_ web.Handler   = (*link)(nil)
)

func (l *link) publicKey(ctx context.Context, name string) (string, error) {
	pair, err := l.keys.Of(ctx, name)
	if err != nil {
		return "", sdk.AsError("make the keys of "+name, err)
	}
	pem, err := keys.PublicPEM(pair.RSA.Public())
	if err != nil {
		return "", sdk.Errorf(sdk.Internal, "write the key of "+name, "%w", err)
	}
	return pem, nil
}
