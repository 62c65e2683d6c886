package convert

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"bridgehost/sdk"
)

// TestRoundTrip writes random items and reads them again: what is lost is exactly what is declared, which for these is nothing.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		it := randomItem(rnd)
		people := map[sdk.RemoteID]Person{}
		for i := range 4 {
			h := fmt.Sprintf("p%d@m%d.example", i, i)
			people[sdk.RemoteID(h)] = Person{ID: fmt.Sprintf("https://m%d.example/users/p%d", i, i), Handle: h, URL: fmt.Sprintf("https://m%d.example/@p%d", i, i)}
		}
		n := names
		n.Quotable = rnd.IntN(2) == 0
		n.Person = func(m sdk.Mention) (Person, bool) { p, ok := people[m.Actor.ID]; return p, ok }
		if it.Visibility == sdk.VisibilityDirect {
			for _, m := range it.Mentions {
				n.Recipients = append(n.Recipients, people[m.Actor.ID])
			}
		}
		out, loss := Write(it, n)
		if len(loss) > 0 {
			t.Fatalf("seed %d: losses %v", seed, loss)
		}
		p, err := Read(document(t, out), Reading{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got := p.Item
		it.Origin, it.URL, it.Native = got.Origin, got.URL, got.Native
		if it.Calendar != nil {
			it.Calendar.Description, it.Calendar.URL, it.Title = it.Text, got.URL, it.Calendar.Name
			if got.Calendar != nil && got.Calendar.Start.Equal(it.Calendar.Start) && got.Calendar.End.Equal(it.Calendar.End) {
				got.Calendar.Start, got.Calendar.End = it.Calendar.Start, it.Calendar.End
			}
		}
		if len(p.Loss) > 0 || !reflect.DeepEqual(got, it) {
			t.Fatalf("seed %d: losses %v\ngot  %+v %+v %+v %+v\nwant %+v %+v %+v %+v", seed, p.Loss, got, got.Text, got.Poll, got.Calendar, it, it.Text, it.Poll, it.Calendar)
		}
	}
}

func randomItem(rnd *rand.Rand) sdk.Item {
	some := func() bool { return rnd.IntN(3) == 0 }
	it := sdk.Item{Visibility: sdk.Visibility(1 + rnd.IntN(4)), Created: at.Add(time.Duration(rnd.Int64N(1e12))), Text: &sdk.Text{}}
	words := []string{"tea", "& <cake>", "ünïcode 🐱", "\"quoted\"", "a\nline", "RE: no", "x"}
	for range 1 + rnd.IntN(5) {
		w := words[rnd.IntN(len(words))]
		start := len(it.Text.Plain)
		it.Text.Plain += w + " "
		if some() && w != "a\nline" {
			kind := []sdk.SpanKind{sdk.SpanBold, sdk.SpanItalic, sdk.SpanCode, sdk.SpanLink}[rnd.IntN(4)]
			s := sdk.Span{Kind: kind, Start: start, End: start + len(w)}
			if kind == sdk.SpanLink {
				s.Value = "https://l.example/?a=1&b=" + fmt.Sprint(start)
			}
			it.Text.Spans = append(it.Text.Spans, s)
		}
	}
	for i := range rnd.IntN(4) {
		m := sdk.Mention{Actor: sdk.Ref{ID: sdk.RemoteID(fmt.Sprintf("p%d@m%d.example", i, i))}, Handle: fmt.Sprintf("@p%d@m%d.example", i, i), Start: len(it.Text.Plain)}
		it.Text.Plain += fmt.Sprintf("@p%d", i)
		m.End = len(it.Text.Plain)
		it.Text.Plain += " "
		it.Mentions = append(it.Mentions, m)
		it.Text.Spans = append(it.Text.Spans, sdk.Span{Kind: sdk.SpanMention, Start: m.Start, End: m.End, Value: string(m.Actor.ID)})
	}
	if it.Visibility == sdk.VisibilityDirect && it.Mentions == nil {
		it.Visibility = sdk.VisibilityFollowers
	}
	it.Text.Plain += "end"
	if some() {
		it.Warning = "a <warning> & more"
	}
	if some() {
		it.Language = "pt-BR"
	}
	if some() {
		it.ReplyTo = at0("https://m.example/n/1")
	}
	if some() {
		it.Thread = at0("https://m.example/c/1")
	}
	if some() {
		it.Quote = at0("https://m.example/n/2")
	}
	if some() {
		it.Edited = it.Created.Add(time.Hour)
	}
	for i := range rnd.IntN(3) {
		it.Tags = append(it.Tags, fmt.Sprintf("tag%d", i))
		it.Emoji = append(it.Emoji, sdk.Emoji{Code: fmt.Sprintf("e%d", i), Media: sdk.Media{URL: fmt.Sprintf("https://m.example/e%d.png", i), Type: "image/png", Alt: fmt.Sprintf(":e%d:", i)}})
		it.Media = append(it.Media, sdk.Media{URL: fmt.Sprintf("https://m.example/%d.mp4", i), Type: "video/mp4", Name: fmt.Sprintf("%d.mp4", i), Alt: "what is <seen>",
			Width: 10, Height: 20, Size: 3000, Duration: 1500 * time.Millisecond, Blurhash: "UBL_"})
	}
	randomShape(rnd, &it)
	return it
}

// randomShape makes the item a poll, an appointment or an article, or leaves it a note.
func randomShape(rnd *rand.Rand, it *sdk.Item) {
	switch rnd.IntN(4) {
	case 0:
		it.Poll = &sdk.Poll{Multiple: rnd.IntN(2) == 0, Voters: rnd.IntN(9), Options: []sdk.PollOption{{Text: "yes", Votes: 2}, {Text: "<no>", Votes: rnd.IntN(5)}}}
		if rnd.IntN(2) == 0 {
			it.Poll.Closes = it.Created.Add(time.Hour)
		}
		it.Poll.Closed = rnd.IntN(2) == 0
	case 1:
		it.Calendar = &sdk.CalendarEvent{UID: "u-1", Name: "Tea & <cake>", Start: at.AddDate(0, 1, 0), Zone: "UTC", Location: "Hall", Latitude: "44.0", Longitude: "11.25",
			Status: []string{"confirmed", "tentative", "cancelled"}[rnd.IntN(3)], Categories: []string{"food drink"}, MaxAttend: rnd.IntN(20)}
		if rnd.IntN(2) == 0 {
			it.Calendar.End = it.Calendar.Start.Add(time.Hour)
		}
	case 2:
		if it.Visibility != sdk.VisibilityDirect {
			it.Title = "A title & <more>"
		}
	}
	it.Tags = slices.Clip(it.Tags)
}
