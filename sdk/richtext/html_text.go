package richtext

import "strings"

// trimPre takes off the last line end of a preformatted block, which is only there for who reads the source.
func (b *builder) trimPre() {
	if n := len(b.plain); n > 0 && b.plain[n-1] == '\n' && b.breaks == 0 {
		b.plain = b.plain[:n-1]
	}
}

// boundary asks for at least n line ends before what comes next.
func (b *builder) boundary(n int) {
	if n > 0 {
		b.want = max(b.want+b.breaks, n)
		b.breaks = 0
		b.space = ""
	}
}

func (b *builder) newline() {
	b.breaks++
	b.space = ""
}

// text takes character data: outside of preformatted text, line ends are spaces, and spaces at the ends of lines do not count.
func (b *builder) text(s string) {
	if b.silent > 0 || b.full {
		return
	}
	if b.pre > 0 {
		b.verbatim(s)
		return
	}
	for s != "" {
		n := 0
		folded := false
		for n < len(s) && isBlank(s[n]) {
			folded = folded || s[n] != ' '
			n++
		}
		if n > 0 {
			b.blank(s[:n], folded)
			s = s[n:]
			continue
		}
		for n < len(s) && !isBlank(s[n]) {
			n++
		}
		b.write(s[:n])
		s = s[n:]
	}
}

// blank takes white space between words: as it is, but as one space if the source was only broken there.
func (b *builder) blank(s string, folded bool) {
	if len(b.plain) == 0 || b.want > 0 || b.breaks > 0 || b.plain[len(b.plain)-1] == '\n' {
		return
	}
	if folded {
		s = " "
	}
	if b.space == "" || !folded {
		b.space = s
	}
}

// verbatim takes preformatted text.
func (b *builder) verbatim(s string) {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	if b.fresh && s != "" {
		s = strings.TrimPrefix(s, "\n")
		b.fresh = false
	}
	b.write(s)
}

// write puts characters that are seen behind what is there, with the white space that is due before them.
func (b *builder) write(s string) {
	s = strings.Map(seen, s)
	if s == "" {
		return
	}
	b.fresh = false
	if len(b.plain) > 0 {
		for range min(b.want+b.breaks, 32) {
			b.plain = append(b.plain, '\n')
		}
		if b.want+b.breaks == 0 {
			b.plain = append(b.plain, b.space...)
		}
	}
	b.want, b.breaks, b.space = 0, 0, ""
	first := len(b.marks)
	for first > 0 && !b.marks[first-1].begun {
		first--
	}
	for i := first; i < len(b.marks); i++ {
		m := &b.marks[i]
		m.begun = true
		if m.marker != "" {
			b.indent(m.indent)
		}
		m.span.Start = len(b.plain)
		if m.marker != "" {
			b.plain = append(append(b.plain, m.marker...), ' ')
		}
	}
	if room := b.o.MaxText - len(b.plain); len(s) > room {
		b.full, b.doc.Cut = true, true
		s = s[:border(s, max(0, room), false)]
	}
	b.plain = append(b.plain, s...)
}

// indent puts an item of an inner list further to the right, at the beginning of a line.
func (b *builder) indent(n int) {
	if len(b.plain) == 0 || b.plain[len(b.plain)-1] != '\n' {
		return
	}
	for range n {
		b.plain = append(b.plain, "  "...)
	}
}

// seen drops what a reader does not see or must not be steered by: controls, bidirectional overrides, embeddings and isolates, zero-width
// spaces, and invisible operators. Joiners stay, since scripts and emoji need them.
func seen(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case r < ' ', r >= 0x7F && r < 0xA0,
		r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0x200B, r >= 0x2060 && r <= 0x2064, r >= 0x206A && r <= 0x206F,
		r == 0xFEFF, r == 0x00AD, r == 0x061C, r >= 0xFFF9 && r <= 0xFFFB, r == 0xE0001, r >= 0xFFFE && r <= 0xFFFF, r == 0x2028, r == 0x2029:
		return -1
	}
	return r
}
