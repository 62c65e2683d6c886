package social

import (
	"context"
	"errors"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// model is the access model of a node that is written to, as it was last known.
type model struct {
	access string
	asked  time.Time
}

// modelLife is how long an access model is believed without asking again. The
// precondition of each publication holds in any case.
const modelLife = 5 * time.Minute

// deliverNode writes an event on a node of a route.
func (s *Social) deliverNode(ctx context.Context, d *sdk.Delivery, node pubsub.Address, r *sdk.Receipt) error {
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated:
		return s.publishItem(ctx, d, c.Item, node.At(s.itemID(c.Item.ID)), r)
	case sdk.ItemUpdated:
		it := c.Item
		if it.Edited.IsZero() {
			it.Edited = d.Event.Time
		}
		return s.publishItem(ctx, d, it, s.copyOf(c.Target, node), r)
	case sdk.ItemRetracted:
		return s.retractItem(ctx, s.copyOf(c.Target, node))
	case sdk.Shared:
		return s.publishShare(ctx, d, c, node.At(s.shareID(&d.Event)), r)
	case sdk.Unshared:
		return s.retractItem(ctx, node.At(s.shareID(&d.Event)))
	case sdk.ReactionsSet:
		// XEP-0470 counts one set for each address, and ours is one for all authors.
		lose(r, sdk.LossReaction, "the link has one address on the node, for all authors")
		return nil
	default:
		lose(r, sdk.LossKindless, d.Event.Kind().String()+" cannot be shown on a node")
		return nil
	}
}

// publishItem publishes an item that names its author.
func (s *Social) publishItem(ctx context.Context, d *sdk.Delivery, it sdk.Item, at pubsub.Address, r *sdk.Receipt) error {
	actor := d.Event.Actor
	name := actor.DisplayName()
	if actor.Name != "" && actor.Handle != "" {
		name += " (" + actor.Handle + ")"
	}
	entry, loss, ok := atom.FromItem(it, at, atom.Author{Name: name}, s.o.Now())
	r.Loss = append(r.Loss, loss...)
	if !ok {
		return nil
	}
	lose(r, sdk.LossAuthor, "named in the entry; the link is the publisher")
	if err := s.publishEntry(ctx, at, entry, it.Visibility); err != nil {
		return err
	}
	r.Copies = append(r.Copies, sdk.Copy{Item: it.ID, Remote: atom.Remote(at)})
	return nil
}

// publishEntry publishes an entry, if the node shows it to nobody who may not see
// it. The access model is a precondition (XEP-0060 §7.1.5), so that a node that was
// opened a moment ago takes nothing.
func (s *Social) publishEntry(ctx context.Context, at pubsub.Address, entry atom.Entry, v sdk.Visibility) error {
	e, err := entry.Element()
	if err != nil {
		return &sdk.Error{Kind: sdk.Invalid, Err: err}
	}
	for again := true; ; again = false {
		access, err := s.nodeAccess(ctx, at.NodeOnly())
		if err != nil {
			return err
		}
		options, err := precondition(access, v)
		if err != nil {
			return err
		}
		_, err = s.ask(ctx, s.o.Self, at.Service, "set", pubsub.Publish(at.Node, pubsub.Item{ID: at.Item, Payload: e}, options))
		var x *packet.Error
		if again && errors.As(err, &x) && x.Condition == "conflict" && x.App.Is(pubsub.NSErrors, "precondition-not-met") {
			s.forgetAccess(at.NodeOnly())
			continue
		}
		return err
	}
}

// precondition gives the publish-options for an item of a visibility on a node of
// an access model, or an error where the node would show it to more.
func precondition(access string, v sdk.Visibility) (map[string]string, error) {
	switch v {
	case sdk.VisibilityPlace, sdk.VisibilityPublic, sdk.VisibilityUnlisted:
		return nil, nil
	case sdk.VisibilityFollowers:
		switch access {
		case "presence", "roster", "authorize", "whitelist":
			return map[string]string{"pubsub#access_model": access}, nil
		}
		return nil, &sdk.Error{Kind: sdk.Forbidden, Public: "the post is for followers only, and the node is open to others"}
	default:
		return nil, &sdk.Error{Kind: sdk.Forbidden, Public: "the post is for single people, and the node shows it to more"}
	}
}

// nodeAccess gives the access model of a node, empty if the service does not tell.
func (s *Social) nodeAccess(ctx context.Context, node pubsub.Address) (string, error) {
	now := s.o.Now()
	s.mu.Lock()
	m, ok := s.models[node]
	s.mu.Unlock()
	if ok && now.Sub(m.asked) < modelLife {
		return m.access, nil
	}
	access, err := s.access(ctx, s.o.Self, node)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	if len(s.models) >= maxSources {
		clear(s.models)
	}
	s.models[node] = model{access, now}
	s.mu.Unlock()
	return access, nil
}

func (s *Social) forgetAccess(node pubsub.Address) {
	s.mu.Lock()
	delete(s.models, node)
	s.mu.Unlock()
}

// retractItem takes an item back; one that is not there is.
func (s *Social) retractItem(ctx context.Context, at pubsub.Address) error {
	_, err := s.ask(ctx, s.o.Self, at.Service, "set", pubsub.Retract(at.Node, at.Item))
	var e *packet.Error
	if errors.As(err, &e) && e.Condition == "item-not-found" {
		return nil
	}
	return err
}

// publishShare publishes a repeat of an item that is open to everybody.
func (s *Social) publishShare(ctx context.Context, d *sdk.Delivery, c sdk.Shared, at pubsub.Address, r *sdk.Receipt) error {
	target, ok := atom.FromRemote(c.Target.Remote)
	if !ok || target.NodeOnly() == at.NodeOnly() {
		lose(r, sdk.LossKindless, "what was repeated is not known here, or on the same node")
		return nil
	}
	entry, err := s.original(ctx, s.o.Self, target)
	if err != nil {
		return err
	}
	if entry.Title == "" {
		lose(r, sdk.LossKindless, "what was repeated is not shown to us")
		return nil
	}
	entry.Via = []atom.Link{{Href: target.URI(), Ref: entry.ID}}
	entry.ID, entry.Updated, entry.ReplyTo = at.URI(), d.Event.Time, nil
	if entry.Updated.IsZero() {
		entry.Updated = s.o.Now()
	}
	return s.publishEntry(ctx, at, entry, sdk.VisibilityPublic)
}
