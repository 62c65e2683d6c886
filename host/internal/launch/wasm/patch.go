package wasm

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// node describes which fields of a message are single messages, which merge;
// all other fields of a patch replace (single) or are appended (repeated).
type node map[protowire.Number]node

// eventNode is the part of types.proto that patches can reach.
var eventNode = makeEventNode()

func makeEventNode() node {
	leaf := node{}
	text := leaf
	item := node{
		5: leaf, 6: leaf, 7: leaf, 8: leaf, // origin, reply_to, thread, quote
		10: text, 12: node{16: text}, 13: leaf, 23: leaf, // text, calendar, poll, sealed
	}
	event := node{4: leaf, 5: node{3: leaf, 7: text, 8: leaf}} // place, actor
	for kind := sdk.KindItemCreated; kind <= sdk.KindSignal; kind++ {
		// Fields 1 and 2 of changes are items, references and targets.
		event[protowire.Number(20+kind)] = node{1: leaf, 2: leaf}
	}
	event[21] = node{1: item}
	event[22] = node{1: item, 2: leaf}
	event[36] = node{2: text} // conversation_updated.topic
	return event
}

// appendMerged appends base without the cleared paths and with patch merged in.
// Later occurrences of a single field win when the result is decoded.
func appendMerged(dst, base, patch []byte, paths [][]protowire.Number, n node) ([]byte, error) {
	err := fields(base, func(f field) error {
		below := deeper(paths, f.id)
		if slices.ContainsFunc(below, func(p []protowire.Number) bool { return len(p) == 0 }) {
			return nil // cleared
		}
		child, merges := n[f.id]
		if f.typ != protowire.BytesType || (!merges && len(below) == 0) {
			dst = append(dst, f.full...)
			return nil
		}
		var sub []byte
		if merges {
			var err error
			if sub, err = collect(patch, f.id); err != nil {
				return err
			}
		}
		if sub == nil && len(below) == 0 {
			dst = append(dst, f.full...)
			return nil
		}
		var err error
		dst = appendMessage(dst, f.id, func(d []byte) []byte {
			var out []byte
			out, err = appendMerged(d, f.raw, sub, below, child)
			if err != nil {
				return d
			}
			return out
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return appendRest(dst, base, patch, paths, n)
}

// appendRest appends the fields of the patch that were not merged into a
// message of the base.
func appendRest(dst, base, patch []byte, paths [][]protowire.Number, n node) ([]byte, error) {
	err := fields(patch, func(f field) error {
		if _, merges := n[f.id]; merges && has(base, f.id) &&
			!slices.ContainsFunc(deeper(paths, f.id), func(p []protowire.Number) bool { return len(p) == 0 }) {
			return nil
		}
		dst = append(dst, f.full...)
		return nil
	})
	return dst, err
}

// deeper returns the rest of the paths that begin with id.
func deeper(paths [][]protowire.Number, id protowire.Number) [][]protowire.Number {
	var out [][]protowire.Number
	for _, p := range paths {
		if len(p) > 0 && p[0] == id {
			out = append(out, p[1:])
		}
	}
	return out
}

// collect joins the contents of all occurrences of a field, which is how
// messages merge; nil when there is none.
func collect(b []byte, id protowire.Number) ([]byte, error) {
	var out []byte
	err := fields(b, func(f field) error {
		if f.id == id {
			if f.typ != protowire.BytesType {
				return fmt.Errorf("field %d: wire type %d", id, f.typ)
			}
			if out == nil {
				out = f.raw[:len(f.raw):len(f.raw)]
			} else {
				out = append(out, f.raw...)
			}
		}
		return nil
	})
	if err == nil && out == nil && has(b, id) {
		out = []byte{}
	}
	return out, err
}

// has reports whether a well-formed message holds a field.
func has(b []byte, id protowire.Number) bool {
	for len(b) > 0 {
		f, n, err := nextField(b)
		if err != nil {
			return false
		}
		if f.id == id {
			return true
		}
		b = b[n:]
	}
	return false
}

// patched applies a reply to the event whose encoding is base. Identity stays
// the host's (docs/wasm-abi.md): a patch can change what was said, never who
// said it, where, or which item it is about.
func patched(ev *sdk.Event, base []byte, r *reply) (*sdk.Event, error) {
	merged, err := appendMerged(make([]byte, 0, len(base)+len(r.patch)+16), base, r.patch, r.clear, eventNode)
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w: %w", err, ErrReply)
	}
	out, err := codec.DecodeEvent(merged)
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w: %w", err, ErrReply)
	}
	if out.Kind() != ev.Kind() {
		return nil, fmt.Errorf("patch makes %s of %s: %w", out.Kind(), ev.Kind(), ErrReply)
	}
	out.ID, out.Seq, out.Time, out.Place, out.Actor = ev.ID, ev.Seq, ev.Time, ev.Place, ev.Actor
	out.Dedup, out.Via, out.Want, out.Notice = ev.Dedup, ev.Via, ev.Want, ev.Notice
	out = out.WithTarget(ev.Target())
	if from, to := ev.Item(), out.Item(); from != nil && to != nil {
		it := *to
		it.ID, it.Conversation, it.Author, it.Revision, it.Origin = from.ID, from.Conversation, from.Author, from.Revision, from.Origin
		it.Visibility = narrower(from.Visibility, it.Visibility)
		out = out.WithItem(it)
	}
	return &out, nil
}

// narrower returns the narrower of two visibilities: what crosses may only
// become narrower. VisibilityPlace says nothing and counts as the widest.
func narrower(a, b sdk.Visibility) sdk.Visibility { return max(a, b) }
