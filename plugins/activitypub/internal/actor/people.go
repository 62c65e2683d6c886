package actor

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"bridgehost/plugins/activitypub/internal/handle"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// How long answers of the other link hold, and how many are kept in memory.
const (
	keepProfile = 5 * time.Minute
	keepMissing = time.Minute
	maxProfiles = 10_000
)

// Person is somebody of the other network with an actor here.
type Person struct {
	Name    string // user name of the actor, in its one spelling
	Address string // at the other network
	Actor   sdk.Actor
}

// People knows who of the other network has an actor here. It is safe for concurrent use.
type People struct {
	o PeopleOptions

	mu    sync.Mutex
	known map[string]answer // by user name
}

// PeopleOptions say whom People asks. All are needed.
type PeopleOptions struct {
	Names handle.Map
	// Resolve asks the other link of the gateway (sdk.Host.Resolve).
	Resolve func(ctx context.Context, address string) (sdk.Resolved, error)
	// Allow is the operator's rule of consent. A refusal of the person itself is
	// obeyed before it is asked.
	Allow func(address string, a sdk.Actor) bool
	Store *store.Store
	Now   func() time.Time
}

type answer struct {
	person Person
	err    error
	until  time.Time
}

// NewPeople makes People; no I/O.
func NewPeople(o PeopleOptions) *People { return &People{o: o, known: map[string]answer{}} }

// ByAddress gives the person with an address of the other network.
func (p *People) ByAddress(ctx context.Context, address string) (Person, error) {
	name, err := p.o.Names.Name(address)
	if err != nil {
		return Person{}, sdk.Errorf(sdk.NotFound, "look up a person", "%w", err)
	}
	return p.ByName(ctx, name)
}

// ByName gives the person with a user name, in any spelling that means it; the
// name of the answer is the one spelling. The error is of kind NotFound for
// nobody and for whom is not to be bridged, Gone for who was deleted, and
// temporary while the other network cannot be asked.
func (p *People) ByName(ctx context.Context, name string) (Person, error) {
	address, canonical, err := p.o.Names.Address(name)
	if err != nil {
		return Person{}, sdk.Errorf(sdk.NotFound, "look up a person", "%w", err)
	}
	now := p.o.Now()
	p.mu.Lock()
	known, ok := p.known[canonical]
	p.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.person, known.err
	}
	a := answer{person: Person{Name: canonical, Address: address}, until: now.Add(keepProfile)}
	a.person.Actor, a.err = p.ask(ctx, canonical, address)
	if a.err != nil {
		a.person = Person{}
		if sdk.KindOf(a.err).Temporary() {
			return Person{}, a.err
		}
		a.until = now.Add(keepMissing)
	}
	p.remember(canonical, a)
	return a.person, a.err
}

func (p *People) remember(name string, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxProfiles {
		for k := range p.known { // any eighth: what is needed comes back
			if delete(p.known, k); len(p.known) < maxProfiles-maxProfiles/8 {
				break
			}
		}
	}
	p.known[name] = a
}

// ask asks the other link, and falls back on what is on disk while it is not there.
func (p *People) ask(ctx context.Context, name, address string) (sdk.Actor, error) {
	var kept Profile
	have, err := p.o.Store.Get(name, KindProfile, "self", &kept)
	if err != nil {
		return sdk.Actor{}, sdk.AsError("look up "+name, err)
	}
	if have && kept.Gone {
		return sdk.Actor{}, sdk.Errorf(sdk.Gone, "look up "+name, "the actor was deleted")
	}
	r, err := p.o.Resolve(ctx, address)
	switch kind := sdk.KindOf(err); {
	case err != nil && kind.Temporary() && have:
		return kept.Actor, nil
	case err != nil && kind.Temporary():
		return sdk.Actor{}, err
	case err != nil || r.Actor == nil || !strings.EqualFold(cmp.Or(string(r.Actor.Home.ID), address), address):
		return sdk.Actor{}, sdk.Errorf(sdk.NotFound, "look up "+name, "nobody has this address")
	case r.Actor.Consent == sdk.ConsentRefused || !p.o.Allow(address, *r.Actor):
		return sdk.Actor{}, sdk.Errorf(sdk.NotFound, "look up "+name, "the person does not use the bridge")
	}
	return *r.Actor, p.keep(name, *r.Actor)
}

// keep writes a profile down when it differs from what is there.
func (p *People) keep(name string, a sdk.Actor) error {
	if err := p.o.Store.Put(name, KindProfile, "self", Profile{Actor: a}); err != nil {
		return sdk.AsError("keep the profile of "+name, err)
	}
	return nil
}

// Update takes a new profile that the other link announced.
func (p *People) Update(person Person) error {
	p.remember(person.Name, answer{person: person, until: p.o.Now().Add(keepProfile)})
	return p.keep(person.Name, person.Actor)
}

// Remove forgets a person for ever: the actor answers 410 from now on.
func (p *People) Remove(name string) error {
	if err := p.o.Store.Put(name, KindProfile, "self", Profile{Gone: true}); err != nil {
		return sdk.AsError("remove "+name, err)
	}
	p.remember(name, answer{err: sdk.Errorf(sdk.Gone, "look up "+name, "the actor was deleted"), until: p.o.Now().Add(keepProfile)})
	return nil
}
