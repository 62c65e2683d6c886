package codec

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"bridgehost/sdk"
	"bridgehost/sdk/internal/pluginpb"
)

// message is an event of about 600 bytes: a chat message with markup, a file
// and a reply.
func message() sdk.Event {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	return sdk.Event{
		ID: "01J9ZK3V5X8Q2M7N4P6R8S0T2V", Seq: 123456, Time: at,
		Place: sdk.Ref{Link: "home", ID: "ops@muc.example.org"},
		Actor: sdk.Actor{ID: "act-01J9ZK3V5X8Q2M7N", Home: sdk.Ref{Link: "home", ID: "juliet@example.org"},
			Handle: "juliet@example.org", Name: "Juliet Capulet"},
		Dedup: "stanza-5f3c1e0a-7b7e-4c6f-9d2a-1f0e6b1c9a77", Via: []sdk.LinkID{"home"},
		Change: sdk.ItemCreated{Item: sdk.Item{
			ID: "item-01J9ZK3V5X8Q2M7N4P6R", Conversation: "conv-01J9ZK3V5X8Q", Author: "act-01J9ZK3V5X8Q2M7N",
			Origin:  sdk.Ref{Link: "home", ID: "5f3c1e0a-7b7e-4c6f-9d2a-1f0e6b1c9a77"},
			ReplyTo: sdk.Target{Item: "item-01J9ZK3V5X8Q2M7N4P00", Remote: "remote-parent"},
			Text: &sdk.Text{Plain: "What's in a name? That which we call a rose by any other name would smell as sweet; so Romeo would.",
				Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 0, End: 17}}},
			Media:    []sdk.Media{{URL: "https://files.example.org/a/rose.png", Type: "image/png", Name: "rose.png", Size: 48213}},
			Tags:     []string{"rose"},
			Language: "en", Created: at,
		}},
	}
}

func BenchmarkEncode(b *testing.B) {
	e := message()
	buf := AppendEvent(nil, &e)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEvent(buf[:0], &e)
	}
}

func BenchmarkDecode(b *testing.B) {
	e := message()
	buf := AppendEvent(nil, &e)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEvent(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGeneratedEncode(b *testing.B) {
	m := generated(b)
	buf, _ := proto.MarshalOptions{}.MarshalAppend(nil, m)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = proto.MarshalOptions{}.MarshalAppend(buf[:0], m)
	}
}

func BenchmarkGeneratedDecode(b *testing.B) {
	e := message()
	buf := AppendEvent(nil, &e)
	b.ReportAllocs()
	for b.Loop() {
		var m pluginpb.Event
		if err := proto.Unmarshal(buf, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func generated(b *testing.B) *pluginpb.Event {
	e := message()
	m := new(pluginpb.Event)
	if err := proto.Unmarshal(AppendEvent(nil, &e), m); err != nil {
		b.Fatal(err)
	}
	return m
}
