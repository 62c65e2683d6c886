//go:build !wasip1

package guest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/guest"
)

// request encodes an event as the host's filter request.
func request(ev sdk.Event) []byte {
	b := codec.AppendEvent(nil, &ev)
	return append(varint([]byte{0x12}, len(b)), b...)
}

func varint(dst []byte, v int) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func event() sdk.Event {
	return sdk.Event{
		ID: "e1", Seq: 9, Time: time.Unix(5, 0).UTC(), Place: sdk.Ref{Link: "home", ID: "room"}, Dedup: "k", Via: []sdk.LinkID{"a", "b"},
		Actor: sdk.Actor{ID: "act", Kind: sdk.ActorBot, Home: sdk.Ref{Link: "home", ID: "me"}, Name: "Me", Handle: "@me"},
		Change: sdk.ItemUpdated{Target: sdk.Target{Item: "i", Remote: "r"}, Item: sdk.Item{ID: "i", Origin: sdk.Ref{Link: "home", ID: "o"}, Title: "T",
			Text: sdk.NewText("hello"), Tags: []string{"x", "y"}, Media: []sdk.Media{{URL: "u", Type: "image/png", Name: "n", Size: 7}}, Visibility: sdk.VisibilityUnlisted,
			Warning: "w", Language: "en", URL: "https://x", Created: time.Unix(6, 0).UTC()}},
	}
}

// TestViews compares every view with what the host encoded.
func TestViews(t *testing.T) {
	seen := false
	guest.Register(guest.Handlers{Filter: func(e guest.Event) guest.Verdict {
		seen = true
		it, ok := e.Item()
		item, remote := e.Target()
		media := ""
		it.Media(func(m guest.Media) { media += m.URL() + m.Type() + m.Name() + string(rune('0'+m.Size())) })
		got := []any{ok, e.ID(), e.Kind(), e.Time().UTC(), e.Place().Link(), e.Place().ID(), e.Dedup(), e.Via(), e.Actor().ID(), e.Actor().Kind(), e.Actor().Home().ID(),
			e.Actor().Name(), e.Actor().Handle(), item, remote, it.ID(), it.Origin().ID(), it.Title(), it.Text().Plain(), string(it.Text().PlainBytes()), it.Tags(), media, it.Visibility(),
			it.Warning(), it.Language(), it.URL(), it.Created().UTC()}
		want := []any{true, "e1", guest.ItemUpdated, time.Unix(5, 0).UTC(), "home", "room", "k", []string{"a", "b"}, "act", 1, "me", "Me", "@me", "i", "r", "i", "o", "T",
			"hello", "hello", []string{"x", "y"}, "uimage/pngn7", 2, "w", "en", "https://x", time.Unix(6, 0).UTC()}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("view %d: got %v, want %v", i, got[i], want[i])
			}
		}
		return guest.Pass()
	}})
	if reply := guest.Handle(request(event())); len(reply) != 0 || !seen {
		t.Errorf("reply % x, seen %v", reply, seen)
	}
}

// TestReplies compares the bytes of replies with what the contract says.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(e guest.Event) guest.Verdict
		want string
	}{
		{"drop", func(guest.Event) guest.Verdict { return guest.Drop("no") }, "\x08\x01\x12\x02no"},
		{"text", func(e guest.Event) guest.Verdict { return e.Patch().SetText("HEY").AddTag("a").Verdict() },
			"\x22\x05\x0a\x03\x16\x01\x0a" + "\x1a\x0f\xb2\x01\x0c\x0a\x0a\x52\x05\x0a\x03HEYz\x01a"},
		{"clear", func(e guest.Event) guest.Verdict { return e.Patch().SetTitle("").Verdict() }, "\x22\x05\x0a\x03\x16\x01\x09"},
		{"hold", func(guest.Event) guest.Verdict { return guest.Hold(time.Unix(0, 1), "") }, "\x08\x03\x28\x01"},
	} {
		guest.Register(guest.Handlers{Filter: c.f})
		if got := guest.Handle(request(event())); string(got) != c.want {
			t.Errorf("%s: % x, want % x", c.name, got, c.want)
		}
	}
}

// TestNewEvent decodes an emitted event with the host's codec.
func TestNewEvent(t *testing.T) {
	var arg []byte
	guest.Host = func(op uint32, b []byte) int64 { arg = append([]byte{}, b...); return 0 }
	defer func() { guest.Host = nil }()
	err := guest.Publish(guest.NewEvent{Place: "p", Dedup: "d", Time: time.Unix(1, 0), Actor: guest.NewActor{ID: "a", Name: "A", Bot: true}, ID: "i", Update: true,
		Title: "t", Text: "x", URL: "u", Tags: []string{"g"}, Created: time.Unix(2, 0)})
	if err != nil || arg[0] != 0x0a {
		t.Fatal(err)
	}
	skip := 2
	if arg[1] >= 0x80 {
		skip = 3
	}
	ev, err := codec.DecodeEvent(arg[skip:])
	if err != nil {
		t.Fatal(err)
	}
	it := ev.Item()
	if ev.Kind() != sdk.KindItemUpdated || ev.Place.ID != "p" || ev.Actor.Home.ID != "a" || ev.Actor.Kind != sdk.ActorBot || ev.Target().Remote != "i" || it.Title != "t" || it.Body() != "x" ||
		it.URL != "u" || it.Tags[0] != "g" || it.Origin.ID != "i" || !it.Created.Equal(time.Unix(2, 0)) {
		t.Errorf("%+v", ev)
	}
}

// TestErrors: an operation's error keeps kind and text, a handler's crosses.
func TestErrors(t *testing.T) {
	guest.Host = func(op uint32, b []byte) int64 {
		if op == 0 {
			return int64(copy(b, "not granted"))
		}
		return -int64(guest.Forbidden)
	}
	defer func() { guest.Host = nil }()
	err := guest.Set("k", nil)
	var e *guest.Error
	if !errors.As(err, &e) || e.Kind != guest.Forbidden || e.Text != "not granted" {
		t.Errorf("error %v", err)
	}
	guest.Register(guest.Handlers{Run: func() error { return err }})
	if got := guest.Handle([]byte{0x5a, 0}); !strings.Contains(string(got), "not granted") || got[0] != 0x3a {
		t.Errorf("reply % x", got)
	}
}

// TestLinkCalls: places, outcomes and addresses reach their handlers.
func TestLinkCalls(t *testing.T) {
	var got []string
	guest.Register(guest.Handlers{
		SetPlaces: func(p guest.Places) error {
			p.Each(func(id string, source, target bool) {
				if source && !target {
					got = append(got, id)
				}
			})
			return nil
		},
		Inform: func(outcomes []guest.Outcome) error {
			for _, o := range outcomes {
				got = append(got, o.Dedup(), o.Place().ID(), string(rune('0'+o.State())), o.Reason())
			}
			return nil
		},
		Resolve: func(address string) (guest.NewActor, error) {
			return guest.NewActor{ID: "id of " + address, Name: "N"}, nil
		},
	})
	guest.Handle([]byte("\x3a\x07\x0a\x05\x0a\x01p\x10\x01"))
	o := codec.AppendOutcome(nil, &sdk.Outcome{Dedup: "d", Place: sdk.Ref{Link: "l", ID: "q"}, State: sdk.OutcomeDead, Reason: "r"})
	guest.Handle(append([]byte{0x42, byte(len(o) + 2), 0x0a, byte(len(o))}, o...))
	if want := []string{"p", "d", "q", "2", "r"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	reply := guest.Handle([]byte("\x4a\x03\x0a\x01x"))
	resolved, err := codec.DecodeResolved(reply[4:])
	if err != nil || reply[0] != 0x72 || resolved.Actor == nil || resolved.Actor.Home.ID != "id of x" || resolved.Actor.Name != "N" {
		t.Errorf("resolved %+v, %v (% x)", resolved, err, reply)
	}
}

// FuzzHandle: no request makes the SDK panic.
func FuzzHandle(f *testing.F) {
	f.Add(request(event()))
	f.Add([]byte{0x0a, 0})
	f.Add([]byte{0x1a, 2, 0x0a, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		guest.Register(guest.Handlers{
			Filter: func(e guest.Event) guest.Verdict {
				it, _ := e.Item()
				it.Media(func(m guest.Media) { _ = m.URL() })
				_ = e.Reactions()
				return e.Patch().SetText(it.Text().Plain()).SetTags(it.Tags()...).Verdict()
			},
			Open: func(c guest.Config) error { c.Places(func(string, bool, bool) {}); return nil },
			Deliver: func(batch []guest.Delivery) (out []guest.Receipt) {
				for _, d := range batch {
					out = append(out, guest.Receipt{Delivery: d.ID() + d.Place()})
				}
				return out
			},
			Command: func(c guest.Invocation) (string, error) { return c.Name() + strings.Join(c.Args(), ""), nil },
			Web:     func(r guest.WebRequest) (guest.WebResponse, error) { return guest.WebResponse{Body: r.Body()}, nil },
		})
		guest.Handle(b)
	})
}

func BenchmarkHandle(b *testing.B) {
	guest.Register(guest.Handlers{Filter: func(e guest.Event) guest.Verdict {
		it, _ := e.Item()
		if strings.HasPrefix(it.Text().Plain(), "hello") {
			return e.Patch().SetText("marked").AddTag("seen").Verdict()
		}
		return guest.Pass()
	}})
	req := request(event())
	b.ReportAllocs()
	for b.Loop() {
		guest.Handle(req)
	}
}
