package convert

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

const (
	maxNative     = 16 << 10 // bytes of a body that are kept beside the text
	maxMentions   = 64
	maxWarning    = 2000 // bytes of a content warning
	plainWarning  = "Spoiler"
	actionCommand = "/me " // XEP-0245 §3
)

// readText reads a message with a body or files, which may be a correction or a reply.
func (r *Reading) readText(m *packet.Message) {
	files := readFiles(m)
	understood := []string{}
	if e, ok := m.Extension(NSReply, "reply"); ok && e.Get("id") != "" {
		r.ReplyTo, r.ReplyAt = e.Get("id"), e.Get("to")
		understood = append(understood, NSReply)
	}
	warning, warned := m.Extension(NSSpoiler, "spoiler")
	if warned {
		understood = append(understood, NSSpoiler)
	}
	if len(files) > 0 {
		understood = append(understood, NSSFS, NSOOB, NSSIMS)
	}
	body, runs := withoutFallback(m, understood, m.Body(), files)
	if len(files) > 0 {
		body = strings.TrimRightFunc(body, unicode.IsSpace)
	}
	if isAddress(body, files) || strings.TrimSpace(body) == "" {
		body = ""
	}
	if body == "" && len(files) == 0 {
		r.ReplyTo, r.ReplyAt = "", ""
		return
	}
	r.Kind = Text
	if e, ok := m.Extension(NSCorrect, "replace"); ok && e.Get("id") != "" {
		r.Kind, r.Target = Correct, e.Get("id")
	}
	r.Item.Media = files
	if warned {
		r.Item.Warning = cut(oneLine(warning.Text()), maxWarning)
		if r.Item.Warning == "" {
			r.Item.Warning = plainWarning
		}
	}
	if r.Thread != "" {
		r.native(nativeThread, strings.TrimSuffix(r.Thread+"\n"+r.Parent, "\n"))
	}
	if body != "" {
		r.readBody(m, body, runs)
	}
}

func (r *Reading) native(key, value string) {
	if len(value) > maxNative {
		return
	}
	if r.Item.Native == nil {
		r.Item.Native = map[string][]byte{}
	}
	r.Item.Native[key] = []byte(value)
}

// readBody makes a text of a body without fallbacks; runs tell where it was in the whole body.
func (r *Reading) readBody(m *packet.Message, body string, runs richtext.Runs) {
	rest, action := strings.CutPrefix(body, actionCommand)
	if action = action && strings.TrimSpace(rest) != ""; action {
		runs = runs.Then(richtext.Runs{{Src: len(actionCommand), Dst: 0, Len: len(rest)}})
		body = rest
		r.native(nativeAction, "1")
	}
	text, inText := r.marked(m, body)
	runs = runs.Then(inText)
	r.readMentions(m, text, runs)
	if action {
		text.Spans = slices.Insert(text.Spans, 0, sdk.Span{Kind: sdk.SpanItalic, End: len(text.Plain)})
	}
	r.Item.Text = &text
}

// marked reads the markup of a body: XHTML if it says the same as the body, else XEP-0393 unless the sender switched that off.
func (r *Reading) marked(m *packet.Message, body string) (sdk.Text, richtext.Runs) {
	styled, runs := richtext.ParseStyling(body)
	if html, ok := m.Extension(NSXHTMLIM, "html"); ok {
		if inside, ok := html.Child(NSXHTML, "body"); ok {
			doc := richtext.ParseHTML(string(inside.Inner()), richtext.HTML{XML: true})
			if through, same := align(body, doc.Text.Plain); same && !doc.Cut {
				return doc.Text, through
			}
			if through, same := align(styled.Plain, doc.Text.Plain); same && !doc.Cut {
				return doc.Text, runs.Then(through)
			}
		}
	}
	if _, ok := m.Extension(NSStyling, "unstyled"); ok {
		return sdk.Text{Plain: body}, richtext.Runs{{Len: len(body)}}
	}
	if again := richtext.PrintStyling(styled); again.Body != body || again.Unstyled {
		r.native(nativeBody, body)
	}
	return styled, runs
}

// align finds where the parts of a are in b, if both say the same but for white space.
func align(a, b string) (richtext.Runs, bool) {
	var runs richtext.Runs
	i, j := 0, 0
	for {
		i += len(a[i:]) - len(strings.TrimLeftFunc(a[i:], unicode.IsSpace))
		j += len(b[j:]) - len(strings.TrimLeftFunc(b[j:], unicode.IsSpace))
		n := 0
		for i+n < len(a) && j+n < len(b) && a[i+n] == b[j+n] {
			if r, _ := utf8.DecodeRuneInString(a[i+n:]); unicode.IsSpace(r) {
				break
			}
			n++
		}
		if n == 0 {
			return runs, i == len(a) && j == len(b)
		}
		runs = append(runs, richtext.Run{Src: i, Dst: j, Len: n})
		i, j = i+n, j+n
	}
}

// readMentions reads XEP-0372 references to people; their positions are code points of the whole body.
func (r *Reading) readMentions(m *packet.Message, text sdk.Text, runs richtext.Runs) {
	var points []int
	for _, e := range m.Extensions {
		if !e.Is(NSReference, "reference") || e.Get("type") != "mention" || len(r.Item.Mentions) >= maxMentions {
			continue
		}
		address, ok := strings.CutPrefix(e.Get("uri"), "xmpp:")
		address, _, _ = strings.Cut(address, "?")
		if !ok {
			continue
		}
		who, err := packet.ParseJID(unescapeURI(address))
		if err != nil || who.Domainpart() == "" {
			continue
		}
		mention := sdk.Mention{Actor: sdk.Ref{ID: sdk.RemoteID(who.Bare().String())}, Handle: who.Bare().String()}
		if who.Resourcepart() != "" { // an occupant of a room
			mention.Actor.ID, mention.Handle = sdk.RemoteID(who.String()), who.Resourcepart()
		}
		if points == nil {
			points = codePoints(m.Body())
		}
		if start, end, ok := interval(e, "begin", "end", len(points)-1); ok {
			if from, to, ok := runs.Range(points[start], points[end]); ok {
				mention.Start, mention.End = from, to
			}
		}
		r.Item.Mentions = append(r.Item.Mentions, mention)
	}
}

// codePoints gives the byte position of every code point, and the length last (XEP-0426).
func codePoints(s string) []int {
	points := make([]int, 0, len(s)+1)
	for i := range s {
		points = append(points, i)
	}
	return append(points, len(s))
}

// interval reads a range of code points, which must lie within n of them and not be empty.
func interval(e xmltok.Element, from, to string, n int) (start, end int, ok bool) {
	start, err1 := strconv.Atoi(e.Get(from))
	end, err2 := strconv.Atoi(e.Get(to))
	return start, end, err1 == nil && err2 == nil && start >= 0 && start < end && end <= n
}

// withoutFallback cuts the parts of the body that are only there for clients
// without the extensions understood (XEP-0428 §2.2), and tells where the rest
// was. A body of which nothing would be left stays, unless there are files.
func withoutFallback(m *packet.Message, understood []string, body string, files []sdk.Media) (string, richtext.Runs) {
	whole := richtext.Runs{}
	if body != "" {
		whole = richtext.Runs{{Len: len(body)}}
	}
	var points []int
	var cuts [][2]int
	for _, e := range m.Extensions {
		sharing := len(files) > 0 && e.Is(NSReference, "reference")
		if !sharing && (!e.Is(NSFallback, "fallback") || !slices.Contains(understood, e.Get("for"))) {
			continue
		}
		if points == nil {
			points = codePoints(body)
		}
		if !sharing {
			cuts = append(cuts, fallbackRanges(e, points)...)
		} else if start, end, ok := interval(e, "begin", "end", len(points)-1); ok && isAddress(body[points[start]:points[end]], files) {
			cuts = append(cuts, [2]int{points[start], points[end]}) // XEP-0385 §3.1
		}
	}
	if len(cuts) == 0 {
		return body, whole
	}
	slices.SortFunc(cuts, func(a, b [2]int) int { return a[0] - b[0] })
	var b strings.Builder
	var runs richtext.Runs
	done := 0
	keep := func(to int) {
		if to > done {
			runs = append(runs, richtext.Run{Src: done, Dst: b.Len(), Len: to - done})
			b.WriteString(body[done:to])
		}
	}
	for _, c := range cuts {
		keep(c[0])
		done = max(done, c[1])
	}
	keep(len(body))
	if strings.TrimSpace(b.String()) == "" {
		if len(files) > 0 {
			return "", nil
		}
		return body, whole
	}
	return b.String(), runs
}

// fallbackRanges gives the bytes of the body that a fallback element names; one that names none means all of it.
func fallbackRanges(e xmltok.Element, points []int) [][2]int {
	var out [][2]int
	named := false
	for c := range e.Children() {
		named = true
		if !c.Is(NSFallback, "body") {
			continue
		}
		if c.Get("start") == "" && c.Get("end") == "" {
			out = append(out, [2]int{0, points[len(points)-1]})
		} else if start, end, ok := interval(c, "start", "end", len(points)-1); ok {
			out = append(out, [2]int{points[start], points[end]})
		}
	}
	if !named {
		out = append(out, [2]int{0, points[len(points)-1]})
	}
	return out
}
