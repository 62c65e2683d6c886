package convert

import (
	"strings"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// fit gives as much of the beginning of a text as one body can hold, cut at the
// best place, and how many bytes of the text that uses.
func (c *composer) fit(text sdk.Text, first bool) (sdk.Text, int) {
	limit := c.s.MaxText
	if first {
		limit -= len(xmltok.AppendText(nil, c.s.Author+c.it.Warning)) + 16
		if c.s.Parent != nil {
			limit -= len(xmltok.AppendText(nil, quotation(c.s.Parent)))
		}
	}
	limit = max(limit, 256)
	if len(text.Plain) <= limit && escapedLen(richtext.PrintStyling(text).Body) <= limit {
		return text, len(text.Plain)
	}
	for room := limit; ; room = room * 3 / 4 {
		end, next := breakAt(text.Plain, room)
		head := richtext.Slice(text, 0, end)
		if escapedLen(richtext.PrintStyling(head).Body) <= limit || room < 64 {
			return head, next
		}
	}
}

// breakAt finds where to break a text so that at most room bytes, when escaped,
// stand before it: between paragraphs, lines, sentences or words, or else
// anywhere. The next part begins at next.
func breakAt(s string, room int) (end, next int) {
	total, most := 0, 0
	for i, r := range s {
		if total += escapedRune(r); total > room && i > 0 {
			break
		}
		most = i + utf8.RuneLen(r)
	}
	most = min(most, len(s))
	for _, sep := range []string{"\n\n", "\n", ". ", " "} {
		if i := strings.LastIndex(s[:most], sep); i > most/2 {
			keep := len(strings.TrimRight(sep, " \n"))
			return i + keep, i + len(sep)
		}
	}
	if head := cut(s, most); len(head) > most/2 {
		return len(head), len(head)
	}
	return most, most
}

func escapedRune(r rune) int {
	switch r {
	case '<', '>':
		return 4
	case '&':
		return 5
	}
	return max(1, utf8.RuneLen(r))
}

func escapedLen(s string) int {
	n := 0
	for _, r := range s {
		n += escapedRune(r)
	}
	return n
}

// shorten cuts s so that its escaped form has at most limit bytes.
func shorten(s string, limit int) (string, bool) {
	if limit <= 0 || len(s)*6 <= limit {
		return s, false
	}
	const mark = " […]"
	total, keep := 0, 0
	for i, r := range s {
		total += escapedRune(r)
		if total <= limit-len(mark) {
			keep = i + utf8.RuneLen(r)
		}
	}
	if total <= limit {
		return s, false
	}
	return cut(s, keep) + mark, true
}

// clean makes a text that XML can carry: one kind of line end, and U+FFFD for
// what XML 1.0 §2.2 does not allow.
func clean(s string) string {
	if !strings.ContainsFunc(s, unclean) {
		return s
	}
	return strings.Map(xmlRune, strings.ReplaceAll(s, "\r\n", "\n"))
}

func unclean(r rune) bool { return r == '\r' || r == utf8.RuneError || !xmltok.IsChar(r) }

// xmlRune replaces what XML 1.0 §2.2 does not allow, and turns lone carriage
// returns into line ends, as XML parsers would (XML 1.0 §2.11).
func xmlRune(r rune) rune {
	switch {
	case r == '\r':
		return '\n'
	case !xmltok.IsChar(r):
		return utf8.RuneError
	default:
		return r
	}
}

// cleanText does the same for a text with spans, and tells where its parts went
// and whether characters were replaced.
func cleanText(t sdk.Text) (sdk.Text, richtext.Runs, bool) {
	t = richtext.Normalize(t)
	if !strings.ContainsFunc(t.Plain, unclean) {
		return t, richtext.Runs{{Len: len(t.Plain)}}, false
	}
	var b strings.Builder
	var runs richtext.Runs
	replaced := false
	for i := 0; i < len(t.Plain); {
		r, size := utf8.DecodeRuneInString(t.Plain[i:])
		at := b.Len()
		switch {
		case r == '\r' && strings.HasPrefix(t.Plain[i+1:], "\n"):
		case r == '\r':
			b.WriteByte('\n')
		case !xmltok.IsChar(r), r == utf8.RuneError && size == 1:
			replaced = true
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteString(t.Plain[i : i+size])
			runs = append(runs, richtext.Run{Src: i, Dst: at, Len: size})
		}
		i += size
	}
	out := sdk.Text{Plain: b.String()}
	for _, s := range t.Spans {
		if from, to, ok := runs.Range(s.Start, s.End); ok {
			s.Start, s.End = from, to
			out.Spans = append(out.Spans, s)
		}
	}
	return richtext.Normalize(out), runs, replaced
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// lostMarkup says for people what could not be shown.
func lostMarkup(k sdk.SpanKind) string {
	switch k {
	case sdk.SpanHeading:
		return "a heading is only shown as strong"
	case sdk.SpanSpoiler:
		return "hidden text is shown"
	case sdk.SpanListItem:
		return "a list is shown as lines"
	}
	return "shown as plain text"
}
