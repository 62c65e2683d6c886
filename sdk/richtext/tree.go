package richtext

import (
	"slices"
	"strings"

	"bridgehost/sdk"
)

// node is a span with what is inside of it.
type node struct {
	sdk.Span
	kids []*node
}

// grow makes a tree of normalised spans.
func grow(spans []sdk.Span) []*node {
	root := &node{Span: sdk.Span{End: int(^uint(0) >> 1)}}
	open := []*node{root}
	for _, s := range spans {
		for open[len(open)-1].End < s.End || open[len(open)-1].End <= s.Start {
			open = open[:len(open)-1]
		}
		n := &node{Span: s}
		top := open[len(open)-1]
		top.kids = append(top.kids, n)
		open = append(open, n)
	}
	return root.kids
}

// layout makes a text ready for notations that are made of blocks: blocks cover whole lines, and nothing that is inline reaches over the
// border of a block or of a paragraph.
func layout(t sdk.Text) sdk.Text {
	t = Normalize(t)
	var blocks, rest []sdk.Span
	for _, s := range t.Spans {
		switch {
		case !isBlock(s.Kind):
			rest = append(rest, s)
		case wholeLines(t.Plain, s):
			blocks = append(blocks, s)
		}
	}
	cuts := []int{}
	for _, b := range blocks {
		cuts = append(cuts, b.Start, b.End)
		if b.Kind == sdk.SpanListItem {
			cuts = append(cuts, b.Start+marker(t.Plain, b))
		}
	}
	for i := 0; ; {
		n := strings.Index(t.Plain[i:], "\n\n")
		if n < 0 {
			break
		}
		i += n + 1
		cuts = append(cuts, i)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	out := blocks
	for _, s := range rest {
		i, _ := slices.BinarySearch(cuts, s.Start+1)
		for ; i < len(cuts) && cuts[i] < s.End && len(out) < 2*MaxSpans; i++ {
			head := s
			head.End = cuts[i]
			out = appendTrimmed(out, t.Plain, head)
			s.Start = cuts[i]
		}
		out = appendTrimmed(out, t.Plain, s)
	}
	slices.SortStableFunc(out, outerFirst)
	return sdk.Text{Plain: t.Plain, Spans: out}
}

// appendTrimmed adds a span without the white space at its ends, if anything is left.
func appendTrimmed(out []sdk.Span, plain string, s sdk.Span) []sdk.Span {
	part := plain[s.Start:s.End]
	s.Start += len(part) - len(strings.TrimLeftFunc(part, isSpace))
	s.End -= len(part) - len(strings.TrimRightFunc(part, isSpace))
	if s.Start < s.End {
		out = append(out, s)
	}
	return out
}

// wholeLines reports whether a block begins and ends with a line; a list item may be indented.
func wholeLines(plain string, s sdk.Span) bool {
	before := plain[:s.Start]
	if s.Kind == sdk.SpanListItem {
		before = strings.TrimRight(before, " ")
	}
	return (before == "" || strings.HasSuffix(before, "\n")) && (s.End == len(plain) || plain[s.End] == '\n') &&
		strings.TrimFunc(plain[s.Start:s.End], isSpace) != ""
}

// marker gives the length of a list item's marker with the space after it, as it stands in the text.
func marker(plain string, s sdk.Span) int {
	if s.Value != "" && strings.HasPrefix(plain[s.Start:s.End], s.Value+" ") {
		return len(s.Value) + 1
	}
	return 0
}

// unit is a paragraph (without a block) or a block, and how many line ends stand between it and the one before.
type unit struct {
	start, end int
	block      *node
	gap        int
	inline     []*node // of a paragraph
}

// units parts the text between two positions, of which nodes are the spans.
func units(plain string, nodes []*node, start, end int) []unit {
	var out []unit
	last := start // end of the unit before
	text := func(from, to int, inside []*node) {
		for _, p := range paragraphs(plain, from, to) {
			u := unit{start: p[0], end: p[1], gap: strings.Count(plain[last:p[0]], "\n")}
			for _, n := range inside {
				if n.Start >= u.start && n.End <= u.end {
					u.inline = append(u.inline, n)
				}
			}
			out = append(out, u)
			last = p[1]
		}
	}
	pos := start
	var inside []*node
	for _, n := range nodes {
		if !isBlock(n.Kind) {
			inside = append(inside, n)
			continue
		}
		text(pos, n.Start, inside)
		inside = nil
		out = append(out, unit{start: n.Start, end: n.End, block: n, gap: strings.Count(plain[last:n.Start], "\n")})
		last, pos = n.End, n.End
	}
	text(pos, end, inside)
	if len(out) > 0 {
		out[0].gap = 0
	}
	return out
}

// paragraphs gives the parts of a text that are separated by empty lines, without what cannot be seen at their ends.
func paragraphs(plain string, start, end int) [][2]int {
	var out [][2]int
	for start < end {
		if plain[start] == '\n' {
			start++
			continue
		}
		stop := end
		if i := strings.Index(plain[start:end], "\n\n"); i >= 0 {
			stop = start + i
		}
		next := stop
		stop = start + len(strings.TrimRight(plain[start:stop], " \n"))
		if stop > start {
			out = append(out, [2]int{start, stop})
		}
		start = next
	}
	return out
}
