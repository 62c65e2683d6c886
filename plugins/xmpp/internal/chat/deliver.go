package chat

import (
	"context"
	"errors"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// outgoing is one delivery on its way.
type outgoing struct {
	d       *sdk.Delivery
	ids     []string // of its messages
	pending []Pending
	copied  sdk.RemoteID // name of the copy that it makes; empty = none
	receipt sdk.Receipt
	decided bool // the receipt is final
}

// Takes reports whether deliveries of a kind are said in conversations.
func Takes(ev *sdk.Event) bool {
	switch c := ev.Change.(type) {
	case sdk.ItemCreated, sdk.ItemUpdated, sdk.ItemRetracted, sdk.ReactionsSet:
		return true
	case sdk.Signal:
		switch c.Signal {
		case sdk.SignalTyping, sdk.SignalPaused, sdk.SignalReceived, sdk.SignalDisplayed, sdk.SignalFailed:
			return true
		}
	}
	return false
}

// Deliver says deliveries of one place, in order, and returns when the server
// has them all.
func (c *Chats) Deliver(ctx context.Context, batch []sdk.Delivery) []sdk.Receipt {
	t, err := c.talkAt(batch[0].Place)
	if err != nil {
		return refuseAll(batch, err)
	}
	out := make([]outgoing, len(batch))
	stop := (*sdk.Error)(nil)
	for i := range batch {
		o := &out[i]
		o.d, o.receipt.Delivery = &batch[i], batch[i].ID
		if stop != nil {
			o.fail(stop, true)
			continue
		}
		stop = c.write(ctx, t, o)
	}
	for i := range out {
		c.settle(ctx, t, &out[i])
	}
	return receipts(out)
}

// receipts collects the answers. After a delivery that must be tried again no
// later one counts as done before it: those that the server has stay done, and
// those that it refused or lost wait their turn.
func receipts(out []outgoing) []sdk.Receipt {
	list := make([]sdk.Receipt, len(out))
	for i := range out {
		list[i] = out[i].receipt
	}
	return list
}

func refuseAll(batch []sdk.Delivery, err *sdk.Error) []sdk.Receipt {
	list := make([]sdk.Receipt, len(batch))
	for i := range batch {
		list[i] = sdk.Receipt{Delivery: batch[i].ID, Err: err, Unsent: true}
	}
	return list
}

func (o *outgoing) fail(err *sdk.Error, unsent bool) {
	o.receipt.Err, o.receipt.Unsent, o.decided = err, unsent, true
}

// write hands the messages of a delivery to the stream. An error means that
// later deliveries may not be sent now.
func (c *Chats) write(ctx context.Context, t talk, o *outgoing) *sdk.Error {
	if c.failedThere(ctx, t, o.d) {
		o.decided = true
		return nil
	}
	messages, loss, copied := c.compose(t, o.d)
	o.receipt.Loss, o.copied = loss, copied
	if len(messages) == 0 {
		o.decided = true
		return nil
	}
	for i, m := range messages {
		c.expect(m.ID, t)
		o.ids = append(o.ids, m.ID)
		p, err := c.stream.Start(ctx, packet.Raw(m.Data))
		if err != nil {
			return c.unwritten(t, o, err, i == 0)
		}
		o.pending = append(o.pending, p)
	}
	return nil
}

// unwritten decides a delivery whose message the stream did not take. What the
// stream refuses would be refused again.
func (c *Chats) unwritten(t talk, o *outgoing, err error, first bool) *sdk.Error {
	e := &sdk.Error{Op: "send to " + t.user, Kind: sdk.Transient, Public: "the server is not reached", Err: err}
	unsent := first && errors.Is(err, stream.ErrNotWritten)
	if errors.Is(err, stream.ErrRefused) {
		e.Kind, e.Public = sdk.Invalid, "the message cannot be sent over XMPP"
		o.fail(e, unsent)
		return nil
	}
	o.fail(e, unsent)
	return e
}

// expect prepares for an error stanza in answer to a message.
func (c *Chats) expect(id string, t talk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[id] = &sent{to: t.user}
}

// settle waits until the server has the messages of a delivery, and decides it.
func (c *Chats) settle(ctx context.Context, t talk, o *outgoing) {
	var failed error
	for _, p := range o.pending {
		if err := p.Wait(ctx); err != nil && failed == nil {
			failed = err
		}
	}
	refused := c.collect(t, o)
	switch {
	case o.decided:
	case refused != nil:
		o.receipt.Err = refusal(t.user, refused)
		o.receipt.Unsent = o.receipt.Err.Kind.Temporary() // it was heard, and refused
	case failed != nil:
		o.receipt.Err = &sdk.Error{Op: "send to " + t.user, Kind: sdk.Transient, Public: "the connection to the server broke", Err: failed}
		o.receipt.Unsent = errors.Is(failed, stream.ErrNotWritten)
	default:
		o.receipt.Puppet = puppet(t)
		if it := o.d.Event.Item(); it != nil && o.copied != "" {
			o.receipt.Copies = []sdk.Copy{{Item: it.ID, Remote: o.copied}}
		}
	}
}

// puppet gives how the author appears: only where the link gave it an address.
func puppet(t talk) sdk.RemoteID {
	if t.named {
		return ""
	}
	return sdk.RemoteID(t.ours)
}

// collect ends the wait for error stanzas, and remembers the message for those
// that a far server sends later.
func (c *Chats) collect(t talk, o *outgoing) *packet.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var refused *packet.Error
	for _, id := range o.ids {
		if s := c.sent[id]; s != nil && s.err != nil && refused == nil {
			refused = s.err
		}
		delete(c.sent, id)
	}
	if o.copied != "" {
		c.recent.put(o.ids[0], late{place: t.place, user: t.user, remote: o.copied})
	}
	return refused
}
