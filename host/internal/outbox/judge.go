package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// outcome of one delivery of a batch.
type resultState uint8

const (
	open  resultState = iota // to be sent
	done                     // the network has it, or needs it not
	dead                     // it will never have it
	retry                    // again later
)

type result struct {
	state    resultState
	delivery sdk.Delivery
	kind     sdk.Kind
	reason   string // for the operator
	public   string // for people
	err      error  // why it is to be tried again
	after    time.Duration
	unsent   bool
	receipt  *sdk.Receipt
}

func (r *result) bury(kind sdk.Kind, reason string) {
	r.state, r.kind, r.reason, r.public = dead, kind, reason, reason
}

func (r *result) postpone(err error) {
	if r.state == open {
		r.state, r.err, r.unsent = retry, err, true
	}
}

// errNoReceipt stands for a link that answered, but not for this delivery.
var errNoReceipt = errors.New("the link gave no receipt")

// judge decides about each delivery of a batch, puts back what is to be tried
// again, and gives what has to be written and how long the lane waits.
func (o *Outbox) judge(l *lane, b *batch, receipts []sdk.Receipt, err error) (*settlement, time.Duration) {
	byID := make(map[sdk.DeliveryID]*sdk.Receipt, len(receipts))
	for i := range receipts {
		if _, ok := byID[receipts[i].Delivery]; !ok {
			byID[receipts[i].Delivery] = &receipts[i]
		}
	}
	for i := range b.result {
		if r := &b.result[i]; r.state == open {
			r.read(byID[r.delivery.ID], err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.collect(l, b)
	return s, o.again(l, b, s)
}

// read takes over a receipt, nil when there is none.
func (r *result) read(rc *sdk.Receipt, err error) {
	switch {
	case rc == nil:
		r.state, r.err = retry, err
		if err == nil {
			r.err = errNoReceipt
		}
		var e *sdk.Error
		if errors.As(err, &e) {
			r.after = e.After
		}
	case rc.Err == nil:
		r.state, r.receipt = done, rc
	case rc.Err.Kind.Temporary():
		r.state, r.err, r.after, r.unsent = retry, rc.Err, rc.Err.After, rc.Unsent
	default:
		r.state, r.kind, r.reason = dead, rc.Err.Kind, rc.Err.Error()
		r.public = cmp.Or(rc.Err.Public, rc.Err.Kind.String())
		r.receipt = rc
	}
}

// settlement is what a batch writes, with what follows when it is written.
type settlement struct {
	store.Settlement
	lane     *lane
	count    int
	keys     []store.Key
	outcomes map[sdk.LinkID][]sdk.Outcome
	puppets  map[puppetKey]sdk.RemoteID
	ok, dead uint64
}

// collect turns results into rows. Called with the lock held.
func (o *Outbox) collect(l *lane, b *batch) *settlement {
	s := &settlement{lane: l}
	s.Lane = l.id
	prefix := true
	var over []int64
	now := o.deps.Now()
	for i := range b.items {
		p, r := &b.items[i], &b.result[i]
		if r.state == retry {
			prefix = prefix && allRetry(b.result[i:])
			continue
		}
		over = append(over, p.seq)
		l.cleared(p.seq)
		if r.state == dead {
			o.buried(s, l, p, r)
			o.deps.Observe(l.place.Link, p.ev.Kind(), "dead", now.Sub(p.created))
		} else {
			o.delivered(s, l, p, r)
			o.deps.Observe(l.place.Link, p.ev.Kind(), "delivered", now.Sub(p.created))
		}
	}
	if s.count = len(over); s.count == 0 {
		return s
	}
	if prefix && !l.revived {
		s.First, s.Upto = over[0], over[len(over)-1]
	} else {
		s.Done = over
	}
	return s
}

func allRetry(rs []result) bool {
	for i := range rs {
		if rs[i].state != retry {
			return false
		}
	}
	return true
}

func (o *Outbox) buried(s *settlement, l *lane, p *pending, r *result) {
	s.dead++
	s.Dead = append(s.Dead, store.DeadRow{
		Lane: l.id, Seq: p.seq, Event: p.seq, Rule: p.rule, Created: p.created, Attempts: l.fails + 1, Kind: r.kind, Reason: r.reason,
	})
	o.tell(s, l, p, sdk.OutcomeDead, r.public, nil)
}

// delivered takes over what the receipt says. A link may only name the item of
// the delivery itself.
func (o *Outbox) delivered(s *settlement, l *lane, p *pending, r *result) {
	s.ok++
	var losses []sdk.Loss
	if rc := r.receipt; rc != nil {
		own := o.deps.Store.Names().Item(p.item)
		if t := r.delivery.Event.Target(); t.Item != "" {
			own = t.Item
		}
		for _, c := range rc.Copies {
			item, ok := o.deps.Store.Names().ParseItem(cmp.Or(c.Item, own))
			if !ok || c.Remote == "" || c.Item != "" && c.Item != own {
				o.deps.Log.Warn("receipt names a foreign item", "link", string(l.place.Link))
				continue
			}
			s.Copies = append(s.Copies, store.CopyRow{Item: item, Place: l.place, Remote: c.Remote, Rule: p.rule})
			s.keys = append(s.keys, store.Key{Link: l.place.Link, Remote: c.Remote})
		}
		if rc.Puppet != "" && p.actor != 0 {
			s.Puppets = append(s.Puppets, store.PuppetRow{Actor: p.actor, Puppet: sdk.Ref{Link: l.place.Link, ID: rc.Puppet}})
			if s.puppets == nil {
				s.puppets = map[puppetKey]sdk.RemoteID{}
			}
			s.puppets[puppetKey{p.actor, l.place.Link}] = rc.Puppet
		}
		o.spread(s, l, p, rc.Spread)
		if losses = rc.Loss; len(losses) > 0 {
			text, err := json.Marshal(losses)
			if err == nil {
				s.Losses = append(s.Losses, store.LossRow{Event: p.seq, Place: l.place, Rule: p.rule, Text: string(text)})
			}
		}
	}
	if p.ev.Want {
		o.tell(s, l, p, sdk.OutcomeDelivered, "", losses)
	}
}

// maxSpread bounds the places that one receipt names.
const maxSpread = 10_000

// spread writes the event down for further places. It becomes a row of the
// journal of its own, since what waited for its turn in one lane would else come
// with an old number into another that has gone on.
func (o *Outbox) spread(s *settlement, l *lane, p *pending, to []sdk.RemoteID) {
	if len(to) == 0 {
		return
	}
	if len(to) > maxSpread {
		o.deps.Log.Warn("receipt names too many places, the last ones are left out", "link", string(l.place.Link), "places", len(to))
		to = to[:maxSpread]
	}
	audit, err := json.Marshal(map[string]any{"rules": []sdk.RouteID{p.rule}, "reason": "spread from " + l.place.String()})
	if err != nil {
		audit = []byte("{}") // strings always marshal
	}
	e := &store.Entry{
		Event: p.ev, Body: codec.AppendEvent(nil, p.ev), Fate: store.FateRouted, Audit: string(audit),
		Parent: &store.Entry{Seq: p.seq, ItemID: p.item}, Deliveries: make([]store.Delivery, 0, len(to)),
	}
	seen := make(map[sdk.RemoteID]bool, len(to))
	for _, id := range to {
		if id != "" && id != l.place.ID && !seen[id] {
			seen[id] = true
			e.Deliveries = append(e.Deliveries, store.Delivery{To: sdk.Ref{Link: l.place.Link, ID: id}, Rule: p.rule})
		}
	}
	if len(e.Deliveries) > 0 {
		s.Spread = append(s.Spread, e)
	}
}

// tell notes what the publishing link has to hear. It is stored with the
// settlement, so that it is heard of at least once.
func (o *Outbox) tell(s *settlement, l *lane, p *pending, state sdk.OutcomeState, reason string, losses []sdk.Loss) {
	from := p.ev.Place.Link
	if p.ev.Notice || !o.deps.Hears(from) {
		return
	}
	if s.outcomes == nil {
		s.outcomes = map[sdk.LinkID][]sdk.Outcome{}
	}
	out := sdk.Outcome{Dedup: p.ev.Dedup, Origin: store.OriginOf(p.ev), Place: l.place, State: state, Reason: reason, Loss: losses}
	s.outcomes[from] = append(s.outcomes[from], out)
	s.Outcomes = append(s.Outcomes, store.OutcomeRow{To: from, Outcome: out})
}

// again puts deliveries back that are to be tried again, and says how long the
// lane waits before that. Called with the lock held.
func (o *Outbox) again(l *lane, b *batch, s *settlement) time.Duration {
	k := l.link
	var rest []pending
	var first *result
	for i := range b.items {
		r := &b.result[i]
		if r.state != retry {
			continue
		}
		if first == nil {
			first = r
		}
		if !r.unsent {
			l.unsureUpto = max(l.unsureUpto, b.items[i].seq)
		}
		o.window += b.items[i].size
		rest = append(rest, b.items[i])
	}
	if first == nil {
		l.suspects = l.suspects[:0]
		if s.ok > 0 {
			l.why = ""
		}
		if l.fails > 0 {
			l.fails, s.SetRetry = 0, true
		}
		if k.worked(l) {
			o.release(l)
		}
		return 0
	}
	l.inFlight -= len(rest)
	l.window = append(rest, l.window...)
	k.failed++
	l.lostAt = time.Now()
	if !noReceipts(b.result) {
		l.suspects = l.suspects[:0]
	}
	if k.to == nil || o.closing || b.cut {
		return 0 // the link went away: that says nothing about the place
	}
	if s.count > 0 {
		l.fails = 0
	}
	l.fails++
	l.why = reasonOf(first.err)
	wait := max(o.backoff(l.fails-1), first.after)
	if left := l.waits(&rest[0]).Add(o.maxAge(l)).Sub(o.deps.Now()); left > 0 {
		wait = min(wait, left+time.Millisecond) // it becomes a dead letter in time, not an hour later
	}
	s.SetRetry, s.Fails, s.Due, s.Uncertain = true, l.fails, o.deps.Now().Add(wait), !first.unsent
	k.failedHost(l, o.opts.HostTrip, o.backoff)
	o.deps.Log.Debug("delivery is tried again later", "link", string(k.id), "fails", l.fails, "wait", wait, "error", first.err)
	return wait
}

// reasonOf gives the text of a failure that operators read.
func reasonOf(err error) string {
	var e *sdk.Error
	if errors.As(err, &e) && e.Public != "" {
		return e.Public
	}
	return err.Error()
}

func noReceipts(rs []result) bool {
	for i := range rs {
		if rs[i].receipt != nil || rs[i].state == retry && rs[i].unsent {
			return false
		}
	}
	return true
}

// release lets the lanes of a host run that waited for its breaker.
func (o *Outbox) release(l *lane) {
	for other := range l.link.lanes {
		if other.host == l.host {
			o.unpark(other)
		}
	}
	o.signal()
}

// backoff doubles from BackoffMin to BackoffMax, with jitter of a fifth.
func (o *Outbox) backoff(fails int) time.Duration {
	d := o.opts.BackoffMax
	if fails < 30 {
		d = min(o.opts.BackoffMin<<fails, o.opts.BackoffMax)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*o.rand.Float64()))
}

// settling is a settlement that is being written.
type settling struct {
	s   *settlement
	end chan error // capacity 1
}

// settle starts to write what a batch brought; nil when there is nothing.
func (o *Outbox) settle(s *settlement) *settling {
	if s.count == 0 && !s.SetRetry {
		return nil
	}
	w := &settling{s: s, end: make(chan error, 1)}
	o.submit(w)
	return w
}

func (o *Outbox) submit(w *settling) {
	o.deps.Store.Settle(&w.s.Settlement, func(err error) {
		if err == nil {
			o.written(w.s)
		}
		w.end <- err
	})
}

// resettle is how long a settlement waits that could not be written.
const resettle = time.Second

// settled waits until what is being written is on disk. While the disk refuses
// it tries again, since the network has the deliveries; false when ctx ended
// before, so that they come again, marked as uncertain, after the next start.
func (o *Outbox) settled(ctx context.Context, w **settling) bool {
	if *w == nil {
		return true
	}
	for {
		err := <-(*w).end
		if err == nil {
			*w = nil
			return true
		}
		o.deps.Log.Warn("receipts cannot be written yet", "link", string((*w).s.lane.place.Link), "error", err)
		timer := time.NewTimer(resettle)
		select {
		case <-ctx.Done():
			timer.Stop()
			*w = nil
			return false
		case <-timer.C:
			o.submit(*w)
		}
	}
}

// written takes over what is on disk now. It runs in the database's writer.
func (o *Outbox) written(s *settlement) {
	o.mu.Lock()
	l := s.lane
	l.depth -= int64(s.count)
	l.inFlight -= s.count
	l.link.delivered += s.ok
	l.link.dead += s.dead
	if len(l.window) > 0 {
		l.oldest = l.window[0].created
	}
	for k, v := range s.puppets {
		o.puppets[k] = v
	}
	copied := o.copied
	o.mu.Unlock()
	if len(s.keys) > 0 {
		copied(s.keys)
	}
	if len(s.Spread) > 0 {
		o.Feed(s.Spread)
	}
	for link, outcomes := range s.outcomes {
		o.deps.Inform(link, outcomes)
	}
}
