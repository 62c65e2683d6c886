package richtext

import (
	"html"
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// Print says how HTML is written.
type Print struct {
	// XML writes XHTML (XEP-0071): <br/> for <br>.
	XML bool
	// Rel is the rel attribute of links, such as "nofollow noopener noreferrer"; empty = none.
	Rel string
	// Mention gives the address of the page of who is mentioned by a SpanMention's value, empty if there is none; nil = the value itself.
	Mention func(value string) string
}

// PrintHTML writes a text as HTML that ParseHTML reads as the same text with the same spans. It uses only elements that Mastodon and
// XEP-0071 let pass: p, br, a, b as strong, i as em, del, code, pre, blockquote, ul, ol, li, h1 to h6 and span.
func PrintHTML(t sdk.Text, o Print) string {
	t = layout(t)
	w := &htmlWriter{plain: t.Plain, o: o}
	w.units(units(t.Plain, grow(t.Spans), 0, len(t.Plain)), true)
	return w.b.String()
}

type htmlWriter struct {
	b     strings.Builder
	plain string
	o     Print
}

// units writes paragraphs and blocks with as many line ends between them as the text has. Paragraphs are p elements where that says no
// more than the text does; edges says that the first and the last may be.
func (w *htmlWriter) units(all []unit, edges bool) {
	due := 0 // line ends that a reader makes of what was written last
	for i := 0; i < len(all); i++ {
		u := all[i]
		after := 2
		if i+1 < len(all) {
			after = all[i+1].gap
		} else if !edges {
			after = 0
		}
		before := u.gap
		if i == 0 && edges {
			before = 2
		}
		makes := 0
		switch {
		case u.block != nil:
			makes = 1
		case before >= 2 && after >= 2:
			makes = 2
		}
		if i > 0 && u.gap > max(due, makes) {
			for range min(u.gap-due, 32) {
				w.br()
			}
		}
		switch {
		case u.block != nil && u.block.Kind == sdk.SpanListItem:
			i += w.list(all[i:]) - 1
		case u.block != nil:
			w.block(u.block)
		case makes == 2:
			w.b.WriteString("<p>")
			w.inline(u.inline, u.start, u.end)
			w.b.WriteString("</p>")
		default:
			w.inline(u.inline, u.start, u.end)
		}
		due = makes
	}
}

func (w *htmlWriter) br() {
	if w.o.XML {
		w.b.WriteString("<br/>")
	} else {
		w.b.WriteString("<br>")
	}
}

// block writes a block that is no list item.
func (w *htmlWriter) block(n *node) {
	switch n.Kind {
	case sdk.SpanQuote:
		w.b.WriteString("<blockquote>")
		w.units(units(w.plain, n.kids, n.Start, n.End), false)
		w.b.WriteString("</blockquote>")
	case sdk.SpanPre:
		w.pre(n)
	case sdk.SpanHeading:
		level := n.Value
		if len(level) != 1 || level < "1" || level > "6" {
			level = "6"
		}
		w.b.WriteString("<h" + level + ">")
		w.inline(inlineOnly(n.kids), n.Start, n.End)
		w.b.WriteString("</h" + level + ">")
	}
}

// pre writes preformatted text. A reader takes one line end off at its beginning and one at its end.
func (w *htmlWriter) pre(n *node) {
	text := w.plain[n.Start:n.End]
	w.b.WriteString("<pre>")
	if strings.HasPrefix(text, "\n") {
		w.b.WriteByte('\n')
	}
	w.b.WriteString("<code")
	if lang := language(n.Value); lang != "" {
		w.b.WriteString(` class="language-` + lang + `"`)
	}
	w.b.WriteString(">" + html.EscapeString(text))
	if strings.HasSuffix(text, "\n") {
		w.b.WriteByte('\n')
	}
	w.b.WriteString("</code></pre>")
}

// inlineOnly leaves blocks out, but not what is inside of them.
func inlineOnly(nodes []*node) []*node {
	var out []*node
	for _, n := range nodes {
		if isBlock(n.Kind) {
			out = append(out, inlineOnly(n.kids)...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

// list writes list items that follow each other, and gives how many.
func (w *htmlWriter) list(all []unit) int {
	number, ordered := ordinal(all[0].block.Value)
	n := 1
	for n < len(all) && all[n].block != nil && all[n].block.Kind == sdk.SpanListItem && all[n].gap == 1 {
		if _, same := ordinal(all[n].block.Value); same != ordered {
			break
		}
		n++
	}
	name := "ul"
	if ordered {
		name = "ol"
	}
	w.b.WriteString("<" + name)
	if ordered && number != 1 {
		w.b.WriteString(` start="` + strconv.Itoa(number) + `"`)
	}
	w.b.WriteByte('>')
	for _, u := range all[:n] {
		w.b.WriteString("<li")
		if at, ok := ordinal(u.block.Value); ok && at != number {
			w.b.WriteString(` value="` + strconv.Itoa(at) + `"`)
			number = at
		}
		number++
		w.b.WriteByte('>')
		start := u.start + marker(w.plain, u.block.Span)
		w.units(units(w.plain, u.block.kids, start, u.end), false)
		w.b.WriteString("</li>")
	}
	w.b.WriteString("</" + name + ">")
	return n
}

// ordinal reads the marker of an ordered list: "7.".
func ordinal(marker string) (int, bool) {
	digits, ok := strings.CutSuffix(marker, ".")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n >= 0 && n < 1<<30 && strconv.Itoa(n) == digits
}

// inline writes a part of the text that has no blocks.
func (w *htmlWriter) inline(nodes []*node, start, end int) {
	for _, n := range nodes {
		if n.Start < start || n.End > end {
			continue
		}
		w.text(start, n.Start)
		open, shut := w.tags(n)
		w.b.WriteString(open)
		w.inline(n.kids, n.Start, n.End)
		w.b.WriteString(shut)
		start = n.End
	}
	w.text(start, end)
}

// tags gives what stands before and after a span.
func (w *htmlWriter) tags(n *node) (open, shut string) {
	switch n.Kind {
	case sdk.SpanBold:
		return "<strong>", "</strong>"
	case sdk.SpanItalic:
		return "<em>", "</em>"
	case sdk.SpanStrike:
		return "<del>", "</del>"
	case sdk.SpanCode:
		return "<code>", "</code>"
	case sdk.SpanSpoiler:
		return `<span class="spoiler">`, "</span>"
	case sdk.SpanLink:
		return w.anchor(n.Value, "")
	case sdk.SpanMention:
		href := n.Value
		if w.o.Mention != nil {
			href = w.o.Mention(n.Value)
		}
		return w.anchor(href, ` class="u-url mention"`)
	}
	return "", ""
}

func (w *htmlWriter) anchor(href, class string) (open, shut string) {
	if !SafeURL(href) {
		return "", ""
	}
	rel := ""
	if w.o.Rel != "" {
		rel = ` rel="` + html.EscapeString(w.o.Rel) + `"`
	}
	return `<a href="` + html.EscapeString(href) + `"` + class + rel + ">", "</a>"
}

// text writes characters. Spaces that HTML would swallow become no-break spaces.
func (w *htmlWriter) text(start, end int) {
	for i := start; i < end; {
		switch w.plain[i] {
		case '\n':
			w.br()
			i++
		case ' ', '\t':
			i += w.spaces(i, end)
		default:
			n := strings.IndexAny(w.plain[i:end], "\n\t ")
			if n < 0 {
				n = end - i
			}
			w.b.WriteString(html.EscapeString(w.plain[i : i+n]))
			i += n
		}
	}
}

// spaces writes a run of spaces and gives its length.
func (w *htmlWriter) spaces(i, end int) int {
	n := 1
	for i+n < end && (w.plain[i+n] == ' ' || w.plain[i+n] == '\t') {
		n++
	}
	if i == 0 || w.plain[i-1] == '\n' {
		w.b.WriteString(strings.Repeat("\u00a0", n))
	} else {
		w.b.WriteString(strings.Repeat("\u00a0", n-1) + " ")
	}
	return n
}
