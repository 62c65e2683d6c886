package codec

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
)

type fieldNumber = protowire.Number

func saturate[T ~uint8](v uint64) T { return T(min(v, math.MaxUint8)) }

// AppendEvent appends message Event to dst.
func AppendEvent(dst []byte, e *sdk.Event) []byte {
	c := newWriter(dst)
	c.event(e)
	return c.finish()
}

// DecodeEvent reads message Event. Strings of the result share one copy of b.
func DecodeEvent(b []byte) (sdk.Event, error) {
	var e sdk.Event
	c := newReader(b, true)
	for c.walk() {
		c.event(&e)
	}
	if err := c.close("event"); err != nil {
		return sdk.Event{}, err
	}
	return e, nil
}

// read reads one message by its visitor.
func read[T any](what string, b []byte, visit func(*coder, *T)) (T, error) {
	var v, zero T
	c := newReader(b, true)
	for c.walk() {
		visit(c, &v)
	}
	if err := c.close(what); err != nil {
		return zero, err
	}
	return v, nil
}

// write appends one message by its visitor.
func write[T any](dst []byte, v *T, visit func(*coder, *T)) []byte {
	c := newWriter(dst)
	visit(c, v)
	return c.finish()
}

// AppendItem appends message Item to dst.
func AppendItem(dst []byte, it *sdk.Item) []byte { return write(dst, it, (*coder).item) }

// DecodeItem reads message Item.
func DecodeItem(b []byte) (sdk.Item, error) { return read("item", b, (*coder).item) }

// AppendActor appends message Actor to dst.
func AppendActor(dst []byte, a *sdk.Actor) []byte { return write(dst, a, (*coder).actor) }

// DecodeActor reads message Actor.
func DecodeActor(b []byte) (sdk.Actor, error) { return read("actor", b, (*coder).actor) }

// AppendDelivery appends message Delivery to dst.
func AppendDelivery(dst []byte, d *sdk.Delivery) []byte { return write(dst, d, (*coder).delivery) }

// DecodeDelivery reads message Delivery.
func DecodeDelivery(b []byte) (sdk.Delivery, error) { return read("delivery", b, (*coder).delivery) }

// AppendReceipt appends message Receipt to dst.
func AppendReceipt(dst []byte, r *sdk.Receipt) []byte { return write(dst, r, (*coder).receipt) }

// DecodeReceipt reads message Receipt.
func DecodeReceipt(b []byte) (sdk.Receipt, error) { return read("receipt", b, (*coder).receipt) }

// AppendVerdict appends message Verdict to dst.
func AppendVerdict(dst []byte, v *sdk.Verdict) []byte { return write(dst, v, (*coder).verdict) }

// DecodeVerdict reads message Verdict.
func DecodeVerdict(b []byte) (sdk.Verdict, error) { return read("verdict", b, (*coder).verdict) }

// AppendOutcome appends message Outcome to dst.
func AppendOutcome(dst []byte, o *sdk.Outcome) []byte { return write(dst, o, (*coder).outcome) }

// DecodeOutcome reads message Outcome.
func DecodeOutcome(b []byte) (sdk.Outcome, error) { return read("outcome", b, (*coder).outcome) }

// AppendReport appends message Report to dst.
func AppendReport(dst []byte, r *sdk.Report) []byte { return write(dst, r, (*coder).report) }

// DecodeReport reads message Report.
func DecodeReport(b []byte) (sdk.Report, error) { return read("report", b, (*coder).report) }

// AppendManifest appends message Manifest to dst.
func AppendManifest(dst []byte, m *sdk.Manifest) []byte { return write(dst, m, (*coder).manifest) }

// DecodeManifest reads message Manifest.
func DecodeManifest(b []byte) (sdk.Manifest, error) { return read("manifest", b, (*coder).manifest) }

// AppendConfig appends message Config to dst.
func AppendConfig(dst []byte, v *sdk.Config) []byte { return write(dst, v, (*coder).config) }

// DecodeConfig reads message Config.
func DecodeConfig(b []byte) (sdk.Config, error) { return read("config", b, (*coder).config) }

// AppendInvocation appends message Invocation to dst.
func AppendInvocation(dst []byte, v *sdk.Invocation) []byte {
	return write(dst, v, (*coder).invocation)
}

// DecodeInvocation reads message Invocation.
func DecodeInvocation(b []byte) (sdk.Invocation, error) {
	return read("invocation", b, (*coder).invocation)
}

// AppendResolved appends message Resolved to dst.
func AppendResolved(dst []byte, r *sdk.Resolved) []byte { return write(dst, r, (*coder).resolved) }

// DecodeResolved reads message Resolved.
func DecodeResolved(b []byte) (sdk.Resolved, error) { return read("resolved", b, (*coder).resolved) }
