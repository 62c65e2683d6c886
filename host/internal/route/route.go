// Package route decides where an event goes. It is pure: a Table is made from
// the operator's rules once, and Route is a function of the event, the table,
// and what is known of the places.
package route

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"bridgehost/sdk"
)

// FilterUse names a filter link in a rule.
type FilterUse struct {
	Link sdk.LinkID
	// FailOpen lets events pass when the filter fails on them. Without it they
	// are dropped, and refused while the filter is not there at all.
	FailOpen bool
}

// Rule is one [[route]] of the operator. With BothWays all places of the rule
// are kept in step: what happens in any of them goes to all others.
type Rule struct {
	ID       sdk.RouteID
	From     sdk.Ref
	To       []sdk.Ref
	BothWays bool
	Filters  []FilterUse
}

// Target is a place that an event goes to.
type Target struct {
	Place sdk.Ref
	Rule  sdk.RouteID
}

// Way is what one rule does with the events of one place.
type Way struct {
	Rule    sdk.RouteID
	Filters []FilterUse
	Chain   string // names the list of filters: ways with the same name have the same list
	To      []sdk.Ref
	Gate    bool // of a gateway: what concerns two actors crosses as well
}

// Places tells what is known of a place.
type Places interface {
	// Place reports false when nothing is known of it.
	Place(ref sdk.Ref) (sdk.Place, bool)
}

// Table is the rules in the form in which they are looked up. It does not
// change after NewTable.
type Table struct {
	ways          map[sdk.Ref][]Way
	conversations map[sdk.Ref]sdk.ConversationID
	targets       map[sdk.Ref]bool
	gates         map[sdk.LinkID]Gate // by either link
}

// NewTable makes a table. A place never is its own target, and a place that a
// rule names twice counts once. A link is part of one gateway at most.
func NewTable(rules []Rule, gates ...Gate) *Table {
	t := &Table{ways: map[sdk.Ref][]Way{}, conversations: map[sdk.Ref]sdk.ConversationID{}, targets: map[sdk.Ref]bool{}, gates: map[sdk.LinkID]Gate{}}
	for _, gate := range gates {
		t.gates[gate.Links[0]], t.gates[gate.Links[1]] = gate, gate
	}
	g := newGroups()
	for _, r := range rules {
		places := append([]sdk.Ref{r.From}, r.To...)
		g.join(places)
		t.add(r, r.From, r.To)
		if !r.BothWays {
			continue
		}
		done := map[sdk.Ref]bool{r.From: true}
		for _, from := range r.To {
			if !done[from] {
				done[from] = true
				t.add(r, from, places)
			}
		}
	}
	g.name(t.conversations)
	return t
}

func (t *Table) add(r Rule, from sdk.Ref, to []sdk.Ref) {
	w := Way{Rule: r.ID, Filters: r.Filters, Chain: chainName(r.Filters)}
	for _, place := range to {
		if place != from && !slices.Contains(w.To, place) {
			w.To = append(w.To, place)
			t.targets[place] = true
		}
	}
	if len(w.To) > 0 {
		t.ways[from] = append(t.ways[from], w)
	}
}

func chainName(uses []FilterUse) string {
	var b strings.Builder
	for _, u := range uses {
		b.WriteString(string(u.Link))
		if u.FailOpen {
			b.WriteByte('?')
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// Ways gives what the rules do with the events of a place, in the operator's
// order; a place of a gateway has the way to its other end. The result may not
// be changed.
func (t *Table) Ways(from sdk.Ref) []Way {
	if w, ok := t.gateWay(from); ok {
		return []Way{w}
	}
	return t.ways[from]
}

// Conversation names the conversation that a place belongs to: all places that
// rules connect form one. It is empty for a place that no rule names.
func (t *Table) Conversation(place sdk.Ref) sdk.ConversationID {
	if w, ok := t.gateWay(place); ok {
		return sdk.ConversationID(min(place.String(), w.To[0].String()))
	}
	return t.conversations[place]
}

// Places lists how the rules use the places of a link, sorted by id.
func (t *Table) Places(link sdk.LinkID) []sdk.PlaceUse {
	uses := map[sdk.RemoteID]sdk.PlaceUse{}
	for ref := range t.conversations {
		if ref.Link == link {
			uses[ref.ID] = sdk.PlaceUse{ID: ref.ID, Source: len(t.ways[ref]) > 0, Target: t.targets[ref]}
		}
	}
	list := make([]sdk.PlaceUse, 0, len(uses))
	for _, u := range uses {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b sdk.PlaceUse) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Route gives the places that the event goes to: those of all ways, each once,
// for the first rule that leads there, less those that may not see it.
func Route(ev *sdk.Event, ways []Way, places Places) []Target {
	var out []Target
	for _, w := range ways {
		out = Extend(out, ev, w, places)
	}
	return out
}

// Extend adds the targets of one way to out.
func Extend(out []Target, ev *sdk.Event, w Way, places Places) []Target {
	if ev.Notice || !w.Takes(ev.Kind()) {
		return out
	}
	from := kindOf(places, ev.Place)
	vis := VisibilityOf(ev)
next:
	for _, to := range w.To {
		if to == ev.Place || !w.allowed(vis, from, kindOf(places, to)) || slices.Contains(ev.Via, to.Link) && !direct(ev, to) {
			continue
		}
		for _, have := range out {
			if have.Place == to {
				continue next
			}
		}
		out = append(out, Target{Place: to, Rule: w.Rule})
	}
	return out
}

// direct reports whether the only trail of to's link in Via is the event's own
// origin, so that two rooms of one link can be kept in step.
func direct(ev *sdk.Event, to sdk.Ref) bool {
	return len(ev.Via) == 1 && ev.Via[0] == ev.Place.Link && to.Link == ev.Place.Link
}

func kindOf(places Places, ref sdk.Ref) sdk.ConversationKind {
	if own, foreign, ok := sdk.SplitPeerPlace(ref.ID); ok {
		if own == sdk.PeerAll || foreign == sdk.PeerAll {
			return sdk.ConversationFeed
		}
		return sdk.ConversationDirect
	}
	if places == nil {
		return sdk.ConversationRoom
	}
	p, ok := places.Place(ref)
	if !ok {
		return sdk.ConversationRoom
	}
	return p.Kind
}

// Takes reports whether events of the kind go this way.
func (w *Way) Takes(kind sdk.ChangeKind) bool {
	return kind != sdk.KindNone && (w.Gate || Relayed(kind))
}

// Relayed reports whether events of the kind cross by rules. What concerns two
// actors and no place (follows, blocks, reports) never does: it crosses by a
// gateway only.
func Relayed(kind sdk.ChangeKind) bool {
	switch kind {
	case sdk.KindNone, sdk.KindFollowAsked, sdk.KindFollowAnswered, sdk.KindUnfollowed,
		sdk.KindBlocked, sdk.KindUnblocked, sdk.KindReported:
		return false
	default:
		return true
	}
}

// VisibilityOf gives the visibility of the item that the event carries.
func VisibilityOf(ev *sdk.Event) sdk.Visibility {
	switch c := ev.Change.(type) {
	case sdk.ItemCreated:
		return c.Item.Visibility
	case sdk.ItemUpdated:
		return c.Item.Visibility
	default:
		return sdk.VisibilityPlace
	}
}

// Allowed says whether a relay may show an item of a place of kind from in a
// place of kind to. Visibility only narrows:
//   - what is for followers never leaves by a relay, since no other place has
//     the same followers;
//   - what is for named people, or was said in a direct conversation, goes only
//     to another direct conversation, which the operator's rule declares to be
//     the same conversation;
//   - everything else goes where the operator's rule says.
func Allowed(vis sdk.Visibility, from, to sdk.ConversationKind) bool {
	switch {
	case vis == sdk.VisibilityFollowers || vis > sdk.VisibilityDirect:
		return false
	case vis == sdk.VisibilityDirect:
		return from == sdk.ConversationDirect && to == sdk.ConversationDirect
	case vis == sdk.VisibilityPlace && from == sdk.ConversationDirect:
		return to == sdk.ConversationDirect
	default:
		return true
	}
}

// groups joins places into conversations.
type groups struct{ up map[sdk.Ref]sdk.Ref }

func newGroups() *groups { return &groups{up: map[sdk.Ref]sdk.Ref{}} }

func (g *groups) root(r sdk.Ref) sdk.Ref {
	for {
		up, ok := g.up[r]
		if !ok {
			g.up[r] = r
			return r
		}
		if up == r {
			return r
		}
		r = up
	}
}

func (g *groups) join(places []sdk.Ref) {
	first := g.root(places[0])
	for _, p := range places[1:] {
		if r := g.root(p); r != first {
			g.up[r] = first
		}
	}
}

// name gives every conversation the name of its first place by spelling.
func (g *groups) name(into map[sdk.Ref]sdk.ConversationID) {
	members := map[sdk.Ref][]string{}
	for p := range g.up {
		r := g.root(p)
		members[r] = append(members[r], p.String())
	}
	for p := range g.up {
		m := members[g.root(p)]
		sort.Strings(m)
		into[p] = sdk.ConversationID(m[0])
	}
}
