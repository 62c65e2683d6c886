package filter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

func event(text string) sdk.Event {
	return sdk.Event{Place: sdk.Ref{Link: "a", ID: "room"}, Dedup: text, Change: sdk.ItemCreated{Item: sdk.Item{
		Origin: sdk.Ref{Link: "a", ID: sdk.RemoteID(text)}, Text: sdk.NewText(text), Visibility: sdk.VisibilityUnlisted}}}
}

// fn is a filter made of a function that sees the text of each event.
type fn func(text string) (sdk.Verdict, error)

func (f fn) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	out := make([]sdk.Verdict, len(events))
	for i := range events {
		v, err := f(events[i].Item().Body())
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func replace(text string, vis sdk.Visibility) sdk.Verdict {
	ev := sdk.Event{Place: sdk.Ref{Link: "x", ID: "x"}, Actor: sdk.Actor{Name: "mallory"}, Notice: true,
		Change: sdk.ItemCreated{Item: sdk.Item{Text: sdk.NewText(text), Visibility: vis}}}
	return sdk.Verdict{Verb: sdk.Replace, Event: &ev}
}

func TestChainRunsInOrderAndStopsAtADrop(t *testing.T) {
	c := filter.New(filter.Options{})
	c.Attach("up", fn(func(s string) (sdk.Verdict, error) { return replace(strings.ToUpper(s), sdk.VisibilityPublic), nil }), filter.AttachOptions{})
	c.Attach("bad", fn(func(s string) (sdk.Verdict, error) {
		switch s {
		case "BAD":
			return sdk.Verdict{Verb: sdk.Drop, Reason: "bad word"}, nil
		case "LATER":
			return sdk.Verdict{Verb: sdk.Hold, Until: time.Unix(5, 0)}, nil
		}
		return sdk.Verdict{}, nil
	}), filter.AttachOptions{})
	seen := 0
	c.Attach("last", fn(func(string) (sdk.Verdict, error) { seen++; return sdk.Verdict{}, nil }), filter.AttachOptions{})
	uses := []route.FilterUse{{Link: "up"}, {Link: "bad"}, {Link: "last"}}
	res, err := c.Run(t.Context(), uses, []sdk.Event{event("good"), event("bad"), event("later")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	it := res[0].Event.Item()
	if it.Body() != "GOOD" || res[0].Event.Place.Link != "a" || it.Origin.ID != "good" || res[0].Event.Notice ||
		res[0].Event.Actor.Name != "" || it.Visibility != sdk.VisibilityUnlisted || !res[0].Changed || len(res[0].Steps) != 3 {
		t.Errorf("good = %+v", res[0])
	}
	if res[1].Verb != sdk.Drop || res[1].Reason != "bad word" || len(res[1].Steps) != 2 {
		t.Errorf("bad = %+v", res[1])
	}
	if res[2].Verb != sdk.Hold || !res[2].Until.Equal(time.Unix(5, 0)) || seen != 1 {
		t.Errorf("later = %+v, last saw %d", res[2], seen)
	}
}

func TestPolicyOfAFailingFilter(t *testing.T) {
	trap := errors.New("unreachable")
	f := fn(func(s string) (sdk.Verdict, error) {
		if s == "trap" {
			return sdk.Verdict{}, trap
		}
		if s == "panic" {
			panic("boom")
		}
		return sdk.Verdict{}, nil
	})
	for _, open := range []bool{false, true} {
		c := filter.New(filter.Options{Trip: 100})
		uses := []route.FilterUse{{Link: "f", FailOpen: open}}
		_, err := c.Run(t.Context(), uses, []sdk.Event{event("x")}, nil)
		if open != (err == nil) || !open && sdk.KindOf(err) != sdk.Overloaded {
			t.Errorf("open=%v, absent filter: %v", open, err)
		}
		c.Attach("f", f, filter.AttachOptions{})
		res, err := c.Run(t.Context(), uses, []sdk.Event{event("a"), event("trap"), event("b"), event("panic")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := sdk.Drop
		if open {
			want = sdk.Pass
		}
		if res[0].Verb != sdk.Pass || res[2].Verb != sdk.Pass || res[1].Verb != want || res[3].Verb != want || !res[1].Steps[0].Failed {
			t.Errorf("open=%v: %+v", open, res)
		}
	}
}

// slow answers only when its time is over.
type slow struct{}

func (slow) Filter(ctx context.Context, _ []sdk.Event) ([]sdk.Verdict, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestBudgetAndCircuit(t *testing.T) {
	now := time.Unix(1000, 0)
	c := filter.New(filter.Options{Trip: 2, Cool: time.Minute, Now: func() time.Time { return now }})
	c.Attach("f", slow{}, filter.AttachOptions{Budget: time.Millisecond})
	uses := []route.FilterUse{{Link: "f"}}
	for range 2 {
		res, err := c.Run(t.Context(), uses, []sdk.Event{event("x")}, nil)
		if err != nil || res[0].Verb != sdk.Drop {
			t.Fatalf("over budget: %+v, %v", res, err)
		}
	}
	if _, err := c.Run(t.Context(), uses, []sdk.Event{event("x")}, nil); sdk.KindOf(err) != sdk.Overloaded {
		t.Errorf("open circuit: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if _, err := c.Run(t.Context(), uses, []sdk.Event{event("x")}, nil); err != nil {
		t.Errorf("probe: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Attach("f", slow{}, filter.AttachOptions{Budget: time.Millisecond})
	if _, err := c.Run(ctx, uses, []sdk.Event{event("x")}, nil); sdk.KindOf(err) != sdk.Transient {
		t.Errorf("cancelled: %v", err)
	}
}

// raw sees bytes and answers with bytes.
type raw struct {
	fn
	seen int
}

func (r *raw) FilterRaw(_ context.Context, b [][]byte, events []sdk.Event) ([]filter.RawVerdict, error) {
	r.seen += len(b[0])
	v := replace("from raw", 0)
	return []filter.RawVerdict{{Verdict: sdk.Verdict{Verb: sdk.Replace}, Raw: codec.AppendEvent(nil, v.Event)}}, nil
}

func TestRawFilter(t *testing.T) {
	c := filter.New(filter.Options{})
	r := &raw{}
	c.Attach("f", r, filter.AttachOptions{Emit: func(p sdk.Ref) bool { return p.ID == "log" }})
	res, err := c.Run(t.Context(), []route.FilterUse{{Link: "f"}}, []sdk.Event{event("x")}, nil)
	if err != nil || res[0].Event.Item().Body() != "from raw" || r.seen == 0 || res[0].Raw != nil {
		t.Errorf("result = %+v, %v", res, err)
	}
	if !c.MayEmit("f", sdk.Ref{ID: "log"}) || c.MayEmit("f", sdk.Ref{ID: "other"}) || c.MayEmit("g", sdk.Ref{ID: "log"}) {
		t.Error("MayEmit does not follow the grants")
	}
}
