package object

import (
	"slices"
	"strings"
	"time"
)

// Actor gives the id of who acts; of an embedded actor only the id counts. It is empty if there are several.
func (o *Object) Actor() string {
	if ids := o.Refs("actor"); len(ids) == 1 {
		return ids[0]
	}
	return ""
}

// Target gives what an activity acts on: its object as an id and, if it is embedded, as an object too.
func (o *Object) Target() (id string, embedded *Object) {
	return o.Ref("object"), o.Part("object")
}

// AttributedTo gives the ids of the authors; of PeerTube the channel and the account.
func (o *Object) AttributedTo() []string { return o.Refs("attributedTo") }

// To gives the primary recipients.
func (o *Object) To() []string { return o.Refs("to") }

// Cc gives the secondary recipients.
func (o *Object) Cc() []string { return o.Refs("cc") }

// Audience gives the audience, of FEP-1b12 the group.
func (o *Object) Audience() []string { return o.Refs("audience") }

// Recipients gives everybody that is addressed, each once, in order.
func (o *Object) Recipients() []string {
	var out []string
	for _, k := range []string{"to", "cc", "audience", "bto", "bcc"} {
		for _, id := range o.Refs(k) {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

// Public reports whether everybody is addressed, and whether in to, which makes it listed.
func (o *Object) Public() (public, listed bool) {
	listed = slices.ContainsFunc(o.To(), IsPublic)
	return listed || slices.ContainsFunc(o.Cc(), IsPublic) || slices.ContainsFunc(o.Audience(), IsPublic), listed
}

// InReplyTo gives the id of what this answers.
func (o *Object) InReplyTo() string { return o.Ref("inReplyTo") }

// Content gives the HTML and its language, if it is told: content with the language that contentMap gives the same text, else the
// first language of contentMap in alphabetical order.
func (o *Object) Content() (html, language string) { return o.localized("content") }

// Name gives the title or display name and its language, as Content.
func (o *Object) Name() (text, language string) { return o.localized("name") }

// Summary gives the summary and its language, as Content.
func (o *Object) Summary() (html, language string) { return o.localized("summary") }

func (o *Object) localized(name string) (text, language string) {
	text = o.Text(name)
	m := o.Map(name + "Map")
	var keys []string
	for k := range m {
		if k != "und" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if text == "" || m[k] == text {
			return m[k], k
		}
	}
	if text == "" {
		text = m["und"]
	}
	return text, ""
}

// Sensitive reports whether media are hidden until somebody asks.
func (o *Object) Sensitive() bool { return o.Bool("sensitive") || o.Bool("as:sensitive") }

// Attachments gives what is attached; an id alone is an object with nothing else.
func (o *Object) Attachments() []*Object { return o.Parts("attachment") }

// Tags gives mentions, hashtags, emoji and object links.
func (o *Object) Tags() []*Object { return o.Parts("tag") }

// Published gives when it was published.
func (o *Object) Published() time.Time { return o.Time("published") }

// Updated gives when it was last changed.
func (o *Object) Updated() time.Time { return o.Time("updated") }

// Replies gives the id of the collection of answers.
func (o *Object) Replies() string { return o.Ref("replies") }

// Conversation gives the id of the thread: context (FEP-7888), else the older conversation.
func (o *Object) Conversation() string {
	if id := o.Ref("context"); id != "" {
		return id
	}
	return o.Ref("conversation")
}

// Quote is what a post quotes.
type Quote struct {
	ID            string
	Authorization string // the stamp of FEP-044f; empty in older forms
	Form          string // the member, or "link" for a tag of FEP-e232, that told it first
}

// Quote gives what the post quotes in any form: FEP-044f quote, quoteUrl, quoteUri, _misskey_quote, or a link tag of FEP-e232. The
// newest form wins.
func (o *Object) Quote() Quote {
	for _, k := range []string{"quote", "quoteUrl", "quoteUri", "quoteURL", "_misskey_quote"} {
		if id := o.Ref(k); Origin(id) != "" {
			return Quote{ID: id, Authorization: o.Ref("quoteAuthorization"), Form: k}
		}
	}
	for _, t := range o.Tags() {
		if href := t.Text("href"); t.Is("Link") && IsDocument(t.Text("mediaType")) && Origin(href) != "" {
			return Quote{ID: href, Form: "link"}
		}
	}
	return Quote{}
}

// IsDocument reports whether a media type is that of ActivityStreams documents: activity+json, or ld+json with the profile.
func IsDocument(mediaType string) bool {
	name, params, _ := strings.Cut(strings.ToLower(mediaType), ";")
	switch strings.TrimSpace(name) {
	case "application/activity+json":
		return true
	case "application/ld+json":
		for p := range strings.SplitSeq(params, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.TrimSpace(k) == "profile" {
				return slices.Contains(strings.Fields(strings.Trim(v, ` "`)), "https://www.w3.org/ns/activitystreams")
			}
		}
	}
	return false
}

// Option is one choice of a poll.
type Option struct {
	Name  string
	Votes int
}

// Poll is what a Question asks.
type Poll struct {
	Options  []Option
	Multiple bool      // anyOf: several choices are allowed
	Ends     time.Time // zero = without end
	Closed   time.Time // when it was closed; zero = open, or closed without telling when
	IsClosed bool
	Voters   int // 0 = not told
}

// Poll gives the poll of a Question; ok is false without choices. No more than most options are read.
func (o *Object) Poll(most int) (p Poll, ok bool) {
	options := o.Parts("oneOf")
	if len(options) == 0 {
		options, p.Multiple = o.Parts("anyOf"), true
	}
	if len(options) == 0 {
		return Poll{}, false
	}
	for _, part := range options[:min(most, len(options))] {
		name, _ := part.Name()
		votes := 0
		if r := part.Part("replies"); r != nil {
			votes = r.Int("totalItems")
		}
		p.Options = append(p.Options, Option{Name: name, Votes: votes})
	}
	p.Ends, p.Closed, p.Voters = o.Time("endTime"), o.Time("closed"), o.Int("votersCount")
	p.IsClosed = !p.Closed.IsZero() || o.Bool("closed")
	return p, true
}

// Link is one address of an object.
type Link struct {
	Href      string
	MediaType string
	Rel       string
	Name      string
	Width     int
	Height    int
	Size      int
}

// Links gives the addresses of a member such as url, whether strings, Links or objects that have a url themselves. Links of PeerTube
// hold further ones in their tags; these follow.
func (o *Object) Links(name string) []Link {
	var out []Link
	for _, v := range o.list(name) {
		switch v := v.(type) {
		case string:
			out = append(out, Link{Href: v})
		case map[string]any:
			p := &Object{m: v}
			out = append(out, linkOf(p)...)
			for _, t := range p.Tags() {
				if t.Is("Link") {
					out = append(out, linkOf(t)...)
				}
			}
		}
		if len(out) > maxRefs {
			return out[:maxRefs]
		}
	}
	return out
}

func linkOf(p *Object) []Link {
	l := Link{Href: p.Text("href"), MediaType: p.Text("mediaType"), Rel: p.Text("rel"), Name: p.Text("name"),
		Width: p.Int("width"), Height: p.Int("height"), Size: p.Int("size")}
	if l.Href != "" {
		return []Link{l}
	}
	var out []Link
	for _, s := range append(p.Texts("url"), hrefs(p)...) {
		l.Href = s
		out = append(out, l)
	}
	return out
}

// hrefs gives the addresses of Links in the url of an object.
func hrefs(p *Object) []string {
	var out []string
	for _, v := range p.list("url") {
		if m, ok := v.(map[string]any); ok {
			if s, ok := m["href"].(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// Page gives the address of a page for people: the url that is HTML or of no told type, else the first one; empty if there is none.
func (o *Object) Page() string {
	links := o.Links("url")
	for _, l := range links {
		if (l.MediaType == "" || strings.HasPrefix(l.MediaType, "text/html")) && Origin(l.Href) != "" {
			return l.Href
		}
	}
	return ""
}
