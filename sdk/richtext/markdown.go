package richtext

import (
	"strings"

	"bridgehost/sdk"
)

// PrintMarkdown writes a text as CommonMark with the strike-through of GitHub; hidden text is ||so||. What would be read as markup and is
// none is escaped; a line end within a paragraph stays one (two spaces before it).
func PrintMarkdown(t sdk.Text) string {
	t = layout(t)
	w := &markWriter{plain: t.Plain}
	w.units(units(t.Plain, grow(t.Spans), 0, len(t.Plain)))
	return strings.TrimRight(w.b.String(), "\n")
}

type markWriter struct {
	b      strings.Builder
	plain  string
	prefix string // of quotations and list items around
	middle bool   // something stands on the line already
}

// line ends the line n times.
func (w *markWriter) line(n int) {
	for range n - 1 {
		w.b.WriteString("\n" + strings.TrimRight(w.prefix, " "))
	}
	w.b.WriteString("\n" + w.prefix)
	w.middle = false
}

func (w *markWriter) units(all []unit) {
	for i, u := range all {
		switch {
		case i == 0:
		case u.block != nil && all[i-1].block != nil && u.block.Kind == sdk.SpanListItem && all[i-1].block.Kind == sdk.SpanListItem && u.gap < 2:
			w.line(1)
		default:
			w.line(2)
		}
		if u.block == nil {
			w.inline(u.inline, u.start, u.end)
			continue
		}
		w.block(u.block)
	}
}

func (w *markWriter) block(n *node) {
	outer := w.prefix
	defer func() { w.prefix = outer }()
	switch n.Kind {
	case sdk.SpanQuote:
		w.b.WriteString("> ")
		w.prefix += "> "
		w.units(units(w.plain, n.kids, n.Start, n.End))
	case sdk.SpanListItem:
		sign := "- "
		if _, ok := ordinal(n.Value); ok {
			sign = n.Value + " "
		}
		w.b.WriteString(sign)
		w.prefix += strings.Repeat(" ", len(sign))
		w.units(units(w.plain, n.kids, n.Start+marker(w.plain, n.Span), n.End))
	case sdk.SpanHeading:
		level := 1
		if len(n.Value) == 1 && n.Value[0] >= '1' && n.Value[0] <= '6' {
			level = int(n.Value[0] - '0')
		}
		w.b.WriteString(strings.Repeat("#", level) + " ")
		w.middle = true
		w.inline(inlineOnly(n.kids), n.Start, n.End)
	case sdk.SpanPre:
		code := w.plain[n.Start:n.End]
		ticks := strings.Repeat("`", max(3, longest(code, '`')+1))
		w.b.WriteString(ticks + language(n.Value))
		for l := range strings.SplitSeq(code, "\n") {
			w.line(1)
			w.b.WriteString(l)
		}
		w.line(1)
		w.b.WriteString(ticks)
	}
}

// longest gives the length of the longest run of c.
func longest(s string, c byte) int {
	most, run := 0, 0
	for i := range len(s) {
		if s[i] != c {
			run = 0
			continue
		}
		run++
		most = max(most, run)
	}
	return most
}

func (w *markWriter) inline(nodes []*node, start, end int) {
	for _, n := range nodes {
		if n.Start < start || n.End > end {
			continue
		}
		w.text(start, n.Start)
		w.span(n)
		start = n.End
	}
	w.text(start, end)
}

// span writes a span; spaces at its ends stand outside, where CommonMark wants them.
func (w *markWriter) span(n *node) {
	inside := w.plain[n.Start:n.End]
	from := n.Start + len(inside) - len(strings.TrimLeftFunc(inside, isSpace))
	to := n.End - (len(inside) - len(strings.TrimRightFunc(inside, isSpace)))
	if from >= to {
		w.text(n.Start, n.End)
		return
	}
	w.text(n.Start, from)
	open, shut := "", ""
	switch n.Kind {
	case sdk.SpanBold:
		open, shut = "**", "**"
	case sdk.SpanItalic:
		open, shut = "*", "*"
	case sdk.SpanStrike:
		open, shut = "~~", "~~"
	case sdk.SpanSpoiler:
		open, shut = "||", "||"
	case sdk.SpanCode:
		w.code(w.plain[from:to])
		w.text(to, n.End)
		return
	case sdk.SpanLink:
		if SafeURL(n.Value) {
			open, shut = "[", "](<"+n.Value+">)"
		}
	}
	w.b.WriteString(open)
	w.middle = w.middle || open != ""
	w.inline(n.kids, from, to)
	w.b.WriteString(shut)
	w.text(to, n.End)
}

// code writes inline code with as many ticks as it needs (CommonMark §6.1).
func (w *markWriter) code(s string) {
	ticks := strings.Repeat("`", longest(s, '`')+1)
	pad := ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		pad = " "
	}
	w.b.WriteString(ticks + pad + strings.ReplaceAll(s, "\n", " ") + pad + ticks)
	w.middle = true
}

// text writes characters, those escaped that would be markup where they stand.
func (w *markWriter) text(start, end int) {
	for i := start; i < end; i++ {
		c := w.plain[i]
		switch {
		case c == '\n':
			w.b.WriteString("  ")
			w.line(1)
			continue
		case strings.IndexByte("\\`*_[]<>~|&", c) >= 0:
			w.b.WriteByte('\\')
		case !w.middle && (c == '#' || c == '+' || c == '-' || c == '='):
			w.b.WriteByte('\\')
		case (c == '.' || c == ')') && i > 0 && w.numbered(i):
			w.b.WriteByte('\\')
		}
		w.b.WriteByte(c)
		if c != ' ' {
			w.middle = true
		}
	}
}

// numbered reports whether only digits stand before position i on its line, as before the sign of an ordered list.
func (w *markWriter) numbered(i int) bool {
	digits := 0
	for i--; i >= 0 && w.plain[i] >= '0' && w.plain[i] <= '9' && digits < 10; i-- {
		digits++
	}
	return digits > 0 && (i < 0 || w.plain[i] == '\n')
}
