package xmpp

import (
	"context"
	"slices"
	"time"

	"bridgehost/plugins/xmpp/internal/contact"
	"bridgehost/sdk"
)

// followers keeps subscriptions of presence (RFC 6121 §3) and of microblogs
// (XEP-0277) in step: to the other network both are one follow.
type followers struct {
	sdk.Host
	l *link
}

var _ contact.Host = followers{}

// Publish implements contact.Host: whom one of our people lets follow them, reads
// their microblog as well.
func (f followers) Publish(ctx context.Context, events ...sdk.Event) error {
	if err := f.Host.Publish(ctx, events...); err != nil {
		return err
	}
	for i := range events {
		own, foreign, ok := sdk.SplitPeerPlace(events[i].Place.ID)
		c, answered := events[i].Change.(sdk.FollowAnswered)
		switch {
		case !ok || !answered:
		case c.Accepted:
			f.l.social.Follow(own, foreign)
		default:
			f.l.social.Unfollow(own, foreign)
		}
	}
	return nil
}

// unfollowed ends the reading of a microblog whose reader is gone.
func (l *link) unfollowed(d *sdk.Delivery) {
	if d.Event.Kind() != sdk.KindUnfollowed && d.Event.Kind() != sdk.KindActorGone {
		return
	}
	if own, foreign, ok := sdk.SplitPeerPlace(d.Place); ok && own != sdk.PeerAll {
		l.social.Unfollow(own, foreign)
	}
}

// follows reports whether one of our people follows a foreign actor.
func (l *link) follows(own, foreign string) bool {
	return slices.ContainsFunc(l.contacts.List(own), func(e contact.Entry) bool { return e.Foreign == foreign && e.From })
}

// subscribed tells the other network of who begins or ends to read a microblog
// there, unless presence has told it already.
func (l *link) subscribed(own, foreign string, on bool) {
	if l.follows(own, foreign) {
		return
	}
	object := sdk.Ref{Link: l.peer, ID: sdk.RemoteID(foreign)}
	ev := sdk.Event{
		Time: time.Now(), Place: sdk.Ref{ID: sdk.PeerPlace(own, foreign)}, Actor: l.contacts.Actor(own), Change: sdk.FollowAsked{Object: object},
	}
	if !on {
		ev.Change = sdk.Unfollowed{Object: object}
	}
	if !l.asks.TryPut(ev) {
		l.host.Log().Warn("too many subscriptions at once, one is not told to the other network")
	}
}
