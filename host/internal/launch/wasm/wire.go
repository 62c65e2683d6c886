package wasm

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// field is one field of a message on the wire: raw is the value of a length-
// delimited field, num that of a varint.
type field struct {
	id   protowire.Number
	typ  protowire.Type
	raw  []byte
	num  uint64
	full []byte // with tag
}

// fields calls visit for every field of a message. Groups are not part of the contract.
func fields(b []byte, visit func(f field) error) error {
	for len(b) > 0 {
		f, n, err := nextField(b)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// nextField reads the field at the front of b and returns its size.
func nextField(b []byte) (field, int, error) {
	id, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, 0, fmt.Errorf("tag: %w", protowire.ParseError(n))
	}
	f := field{id: id, typ: typ}
	var size int
	switch typ {
	case protowire.BytesType:
		f.raw, size = protowire.ConsumeBytes(b[n:])
	case protowire.VarintType:
		f.num, size = protowire.ConsumeVarint(b[n:])
	case protowire.StartGroupType, protowire.EndGroupType:
		return field{}, 0, fmt.Errorf("field %d: group", id)
	default:
		size = protowire.ConsumeFieldValue(id, typ, b[n:])
	}
	if size < 0 {
		return field{}, 0, fmt.Errorf("field %d: %w", id, protowire.ParseError(size))
	}
	f.full = b[:n+size]
	return f, n + size, nil
}

// appendMessage appends a length-delimited field whose content fill appends.
func appendMessage(dst []byte, id protowire.Number, fill func([]byte) []byte) []byte {
	dst = protowire.AppendTag(dst, id, protowire.BytesType)
	start := len(dst)
	dst = append(dst, 0, 0, 0) // room for the usual sizes
	dst = fill(dst)
	size := len(dst) - start - 3
	var length [10]byte
	l := protowire.AppendVarint(length[:0], uint64(size))
	if len(l) != 3 {
		body := dst[start+3:]
		if len(l) > 3 {
			dst = append(dst, length[:len(l)-3]...)
		}
		copy(dst[start+len(l):], body[:size])
		dst = dst[:start+len(l)+size]
	}
	copy(dst[start:], l)
	return dst
}

// reply is a GuestReply with its messages still encoded. The slices are parts
// of the decoded bytes.
type reply struct {
	verb    sdk.Verb
	reason  string
	patch   []byte
	patched bool
	clear   [][]protowire.Number
	until   int64
	emit    [][]byte
	err     error

	body map[protowire.Number][]byte // of calls other than filter, by field number
}

// maxPaths bounds the clear list of a reply, and maxDepth each path.
const (
	maxPaths = 64
	maxDepth = 8
)

// parseReply reads a GuestReply.
func parseReply(b []byte) (reply, error) {
	var r reply
	err := fields(b, func(f field) error {
		switch {
		case f.id == 1 && f.typ == protowire.VarintType:
			if f.num > uint64(sdk.Hold) {
				return fmt.Errorf("verb %d", f.num)
			}
			r.verb = sdk.Verb(f.num)
		case f.id == 5 && f.typ == protowire.VarintType:
			r.until = int64(f.num)
		case f.typ == protowire.BytesType:
			return r.take(f)
		}
		return nil
	})
	if err != nil {
		return reply{}, fmt.Errorf("decode reply: %w: %w", err, ErrReply)
	}
	return r, nil
}

// take stores a length-delimited field of a reply.
func (r *reply) take(f field) error {
	switch f.id {
	case 2:
		r.reason = escape(f.raw[:min(len(f.raw), 1024)])
	case 3:
		r.patch, r.patched = append(r.patch, f.raw...), true // repeated messages merge
	case 4:
		path, err := parsePath(f.raw)
		if err != nil {
			return err
		}
		if len(r.clear) >= maxPaths {
			return fmt.Errorf("more than %d paths to clear", maxPaths)
		}
		r.clear = append(r.clear, path)
	case 6:
		r.emit = append(r.emit, f.raw)
	case 7:
		remote, err := codec.DecodeError(f.raw)
		if err != nil {
			return err
		}
		if r.err = remote; remote == nil {
			r.err = &sdk.Error{Kind: sdk.Unknown, Err: fmt.Errorf("module reports an error without a text")}
		}
	default:
		if r.body == nil {
			r.body = map[protowire.Number][]byte{}
		}
		r.body[f.id] = f.raw
	}
	return nil
}

// parsePath reads a FieldPath, packed or not.
func parsePath(b []byte) ([]protowire.Number, error) {
	var path []protowire.Number
	add := func(v uint64) error {
		if v == 0 || v > uint64(protowire.MaxValidNumber) || len(path) >= maxDepth {
			return fmt.Errorf("path to clear: field %d at depth %d", v, len(path))
		}
		path = append(path, protowire.Number(v))
		return nil
	}
	err := fields(b, func(f field) error {
		switch {
		case f.id != 1:
			return nil
		case f.typ == protowire.VarintType:
			return add(f.num)
		case f.typ != protowire.BytesType:
			return fmt.Errorf("path to clear: wire type %d", f.typ)
		}
		for p := f.raw; len(p) > 0; {
			v, n := protowire.ConsumeVarint(p)
			if n < 0 {
				return fmt.Errorf("path to clear: %w", protowire.ParseError(n))
			}
			if err := add(v); err != nil {
				return err
			}
			p = p[n:]
		}
		return nil
	})
	if err == nil && len(path) == 0 {
		err = fmt.Errorf("path to clear is empty")
	}
	return path, err
}
