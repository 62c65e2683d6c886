package activitypub

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/inbox"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// activities turns the event into activities, in the order in which they are sent.
func (j *job) activities(ctx context.Context) ([]*object.Object, error) {
	ev := &j.d.Event
	key := j.activity(string(ev.ID))
	switch c := ev.Change.(type) {
	case sdk.ItemCreated:
		o, err := j.write(ctx, c.Item, j.object(c.Item.ID))
		return one(convert.Create(key, o), err)
	case sdk.ItemUpdated:
		return j.update(ctx, key, c)
	case sdk.ItemRetracted:
		return j.retract(key, c)
	case sdk.ReactionsSet:
		return j.react(ctx, c)
	case sdk.Shared, sdk.Unshared:
		return j.share(ctx, key, ev.Target(), ev.Kind() == sdk.KindUnshared)
	case sdk.Voted:
		return j.vote(ctx, c)
	case sdk.ActorUpdated:
		return j.profile(ctx, key)
	case sdk.Signal:
		return nil, nil // there are none in the fediverse, and nobody misses them
	}
	if j.to == nil {
		j.lose(sdk.LossKindless, "the fediverse has no such thing")
		return nil, nil
	}
	return j.between(key)
}

// one gives a single activity, unless it could not be made.
func one(a *object.Object, err error) ([]*object.Object, error) {
	if err != nil || a == nil {
		return nil, err
	}
	return []*object.Object{a}, nil
}

// object gives the id of the object that stands for an item.
func (j *job) object(item sdk.ItemID) string {
	return j.l.site.Named(j.name, actor.PartObject, string(item))
}

// copyOf gives the id of our copy of an item: as the host knows it, else where it would stand.
func (j *job) copyOf(t sdk.Target) string {
	if ref, ok := j.l.site.Parse(string(t.Remote)); ok && ref.Part == actor.PartObject && ref.Name == j.name {
		return string(t.Remote)
	}
	return j.object(t.Item)
}

// write makes the object of an item, keeps it to be read, and notes the copy.
func (j *job) write(ctx context.Context, it sdk.Item, id string) (*object.Object, error) {
	ref, ok := j.l.site.Parse(id)
	if !ok || ref.ID == "" {
		return nil, sdk.Errorf(sdk.Invalid, "write an item", "it has no id")
	}
	n := convert.Names{ID: id, Actor: j.self(), Followers: j.l.site.Of(j.name, actor.PartFollowers), URL: id, Place: sdk.VisibilityFollowers,
		Replies: j.l.site.Named(j.name, actor.PartReplies, ref.ID), Person: j.mentioned(ctx), Quotable: true}
	if j.to != nil {
		it.Visibility, n.Replies = sdk.VisibilityDirect, ""
		n.Recipients = []convert.Person{person(*j.to)}
	} else if it.Visibility == sdk.VisibilityDirect {
		return nil, &sdk.Error{Op: "write an item", Kind: sdk.Forbidden, Public: "A direct message cannot be shown to followers."}
	}
	if p, err := j.author(ctx, string(it.ReplyTo.Remote)); err == nil && p != nil {
		n.ReplyAuthor = person(*p)
	} else if err != nil && sdk.KindOf(err).Temporary() && j.d.Attempt < 3 {
		return nil, err
	}
	o, loss := convert.Write(it, n)
	for _, x := range loss {
		j.lose(x.Kind, x.Detail)
	}
	body, err := o.Document()
	if err != nil {
		return nil, sdk.Errorf(sdk.Internal, "write "+id, "%w", err)
	}
	post := actor.Post{ID: id, Item: it.ID, Object: body, Visibility: visibilityOf(o, n.Followers), To: o.Recipients(), Created: it.Created, Updated: it.Edited}
	if post.Created.IsZero() {
		post.Created = j.d.Event.Time
	}
	if err := j.l.store.Put(j.name, actor.KindPost, ref.ID, post); err != nil {
		if errors.Is(err, store.ErrTooLarge) {
			return nil, &sdk.Error{Op: "keep a post", Kind: sdk.TooLarge, Public: "The post is too long for the fediverse.", Err: err}
		}
		return nil, sdk.AsError("keep a post", err)
	}
	j.r.Copies = append(j.r.Copies, sdk.Copy{Item: it.ID, Remote: sdk.RemoteID(id)})
	return o, nil
}

// visibilityOf reads the visibility back from the addresses, so that what is
// served is never wider than what was sent.
func visibilityOf(o *object.Object, followers string) sdk.Visibility {
	return convert.Visibility(o, followers)
}

func person(p convert.Profile) convert.Person {
	return convert.Person{ID: p.ID, Handle: string(p.Actor.Home.ID), URL: p.Actor.Profile}
}

// mentioned looks up whom a mention names: somebody of the fediverse by handle, or
// one of our own actors by address.
func (j *job) mentioned(ctx context.Context) func(sdk.Mention) (convert.Person, bool) {
	left := 20 // look-ups for one post
	return func(m sdk.Mention) (convert.Person, bool) {
		address := cmp.Or(string(m.Actor.ID), m.Handle)
		if m.Actor.Link == j.l.id || m.Actor.ID == "" {
			if left--; left < 0 {
				return convert.Person{}, false
			}
			p, err := j.l.far.ByHandle(ctx, address)
			return person(p), err == nil
		}
		p, err := j.l.people.ByAddress(ctx, address)
		if err != nil {
			return convert.Person{}, false
		}
		return convert.Person{ID: j.l.site.Actor(p.Name), Handle: j.l.site.Handle(p.Name)}, true
	}
}

// author gives who wrote a far object; nil for one of ours and for none.
func (j *job) author(ctx context.Context, id string) (*convert.Profile, error) {
	if object.Origin(id) == "" || j.l.site.Owns(id) {
		return nil, nil
	}
	who, err := inbox.Author(j.l.store, id)
	if err != nil {
		return nil, err
	}
	if who == "" {
		o, err := j.l.transport.Document(ctx, id)
		if err != nil {
			return nil, err
		}
		if who = o.Ref("attributedTo"); who == "" {
			return nil, sdk.Errorf(sdk.Invalid, "look up an author", "%s has none", id)
		}
	}
	p, err := j.l.far.ByID(ctx, who)
	return &p, err
}

func (j *job) update(ctx context.Context, key string, c sdk.ItemUpdated) ([]*object.Object, error) {
	id := j.copyOf(c.Target)
	ref, _ := j.l.site.Parse(id)
	var old actor.Post
	have, err := j.l.store.Get(j.name, actor.KindPost, ref.ID, &old)
	if err != nil {
		return nil, sdk.AsError("look up a post", err)
	}
	it := c.Item
	if it.ID == "" {
		it.ID = c.Target.Item
	}
	if have && it.Created.IsZero() {
		it.Created = old.Created
	}
	if it.Edited.IsZero() {
		it.Edited = j.d.Event.Time
	}
	if have { // what was shown to few is never shown to more (AP-15)
		it.Visibility = max(it.Visibility, old.Visibility)
	}
	o, err := j.write(ctx, it, id)
	if err != nil {
		return nil, err
	}
	if !have { // nobody there has it yet
		return one(convert.Create(key, o), nil)
	}
	return one(convert.Update(key, o, it.Edited), nil)
}

func (j *job) retract(key string, c sdk.ItemRetracted) ([]*object.Object, error) {
	id := j.copyOf(c.Target)
	ref, ok := j.l.site.Parse(id)
	if !ok || ref.ID == "" {
		return nil, nil // it was never here
	}
	var old actor.Post
	have, err := j.l.store.Get(j.name, actor.KindPost, ref.ID, &old)
	if err != nil {
		return nil, sdk.AsError("look up a post", err)
	}
	to, cc := []string{object.Public}, []string{j.l.site.Of(j.name, actor.PartFollowers)}
	kind := "Note"
	if have {
		if o, err := object.Parse(old.Object); err == nil {
			kind, to, cc = o.Type(), o.To(), o.Cc()
		}
	} else if j.to != nil {
		to, cc = []string{j.to.ID}, nil
	}
	if err := j.l.store.Put(j.name, actor.KindGone, ref.ID, j.d.Event.Time); err != nil {
		return nil, sdk.AsError("keep a tombstone", err)
	}
	a := convert.Delete(key, j.self(), id, kind, j.d.Event.Time, to, cc)
	if _, err := j.l.store.Delete(j.name, actor.KindPost, ref.ID); err != nil {
		return nil, sdk.AsError("delete a post", err)
	}
	return one(a, nil)
}

// react sends what is new in the set of reactions, and takes back what is no longer in it.
func (j *job) react(ctx context.Context, c sdk.ReactionsSet) ([]*object.Object, error) {
	id := string(c.Target.Remote)
	p, err := j.author(ctx, id)
	if err != nil {
		return nil, err
	}
	if p == nil {
		j.lose(sdk.LossReaction, "what it is about is not in the fediverse")
		return nil, nil
	}
	sent := map[string]string{} // activity by reaction
	if _, err := j.l.store.Get(j.name, actor.KindSent, id, &sent); err != nil {
		return nil, sdk.AsError("look up reactions", err)
	}
	var out []*object.Object
	for n, r := range c.Reactions {
		if sent[r] == "" && n < 32 {
			sent[r] = j.activity(string(j.d.Event.ID) + "." + strconv.Itoa(n))
			out = append(out, convert.React(sent[r], j.self(), id, p.ID, r, nil, false))
		}
	}
	for _, r := range sortedKeys(sent) {
		if slices.Contains(c.Reactions, r) {
			continue
		}
		like := convert.React(sent[r], j.self(), id, p.ID, r, nil, false)
		out = append(out, convert.Undo(sent[r]+".undo", like))
		delete(sent, r)
	}
	if err := j.l.store.Put(j.name, actor.KindSent, id, sent); err != nil {
		return nil, sdk.AsError("keep reactions", err)
	}
	return out, nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(mapKeys(m)) }

func (j *job) share(ctx context.Context, key string, t sdk.Target, undo bool) ([]*object.Object, error) {
	id := string(t.Remote)
	if object.Origin(id) == "" {
		j.lose(sdk.LossKindless, "what is shown is not in the fediverse")
		return nil, nil
	}
	p, err := j.author(ctx, id)
	if err != nil {
		return nil, err
	}
	author := ""
	if p != nil {
		author = p.ID
	} else if ref, ok := j.l.site.Parse(id); ok {
		author = j.l.site.Actor(ref.Name)
	}
	a := convert.Announce(j.activity("share-"+digest(id)), j.self(), id, author, j.l.site.Of(j.name, actor.PartFollowers), true, j.d.Event.Time)
	if undo {
		a = convert.Undo(key, a)
	}
	return one(a, nil)
}

func (j *job) vote(ctx context.Context, c sdk.Voted) ([]*object.Object, error) {
	id := string(c.Target.Remote)
	p, err := j.author(ctx, id)
	if err != nil || p == nil {
		j.lose(sdk.LossPoll, "the poll is not in the fediverse")
		return nil, err
	}
	o, err := j.l.transport.Document(ctx, id)
	if err != nil {
		return nil, err
	}
	poll, _ := o.Poll(convert.MaxOptions)
	var options, ids []string
	for i, x := range poll.Options {
		options = append(options, x.Name)
		ids = append(ids, j.object(sdk.ItemID("vote-"+digest(id)+"-"+strconv.Itoa(i))))
	}
	var out []*object.Object
	for i, b := range convert.Ballots(j.self(), id, p.ID, options, ids, c.Options, j.d.Event.Time) {
		out = append(out, convert.Create(j.activity(string(j.d.Event.ID)+"."+strconv.Itoa(i)), b))
	}
	return out, nil
}

func (j *job) profile(ctx context.Context, key string) ([]*object.Object, error) {
	if j.to != nil {
		return nil, nil // the feed tells everybody
	}
	who := actor.Person{Name: j.name, Address: j.who.Address, Actor: j.d.Event.Actor}
	if who.Actor.Consent == sdk.ConsentRefused {
		return j.deleted(key)
	}
	if err := j.l.people.Update(who); err != nil {
		return nil, err
	}
	pem, err := j.l.publicKey(ctx, j.name)
	if err != nil {
		return nil, err
	}
	o := j.l.site.Document(j.name, who.Actor, pem)
	return one(convert.Update(key, o, j.d.Event.Time, object.Public, j.l.site.Of(j.name, actor.PartFollowers)), nil)
}

// deleted ends the actor: it answers 410 from now on.
func (j *job) deleted(key string) ([]*object.Object, error) {
	a := convert.Delete(key, j.self(), j.self(), "", j.d.Event.Time, []string{object.Public}, []string{j.l.site.Of(j.name, actor.PartFollowers)})
	return []*object.Object{a}, j.l.people.Remove(j.name)
}

// gone tells the followers that the actor is no more. It needs no profile, since there is none.
func (j *job) gone(ctx context.Context) error {
	acts, err := j.kept()
	if err != nil {
		return err
	}
	if acts == nil {
		list, err := j.deleted(j.activity(string(j.d.Event.ID)))
		if err != nil {
			return err
		}
		body, err := list[0].Document()
		if err != nil {
			return sdk.Errorf(sdk.Internal, "write "+list[0].ID(), "%w", err)
		}
		acts = append(acts, body)
		if err := j.l.store.Put(j.name, actor.KindOut, j.outKey(), acts); err != nil {
			return sdk.AsError("keep what is sent", err)
		}
	}
	j.r.Spread, err = j.spread(ctx, acts)
	return err
}
