// Package far knows the actors of other servers: it reads their documents, verifies
// their handles by WebFinger in both directions, and keeps what it read on disk.
package far

import (
	"context"
	"fmt"
	"time"

	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

const (
	kindActor  store.Kind = "actor"  // record by actor id; the owner is "far " and the origin
	kindHandle store.Kind = "handle" // actor id by handle
	keep                  = 24 * time.Hour
)

// Reader reads from other servers. Errors are *sdk.Error.
type Reader interface {
	// Document reads a document at its id; its origin has been checked (FEP-fe34).
	Document(ctx context.Context, id string) (*object.Object, error)
	// Refresh is Document without a cache.
	Refresh(ctx context.Context, id string) (*object.Object, error)
	// Finger asks the host of a handle for its actor (RFC 7033). subject is the
	// handle that the answer names, after at most one redirection to the
	// subject's own host.
	Finger(ctx context.Context, handle string) (id, subject string, err error)
	// HandleOf gives the handle of an actor, proved in both directions.
	HandleOf(ctx context.Context, o *object.Object) (string, error)
}

// Registry knows far actors. It is safe for concurrent use.
type Registry struct {
	reader Reader
	store  *store.Store
	now    func() time.Time
}

// New makes a registry; no I/O.
func New(reader Reader, s *store.Store, now func() time.Time) *Registry {
	return &Registry{reader: reader, store: s, now: now}
}

type record struct {
	Profile convert.Profile `json:"profile"`
	Read    time.Time       `json:"read"`
}

func owner(id string) string { return "far " + object.Origin(id) }

// Known gives what is kept of an actor, without asking anybody.
func (g *Registry) Known(id string) (convert.Profile, bool, error) {
	r, ok, err := g.known(id)
	return r.Profile, ok, err
}

func (g *Registry) known(id string) (record, bool, error) {
	if object.Origin(id) == "" {
		return record{}, false, nil
	}
	var r record
	ok, err := g.store.Get(owner(id), kindActor, id, &r)
	if err != nil {
		return record{}, false, sdk.Errorf(sdk.Transient, "look up "+id, "%w", err)
	}
	return r, ok, nil
}

// Handle gives the verified handle of an actor that is kept, else nothing.
func (g *Registry) Handle(id string) string {
	r, ok, err := g.known(id)
	if !ok || err != nil {
		return ""
	}
	return string(r.Profile.Actor.Home.ID)
}

// ByID gives an actor, read anew when what is kept is older than a day. What is
// kept is used while its server does not answer.
func (g *Registry) ByID(ctx context.Context, id string) (convert.Profile, error) {
	r, ok, err := g.known(id)
	if err != nil {
		return convert.Profile{}, err
	}
	if ok && g.now().Sub(r.Read) < keep {
		return r.Profile, nil
	}
	p, err := g.Read(ctx, id)
	if err != nil && ok && sdk.KindOf(err).Temporary() {
		return r.Profile, nil
	}
	return p, err
}

// Read reads an actor's document now, and verifies its handle: the host of the
// handle must name this very actor.
func (g *Registry) Read(ctx context.Context, id string) (convert.Profile, error) {
	op := "read actor " + id
	o, err := g.reader.Refresh(ctx, id)
	if err != nil {
		return convert.Profile{}, sdk.AsError(op, err)
	}
	p, err := convert.ReadActor(o)
	if err != nil {
		return convert.Profile{}, sdk.Errorf(sdk.Invalid, op, "%w", err)
	}
	if p.ID != id {
		return convert.Profile{}, sdk.Errorf(sdk.Invalid, op, "the document is that of %s", p.ID)
	}
	var kept record
	old, err := g.store.Get(owner(id), kindActor, id, &kept)
	if err != nil {
		return convert.Profile{}, sdk.AsError(op, err)
	}
	handle, err := g.reader.HandleOf(ctx, o)
	switch {
	case old && err != nil && sdk.KindOf(err).Temporary():
		handle = string(kept.Profile.Actor.Home.ID) // a handle never changes
	case err != nil:
		return convert.Profile{}, sdk.AsError(op, fmt.Errorf("verify its handle: %w", err))
	}
	p.Actor.Home.ID, p.Actor.Handle = sdk.RemoteID(handle), "@"+handle
	return p, g.keep(p)
}

func (g *Registry) keep(p convert.Profile) error {
	op := "keep actor " + p.ID
	if err := g.store.Cache(owner(p.ID), kindActor, p.ID, record{Profile: p, Read: g.now()}); err != nil {
		return sdk.Errorf(sdk.Transient, op, "%w", err)
	}
	handle := string(p.Actor.Home.ID)
	if err := g.store.Cache("handle "+handle, kindHandle, handle, p.ID); err != nil {
		return sdk.Errorf(sdk.Transient, op, "%w", err)
	}
	return nil
}

// ByHandle gives the actor with a handle.
func (g *Registry) ByHandle(ctx context.Context, handle string) (convert.Profile, error) {
	handle, ok := convert.NormalHandle(handle)
	if !ok {
		return convert.Profile{}, sdk.Errorf(sdk.NotFound, "look up "+handle, "it is no handle")
	}
	var id string
	known, err := g.store.Get("handle "+handle, kindHandle, handle, &id)
	if err != nil {
		return convert.Profile{}, sdk.AsError("look up "+handle, err)
	}
	if known {
		if p, err := g.ByID(ctx, id); err == nil || sdk.KindOf(err).Temporary() {
			return p, err
		}
	}
	id, _, err = g.reader.Finger(ctx, handle)
	if err != nil {
		return convert.Profile{}, sdk.AsError("look up "+handle, err)
	}
	p, err := g.ByID(ctx, id)
	if err == nil && string(p.Actor.Home.ID) != handle {
		// The handle is another name of the actor: remembered, and never used by us.
		if err := g.store.Cache("handle "+handle, kindHandle, handle, p.ID); err != nil {
			return convert.Profile{}, sdk.AsError("look up "+handle, err)
		}
	}
	return p, err
}

// Forget drops an actor that was deleted.
func (g *Registry) Forget(id string) error {
	if _, err := g.store.Delete(owner(id), kindActor, id); err != nil {
		return sdk.AsError("forget "+id, err)
	}
	return nil
}
