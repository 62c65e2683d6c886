package intake

import (
	"slices"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// Bounds of names and lists in an event.
const (
	maxRemote = 3072 // a JID may have 3,071 bytes (RFC 7622 §3.1)
	maxDedup  = 1024
	maxVia    = 16
	maxList   = 1024
	maxInline = 64 << 10 // sdk.Media.Data
)

// check says whether the link may publish the event at all, and stamps what
// belongs to it: the event, and its item it, which the caller puts back into the
// event. What is known only to the database comes in request.Decide.
func (in *Intake) check(link sdk.LinkID, ev *sdk.Event, it *sdk.Item) error {
	op := "publish " + ev.Kind().String()
	forbid := func(what string, ref sdk.Ref) error {
		return sdk.Errorf(sdk.Forbidden, op, "%s %q belongs to link %q, not to %q", what, ref.ID, ref.Link, link)
	}
	if ev.Kind() == sdk.KindNone {
		return sdk.Errorf(sdk.Invalid, op, "the event has no change")
	}
	if !stamp(link, &ev.Place) {
		return forbid("place", ev.Place)
	}
	if !stamp(link, &ev.Actor.Home) {
		return forbid("actor", ev.Actor.Home)
	}
	ev.ID, ev.Seq, ev.Actor.ID, ev.Actor.Puppet = "", 0, "", ""
	switch {
	case ev.Place.ID == "":
		return sdk.Errorf(sdk.Invalid, op, "the event has no place")
	case ev.Actor.Home.ID == "" && ev.Kind() != sdk.KindConversationUpdated:
		return sdk.Errorf(sdk.Invalid, op, "the event has no actor")
	case len(ev.Place.ID) > maxRemote || len(ev.Actor.Home.ID) > maxRemote || len(ev.Target().Remote) > maxRemote:
		return sdk.Errorf(sdk.TooLarge, op, "a name has more than %d bytes", maxRemote)
	case len(ev.Dedup) > maxDedup:
		return sdk.Errorf(sdk.TooLarge, op, "the key of deduplication has more than %d bytes", maxDedup)
	case len(ev.Via) > maxVia:
		return sdk.Errorf(sdk.Invalid, op, "the event passed %d links", len(ev.Via))
	}
	if err := in.checkTarget(op, ev); err != nil {
		return err
	}
	if it == nil {
		return nil
	}
	if !stamp(link, &it.Origin) {
		return forbid("item", it.Origin)
	}
	return in.checkItem(op, it)
}

// setItem and setTarget stay out of their callers: events are large, and what
// they put on the stack would make every goroutine that publishes grow its own.
//
//go:noinline
func setItem(ev *sdk.Event, it *sdk.Item) { *ev = ev.WithItem(*it) }

//go:noinline
func setTarget(ev *sdk.Event, t sdk.Target) { *ev = ev.WithTarget(t) }

// checkPeer makes sure that in a place of a gateway people speak at their own end
// only, and for themselves.
func checkPeer(ev *sdk.Event, ways []route.Way) error {
	if len(ways) == 0 || !ways[0].Gate {
		return nil
	}
	if own, _, _ := sdk.SplitPeerPlace(ev.Place.ID); own != string(ev.Actor.Home.ID) {
		return sdk.Errorf(sdk.Forbidden, "publish "+ev.Kind().String(), "actor %q speaks in the place of %q", ev.Actor.Home.ID, own)
	}
	return nil
}

// stamp gives a name without a link to the link, and reports whether it is its.
func stamp(link sdk.LinkID, ref *sdk.Ref) bool {
	if ref.Link == "" {
		ref.Link = link
	}
	return ref.Link == link
}

// checkTarget makes sure that changes about an item name it by the link's own
// id. The host's id is for deliveries; from a link it proves nothing.
func (in *Intake) checkTarget(op string, ev *sdk.Event) error {
	t := ev.Target()
	switch ev.Change.(type) {
	case sdk.ItemUpdated, sdk.ItemRetracted, sdk.ReactionsSet, sdk.Shared, sdk.Unshared, sdk.Voted, sdk.RSVPSet:
		if t.Remote == "" {
			return sdk.Errorf(sdk.Invalid, op, "the target has no remote id")
		}
	}
	if t.Item != "" {
		setTarget(ev, sdk.Target{Remote: t.Remote})
	}
	if r, ok := ev.Change.(sdk.ReactionsSet); ok && len(r.Reactions) > maxList {
		return sdk.Errorf(sdk.TooLarge, op, "%d reactions", len(r.Reactions))
	}
	return nil
}

func (in *Intake) checkItem(op string, it *sdk.Item) error {
	it.ID, it.Author, it.Conversation, it.Revision = "", "", "", 0
	it.ReplyTo.Item, it.Thread.Item, it.Quote.Item = "", "", ""
	switch {
	case len(it.Origin.ID) > maxRemote || len(it.ReplyTo.Remote) > maxRemote ||
		len(it.Thread.Remote) > maxRemote || len(it.Quote.Remote) > maxRemote:
		return sdk.Errorf(sdk.TooLarge, op, "a name has more than %d bytes", maxRemote)
	case len(it.Body()) > in.opts.MaxBody:
		return sdk.Errorf(sdk.TooLarge, op, "the text has %d bytes, at most %d are taken", len(it.Body()), in.opts.MaxBody)
	case len(it.Media) > maxList || len(it.Mentions) > maxList || len(it.Tags) > maxList || len(it.Emoji) > maxList:
		return sdk.Errorf(sdk.TooLarge, op, "a list has more than %d elements", maxList)
	case it.Visibility > sdk.VisibilityDirect:
		return sdk.Errorf(sdk.Invalid, op, "unknown visibility %d", it.Visibility)
	case slices.ContainsFunc(it.Media, func(m sdk.Media) bool { return len(m.Data) > maxInline }):
		return sdk.Errorf(sdk.TooLarge, op, "a file carried along has more than %d bytes", maxInline)
	}
	return nil
}
