package social

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// Deliver writes deliveries for one place, in order, and gives a receipt for
// each. After one that failed for now, the rest come back unsent.
func (s *Social) Deliver(ctx context.Context, batch []sdk.Delivery) []sdk.Receipt {
	receipts := make([]sdk.Receipt, 0, len(batch))
	for i := range batch {
		d := &batch[i]
		if n := len(receipts); n > 0 && receipts[n-1].Err != nil && receipts[n-1].Err.Kind.Temporary() {
			receipts = append(receipts, sdk.Receipt{
				Delivery: d.ID, Unsent: true,
				Err: sdk.Errorf(sdk.Transient, "deliver to "+string(d.Place), "waits for the delivery before it"),
			})
			continue
		}
		r := sdk.Receipt{Delivery: d.ID}
		if err := s.deliver(ctx, d, &r); err != nil {
			r.Err = border("deliver to "+string(d.Place), err)
			r.Unsent = errors.Is(err, stream.ErrNotWritten)
		}
		receipts = append(receipts, r)
	}
	return receipts
}

func (s *Social) deliver(ctx context.Context, d *sdk.Delivery, r *sdk.Receipt) error {
	select {
	case <-s.loaded: // before that, nobody is known to have subscribed
	case <-ctx.Done():
		return fmt.Errorf("wait for what is stored: %w: %w", stream.ErrNotWritten, ctx.Err())
	}
	if own, foreign, ok := sdk.SplitPeerPlace(d.Place); ok && own == sdk.PeerAll && s.pep != nil {
		virtual, err := s.o.Virtual(foreign)
		if err != nil {
			return &sdk.Error{Kind: sdk.Invalid, Public: "the address has no form in XMPP", Err: err}
		}
		return s.deliverFeed(ctx, d, virtual, r)
	}
	s.mu.Lock()
	at, ok := s.places[d.Place]
	s.mu.Unlock()
	if !ok {
		return sdk.Errorf(sdk.NotFound, "", "no node of link %s", s.o.Link)
	}
	return s.deliverNode(ctx, d, at, r)
}

// border gives an error its kind for the host.
func border(op string, err error) *sdk.Error {
	var own *sdk.Error
	if errors.As(err, &own) {
		own.Op = op
		return own
	}
	if errors.Is(err, stream.ErrRefused) { // the stanza would have cost the stream, and would again
		return &sdk.Error{Op: op, Kind: sdk.TooLarge, Public: "the post is too large", Err: err}
	}
	var e *packet.Error
	if !errors.As(err, &e) {
		return &sdk.Error{Op: op, Kind: sdk.KindOf(err), Err: err}
	}
	out := &sdk.Error{Op: op, Kind: sdk.Invalid, Err: err, Public: explain(err)}
	switch e.Condition {
	case "forbidden", "not-allowed", "not-authorized":
		out.Kind = sdk.Forbidden
	case "item-not-found", "gone":
		out.Kind = sdk.NotFound
	case "feature-not-implemented":
		out.Kind = sdk.Unsupported
	case "resource-constraint", "policy-violation":
		out.Kind = sdk.RateLimited
	case "remote-server-not-found", "remote-server-timeout", "service-unavailable", "recipient-unavailable", "internal-server-error":
		out.Kind = sdk.Transient
	case "not-acceptable":
		out.Kind = sdk.TooLarge
	case "conflict":
		out.Kind = sdk.Conflict
	}
	if e.Type == "wait" && !out.Kind.Temporary() {
		out.Kind = sdk.Transient
	}
	return out
}

// itemID gives the id of the pubsub item that stands for an item of the host. It
// carries the link's mark, by which a bridge knows what a bridge wrote.
func (s *Social) itemID(id sdk.ItemID) string { return convert.MessageID(s.tag, sdk.DeliveryID(id)) }

// shareID gives the id of the pubsub item that stands for an actor's repeat of an item.
func (s *Social) shareID(ev *sdk.Event) string {
	t := ev.Target()
	sum := sha256.Sum256([]byte(ev.Actor.Home.String() + "\x00" + string(t.Item) + "\x00" + string(t.Remote)))
	return s.tag + "s" + hex.EncodeToString(sum[:12])
}

// copyOf gives where an item stands that an event is about: as the host knows it,
// else where it would stand.
func (s *Social) copyOf(t sdk.Target, node pubsub.Address) pubsub.Address {
	if at, ok := atom.FromRemote(t.Remote); ok && at.NodeOnly() == node {
		return at
	}
	return node.At(s.itemID(t.Item))
}

// lose notes what could not be expressed.
func lose(r *sdk.Receipt, kind sdk.LossKind, detail string) {
	r.Loss = append(r.Loss, sdk.Loss{Kind: kind, Detail: detail})
}
