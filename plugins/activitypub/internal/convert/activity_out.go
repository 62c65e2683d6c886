package convert

import (
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// activity begins an activity of an actor on an object.
func activity(typ, id, actor string, on any) *object.Object {
	return object.New(typ).Set("id", id).Set("actor", actor).Set("object", on)
}

// addressed copies the addresses of an object to its activity.
func addressed(a, o *object.Object) *object.Object {
	a.Set("to", nonNil(o.To())).Set("cc", nonNil(o.Cc()))
	if aud := o.Audience(); len(aud) > 0 {
		a.Set("audience", aud[0])
	}
	return a
}

func nonNil(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// Create publishes an object that Write made; the activity has its author, addresses and time.
func Create(id string, o *object.Object) *object.Object {
	a := addressed(activity("Create", id, o.Ref("attributedTo"), o), o)
	if o.Has("published") {
		a.Set("published", o.Value("published"))
	}
	return a
}

// Update publishes a new state of an object, or of an actor to these addresses; at is when it changed, and is written on the object if
// that says none.
func Update(id string, o *object.Object, at time.Time, to ...string) *object.Object {
	actor := o.Ref("attributedTo")
	o = o.Clone()
	if !o.Has("updated") {
		o.SetTime("updated", at)
	}
	if o.Class() == object.ClassActor {
		actor = o.ID()
	}
	a := addressed(activity("Update", id, actor, o), o)
	if o.Class() == object.ClassActor {
		a.Set("to", nonNil(to)).Set("cc", []string{})
	}
	return a.SetTime("published", at)
}

// Delete takes back an object, leaving a Tombstone; of an actor (target = actor) the object is its id alone.
func Delete(id, actor, target, formerType string, at time.Time, to, cc []string) *object.Object {
	var on any = target
	if target != actor {
		t := Tombstone(target, formerType, at)
		on = t
	}
	return activity("Delete", id, actor, on).Set("to", nonNil(to)).Set("cc", nonNil(cc)).SetTime("published", at)
}

// Tombstone stands where an object was (ActivityPub §6.4).
func Tombstone(id, formerType string, at time.Time) *object.Object {
	t := object.New("Tombstone").Set("id", id)
	if formerType != "" {
		t.Set("formerType", formerType)
	}
	return t.SetTime("deleted", at)
}

// Announce shows an object of author to followers and, if public, to everybody.
func Announce(id, actor, target, author, followers string, public bool, at time.Time) *object.Object {
	vis := sdk.VisibilityFollowers
	if public {
		vis = sdk.VisibilityPublic
	}
	to, cc := Address(vis, followers, nil, []string{author})
	return activity("Announce", id, actor, target).Set("to", to).Set("cc", cc).SetTime("published", at)
}

// Wrap makes a group's Announce of a whole activity, unchanged (FEP-1b12).
func Wrap(id, group, followers string, act *object.Object) *object.Object {
	return activity("Announce", id, group, act).Set("to", []string{object.Public}).Set("cc", []string{followers}).Set("audience", group)
}

// React reacts to an object of author. A plain Like is a Like without content; any other one is a Like with content, which Misskey shows
// and Mastodon takes as a favourite, or with pleroma an EmojiReact. A custom emoji gets its one Emoji tag (FEP-c0e0).
func React(id, actor, target, author, reaction string, emoji *sdk.Emoji, pleroma bool) *object.Object {
	typ := "Like"
	if pleroma && reaction != Like {
		typ = "EmojiReact"
	}
	a := activity(typ, id, actor, target).Set("to", []string{author}).Set("cc", []string{})
	if reaction == Like || reaction == "" {
		return a
	}
	a.Set("content", reaction)
	if typ == "Like" {
		a.Set("_misskey_reaction", reaction)
	}
	if emoji != nil && emoji.Code == strings.Trim(reaction, ":") {
		if t := emojiTag(*emoji); t != nil {
			a.Set("tag", []*object.Object{t})
		}
	}
	return a
}

// Follow asks to follow an actor.
func Follow(id, actor, target string) *object.Object {
	return activity("Follow", id, actor, target).Set("to", []string{target})
}

// Answer accepts or rejects an activity, such as a Follow, that is embedded as it came without its context. to is who asked.
func Answer(id, actor string, accept bool, asked *object.Object) *object.Object {
	typ := "Reject"
	if accept {
		typ = "Accept"
	}
	to := asked.Actor()
	return activity(typ, id, actor, asked.Clone().Delete("@context")).Set("to", []string{to})
}

// AcceptQuote accepts a QuoteRequest with the id of the stamp that allows it (FEP-044f).
func AcceptQuote(id, actor, stamp string, asked *object.Object) *object.Object {
	return Answer(id, actor, true, asked).Set("result", stamp)
}

// QuoteStamp is the QuoteAuthorization at a stamp's id: actor lets post quote target (FEP-044f).
func QuoteStamp(id, actor, post, target string) *object.Object {
	return object.New("QuoteAuthorization").Set("id", id).Set("attributedTo", actor).Set("interactingObject", post).Set("interactionTarget", target)
}

// AskQuote asks the author of target whether post, which is given whole, may quote it (FEP-044f).
func AskQuote(id, actor, target, author string, post *object.Object) *object.Object {
	return activity("QuoteRequest", id, actor, target).Set("instrument", post).Set("to", []string{author})
}

// Undo takes back an activity of the same actor, which is embedded with its id and goes to whom that went.
func Undo(id string, act *object.Object) *object.Object {
	return addressed(activity("Undo", id, act.Actor(), act.Clone().Delete("@context")), act)
}

// Block blocks an actor; it is sent to that actor's server alone.
func Block(id, actor, target string) *object.Object {
	return activity("Block", id, actor, target).Set("to", []string{target})
}

// Flag reports an account and posts of it; by is the instance actor, so that nobody learns who reported.
func Flag(id, by, account string, posts []string, text string) *object.Object {
	return activity("Flag", id, by, append([]string{account}, posts...)).Set("content", short(text, maxAlt)).Set("to", []string{account})
}

// Move tells followers that an actor is now target.
func Move(id, actor, target, followers string) *object.Object {
	return activity("Move", id, actor, actor).Set("target", target).Set("to", []string{followers})
}

// Change adds an object to a collection of the actor, such as featured, or removes it.
func Change(id, actor string, add bool, on, collection string, to []string) *object.Object {
	typ := "Remove"
	if add {
		typ = "Add"
	}
	return activity(typ, id, actor, on).Set("target", collection).Set("to", nonNil(to))
}

// Ballots makes the objects of a vote: one Note without content for each option, to the author of the poll alone. ids has an id for each
// option, in order; choices out of range are left out.
func Ballots(actor, poll, author string, options, ids []string, choices []int, at time.Time) []*object.Object {
	var out []*object.Object
	for n, c := range slices.Compact(slices.Sorted(slices.Values(choices))) {
		if c < 0 || c >= len(options) || n >= len(ids) {
			continue
		}
		out = append(out, object.New("Note").Set("id", ids[n]).Set("attributedTo", actor).Set("name", options[c]).Set("inReplyTo", poll).
			Set("to", []string{author}).Set("cc", []string{}).SetTime("published", at))
	}
	return out
}

// RSVP answers an Event: yes is a Join, no a Leave; for anything else it is nil and a loss.
func RSVP(id, actor, event, organizer, answer string) (*object.Object, []sdk.Loss) {
	typ := map[string]string{"yes": "Join", "no": "Leave", "": "Leave"}[answer]
	if typ == "" {
		return nil, []sdk.Loss{{Kind: sdk.LossCalendar, Detail: "the answer " + short(answer, 64) + " cannot be said"}}
	}
	return activity(typ, id, actor, event).Set("to", []string{organizer}).Set("cc", []string{}), nil
}
