package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// Kinds of records of a far actor; the owner is OwnerOf its id.
const (
	// KindPlaces holds the places ([]sdk.RemoteID) to which an object was
	// published, by its id. Only what is here can be changed by its author.
	KindPlaces store.Kind = "places"
	// KindFollowedBy holds the user names of our actors that follow, by name.
	KindFollowedBy store.Kind = "followed by"
	// KindDone holds what an activity of the actor was, by its id: a Like or
	// Announce that may be undone by its id alone.
	KindDone store.Kind = "done"
)

// OwnerOf gives the owner of the records about a far actor.
func OwnerOf(id string) string { return "about " + id }

// turn is one activity on its way to events.
type turn struct {
	in   *Inbox
	a    *object.Object
	act  convert.Action
	from convert.Profile // who acts, handle verified
}

func (t *turn) own() string { return string(t.from.Actor.Home.ID) }

// take does what a rightly signed activity asks for.
func (in *Inbox) take(ctx context.Context, a *object.Object) error {
	from, err := in.o.Far.ByID(ctx, a.Actor())
	if err != nil {
		return fmt.Errorf("look up the actor: %w", err)
	}
	if from.Actor.Consent == sdk.ConsentRefused && !a.Is("Delete", "Update", "Undo") {
		return ignored("opted_out")
	}
	act, err := convert.ReadActivity(a, convert.Reading{Followers: from.Followers, Handle: in.handle(ctx), Strip: in.o.Site.Owns})
	if err != nil {
		return err
	}
	t := &turn{in: in, a: a, act: act, from: from}
	switch act.Verb {
	case "Create", "Update":
		return t.publish(ctx)
	case "Delete":
		return t.remove(ctx)
	case "Like", "EmojiReact", "Dislike":
		return t.react(ctx)
	case "Announce":
		return t.share(ctx)
	case "Follow":
		return t.follow(ctx)
	case "Accept", "Reject", "TentativeAccept", "TentativeReject":
		return t.answered(ctx)
	case "Block":
		return t.block(ctx)
	case "Flag":
		return t.report(ctx)
	case "Move":
		return t.move(ctx)
	case "": // Undo of an id alone
		return t.undoByID(ctx)
	}
	return ignored("not_supported_" + strings.ToLower(act.Verb))
}

// handle gives the address of an actor as events name it: the foreign address of
// one of ours, else the verified handle.
func (in *Inbox) handle(ctx context.Context) func(id string) string {
	return func(id string) string {
		if ref, ok := in.o.Site.Parse(id); ok && ref.Part == actor.PartActor {
			if p, err := in.o.People.ByName(ctx, ref.Name); err == nil {
				return p.Address
			}
			return ""
		}
		return in.o.Far.Handle(id)
	}
}

// ours gives the person behind an id of one of our actors.
func (t *turn) ours(ctx context.Context, id string) (actor.Person, bool, error) {
	ref, ok := t.in.o.Site.Parse(id)
	if !ok || ref.Part != actor.PartActor || ref.Name == actor.InstanceName {
		return actor.Person{}, false, nil
	}
	p, err := t.in.o.People.ByName(ctx, ref.Name)
	switch kind := sdk.KindOf(err); {
	case err == nil:
		return p, true, nil
	case kind == sdk.NotFound, kind == sdk.Gone:
		return actor.Person{}, false, nil
	}
	return actor.Person{}, false, err
}

// post gives one of our posts by its id, and whose it is.
func (t *turn) post(ctx context.Context, id string) (actor.Person, *actor.Post, error) {
	ref, ok := t.in.o.Site.Parse(id)
	if !ok || ref.Part != actor.PartObject {
		return actor.Person{}, nil, nil
	}
	p, known, err := t.ours(ctx, t.in.o.Site.Actor(ref.Name))
	if err != nil || !known {
		return actor.Person{}, nil, err
	}
	var post actor.Post
	found, err := t.in.o.Store.Get(p.Name, actor.KindPost, ref.ID, &post)
	if err != nil || !found {
		return actor.Person{}, nil, err
	}
	return p, &post, nil
}

// event makes an event of the actor in a place.
func (t *turn) event(place sdk.RemoteID, key string, change sdk.Change) sdk.Event {
	return sdk.Event{Time: t.in.o.Now(), Place: sdk.Ref{ID: place}, Actor: t.from.Actor, Dedup: dedup(key, place), Change: change}
}

// feed is the place of what the actor says to everybody or its followers.
func (t *turn) feed() sdk.RemoteID { return sdk.PeerPlace(t.own(), sdk.PeerAll) }

// publish takes a new or changed post or profile.
func (t *turn) publish(ctx context.Context) error {
	if t.act.Verb == "Update" && t.act.Object == t.act.Actor {
		return t.renewed(ctx)
	}
	if !object.SameOrigin(t.act.Object, t.act.Actor) {
		return ignored("foreign_object") // AP-05: no honest document there can be the actor's
	}
	if err := t.a.CheckEmbedded(); err != nil || t.act.Fetch != "" {
		if err := t.reread(ctx); err != nil { // AP-05: what is not surely the actor's is read where it lives
			return err
		}
	}
	p := t.act.Post
	if p == nil {
		return ignored("no_post")
	}
	if p.Author != t.act.Actor {
		return ignored("not_the_author")
	}
	if p.Vote != "" {
		return t.vote(ctx)
	}
	if t.act.Verb == "Update" {
		return t.update(ctx)
	}
	places, err := t.audience(ctx)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return ignored("for_nobody_here")
	}
	if err := t.in.o.Store.Put(OwnerOf(t.act.Actor), KindPlaces, p.ID, places); err != nil {
		return sdk.AsError("keep the places of a post", err)
	}
	if err := NoteAuthor(t.in.o.Store, p.ID, p.Author); err != nil {
		return err
	}
	var events []sdk.Event
	for _, place := range places {
		it := p.Item
		if _, foreign, _ := sdk.SplitPeerPlace(place); foreign != sdk.PeerAll {
			it.Visibility = sdk.VisibilityDirect
		}
		events = append(events, t.event(place, "create "+p.ID, sdk.ItemCreated{Item: it}))
	}
	if err := t.in.o.Publish(ctx, events...); err != nil {
		return err
	}
	return t.noteReply(ctx)
}

// reread reads the object at its own address, by its own word.
func (t *turn) reread(ctx context.Context) error {
	o, err := t.in.o.Get(ctx, t.act.Object)
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	p, err := convert.Read(o, convert.Reading{Followers: t.from.Followers, Handle: t.in.handle(ctx), Strip: t.in.o.Site.Owns, Activity: t.a})
	if err != nil {
		return err
	}
	if p.ID != t.act.Object {
		return ignored("other_id")
	}
	t.act.Post = &p
	return nil
}

// audience gives the places to which a post belongs: the feed, when one of ours
// follows the author, is named by it, or is answered; else the conversation with
// each of ours to whom it is addressed.
func (t *turn) audience(ctx context.Context) ([]sdk.RemoteID, error) {
	p := t.act.Post
	var named []actor.Person
	for _, id := range slices.Compact(slices.Sorted(slices.Values(p.To))) {
		who, ok, err := t.ours(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok && !t.blocked(who.Name) {
			named = append(named, who)
		}
	}
	followed, err := t.in.o.Store.Count(OwnerOf(t.act.Actor), KindFollowedBy)
	if err != nil {
		return nil, sdk.AsError("look up followers", err)
	}
	_, answered, err := t.post(ctx, string(p.Item.ReplyTo.Remote))
	if err != nil {
		return nil, err
	}
	public := p.Item.Visibility == sdk.VisibilityPublic || p.Item.Visibility == sdk.VisibilityUnlisted
	if public && (followed > 0 || len(named) > 0 || answered != nil && answered.Public()) || p.Item.Visibility == sdk.VisibilityFollowers && followed > 0 {
		return []sdk.RemoteID{t.feed()}, nil
	}
	var places []sdk.RemoteID
	for _, who := range named {
		places = append(places, sdk.PeerPlace(t.own(), who.Address))
	}
	return places, nil
}

// blocked reports whether one of ours blocks the actor.
func (t *turn) blocked(name string) bool {
	var b bool
	ok, err := t.in.o.Store.Get(name, KindBlocks, t.act.Actor, &b)
	return err == nil && ok
}

// KindBlocks holds whom a local actor blocks, by actor id.
const KindBlocks store.Kind = "blocks"

// noteReply remembers a public answer to one of our posts, for its collection of answers.
func (t *turn) noteReply(ctx context.Context) error {
	p := t.act.Post
	who, post, err := t.post(ctx, string(p.Item.ReplyTo.Remote))
	if err != nil || post == nil || p.Item.Visibility > sdk.VisibilityUnlisted {
		return err
	}
	ref, _ := t.in.o.Site.Parse(post.ID)
	if err := t.in.o.Store.Put(who.Name, actor.KindReply, ref.ID+" "+p.ID, p.ID); err != nil {
		return sdk.AsError("keep an answer", err)
	}
	return nil
}

// places gives where an object of the actor was published.
func (t *turn) places(id string) ([]sdk.RemoteID, error) {
	var places []sdk.RemoteID
	_, err := t.in.o.Store.Get(OwnerOf(t.act.Actor), KindPlaces, id, &places)
	if err != nil {
		return nil, sdk.AsError("look up the places of a post", err)
	}
	return places, nil
}

// update takes a new state of a post that was published here (AP-13: by this very
// author); it reaches nobody new (AP-15).
func (t *turn) update(ctx context.Context) error {
	p := t.act.Post
	places, err := t.places(p.ID)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return ignored("update_of_unknown")
	}
	key := "update " + p.ID + " " + p.Item.Edited.UTC().String()
	if p.Item.Edited.IsZero() {
		key = "update " + t.a.ID()
	}
	var events []sdk.Event
	for _, place := range places {
		it := p.Item
		if _, foreign, _ := sdk.SplitPeerPlace(place); foreign != sdk.PeerAll {
			it.Visibility = sdk.VisibilityDirect
		} else if it.Visibility == sdk.VisibilityDirect {
			continue // it was narrowed to named people; the feed keeps the old state
		}
		events = append(events, t.event(place, key, sdk.ItemUpdated{Target: sdk.Target{Remote: sdk.RemoteID(p.ID)}, Item: it}))
	}
	return t.in.o.Publish(ctx, events...)
}

// renewed reads a changed profile where it lives, and tells the feed.
func (t *turn) renewed(ctx context.Context) error {
	p, err := t.in.o.Far.Read(ctx, t.act.Actor)
	if err != nil {
		return fmt.Errorf("read the changed actor: %w", err)
	}
	t.from = p
	if p.Actor.Consent == sdk.ConsentRefused {
		return t.gone(ctx)
	}
	return t.in.o.Publish(ctx, t.event(t.feed(), "profile "+t.a.ID(), sdk.ActorUpdated{}))
}

// remove takes back a post or the actor itself.
func (t *turn) remove(ctx context.Context) error {
	if t.act.Object == t.act.Actor {
		return t.gone(ctx)
	}
	places, err := t.places(t.act.Object)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return ignored("delete_of_unknown_object")
	}
	var events []sdk.Event
	for _, place := range places {
		events = append(events, t.event(place, "delete "+t.act.Object, sdk.ItemRetracted{Target: sdk.Target{Remote: sdk.RemoteID(t.act.Object)}}))
	}
	if err := t.in.o.Publish(ctx, events...); err != nil {
		return err
	}
	if _, err := t.in.o.Store.Delete(OwnerOf(t.act.Actor), KindPlaces, t.act.Object); err != nil {
		return sdk.AsError("forget a post", err)
	}
	return nil
}

// gone tells the feed that the actor is no more, and ends all follows.
func (t *turn) gone(ctx context.Context) error {
	if err := t.in.o.Publish(ctx, t.event(t.feed(), "gone "+t.act.Actor, sdk.ActorGone{})); err != nil {
		return err
	}
	by, err := t.in.o.Store.List(OwnerOf(t.act.Actor), KindFollowedBy)
	if err != nil {
		return sdk.AsError("look up followers", err)
	}
	for _, r := range by {
		if err := Unfollow(t.in.o.Store, r.Key, t.act.Actor); err != nil {
			return err
		}
	}
	return t.in.o.Far.Forget(t.act.Actor)
}

// Unfollow forgets that a local actor follows a far one.
func Unfollow(s *store.Store, name, id string) error {
	_, err := s.Delete(name, actor.KindFollowing, id)
	_, err2 := s.Delete(OwnerOf(id), KindFollowedBy, name)
	if err := errors.Join(err, err2); err != nil {
		return sdk.AsError("end a follow", err)
	}
	return nil
}
