package richtext

import (
	"slices"
	"strings"

	"bridgehost/sdk"
)

// Styled is a text in XEP-0393 notation.
type Styled struct {
	Body     string
	Unstyled bool           // the body has to be marked as unstyled (XEP-0393 §7), since it would be read as what it is not
	Lost     []sdk.SpanKind // markup that the body does not show, each kind once
	Runs     Runs           // where parts of the plain text are in Body
}

// PrintStyling writes a text in XEP-0393 notation. Addresses of links that the text does not show stand after it in brackets; a heading
// becomes strong; a mention is its text. A reader by the rules of XEP-0393 gets exactly the plain text (with those addresses) and the
// markup that is not in Lost. Where that is impossible, since the text itself looks like markup, the body has none and is marked.
func PrintStyling(t sdk.Text) Styled {
	if len(t.Spans) == 0 {
		s := Styled{Body: t.Plain, Runs: Runs{}.add(0, 0, len(t.Plain))}
		if strings.ContainsAny(t.Plain, "*_~`>") {
			read, _ := ParseStyling(t.Plain)
			s.Unstyled = len(read.Spans) > 0
		}
		return s
	}
	p := &printer{}
	var grown Runs
	p.text, grown = p.expand(Normalize(t))
	blocks := p.sort()
	p.blocks(0, len(p.text.Plain), blocks, 0)
	if p.conflict {
		out := PrintStyling(sdk.Text{Plain: p.text.Plain})
		out.Lost, out.Runs = allKinds(t.Spans), grown
		return out
	}
	slices.Sort(p.lost)
	return Styled{Body: string(p.out), Lost: slices.Compact(p.lost), Runs: grown.Then(p.runs)}
}

// allKinds gives the kinds of spans that plain text does not show.
func allKinds(spans []sdk.Span) []sdk.SpanKind {
	var kinds []sdk.SpanKind
	for _, s := range spans {
		switch s.Kind {
		case sdk.SpanLink, sdk.SpanMention:
		case sdk.SpanListItem:
			if s.Value == "" {
				kinds = append(kinds, s.Kind)
			}
		default:
			kinds = append(kinds, s.Kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

type printer struct {
	text     sdk.Text
	inline   []sdk.Span // what can stand in a line, in document order, from the line on that comes next
	active   []sdk.Span // what began before and may reach into the line
	out      []byte
	runs     Runs
	prefix   string // of the quotations around
	lost     []sdk.SpanKind
	conflict bool // a line looks like markup and is none
}

// expand writes the addresses of links behind their texts, where the text does not say them, and gives where the text went.
func (p *printer) expand(t sdk.Text) (sdk.Text, Runs) {
	type insert struct {
		at   int
		text string
	}
	var inserts []insert
	for _, s := range t.Spans {
		if s.Kind == sdk.SpanLink && SafeURL(s.Value) && !says(t.Plain[s.Start:s.End], s.Value) {
			inserts = append(inserts, insert{s.End, " (" + s.Value + ")"})
		}
	}
	if len(inserts) == 0 {
		return t, Runs{}.add(0, 0, len(t.Plain))
	}
	slices.SortStableFunc(inserts, func(a, b insert) int { return a.at - b.at })
	var b strings.Builder
	var runs Runs
	done := 0
	for _, in := range inserts {
		runs = runs.add(done, b.Len(), in.at-done)
		b.WriteString(t.Plain[done:in.at])
		b.WriteString(in.text)
		done = in.at
	}
	runs = runs.add(done, b.Len(), len(t.Plain)-done)
	b.WriteString(t.Plain[done:])
	out := sdk.Text{Plain: b.String(), Spans: slices.Clone(t.Spans)}
	for i, s := range out.Spans {
		out.Spans[i].Start, out.Spans[i].End, _ = runs.Range(s.Start, s.End)
		if isBlock(s.Kind) { // an address at the end of a block belongs to it
			for _, in := range inserts {
				if in.at == s.End {
					out.Spans[i].End += len(in.text)
				}
			}
		}
	}
	return Normalize(out), runs
}

// says reports whether a link's text already tells its address.
func says(text, address string) bool {
	text = strings.TrimSpace(text)
	for _, scheme := range []string{"", "https://", "http://", "mailto:", "xmpp:"} {
		if full := scheme + text; full == address || full+"/" == address {
			return true
		}
	}
	return false
}

// sort parts blocks from what is inline and files what the notation does not have.
func (p *printer) sort() (blocks []sdk.Span) {
	code := -1 // end of the span of code that we are in
	for _, s := range p.text.Spans {
		switch s.Kind {
		case sdk.SpanQuote, sdk.SpanPre:
			blocks = append(blocks, s)
		case sdk.SpanBold, sdk.SpanItalic, sdk.SpanStrike, sdk.SpanCode:
			if s.Start < code {
				p.lose(s.Kind)
				continue
			}
			if s.Kind == sdk.SpanCode {
				code = s.End
			}
			p.inline = append(p.inline, s)
		case sdk.SpanHeading:
			p.lose(s.Kind)
			s.Kind = sdk.SpanBold
			p.inline = append(p.inline, s)
		case sdk.SpanListItem:
			if s.Value == "" {
				p.lose(s.Kind)
			}
		case sdk.SpanLink, sdk.SpanMention:
		default:
			p.lose(s.Kind)
		}
	}
	p.inline = Normalize(sdk.Text{Plain: p.text.Plain, Spans: p.inline}).Spans
	return blocks
}

func (p *printer) lose(k sdk.SpanKind) { p.lost = append(p.lost, k) }

// blocks writes the text between two positions, line by line, with the blocks in it.
func (p *printer) blocks(start, end int, blocks []sdk.Span, depth int) {
	plain := p.text.Plain
	for pos := start; ; {
		for len(blocks) > 0 && blocks[0].Start < pos { // not at the beginning of a line
			p.lose(blocks[0].Kind)
			blocks = blocks[1:]
		}
		lineEnd := end
		if n := strings.IndexByte(plain[pos:end], '\n'); n >= 0 {
			lineEnd = pos + n
		}
		if len(blocks) > 0 && p.fits(blocks[0], pos, end, depth) {
			pos, blocks = p.block(blocks, depth)
		} else {
			p.line(pos, lineEnd)
			pos = lineEnd
		}
		if pos >= end {
			break
		}
		p.newline(pos)
		pos++
	}
	for _, b := range blocks {
		p.lose(b.Kind)
	}
}

// fits reports whether a block covers whole lines from pos on and would be read again as what it is.
func (p *printer) fits(b sdk.Span, pos, end, depth int) bool {
	plain := p.text.Plain
	if b.Start != pos || b.End > end || b.End < end && plain[b.End] != '\n' {
		return false
	}
	inside := plain[b.Start:b.End]
	if strings.TrimFunc(inside, isSpace) == "" {
		return false
	}
	if b.Kind == sdk.SpanPre {
		return !strings.Contains("\n"+inside+"\n", "\n"+fence+"\n")
	}
	return depth < maxQuotes
}

// block writes the first of blocks with those inside of it, and gives where it ends and the blocks after it.
func (p *printer) block(blocks []sdk.Span, depth int) (int, []sdk.Span) {
	b := blocks[0]
	n := 1
	for n < len(blocks) && blocks[n].Start < b.End {
		n++
	}
	inside, rest := blocks[1:n], blocks[n:]
	if b.Kind == sdk.SpanQuote {
		outer := p.prefix
		p.prefix += "> "
		p.out = append(p.out, "> "...)
		p.blocks(b.Start, b.End, inside, depth+1)
		p.prefix = outer
		return b.End, rest
	}
	for _, lost := range append(p.within(b.Start, b.End), inside...) {
		p.lose(lost.Kind)
	}
	lang := language(b.Value)
	if lang != b.Value {
		p.lose(sdk.SpanPre)
	}
	p.out = append(append(append(append(p.out, fence...), lang...), '\n'), p.prefix...)
	for i := b.Start; i < b.End; i++ {
		if p.text.Plain[i] == '\n' {
			p.newline(i)
			continue
		}
		p.runs = p.runs.add(i, len(p.out), 1)
		p.out = append(p.out, p.text.Plain[i])
	}
	p.out = append(append(append(p.out, '\n'), p.prefix...), fence...)
	return b.End, rest
}

// newline writes the line end at pos of the text and what begins the next line.
func (p *printer) newline(pos int) {
	p.runs = p.runs.add(pos, len(p.out), 1)
	p.out = append(append(p.out, '\n'), p.prefix...)
}

// maxTries bounds how many spans of one line are tried one by one.
const maxTries = 24

// line writes one line with the markup that will be read again as it is meant.
func (p *printer) line(start, end int) {
	if start >= end {
		return
	}
	text := p.text.Plain[start:end]
	want := p.within(start, end)
	got, runs, ok := p.render(text, want)
	if !ok && len(want) > 0 {
		all := want
		want = nil
		got, runs, ok = p.render(text, nil)
		for i, s := range all {
			if i >= maxTries || !ok {
				p.lose(s.Kind)
				continue
			}
			if more, moreRuns, fine := p.render(text, append(want, s)); fine {
				want, got, runs = append(want, s), more, moreRuns
			} else {
				p.lose(s.Kind)
			}
		}
	}
	if !ok {
		p.conflict = true
	}
	for _, r := range runs {
		p.runs = p.runs.add(start+r.Src, len(p.out)+r.Dst, r.Len)
	}
	p.out = append(p.out, got...)
}

// within gives the parts of inline spans that are in a line, without white space at their ends, relative to it.
func (p *printer) within(start, end int) []sdk.Span {
	p.active = slices.DeleteFunc(p.active, func(s sdk.Span) bool { return s.End <= start })
	for len(p.inline) > 0 && p.inline[0].Start < end {
		if p.inline[0].End > start {
			p.active = append(p.active, p.inline[0])
		}
		p.inline = p.inline[1:]
	}
	var out []sdk.Span
	for _, s := range p.active {
		s.Start, s.End = max(s.Start, start), min(s.End, end)
		part := p.text.Plain[s.Start:s.End]
		s.Start += len(part) - len(strings.TrimLeftFunc(part, isSpace))
		s.End -= len(part) - len(strings.TrimRightFunc(part, isSpace))
		if s.Start < s.End {
			s.Start, s.End = s.Start-start, s.End-start
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, outerFirst)
	return out
}

// render writes a line with spans and reports whether it will be read so.
func (p *printer) render(text string, spans []sdk.Span) (string, Runs, bool) {
	var b []byte
	var runs Runs
	var open []sdk.Span
	done := 0
	upTo := func(pos int) {
		runs = runs.add(done, len(b), pos-done)
		b = append(b, text[done:pos]...)
		done = pos
	}
	closeTo := func(pos int) {
		for len(open) > 0 && open[len(open)-1].End <= pos {
			upTo(open[len(open)-1].End)
			b = append(b, mark(open[len(open)-1].Kind))
			open = open[:len(open)-1]
		}
	}
	for _, s := range spans {
		closeTo(s.Start)
		upTo(s.Start)
		b = append(b, mark(s.Kind))
		open = append(open, s)
	}
	closeTo(len(text))
	upTo(len(text))
	out := string(b)
	if strings.HasPrefix(out, ">") || strings.HasPrefix(out, fence) {
		return out, runs, false // it could join with the block before or after it
	}
	if len(spans) == 0 && !strings.ContainsAny(out, "*_~`") {
		return out, runs, true
	}
	read := &styling{body: out}
	read.inline(0, len(out))
	return out, runs, string(read.plain) == text && slices.Equal(look(text, read.spans), look(text, spans))
}

// mark gives the directive of a kind.
func mark(k sdk.SpanKind) byte {
	switch k {
	case sdk.SpanBold:
		return '*'
	case sdk.SpanItalic:
		return '_'
	case sdk.SpanStrike:
		return '~'
	default:
		return '`'
	}
}

// look gives for every byte that can be seen which kinds it is marked with.
func look(text string, spans []sdk.Span) []uint16 {
	out := make([]uint16, len(text))
	for _, s := range spans {
		for i := s.Start; i < s.End; i++ {
			out[i] |= 1 << s.Kind
		}
	}
	for i, r := range text {
		if isSpace(r) {
			for j := range len(string(r)) {
				out[i+j] = 0
			}
		}
	}
	return out
}
