package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"bridgehost/sdk"
	"bridgehost/sdk/internal/pluginpb"
	"bridgehost/sdk/web"
)

// check sends random values of T through this package and the generated code,
// and compares field by field, by the names of both.
func check[T any, P interface {
	*T
}](t *testing.T, appendTo func([]byte, *T) []byte, decode func([]byte) (T, error), message func() proto.Message) {
	t.Helper()
	for seed := range uint64(300) {
		v := random[T](seed)
		b := appendTo(nil, &v)
		m := message()
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatalf("seed %d: generated code cannot read it: %v", seed, err)
		}
		if err := same(m.ProtoReflect(), reflect.ValueOf(v)); err != nil {
			t.Fatalf("seed %d: generated code reads something else: %v", seed, err)
		}
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range [][]byte{b, theirs} {
			got, err := decode(in)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !reflect.DeepEqual(got, v) {
				t.Fatalf("seed %d: round trip\n got %+v\nwant %+v", seed, got, v)
			}
		}
	}
}

// same compares a generated message with the Go value of the same meaning.
func same(m protoreflect.Message, v reflect.Value) error {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s: unknown fields %x", m.Descriptor().Name(), m.GetUnknown())
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if err := sameField(m, fd, v); err != nil {
			return fmt.Errorf("%s.%s: %w", m.Descriptor().Name(), fd.Name(), err)
		}
	}
	return nil
}

func sameField(m protoreflect.Message, fd protoreflect.FieldDescriptor, v reflect.Value) error {
	if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
		if !m.Has(fd) {
			return nil
		}
		c := v.FieldByName("Change").Elem()
		if want := strings.ToLower(c.Type().Name()); want != plain(fd) {
			return fmt.Errorf("is set, the change is a %s", want)
		}
		return same(m.Get(fd).Message(), c)
	}
	f := v.FieldByNameFunc(func(name string) bool { return strings.ToLower(name) == plain(fd) })
	if !f.IsValid() {
		if fd.Name() == "text" || fd.Name() == "faults" { // of Error: its cause
			return nil
		}
		return errors.New("has no Go field")
	}
	switch {
	case fd.IsMap() || fd.Message() != nil && fd.Message().Name() == "Header":
		return nil // compared by the round trip
	case fd.IsList():
		list := m.Get(fd).List()
		if list.Len() != f.Len() {
			return fmt.Errorf("%d elements, want %d", list.Len(), f.Len())
		}
		for i := range list.Len() {
			if err := sameValue(fd, list.Get(i), f.Index(i)); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case fd.Message() != nil && !m.Has(fd):
		if f.Kind() == reflect.Pointer && !f.IsNil() || f.Kind() != reflect.Pointer && !f.IsZero() {
			return errors.New("is absent")
		}
		return nil
	default:
		return sameValue(fd, m.Get(fd), f)
	}
}

func plain(fd protoreflect.FieldDescriptor) string {
	return strings.ReplaceAll(string(fd.Name()), "_", "")
}

func sameValue(fd protoreflect.FieldDescriptor, got protoreflect.Value, want reflect.Value) error {
	if fd.Message() != nil {
		return same(got.Message(), want)
	}
	var w any
	switch x := want.Interface().(type) {
	case time.Time:
		if w = int64(0); !x.IsZero() {
			w = x.UnixNano()
		}
	case interface{ MarshalBinary() ([]byte, error) }:
		b, _ := x.MarshalBinary()
		return equal(string(got.Bytes()), string(b))
	case [32]byte:
		if x == [32]byte{} {
			return equal(len(strings.Trim(string(got.Bytes()), "\x00")), 0)
		}
		return equal(string(got.Bytes()), string(x[:]))
	default:
		w = scalar(want)
	}
	return equal(scalarOf(got), w)
}

func scalar(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint())
	case reflect.Int, reflect.Int64:
		return v.Int()
	case reflect.String:
		return v.String()
	case reflect.Slice:
		return string(v.Bytes())
	default:
		return v.Interface()
	}
}

func scalarOf(v protoreflect.Value) any {
	switch x := v.Interface().(type) {
	case protoreflect.EnumNumber:
		return int64(x)
	case uint32:
		return int64(x)
	case uint64:
		return int64(x)
	case []byte:
		return string(x)
	default:
		return x
	}
}

func equal(got, want any) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func TestAgainstGeneratedCode(t *testing.T) {
	t.Run("event", func(t *testing.T) {
		check(t, AppendEvent, DecodeEvent, func() proto.Message { return new(pluginpb.Event) })
	})
	t.Run("item", func(t *testing.T) {
		check(t, AppendItem, DecodeItem, func() proto.Message { return new(pluginpb.Item) })
	})
	t.Run("actor", func(t *testing.T) {
		check(t, AppendActor, DecodeActor, func() proto.Message { return new(pluginpb.Actor) })
	})
	t.Run("delivery", func(t *testing.T) {
		check(t, AppendDelivery, DecodeDelivery, func() proto.Message { return new(pluginpb.Delivery) })
	})
	t.Run("receipt", func(t *testing.T) {
		check(t, AppendReceipt, DecodeReceipt, func() proto.Message { return new(pluginpb.Receipt) })
	})
	t.Run("verdict", func(t *testing.T) {
		check(t, AppendVerdict, DecodeVerdict, func() proto.Message { return new(pluginpb.Verdict) })
	})
	t.Run("outcome", func(t *testing.T) {
		check(t, AppendOutcome, DecodeOutcome, func() proto.Message { return new(pluginpb.Outcome) })
	})
	t.Run("report", func(t *testing.T) {
		check(t, AppendReport, DecodeReport, func() proto.Message { return new(pluginpb.Report) })
	})
	t.Run("manifest", func(t *testing.T) {
		check(t, AppendManifest, DecodeManifest, func() proto.Message { return new(pluginpb.Manifest) })
	})
	t.Run("config", func(t *testing.T) {
		check(t, AppendConfig, DecodeConfig, func() proto.Message { return new(pluginpb.Config) })
	})
	t.Run("invocation", func(t *testing.T) {
		check(t, AppendInvocation, DecodeInvocation, func() proto.Message { return new(pluginpb.Invocation) })
	})
	t.Run("resolved", func(t *testing.T) {
		check(t, AppendResolved, DecodeResolved, func() proto.Message { return new(pluginpb.Resolved) })
	})
	t.Run("web request", func(t *testing.T) {
		check(t, AppendWebRequest, DecodeWebRequest, func() proto.Message { return new(pluginpb.WebRequest) })
	})
	t.Run("web response", func(t *testing.T) {
		check(t, AppendWebResponse, DecodeWebResponse, func() proto.Message { return new(pluginpb.WebResponse) })
	})
	t.Run("web route", func(t *testing.T) {
		check(t, AppendWebRoute, DecodeWebRoute, func() proto.Message { return new(pluginpb.WebRoute) })
	})
}

// TestEveryChange makes sure that no kind is left out of the oneof.
func TestEveryChange(t *testing.T) {
	for i, c := range changes {
		if got := int(c.Kind()); got != i+1 {
			t.Errorf("change %T has kind %d, want %d", c, got, i+1)
		}
		e, err := DecodeEvent(AppendEvent(nil, &sdk.Event{Change: c}))
		if err != nil || !reflect.DeepEqual(e.Change, c) {
			t.Errorf("%T came back as %#v, %v", c, e.Change, err)
		}
	}
}

// TestBodies compares each body of an envelope with the generated code.
func TestBodies(t *testing.T) {
	bodies := []Body{
		&Failure{}, &Done{}, &Cancel{}, &Ping{}, &Describe{}, &DescribeReply{}, &Open{}, &OpenReply{}, &Run{},
		&Deliver{}, &DeliverReply{}, &Filter{}, &FilterReply{}, &SetPlaces{}, &Inform{}, &Resolve{}, &ResolveReply{},
		&Backfill{}, &BackfillReply{}, &Command{}, &CommandReply{}, &ServeWeb{}, &WebReply{}, &Publish{}, &Report{},
		&StoreGet{}, &StoreGetReply{}, &StoreSet{}, &StoreKeys{}, &StoreKeysReply{}, &Log{},
	}
	known := (&pluginpb.Envelope{}).ProtoReflect().Descriptor().Oneofs().ByName("body").Fields()
	if len(bodies) != known.Len() {
		t.Errorf("%d bodies here, %d in the contract", len(bodies), known.Len())
	}
	for _, b := range bodies {
		t.Run(strings.TrimPrefix(fmt.Sprintf("%T", b), "*codec."), func(t *testing.T) {
			for seed := range uint64(50) {
				v := randomBody(b, seed)
				frame := AppendCredit(AppendEnvelope(nil, seed+1, time.Duration(seed), v), uint32(seed))
				var m pluginpb.Frame
				if err := proto.Unmarshal(frame, &m); err != nil {
					t.Fatal(err)
				}
				e := m.GetEnvelopes()[0]
				if e.GetId() != seed+1 || e.GetTimeout() != int64(seed) || m.GetCredit() != uint32(seed) {
					t.Fatalf("generated code reads %v", &m)
				}
				set := e.ProtoReflect().WhichOneof(known.Get(0).ContainingOneof())
				if set == nil || set.Number() != fieldNumber(b.Field()) {
					t.Fatalf("generated code sees body %v, want field %d", set, b.Field())
				}
				theirs, err := proto.Marshal(&m)
				if err != nil {
					t.Fatal(err)
				}
				sameBody(t, theirs, v, seed)
			}
		})
	}
}

func randomBody(b Body, seed uint64) Body {
	v := reflect.New(reflect.TypeOf(b).Elem())
	if f, ok := v.Interface().(*Failure); ok {
		f.Err = &sdk.Error{Op: "o", Kind: sdk.Gone, Public: "p", After: 5, Err: errors.New("e")}
		return f
	}
	fillSeed(seed, v.Elem())
	return v.Interface().(Body)
}

func sameBody(t *testing.T, frame []byte, want Body, seed uint64) {
	t.Helper()
	seen := 0
	err := ReadFrame(frame, func(e Envelope) error {
		seen++
		if e.ID != seed+1 || e.Timeout != time.Duration(seed) || e.Field != want.Field() {
			t.Errorf("envelope = %+v", e)
		}
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface().(Body)
		if err := Decode(e.Body, got); err != nil {
			return err
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		return nil
	}, func(n uint32) error {
		if n != uint32(seed) {
			t.Errorf("credit = %d", n)
		}
		return nil
	})
	if err != nil || seen != 1 {
		t.Errorf("%d envelopes, %v", seen, err)
	}
}

func TestReadFrameStopsAtErrors(t *testing.T) {
	frame := AppendEnvelope(nil, 1, 0, &Ping{})
	stop := errors.New("stop")
	if err := ReadFrame(frame, func(Envelope) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("error = %v, want that of the function", err)
	}
	for n := 1; n < len(frame); n++ {
		err := ReadFrame(frame[:n], func(Envelope) error { return nil }, func(uint32) error { return nil })
		if err == nil {
			t.Errorf("no error for a frame cut after %d bytes", n)
		}
	}
}

func TestErrorsKeepWhatCounts(t *testing.T) {
	round := func(err error) error {
		t.Helper()
		got, derr := DecodeError(AppendError(nil, err))
		if derr != nil {
			t.Fatal(derr)
		}
		return got
	}
	for kind := sdk.Unknown; kind <= sdk.Internal; kind++ {
		in := &sdk.Error{Op: "join room", Kind: kind, Public: "no", After: time.Minute, Err: errors.New("why")}
		var e *sdk.Error
		if got := round(in); !errors.As(got, &e) || e.Kind != kind || e.Public != "no" || e.After != time.Minute ||
			e.Op != "join room" || got.Error() != in.Error() {
			t.Errorf("kind %v: got %#v", kind, got)
		}
		if got := round(fmt.Errorf("while: %w", in)); sdk.KindOf(got) != kind || got.Error() != "while: join room: why" {
			t.Errorf("wrapped kind %v: got %v", kind, got)
		}
	}
	if got := round(errors.New("plain")); sdk.KindOf(got) != sdk.Unknown || got.Error() != "plain" {
		t.Errorf("plain error: got %v", got)
	}
	faults := []sdk.Fault{{Key: "a.b", Problem: "p", Remedy: "r"}, {Key: "c"}}
	var ce *sdk.ConfigError
	if got := round(fmt.Errorf("open: %w", &sdk.ConfigError{Faults: faults})); !errors.As(got, &ce) || !reflect.DeepEqual(ce.Faults, faults) {
		t.Errorf("configuration error: got %#v", got)
	}
}

func TestTimesAtTheEdge(t *testing.T) {
	for _, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Unix(0, 0), time.Unix(0, 1)},
		{time.Unix(0, -1), time.Unix(0, -1)},
		{time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Unix(0, math.MinInt64)},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, math.MaxInt64)},
	} {
		e, err := DecodeEvent(AppendEvent(nil, &sdk.Event{Time: c.in}))
		if err != nil || !e.Time.Equal(c.want) {
			t.Errorf("%v came back as %v, %v; want %v", c.in, e.Time, err, c.want)
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	e := sdk.Event{Dedup: "a\xffb"}
	b := AppendEvent(nil, &e)
	if err := proto.Unmarshal(b, new(pluginpb.Event)); err != nil {
		t.Errorf("generated code refuses it: %v", err)
	}
	if got, err := DecodeEvent(b); err != nil || got.Dedup != "a\uFFFDb" {
		t.Errorf("dedup = %q, %v", got.Dedup, err)
	}
	raw := protowire.AppendString(protowire.AppendTag(nil, 6, protowire.BytesType), "a\xff")
	if got, err := DecodeEvent(raw); err != nil || got.Dedup != "a\uFFFD" {
		t.Errorf("foreign bytes: dedup = %q, %v", got.Dedup, err)
	}
}

func TestUnknownIsSkippedAndOrderIsFree(t *testing.T) {
	want := random[sdk.Event](7)
	want.Change = sdk.Shared{Target: sdk.Target{Item: "i"}}
	b := AppendEvent(nil, &want)
	var fields [][]byte
	for rest := b; len(rest) > 0; {
		_, _, n := protowire.ConsumeField(rest)
		fields = append(fields, rest[:n])
		rest = rest[n:]
	}
	var reversed []byte
	for i := len(fields) - 1; i >= 0; i-- {
		reversed = protowire.AppendTag(reversed, fieldNumber(1000+i), protowire.Fixed64Type)
		reversed = protowire.AppendFixed64(reversed, 42)
		if num, _, _ := protowire.ConsumeTag(fields[i]); num != 7 { // the order of a list counts
			reversed = append(reversed, fields[i]...)
		}
	}
	want.Via = nil
	if got, err := DecodeEvent(reversed); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestHostileInput(t *testing.T) {
	tag := func(num fieldNumber, typ protowire.Type) []byte { return protowire.AppendTag(nil, num, typ) }
	for name, in := range map[string][]byte{
		"cut tag":        {0x80},
		"field 0":        {0x00},
		"length too big": append(tag(1, protowire.BytesType), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"wrong type":     append(tag(1, protowire.VarintType), 1),
		"group":          append(tag(99, protowire.StartGroupType), tag(99, protowire.EndGroupType)...),
		"long varint":    append(tag(2, protowire.VarintType), bytes.Repeat([]byte{0xff}, 11)...),
		"deep":           protowire.AppendBytes(tag(21, protowire.BytesType), []byte{0x0a, 0x7f}),
		"many elements":  bytes.Repeat([]byte{7<<3 | 2, 0}, MaxElements+1),
	} {
		if e, err := DecodeEvent(in); err == nil || !reflect.DeepEqual(e, sdk.Event{}) {
			t.Errorf("%s: got %+v, %v; want an error", name, e, err)
		}
	}
	huge := protowire.AppendVarint(tag(8, protowire.VarintType), math.MaxUint64)
	huge = append(huge, protowire.AppendBytes(tag(40, protowire.BytesType), append(tag(1, protowire.VarintType), 0x80, 0x02))...)
	e, err := DecodeEvent(huge)
	if s, ok := e.Change.(sdk.Signal); err != nil || !ok || s.Signal != 255 {
		t.Errorf("enumeration value 256 became %+v, %v; it must not wrap round", e.Change, err)
	}
}

func TestStringsShareNothingWithInput(t *testing.T) {
	e := sdk.Event{Dedup: "before", Change: sdk.ItemCreated{Item: sdk.Item{Native: map[string][]byte{"k": []byte("v")}}}}
	b := AppendEvent(nil, &e)
	frame := AppendEnvelope(nil, 1, 0, &Publish{Events: []sdk.Event{e, e}})
	got, err := DecodeEvent(b)
	if err != nil {
		t.Fatal(err)
	}
	var p Publish
	if err := ReadFrame(frame, func(env Envelope) error { return Decode(env.Body, &p) }, nil); err != nil {
		t.Fatal(err)
	}
	clear(b)
	clear(frame)
	for _, g := range append(p.Events, got) {
		if !reflect.DeepEqual(g, e) {
			t.Errorf("after the input was overwritten: %+v", g)
		}
	}
}

func TestWebTokensNeverVanish(t *testing.T) {
	short := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), []byte("short"))
	r, err := DecodeWebRoute(short)
	if err != nil || len(r.Tokens) != 1 {
		t.Errorf("route = %+v, %v; want one token, so that it is not open to all", r, err)
	}
	req := web.Request{Header: map[string][]string{"A": {"1", "2"}}}
	got, err := DecodeWebRequest(AppendWebRequest(nil, &req))
	if err != nil || !reflect.DeepEqual(got, req) {
		t.Errorf("request = %+v, %v", got, err)
	}
}
