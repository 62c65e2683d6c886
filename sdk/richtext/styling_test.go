package richtext

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bridgehost/sdk"
)

// show writes a text with its spans in a form that tests can read.
func show(t sdk.Text) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+q", t.Plain)
	for _, s := range t.Spans {
		fmt.Fprintf(&b, " %s[%d:%d]", kindNames[s.Kind], s.Start, s.End)
		if s.Value != "" {
			fmt.Fprintf(&b, "=%s", s.Value)
		}
	}
	return b.String()
}

var kindNames = map[sdk.SpanKind]string{
	sdk.SpanBold: "bold", sdk.SpanItalic: "italic", sdk.SpanStrike: "strike", sdk.SpanCode: "code", sdk.SpanPre: "pre", sdk.SpanQuote: "quote",
	sdk.SpanLink: "link", sdk.SpanMention: "mention", sdk.SpanListItem: "item", sdk.SpanHeading: "heading", sdk.SpanSpoiler: "spoiler",
}

// TestParseStyling has the rules and examples of XEP-0393 §6 first.
func TestParseStyling(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain span", `"plain span"`},
		{"*strong span*", `"strong span" bold[0:11]`},
		{"plain *_emphasis_* plain", `"plain emphasis plain" bold[6:14] italic[6:14]`},
		{"`pre` plain *strong*", `"pre plain strong" code[0:3] bold[10:16]`},
		{"*strong*plain*", `"strongplain*" bold[0:6]`},
		{"* plain *strong*", `"* plain strong" bold[8:14]`},
		{"not strong*", `"not strong*"`},
		{"*not strong", `"*not strong"`},
		{"*not \n strong*", `"*not \n strong*"`},
		{"*not *strong", `"*not *strong"`},
		{"**", `"**"`}, {"***", `"***"`}, {"****", `"****"`}, {"**bold**", `"**bold**"`},
		{"Everyone ~dis~likes cake.", `"Everyone dislikes cake." strike[9:12]`},
		{"This is `*monospace*`", `"This is *monospace*" code[8:19]`},
		{"This is *`monospace and bold`*", `"This is monospace and bold" bold[8:26] code[8:26]`},
		{"no *formatting\nas spans* here", `"no *formatting\nas spans* here"`},
		{"```ignored\n(println \"Hello\")\n```\n\nplain", `"(println \"Hello\")\n\nplain" pre[0:17]=ignored`},
		{"```not a lang!\nx\n```", `"x" pre[0:1]`},
		{"> ```\n> (println)\n\nplain", `"(println)\n\nplain" quote[0:9] pre[0:9]`},
		{"> That that is, is.\n\nSaid the old hermit.", `"That that is, is.\n\nSaid the old hermit." quote[0:17]`},
		{">> That that is, is.\n> Said he.\n\nWho?", `"That that is, is.\nSaid he.\n\nWho?" quote[0:26] quote[0:17]`},
		{">  two", `" two" quote[0:4]`},
		{">", `">"`}, {"> \n>", `"> \n>"`}, {"```\n```", "\"```\\n```\""}, {"```", "\"```\""},
		{"a_b_c snake_case_name", `"a_b_c snake_case_name"`},
		{"2 * 3 * 4", `"2 * 3 * 4"`},
		{"https://x.example/_a_", `"https://x.example/_a_"`},
		{"*a*\u3000*b*", "\"a\\u3000b\" bold[0:1] bold[4:5]"},
		{"", `""`},
	} {
		got, runs := ParseStyling(c.in)
		if s := show(got); s != c.want {
			t.Errorf("%q is\n%s, want\n%s", c.in, s, c.want)
		}
		for _, r := range runs {
			if c.in[r.Src:r.Src+r.Len] != got.Plain[r.Dst:r.Dst+r.Len] {
				t.Errorf("%q: run %v is wrong", c.in, r)
			}
		}
	}
}

func TestPrintStyling(t *testing.T) {
	b, i, code, pre, quote, link := sdk.SpanBold, sdk.SpanItalic, sdk.SpanCode, sdk.SpanPre, sdk.SpanQuote, sdk.SpanLink
	for _, c := range []struct {
		in       sdk.Text
		want     string
		unstyled bool
		lost     []sdk.SpanKind
	}{
		{in: sdk.Text{Plain: "bold", Spans: []sdk.Span{{Kind: b, End: 4}}}, want: "*bold*"},
		{in: sdk.Text{Plain: "a bold b", Spans: []sdk.Span{{Kind: b, Start: 1, End: 7}}}, want: "a *bold* b"},
		{in: sdk.Text{Plain: "in-word", Spans: []sdk.Span{{Kind: b, Start: 1, End: 2}}}, want: "in-word", lost: []sdk.SpanKind{b}},
		{in: sdk.Text{Plain: "two\nlines", Spans: []sdk.Span{{Kind: i, End: 9}}}, want: "_two_\n_lines_"},
		{in: sdk.Text{Plain: "a\nb\nc", Spans: []sdk.Span{{Kind: quote, End: 3}}}, want: "> a\n> b\nc"},
		{in: sdk.Text{Plain: "a\nb", Spans: []sdk.Span{{Kind: quote, End: 3}, {Kind: pre, End: 3, Value: "go"}}}, want: "> ```go\n> a\n> b\n> ```"},
		{in: sdk.Text{Plain: "Docs and more", Spans: []sdk.Span{{Kind: link, End: 4, Value: "https://d.example/"}}}, want: "Docs (https://d.example/) and more"},
		{in: sdk.Text{Plain: "d.example", Spans: []sdk.Span{{Kind: link, End: 9, Value: "https://d.example/"}}}, want: "d.example"},
		{in: sdk.Text{Plain: "x", Spans: []sdk.Span{{Kind: link, End: 1, Value: "javascript:alert(1)"}}}, want: "x"},
		{in: sdk.Text{Plain: "see it", Spans: []sdk.Span{{Kind: b, Start: 4, End: 6}, {Kind: link, Start: 4, End: 6, Value: "https://d.example"}}}, want: "see *it* (https://d.example)"},
		{in: sdk.Text{Plain: "*literal*"}, want: "*literal*", unstyled: true},
		{in: sdk.Text{Plain: "> _ <"}, want: "> _ <", unstyled: true},
		{in: sdk.Text{Plain: "*literal* bold", Spans: []sdk.Span{{Kind: b, Start: 10, End: 14}}}, want: "*literal* bold", unstyled: true, lost: []sdk.SpanKind{b}},
		{in: sdk.Text{Plain: "Title\ntext", Spans: []sdk.Span{{Kind: sdk.SpanHeading, End: 5, Value: "1"}}}, want: "*Title*\ntext", lost: []sdk.SpanKind{sdk.SpanHeading}},
		{in: sdk.Text{Plain: "• a\n• b", Spans: []sdk.Span{{Kind: sdk.SpanListItem, End: 5, Value: "•"}, {Kind: sdk.SpanListItem, Start: 6, End: 11, Value: "•"}}}, want: "• a\n• b"},
		{in: sdk.Text{Plain: "`", Spans: []sdk.Span{{Kind: code, End: 1}}}, want: "`", lost: []sdk.SpanKind{code}},
		{in: sdk.Text{Plain: "a b", Spans: []sdk.Span{{Kind: b, Start: 0, End: 99}, {Kind: i, Start: 2, End: 3}}}, want: "*a _b_*"},
	} {
		got := PrintStyling(c.in)
		if got.Body != c.want || got.Unstyled != c.unstyled || !slices.Equal(got.Lost, c.lost) {
			t.Errorf("%s is\n%q unstyled=%v lost=%v, want\n%q", show(c.in), got.Body, got.Unstyled, got.Lost, c.want)
		}
	}
}

// weights gives for each byte that can be seen how often it is marked with each kind; kinds in lost do not count.
func weights(t sdk.Text, lost []sdk.SpanKind) []string {
	out := make([]string, len(t.Plain))
	for _, s := range t.Spans {
		if slices.Contains(lost, s.Kind) {
			continue
		}
		for i := s.Start; i < s.End; i++ {
			out[i] += kindNames[s.Kind] + " "
		}
	}
	for i, r := range t.Plain {
		words := strings.Fields(out[i])
		slices.Sort(words)
		out[i] = strings.Join(words, " ")
		if isSpace(r) {
			out[i] = ""
		}
		for j := i + 1; j < len(t.Plain) && t.Plain[j]&0xC0 == 0x80; j++ {
			out[j] = ""
		}
	}
	return out
}

// FuzzStyling wants what is printed to be read as it was, but for what is declared lost.
func FuzzStyling(f *testing.F) {
	for _, s := range []string{"*a _b_* `c`", "> a\n>> b\n```\nc\n```", "~x~ *", "a\n\n> *b*\nc", "**", "``` go\n> x", "> ```\n> y\nz", "*>x*\n>\n> y", "* *a* *\u2028"} {
		f.Add(s, 0, 3, uint8(1), 2, 5, uint8(5))
	}
	f.Fuzz(func(t *testing.T, body string, s1, e1 int, k1 uint8, s2, e2 int, k2 uint8) {
		body = strings.ToValidUTF8(body, "?")
		read, runs := ParseStyling(body)
		for _, r := range runs {
			if body[r.Src:r.Src+r.Len] != read.Plain[r.Dst:r.Dst+r.Len] {
				t.Fatalf("run %v of %q is wrong", r, body)
			}
		}
		marked := sdk.Text{Plain: read.Plain, Spans: append(slices.Clone(read.Spans),
			sdk.Span{Kind: sdk.SpanKind(k1 % 6), Start: s1, End: e1}, sdk.Span{Kind: sdk.SpanKind(k2 % 6), Start: s2, End: e2})}
		for _, x := range []sdk.Text{read, {Plain: body}, Normalize(marked)} {
			out := PrintStyling(x)
			for _, r := range out.Runs {
				if x.Plain[r.Src:r.Src+r.Len] != out.Body[r.Dst:r.Dst+r.Len] {
					t.Fatalf("run %v of %s to %q is wrong", r, show(x), out.Body)
				}
			}
			if out.Unstyled {
				if out.Body != x.Plain {
					t.Fatalf("%s unstyled is %q", show(x), out.Body)
				}
				continue
			}
			again, _ := ParseStyling(out.Body)
			if again.Plain != x.Plain {
				t.Fatalf("%s is printed as %q and read as %s", show(x), out.Body, show(again))
			}
			if got, want := weights(again, out.Lost), weights(x, out.Lost); !slices.Equal(got, want) {
				t.Fatalf("%s is printed as %q and read as %s; lost %v", show(x), out.Body, show(again), out.Lost)
			}
		}
	})
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct {
		in   sdk.Text
		want string
	}{
		{sdk.Text{Plain: "abcdef", Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 0, End: 4}, {Kind: sdk.SpanItalic, Start: 2, End: 6}}}, `"abcdef" bold[0:4] italic[2:4] italic[4:6]`},
		{sdk.Text{Plain: "aé", Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 0, End: 2}, {Kind: sdk.SpanItalic, Start: 2, End: 3}, {Start: -5, End: -1}}}, `"a\u00e9" bold[0:1]`},
		{sdk.Text{Plain: "ab", Spans: []sdk.Span{{Start: 1, End: 2}, {Start: 0, End: 1}, {Start: 0, End: 2}}}, `"ab" bold[0:2]`},
	} {
		if got := show(Normalize(c.in)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if got := show(Slice(sdk.Text{Plain: "abcdef", Spans: []sdk.Span{{End: 3}, {Start: 4, End: 6}}}, 2, 5)); got != `"cde" bold[0:1] bold[2:3]` {
		t.Errorf("slice is %s", got)
	}
}
