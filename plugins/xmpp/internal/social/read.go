package social

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// hear turns notifications into events until ctx ends.
func (s *Social) hear(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-s.events:
			s.mu.Lock()
			src := s.sources[n.at]
			s.mu.Unlock()
			if src == nil {
				continue
			}
			if err := s.notified(ctx, src, n.event); err != nil && ctx.Err() == nil {
				s.o.Log.Warn("notification not read", "error", err)
				s.due(n.at, s.o.Now().Add(s.o.Retry))
			}
		}
	}
}

// notified reads one notification.
func (s *Social) notified(ctx context.Context, src *source, ev pubsub.Event) error {
	s.mu.Lock()
	ready := src.ready
	s.mu.Unlock()
	if !ready {
		// Who may see the items is not known yet. They are read as soon as it is,
		// with those that the service sends unasked after a subscription.
		return nil
	}
	if err := s.load(ctx, src); err != nil {
		return err
	}
	again, fresh := ev.Cut, false // fresh: what is known of the node no longer holds
	switch ev.Kind {
	case pubsub.EventItems:
		if len(ev.Items) > 0 {
			if err := s.recheck(ctx, src); err != nil {
				return err
			}
		}
		for _, it := range ev.Items {
			if it.Payload.IsZero() { // XEP-0472 §5.1.1 advises deliver_payloads false
				again = true
				continue
			}
			if err := s.take(ctx, src, it); err != nil {
				return err
			}
		}
		for _, id := range ev.Retracted {
			if err := s.gone(ctx, src, id); err != nil {
				return err
			}
		}
	case pubsub.EventPurged, pubsub.EventDeleted:
		if err := s.allGone(ctx, src); err != nil {
			return err
		}
		again = ev.Kind == pubsub.EventDeleted
		fresh = again
	case pubsub.EventConfigured:
		again, fresh = true, true
	case pubsub.EventSubscription:
		again = ev.State == "none"
		fresh = again
	default:
	}
	if fresh {
		s.mu.Lock()
		src.ready = false
		s.mu.Unlock()
	}
	if again {
		s.due(src.at, s.o.Now())
	}
	return s.save(ctx, src)
}

// take reads one item of a node.
func (s *Social) take(ctx context.Context, src *source, it pubsub.Item) error {
	at := src.at.At(it.ID)
	if it.ID == "" || it.Payload.IsZero() || len(at.URI()) > maxRemote || s.ours(it) {
		return nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if strings.HasPrefix(src.at.Node, pubsub.AttachPrefix) {
		return s.takeAttachments(ctx, src, it)
	}
	entry, err := atom.Parse(it.Payload)
	if err != nil {
		// Another kind of payload, such as the feed's own description (item 0): nothing that crosses.
		return nil
	}
	actor, proven := s.author(src, it)
	if !s.crosses(src, actor, proven) {
		return nil
	}
	sum := sha256.Sum256(it.Payload.Standalone())
	n := seen{ID: it.ID, Hash: hex.EncodeToString(sum[:8]), Time: entry.Changed().Unix()}
	if proven {
		n.Actor = actor
	}
	for _, c := range entry.Comments {
		n.Comments = append(n.Comments, c.URI())
	}
	s.mu.Lock()
	var old *seen
	if o := src.find(it.ID); o != nil {
		c := *o
		old = &c
	}
	s.mu.Unlock()
	switch {
	case old != nil && old.Hash == n.Hash:
		return nil
	case old != nil && old.Actor != n.Actor: // nobody changes what somebody else wrote
		return nil
	}
	for _, ev := range s.changes(src, at, entry, n, old) {
		ev.Actor, ev.Place.ID = s.actor(src, n.Actor), s.placeOf(src, n.Actor)
		if err := s.publish(ctx, ev); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if target, ok := entry.Repeats(); ok {
		n.Share = string(s.canonical(target))
	}
	src.remember(n)
	s.mu.Unlock()
	s.attend(src, at, entry)
	return nil
}

// maxRemote is the longest name of an item that the host takes.
const maxRemote = 3000

// ours reports whether a bridge wrote the item: it must not go round.
func (s *Social) ours(it pubsub.Item) bool {
	return convert.Relayed(it.ID) || it.Publisher != "" && (s.virtual(convert.Bare(it.Publisher)) || convert.Bare(it.Publisher) == s.o.Self)
}

// author gives who published an item, and whether that is proven: by the service
// (XEP-0060 §12.17), or because a PEP node that is not for comments takes items of
// its owner only.
func (s *Social) author(src *source, it pubsub.Item) (string, bool) {
	if it.Publisher != "" {
		j, err := packet.ParseJID(it.Publisher)
		if err == nil && j.Localpart() != "" {
			return j.Bare().String(), true
		}
	}
	if src.at.PEP() && src.parent == nil {
		return src.at.Service, true
	}
	return "", false
}

// crosses reports whether an item may be published: in a gateway people speak at
// their own place, and those whose feed nobody follows only with their consent.
func (s *Social) crosses(src *source, actor string, proven bool) bool {
	if src.own == "" {
		return true
	}
	if !proven {
		s.o.Log.Debug("post without a proven author does not cross")
		return false
	}
	return actor == src.own || s.o.Consents(actor)
}

// actor gives the actor of a bare JID, or for the empty one the node's.
func (s *Social) actor(src *source, j string) sdk.Actor {
	if j != "" {
		return sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(j)}, Handle: j}
	}
	at := src.at
	if src.parent != nil {
		at = src.parent.at
	}
	return sdk.Actor{Kind: sdk.ActorService, Home: sdk.Ref{ID: sdk.RemoteID(at.URI())}, Handle: at.Service, Name: at.Node}
}

func (s *Social) placeOf(src *source, actor string) sdk.RemoteID {
	if src.own != "" {
		return sdk.PeerPlace(actor, sdk.PeerAll)
	}
	return src.place
}

// changes gives the events of an item that is new or has a new version.
func (s *Social) changes(src *source, at pubsub.Address, entry atom.Entry, n seen, old *seen) []sdk.Event {
	now := s.o.Now()
	it := entry.Item(at, now)
	if target, ok := entry.Repeats(); ok {
		if old != nil {
			return nil
		}
		return []sdk.Event{{Time: it.Created, Dedup: key("s", at.URI()), Change: sdk.Shared{Target: sdk.Target{Remote: s.canonical(target)}}}}
	}
	it.Visibility = s.visibility(src)
	if to, ok := entry.Answers(); ok {
		it.ReplyTo.Remote = s.canonical(to)
	} else if !src.post.IsZero() {
		it.ReplyTo.Remote = s.canonical(src.post)
	}
	created := sdk.Event{Time: it.Created, Dedup: key("c", at.URI()), Change: sdk.ItemCreated{Item: it}}
	updated := sdk.Event{Time: now, Dedup: key("u", at.URI()+n.Hash), Change: sdk.ItemUpdated{Target: sdk.Target{Remote: it.Origin.ID}, Item: it}}
	switch {
	case old != nil:
		if it.Edited.IsZero() {
			it.Edited = now
			updated.Change = sdk.ItemUpdated{Target: sdk.Target{Remote: it.Origin.ID}, Item: it}
		}
		return []sdk.Event{updated}
	case src.parent != nil && !it.Edited.IsZero():
		// What was seen of comments before a restart is not kept: the host knows
		// which of the two it had.
		return []sdk.Event{created, updated}
	default:
		return []sdk.Event{created}
	}
}

// key gives the origin's unique key of an event.
func key(kind, what string) string {
	sum := sha256.Sum256([]byte(what))
	return "social:" + kind + ":" + hex.EncodeToString(sum[:16])
}

// visibility gives who may see the items of a node. Where a route leads is the
// operator's matter, as with rooms; in a gateway, what is not known to be open is
// for followers.
func (s *Social) visibility(src *source) sdk.Visibility {
	s.mu.Lock()
	defer s.mu.Unlock()
	access := src.model
	if src.parent != nil && src.parent.model != "open" {
		access = src.parent.model
	}
	switch {
	case src.own == "":
		return sdk.VisibilityPlace
	case access == "open":
		return sdk.VisibilityPublic
	default:
		return sdk.VisibilityFollowers
	}
}

// canonical gives the name by which the host knows an item, which for one of a
// virtual node may be another than that of where somebody saw it.
func (s *Social) canonical(at pubsub.Address) sdk.RemoteID {
	if s.pep != nil && s.virtual(at.Service) {
		if it, ok, err := s.pep.Find(at); err == nil && ok && it.Origin != "" {
			return sdk.RemoteID(it.Origin)
		}
	}
	return atom.Remote(at)
}

// allGone reads that a node was emptied or deleted.
func (s *Social) allGone(ctx context.Context, src *source) error {
	s.mu.Lock()
	all := slices.Clone(src.seen)
	s.mu.Unlock()
	for _, n := range all {
		if err := s.gone(ctx, src, n.ID); err != nil {
			return err
		}
	}
	return nil
}

// gone reads that an item was taken back.
func (s *Social) gone(ctx context.Context, src *source, id string) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	at := src.at.At(id)
	if convert.Relayed(id) || len(at.URI()) > maxRemote {
		return nil
	}
	s.mu.Lock()
	n := src.find(id)
	if n == nil {
		n = &seen{ID: id}
		if src.at.PEP() && src.parent == nil {
			n.Actor = src.at.Service
		}
	}
	was := *n
	s.mu.Unlock()
	if src.own != "" && was.Actor == "" {
		return nil
	}
	ev := sdk.Event{Time: s.o.Now(), Dedup: key("r", at.URI()+was.Hash), Actor: s.actor(src, was.Actor), Place: sdk.Ref{ID: s.placeOf(src, was.Actor)}}
	switch {
	case strings.HasPrefix(src.at.Node, pubsub.AttachPrefix):
		if was.Actor == "" {
			return nil
		}
		ev.Dedup = ""
		ev.Change = sdk.ReactionsSet{Target: sdk.Target{Remote: s.canonical(src.post)}}
	case was.Share != "":
		ev.Change = sdk.Unshared{Target: sdk.Target{Remote: sdk.RemoteID(was.Share)}}
	default:
		// Only the node's word says who took it back: on a service that may have
		// been its owner (XEP-0060 §7.2).
		if ev.Change = (sdk.ItemRetracted{Target: sdk.Target{Remote: atom.Remote(at)}}); src.own == "" && was.Actor != "" && was.Actor != src.at.Service {
			ev.Actor = s.actor(src, "")
			ev.Change = sdk.ItemRetracted{Target: sdk.Target{Remote: atom.Remote(at)}, Moderated: true}
		}
	}
	if err := s.publish(ctx, ev); err != nil {
		return err
	}
	s.mu.Lock()
	src.forget(id)
	s.mu.Unlock()
	return nil
}

// takeAttachments reads the attachments of one actor. The id of the item is who
// that is where the service checks it; else it must be the publisher (XEP-0470 §4.5).
func (s *Social) takeAttachments(ctx context.Context, src *source, it pubsub.Item) error {
	set, err := attach.Parse(it.Payload)
	if err != nil {
		return nil //nolint:nilerr // a payload of another kind attaches nothing
	}
	j, err := packet.ParseJID(it.ID)
	if err != nil || j.Localpart() == "" || j.Resourcepart() != "" {
		return nil //nolint:nilerr // nobody's attachments
	}
	actor := j.String()
	if !packet.SameJID(convert.Bare(it.Publisher), actor) && (it.Publisher != "" || !src.proves) || s.virtual(actor) || !s.crosses(src, actor, true) {
		return nil
	}
	sum := sha256.Sum256([]byte(strings.Join(set.All(), "\n")))
	n := seen{ID: it.ID, Actor: actor, Hash: hex.EncodeToString(sum[:8])}
	s.mu.Lock()
	old := src.find(it.ID)
	same := old != nil && old.Hash == n.Hash
	s.mu.Unlock()
	if same {
		return nil
	}
	err = s.publish(ctx, sdk.Event{
		Time: s.o.Now(), Actor: s.actor(src, actor), Place: sdk.Ref{ID: s.placeOf(src, actor)},
		Change: sdk.ReactionsSet{Target: sdk.Target{Remote: s.canonical(src.post)}, Reactions: set.All()},
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	src.remember(n)
	s.mu.Unlock()
	return nil
}

// publish hands an event to the host, and tries again while the host takes none.
// What the host refuses for good is left out. The error is that ctx ended.
func (s *Social) publish(ctx context.Context, ev sdk.Event) error {
	pause := 200 * time.Millisecond
	for {
		err := s.host.Publish(ctx, ev)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !sdk.KindOf(err).Temporary() {
			s.o.Log.Warn("host refuses a post", "kind", ev.Kind().String(), "error", err)
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		pause = min(2*pause, 10*time.Second)
	}
}
