package activitypub

import (
	"errors"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/inbox"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// between turns what concerns two actors into activities: follows, blocks, reports.
func (j *job) between(key string) ([]*object.Object, error) {
	switch c := j.d.Event.Change.(type) {
	case sdk.FollowAsked:
		return j.follow()
	case sdk.FollowAnswered:
		return j.answer(c.Accepted)
	case sdk.Unfollowed:
		a := convert.Undo(key, j.following())
		return []*object.Object{a}, inbox.Unfollow(j.l.store, j.name, j.to.ID)
	case sdk.Blocked:
		return j.block()
	case sdk.Unblocked:
		_, err := j.l.store.Delete(j.name, inbox.KindBlocks, j.to.ID)
		return one(convert.Undo(key, j.blocking()), err)
	case sdk.Reported:
		return j.report(c)
	}
	j.lose(sdk.LossKindless, "the fediverse has no such thing")
	return nil, nil
}

// following is the Follow by which the actor follows the other: always the same one.
func (j *job) following() *object.Object {
	return convert.Follow(j.activity("follow-"+digest(j.to.ID)), j.self(), j.to.ID)
}

func (j *job) blocking() *object.Object {
	return convert.Block(j.activity("block-"+digest(j.to.ID)), j.self(), j.to.ID)
}

func (j *job) follow() ([]*object.Object, error) {
	a := j.following()
	var f actor.Following
	if _, err := j.l.store.Get(j.name, actor.KindFollowing, j.to.ID, &f); err != nil {
		return nil, sdk.AsError("look up a follow", err)
	}
	f = actor.Following{ID: j.to.ID, Handle: string(j.to.Actor.Home.ID), Inbox: j.to.Inbox, Follow: a.ID(), Accepted: f.Accepted, Since: j.d.Event.Time}
	if err := j.l.store.Put(j.name, actor.KindFollowing, j.to.ID, f); err != nil {
		return nil, sdk.AsError("keep a follow", err)
	}
	return one(a, nil)
}

// answer accepts or refuses a follower, or removes one.
func (j *job) answer(accepted bool) ([]*object.Object, error) {
	var f actor.Follower
	have, err := j.l.store.Get(j.name, actor.KindFollower, j.to.ID, &f)
	if err != nil {
		return nil, sdk.AsError("look up a follower", err)
	}
	if !have {
		return nil, nil // nobody asked, or not any more
	}
	a := j.l.answer(j.name, f, accepted, string(j.d.Event.ID))
	if accepted {
		f.Accepted = true
		err = j.l.store.Put(j.name, actor.KindFollower, j.to.ID, f)
	} else {
		_, err = j.l.store.Delete(j.name, actor.KindFollower, j.to.ID)
	}
	if err != nil {
		return nil, sdk.AsError("keep a follower", err)
	}
	return one(a, nil)
}

// block ends follows both ways.
func (j *job) block() ([]*object.Object, error) {
	err := j.l.store.Put(j.name, inbox.KindBlocks, j.to.ID, true)
	_, err2 := j.l.store.Delete(j.name, actor.KindFollower, j.to.ID)
	if err := errors.Join(err, err2, inbox.Unfollow(j.l.store, j.name, j.to.ID)); err != nil {
		return nil, sdk.AsError("keep a block", err)
	}
	return one(j.blocking(), nil)
}

// report sends a Flag in the name of the instance, so that nobody learns who reported.
func (j *job) report(c sdk.Reported) ([]*object.Object, error) {
	var posts []string
	for _, t := range c.Targets {
		if object.SameOrigin(string(t.Remote), j.to.ID) {
			posts = append(posts, string(t.Remote))
		}
	}
	text := c.Text
	if text == "" {
		text = c.Reason
	}
	id := j.l.site.Named(actor.InstanceName, actor.PartActivity, "flag-"+digest(string(j.d.Event.ID)))
	j.name = actor.InstanceName
	return one(convert.Flag(id, j.self(), j.to.ID, posts, text), nil)
}
