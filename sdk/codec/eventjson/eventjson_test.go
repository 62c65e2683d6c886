package eventjson

import (
	"reflect"
	"testing"
	"time"

	"bridgehost/sdk"
)

func TestRoundTrip(t *testing.T) {
	e := sdk.Event{ID: "e1", Time: time.Unix(1000, 5).UTC(), Place: sdk.Ref{Link: "home", ID: "room"}, Dedup: "k",
		Actor: sdk.Actor{ID: "a", Name: "Romeo", Home: sdk.Ref{Link: "home", ID: "romeo@example.net"}},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "i", Text: &sdk.Text{Plain: "hé", Spans: []sdk.Span{{Kind: sdk.SpanItalic, End: 1}}},
			Tags: []string{"a"}, Native: map[string][]byte{"x": {1, 2}}}}}
	text, err := Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unmarshal(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, want %+v", got, e)
	}
	again, err := Marshal(&got)
	if err != nil || string(again) != string(text) {
		t.Errorf("second writing: %s, %v, want %s", again, err, text)
	}
}

func TestUnknownName(t *testing.T) {
	if e, err := Unmarshal([]byte(`{"itemCreated":{"item":{"txt":{}}}}`)); err == nil {
		t.Errorf("got %+v, want an error", e)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"itemCreated":{"item":{"text":{"plain":"x"},"tags":["a"]}},"time":"12"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Unmarshal(text)
		if err != nil {
			return
		}
		if _, err := Marshal(&e); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
