package social

import (
	"context"
	"errors"
	"fmt"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pep"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// deliverFeed writes an event of a foreign actor on the nodes of its virtual address.
func (s *Social) deliverFeed(ctx context.Context, d *sdk.Delivery, virtual string, r *sdk.Receipt) error {
	node := pubsub.Address{Service: virtual, Node: pubsub.NSMicroblog}
	if d.Event.Actor.Puppet != sdk.RemoteID(virtual) {
		r.Puppet = sdk.RemoteID(virtual)
	}
	switch c := d.Event.Change.(type) {
	case sdk.ItemCreated:
		return s.post(ctx, d, c.Item, node.At(s.itemID(c.Item.ID)), r)
	case sdk.ItemUpdated:
		it := c.Item
		if it.Edited.IsZero() {
			it.Edited = d.Event.Time
		}
		return s.post(ctx, d, it, s.copyOf(c.Target, node), r)
	case sdk.ItemRetracted:
		return s.unpost(ctx, virtual, s.copyOf(c.Target, node), r)
	case sdk.ReactionsSet:
		return s.react(ctx, virtual, c, r)
	case sdk.Shared:
		return s.share(ctx, d, c, node.At(s.shareID(&d.Event)), r)
	case sdk.Unshared:
		return s.pep.Retract(ctx, node.At(s.shareID(&d.Event)), pep.Open)
	default:
		lose(r, sdk.LossKindless, d.Event.Kind().String()+" cannot be shown in a microblog")
		return nil
	}
}

// access gives who may see an item: what is not for everybody is for followers,
// and what is for single people has no place in a microblog.
func access(v sdk.Visibility) (pep.Access, error) {
	switch v {
	case sdk.VisibilityPlace, sdk.VisibilityPublic, sdk.VisibilityUnlisted:
		return pep.Open, nil
	case sdk.VisibilityFollowers:
		return pep.Presence, nil
	default:
		return pep.Presence, &sdk.Error{Kind: sdk.Forbidden, Public: "what is for single people is not shown in a microblog"}
	}
}

// post writes an item on the microblog of its author, and a reply on the comments
// node of what it answers, too.
func (s *Social) post(ctx context.Context, d *sdk.Delivery, it sdk.Item, at pubsub.Address, r *sdk.Receipt) error {
	acc, err := access(it.Visibility)
	if err != nil {
		return err
	}
	entry, loss, ok := atom.FromItem(it, at, atom.Author{Name: d.Event.Actor.DisplayName(), JID: at.Service}, s.o.Now())
	r.Loss = append(r.Loss, loss...)
	if !ok {
		return nil // nothing but what is lost
	}
	entry.Comments = []pubsub.Address{{Service: at.Service, Node: pep.CommentsNode(at.Node, at.Item)}}
	e, err := entry.Element()
	if err != nil {
		return &sdk.Error{Kind: sdk.Invalid, Err: err}
	}
	item := pep.Item{Publisher: at.Service, Access: acc, XML: string(e.Raw())}
	if err := s.pep.Post(ctx, at, item); err != nil {
		return tooLarge(err)
	}
	r.Copies = append(r.Copies, sdk.Copy{Item: it.ID, Remote: atom.Remote(at)})
	parent, ok := entry.Answers()
	if !ok {
		return nil
	}
	comment, err := s.comment(ctx, at, parent, item)
	if err != nil {
		return err
	}
	if comment.IsZero() {
		lose(r, sdk.LossReply, "stands in its author's microblog only: the comments of the post take nothing from here")
		return nil
	}
	r.Copies = append(r.Copies, sdk.Copy{Item: it.ID, Remote: atom.Remote(comment)})
	return nil
}

func tooLarge(err error) error {
	if errors.Is(err, pep.ErrTooLarge) {
		return &sdk.Error{Kind: sdk.TooLarge, Public: "the post is too large", Err: err}
	}
	return err
}

// comment writes an item on the comments node of the post that it answers as
// well, and gives where; zero if that node takes nothing from us.
func (s *Social) comment(ctx context.Context, at, parent pubsub.Address, item pep.Item) (pubsub.Address, error) {
	node, err := s.commentsOf(ctx, at.Service, parent)
	if err != nil || node.IsZero() {
		return pubsub.Address{}, err
	}
	if item.Access != pep.Open && node.Service != at.Service {
		return pubsub.Address{}, nil // comments are shown to all, or to followers of somebody else
	}
	to := node.At(at.Item)
	if s.virtual(node.Service) {
		item.Origin = string(atom.Remote(at))
		if above, ok, err := s.pep.Find(parent); err != nil {
			return pubsub.Address{}, err
		} else if ok && above.Access != pep.Open {
			item.Access = above.Access
		}
		return to, tooLarge(s.pep.Post(ctx, to, item))
	}
	payload, err := xmltok.Parse([]byte(item.XML))
	if err != nil {
		return pubsub.Address{}, fmt.Errorf("read entry again: %w", err)
	}
	_, err = s.ask(ctx, at.Service, node.Service, "set", pubsub.Publish(node.Node, pubsub.Item{ID: at.Item, Payload: payload}, nil))
	err = refused(err, &to)
	return to, err
}

// refused takes the refusal of a service for an answer: the address becomes zero.
// Other errors, and refusals for now, stay.
func refused(err error, to *pubsub.Address) error {
	if err == nil {
		return nil
	}
	var e *packet.Error
	if errors.As(err, &e) && !e.Temporary() {
		*to = pubsub.Address{}
		return nil
	}
	return err
}

// commentsOf gives the comments node of a post; zero if there is none.
func (s *Social) commentsOf(ctx context.Context, as string, post pubsub.Address) (pubsub.Address, error) {
	if s.virtual(post.Service) {
		_, ok, err := s.pep.Find(post)
		if err != nil || !ok {
			return pubsub.Address{}, err
		}
		return pubsub.Address{Service: post.Service, Node: pep.CommentsNode(post.Node, post.Item)}, nil
	}
	s.mu.Lock()
	for _, src := range s.sources {
		if src.at == post.NodeOnly() && src.parent != nil && !src.post.IsZero() { // it is a comment itself
			s.mu.Unlock()
			return src.at, nil
		}
	}
	var known []string
	if src := s.sources[post.NodeOnly()]; src != nil {
		if n := src.find(post.Item); n != nil {
			known = n.Comments
		}
	}
	s.mu.Unlock()
	for _, uri := range known {
		if a, err := pubsub.ParseURI(uri); err == nil {
			return a, nil
		}
	}
	it, err := s.fetch(ctx, as, post)
	if err != nil || len(it.Comments) == 0 {
		return pubsub.Address{}, err
	}
	return it.Comments[0], nil
}

// fetch gives an entry from another service; the zero one where it is not given to us.
func (s *Social) fetch(ctx context.Context, as string, at pubsub.Address) (atom.Entry, error) {
	answer, err := s.ask(ctx, as, at.Service, "get", pubsub.GetItems(at.Node, 0, at.Item))
	if err != nil {
		return atom.Entry{}, refused(err, &pubsub.Address{})
	}
	for _, it := range pubsub.ParseItems(answer.Payload) {
		if entry, err := atom.Parse(it.Payload); err == nil && it.ID == at.Item {
			return entry, nil
		}
	}
	return atom.Entry{}, nil
}

// unpost takes an item back wherever it was written.
func (s *Social) unpost(ctx context.Context, virtual string, at pubsub.Address, r *sdk.Receipt) error {
	old, ok, err := s.pep.Find(at)
	if err != nil {
		return err
	}
	if ok {
		if err := s.uncomment(ctx, virtual, at, old, r); err != nil {
			return err
		}
	}
	return s.pep.Retract(ctx, at, pep.Open)
}

// uncomment takes the comment back that stands beside an item, if it is one.
func (s *Social) uncomment(ctx context.Context, virtual string, at pubsub.Address, old pep.Item, r *sdk.Receipt) error {
	e, err := xmltok.Parse([]byte(old.XML))
	if err != nil {
		return nil //nolint:nilerr // damaged: it names no parent
	}
	entry, err := atom.Parse(e)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	parent, ok := entry.Answers()
	if !ok {
		return nil
	}
	node, err := s.commentsOf(ctx, virtual, parent)
	switch {
	case err != nil || node.IsZero():
		return err
	case s.virtual(node.Service):
		return s.pep.Retract(ctx, node.At(at.Item), pep.Open)
	}
	_, err = s.ask(ctx, virtual, node.Service, "set", pubsub.Retract(node.Node, at.Item))
	var refusal *packet.Error
	if errors.As(err, &refusal) && refusal.Condition == "item-not-found" {
		return nil // it never stood there, or its owner has removed it
	}
	comment := node.At(at.Item)
	if err = refused(err, &node); err != nil || !node.IsZero() {
		return err
	}
	// Prosody does not let who published on an open node take it back.
	if s.retractAsUser(ctx, comment) {
		return nil
	}
	lose(r, sdk.LossRetract, "the comment stays at the post: its server lets only the post's author take it back")
	return nil
}

// retractAsUser takes a foreign actor's comment back from a local user's node, in
// the user's name. It reports false where that is not granted or not possible.
func (s *Social) retractAsUser(ctx context.Context, at pubsub.Address) bool {
	if s.o.AsUser == nil || !at.PEP() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, iqTimeout)
	defer cancel()
	answer, err := s.o.AsUser(ctx, &packet.IQ{
		Attrs: packet.Attrs{From: at.Service, To: at.Service, Type: "set"}, Payload: pubsub.Retract(at.Node, at.Item),
	})
	if err == nil && answer.Type == "error" {
		if err = answer.Error; answer.Error == nil {
			err = errors.New("refused without a reason")
		}
	}
	if err != nil {
		s.o.Log.Debug("comment not taken back", "error", err)
	}
	return err == nil
}

// react sets a foreign actor's attachments to an item (XEP-0470).
func (s *Social) react(ctx context.Context, virtual string, c sdk.ReactionsSet, r *sdk.Receipt) error {
	target, ok := atom.FromRemote(c.Target.Remote)
	if !ok {
		lose(r, sdk.LossReaction, "the post is not known here")
		return nil
	}
	if s.virtual(target.Service) {
		if ok, err := s.pep.React(ctx, target, virtual, c.Reactions); err != nil || ok {
			return err
		}
		lose(r, sdk.LossReaction, "the post is no longer here")
		return nil
	}
	set := attach.Set{}.With(c.Reactions)
	payload := pubsub.Retract(attach.Node(target), virtual)
	if !set.Empty() {
		e, err := set.Element(s.o.Now())
		if err != nil {
			return &sdk.Error{Kind: sdk.Invalid, Err: err}
		}
		payload = pubsub.Publish(attach.Node(target), pubsub.Item{ID: virtual, Payload: e}, nil)
	}
	_, err := s.ask(ctx, virtual, target.Service, "set", payload)
	var e *packet.Error
	// Prosody says forbidden of a PEP node that is not there.
	if errors.As(err, &e) && (e.Condition == "item-not-found" || e.Condition == "forbidden") && !set.Empty() && s.openAttachments(ctx, target) {
		_, err = s.ask(ctx, virtual, target.Service, "set", payload)
	}
	if err = refused(err, &target); err == nil && target.IsZero() && !set.Empty() {
		lose(r, sdk.LossReaction, "the post's service takes no attachments from here")
	}
	return err
}

// openAttachments makes the attachments node of a local user's post, in the user's
// name: only the post's publisher may (XEP-0470 §4.1.1). It shows as much as the
// post does. It reports false where that is not granted or not possible.
func (s *Social) openAttachments(ctx context.Context, target pubsub.Address) bool {
	if s.o.AsUser == nil || !target.PEP() {
		return false
	}
	access, err := s.nodeAccess(ctx, target.NodeOnly())
	if err != nil || access == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, iqTimeout)
	defer cancel()
	node := target.NodeOnly()
	node.Node = attach.Node(target)
	answer, err := s.o.AsUser(ctx, &packet.IQ{Attrs: packet.Attrs{From: target.Service, To: target.Service, Type: "set"}, Payload: pubsub.Create(node.Node, map[string]string{
		"pubsub#access_model": access, "pubsub#publish_model": "open", "pubsub#persist_items": "true", "pubsub#max_items": "max",
	})})
	if err != nil || answer.Type == "error" {
		s.o.Log.Debug("attachments node not made", "error", err)
		return false
	}
	s.due(node, s.o.Now()) // others may attach, too
	return true
}

// share writes a repeat: the entry as it was, by its author, with a link to where
// it is from (XEP-0472 §4.5).
func (s *Social) share(ctx context.Context, d *sdk.Delivery, c sdk.Shared, at pubsub.Address, r *sdk.Receipt) error {
	target, ok := atom.FromRemote(c.Target.Remote)
	if !ok {
		lose(r, sdk.LossKindless, "what was repeated is not known here")
		return nil
	}
	entry, err := s.original(ctx, at.Service, target)
	if err != nil {
		return err
	}
	if entry.Title == "" {
		lose(r, sdk.LossKindless, "what was repeated is not shown to us, or not to everybody")
		return nil
	}
	entry.Via = []atom.Link{{Href: target.URI(), Ref: entry.ID}}
	entry.ID, entry.Updated, entry.ReplyTo = at.URI(), d.Event.Time, nil
	if entry.Updated.IsZero() {
		entry.Updated = s.o.Now()
	}
	e, err := entry.Element()
	if err != nil {
		return &sdk.Error{Kind: sdk.Invalid, Err: err}
	}
	return tooLarge(s.pep.Post(ctx, at, pep.Item{Publisher: at.Service, Access: pep.Open, XML: string(e.Raw())}))
}

// original gives the entry that is repeated, if it is one that everybody may see.
func (s *Social) original(ctx context.Context, as string, target pubsub.Address) (atom.Entry, error) {
	if !s.virtual(target.Service) {
		if access, err := s.nodeAccess(ctx, target.NodeOnly()); err != nil || access != "open" {
			return atom.Entry{}, err
		}
		entry, err := s.fetch(ctx, as, target)
		if err == nil && entry.Text == "" && !entry.XHTML.IsZero() {
			entry.Text = entry.Title
		}
		return entry, err
	}
	it, ok, err := s.pep.Find(target)
	if err != nil || !ok || it.Access != pep.Open {
		return atom.Entry{}, err
	}
	e, err := xmltok.Parse([]byte(it.XML))
	if err != nil {
		return atom.Entry{}, fmt.Errorf("read entry %s: %w", target.URI(), err)
	}
	return atom.Parse(e)
}
