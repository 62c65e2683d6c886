package convert

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// Content is what one message says, ready to be written.
type Content struct {
	Body       string // "" = no body
	Lang       string
	URL        string      // XEP-0066: the body is this URL alone
	Unstyled   bool        // XEP-0393 §7: show the body as it is
	Files      []sdk.Media // XEP-0447: what is at URL, or linked in the body
	Warning    string      // XEP-0382: show the rest only on demand
	Reply      *Parent     // XEP-0461
	Fallbacks  []Fallback
	References []Reference
	Thread     string // thread id, and after a line end that of its parent
	Loss       []sdk.Loss
}

// Fallback is a part of a body that is only there for clients without an
// extension (XEP-0428), in code points; Start = End = 0 means all of it.
type Fallback struct {
	For        string
	Start, End int
}

// Reference is a mention (XEP-0372) of an address, in code points of the body;
// Start = End = 0 means that it is not in the text.
type Reference struct {
	JID        string
	Start, End int
}

// Abilities are extensions that all who get a message are known to understand.
// They are written in any case, since others ignore them; of what is known to be
// understood no loss is declared and no fallback written. Those of which this
// package takes no notice say to the caller what is worth sending at all.
type Abilities uint16

// Abilities that matter to what is written.
const (
	CanReply   Abilities = 1 << iota // XEP-0461
	CanSpoiler                       // XEP-0382
	CanReact                         // XEP-0444
	CanRetract                       // XEP-0424
	CanCorrect                       // XEP-0308
	CanMark                          // XEP-0333
	CanReceipt                       // XEP-0184
	CanState                         // XEP-0085
	CanStyle                         // XEP-0393
	CanShare                         // XEP-0447
)

var abilityOf = map[string]Abilities{
	NSReply: CanReply, NSSpoiler: CanSpoiler, NSReactions: CanReact, NSRetract: CanRetract, NSCorrect: CanCorrect, NSMarkers: CanMark,
	NSReceipts: CanReceipt, NSChatStates: CanState, NSStyling: CanStyle, NSSFS: CanShare,
}

// AbilitiesOf reads the features of a client's disco#info.
func AbilitiesOf(features []string) Abilities {
	var a Abilities
	for _, f := range features {
		a |= abilityOf[f]
	}
	return a
}

// Has reports whether all of b are in a.
func (a Abilities) Has(b Abilities) bool { return a&b == b }

// Parent is what a message answers.
type Parent struct {
	ID   string // what it is called at the target; empty = it has no copy there, so it is only quoted
	JID  string // its sender there; may be empty
	Name string // its sender for people
	Text string // what is quoted for clients without XEP-0461; empty = nothing
}

// Style says how an item is put into messages. The zero value makes one message of any length.
type Style struct {
	Author  string // put before the text where the author has no nick of its own; "" = not
	MaxText int    // bytes of a body when escaped; 0 = unbounded
	Parts   int    // most messages (at most MaxParts): long text is split, and each file has its own; 0 and 1 = one, text is cut, files are links
	Parent  *Parent
	Has     Abilities
	Mention func(sdk.Mention) string // JID of who is mentioned, "" = none; nil = no mention is marked
	Room    bool                     // for AppendItem: a room, where retractions name stanza-ids
}

// Compose turns an item into the content of one message. What a message cannot
// show is in Content.Loss, and nothing else is missing.
func Compose(it *sdk.Item, s Style) Content {
	s.Parts = 1
	return ComposeAll(it, s)[0]
}

// ComposeAll turns an item into the contents of one message or, if Style.Parts
// allows and it is long or has files, of several. The losses of all are in the
// first. An item that says nothing gives one content without a body.
func ComposeAll(it *sdk.Item, s Style) []Content {
	c := &composer{it: it, s: s, parts: max(1, min(s.Parts, MaxParts))}
	if len(it.Warning) > maxWarning {
		bounded := *it
		bounded.Warning = cut(it.Warning, maxWarning)
		c.it = &bounded
		c.lose(sdk.LossText, "the content warning is shortened")
	}
	return c.all()
}

// composer makes the contents of one item.
type composer struct {
	it    *sdk.Item
	s     Style
	parts int
	text  sdk.Text      // all that is text
	where richtext.Runs // where Item.Text is in it
	links []linked      // files that are linked in it
	loss  []sdk.Loss
}

// linked is a file and the lines about it in composer.text, with the line end before them.
type linked struct {
	file       sdk.Media
	start, end int
}

func (c *composer) lose(kind sdk.LossKind, format string, args ...any) {
	loss := sdk.Loss{Kind: kind, Detail: fmt.Sprintf(format, args...)}
	for _, l := range c.loss {
		if l == loss {
			return
		}
	}
	c.loss = append(c.loss, loss)
}

func (c *composer) all() []Content {
	if c.it.Sealed != nil && c.it.Text == nil && len(c.it.Media) == 0 {
		c.lose(sdk.LossSealed, "the message is encrypted for other people")
		c.text.Plain = "[encrypted message that cannot be shown here]"
		return c.done(c.texts(1))
	}
	files := c.gather()
	out := c.texts(c.parts - len(files))
	if c.text.Plain == "" && len(files) > 0 {
		out = nil
	}
	for _, f := range files {
		address := clean(f.URL)
		file := Content{Body: address, URL: address, Files: []sdk.Media{f}, Warning: c.it.Warning}
		if len(out) == 0 {
			c.begin(&file)
		}
		out = append(out, file)
	}
	return c.done(out)
}

// done gives the first content what concerns all.
func (c *composer) done(out []Content) []Content {
	for i := range out {
		out[i].Lang = c.it.Language
		out[i].Thread = string(c.it.Native[nativeThread])
	}
	out[0].Loss = c.loss
	return out
}

// gather puts all that is text into one, and gives the files that get a message of their own.
func (c *composer) gather() []sdk.Media {
	it := c.it
	c.add(it.Title)
	if it.Text != nil {
		text, runs, replaced := cleanText(*it.Text)
		if replaced {
			c.lose(sdk.LossText, "control characters were replaced")
		}
		if text.Plain != "" {
			at := c.add(text.Plain)
			for _, s := range text.Spans {
				s.Start, s.End = s.Start+at, s.End+at
				c.text.Spans = append(c.text.Spans, s)
			}
			c.where = runs.Then(richtext.Runs{{Src: 0, Dst: at, Len: len(text.Plain)}})
		}
	}
	if len(it.Emoji) > 0 {
		c.lose(sdk.LossMarkup, "pictures of its own stand as their names")
	}
	if !it.Quote.IsZero() {
		c.lose(sdk.LossReply, "what it quotes is not shown")
	}
	c.add(c.calendar(it.Calendar))
	c.add(c.poll(it.Poll))
	var own []sdk.Media
	for _, m := range c.media() {
		if webAddress(m.URL) {
			own = append(own, m)
		} else {
			c.link(m)
		}
	}
	n := c.alone(len(own))
	if n < len(own) && c.text.Plain == "" && n > 0 {
		n-- // the links need a message as well
	}
	for _, m := range own[n:] {
		c.link(m)
	}
	return own[:n]
}

// maxAlts bounds the descriptions of all files together, so that they fit into one message.
const maxAlts = 16 << 10

// media gives the files that are told of, with bounded descriptions.
func (c *composer) media() []sdk.Media {
	files := slices.Clone(c.it.Media[:min(len(c.it.Media), maxFiles)])
	if more := len(c.it.Media) - len(files); more > 0 {
		c.lose(sdk.LossMedia, "%d more files are left out", more)
	}
	most := maxAlt
	if len(files) > 0 {
		most = min(most, maxAlts/len(files))
	}
	for i, m := range files {
		if len(m.Alt) > most {
			files[i].Alt = cut(m.Alt, most)
			c.lose(sdk.LossMedia, "a description is shortened")
		}
	}
	return files
}

// alone gives how many of n files get a message of their own. Where people must
// be warned first none does, since clients show such files at once.
func (c *composer) alone(n int) int {
	warn := c.it.Warning != "" && !c.s.Has.Has(CanSpoiler)
	switch {
	case warn, c.s.Author != "" && (c.text.Plain == "" || c.parts == 1), c.parts == 1 && (c.text.Plain != "" || n > 1):
		return 0
	case c.text.Plain == "":
		return min(n, c.parts)
	}
	return min(n, c.parts-1)
}

// add puts a paragraph of plain text at the end and gives where it begins.
func (c *composer) add(part string) int {
	if part == "" {
		return len(c.text.Plain)
	}
	part = clean(part)
	if c.text.Plain != "" {
		c.text.Plain += "\n"
	}
	at := len(c.text.Plain)
	c.text.Plain += part
	return at
}

// link adds the line for a file that has no message of its own.
func (c *composer) link(m sdk.Media) {
	if !webAddress(m.URL) {
		c.lose(sdk.LossMedia, "a file has no address")
		name := m.Name
		if name == "" {
			name = m.Type
		}
		c.add(strings.TrimSpace("[file "+oneLine(name)) + "]")
		return
	}
	if !c.s.Has.Has(CanShare) {
		c.lose(sdk.LossMedia, "a file is only linked")
	}
	line := m.URL
	if alt := oneLine(m.Alt); alt != "" {
		line += " (" + alt + ")"
	}
	start := len(c.text.Plain)
	c.add(line)
	c.links = append(c.links, linked{m, start, len(c.text.Plain)})
}

// texts makes the text into at most n contents.
func (c *composer) texts(n int) []Content {
	n = max(1, n)
	var out []Content
	for rest, at := c.text, 0; ; {
		head, used := rest, len(rest.Plain)
		if n > 1 && c.s.MaxText > 0 {
			head, used = c.fit(rest, len(out) == 0)
		}
		content := c.print(head, at, len(out) == 0)
		out = append(out, content)
		n--
		if used >= len(rest.Plain) {
			return out
		}
		at += used
		rest = richtext.Slice(rest, used, len(rest.Plain))
	}
}

// print makes the content of a part of the text, which begins at in it.
func (c *composer) print(text sdk.Text, at int, first bool) Content {
	styled := c.styled(text, at, first && len(text.Plain) == len(c.text.Plain))
	content := Content{Body: styled.Body, Unstyled: styled.Unstyled && styled.Body != "", Warning: c.it.Warning}
	for _, kind := range styled.Lost {
		c.lose(sdk.LossMarkup, "%s", lostMarkup(kind))
	}
	before := 0
	if first {
		before = c.begin(&content)
	}
	c.references(&content, styled.Runs, at, len(text.Plain), before)
	c.linked(&content, styled.Runs, at, len(text.Plain), before)
	c.shorten(&content)
	return content
}

// styled writes a text in XEP-0393 notation. What came from XMPP and is unchanged is written as it came.
func (c *composer) styled(text sdk.Text, at int, whole bool) richtext.Styled {
	if whole && c.it.Text != nil && text.Plain == c.it.Text.Plain {
		if string(c.it.Native[nativeAction]) == "1" {
			if inner, ok := withoutAction(text); ok && c.s.Author == "" {
				s := c.sameBody(inner)
				s.Body = actionCommand + s.Body
				s.Runs = s.Runs.Then(richtext.Runs{{Src: 0, Dst: len(actionCommand), Len: len(s.Body) - len(actionCommand)}})
				return s
			}
		}
		return c.sameBody(text)
	}
	return richtext.PrintStyling(text)
}

// sameBody gives the body that the origin wrote, if the text is still what it says, else a new one.
func (c *composer) sameBody(text sdk.Text) richtext.Styled {
	body := string(c.it.Native[nativeBody])
	if body != "" && body == clean(body) {
		if read, runs := richtext.ParseStyling(body); read.Plain == text.Plain && sameSpans(read.Spans, text.Spans) {
			return richtext.Styled{Body: body, Runs: runs.Invert()}
		}
	}
	return richtext.PrintStyling(text)
}

func sameSpans(a, b []sdk.Span) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// withoutAction takes off the emphasis that says that the text is an action.
func withoutAction(text sdk.Text) (sdk.Text, bool) {
	for i, s := range text.Spans {
		if s.Kind == sdk.SpanItalic && s.Start == 0 && s.End == len(text.Plain) {
			out := sdk.Text{Plain: text.Plain}
			out.Spans = append(append(out.Spans, text.Spans[:i]...), text.Spans[i+1:]...)
			return out, true
		}
	}
	return text, false
}

// begin puts before the body of the first message what stands there: the quoted
// parent, the content warning, the author. It gives how many bytes that are.
func (c *composer) begin(content *Content) int {
	if c.s.Parent != nil && c.s.Parent.ID != "" {
		content.Reply = c.s.Parent
	} else if c.s.Parent != nil {
		c.lose(sdk.LossReply, "the message that it answers is not there")
	}
	warning := oneLine(clean(c.it.Warning))
	if content.Body == "" && warning != "" {
		content.Body = "[" + warning + "]"
		return 0
	}
	if content.Body == "" || content.URL != "" { // the address has to be the whole body
		return 0
	}
	head := ""
	add := func(part, extension string, fallback bool) {
		if fallback {
			start := utf8.RuneCountInString(head)
			content.Fallbacks = append(content.Fallbacks, Fallback{extension, start, start + utf8.RuneCountInString(part)})
		}
		head += part
	}
	if p := c.s.Parent; p != nil && (p.ID == "" || !c.s.Has.Has(CanReply)) {
		if quote := quotation(p); quote != "" {
			add(quote, NSReply, p.ID != "")
		}
	}
	if warning != "" && !c.s.Has.Has(CanSpoiler) {
		add("["+warning+"]\n", NSSpoiler, true)
		c.lose(sdk.LossWarning, "the content warning stands before the text and hides nothing")
	}
	if c.s.Author != "" {
		c.lose(sdk.LossAuthor, "named in the text")
		end := " "
		if strings.HasPrefix(content.Body, ">") || strings.HasPrefix(content.Body, "```") {
			end = "\n"
		}
		add(c.s.Author+":"+end, "", false)
	}
	content.Body = head + content.Body
	return len(head)
}

const (
	maxQuoteLines = 8
	maxQuote      = 600 // bytes
)

// quotation quotes a parent for clients without XEP-0461.
func quotation(p *Parent) string {
	text := clean(p.Text)
	if strings.TrimSpace(text) == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if short := cut(strings.TrimSpace(text), maxQuote); len(lines) > maxQuoteLines || len(short) < len(strings.TrimSpace(text)) {
		lines = strings.Split(short, "\n")
		lines = lines[:min(len(lines), maxQuoteLines)]
		lines[len(lines)-1] += " […]"
	}
	var b strings.Builder
	if name := oneLine(clean(p.Name)); name != "" {
		b.WriteString("> " + name + ":\n")
	}
	for _, l := range lines {
		b.WriteString("> " + l + "\n")
	}
	return b.String()
}

// references marks the mentions that are in a part of the text, which begins at in it; before bytes stand before it in the body.
func (c *composer) references(content *Content, runs richtext.Runs, at, n, before int) {
	if c.s.Mention == nil {
		return
	}
	for _, m := range c.it.Mentions {
		address := c.s.Mention(m)
		if address == "" || len(content.References) >= maxMentions {
			continue
		}
		if m.Start == m.End {
			if at == 0 {
				content.References = append(content.References, Reference{JID: address})
			}
			continue
		}
		start, end, ok := c.where.Range(m.Start, m.End)
		if !ok || start < at || start >= at+n {
			continue
		}
		ref := Reference{JID: address}
		if from, to, ok := runs.Range(start-at, end-at); ok {
			ref.Start = utf8.RuneCountInString(content.Body[:before+from])
			ref.End = ref.Start + utf8.RuneCountInString(content.Body[before+from:before+to])
		}
		content.References = append(content.References, ref)
	}
}

// linked names the files that a part of the text links, and marks their lines as a fallback (XEP-0447 §4.1).
func (c *composer) linked(content *Content, runs richtext.Runs, at, n, before int) {
	for _, l := range c.links {
		if l.start < at || l.start >= at+n {
			continue
		}
		content.Files = append(content.Files, l.file)
		if from, to, ok := runs.Range(l.start-at, l.end-at); ok {
			start := utf8.RuneCountInString(content.Body[:before+from])
			end := start + utf8.RuneCountInString(content.Body[before+from:before+to])
			content.Fallbacks = append(content.Fallbacks, Fallback{NSSFS, start, end})
		}
	}
}

// shorten cuts a body that is still too long.
func (c *composer) shorten(content *Content) {
	short, done := shorten(content.Body, c.s.MaxText)
	if !done {
		return
	}
	content.Body = short
	c.lose(sdk.LossText, "shortened to %d bytes", len(short))
	n := utf8.RuneCountInString(short)
	kept := content.References[:0]
	for _, r := range content.References {
		if r.End <= n {
			kept = append(kept, r)
		}
	}
	content.References = kept
	files := content.Files[:0]
	for i, f := range content.Files {
		if strings.Contains(short, f.URL) {
			files = append(files, content.Files[i])
		}
	}
	content.Files = files
	for i := range content.Fallbacks {
		content.Fallbacks[i].Start = min(content.Fallbacks[i].Start, n)
		content.Fallbacks[i].End = min(content.Fallbacks[i].End, n)
	}
}
