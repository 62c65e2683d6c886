package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/web"
)

// chunkBytes is about how many bytes of deliveries or events one call carries.
const chunkBytes = 512 << 10

// link is a link on the other side.
type link struct {
	session  *session
	opts     Options
	reply    codec.OpenReply
	batchMax int
}

var (
	_ sdk.Link       = (*link)(nil)
	_ sdk.Faceted    = (*link)(nil)
	_ web.Faceted    = (*link)(nil)
	_ sdk.Deliverer  = (*link)(nil)
	_ sdk.Filter     = (*link)(nil)
	_ sdk.Placer     = (*link)(nil)
	_ sdk.Informed   = (*link)(nil)
	_ sdk.Resolver   = (*link)(nil)
	_ sdk.Backfiller = (*link)(nil)
	_ sdk.Commander  = (*link)(nil)
	_ web.Handler    = (*link)(nil)
)

// Facets implements sdk.Faceted with what the plugin declared when it opened
// the link.
func (l *link) Facets() sdk.Facets {
	var f sdk.Facets
	for _, name := range l.reply.Facets {
		switch name {
		case "deliverer":
			f.Deliverer = l
		case "filter":
			f.Filter = l
		case "placer":
			f.Placer = l
		case "informed":
			f.Informed = l
		case "resolver":
			f.Resolver = l
		case "backfiller":
			f.Backfiller = l
		case "commander":
			f.Commander = l
		}
	}
	return f
}

// Web implements web.Faceted.
func (l *link) Web() web.Handler {
	if has(l.reply.Facets, "web") {
		return l
	}
	return nil
}

// Run implements sdk.Link. It returns when the link has ended, or when the
// plugin has not ended it within StopTimeout after ctx did.
func (l *link) Run(ctx context.Context) error {
	defer l.session.close()
	err := l.run(ctx)
	if errors.Is(err, errEnded) {
		return &sdk.Error{Op: "run link", Kind: sdk.Transient, Err: err}
	}
	return err
}

func (l *link) run(ctx context.Context) error {
	p := l.session.peer
	id, answer, err := p.begin(context.Background(), &codec.Run{})
	if err != nil {
		return err
	}
	select {
	case e := <-answer:
		return readAnswer(e, nil)
	case <-p.done:
		return p.reason()
	case <-ctx.Done():
	}
	p.cancel(id)
	late := time.NewTimer(l.opts.StopTimeout)
	defer late.Stop()
	select {
	case e := <-answer:
		return readAnswer(e, nil)
	case <-p.done:
		return p.reason()
	case <-late.C:
		return sdk.Errorf(sdk.Internal, "stop link", "still running %v after it was asked to stop", l.opts.StopTimeout)
	}
}

// Deliver implements sdk.Deliverer. A batch that is too large for one message
// is sent in parts; after a part with a temporary failure the rest comes back
// unsent, as the contract asks.
func (l *link) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	receipts := make([]sdk.Receipt, 0, len(batch))
	for len(batch) > 0 {
		n := l.chunk(len(batch), func(i int) int { return eventSize(&batch[i].Event) })
		var reply codec.DeliverReply
		err := l.session.ask(ctx, "deliver", 0, &codec.Deliver{Deliveries: batch[:n]}, &reply)
		switch {
		case err != nil && n == 1 && sdk.KindOf(err) == sdk.TooLarge:
			reply.Receipts = []sdk.Receipt{{Delivery: batch[0].ID, Err: sdk.AsError("deliver", err), Unsent: true}}
		case err != nil && len(receipts) == 0:
			return nil, err
		case err != nil:
			return receipts, err
		}
		receipts = append(receipts, reply.Receipts...)
		if reply.Err != nil {
			return receipts, reply.Err
		}
		batch = batch[n:]
		if failed := temporary(reply.Receipts); failed != nil {
			for i := range batch {
				receipts = append(receipts, sdk.Receipt{Delivery: batch[i].ID, Err: failed, Unsent: true})
			}
			return receipts, nil
		}
	}
	return receipts, nil
}

// temporary gives the first temporary error among receipts.
func temporary(receipts []sdk.Receipt) *sdk.Error {
	for i := range receipts {
		if err := receipts[i].Err; err != nil && err.Kind.Temporary() {
			return err
		}
	}
	return nil
}

// chunk gives how many of n things go into one call, at least one.
func (l *link) chunk(n int, size func(int) int) int {
	most := l.batchMax
	if most <= 0 {
		most = 256
	}
	n = min(n, most)
	total := 0
	for i := range n {
		if total += size(i); total > chunkBytes && i > 0 {
			return i
		}
	}
	return n
}

// eventSize estimates the encoded size of an event, by its parts that have no
// small bound.
func eventSize(e *sdk.Event) int {
	const fixed = 600
	size := fixed
	it := e.Item()
	if it == nil {
		return size
	}
	if it.Text != nil {
		size += len(it.Text.Plain) + 32*len(it.Text.Spans)
	}
	for i := range it.Media {
		size += fixed + len(it.Media[i].Data)
	}
	for k, v := range it.Native {
		size += len(k) + len(v)
	}
	if it.Sealed != nil {
		size += len(it.Sealed.Data)
	}
	return size
}

// Filter implements sdk.Filter.
func (l *link) Filter(ctx context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	verdicts := make([]sdk.Verdict, 0, len(events))
	for len(events) > 0 {
		n := l.chunk(len(events), func(i int) int { return eventSize(&events[i]) })
		var reply codec.FilterReply
		if err := l.session.ask(ctx, "filter", l.opts.CallTimeout, &codec.Filter{Events: events[:n]}, &reply); err != nil {
			return nil, err
		}
		if len(reply.Verdicts) != n {
			return nil, sdk.Errorf(sdk.Internal, "filter", "%d verdicts for %d events", len(reply.Verdicts), n)
		}
		verdicts = append(verdicts, reply.Verdicts...)
		events = events[n:]
	}
	return verdicts, nil
}

// SetPlaces implements sdk.Placer.
func (l *link) SetPlaces(ctx context.Context, places []sdk.PlaceUse) error {
	return l.session.ask(ctx, "set places", l.opts.CallTimeout, &codec.SetPlaces{Places: places}, nil)
}

// Inform implements sdk.Informed.
func (l *link) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	for len(outcomes) > 0 {
		n := min(len(outcomes), 512)
		if err := l.session.ask(ctx, "inform", l.opts.CallTimeout, &codec.Inform{Outcomes: outcomes[:n]}, nil); err != nil {
			return err
		}
		outcomes = outcomes[n:]
	}
	return nil
}

// Resolve implements sdk.Resolver.
func (l *link) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	var reply codec.ResolveReply
	err := l.session.ask(ctx, "resolve", l.opts.CallTimeout, &codec.Resolve{Address: address}, &reply)
	return reply.Resolved, err
}

// Backfill implements sdk.Backfiller.
func (l *link) Backfill(ctx context.Context, place sdk.RemoteID, since time.Time, limit int) (int, error) {
	var reply codec.BackfillReply
	err := l.session.ask(ctx, "backfill", 0, &codec.Backfill{Place: place, Since: since, Limit: limit}, &reply)
	return reply.Count, err
}

// Command implements sdk.Commander.
func (l *link) Command(ctx context.Context, call sdk.Invocation) (string, error) {
	var reply codec.CommandReply
	err := l.session.ask(ctx, fmt.Sprintf("command %q", call.Name), l.opts.CallTimeout, &codec.Command{Invocation: call}, &reply)
	return reply.Text, err
}

// WebRoutes implements web.Handler.
func (l *link) WebRoutes() []web.Route { return l.reply.Routes }

// ServeWeb implements web.Handler. The caller's deadline counts: a handler may
// wait for an outcome.
func (l *link) ServeWeb(ctx context.Context, r *web.Request) (*web.Response, error) {
	timeout := l.opts.CallTimeout
	if _, ok := ctx.Deadline(); ok {
		timeout = 0
	}
	var reply codec.WebReply
	if err := l.session.ask(ctx, "serve web", timeout, &codec.ServeWeb{Request: *r}, &reply); err != nil {
		return nil, err
	}
	return &reply.Response, nil
}
