package muc

import (
	"context"
	"errors"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// pending is a delivery whose messages were sent and that the room has not all
// reflected yet.
type pending struct {
	b     *batch
	index int
	by    *occupant
	item  sdk.ItemID   // the item whose copy the messages become; empty when they are none
	text  string       // what it says, in short
	topic *string      // the topic that it sets, since rooms need not reflect that under our id
	mild  sdk.LossKind // what is lost if the room refuses; empty = then the delivery has failed

	base  string   // id that the messages share: convert.PartIDs
	ids   []string // of its messages
	hits  []hit    // where they are in the room
	open  int      // messages that the room has not reflected
	tried bool     // at least one was handed to the stream
	size  int      // bytes of the longest of its messages
}

// batch is one call of Deliver.
type batch struct {
	receipts []sdk.Receipt
	open     int           // pending messages
	failed   bool          // a delivery failed temporarily: send nothing more
	moved    time.Time     // when the last receipt came
	settled  chan struct{} // cap 1: open became 0
}

// Deliver sends deliveries into the room in order, all at once, and waits until
// the room has reflected or refused each. What an earlier attempt may have sent
// is looked for before anything is sent.
func (r *Room) Deliver(ctx context.Context, deliveries []sdk.Delivery) []sdk.Receipt {
	b := &batch{receipts: make([]sdk.Receipt, len(deliveries)), settled: make(chan struct{}, 1), moved: r.o.Now()}
	for i, d := range deliveries {
		b.receipts[i] = sdk.Receipt{Delivery: d.ID, Unsent: !d.Uncertain}
	}
	if err := r.waitUp(ctx); err != nil {
		return b.abort(0, err)
	}
	found, err := r.search(ctx, deliveries)
	if err != nil {
		return b.abort(0, err)
	}
	for i := range deliveries {
		d := &deliveries[i]
		b.receipts[i].Unsent = true // the search has settled it
		if hits := inRoom(found, convert.MessageID(r.o.Tag, d.ID)); whole(hits) {
			b.receipts[i] = r.receiptFound(d, hits)
			continue
		}
		r.mu.Lock()
		failed := b.failed
		r.mu.Unlock()
		if failed {
			b.skip(deliveries, i, found, r)
			break
		}
		if err := r.send(ctx, b, i, d, found); err != nil {
			b.receipts[i].Err = err
			if err.Kind.Temporary() {
				b.skip(deliveries, i+1, found, r)
				break
			}
		}
	}
	r.await(ctx, b)
	return b.receipts
}

// abort gives every delivery from the index on the error.
func (b *batch) abort(from int, err *sdk.Error) []sdk.Receipt {
	for i := from; i < len(b.receipts); i++ {
		b.receipts[i].Err = err
	}
	return b.receipts
}

// skip gives the deliveries from the index on back unsent, but for those that
// the search found in the room.
func (b *batch) skip(deliveries []sdk.Delivery, from int, found map[string]hit, r *Room) {
	for i := from; i < len(deliveries); i++ {
		hits := inRoom(found, convert.MessageID(r.o.Tag, deliveries[i].ID))
		if whole(hits) {
			b.receipts[i] = r.receiptFound(&deliveries[i], hits)
			continue
		}
		b.receipts[i].Unsent = len(hits) == 0
		b.receipts[i].Err = &sdk.Error{Op: "send to " + r.o.JID, Kind: sdk.Transient, Public: "an earlier message could not be sent"}
	}
}

// receiptFound answers a delivery that is in the room already.
func (r *Room) receiptFound(d *sdk.Delivery, hits []hit) sdk.Receipt {
	rec := sdk.Receipt{Delivery: d.ID}
	if it := d.Event.Item(); it != nil && d.Event.Kind() == sdk.KindItemCreated {
		rec.Copies = []sdk.Copy{{Item: it.ID, Remote: r.copyOf(convert.MessageID(r.o.Tag, d.ID), hits).Remote()}}
	}
	return rec
}

// copyOf names the copy that the messages of one delivery make.
func (r *Room) copyOf(base string, hits []hit) convert.ID {
	id := convert.ID{Room: r.o.JID, Stanza: hits[0].stanza, Message: convert.PartIDs(base, len(hits))[0], From: hits[0].nick}
	for _, h := range hits[1:] {
		if h.stanza != "" {
			id.More = append(id.More, h.stanza)
		}
	}
	return id
}

// send writes one delivery. A nil error with nothing pending means that there
// was nothing to send. Of a delivery that takes several messages, those that were
// found in the room are not sent again.
func (r *Room) send(ctx context.Context, b *batch, index int, d *sdk.Delivery, found map[string]hit) *sdk.Error {
	rec := &b.receipts[index]
	if !expressible(d) {
		rec.Unsent = false
		rec.Loss = append(rec.Loss, sdk.Loss{Kind: sdk.LossKindless, Detail: d.Event.Kind().String() + " cannot be shown in a room"})
		return nil
	}
	if done, err := r.act(ctx, rec, d); done || err != nil {
		return err
	}
	o, direct, loss, err := r.speaker(ctx, d)
	if err != nil {
		return err
	}
	if o == nil {
		rec.Unsent, rec.Loss = false, loss
		return nil
	}
	messages, p, loss := r.encode(d, o, direct)
	if len(messages) == 0 {
		rec.Unsent, rec.Loss = false, loss
		return nil
	}
	p.b, p.index, p.by, p.base = b, index, o, convert.MessageID(r.o.Tag, d.ID)
	p.hits = make([]hit, len(messages))
	for i, m := range messages {
		p.size = max(p.size, len(m.Data))
		if len(m.Data) > r.o.MaxText+maxEnvelope {
			return sdk.Errorf(sdk.TooLarge, "send to "+r.o.JID, "the message has %d bytes", len(m.Data))
		}
		p.ids = append(p.ids, m.ID)
		p.hits[i] = found[m.ID]
	}
	return r.write(ctx, d, p, messages, loss)
}

// maxEnvelope is the most that a message needs beside its body.
const maxEnvelope = 16 << 10

// write registers what is pending, since a reflection may come before the write
// returns, and hands the messages to the stream.
func (r *Room) write(ctx context.Context, d *sdk.Delivery, p *pending, messages []convert.Message, loss []sdk.Loss) *sdk.Error {
	op := "send to " + r.o.JID
	r.mu.Lock()
	if p.by.phase != in || !r.up {
		r.mu.Unlock()
		return &sdk.Error{Op: op, Kind: sdk.Transient, Public: "we are no longer in the room"}
	}
	rec := &p.b.receipts[p.index]
	rec.Loss, rec.Unsent = loss, false
	if p.by.key != "" && d.Event.Actor.Puppet != sdk.RemoteID(convert.Bare(p.by.key)) {
		rec.Puppet = sdk.RemoteID(convert.Bare(p.by.key))
	}
	p.by.used = r.o.Now()
	var due []convert.Message
	for i, m := range messages {
		if p.hits[i] == (hit{}) {
			r.pending[m.ID] = p
			p.open++
			due = append(due, m)
		}
	}
	p.b.open++
	if len(due) == 0 {
		r.arrived(p, r.o.JID+"/"+p.hits[0].nick)
	}
	r.mu.Unlock()
	for _, m := range due {
		err := r.stream.SendRaw(ctx, p.by.from, m.Data)
		if err != nil {
			return r.unwritten(p, m.ID, err)
		}
		p.tried = true
	}
	return nil
}

// unwritten settles a delivery one of whose messages the stream did not take.
func (r *Room) unwritten(p *pending, id string, err error) *sdk.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[id] != p {
		return p.b.receipts[p.index].Err // settled meanwhile, by the loss of the stream
	}
	out := &sdk.Error{Op: "send to " + r.o.JID, Kind: sdk.Transient, Public: "the XMPP server cannot be reached now", Err: err}
	if errors.Is(err, stream.ErrRefused) {
		out.Kind, out.Public = sdk.Invalid, "the message cannot be sent over XMPP"
	}
	r.finish(p, sdk.Receipt{Err: out, Unsent: errors.Is(err, stream.ErrNotWritten) && !p.tried})
	return out
}

// finish settles a delivery. Delivery, loss and puppet of its receipt stay.
// Called with mu held.
func (r *Room) finish(p *pending, got sdk.Receipt) {
	for _, id := range p.ids {
		if r.pending[id] == p {
			delete(r.pending, id)
		}
	}
	rec := &p.b.receipts[p.index]
	rec.Err, rec.Unsent, rec.Copies = got.Err, got.Unsent, got.Copies
	if got.Err != nil {
		rec.Loss, rec.Puppet = nil, ""
		if !got.Unsent {
			r.doubted[p.base] = true
		}
		p.b.failed = p.b.failed || got.Err.Kind.Temporary()
	} else {
		r.recovered(p.by)
	}
	p.b.moved = r.o.Now()
	p.b.open--
	if p.b.open == 0 {
		select {
		case p.b.settled <- struct{}{}:
		default:
		}
	}
}

// recovered notes that the room takes what o says, after it did not. Called with
// mu held.
func (r *Room) recovered(o *occupant) {
	if r.state.State == sdk.StateDegraded {
		r.setState(sdk.StateUp, r.joinedAs(o))
	}
}

// Bounds of what is done about a server that ends the connection when a stanza is
// too long for it (RFC 6120 §4.9.3.14), which no feature tells beforehand.
const (
	longText    = 8 << 10 // shorter messages are never suspected
	leastText   = 4 << 10
	maxSuspects = 64
)

// suspect looks whether the connection was lost twice with the same long message
// on its way: then texts become shorter, and take more messages. Called with mu
// held, before what is pending is settled.
func (r *Room) suspect() {
	blamed := map[*pending]bool{}
	for _, p := range r.pending {
		if p.size <= longText || blamed[p] {
			continue
		}
		blamed[p] = true
		if len(r.suspects) >= maxSuspects {
			clear(r.suspects)
		}
		if r.suspects[p.base]++; r.suspects[p.base] < 2 {
			continue
		}
		r.most = max(leastText, p.size/2)
		r.o.Log.Warn("the connection was lost twice with the same long message: messages become shorter", "bytes", p.size, "now", r.most)
	}
}

// longest is the longest text of one message. Called with mu held.
func (r *Room) longest() int {
	if r.most > 0 {
		return min(r.most, r.o.MaxText)
	}
	return r.o.MaxText
}

// await waits until nothing of the batch is pending. When nothing moves for
// long it asks whether we are still in the room at all.
func (r *Room) await(ctx context.Context, b *batch) {
	t := time.NewTicker(max(r.o.Settle/4, time.Millisecond))
	defer t.Stop()
	asked := false
	for {
		r.mu.Lock()
		open, quiet := b.open, r.o.Now().Sub(b.moved)
		r.mu.Unlock()
		if open == 0 {
			return
		}
		if quiet > r.o.Settle && !asked {
			asked = true
			r.askForPending(ctx, b)
			continue
		}
		if quiet > 2*r.o.Settle {
			r.giveUp(b, "the room does not reflect the message")
			return
		}
		select {
		case <-b.settled:
		case <-ctx.Done():
			r.giveUp(b, "the room did not reflect the message in time")
			return
		case <-t.C:
		}
	}
}

// askForPending asks for each occupant that waits whether it is still in; if it
// is not, its messages are settled as uncertain.
func (r *Room) askForPending(ctx context.Context, b *batch) {
	r.mu.Lock()
	waiting := map[*occupant]bool{}
	for _, p := range r.pending {
		if p.b == b {
			waiting[p.by] = true
		}
	}
	r.mu.Unlock()
	for o := range waiting {
		r.selfPing(ctx, o)
	}
}

// giveUp settles what is pending of a batch: nobody knows whether it is in the room.
func (r *Room) giveUp(b *batch, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pending {
		if p.b == b {
			r.finish(p, sdk.Receipt{Err: &sdk.Error{Op: "send to " + r.o.JID, Kind: sdk.Transient, Public: why}})
		}
	}
}

// reflected takes a message that the room sent to one of ours. It reports
// whether it is our own. Called with mu held.
func (r *Room) reflected(m *packet.Message, nick string) bool {
	id := m.ID
	p := r.pending[id]
	if p == nil {
		if id = m.OriginID(); id != "" {
			p = r.pending[id]
		}
	}
	if p == nil && m.HasSubject() && !m.HasBody() {
		id, p = r.pendingTopic(m.Subject(), nick)
	}
	if p == nil || p.by.nick != nick {
		return r.nicks[nick] != nil || r.echo(m.ID)
	}
	p.by.heard = r.o.Now()
	h := hit{stanza: r.stanzaID(m), nick: nick}
	r.looked.add(id, h)
	for i := range p.ids {
		if p.ids[i] == id && p.hits[i] == (hit{}) {
			p.hits[i] = h
			p.open--
		}
	}
	delete(r.pending, id)
	p.b.moved = r.o.Now()
	if p.open == 0 {
		r.arrived(p, m.From)
	}
	return true
}

// arrived settles a delivery all of whose messages are in the room. Called with
// mu held.
func (r *Room) arrived(p *pending, from string) {
	got := sdk.Receipt{}
	if p.item != "" {
		copied := r.copyOf(p.base, p.hits)
		remote := copied.Remote()
		got.Copies = []sdk.Copy{{Item: p.item, Remote: remote}}
		for i, h := range p.hits {
			r.seen.add(&sight{remote: remote, author: ownAuthor, from: from, text: p.text}, p.ids[i], h.stanza)
		}
	}
	r.finish(p, got)
}

// pendingTopic finds the message of the nick that sets the topic. Called with mu held.
func (r *Room) pendingTopic(topic, nick string) (string, *pending) {
	for id, p := range r.pending {
		if p.topic != nil && *p.topic == topic && p.by.nick == nick {
			return id, p
		}
	}
	return "", nil
}

// echo reports whether a message is one that we sent over a connection that is
// gone, and that a server brings only now. Later the sign counts for nothing,
// since anybody can write it. Called with mu held.
func (r *Room) echo(id string) bool {
	return strings.HasPrefix(id, r.o.Tag) && r.o.Now().Sub(r.upAt) < echoes
}

// echoes is how long after a connect such messages are expected.
const echoes = 30 * time.Second

// refused takes an error that answers a message of ours.
func (r *Room) refused(m *packet.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[m.ID]
	if p == nil || m.Error == nil {
		return
	}
	if to := r.occupantTo(m.To); to != p.by {
		return
	}
	if p.mild != "" && !m.Error.Temporary() && (m.Error.Condition == "forbidden" || m.Error.Condition == "not-allowed") {
		rec := &p.b.receipts[p.index]
		rec.Loss = append(rec.Loss, sdk.Loss{Kind: p.mild, Detail: "the room does not allow it"})
		r.finish(p, sdk.Receipt{})
		return
	}
	err := refusedMessage("send to "+r.o.JID, m.Error)
	r.finish(p, sdk.Receipt{Err: err, Unsent: len(p.ids) == 1})
	if !outside(m.Error.Condition) {
		if err.Kind.Temporary() {
			r.setState(sdk.StateDegraded, err.Public)
		}
		return
	}
	if p.by.phase == in {
		r.gone(p.by, nil)
		p.by.err = err
		r.info = nil
		if p.by == r.bot && r.o.Source {
			r.retry = time.Time{}
		}
		r.setState(sdk.StateDown, err.Public)
	}
}
