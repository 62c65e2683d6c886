// Package actor is the server side of a link's own actors: their ids, their
// documents and collections, WebFinger, host-meta, NodeInfo, and pages for
// people. It answers GET requests; what is posted belongs to package inbox.
package actor

import (
	"net/url"
	"strings"
)

// Part says what an id of ours names.
type Part string

// Parts of a site.
const (
	PartActor       Part = ""
	PartInbox       Part = "inbox"
	PartOutbox      Part = "outbox"
	PartFollowers   Part = "followers"
	PartFollowing   Part = "following"
	PartFeatured    Part = "featured"
	PartLiked       Part = "liked"
	PartIcon        Part = "icon"
	PartFeed        Part = "feed.atom"
	PartObject      Part = "o" // with an id
	PartReplies     Part = "r" // with the id of an object
	PartActivity    Part = "a" // with an id
	PartSharedInbox Part = "shared inbox"
)

// InstanceName is the user name of the instance actor, which signs what nobody in
// particular asks for. No address has it: it is no plain name.
const InstanceName = "bridge."

// Site gives ids their one spelling.
type Site struct {
	Base   string // such as https://bridge.example.org, without a slash at the end
	Path   string // such as /ap
	Domain string // of handles
}

// Ref is what an id of ours names.
type Ref struct {
	Name string // user name; InstanceName for the instance actor
	Part Part
	ID   string // of an object or activity
}

// Actor gives the id of an actor.
func (s Site) Actor(name string) string {
	if name == InstanceName {
		return s.Base + s.Path + "/instance"
	}
	return s.Base + s.Path + "/u/" + name
}

// Of gives the id of a part of an actor.
func (s Site) Of(name string, part Part) string { return s.Actor(name) + "/" + string(part) }

// Named gives the id of an object, of its replies, or of an activity.
func (s Site) Named(name string, part Part, id string) string {
	return s.Of(name, part) + "/" + url.PathEscape(id)
}

// SharedInbox gives the address of the shared inbox.
func (s Site) SharedInbox() string { return s.Base + s.Path + "/inbox" }

// Key gives the id of an actor's key for HTTP signatures. Several servers cut the
// fragment to find the actor.
func (s Site) Key(name string) string { return s.Actor(name) + "#main-key" }

// Handle gives user@host.
func (s Site) Handle(name string) string {
	if name == InstanceName {
		name, _, _ = strings.Cut(s.Domain, ":") // FEP-d556
	}
	return name + "@" + s.Domain
}

// Owns reports whether an id is one that only we can give.
func (s Site) Owns(id string) bool {
	return strings.HasPrefix(id, s.Base+"/") || id == s.Base
}

// Parse reads an id of ours.
func (s Site) Parse(id string) (Ref, bool) {
	id, _, _ = strings.Cut(id, "#")
	path, ok := strings.CutPrefix(id, s.Base+s.Path+"/")
	if !ok {
		return Ref{}, false
	}
	path, _, _ = strings.Cut(path, "?")
	return parsePath(path)
}

// parsePath reads what follows Site.Path and a slash.
func parsePath(path string) (Ref, bool) {
	f := strings.Split(path, "/")
	switch {
	case len(f) == 1 && f[0] == "inbox":
		return Ref{Part: PartSharedInbox}, true
	case f[0] == "instance":
		f[0] = InstanceName
	case f[0] == "u" && len(f) > 1 && f[1] != "":
		f = f[1:]
	default:
		return Ref{}, false
	}
	name, err := url.PathUnescape(f[0])
	if err != nil {
		return Ref{}, false
	}
	ref := Ref{Name: name}
	switch {
	case len(f) == 1:
		return ref, true
	case len(f) == 2:
		switch ref.Part = Part(f[1]); ref.Part {
		case PartInbox, PartOutbox, PartFollowers, PartFollowing, PartFeatured, PartLiked, PartIcon, PartFeed:
			return ref, true
		}
	case len(f) == 3 && f[2] != "":
		if ref.ID, err = url.PathUnescape(f[2]); err != nil {
			return Ref{}, false
		}
		switch ref.Part = Part(f[1]); ref.Part {
		case PartObject, PartReplies, PartActivity:
			return ref, true
		}
	}
	return Ref{}, false
}
