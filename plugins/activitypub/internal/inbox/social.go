package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// dedup gives the key of an event: a digest, since ids may be longer than the host takes.
func dedup(key string, place sdk.RemoteID) string {
	sum := sha256.Sum256([]byte(key + "\x00" + string(place)))
	return "ap:" + hex.EncodeToString(sum[:16])
}

// done is what a far actor did with an activity that can be undone by its id.
type done struct {
	Verb     string `json:"verb"`
	Object   string `json:"object"`
	Reaction string `json:"reaction,omitempty"`
}

func (t *turn) remember(d done) error {
	if err := t.in.o.Store.Put(OwnerOf(t.act.Actor), KindDone, t.a.ID(), d); err != nil {
		return sdk.AsError("keep an activity", err)
	}
	return nil
}

// undoByID undoes an activity of which only the id is told.
func (t *turn) undoByID(ctx context.Context) error {
	var d done
	ok, err := t.in.o.Store.Get(OwnerOf(t.act.Actor), KindDone, t.act.Undone, &d)
	if err != nil {
		return sdk.AsError("look up an activity", err)
	}
	if !ok {
		return ignored("undo_of_unknown")
	}
	t.act.Verb, t.act.Object, t.act.Reaction = d.Verb, d.Object, d.Reaction
	switch d.Verb {
	case "Announce":
		return t.share(ctx)
	case "Follow":
		return t.follow(ctx)
	case "Block":
		return t.block(ctx)
	}
	return t.react(ctx)
}

// place gives where something about one of our posts, or about a post that was
// published here before, belongs: the actor's feed, for direct messages the
// conversation. It is empty where it is nothing that anybody here knows.
func (t *turn) place(ctx context.Context, id string) (sdk.RemoteID, error) {
	who, post, err := t.post(ctx, id)
	switch {
	case err != nil:
		return "", err
	case post == nil:
		return "", nil
	case t.blocked(who.Name):
		return "", ignored("blocked_by_person")
	case post.Visibility == sdk.VisibilityDirect && slices.Contains(post.To, t.act.Actor):
		return sdk.PeerPlace(t.own(), who.Address), nil
	case post.Visibility == sdk.VisibilityDirect:
		return "", ignored("not_for_the_actor")
	}
	t.act.Object = post.ID // in its one spelling
	return t.feed(), nil
}

// react takes a reaction, or takes it back: the event holds the complete set.
func (t *turn) react(ctx context.Context) error {
	place, err := t.place(ctx, t.act.Object)
	if err != nil {
		return err
	}
	owner, key := OwnerOf(t.act.Actor), t.act.Object
	if place == "" {
		places, err := t.places(key) // a reaction to an own post
		if err != nil {
			return err
		}
		if len(places) != 1 {
			return ignored("reaction_to_unknown")
		}
		place = places[0]
	}
	var have []string
	if _, err := t.in.o.Store.Get(owner, actor.KindReaction, key, &have); err != nil {
		return sdk.AsError("look up reactions", err)
	}
	i := slices.Index(have, t.act.Reaction)
	switch {
	case t.act.Undo && i >= 0:
		have = slices.Delete(have, i, i+1)
	case !t.act.Undo && i < 0 && len(have) < 32:
		have = append(have, t.act.Reaction)
	}
	change := sdk.ReactionsSet{Target: sdk.Target{Remote: sdk.RemoteID(t.act.Object)}, Reactions: have}
	if err := t.in.o.Publish(ctx, t.event(place, "react "+t.a.ID(), change)); err != nil {
		return err
	}
	if err := t.in.o.Store.Put(owner, actor.KindReaction, key, have); err != nil {
		return sdk.AsError("keep reactions", err)
	}
	if t.act.Undo {
		return nil
	}
	return t.remember(done{Verb: t.act.Verb, Object: t.act.Object, Reaction: t.act.Reaction})
}

// share takes a boost. Only the id of what is shown counts (AP-14); what is not
// here is read where it lives, and must be public.
func (t *turn) share(ctx context.Context) error {
	if t.act.Wrapped != nil {
		return ignored("group_announce")
	}
	_, post, err := t.post(ctx, t.act.Object)
	if err != nil {
		return err
	}
	target := sdk.Target{Remote: sdk.RemoteID(t.act.Object)}
	if t.act.Undo {
		return t.in.o.Publish(ctx, t.event(t.feed(), "unshare "+t.act.Undone, sdk.Unshared{Target: target}))
	}
	followed, err := t.in.o.Store.Count(OwnerOf(t.act.Actor), KindFollowedBy)
	if err != nil {
		return sdk.AsError("look up followers", err)
	}
	switch {
	case post != nil && !post.Public():
		return ignored("announce_of_private")
	case post == nil && t.in.o.Site.Owns(t.act.Object):
		return ignored("announce_of_unknown")
	case post == nil && followed == 0:
		return ignored("for_nobody_here")
	case post == nil:
		if err := t.bring(ctx); err != nil {
			return err
		}
	}
	if err := t.in.o.Publish(ctx, t.event(t.feed(), "share "+t.a.ID(), sdk.Shared{Target: target})); err != nil {
		return err
	}
	return t.remember(done{Verb: "Announce", Object: t.act.Object})
}

// bring publishes a public post that somebody shows, in its author's feed.
func (t *turn) bring(ctx context.Context) error {
	o, err := t.in.o.Get(ctx, t.act.Object)
	if err != nil {
		return fmt.Errorf("read what is announced: %w", err)
	}
	p, err := convert.Read(o, convert.Reading{Handle: t.in.handle(ctx)})
	if err != nil {
		return err
	}
	if p.ID != t.act.Object || p.Item.Visibility > sdk.VisibilityUnlisted {
		return ignored("announce_of_private")
	}
	author, err := t.in.o.Far.ByID(ctx, p.Author)
	if err != nil {
		return fmt.Errorf("look up the author: %w", err)
	}
	if author.Actor.Consent == sdk.ConsentRefused || t.in.o.Refused(p.Author) { // AP-23
		return ignored("author_not_bridged")
	}
	by := &turn{in: t.in, a: t.a, act: convert.Action{Actor: p.Author, Post: &p}, from: author}
	if err := t.in.o.Store.Put(OwnerOf(p.Author), KindPlaces, p.ID, []sdk.RemoteID{by.feed()}); err != nil {
		return sdk.AsError("keep the places of a post", err)
	}
	if err := NoteAuthor(t.in.o.Store, p.ID, p.Author); err != nil {
		return err
	}
	return t.in.o.Publish(ctx, by.event(by.feed(), "create "+p.ID, sdk.ItemCreated{Item: p.Item}))
}

// follow takes a wish to follow one of ours, or its end.
func (t *turn) follow(ctx context.Context) error {
	who, ok, err := t.ours(ctx, t.act.Object)
	if err != nil {
		return err
	}
	if !ok {
		return ignored("follow_of_nobody")
	}
	place, object := sdk.PeerPlace(t.own(), who.Address), sdk.Ref{Link: t.in.o.Gateway, ID: sdk.RemoteID(who.Address)}
	var f actor.Follower
	have, err := t.in.o.Store.Get(who.Name, actor.KindFollower, t.act.Actor, &f)
	if err != nil {
		return sdk.AsError("look up a follower", err)
	}
	if t.act.Undo {
		if !have {
			return ignored("unfollow_of_none")
		}
		if err := t.in.o.Publish(ctx, t.event(place, "unfollow "+t.a.ID(), sdk.Unfollowed{Object: object})); err != nil {
			return err
		}
		if _, err := t.in.o.Store.Delete(who.Name, actor.KindFollower, t.act.Actor); err != nil {
			return sdk.AsError("forget a follower", err)
		}
		return nil
	}
	if t.blocked(who.Name) {
		return ignored("blocked_by_person")
	}
	f = actor.Follower{ID: t.act.Actor, Handle: t.own(), Inbox: t.from.Inbox, Follow: t.a.ID(), Accepted: f.Accepted, Since: t.in.o.Now()}
	if shared := t.from.Deliver(); shared != t.from.Inbox {
		f.Shared = shared
	}
	if err := t.in.o.Store.Put(who.Name, actor.KindFollower, t.act.Actor, f); err != nil {
		return sdk.AsError("keep a follower", err)
	}
	if err := t.remember(done{Verb: "Follow", Object: t.act.Object}); err != nil {
		return err
	}
	ev := t.event(place, "follow "+t.a.ID(), sdk.FollowAsked{Object: object})
	if err := t.in.o.Store.Put(who.Name, actor.KindAsk, ev.Dedup, t.act.Actor); err != nil {
		return sdk.AsError("keep a wish to follow", err)
	}
	return t.in.o.Publish(ctx, ev)
}

// answered takes the answer to a Follow of ours.
func (t *turn) answered(ctx context.Context) error {
	accepted := strings.HasSuffix(t.act.Verb, "Accept")
	name := ""
	if e := t.act.Embedded; e != nil && e.Is("Follow") {
		if ref, ok := t.in.o.Site.Parse(e.Actor()); ok && ref.Part == actor.PartActor {
			name = ref.Name
		}
	} else if ref, ok := t.in.o.Site.Parse(t.act.Undone); ok {
		name = ref.Name
	}
	if name == "" {
		return ignored("answer_to_nothing")
	}
	who, ok, err := t.ours(ctx, t.in.o.Site.Actor(name))
	if err != nil || !ok {
		return orIgnored(err, "answer_to_nobody")
	}
	var f actor.Following
	have, err := t.in.o.Store.Get(who.Name, actor.KindFollowing, t.act.Actor, &f)
	if err != nil || !have {
		return orIgnored(err, "answer_to_nothing")
	}
	change := sdk.FollowAnswered{Follower: sdk.Ref{Link: t.in.o.Gateway, ID: sdk.RemoteID(who.Address)}, Accepted: accepted}
	if accepted {
		f.Accepted = true
		err = t.in.o.Store.Put(who.Name, actor.KindFollowing, t.act.Actor, f)
		if err == nil {
			err = t.in.o.Store.Put(OwnerOf(t.act.Actor), KindFollowedBy, who.Name, true)
		}
	} else {
		err = Unfollow(t.in.o.Store, who.Name, t.act.Actor)
	}
	if err != nil {
		return sdk.AsError("keep the answer to a follow", err)
	}
	return t.in.o.Publish(ctx, t.event(sdk.PeerPlace(t.own(), who.Address), "answer "+t.a.ID(), change))
}

func orIgnored(err error, reason string) error {
	if err != nil {
		return sdk.AsError("look up a follow", err)
	}
	return ignored(reason)
}

// block takes a block of one of ours, which also ends follows both ways, or its end.
func (t *turn) block(ctx context.Context) error {
	who, ok, err := t.ours(ctx, t.act.Object)
	if err != nil || !ok {
		return orIgnored(err, "block_of_nobody")
	}
	place, object := sdk.PeerPlace(t.own(), who.Address), sdk.Ref{Link: t.in.o.Gateway, ID: sdk.RemoteID(who.Address)}
	if t.act.Undo {
		return t.in.o.Publish(ctx, t.event(place, "unblock "+t.a.ID(), sdk.Unblocked{Object: object}))
	}
	if err := t.in.o.Publish(ctx, t.event(place, "block "+t.a.ID(), sdk.Blocked{Object: object})); err != nil {
		return err
	}
	if _, err := t.in.o.Store.Delete(who.Name, actor.KindFollower, t.act.Actor); err != nil {
		return sdk.AsError("forget a follower", err)
	}
	if err := Unfollow(t.in.o.Store, who.Name, t.act.Actor); err != nil {
		return err
	}
	return t.remember(done{Verb: "Block", Object: t.act.Object})
}

// report takes a Flag against one of ours. It comes from a server's actor, whose
// handle stands for whoever reported.
func (t *turn) report(ctx context.Context) error {
	c, ok := t.act.Change.(sdk.Reported)
	if !ok {
		return ignored("report_of_nothing")
	}
	for _, id := range t.a.Refs("object") {
		who, ours, err := t.ours(ctx, id)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		c.Object = sdk.Ref{Link: t.in.o.Gateway, ID: sdk.RemoteID(who.Address)}
		c.Targets = slices.DeleteFunc(c.Targets, func(x sdk.Target) bool { return !t.in.o.Site.Owns(string(x.Remote)) })
		return t.in.o.Publish(ctx, t.event(sdk.PeerPlace(t.own(), who.Address), "flag "+t.a.ID(), c))
	}
	return ignored("report_of_nobody")
}

// move takes the word of an actor that it is another one now, which must say so too (FEP-7628).
func (t *turn) move(ctx context.Context) error {
	to, err := t.in.o.Far.Read(ctx, t.act.Target)
	if err != nil {
		return fmt.Errorf("read the target of a move: %w", err)
	}
	if !slices.Contains(to.AlsoKnownAs, t.act.Actor) {
		return ignored("move_not_confirmed")
	}
	return t.in.o.Publish(ctx, t.event(t.feed(), "move "+t.a.ID(), sdk.ActorMoved{To: to.Actor.Home}))
}

// vote takes a vote in one of our polls. A vote says one option; the event holds all of them.
func (t *turn) vote(ctx context.Context) error {
	id := string(t.act.Post.Item.ReplyTo.Remote)
	place, err := t.place(ctx, id)
	if err != nil {
		return err
	}
	_, post, err := t.post(ctx, id)
	if err != nil {
		return err
	}
	if place == "" || post == nil {
		return ignored("vote_in_unknown_poll")
	}
	o, err := object.Parse(post.Object)
	if err != nil {
		return sdk.Errorf(sdk.Internal, "read "+post.ID, "%w", err)
	}
	poll, _ := o.Poll(convert.MaxOptions)
	n := slices.IndexFunc(poll.Options, func(x object.Option) bool { return strings.TrimSpace(x.Name) == t.act.Post.Vote })
	if n < 0 {
		return ignored("vote_for_unknown_option")
	}
	var have []int
	if _, err := t.in.o.Store.Get(OwnerOf(t.act.Actor), "vote", id, &have); err != nil {
		return sdk.AsError("look up votes", err)
	}
	if slices.Contains(have, n) || len(have) > 0 && !poll.Multiple {
		return ignored("voted_already")
	}
	have = append(have, n)
	change := sdk.Voted{Target: sdk.Target{Remote: sdk.RemoteID(id)}, Options: have}
	if err := t.in.o.Publish(ctx, t.event(place, "vote "+t.act.Post.ID, change)); err != nil {
		return err
	}
	if err := t.in.o.Store.Put(OwnerOf(t.act.Actor), "vote", id, have); err != nil {
		return sdk.AsError("keep a vote", err)
	}
	return nil
}
