package convert

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// plainOf gives the plain text of HTML.
func plainOf(html string) string {
	return richtext.ParseHTML(html, richtext.HTML{MaxText: maxText, Skip: skipInvisible}).Text.Plain
}

// skipInvisible leaves out what Mastodon hides of long addresses; they are written in full again afterwards.
func skipInvisible(_, class string) bool { return hasWord(class, "invisible") }

func hasWord(class, want string) bool {
	for w := range strings.FieldsSeq(class) {
		if w == want {
			return true
		}
	}
	return false
}

// text reads content, with mentions, links in full, and without the fallback of quotes.
func (in *reader) text() {
	o, it := in.o, &in.p.Item
	html, lang := o.Content()
	it.Language = lang
	if lang == "" {
		if m := o.Map("contentMap"); len(m) == 1 {
			for l := range m {
				it.Language = l
			}
		} else if l := o.Text("inLanguage"); l != "" {
			it.Language = l
		}
	}
	it.Language = short(it.Language, 64)
	if html == "" && it.Warning == "" && !o.Is("Note", "Question", "ChatMessage") {
		html, _ = o.Summary()
	}
	var t sdk.Text
	if mt := o.Text("mediaType"); o.Has("content") && (strings.HasPrefix(mt, "text/plain") || strings.HasPrefix(mt, "text/markdown")) {
		t = richtext.ParseHTML(escape(html), richtext.HTML{MaxText: maxText}).Text
	} else {
		doc := richtext.ParseHTML(html, richtext.HTML{MaxText: maxText, Skip: func(name, class string) bool {
			return skipInvisible(name, class) || in.p.Quote.ID != "" && hasWord(class, "quote-inline")
		}})
		if t = doc.Text; doc.Cut {
			in.loss.add(sdk.LossText, "longer than is kept")
		}
		in.images(doc.Images)
		if strings.Contains(html, "invisible") {
			t = fullLinks(t)
		}
	}
	if len(t.Plain) > maxText {
		in.loss.add(sdk.LossText, "longer than is kept")
		t = richtext.Slice(t, 0, maxText)
	}
	t = in.withoutQuote(t)
	t = in.mentions(t)
	t = in.plainTags(t)
	if t.Plain != "" {
		it.Text = &t
	}
}

// escape makes HTML of plain text that reads as the same lines.
func escape(s string) string {
	return "<pre>" + strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(s) + "</pre>"
}

// images takes pictures within the text as media.
func (in *reader) images(all []sdk.Media) {
	for _, m := range all {
		if !slices.ContainsFunc(in.p.Item.Emoji, func(e sdk.Emoji) bool { return e.Media.URL == m.URL }) {
			in.addMedia(m)
		}
	}
}

// splice replaces bytes [start,end) of a text; spans and mentions that reach over them stretch or shrink.
func splice(t sdk.Text, start, end int, with string) sdk.Text {
	d := len(with) - (end - start)
	move := func(at int, isEnd bool) int {
		switch {
		case at >= end && (at > start || isEnd):
			return at + d
		case at > start:
			return start + len(with)
		}
		return at
	}
	out := sdk.Text{Plain: t.Plain[:start] + with + t.Plain[end:]}
	for _, s := range t.Spans {
		s.Start, s.End = move(s.Start, false), move(s.End, true)
		if s.Start < s.End {
			out.Spans = append(out.Spans, s)
		}
	}
	return out
}

// fullLinks writes links in full whose text is the part of their address that Mastodon shows.
func fullLinks(t sdk.Text) sdk.Text {
	for i := len(t.Spans) - 1; i >= 0; i-- {
		s := t.Spans[i]
		if s.Kind != sdk.SpanLink {
			continue
		}
		shown := strings.TrimSuffix(t.Plain[s.Start:s.End], "…")
		_, bare, ok := strings.Cut(s.Value, "://")
		if ok && shown != "" && (strings.HasPrefix(bare, shown) || strings.HasPrefix(strings.TrimPrefix(bare, "www."), shown)) {
			t = splice(t, s.Start, s.End, s.Value)
		}
	}
	return t
}

// withoutQuote cuts "RE: address" from the end or the beginning, which servers write for those that do not know quotes.
func (in *reader) withoutQuote(t sdk.Text) sdk.Text {
	if in.p.Quote.ID == "" {
		return t
	}
	q := in.p.Quote.ID
	for _, s := range t.Spans {
		if s.Kind != sdk.SpanLink || s.Value != q {
			continue
		}
		start := len(strings.TrimRight(t.Plain[:s.Start], " "))
		for _, word := range []string{"RE:", "QT:", "Re:"} {
			if strings.HasSuffix(t.Plain[:start], word) && strings.TrimSpace(t.Plain[s.End:]) == "" {
				start = len(strings.TrimRight(t.Plain[:start-len(word)], " \n["))
				return richtext.Slice(t, 0, start)
			}
			if t.Plain[:start] == word {
				rest := t.Plain[s.End:]
				return richtext.Slice(t, len(t.Plain)-len(strings.TrimLeft(rest, " \n")), len(t.Plain))
			}
		}
	}
	return t
}

// mentions finds who is mentioned, by the tags; spans in the text get the handle as their value.
func (in *reader) mentions(t sdk.Text) sdk.Text {
	for _, tag := range in.o.Tags() {
		href := cmp.Or(tag.Text("href"), tag.ID())
		if !tag.Is("Mention") || object.Origin(href) == "" || slices.ContainsFunc(in.p.People, func(p Person) bool { return p.ID == href }) {
			continue
		}
		if len(in.p.People) == MaxMentions {
			in.loss.add(sdk.LossText, "more mentions than are kept")
			break
		}
		name, _ := tag.Name()
		in.p.People = append(in.p.People, Person{ID: href, Handle: in.r.handle(href, short(name, maxShort))})
	}
	t.Spans = slices.Clone(t.Spans)
	used := map[int]bool{}
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Kind != sdk.SpanMention && s.Kind != sdk.SpanLink {
			continue
		}
		who := in.person(s.Value, t.Plain[s.Start:s.End])
		if who < 0 {
			if s.Kind == sdk.SpanMention { // a page that no tag tells of is only a link
				s.Kind = sdk.SpanLink
			}
			continue
		}
		used[who] = true
		p := &in.p.People[who]
		if p.URL == "" {
			p.URL = s.Value
		}
		s.Kind, s.Value = sdk.SpanMention, p.Handle
		in.p.Item.Mentions = append(in.p.Item.Mentions, sdk.Mention{Actor: sdk.Ref{ID: sdk.RemoteID(p.Handle)}, Handle: "@" + p.Handle,
			Start: s.Start, End: s.End})
	}
	for i, p := range in.p.People {
		if !used[i] && p.Handle != "" {
			in.p.Item.Mentions = append(in.p.Item.Mentions, sdk.Mention{Actor: sdk.Ref{ID: sdk.RemoteID(p.Handle)}, Handle: "@" + p.Handle})
		}
	}
	return in.stripped(t)
}

// person finds the mentioned whom a link means: by the address, or by the name in the text on the host of the address.
func (in *reader) person(href, text string) int {
	for i, p := range in.p.People {
		if p.Handle != "" && (p.ID == href || p.URL == href) {
			return i
		}
	}
	name, isHandle := strings.CutPrefix(text, "@")
	u, err := url.Parse(href)
	if !isHandle || err != nil {
		return -1
	}
	user, _, _ := strings.Cut(strings.ToLower(name), "@")
	for i, p := range in.p.People {
		have, _, _ := strings.Cut(p.Handle, "@")
		if id, err := url.Parse(p.ID); err == nil && have == user && strings.EqualFold(id.Host, u.Host) {
			return i
		}
	}
	return -1
}

// stripped leaves out the mentions at the beginning of a direct message that Reading.Strip names.
func (in *reader) stripped(t sdk.Text) sdk.Text {
	if in.r.Strip == nil || in.p.Item.Visibility != sdk.VisibilityDirect {
		return t
	}
	for len(in.p.Item.Mentions) > 0 {
		m := in.p.Item.Mentions[0]
		if m.Start != 0 || m.End == 0 || !slices.ContainsFunc(in.p.People, func(p Person) bool {
			return p.Handle == string(m.Actor.ID) && in.r.Strip(p.ID)
		}) {
			return t
		}
		rest := strings.TrimLeft(t.Plain[m.End:], " \n,:")
		if rest == "" {
			return t
		}
		cut := len(t.Plain) - len(rest)
		t = richtext.Slice(t, cut, len(t.Plain))
		list := slices.Clone(in.p.Item.Mentions[1:])
		for i := range list {
			if list[i].End > 0 {
				list[i].Start, list[i].End = list[i].Start-cut, list[i].End-cut
			}
		}
		m.Start, m.End = 0, 0
		list = append(list, m)
		in.p.Item.Mentions = list
	}
	return t
}

// plainTags takes the links off hashtags: they lead to pages of one server.
func (in *reader) plainTags(t sdk.Text) sdk.Text {
	t.Spans = slices.DeleteFunc(slices.Clone(t.Spans), func(s sdk.Span) bool {
		name, is := strings.CutPrefix(t.Plain[s.Start:s.End], "#")
		return s.Kind == sdk.SpanLink && is && slices.ContainsFunc(in.o.Tags(), func(tag *object.Object) bool {
			have, _ := tag.Name()
			return tag.Is("Hashtag") && strings.EqualFold(strings.TrimLeft(have, "#"), name)
		})
	})
	if len(t.Spans) == 0 {
		t.Spans = nil
	}
	return t
}
