// Package richtext turns the marked-up text of items into the notations of networks and back: XEP-0393 message styling, HTML and
// XHTML, and (one way) Markdown. It is pure, and nothing in it fails: what a notation cannot say is left out and named, and hostile input
// gives less text, never an error, a script, or a link that is not http, https, xmpp or mailto.
//
// Positions are bytes of sdk.Text.Plain. Two rules keep Plain readable by itself: a list item begins with its marker ("•", "1."), which is
// also the Value of its span; and blocks stand on lines of their own. The Value of a SpanPre is the name of a language, or empty.
package richtext

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"bridgehost/sdk"
)

// MaxSpans is the most spans that a text keeps; further ones are left out.
const MaxSpans = 4096

// maxURL is the longest address that may become a link.
const maxURL = 4096

// SafeURL reports whether an address may become a link: http and https with a host and no password, mailto, and xmpp.
func SafeURL(s string) bool {
	if s == "" || len(s) > maxURL || strings.ContainsFunc(s, unfit) {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		return u.Hostname() != ""
	case "mailto", "xmpp":
		return u.Opaque != "" || u.Host != "" || u.Path != ""
	}
	return false
}

// unfit reports characters that no address has unescaped.
func unfit(r rune) bool {
	return r <= ' ' || r == 0x7F || r == '<' || r == '>' || r == '"' || r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || unicode.Is(unicode.C, r)
}

// isBlock reports kinds that stand on lines of their own.
func isBlock(k sdk.SpanKind) bool {
	switch k {
	case sdk.SpanPre, sdk.SpanQuote, sdk.SpanListItem, sdk.SpanHeading:
		return true
	}
	return false
}

// merges reports kinds of which touching spans are one.
func merges(k sdk.SpanKind) bool {
	switch k {
	case sdk.SpanBold, sdk.SpanItalic, sdk.SpanStrike, sdk.SpanCode, sdk.SpanSpoiler:
		return true
	}
	return false
}

// Normalize gives the text with its spans in document order, the outer before the inner, within the text and at character borders, nested
// or disjoint, none empty and no inline kind twice at one place. The plain text is as it was; the text given is not changed.
func Normalize(t sdk.Text) sdk.Text {
	if len(t.Spans) == 0 {
		return sdk.Text{Plain: t.Plain}
	}
	spans := make([]sdk.Span, 0, len(t.Spans))
	for _, s := range t.Spans[:min(len(t.Spans), MaxSpans)] {
		s.Start, s.End = border(t.Plain, s.Start, true), border(t.Plain, s.End, false)
		if s.Start < s.End {
			spans = append(spans, s)
		}
	}
	slices.SortStableFunc(spans, outerFirst)
	return sdk.Text{Plain: t.Plain, Spans: nest(yield(unite(spans)))}
}

// yield cuts what is inline where it crosses the border of a block, so that blocks stay whole.
func yield(spans []sdk.Span) []sdk.Span {
	var blocks []sdk.Span
	for _, s := range spans {
		if isBlock(s.Kind) {
			blocks = append(blocks, s)
		}
	}
	if len(blocks) == 0 || len(blocks) == len(spans) {
		return spans
	}
	out := slices.Clone(blocks)
	for _, s := range spans {
		if isBlock(s.Kind) {
			continue
		}
		end := s.End
		for _, b := range blocks {
			switch {
			case b.Start > s.Start && b.Start < end && b.End > end:
				out = append(out, sdk.Span{Kind: s.Kind, Start: s.Start, End: b.Start, Value: s.Value})
				s.Start = b.Start
			case b.Start < s.Start && b.End > s.Start && b.End < end:
				out = append(out, sdk.Span{Kind: s.Kind, Start: s.Start, End: b.End, Value: s.Value})
				s.Start = b.End
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, outerFirst)
	return out[:min(len(out), 2*MaxSpans)]
}

// border moves a position into the text and to the next (up) or last border of a character.
func border(s string, at int, up bool) int {
	at = max(0, min(at, len(s)))
	for at > 0 && at < len(s) && !utf8.RuneStart(s[at]) {
		if up {
			at++
		} else {
			at--
		}
	}
	return at
}

// outerFirst orders spans: by start, the longer first, blocks before what is inline.
func outerFirst(a, b sdk.Span) int {
	switch {
	case a.Start != b.Start:
		return a.Start - b.Start
	case a.End != b.End:
		return b.End - a.End
	case isBlock(a.Kind) != isBlock(b.Kind):
		if isBlock(a.Kind) {
			return -1
		}
		return 1
	case isBlock(a.Kind):
		return 0
	}
	return int(a.Kind) - int(b.Kind)
}

// unite makes one span of touching or overlapping ones of the same inline kind.
func unite(spans []sdk.Span) []sdk.Span {
	last := map[sdk.SpanKind]int{}
	out := spans[:0]
	for _, s := range spans {
		if merges(s.Kind) {
			if i, ok := last[s.Kind]; ok && out[i].End >= s.Start {
				out[i].End = max(out[i].End, s.End)
				continue
			}
			last[s.Kind] = len(out)
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, outerFirst)
	return out
}

// nest splits spans that cross the border of another, so that they nest. A split block stays with its first part: half a quotation is none.
func nest(queue []sdk.Span) []sdk.Span {
	out := make([]sdk.Span, 0, len(queue))
	var open []sdk.Span
	for len(queue) > 0 && len(out) < MaxSpans {
		s := queue[0]
		queue = queue[1:]
		for len(open) > 0 && open[len(open)-1].End <= s.Start {
			open = open[:len(open)-1]
		}
		if len(open) > 0 && s.End > open[len(open)-1].End {
			rest := s
			s.End, rest.Start = open[len(open)-1].End, open[len(open)-1].End
			if !isBlock(s.Kind) {
				at, _ := slices.BinarySearchFunc(queue, rest, outerFirst)
				queue = slices.Insert(slices.Clip(queue), at, rest)
			}
		}
		open = append(open, s)
		out = append(out, s)
	}
	return out
}

// Slice gives the part of a text between two positions, with the spans that reach into it.
func Slice(t sdk.Text, start, end int) sdk.Text {
	start, end = border(t.Plain, start, true), border(t.Plain, end, false)
	if start >= end {
		return sdk.Text{}
	}
	out := sdk.Text{Plain: t.Plain[start:end]}
	for _, s := range t.Spans {
		s.Start, s.End = max(s.Start, start)-start, min(s.End, end)-start
		if s.Start < s.End {
			out.Spans = append(out.Spans, s)
		}
	}
	return out
}
