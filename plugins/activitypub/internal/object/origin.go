package object

import "slices"

// CheckActivity refuses an activity that cannot be its actor's by its own words (FEP-fe34; AP-05, AP-11): it must have a type, exactly
// one actor with an http or https id, and no id of another origin than the actor's. Who signed it is the caller's to check.
func (o *Object) CheckActivity() error {
	if o.Type() == "" {
		return &Error{Reason: NoType}
	}
	actors := o.Refs("actor")
	switch {
	case len(actors) == 0:
		return &Error{Reason: NoActor}
	case len(actors) > 1:
		return &Error{Reason: ManyActors, Where: "/actor"}
	case Origin(actors[0]) == "":
		return &Error{Reason: BadID, Where: "/actor"}
	}
	if id := o.ID(); id != "" && !SameOrigin(id, actors[0]) {
		if Origin(id) == "" {
			return &Error{Reason: BadID, Where: "/id"}
		}
		return &Error{Reason: ActorOrigin, Where: "/id"}
	}
	return nil
}

// CheckEmbedded reports whether the embedded object may be taken from an activity whose actor is known for sure: it is of the actor's
// origin, and the actor is among its authors, or is the object itself. Any other is to be read at its id.
func (o *Object) CheckEmbedded() error {
	actor := o.Actor()
	id, part := o.Target()
	switch {
	case part == nil:
		return nil
	case part.ID() == "":
		return &Error{Reason: NoID, Where: "/object"}
	case !SameOrigin(id, actor):
		return &Error{Reason: ObjectOwner, Where: "/object/id"}
	case part.Class() == ClassActor || part.Class() == ClassActivity && id != actor:
		if id == actor || part.Actor() == actor {
			return nil
		}
		return &Error{Reason: ObjectOwner, Where: "/object"}
	}
	owners := part.AttributedTo()
	if len(owners) == 0 {
		owners = part.Refs("actor")
	}
	if !slices.Contains(owners, actor) && (len(owners) > 0 || !part.Is("Tombstone")) {
		return &Error{Reason: ObjectOwner, Where: "/object/attributedTo"}
	}
	return nil
}

// CheckFetched refuses a document that was read from an address and is not what that address may say: it must have a type and be named
// by the address, or have an id of the same origin, which the caller reads once more (again is true).
func (o *Object) CheckFetched(address string) (again bool, err error) {
	id := o.ID()
	switch {
	case o.Type() == "":
		return false, &Error{Reason: NoType}
	case id == "":
		return false, &Error{Reason: NoID}
	case Origin(id) == "":
		return false, &Error{Reason: BadID, Where: "/id"}
	case !SameOrigin(id, address):
		return false, &Error{Reason: ActorOrigin, Where: "/id"}
	}
	if o.Class() == ClassActor {
		if err := o.CheckKeys(); err != nil {
			return false, err
		}
	}
	owners := append(o.AttributedTo(), o.Refs("actor")...)
	for _, owner := range owners {
		if o.Class() != ClassCollection && !SameOrigin(owner, id) {
			return false, &Error{Reason: ObjectOwner, Where: "/attributedTo"}
		}
	}
	return id != address, nil
}
