package codec

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"bridgehost/sdk"
	"bridgehost/sdk/internal/pluginpb"
)

// FuzzDecodeEvent feeds foreign bytes: what is read can be written, and is read
// again as the same value.
func FuzzDecodeEvent(f *testing.F) {
	for seed := range uint64(20) {
		e := random[sdk.Event](seed)
		f.Add(AppendEvent(nil, &e))
	}
	f.Add([]byte{0xaa, 0x01, 0x00, 0xb2, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := DecodeEvent(in)
		if err != nil {
			return
		}
		b := AppendEvent(nil, &e)
		again, err := DecodeEvent(b)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("first  %+v\nsecond %+v", e, again)
		}
		if err := proto.Unmarshal(b, new(pluginpb.Event)); err != nil {
			t.Fatalf("generated code cannot read it: %v", err)
		}
	})
}

// FuzzAgainstGeneratedCode reads what the generated code accepts and wrote anew,
// with both.
func FuzzAgainstGeneratedCode(f *testing.F) {
	for seed := range uint64(20) {
		e := random[sdk.Event](seed)
		f.Add(AppendEvent(nil, &e))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var m pluginpb.Event
		if proto.Unmarshal(in, &m) != nil {
			return
		}
		m.ProtoReflect().SetUnknown(nil)
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		a, errIn := DecodeEvent(in)
		b, errTheirs := DecodeEvent(theirs)
		if errTheirs != nil || errIn != nil {
			return // unknown groups, or elements over the bound
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("as it came  %+v\nas rewritten %+v", a, b)
		}
	})
}

// FuzzReadFrame feeds foreign bytes to the reader of frames and of every body.
func FuzzReadFrame(f *testing.F) {
	e := random[sdk.Event](3)
	f.Add(AppendCredit(AppendEnvelope(nil, 1, 5, &Publish{Events: []sdk.Event{e}}), 7))
	f.Add(AppendEnvelope(nil, 1, 5, &Failure{Err: sdk.Errorf(sdk.Gone, "op", "text")}))
	bodies := map[Field]Body{}
	for _, b := range []Body{
		&Failure{}, &Describe{}, &DescribeReply{}, &Open{}, &OpenReply{}, &Deliver{}, &DeliverReply{}, &Filter{},
		&FilterReply{}, &SetPlaces{}, &Inform{}, &ResolveReply{}, &Backfill{}, &Command{}, &ServeWeb{}, &WebReply{},
		&Publish{}, &Report{}, &StoreGetReply{}, &StoreSet{}, &StoreKeysReply{}, &Log{},
	} {
		bodies[b.Field()] = b
	}
	f.Fuzz(func(_ *testing.T, in []byte) {
		_ = ReadFrame(in, func(env Envelope) error {
			b, ok := bodies[env.Field]
			if !ok {
				return nil
			}
			return Decode(env.Body, reflect.New(reflect.TypeOf(b).Elem()).Interface().(Body))
		}, func(uint32) error { return nil })
	})
}
