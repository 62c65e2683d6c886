package richtext

import (
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// HTML says how HTML is read.
type HTML struct {
	// XML says that the source is XHTML (XEP-0071): <b/> is an element without content, and CDATA sections are text.
	XML bool
	// MaxText bounds the bytes of the text; 0 = 1 MiB.
	MaxText int
	// Skip names elements, by name and class attribute, that are left out with all their content; nil = none beyond those that never count.
	Skip func(name, class string) bool
}

// Document is what HTML says.
type Document struct {
	Text   sdk.Text
	Images []sdk.Media // URL, Alt, Width and Height of img elements with an http or https address
	Cut    bool        // something was left out since it was too much
}

const (
	maxDepth  = 128 // elements inside of one another; the tags of deeper ones do not count
	maxImages = 64
	maxHTML   = 1 << 20
)

// ParseHTML reads HTML as it is found in posts and messages: what it says, with the markup that spans can tell. Scripts, styles, forms and
// embedded things are left out with their content, unknown elements without it; links lead to http, https, mailto and xmpp only; characters
// that cannot be seen or change the direction of the text are left out. It never fails, and takes time in proportion to the source.
//
// Paragraphs are separated by an empty line, other blocks by a line end. A link of the class "mention" becomes a SpanMention.
func ParseHTML(src string, o HTML) Document {
	if o.MaxText <= 0 {
		o.MaxText = maxHTML
	}
	b := &builder{o: o, scan: scanner{src: src, xml: o.XML}, count: map[string]int{}}
	for {
		t := b.scan.next()
		switch t.kind {
		case tokenEnd:
			b.closeTo(0)
			b.doc.Text = Normalize(sdk.Text{Plain: string(b.plain), Spans: b.spans})
			return b.doc
		case tokenText:
			b.text(t.text)
		case tokenOpen:
			b.open(&t)
		case tokenClose:
			b.close(t.name)
		}
	}
}

// opened is an element that is not closed yet.
type opened struct {
	name   string
	spans  int // how many entries of builder.marks are its own
	silent bool
	list   *list
}

// list is a list that is being read.
type list struct {
	ordered bool
	next    int
}

// markup is a span that begins with the next character that is seen.
type markup struct {
	span   sdk.Span
	begun  bool
	void   bool   // a list item in which another one begins at once
	marker string // of a list item, written before anything else
	indent int
}

type builder struct {
	o      HTML
	scan   scanner
	doc    Document
	plain  []byte
	spans  []sdk.Span
	stack  []opened
	count  map[string]int // of elements in the stack by name
	marks  []markup
	deeper int  // elements that are open beyond maxDepth
	silent int  // open elements whose content does not count
	pre    int  // open preformatted elements
	solid  int  // open elements that hold no blocks: preformatted ones and headings
	fresh  bool // the first line end in a preformatted element does not count
	want   int  // line ends due between two blocks
	breaks int  // line ends that were asked for since
	space  string
	full   bool
}

// void are elements that have no content.
var void = map[string]bool{
	"area": true, "base": true, "br": true, "col": true, "embed": true, "hr": true, "img": true, "input": true, "link": true, "meta": true,
	"param": true, "source": true, "track": true, "wbr": true,
}

// raw are elements whose content is no markup, and none that anybody reads.
var raw = map[string]bool{
	"script": true, "style": true, "textarea": true, "title": true, "xmp": true, "iframe": true, "noembed": true, "noframes": true,
}

// silent are elements whose content does not count.
var silent = map[string]bool{
	"svg": true, "math": true, "template": true, "object": true, "applet": true, "head": true, "select": true, "audio": true, "video": true,
	"canvas": true, "button": true, "rp": true, "datalist": true,
}

// inline gives the kinds of elements in a line.
var inline = map[string]sdk.SpanKind{
	"b": sdk.SpanBold, "strong": sdk.SpanBold, "i": sdk.SpanItalic, "em": sdk.SpanItalic, "cite": sdk.SpanItalic, "dfn": sdk.SpanItalic,
	"var": sdk.SpanItalic, "s": sdk.SpanStrike, "del": sdk.SpanStrike, "strike": sdk.SpanStrike, "tt": sdk.SpanCode, "kbd": sdk.SpanCode,
	"samp": sdk.SpanCode,
}

// blocks gives how many line ends an element needs before and after it.
var blocks = map[string]int{
	"p": 2, "div": 1, "blockquote": 1, "pre": 1, "ul": 1, "ol": 1, "dl": 1, "li": 1, "dt": 1, "dd": 1, "h1": 1, "h2": 1, "h3": 1, "h4": 1,
	"h5": 1, "h6": 1, "tr": 1, "table": 1, "article": 1, "section": 1, "header": 1, "footer": 1, "aside": 1, "nav": 1, "main": 1, "figure": 1,
	"figcaption": 1, "address": 1, "details": 1, "summary": 1, "form": 1, "fieldset": 1, "center": 1, "body": 1, "html": 1, "hgroup": 1,
	"caption": 1,
}

// open takes a start tag.
func (b *builder) open(t *token) {
	name := t.name
	switch {
	case raw[name]:
		if !b.o.XML {
			b.scan.raw(name)
			return
		}
	case name == "br":
		if b.silent == 0 {
			b.newline()
		}
		return
	case name == "hr":
		if b.silent == 0 {
			b.boundary(1)
			b.text("---")
			b.boundary(1)
		}
		return
	case name == "img":
		if b.silent == 0 {
			b.image(t)
		}
		return
	case void[name]:
		return
	}
	b.implied(name)
	if b.o.XML && t.empty {
		b.boundary(blocks[name])
		return
	}
	if len(b.stack) >= maxDepth {
		b.deeper++
		b.doc.Cut = true
		return
	}
	b.push(t)
}

// push opens an element that can have content.
func (b *builder) push(t *token) {
	class := t.get("class")
	e := opened{name: t.name}
	if silent[t.name] || raw[t.name] || b.o.Skip != nil && b.o.Skip(t.name, class) {
		e.silent = true
		b.silent++
	}
	if b.silent > 0 {
		b.stack = append(b.stack, e)
		b.count[e.name]++
		return
	}
	b.boundary(blocks[t.name])
	before := len(b.marks)
	if kind, ok := inline[t.name]; ok {
		b.mark(kind, "")
	}
	switch t.name {
	case "code":
		b.code(class)
	case "pre":
		b.mark(sdk.SpanPre, codeLanguage(class))
		b.pre++
		b.solid++
		b.fresh = true
	case "blockquote":
		b.mark(sdk.SpanQuote, "")
	case "q":
		b.text("“")
	case "h1", "h2", "h3", "h4", "h5", "h6":
		b.mark(sdk.SpanHeading, t.name[1:])
		b.solid++
	case "a":
		b.link(t.get("href"), class)
	case "ul", "ol":
		start, err := strconv.Atoi(t.get("start"))
		if err != nil || start < 0 || start > 1<<30 {
			start = 1
		}
		e.list = &list{ordered: t.name == "ol", next: start}
	case "li":
		if b.solid == 0 {
			b.item(t)
		}
	case "td", "th":
		if len(b.plain) > 0 && b.want == 0 && b.breaks == 0 {
			b.space = " "
		}
	}
	if hasClass(class, "spoiler") || t.has("data-mx-spoiler") {
		b.mark(sdk.SpanSpoiler, "")
	}
	b.style(t.get("style"))
	e.spans = len(b.marks) - before
	b.stack = append(b.stack, e)
	b.count[e.name]++
}

// has reports whether there is an attribute, whatever its value.
func (t *token) has(name string) bool {
	for _, a := range t.attrs {
		if a.name == name {
			return true
		}
	}
	return false
}

func (b *builder) mark(kind sdk.SpanKind, value string) {
	if isBlock(kind) && b.solid > 0 {
		return
	}
	b.marks = append(b.marks, markup{span: sdk.Span{Kind: kind, Value: value}})
}

// code opens an inline span of code or, inside of a preformatted block, gives that its language.
func (b *builder) code(class string) {
	if b.pre == 0 {
		b.mark(sdk.SpanCode, "")
		return
	}
	for i := len(b.marks) - 1; i >= 0; i-- {
		if m := &b.marks[i]; m.span.Kind == sdk.SpanPre {
			if m.span.Value == "" && !m.begun {
				m.span.Value = codeLanguage(class)
			}
			return
		}
	}
}

// codeLanguage reads the class language-NAME (HTML §4.5.15).
func codeLanguage(class string) string {
	for word := range strings.FieldsSeq(class) {
		if lang, ok := strings.CutPrefix(word, "language-"); ok {
			return language(lang)
		}
	}
	return ""
}

func hasClass(class, want string) bool {
	for word := range strings.FieldsSeq(class) {
		if word == want {
			return true
		}
	}
	return false
}

// link opens a link, if it leads where links may.
func (b *builder) link(href, class string) {
	href = strings.TrimSpace(href)
	if !SafeURL(href) {
		return
	}
	if hasClass(class, "mention") && !hasClass(class, "hashtag") {
		b.mark(sdk.SpanMention, href)
		return
	}
	b.mark(sdk.SpanLink, href)
}

// item opens a list item with the marker of the list around it.
func (b *builder) item(t *token) {
	marker, indent := "•", 0
	for i := range b.marks {
		if m := &b.marks[i]; m.span.Kind != sdk.SpanListItem || m.void {
			continue
		} else if m.begun {
			indent++
		} else {
			m.void, m.marker = true, ""
		}
	}
	for i := len(b.stack) - 1; i >= 0; i-- {
		l := b.stack[i].list
		if l == nil {
			continue
		}
		if l.ordered {
			if n, err := strconv.Atoi(t.get("value")); err == nil && n >= 0 && n < 1<<30 {
				l.next = n
			}
			marker = strconv.Itoa(l.next) + "."
			l.next++
		}
		break
	}
	b.marks = append(b.marks, markup{span: sdk.Span{Kind: sdk.SpanListItem, Value: marker}, marker: marker, indent: min(indent, 8)})
}

// style reads what clients write as CSS (XEP-0071 §7.7).
func (b *builder) style(css string) {
	if css == "" || len(css) > 1024 {
		return
	}
	for decl := range strings.SplitSeq(strings.ToLower(css), ";") {
		name, value, _ := strings.Cut(decl, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "font-weight":
			if n, _ := strconv.Atoi(value); value == "bold" || value == "bolder" || n >= 600 {
				b.mark(sdk.SpanBold, "")
			}
		case "font-style":
			if value == "italic" || value == "oblique" {
				b.mark(sdk.SpanItalic, "")
			}
		case "text-decoration", "text-decoration-line":
			if strings.Contains(value, "line-through") {
				b.mark(sdk.SpanStrike, "")
			}
		}
	}
}

// image takes the text of an image, and remembers where it is.
func (b *builder) image(t *token) {
	alt, src := t.get("alt"), strings.TrimSpace(t.get("src"))
	if b.o.Skip != nil && b.o.Skip("img", t.get("class")) {
		return
	}
	if web := strings.HasPrefix(src, "https://") || strings.HasPrefix(src, "http://"); web && SafeURL(src) {
		if len(b.doc.Images) < maxImages {
			width, _ := strconv.Atoi(t.get("width"))
			height, _ := strconv.Atoi(t.get("height"))
			b.doc.Images = append(b.doc.Images, sdk.Media{URL: src, Alt: alt, Width: max(0, width), Height: max(0, height)})
		} else {
			b.doc.Cut = true
		}
	}
	b.text(alt)
}

// implied closes what a start tag ends without an end tag (HTML §13.1.2.4).
func (b *builder) implied(name string) {
	switch name {
	case "li":
		b.closeUntil("li", listWalls)
	case "dt", "dd":
		b.closeUntil("dt", listWalls)
		b.closeUntil("dd", listWalls)
	case "tr":
		b.closeUntil("tr", tableWalls)
	case "td", "th":
		b.closeUntil("td", cellWalls)
		b.closeUntil("th", cellWalls)
	}
	if blocks[name] > 0 {
		b.closeUntil("p", paragraphWalls)
	}
}

// walls are elements that keep what is around them open.
var (
	listWalls      = map[string]bool{"ul": true, "ol": true, "dl": true}
	tableWalls     = map[string]bool{"table": true}
	cellWalls      = map[string]bool{"tr": true, "table": true}
	paragraphWalls = map[string]bool{
		"li": true, "blockquote": true, "div": true, "td": true, "dd": true, "section": true, "article": true, "details": true,
	}
)

// closeUntil closes the innermost element of that name, unless a wall is around what we are in first.
func (b *builder) closeUntil(name string, walls map[string]bool) {
	if b.count[name] == 0 {
		return
	}
	for i := len(b.stack) - 1; i >= 0; i-- {
		if b.stack[i].name == name {
			b.closeTo(i)
			return
		}
		if walls[b.stack[i].name] {
			return
		}
	}
}

// close takes an end tag; one of what is not open does not count.
func (b *builder) close(name string) {
	if b.deeper > 0 && !void[name] {
		b.deeper--
		return
	}
	if name == "br" && b.silent == 0 {
		b.newline()
		return
	}
	for i := len(b.stack) - 1; i >= 0 && b.count[name] > 0; i-- {
		if b.stack[i].name == name {
			b.closeTo(i)
			return
		}
	}
}

// closeTo closes elements until n are open.
func (b *builder) closeTo(n int) {
	for len(b.stack) > n {
		e := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		b.count[e.name]--
		if b.silent > 0 {
			if e.silent {
				b.silent--
			}
			continue
		}
		switch e.name {
		case "q":
			b.text("”")
		case "pre":
			b.pre--
			b.solid--
			b.trimPre()
		case "h1", "h2", "h3", "h4", "h5", "h6":
			b.solid--
		}
		for range e.spans {
			m := b.marks[len(b.marks)-1]
			b.marks = b.marks[:len(b.marks)-1]
			if m.begun && !m.void && len(b.plain) > m.span.Start {
				m.span.End = len(b.plain)
				b.keep(m.span)
			}
		}
		b.boundary(blocks[e.name])
	}
}

func (b *builder) keep(s sdk.Span) {
	if len(b.spans) >= MaxSpans {
		b.doc.Cut = true
		return
	}
	b.spans = append(b.spans, s)
}
