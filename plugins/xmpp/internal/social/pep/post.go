package pep

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Find gives an item of a virtual node.
func (s *Service) Find(at pubsub.Address) (Item, bool, error) { return s.o.Store.Get(at) }

// Post keeps an item and tells the subscribers of the node who may see it. It is
// on disk when Post returns without an error; that a subscriber was told is not
// certain.
func (s *Service) Post(ctx context.Context, at pubsub.Address, it Item) error {
	it.ID = at.Item
	old, had, err := s.o.Store.Get(at)
	if err != nil {
		return err
	}
	if had && old == it {
		return nil // a repeat
	}
	if _, err := s.o.Store.Put(at, it); err != nil {
		return err
	}
	w, ok := wire(it)
	if !ok {
		return fmt.Errorf("item %s is no element", at.URI())
	}
	if had && old.Access == Open && it.Access != Open {
		// Who does not follow must not go on seeing what was narrowed.
		s.notify(ctx, at, Open, pubsub.RetractEvent(at.Node, at.Item))
	}
	s.notify(ctx, at, it.Access, pubsub.ItemEvent(at.Node, w))
	return nil
}

// Retract deletes an item with what belongs to it, and tells the subscribers. An
// item that is not kept is retracted too: a subscriber may still have it.
func (s *Service) Retract(ctx context.Context, at pubsub.Address, access Access) error {
	if it, ok, err := s.o.Store.Get(at); err != nil {
		return err
	} else if ok {
		access = it.Access
	}
	if _, err := s.o.Store.Delete(at); err != nil {
		return err
	}
	s.notify(ctx, at, access, pubsub.RetractEvent(at.Node, at.Item))
	return nil
}

// React sets the reactions of a virtual address to an item of a virtual node. It
// reports false if the item is not kept.
func (s *Service) React(ctx context.Context, target pubsub.Address, by string, reactions []string) (bool, error) {
	it, ok, err := s.o.Store.Get(target)
	if err != nil || !ok {
		return false, err
	}
	at := pubsub.Address{Service: target.Service, Node: attach.Node(target), Item: by}
	set := attach.Set{}.With(reactions)
	if set.Empty() {
		if err := s.Retract(ctx, at, it.Access); err != nil {
			return true, err
		}
	} else {
		e, err := set.Element(s.o.Now())
		if err != nil {
			return true, fmt.Errorf("write attachments: %w", err)
		}
		if err := s.Post(ctx, at, Item{Publisher: by, Access: it.Access, XML: string(e.Raw())}); err != nil {
			return true, err
		}
	}
	s.notifySummary(ctx, target, it.Access)
	return true, nil
}

// notifySummary tells the subscribers of the summary node (XEP-0470 §4.6).
func (s *Service) notifySummary(ctx context.Context, target pubsub.Address, access Access) {
	node := pubsub.SummaryPrefix + target.Node
	at := pubsub.Address{Service: target.Service, Node: node, Item: target.Item}
	if len(s.o.Subs.Of(at.Service, node)) == 0 {
		return
	}
	sum, _, err := s.summary(target)
	if err != nil {
		s.o.Log.Warn("summary of attachments not made", "error", err)
		return
	}
	s.notify(ctx, at, access, pubsub.ItemEvent(node, pubsub.Item{ID: target.Item, Payload: sum}))
}

// notify sends an event to the subscribers of a node who may see it.
func (s *Service) notify(ctx context.Context, at pubsub.Address, access Access, event xmltok.Element) {
	subs := s.o.Subs.Of(at.Service, at.Node)
	for _, user := range slices.Sorted(maps.Keys(subs)) {
		if access != Open && !s.o.Follows(user, at.Service) {
			continue
		}
		m := &packet.Message{Attrs: packet.Attrs{From: at.Service, To: subs[user].JID, Type: "headline", Extensions: []xmltok.Element{event}}}
		if err := s.o.Stream.Send(ctx, m); err != nil {
			// The item stays in the node, where the subscriber finds it.
			s.o.Log.Debug("subscriber not told", "error", err)
			return
		}
	}
}
