package richtext

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"bridgehost/sdk"
)

// maxQuotes is how deep quotations are read; what is deeper stays as it is written.
const maxQuotes = 16

// fence begins and ends a preformatted block (XEP-0393 §6.1.2).
const fence = "```"

// directives gives the kind of span that a directive makes (XEP-0393 §6.2).
func directive(c byte) (sdk.SpanKind, bool) {
	switch c {
	case '*':
		return sdk.SpanBold, true
	case '_':
		return sdk.SpanItalic, true
	case '~':
		return sdk.SpanStrike, true
	case '`':
		return sdk.SpanCode, true
	}
	return 0, false
}

// ParseStyling reads a body by the rules of XEP-0393. Directives are taken out of the text and become spans; the runs tell where parts of
// the body are in the text. What is no valid markup stays as it is, and so do blocks without content.
func ParseStyling(body string) (sdk.Text, Runs) {
	if !strings.ContainsAny(body, "*_~`>") {
		return sdk.Text{Plain: body}, Runs{}.add(0, 0, len(body))
	}
	p := &styling{body: body, plain: make([]byte, 0, len(body))}
	var lines []line
	for start := 0; ; {
		end := start + strings.IndexByte(body[start:], '\n')
		if end < start {
			lines = append(lines, line{start, len(body)})
			break
		}
		lines = append(lines, line{start, end})
		start = end + 1
	}
	p.blocks(lines, 0)
	return Normalize(sdk.Text{Plain: string(p.plain), Spans: p.spans}), p.runs
}

// line is a part of the body without its line end and without the marks of the quotations around it.
type line struct{ start, end int }

type styling struct {
	body  string
	plain []byte
	spans []sdk.Span
	runs  Runs
}

// blocks reads the child blocks of a block (XEP-0393 §6.1).
func (p *styling) blocks(lines []line, depth int) {
	for i := 0; i < len(lines); {
		if i > 0 {
			p.copy(lines[i-1].end, lines[i-1].end+1)
		}
		text := p.text(lines[i])
		switch {
		case len(p.spans) >= MaxSpans:
		case strings.HasPrefix(text, fence):
			if n := p.pre(lines[i:]); n > 0 {
				i += n
				continue
			}
		case strings.HasPrefix(text, ">") && depth < maxQuotes:
			i += p.quote(lines[i:], depth)
			continue
		}
		p.inline(lines[i].start, lines[i].end)
		i++
	}
}

func (p *styling) text(l line) string { return p.body[l.start:l.end] }

// blank reports whether there is nothing to see in lines.
func (p *styling) blank(lines []line) bool {
	for _, l := range lines {
		if strings.TrimFunc(p.text(l), isSpace) != "" {
			return false
		}
	}
	return true
}

// pre reads a preformatted block and gives the number of its lines, 0 if it has no content.
func (p *styling) pre(lines []line) int {
	end := 1
	for end < len(lines) && p.text(lines[end]) != fence {
		end++
	}
	inside := lines[1:end]
	if p.blank(inside) {
		return 0
	}
	lang := strings.TrimSpace(p.text(lines[0])[len(fence):])
	if lang != language(lang) {
		lang = ""
	}
	span := p.open(sdk.SpanPre, lang)
	for i, l := range inside {
		if i > 0 {
			p.copy(inside[i-1].end, inside[i-1].end+1)
		}
		p.copy(l.start, l.end)
	}
	p.spans[span].End = len(p.plain)
	return min(end+1, len(lines))
}

// quote reads a quotation and gives the number of its lines (XEP-0393 §6.1.3). One without content stays as it is.
func (p *styling) quote(lines []line, depth int) int {
	var inside []line
	for _, l := range lines {
		if !strings.HasPrefix(p.text(l), ">") {
			break
		}
		l.start++
		if r, size := utf8.DecodeRuneInString(p.text(l)); size > 0 && isSpace(r) {
			l.start += size
		}
		inside = append(inside, l)
	}
	if p.blank(inside) {
		for i, l := range lines[:len(inside)] {
			if i > 0 {
				p.copy(lines[i-1].end, lines[i-1].end+1)
			}
			p.copy(l.start, l.end)
		}
		return len(inside)
	}
	span := p.open(sdk.SpanQuote, "")
	p.blocks(inside, depth+1)
	p.spans[span].End = len(p.plain)
	return len(inside)
}

func (p *styling) open(kind sdk.SpanKind, value string) int {
	p.spans = append(p.spans, sdk.Span{Kind: kind, Start: len(p.plain), Value: value})
	return len(p.spans) - 1
}

// copy takes a part of the body over.
func (p *styling) copy(start, end int) {
	p.runs = p.runs.add(start, len(p.plain), end-start)
	p.plain = append(p.plain, p.body[start:end]...)
}

// inline reads the spans of one line, or of what is inside of a span (XEP-0393 §6.2): from left to right, and lazily.
func (p *styling) inline(start, end int) {
	var hopeless [128]bool // directives that nothing closes from here on
	done := start
	for i := start; i < end; {
		c := p.body[i]
		kind, ok := directive(c)
		if !ok || hopeless[c] || len(p.spans) >= MaxSpans || !p.opens(start, i, end) {
			i++
			continue
		}
		shut := p.closing(c, i, end)
		if shut < 0 {
			hopeless[c] = true
			i++
			continue
		}
		if shut == i+1 { // no text between: neither directive is valid
			i += 2
			continue
		}
		p.copy(done, i)
		span := p.open(kind, "")
		if kind == sdk.SpanCode {
			p.copy(i+1, shut)
		} else {
			p.inline(i+1, shut)
		}
		p.spans[span].End = len(p.plain)
		i = shut + 1
		done = i
	}
	p.copy(done, end)
}

// opens reports whether the directive at i may open: it is at the beginning of the block or of the span around it, or after white space,
// and not before white space.
func (p *styling) opens(start, i, end int) bool {
	if i > start {
		if r, _ := utf8.DecodeLastRuneInString(p.body[start:i]); !isSpace(r) {
			return false
		}
	}
	if i+1 >= end {
		return false
	}
	r, _ := utf8.DecodeRuneInString(p.body[i+1 : end])
	return !isSpace(r)
}

// closing finds the directive that closes the one at i, -1 if none does.
func (p *styling) closing(c byte, i, end int) int {
	for j := i + 1; j < end; j++ {
		next := strings.IndexByte(p.body[j:end], c)
		if next < 0 {
			return -1
		}
		j += next
		if r, _ := utf8.DecodeLastRuneInString(p.body[i:j]); !isSpace(r) {
			return j
		}
	}
	return -1
}

// isSpace reports white space in the sense of XEP-0393 §4.
func isSpace(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Z, r) }

// language gives the name of a programming language if s can be one, else "".
func language(s string) string {
	if len(s) > 32 {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("+-_.#", rune(c)) {
			return ""
		}
	}
	return s
}
