package pep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// maxID is the longest id of an item that users may give.
const maxID = 512

// subscribe takes a subscription (XEP-0060 §6.1). Subscribing again changes
// whether it is public (XEP-0465 §4.3).
func (s *Service) subscribe(ctx context.Context, r *request) (xmltok.Element, error) {
	j, err := packet.ParseJID(r.JID)
	if err != nil || j.Bare().String() != r.user {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "invalid-jid")
	}
	added, err := s.o.Subs.Add(ctx, r.user, r.owner, r.name, Subscriber{JID: j.String(), Public: r.Public})
	if err != nil {
		return xmltok.Element{}, err
	}
	if added && r.kind == kindPosts {
		s.o.Subscribed(r.user, r.owner, true)
	}
	return pubsub.SubscribeResult(pubsub.Subscription{Node: r.Node, JID: j.String(), State: "subscribed", Public: r.Public}), nil
}

// unsubscribe ends a subscription (XEP-0060 §6.2), also one to a node that is gone.
func (s *Service) unsubscribe(ctx context.Context, r *request) (xmltok.Element, error) {
	if !packet.SameJID(bare(r.JID), r.user) {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "invalid-jid")
	}
	removed, err := s.o.Subs.Remove(ctx, r.user, r.owner, r.name)
	switch {
	case err != nil:
		return xmltok.Element{}, err
	case !removed:
		return xmltok.Element{}, pubsub.Fault("cancel", "unexpected-request", "not-subscribed")
	}
	if r.Node == pubsub.NSMicroblog {
		s.o.Subscribed(r.user, r.owner, false)
	}
	return xmltok.Element{}, nil
}

// publish takes what a user publishes on a node of a virtual address: a comment,
// or its attachments to an item. Everything else belongs to the foreign actor.
func (s *Service) publish(ctx context.Context, r *request) (xmltok.Element, error) {
	if r.kind != kindComments && r.kind != kindAttachments {
		return xmltok.Element{}, pubsub.Fault("auth", "forbidden", "")
	}
	switch {
	case len(r.Items) == 0:
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "item-required")
	case len(r.Items) > 1:
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "max-items-exceeded")
	case r.Items[0].Payload.IsZero():
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "payload-required")
	case len(r.Items[0].Payload.Standalone()) > s.o.Store.limits.Item:
		return xmltok.Element{}, ErrTooLarge
	case len(r.Items[0].ID) > maxID:
		return xmltok.Element{}, pubsub.Fault("modify", "not-acceptable", "")
	}
	if r.kind == kindAttachments {
		return s.publishAttachments(ctx, r)
	}
	return s.publishComment(ctx, r)
}

// publishComment hands a comment over to the host, and then keeps and shows it.
func (s *Service) publishComment(ctx context.Context, r *request) (xmltok.Element, error) {
	entry, err := atom.Parse(r.Items[0].Payload)
	if err != nil {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "invalid-payload")
	}
	id := r.Items[0].ID
	if id == "" {
		id = s.o.NewID()
	}
	at := pubsub.Address{Service: r.owner, Node: r.name, Item: id}
	old, exists, err := s.o.Store.Get(at)
	if err != nil {
		return xmltok.Element{}, err
	}
	if exists && old.Publisher != r.user {
		return xmltok.Element{}, pubsub.Fault("auth", "forbidden", "")
	}
	now := s.o.Now()
	it := entry.Item(at, now)
	it.Visibility = visibility(r.access)
	if it.ReplyTo.Remote, err = s.answered(entry, r.about); err != nil {
		return xmltok.Element{}, err
	}
	xml := string(r.Items[0].Payload.Standalone())
	ev := s.event(r.user, sdk.ItemCreated{Item: it}, "c:"+at.URI()+xml)
	if exists {
		if it.Edited.IsZero() {
			it.Edited = now
		}
		ev = s.event(r.user, sdk.ItemUpdated{Target: sdk.Target{Remote: it.Origin.ID}, Item: it}, "u:"+at.URI()+xml)
	}
	if err := s.o.Host.Publish(ctx, ev); err != nil {
		return xmltok.Element{}, fmt.Errorf("publish comment: %w", err)
	}
	if err := s.Post(ctx, at, Item{Publisher: r.user, Access: r.access, XML: xml}); err != nil {
		return xmltok.Element{}, err
	}
	return pubsub.PublishResult(r.Node, id), nil
}

// answered gives what a comment answers: the item that it names, if that is one
// of the same actor, else the post.
func (s *Service) answered(entry atom.Entry, post pubsub.Address) (sdk.RemoteID, error) {
	if to, ok := entry.Answers(); ok && to.Service == post.Service {
		it, found, err := s.o.Store.Get(to)
		if err != nil {
			return "", err
		}
		if found {
			return s.remote(to, it), nil
		}
	}
	it, _, err := s.o.Store.Get(post)
	return s.remote(post, it), err
}

// remote gives the name by which the host knows an item.
func (s *Service) remote(at pubsub.Address, it Item) sdk.RemoteID {
	if it.Origin != "" {
		return sdk.RemoteID(it.Origin)
	}
	return atom.Remote(at)
}

// visibility gives the widest visibility that an item with the access model may have.
func visibility(a Access) sdk.Visibility {
	if a == Open {
		return sdk.VisibilityPublic
	}
	return sdk.VisibilityFollowers
}

// event makes an event of a user, in the user's feed. Keys are digests, since
// they may be longer than the host takes.
func (s *Service) event(user string, change sdk.Change, dedup string) sdk.Event {
	if dedup != "" {
		sum := sha256.Sum256([]byte(dedup))
		dedup = "social:" + hex.EncodeToString(sum[:16])
	}
	return sdk.Event{
		Time: s.o.Now(), Place: sdk.Ref{ID: sdk.PeerPlace(user, sdk.PeerAll)}, Dedup: dedup, Change: change,
		Actor: sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(user)}, Handle: user},
	}
}

// publishAttachments takes a user's attachments to an item (XEP-0470 §4.5).
func (s *Service) publishAttachments(ctx context.Context, r *request) (xmltok.Element, error) {
	set, err := attach.Parse(r.Items[0].Payload)
	if err != nil {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "invalid-payload")
	}
	if r.Items[0].ID != r.user {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "")
	}
	if err := s.reactions(ctx, r, set.All()); err != nil {
		return xmltok.Element{}, err
	}
	at := pubsub.Address{Service: r.owner, Node: r.name, Item: r.user}
	if err := s.Post(ctx, at, Item{Publisher: r.user, Access: r.access, XML: string(r.Items[0].Payload.Standalone())}); err != nil {
		return xmltok.Element{}, err
	}
	s.notifySummary(ctx, r.about, r.access)
	return pubsub.PublishResult(r.Node, r.user), nil
}

func (s *Service) reactions(ctx context.Context, r *request, all []string) error {
	it, _, err := s.o.Store.Get(r.about)
	if err != nil {
		return err
	}
	ev := s.event(r.user, sdk.ReactionsSet{Target: sdk.Target{Remote: s.remote(r.about, it)}, Reactions: all}, "")
	if err := s.o.Host.Publish(ctx, ev); err != nil {
		return fmt.Errorf("publish reactions: %w", err)
	}
	return nil
}

// retract takes back what the requester published itself (XEP-0060 §7.2).
func (s *Service) retract(ctx context.Context, r *request) (xmltok.Element, error) {
	if len(r.Items) != 1 || r.Items[0].ID == "" {
		return xmltok.Element{}, pubsub.Fault("modify", "bad-request", "item-required")
	}
	if r.kind != kindComments && r.kind != kindAttachments {
		return xmltok.Element{}, pubsub.Fault("auth", "forbidden", "")
	}
	at := pubsub.Address{Service: r.owner, Node: r.name, Item: r.Items[0].ID}
	it, ok, err := s.o.Store.Get(at)
	switch {
	case err != nil:
		return xmltok.Element{}, err
	case !ok:
		return xmltok.Element{}, pubsub.Fault("cancel", "item-not-found", "")
	case it.Publisher != r.user:
		return xmltok.Element{}, pubsub.Fault("auth", "forbidden", "")
	}
	if r.kind == kindAttachments {
		if err := s.reactions(ctx, r, nil); err != nil {
			return xmltok.Element{}, err
		}
	} else {
		ev := s.event(r.user, sdk.ItemRetracted{Target: sdk.Target{Remote: s.remote(at, it)}}, "r:"+at.URI()+it.XML)
		if err := s.o.Host.Publish(ctx, ev); err != nil {
			return xmltok.Element{}, fmt.Errorf("publish retraction of comment: %w", err)
		}
	}
	if err := s.Retract(ctx, at, it.Access); err != nil {
		return xmltok.Element{}, err
	}
	if r.kind == kindAttachments {
		s.notifySummary(ctx, r.about, it.Access)
	}
	return xmltok.Element{}, nil
}
