package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// Field is a line of a profile.
type Field struct{ Name, Value string } // plain text

// Profile is what an actor document says.
type Profile struct {
	Actor       sdk.Actor // Home.ID is the unverified handle, empty if the document tells none
	ID          string
	Type        string
	Inbox       string
	SharedInbox string
	Outbox      string
	Followers   string
	Following   string
	Featured    string
	Banner      *sdk.Media
	Fields      []Field
	Emoji       []sdk.Emoji
	Tags        []string
	MovedTo     string
	AlsoKnownAs []string
	Locked      bool
	Keys        []object.Key
	Multikeys   []object.Key
	Published   time.Time
}

// Deliver gives the inbox for what is not personal: the shared one, if it is of the same origin as the personal one, else that.
func (p Profile) Deliver() string {
	if object.SameOrigin(p.SharedInbox, p.Inbox) {
		return p.SharedInbox
	}
	return p.Inbox
}

var actorKinds = map[string]sdk.ActorKind{
	"Person": sdk.ActorPerson, "Service": sdk.ActorBot, "Application": sdk.ActorService, "Group": sdk.ActorGroup, "Organization": sdk.ActorGroup,
}

// ReadActor reads an actor document: it must have an id, an inbox and a name to be called by (as Mastodon demands), and its keys must
// be its own (AP-09).
func ReadActor(o *object.Object) (Profile, error) {
	kind, ok := actorKinds[o.Type()]
	if !ok {
		return Profile{}, fmt.Errorf("reading actor of type %q: %w", o.Type(), ErrKind)
	}
	if err := o.CheckKeys(); err != nil {
		return Profile{}, fmt.Errorf("reading actor: %w", err)
	}
	handle := ActorHandle(o)
	if object.Origin(o.Inbox()) == "" || handle == "" {
		return Profile{}, fmt.Errorf("reading actor: inbox and handle: %w", ErrID)
	}
	p := Profile{ID: o.ID(), Type: o.Type(), Inbox: o.Inbox(), SharedInbox: o.SharedInbox(), Outbox: o.Outbox(), Followers: o.Followers(),
		Following: o.Following(), Featured: o.Featured(), MovedTo: o.MovedTo(), AlsoKnownAs: o.AlsoKnownAs(), Keys: o.PublicKeys(),
		Multikeys: o.AssertionMethods(), Locked: o.ManuallyApprovesFollowers(), Published: o.Published()}
	if len(p.AlsoKnownAs) > 256 {
		p.AlsoKnownAs = p.AlsoKnownAs[:256]
	}
	p.Actor = sdk.Actor{Kind: kind, Home: sdk.Ref{ID: sdk.RemoteID(handle)}, Handle: "@" + handle, Profile: o.Page()}
	if p.Actor.Profile == "" {
		p.Actor.Profile = p.ID
	}
	name, _ := o.Name()
	p.Actor.Name = short(plainName(name), maxShort)
	p.parts(o)
	p.Actor.Consent = consent(o, &p)
	return p, nil
}

// plainName takes a display name as the plain text that it is to be (AS2 §4.3); what is evidently markup all the same is read as that.
func plainName(s string) string {
	if strings.Contains(s, "</") {
		return plainOf(s)
	}
	return s
}

// parts reads what a profile shows.
func (p *Profile) parts(o *object.Object) {
	html, _ := o.Summary()
	if t := richtext.ParseHTML(html, richtext.HTML{MaxText: 20000, Skip: skipInvisible}).Text; t.Plain != "" {
		t = fullLinks(t)
		p.Actor.Summary = &t
	}
	p.Actor.Avatar, p.Banner = picture(o, "icon"), picture(o, "image")
	for _, a := range o.Attachments() {
		if !a.Is("PropertyValue") || len(p.Fields) == 50 {
			continue
		}
		name, _ := a.Name()
		p.Fields = append(p.Fields, Field{short(plainName(name), maxShort), short(plainOf(a.Text("value")), maxShort)})
	}
	for _, t := range o.Tags() {
		name, _ := t.Name()
		switch {
		case t.Is("Emoji") && len(p.Emoji) < MaxEmoji:
			if e, ok := emojiOf(t); ok {
				p.Emoji = append(p.Emoji, e)
			}
		case t.Is("Hashtag") && len(p.Tags) < MaxTags:
			p.Tags = append(p.Tags, short(strings.TrimLeft(name, "#"), 256))
		}
	}
}

func picture(o *object.Object, name string) *sdk.Media {
	for _, l := range o.Links(name) {
		if object.Origin(l.Href) == "" {
			continue
		}
		m := &sdk.Media{URL: l.Href, Type: short(l.MediaType, 128), Width: max(0, l.Width), Height: max(0, l.Height)}
		if part := o.Part(name); part != nil {
			m.Alt = short(l.Name, maxAlt)
			if m.Alt == "" {
				alt, _ := part.Name()
				m.Alt = short(alt, maxAlt)
			}
			m.Blurhash = short(part.Text("blurhash"), 256)
		}
		return m
	}
	return nil
}

// refusals are the words by which an actor opts out of bridges, in its profile, as a tag or as a field (FEP-0036 style).
var refusals = []string{"nobridge", "nobot", "nobots", "nobridges"}

// consents are the words by which an actor that is bridged only on request asks for it.
var consents = []string{"yesbridge", "bridgeme"}

// consent reads whether the actor lets itself be bridged: by a member bridgeable (FEP-0036), else by words. A refusal beats a consent.
func consent(o *object.Object, p *Profile) sdk.Consent {
	if b, told := o.Value("bridgeable").(bool); told && !b {
		return sdk.ConsentRefused
	}
	words := slices.Clone(p.Tags)
	texts := []string{p.Actor.Name}
	if p.Actor.Summary != nil {
		texts = append(texts, p.Actor.Summary.Plain)
	}
	for _, f := range p.Fields {
		texts = append(texts, f.Name, f.Value)
		if slices.Contains(refusals, strings.ToLower(strings.TrimPrefix(f.Name, "#"))) && !denied(f.Value) {
			return sdk.ConsentRefused
		}
	}
	for _, t := range texts {
		words = append(words, tagsIn(t)...)
	}
	given := o.Bool("bridgeable")
	for _, w := range words {
		w = strings.ToLower(w)
		if slices.Contains(refusals, w) {
			return sdk.ConsentRefused
		}
		given = given || slices.Contains(consents, w)
	}
	if given {
		return sdk.ConsentGiven
	}
	return sdk.ConsentUnknown
}

// denied reports values that turn a field such as "nobridge: no" round.
func denied(v string) bool {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "no", "false", "0", "off":
		return true
	}
	return false
}

// tagsIn gives the hashtags of a text.
func tagsIn(s string) []string {
	var out []string
	for i := 0; i < len(s); i++ {
		if s[i] != '#' {
			continue
		}
		end := i + 1
		for end < len(s) && (s[end] >= 'a' && s[end] <= 'z' || s[end] >= 'A' && s[end] <= 'Z' || s[end] >= '0' && s[end] <= '9' || s[end] == '_') {
			end++
		}
		if end > i+1 {
			out = append(out, s[i+1:end])
		}
		i = end - 1
	}
	return out
}

// Face is what an actor document of ours is written with.
type Face struct {
	ID                         string
	Username                   string // preferredUsername
	Handle                     string // user@host, written as webfinger (FEP-2c59)
	URL                        string // page for people; empty = ID
	Inbox, Outbox, SharedInbox string
	Followers, Following       string
	Featured                   string // empty = none
	KeyID, KeyPEM              string // HTTP signatures
	MultikeyID, MultikeyValue  string // FEP-521a; empty = none
	Published                  time.Time
	Locked                     bool // follows are asked of the person
	Discoverable, Indexable    bool
	MovedTo                    string
	AlsoKnownAs                []string
	Fields                     []Field
	Banner                     *sdk.Media
	Emoji                      []sdk.Emoji
	Moderators                 string // attributedTo of a Group (FEP-1b12); empty = none
	Type                       string // forces a type; empty = by the kind of the actor
}

// WriteActor writes an actor document.
func WriteActor(a sdk.Actor, f Face) *object.Object {
	typ := f.Type
	if typ == "" {
		typ = map[sdk.ActorKind]string{sdk.ActorBot: "Service", sdk.ActorGroup: "Group", sdk.ActorService: "Application"}[a.Kind]
	}
	if typ == "" {
		typ = "Person"
	}
	o := object.New(typ).Set("id", f.ID).Set("preferredUsername", f.Username).Set("inbox", f.Inbox).Set("outbox", f.Outbox)
	name := short(a.Name, maxShort)
	if name == "" {
		name = f.Username
	}
	o.Set("name", name).Set("summary", "").Set("url", f.URL)
	if f.URL == "" {
		o.Set("url", f.ID)
	}
	if a.Summary != nil {
		o.Set("summary", richtext.PrintHTML(richtext.Slice(*a.Summary, 0, min(len(a.Summary.Plain), 20000)),
			richtext.Print{Rel: "nofollow noopener noreferrer"}))
	}
	for _, set := range []struct{ name, value string }{
		{"followers", f.Followers}, {"following", f.Following}, {"featured", f.Featured}, {"webfinger", f.Handle}, {"movedTo", f.MovedTo},
		{"attributedTo", f.Moderators},
	} {
		if set.value != "" {
			o.Set(set.name, set.value)
		}
	}
	o.SetTime("published", f.Published)
	o.Set("manuallyApprovesFollowers", f.Locked).Set("discoverable", f.Discoverable).Set("indexable", f.Indexable)
	if f.SharedInbox != "" {
		o.Set("endpoints", object.New("").Set("sharedInbox", f.SharedInbox))
	}
	if f.KeyID != "" {
		o.Set("publicKey", object.New("").Set("id", f.KeyID).Set("owner", f.ID).Set("publicKeyPem", f.KeyPEM))
	}
	if f.MultikeyID != "" {
		o.Set("assertionMethod", []*object.Object{object.New("Multikey").Set("id", f.MultikeyID).Set("controller", f.ID).
			Set("publicKeyMultibase", f.MultikeyValue)})
	}
	if len(f.AlsoKnownAs) > 0 {
		o.Set("alsoKnownAs", f.AlsoKnownAs)
	}
	decorate(o, a, f)
	return o
}

// decorate writes pictures, fields and custom emoji.
func decorate(o *object.Object, a sdk.Actor, f Face) {
	for name, m := range map[string]*sdk.Media{"icon": a.Avatar, "image": f.Banner} {
		if m == nil || object.Origin(m.URL) == "" {
			continue
		}
		p := object.New("Image").Set("url", m.URL)
		if m.Type != "" {
			p.Set("mediaType", m.Type)
		}
		if m.Alt != "" {
			p.Set("name", short(m.Alt, maxAlt))
		}
		o.Set(name, p)
	}
	fields := []*object.Object{}
	for _, l := range f.Fields[:min(len(f.Fields), 50)] {
		value := escapeInline(short(l.Value, maxShort))
		if richtext.SafeURL(l.Value) {
			value = `<a href="` + strings.ReplaceAll(value, `"`, "%22") + `" rel="me nofollow noopener noreferrer">` + value + `</a>`
		}
		fields = append(fields, object.New("PropertyValue").Set("name", short(l.Name, maxShort)).Set("value", value))
	}
	o.Set("attachment", fields)
	tags := []*object.Object{}
	for _, e := range f.Emoji {
		if t := emojiTag(e); t != nil {
			tags = append(tags, t)
		}
	}
	o.Set("tag", tags)
}
