package wasm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/host/internal/filter"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/web"
)

// facetLink has the methods of all facets; Link.Facets shows those declared.
type facetLink struct{ *Link }

var (
	_ sdk.Deliverer    = facetLink{}
	_ sdk.Filter       = facetLink{}
	_ filter.RawFilter = facetLink{}
	_ sdk.Placer       = facetLink{}
	_ sdk.Informed     = facetLink{}
	_ sdk.Resolver     = facetLink{}
	_ sdk.Backfiller   = facetLink{}
	_ sdk.Commander    = facetLink{}
	_ web.Handler      = facetLink{}
)

// has reports whether the module declared a facet.
func (l *Link) has(facet string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.facets, facet)
}

// Facets implements sdk.Faceted.
func (l *Link) Facets() sdk.Facets {
	var f sdk.Facets
	all := facetLink{l}
	if l.has("deliverer") {
		f.Deliverer = all
	}
	if l.has("filter") {
		f.Filter = all
	}
	if l.has("placer") {
		f.Placer = all
	}
	if l.has("informed") {
		f.Informed = all
	}
	if l.has("resolver") {
		f.Resolver = all
	}
	if l.has("backfiller") {
		f.Backfiller = all
	}
	if l.has("commander") && l.ops.granted[AbilityCommand] {
		f.Commander = all
	}
	return f
}

// Web implements web.Faceted.
func (l *Link) Web() web.Handler {
	if l.has("web") {
		return facetLink{l}
	}
	return nil
}

// Filter implements sdk.Filter. An error is about the first event that got no
// verdict; the caller's policy decides what becomes of the events.
func (l facetLink) Filter(ctx context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	verdicts := make([]sdk.Verdict, len(events))
	for i := range events {
		encode := func(b []byte) []byte { return codec.AppendEvent(b, &events[i]) }
		if err := l.filterOne(ctx, &events[i], encode, &verdicts[i]); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// FilterRaw implements filter.RawFilter: the guest gets the bytes that are there
// already. Verdicts and errors are those of Filter. A replacement is given as
// Event, not as Raw: the merged bytes still hold what the patch replaced, and
// what a filter took out must not lie hidden in the store.
func (l facetLink) FilterRaw(ctx context.Context, raw [][]byte, events []sdk.Event) ([]filter.RawVerdict, error) {
	verdicts := make([]filter.RawVerdict, len(events))
	for i := range events {
		given := func(b []byte) []byte { return append(b, raw[i]...) }
		if err := l.filterOne(ctx, &events[i], given, &verdicts[i].Verdict); err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

// filterOne asks for the verdict about one event, whose encoding build appends.
func (l facetLink) filterOne(ctx context.Context, ev *sdk.Event, build func([]byte) []byte, v *sdk.Verdict) error {
	return l.call(ctx, string(ev.Place.ID), callFilter, build, func(req, b []byte) error {
		if len(b) == 0 {
			return nil // pass
		}
		r, err := parseReply(b)
		if err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
		return l.verdict(ev, req, &r, v)
	})
}

// maxHold bounds how long a filter may hold an event.
const maxHold = 7 * 24 * time.Hour

// verdict turns a reply into a verdict; encoded is the event as the guest saw it.
func (l facetLink) verdict(ev *sdk.Event, encoded []byte, r *reply, v *sdk.Verdict) error {
	v.Verb, v.Reason = r.verb, r.reason
	changed := r.patched || len(r.clear) > 0
	if v.Verb == sdk.Pass && changed {
		v.Verb = sdk.Replace
	}
	switch v.Verb {
	case sdk.Replace:
		out, err := patched(ev, encoded, r)
		if err != nil {
			return err
		}
		v.Event = out
	case sdk.Hold:
		now := l.ops.now()
		v.Until = time.Unix(0, r.until)
		if r.until <= 0 || v.Until.Before(now) {
			return fmt.Errorf("hold until a time that has passed: %w", ErrReply)
		}
		if latest := now.Add(maxHold); v.Until.After(latest) {
			v.Until = latest
		}
	}
	if len(r.emit) == 0 {
		return nil
	}
	if !l.ops.granted[AbilityEmit] {
		l.host.Log().Warn("module may not emit events", "dropped", len(r.emit))
		return nil
	}
	emitted, err := l.ops.events(r.emit, emitQuota)
	if err != nil {
		l.host.Log().Warn("events of the module were dropped", "given", len(r.emit), "kept", len(emitted), "error", err)
	}
	v.Emit = emitted
	return nil
}

// Deliver implements sdk.Deliverer.
func (l facetLink) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	r, err := l.ask(ctx, string(batch[0].Place), callDeliver, func(b []byte) []byte {
		for i := range batch {
			b = appendMessage(b, 1, func(b []byte) []byte { return codec.AppendDelivery(b, &batch[i]) })
		}
		return b
	})
	if err != nil {
		return nil, err
	}
	given := map[sdk.DeliveryID]sdk.Receipt{}
	err = fields(r.body[11], func(f field) error {
		if f.id == 1 {
			receipt, err := codec.DecodeReceipt(f.raw)
			given[receipt.Delivery] = receipt
			return err
		}
		if f.id == 2 {
			remote, err := codec.DecodeError(f.raw)
			if err != nil {
				return err
			}
			return remote
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("deliver: %w", err)
	}
	receipts := make([]sdk.Receipt, len(batch))
	for i, d := range batch {
		receipt, ok := given[d.ID]
		if !ok {
			receipt = sdk.Receipt{Delivery: d.ID, Err: sdk.Errorf(sdk.Internal, "deliver", "module gave no receipt")}
		}
		receipts[i] = receipt
	}
	return receipts, nil
}

// Command implements sdk.Commander.
func (l facetLink) Command(ctx context.Context, call sdk.Invocation) (string, error) {
	r, err := l.ask(ctx, "", callCommand, func(b []byte) []byte {
		return appendMessage(b, 1, func(b []byte) []byte { return codec.AppendInvocation(b, &call) })
	})
	if err != nil {
		return "", err
	}
	var text string
	err = fields(r.body[12], func(f field) error {
		if f.id == 1 {
			text = string(f.raw)
		}
		return nil
	})
	return text, err
}

// SetPlaces implements sdk.Placer.
func (l facetLink) SetPlaces(ctx context.Context, places []sdk.PlaceUse) error {
	return l.simple(ctx, "", callSetPlaces, func(b []byte) []byte {
		for _, p := range places {
			b = appendMessage(b, 1, func(b []byte) []byte { return appendPlaceUse(b, p) })
		}
		return b
	})
}

// appendPlaceUse writes message PlaceUse.
func appendPlaceUse(b []byte, p sdk.PlaceUse) []byte {
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), string(p.ID))
	for id, v := range []bool{p.Source, p.Target} {
		if v {
			b = protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(id+2), protowire.VarintType), 1)
		}
	}
	return b
}

// Inform implements sdk.Informed.
func (l facetLink) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	return l.simple(ctx, "", callInform, func(b []byte) []byte {
		for i := range outcomes {
			b = appendMessage(b, 1, func(b []byte) []byte { return codec.AppendOutcome(b, &outcomes[i]) })
		}
		return b
	})
}

// Resolve implements sdk.Resolver.
func (l facetLink) Resolve(ctx context.Context, address string) (sdk.Resolved, error) {
	r, err := l.ask(ctx, "", callResolve, func(b []byte) []byte {
		return protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), address)
	})
	if err != nil {
		return sdk.Resolved{}, err
	}
	var out sdk.Resolved
	err = fields(r.body[14], func(f field) error {
		if f.id != 1 {
			return nil
		}
		var err error
		out, err = codec.DecodeResolved(f.raw)
		return err
	})
	return out, err
}

// Backfill implements sdk.Backfiller.
func (l facetLink) Backfill(ctx context.Context, place sdk.RemoteID, since time.Time, limit int) (int, error) {
	r, err := l.ask(ctx, string(place), callBackfill, func(b []byte) []byte {
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), string(place))
		if !since.IsZero() {
			b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(since.UnixNano()))
		}
		return protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(limit))
	})
	if err != nil {
		return 0, err
	}
	count := 0
	err = fields(r.body[15], func(f field) error {
		if f.id == 1 {
			count = int(f.num)
		}
		return nil
	})
	return count, err
}

// WebRoutes implements web.Handler.
func (l facetLink) WebRoutes() []web.Route {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.routes)
}

// ServeWeb implements web.Handler.
func (l facetLink) ServeWeb(ctx context.Context, req *web.Request) (*web.Response, error) {
	r, err := l.ask(ctx, "", callWeb, func(b []byte) []byte {
		return appendMessage(b, 1, func(b []byte) []byte { return codec.AppendWebRequest(b, req) })
	})
	if err != nil {
		return nil, err
	}
	resp, err := codec.DecodeWebResponse(r.body[13])
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if resp.Status < 100 || resp.Status > 599 {
		return nil, sdk.Errorf(sdk.Internal, "web", "module answered with status %d", resp.Status)
	}
	return &resp, nil
}
