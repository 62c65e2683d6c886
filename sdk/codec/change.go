package codec

import "bridgehost/sdk"

// changeBase is added to a ChangeKind to give the field of Event that holds
// the change.
const changeBase = 20

// change visits the oneof of an event. The last one in the input wins.
func (c *coder) change(p *sdk.Change) {
	if c.enc {
		if *p != nil {
			c.oneChange((*p).Kind(), p)
		}
		return
	}
	for c.num > changeBase && c.num <= changeBase+fieldNumber(sdk.KindSignal) {
		c.oneChange(sdk.ChangeKind(c.num-changeBase), p)
	}
}

func (c *coder) oneChange(kind sdk.ChangeKind, p *sdk.Change) {
	switch kind {
	case sdk.KindItemCreated:
		if v, ok := (*p).(sdk.ItemCreated); c.enc && ok {
			c.scratch = v.Item
			f := c.enter(fieldNumber(kind)+changeBase, true)
			c.itemField(1, &c.scratch)
			c.seal(f.mark)
			return
		}
		oneof(c, kind, p, func(c *coder, v *sdk.ItemCreated) { c.itemField(1, &v.Item) })
	case sdk.KindItemUpdated:
		oneof(c, kind, p, func(c *coder, v *sdk.ItemUpdated) {
			c.itemField(1, &v.Item)
			c.targetField(2, &v.Target)
		})
	case sdk.KindItemRetracted:
		oneof(c, kind, p, func(c *coder, v *sdk.ItemRetracted) {
			c.targetField(2, &v.Target)
			c.bool(3, &v.Moderated)
			c.string(4, &v.Reason)
		})
	case sdk.KindReactionsSet:
		oneof(c, kind, p, func(c *coder, v *sdk.ReactionsSet) {
			c.targetField(2, &v.Target)
			stringList(c, 3, &v.Reactions)
		})
	case sdk.KindShared:
		oneof(c, kind, p, func(c *coder, v *sdk.Shared) { c.targetField(2, &v.Target) })
	case sdk.KindUnshared:
		oneof(c, kind, p, func(c *coder, v *sdk.Unshared) { c.targetField(2, &v.Target) })
	case sdk.KindVoted:
		oneof(c, kind, p, func(c *coder, v *sdk.Voted) {
			c.targetField(2, &v.Target)
			numbers(c, 3, &v.Options, func(n uint64) int { return int(n) })
		})
	case sdk.KindRSVPSet:
		oneof(c, kind, p, func(c *coder, v *sdk.RSVPSet) {
			c.targetField(2, &v.Target)
			c.string(3, &v.Answer)
			c.int(4, &v.Guests)
		})
	default:
		c.oneSocialChange(kind, p)
	}
}

// oneSocialChange visits the changes that are about actors and conversations.
func (c *coder) oneSocialChange(kind sdk.ChangeKind, p *sdk.Change) {
	switch kind {
	case sdk.KindFollowAsked:
		oneof(c, kind, p, func(c *coder, v *sdk.FollowAsked) { c.refField(1, &v.Object) })
	case sdk.KindFollowAnswered:
		oneof(c, kind, p, func(c *coder, v *sdk.FollowAnswered) {
			c.refField(1, &v.Follower)
			c.bool(2, &v.Accepted)
		})
	case sdk.KindUnfollowed:
		oneof(c, kind, p, func(c *coder, v *sdk.Unfollowed) { c.refField(1, &v.Object) })
	case sdk.KindActorUpdated:
		oneof(c, kind, p, func(*coder, *sdk.ActorUpdated) {})
	case sdk.KindActorMoved:
		oneof(c, kind, p, func(c *coder, v *sdk.ActorMoved) { c.refField(1, &v.To) })
	case sdk.KindActorGone:
		oneof(c, kind, p, func(*coder, *sdk.ActorGone) {})
	case sdk.KindMemberChanged:
		oneof(c, kind, p, func(c *coder, v *sdk.MemberChanged) {
			c.refField(1, &v.Member)
			enum(c, 2, &v.Membership)
			c.string(3, &v.Role)
			c.string(4, &v.Reason)
		})
	case sdk.KindConversationUpdated:
		oneof(c, kind, p, func(c *coder, v *sdk.ConversationUpdated) {
			c.string(1, &v.Title)
			optional(c, 2, &v.Topic, (*coder).textPart)
		})
	case sdk.KindBlocked:
		oneof(c, kind, p, func(c *coder, v *sdk.Blocked) { c.refField(1, &v.Object) })
	case sdk.KindUnblocked:
		oneof(c, kind, p, func(c *coder, v *sdk.Unblocked) { c.refField(1, &v.Object) })
	case sdk.KindReported:
		oneof(c, kind, p, func(c *coder, v *sdk.Reported) {
			c.refField(1, &v.Object)
			list(c, 2, &v.Targets, (*coder).target)
			c.string(3, &v.Text)
			c.string(4, &v.Reason)
		})
	case sdk.KindSignal:
		oneof(c, kind, p, func(c *coder, v *sdk.Signal) {
			enum(c, 1, &v.Signal)
			c.targetField(2, &v.Target)
			c.string(3, &v.Text)
		})
	}
}

// oneof visits the change if it is a T. A second field of the same kind is
// merged into the first, as protobuf does.
func oneof[T sdk.Change](c *coder, kind sdk.ChangeKind, p *sdk.Change, visit func(*coder, *T)) {
	v, ok := (*p).(T)
	f := c.enter(fieldNumber(kind)+changeBase, !c.enc || ok)
	for c.step(&f) {
		visit(c, &v)
	}
	if !c.enc && c.err == nil {
		*p = v
	}
}
