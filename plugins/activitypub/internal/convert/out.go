package convert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// Names are the ids and addresses that an object is written with.
type Names struct {
	ID        string // of the object
	Actor     string // the author
	Followers string // collection of the author's followers
	URL       string // page for people; empty = Item.URL, if that is of the origin of ID, else ID
	// Type forces a type, such as ChatMessage or Page; empty = Event, Question, Article for what has a title, else Note.
	Type string
	// Place is the visibility of items that only say VisibilityPlace; VisibilityPlace itself = followers only.
	Place sdk.Visibility
	// Recipients are the addressees of a direct message; each one gets a Mention, without which Mastodon and GoToSocial tell nobody.
	Recipients []Person
	// ReplyAuthor is who wrote what the item answers, zero if unknown. A wider than direct answer is addressed and mentioned to it.
	ReplyAuthor Person
	// Person looks up who a mention names; nil or false = a mention of somebody without an actor, which stays text.
	Person  func(sdk.Mention) (Person, bool)
	Hashtag func(tag string) string // page of a hashtag; nil or empty = a tag without one
	// Quote is the quoted object's stamp (FEP-044f quoteAuthorization), empty without one.
	Stamp        string
	Conversation string // id of the thread; empty = Item.Thread.Remote
	Audience     string // group (FEP-1b12); empty = none
	Replies      string // collection of the answers; empty = none
	Quotable     bool   // everybody may quote the post if it is public or unlisted; else only the author
}

// visibility resolves VisibilityPlace.
func (n Names) visibility(it *sdk.Item) sdk.Visibility {
	v := it.Visibility
	if v == sdk.VisibilityPlace {
		v = n.Place
	}
	if v == sdk.VisibilityPlace {
		v = sdk.VisibilityFollowers
	}
	return v
}

// Address gives to and cc of a visibility. others are the mentioned and the author of what is answered; a direct message reaches nobody
// but its recipients.
func Address(v sdk.Visibility, followers string, recipients, others []string) (to, cc []string) {
	to, cc = []string{}, []string{}
	add := func(l *[]string, ids ...string) {
		for _, id := range ids {
			if id != "" && !slices.Contains(to, id) && !slices.Contains(cc, id) {
				*l = append(*l, id)
			}
		}
	}
	switch v {
	case sdk.VisibilityPublic:
		add(&to, object.Public)
		add(&cc, followers)
		add(&cc, others...)
	case sdk.VisibilityUnlisted:
		add(&to, followers)
		add(&cc, object.Public)
		add(&cc, others...)
	case sdk.VisibilityDirect:
		add(&to, recipients...)
	default:
		add(&to, followers)
		add(&cc, others...)
	}
	return to, cc
}

type writer struct {
	it   sdk.Item
	n    Names
	o    *object.Object
	loss losses
	vis  sdk.Visibility
	tags []*object.Object
	seen []string // ids that have a Mention
}

// Write turns an item into an object. The losses are what it cannot say.
func Write(it sdk.Item, n Names) (*object.Object, []sdk.Loss) {
	w := &writer{it: it, n: n, vis: n.visibility(&it)}
	w.o = object.New(w.kind())
	w.o.Set("id", n.ID).Set("attributedTo", n.Actor)
	w.o.Set("url", w.page())
	w.o.SetTime("published", it.Created).SetTime("updated", it.Edited)
	for _, set := range []struct {
		name, value string
	}{
		{"inReplyTo", web(it.ReplyTo.Remote)}, {"replies", n.Replies}, {"audience", n.Audience},
	} {
		if set.value != "" {
			w.o.Set(set.name, set.value)
		}
	}
	thread := n.Conversation
	if thread == "" {
		thread = web(it.Thread.Remote)
	}
	if thread != "" {
		w.o.Set("context", thread).Set("conversation", thread)
	}
	if !it.ReplyTo.IsZero() && web(it.ReplyTo.Remote) == "" {
		w.loss.add(sdk.LossReply, "what it answers is not known here")
	}
	if it.Sealed != nil {
		w.loss.add(sdk.LossSealed, it.Sealed.Scheme)
	}
	w.warning()
	w.mentions()
	w.text()
	w.quote()
	w.hashtags()
	w.emoji()
	w.media()
	w.poll()
	if it.Calendar != nil {
		w.event(it.Calendar)
	}
	w.address()
	w.o.Set("tag", w.tags)
	return w.o, w.loss
}

func web(id sdk.RemoteID) string {
	if object.Origin(string(id)) == "" {
		return ""
	}
	return string(id)
}

func (w *writer) kind() string {
	switch {
	case w.n.Type != "":
		return w.n.Type
	case w.it.Calendar != nil:
		return "Event"
	case w.it.Poll != nil && len(w.it.Poll.Options) > 0:
		return "Question"
	case w.it.Title != "" && w.vis != sdk.VisibilityDirect:
		return "Article"
	}
	return "Note"
}

func (w *writer) page() string {
	switch {
	case w.n.URL != "":
		return w.n.URL
	case object.SameOrigin(w.it.URL, w.n.ID): // Mastodon takes no page of another host
		return w.it.URL
	}
	return w.n.ID
}

// titled reports types whose name servers show as a title.
func (w *writer) titled() bool { return w.o.Is("Article", "Page", "Event", "Video", "Audio", "Image") }

func (w *writer) warning() {
	w.o.Set("sensitive", w.it.Warning != "")
	if w.it.Warning != "" {
		w.o.Set("summary", escapeInline(w.it.Warning))
	}
}

func escapeInline(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// mentions writes a Mention for everybody who is addressed or mentioned.
func (w *writer) mentions() {
	for _, p := range w.n.Recipients {
		w.mention(p)
	}
	if w.vis != sdk.VisibilityDirect {
		w.mention(w.n.ReplyAuthor)
	}
	for _, m := range w.it.Mentions {
		p, ok := w.person(m)
		if !ok {
			continue
		}
		if w.vis == sdk.VisibilityDirect && len(w.n.Recipients) > 0 && !slices.Contains(w.seen, p.ID) {
			continue // a Mention addresses: it would show the message to somebody it was not sent to
		}
		w.mention(p)
	}
}

func (w *writer) mention(p Person) {
	if p.ID == "" || p.ID == w.n.Actor || slices.Contains(w.seen, p.ID) {
		return
	}
	if len(w.seen) == MaxMentions {
		w.loss.add(sdk.LossText, "more mentions than can be sent")
		return
	}
	w.seen = append(w.seen, p.ID)
	w.tags = append(w.tags, object.New("Mention").Set("href", p.ID).Set("name", "@"+p.Handle))
}

func (w *writer) person(m sdk.Mention) (Person, bool) {
	if w.n.Person == nil {
		return Person{}, false
	}
	p, ok := w.n.Person(m)
	return p, ok && object.Origin(p.ID) != ""
}

// text writes content, and contentMap where the language is known.
func (w *writer) text() {
	t := sdk.Text{}
	if w.it.Text != nil {
		t = *w.it.Text
	} else if c := w.it.Calendar; c != nil && c.Description != nil {
		t = *c.Description
	}
	t.Spans = w.mentionSpans(t)
	if w.it.Title != "" {
		if w.titled() {
			w.o.Set("name", short(w.it.Title, maxShort))
		} else {
			t = underTitle(short(w.it.Title, maxShort), t)
			w.loss.add(sdk.LossMarkup, "the title is the first line")
		}
	}
	pages := w.pages()
	html := richtext.PrintHTML(t, richtext.Print{Rel: "nofollow noopener noreferrer", Mention: func(v string) string { return pages[v] }})
	for len(html) > maxHTML && t.Plain != "" {
		w.loss.add(sdk.LossText, "shortened")
		t = richtext.Slice(t, 0, len(t.Plain)*3/4)
		html = richtext.PrintHTML(sdk.Text{Plain: t.Plain + " …", Spans: t.Spans}, richtext.Print{Mention: func(v string) string { return pages[v] }})
	}
	if q := web(w.it.Quote.Remote); q != "" {
		q = escapeInline(strings.ReplaceAll(q, `"`, "%22"))
		html = `<p class="quote-inline">RE: <a href="` + q + `" rel="nofollow noopener noreferrer">` + q + `</a></p>` + html
	}
	w.o.Set("content", html)
	switch l := w.it.Language; {
	case l == "" || len(l) > 64:
	case len(html) > maxTwice:
		w.loss.add(sdk.LossMarkup, "the language of a long text is not told")
	default:
		w.o.Set("contentMap", map[string]string{l: html})
	}
}

// mentionSpans gives the spans, with one for each mention in the text that has none.
func (w *writer) mentionSpans(t sdk.Text) []sdk.Span {
	spans := slices.Clone(t.Spans)
	for _, m := range w.it.Mentions {
		if m.Start < 0 || m.End > len(t.Plain) || m.Start >= m.End {
			continue
		}
		value := string(m.Actor.ID)
		at := slices.IndexFunc(spans, func(s sdk.Span) bool {
			return s.Start == m.Start && s.End == m.End && (s.Kind == sdk.SpanMention || s.Kind == sdk.SpanLink)
		})
		if at >= 0 {
			spans[at].Kind, spans[at].Value = sdk.SpanMention, value
			continue
		}
		spans = append(spans, sdk.Span{Kind: sdk.SpanMention, Start: m.Start, End: m.End, Value: value})
	}
	return spans
}

// pages maps the values of mentions to the pages of whom they mean.
func (w *writer) pages() map[string]string {
	out := map[string]string{}
	for _, m := range w.it.Mentions {
		if p, ok := w.person(m); ok {
			out[string(m.Actor.ID)] = p.page()
		}
	}
	return out
}

// underTitle gives the text with the title as its first paragraph, in bold.
func underTitle(title string, t sdk.Text) sdk.Text {
	d := len(title) + 2
	if t.Plain == "" {
		return sdk.Text{Plain: title, Spans: []sdk.Span{{Kind: sdk.SpanBold, End: len(title)}}}
	}
	out := sdk.Text{Plain: title + "\n\n" + t.Plain, Spans: []sdk.Span{{Kind: sdk.SpanBold, End: len(title)}}}
	for _, s := range t.Spans {
		s.Start, s.End = s.Start+d, s.End+d
		out.Spans = append(out.Spans, s)
	}
	return out
}

// quote writes the quoted post in every form that is read somewhere, and who may quote this one.
func (w *writer) quote() {
	who := []string{w.n.Actor}
	if w.n.Quotable && (w.vis == sdk.VisibilityPublic || w.vis == sdk.VisibilityUnlisted) {
		who = []string{object.Public}
	}
	w.o.Set("interactionPolicy", object.New("").Set("canQuote", object.New("").Set("automaticApproval", who)))
	q := web(w.it.Quote.Remote)
	if q == "" {
		if !w.it.Quote.IsZero() {
			w.loss.add(sdk.LossReply, "what it quotes is not known here")
		}
		return
	}
	for _, k := range []string{"quote", "quoteUri", "quoteUrl", "_misskey_quote"} {
		w.o.Set(k, q)
	}
	if w.n.Stamp != "" {
		w.o.Set("quoteAuthorization", w.n.Stamp)
	}
	w.tags = append(w.tags, object.New("Link").Set("href", q).Set("name", "RE: "+q).
		Set("mediaType", `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`))
}

func (w *writer) hashtags() {
	for i, tag := range w.it.Tags {
		if i == MaxTags {
			w.loss.add(sdk.LossText, "more hashtags than can be sent")
			return
		}
		t := object.New("Hashtag").Set("name", "#"+short(tag, 256))
		if w.n.Hashtag != nil {
			if href := w.n.Hashtag(tag); href != "" {
				t.Set("href", href)
			}
		}
		w.tags = append(w.tags, t)
	}
}

func (w *writer) emoji() {
	for _, e := range w.it.Emoji {
		if t := emojiTag(e); t != nil {
			w.tags = append(w.tags, t)
		} else {
			w.loss.add(sdk.LossMedia, "a custom emoji without an address")
		}
	}
}

// emojiTag writes a custom emoji (FEP-9098), nil if its image has no address.
func emojiTag(e sdk.Emoji) *object.Object {
	if object.Origin(e.Media.URL) == "" || e.Code == "" {
		return nil
	}
	icon := object.New("Image").Set("url", e.Media.URL)
	if e.Media.Type != "" {
		icon.Set("mediaType", e.Media.Type)
	}
	return object.New("Emoji").Set("id", e.Media.URL).Set("name", ":"+e.Code+":").Set("icon", icon)
}

// media writes attachments; each has a media type, which Gancio demands.
func (w *writer) media() {
	list := []*object.Object{}
	for i, m := range w.it.Media {
		if object.Origin(m.URL) == "" {
			w.loss.add(sdk.LossMedia, "a file without an address")
			continue
		}
		if len(list) == MaxMedia {
			w.loss.add(sdk.LossMedia, "more files than can be sent")
			break
		}
		a := object.New("Document").Set("url", m.URL).Set("mediaType", "application/octet-stream")
		if m.Type != "" {
			a.Set("mediaType", m.Type)
		}
		if m.Alt != "" {
			a.Set("name", short(m.Alt, maxAlt))
		}
		if m.Blurhash != "" {
			a.Set("blurhash", m.Blurhash)
		}
		if m.Width > 0 && m.Height > 0 {
			a.Set("width", m.Width).Set("height", m.Height)
		}
		if m.Size > 0 {
			a.Set("size", m.Size)
		}
		if m.Duration > 0 {
			a.Set("duration", seconds(m.Duration))
		}
		if focal := w.it.Native[nativeFocal+strconv.Itoa(i)]; focal != nil {
			var l []any
			if json.Unmarshal(focal, &l) == nil && len(l) == 2 {
				a.Set("focalPoint", l)
			}
		}
		list = append(list, a)
	}
	w.o.Set("attachment", list)
}

// seconds writes an xsd:duration in seconds, the only unit that everybody reads.
func seconds(d time.Duration) string {
	return "PT" + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "S"
}

func (w *writer) poll() {
	p := w.it.Poll
	if p == nil || len(p.Options) == 0 {
		return
	}
	if !w.o.Is("Question") {
		w.loss.add(sdk.LossPoll, fmt.Sprintf("a %s has no choices", w.o.Type()))
		return
	}
	if len(p.Options) > MaxOptions {
		w.loss.add(sdk.LossPoll, "more options than can be sent")
	}
	options := []*object.Object{}
	for _, o := range p.Options[:min(len(p.Options), MaxOptions)] {
		options = append(options, object.New("Note").Set("name", short(o.Text, maxShort)).
			Set("replies", object.New("Collection").Set("totalItems", max(0, o.Votes))))
	}
	if p.Multiple {
		w.o.Set("anyOf", options)
	} else {
		w.o.Set("oneOf", options)
	}
	w.o.SetTime("endTime", p.Closes)
	if p.Closed {
		if w.o.SetTime("closed", p.Closes); p.Closes.IsZero() {
			w.o.Set("closed", true)
		}
	}
	w.o.Set("votersCount", max(0, p.Voters))
}

func (w *writer) address() {
	var recipients []string
	for _, p := range w.n.Recipients {
		recipients = append(recipients, p.ID)
	}
	if len(recipients) == 0 {
		recipients = w.seen
	}
	others := slices.Clone(w.seen)
	if w.n.Audience != "" {
		others = append(others, w.n.Audience)
	}
	to, cc := Address(w.vis, w.n.Followers, recipients, others)
	w.o.Set("to", to).Set("cc", cc)
}
