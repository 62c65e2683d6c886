package activitypub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/far"
	"bridgehost/plugins/activitypub/internal/handle"
	"bridgehost/plugins/activitypub/internal/inbox"
	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// Transport speaks to other servers. Errors are *sdk.Error, whose kind decides
// whether it is tried again.
type Transport interface {
	far.Reader
	// Post posts an activity, signed anew by the actor with the user name.
	Post(ctx context.Context, name, inbox string, activity []byte) error
	// Verifier checks signatures of what comes in.
	Verifier() inbox.Verifier
	// Close ends idle connections.
	Close()
}

// Needs are what a transport is made of.
type Needs struct {
	Config *config
	Site   actor.Site
	Keys   *keys.Ring
	Store  *store.Store
	Now    func() time.Time
	Log    *slog.Logger
}

// link is one configured instance.
type link struct {
	id        sdk.LinkID
	gateway   sdk.LinkID
	config    *config
	host      sdk.Host
	now       func() time.Time
	names     handle.Map
	site      actor.Site
	keys      *keys.Ring
	store     *store.Store
	people    *actor.People
	transport Transport
	far       *far.Registry
	server    *actor.Server
	inbox     *inbox.Inbox
}

// Run implements sdk.Link. The work is done by the facets; Run tells the host that
// the link is up, and closes idle connections at the end.
func (l *link) Run(ctx context.Context) error {
	defer l.transport.Close()
	if _, err := l.publicKey(ctx, actor.InstanceName); err != nil && ctx.Err() == nil {
		return fmt.Errorf("prepare link %s: %w", l.id, err)
	}
	if err := l.host.Report(ctx, sdk.Report{State: sdk.StateUp}); err != nil && ctx.Err() == nil {
		return fmt.Errorf("report the state of link %s: %w", l.id, err)
	}
	<-ctx.Done()
	return nil
}

// Resolve implements sdk.Resolver: who has a handle. It answers for the fediverse
// only, not for our own actors.
func (l *link) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	op := "resolve a handle"
	_, host, err := handle.Split(address)
	if err != nil || host == l.config.Domain || l.config.refused(address) {
		return sdk.Resolved{}, sdk.Errorf(sdk.NotFound, op, "no far actor can have it")
	}
	p, err := l.far.ByHandle(ctx, address)
	switch {
	case err != nil:
		return sdk.Resolved{}, sdk.AsError(op, err)
	case l.config.refused(p.ID):
		return sdk.Resolved{}, sdk.Errorf(sdk.NotFound, op, "its server is blocked")
	case p.Actor.Consent == sdk.ConsentRefused:
		return sdk.Resolved{}, &sdk.Error{Op: op, Kind: sdk.NotFound, Public: "This person does not want to be bridged."}
	}
	return sdk.Resolved{Actor: &p.Actor}, nil
}

// Inform implements sdk.Informed: who asked to follow somebody and was not heard
// gets a refusal rather than silence.
func (l *link) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	var errs []error
	for _, o := range outcomes {
		if o.State == sdk.OutcomeDelivered || o.Dedup == "" || o.Place.IsZero() {
			continue
		}
		own, _, ok := sdk.SplitPeerPlace(o.Place.ID)
		if !ok || own == sdk.PeerAll {
			continue
		}
		name, err := l.names.Name(own) // at the other link, own is its own person
		if err != nil {
			continue
		}
		errs = append(errs, l.unheard(ctx, name, o.Dedup))
	}
	return errors.Join(errs...)
}

// unheard refuses a Follow whose event could not be delivered.
func (l *link) unheard(ctx context.Context, name, key string) error {
	var id string
	ok, err := l.store.Get(name, actor.KindAsk, key, &id)
	if err != nil || !ok {
		return err
	}
	var f actor.Follower
	if ok, err := l.store.Get(name, actor.KindFollower, id, &f); err != nil || !ok || f.Accepted {
		return err
	}
	if _, err := l.store.Delete(name, actor.KindFollower, id); err != nil {
		return fmt.Errorf("forget a follower: %w", err)
	}
	a := l.answer(name, f, false, "unheard-"+digest(key))
	return l.post(ctx, name, f.Inbox, a)
}

func (l *link) post(ctx context.Context, name, inbox string, a *object.Object) error {
	body, err := a.Document()
	if err != nil {
		return sdk.Errorf(sdk.Internal, "write "+a.ID(), "%w", err)
	}
	return l.transport.Post(ctx, name, inbox, body)
}

// answer makes the Accept or Reject of a Follow, which is embedded with its id:
// several servers look for nothing else.
func (l *link) answer(name string, f actor.Follower, accept bool, key string) *object.Object {
	asked := convert.Follow(f.Follow, f.ID, l.site.Actor(name))
	return convert.Answer(l.site.Named(name, actor.PartActivity, key), l.site.Actor(name), accept, asked)
}
