// Package attach reads and writes attachments of items (XEP-0470): what one
// actor noticed of an item, and its reactions. It is pure.
//
// An actor's attachments are one complete set, as sdk.ReactionsSet is one. The
// attachment <noticed/> is the reaction [Noticed] in it: other networks know it
// as a like, and it is told apart from every emoji that somebody chose.
package attach

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Noticed is the reaction that stands for <noticed/>: the star of a like without
// an emoji of its own. XEP-0470 §4.7.2 asks for a neutral sign and against a heart.
const Noticed = "⭐"

// Bounds of one set.
const (
	maxReactions = 32
	maxReaction  = 64 // bytes
	maxUnknown   = 32
	maxPayload   = 16 << 10 // bytes of all unknown attachments
)

// ErrNotAttachments is returned for a payload that is not <attachments/>.
var ErrNotAttachments = errors.New("not attachments")

// Set is the attachments of one actor to one item.
type Set struct {
	Noticed   bool
	Reactions []string         // without doubles
	Unknown   []xmltok.Element // attachments of other XEPs, which must be published again with each change
}

// Parse reads an item's payload. The error is ErrNotAttachments.
func Parse(e xmltok.Element) (Set, error) {
	if !e.Is(pubsub.NSAttachments, "attachments") {
		return Set{}, ErrNotAttachments
	}
	var s Set
	size := 0
	for c := range e.Children() {
		switch {
		case c.Is(pubsub.NSAttachments, "noticed"):
			s.Noticed = true
		case c.Is(pubsub.NSAttachments, "reactions"):
			for r := range c.Children() {
				if r.Is(pubsub.NSAttachments, "reaction") {
					s.add(strings.TrimSpace(r.Text()))
				}
			}
		default:
			if size += len(c.Raw()); size <= maxPayload && len(s.Unknown) < maxUnknown {
				s.Unknown = append(s.Unknown, c)
			}
		}
	}
	return s, nil
}

func (s *Set) add(reaction string) {
	if reaction != "" && len(reaction) <= maxReaction && len(s.Reactions) < maxReactions && !slices.Contains(s.Reactions, reaction) {
		s.Reactions = append(s.Reactions, reaction)
	}
}

// All gives the set as the reactions of an event, Noticed first.
func (s Set) All() []string {
	list := make([]string, 0, len(s.Reactions)+1)
	if s.Noticed {
		list = append(list, Noticed)
	}
	for _, r := range s.Reactions {
		if r != Noticed {
			list = append(list, r)
		}
	}
	return list
}

// With gives the set with the reactions of an event instead of its own; unknown
// attachments stay (XEP-0470 §4.1.1).
func (s Set) With(reactions []string) Set {
	out := Set{Unknown: s.Unknown}
	for _, r := range reactions {
		if r == Noticed {
			out.Noticed = true
			continue
		}
		out.add(r)
	}
	return out
}

// Empty reports whether there is nothing left to publish, so that the item can
// be retracted.
func (s Set) Empty() bool { return !s.Noticed && len(s.Reactions) == 0 && len(s.Unknown) == 0 }

// Element writes the set with the time of its last change.
func (s Set) Element(now time.Time) (xmltok.Element, error) {
	stamp := xmltok.A("timestamp", now.UTC().Format(time.RFC3339))
	var w xmltok.Writer
	w.Start(pubsub.NSAttachments, "attachments")
	if s.Noticed {
		w.Start(pubsub.NSAttachments, "noticed", stamp).End()
	}
	if len(s.Reactions) > 0 {
		w.Start(pubsub.NSAttachments, "reactions", stamp)
		for _, r := range s.Reactions {
			w.Start(pubsub.NSAttachments, "reaction").Text(r).End()
		}
		w.End()
	}
	for _, u := range s.Unknown {
		w.Child(u)
	}
	return w.Element()
}

// Node gives the name of the node with the attachments of an item (XEP-0470 §4.1.1).
func Node(target pubsub.Address) string { return pubsub.AttachPrefix + target.URI() }

// Target reads the item out of such a name.
func Target(node string) (pubsub.Address, bool) {
	uri, ok := strings.CutPrefix(node, pubsub.AttachPrefix)
	if !ok {
		return pubsub.Address{}, false
	}
	a, err := pubsub.ParseURI(uri)
	return a, err == nil && a.Item != ""
}

// Summary writes how often an item was noticed and how often each reaction was
// given (XEP-0470 §4.6 to §4.8).
func Summary(sets []Set) xmltok.Element {
	noticed := 0
	var order []string
	count := map[string]int{}
	for _, s := range sets {
		if s.Noticed {
			noticed++
		}
		for _, r := range s.Reactions {
			if count[r] == 0 {
				order = append(order, r)
			}
			count[r]++
		}
	}
	var w xmltok.Writer
	w.Start(pubsub.NSSummary, "summary")
	if noticed > 0 {
		w.Start(pubsub.NSSummary, "noticed", xmltok.A("count", strconv.Itoa(noticed))).End()
	}
	if len(order) > 0 {
		w.Start(pubsub.NSSummary, "reactions")
		for _, r := range order {
			if count[r] > 1 {
				w.Start(pubsub.NSSummary, "reaction", xmltok.A("count", strconv.Itoa(count[r])))
			} else {
				w.Start(pubsub.NSSummary, "reaction")
			}
			w.Text(r).End()
		}
		w.End()
	}
	e, err := w.Element()
	if err != nil {
		return xmltok.Element{} // constant names: cannot go wrong
	}
	return e
}
