package wasm

import (
	"context"
	"errors"
	"testing"
	"time"

	"bridgehost/host/internal/launch/wasm/meter"
	"bridgehost/sdk"
)

// rawLink is a link of the module without a runtime, with its instance started.
func rawLink(tb testing.TB, abilities ...string) *Link {
	tb.Helper()
	o := LoadOptions{Name: "raw.wasm", Grant: abilities, Shards: 1, Manifest: sdk.Manifest{ID: "raw", Facets: []string{"filter"}, Abilities: abilities}}
	l := open(tb, load(tb, sharedHost, rawGuest, o), newFakeHost())
	if _, err := ask(l, "x"); err != nil {
		tb.Fatal(err)
	}
	return l
}

// answer sets what the raw module returns from bh_handle, with reply in its memory.
func (i *instance) answer(tb testing.TB, v uint64, reply []byte) uint32 {
	tb.Helper()
	ctx := context.Background()
	i.begin(ctx, callCommand, time.Minute, MaxHostCalls)
	at, err := i.mod.ExportedFunction("test_reply").Call(&i.call)
	if err != nil {
		tb.Fatal(err)
	}
	if len(reply) > 0 {
		if !i.mem.Write(uint32(at[0]), reply) {
			tb.Fatal("reply does not fit")
		}
		v = at[0]<<32 | uint64(len(reply))
	}
	if _, err := i.mod.ExportedFunction("test_answer").Call(&i.call, v); err != nil {
		tb.Fatal(err)
	}
	return uint32(at[0])
}

// TestBadReplyPointers: replies outside of memory or too large cost the instance only.
func TestBadReplyPointers(t *testing.T) {
	l := rawLink(t)
	for _, v := range []uint64{0xffffffff_00000001, 0xffffffff_ffffffff, 0x00000000_ffffffff, 0x00100000_00200001, 0x7fffffff_00000010, 0x00000000_00100001} {
		if l.shards[0].inst == nil {
			if _, err := ask(l, "x"); err != nil {
				t.Fatal(err)
			}
		}
		l.shards[0].inst.answer(t, v, nil)
		if _, err := ask(l, "x"); !errors.Is(err, ErrReply) {
			t.Errorf("reply %#x: %v, want %v", v, err, ErrReply)
		}
		if l.shards[0].inst != nil {
			t.Errorf("reply %#x: the instance was kept", v)
		}
	}
}

// FuzzReply gives any bytes as a filter's reply: the host must not panic, and a
// verdict must keep the event's identity.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"", "\x08\x01\x12\x03no!", "\x1a\x0f\xaa\x01\x0c\x0a\x0a\x52\x05\x0a\x03HEYz\x01a", "\x22\x05\x0a\x03\x15\x01\x0f", "\x22\x06\x0a\x04\x15\x01\x0a\x02",
		"\x08\x03\x28\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x3a\x04\x08\x05\x2a\x00", "\x32\x02\x0a\x00", "\x1a\x04\x0a\x02id", "\x1a\x03\xaa\x01\x00", "\x1a\x02\x22\x00\x22\x03\x0a\x01\x15",
		"\x22\x03\x0a\x01\x15\x1a\x05\xaa\x01\x02\x0a\x00", "\x0b\x0c",
	} {
		f.Add([]byte(s))
	}
	l := rawLink(f, "emit")
	f.Fuzz(func(t *testing.T, reply []byte) {
		if len(reply) > 1<<16 {
			return
		}
		if l.shards[0].inst == nil {
			if _, err := ask(l, "x"); err != nil {
				t.Fatal(err)
			}
		}
		l.ops.strikes.Store(0)
		l.shards[0].inst.answer(t, 0, reply)
		ev := said("hello")
		v, err := l.Facets().Filter.Filter(context.Background(), []sdk.Event{ev})
		if l.shards[0].inst != nil {
			l.shards[0].inst.answer(t, 0, nil)
		}
		if err != nil {
			return
		}
		if got := v[0].Event; got != nil {
			it, want := got.Item(), ev.Item()
			if got.ID != ev.ID || got.Actor.ID != ev.Actor.ID || got.Place != ev.Place || got.Dedup != ev.Dedup || it.ID != want.ID || it.Author != want.Author || it.Origin != want.Origin || it.Visibility < want.Visibility {
				t.Errorf("identity changed: %+v", got)
			}
		}
		if len(v[0].Emit) > emitQuota {
			t.Errorf("%d events emitted", len(v[0].Emit))
		}
		for _, e := range v[0].Emit {
			if e.Place.Link != "guest" && e.Place.ID != "" {
				t.Errorf("emitted for %v", e.Place)
			}
		}
	})
}

func mustInspect(tb testing.TB, bin []byte) *meter.Module {
	tb.Helper()
	m, err := meter.Inspect(bin, meter.Limits{})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}
