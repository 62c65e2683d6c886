package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// Reading is what is known when a foreign object is read.
type Reading struct {
	Followers string                 // the followers collection of the author; empty = recognised by its usual name
	Handle    func(id string) string // verified handle of an actor id, empty if unknown; nil = none known
	// Strip reports actors whose mention at the very beginning of a direct message is left out, since the message is to them anyway;
	// nil = none.
	Strip func(id string) bool
	// Activity is the activity that brought the object, whose addresses narrow those of the object; nil = none.
	Activity *object.Object
}

func (r Reading) handle(id, name string) string {
	if r.Handle != nil {
		if h := r.Handle(id); h != "" {
			return h
		}
	}
	return GuessHandle(id, name)
}

// Post is what an object says.
type Post struct {
	Item   sdk.Item
	Type   string
	ID     string
	Author string // actor id: the first of attributedTo, or the actor of a Video's account
	// Vote is the option that the object votes for in the poll that it answers, instead of being a post; empty = no vote.
	Vote     string
	People   []Person // the mentioned, with unverified handles where none is known
	To       []string // everybody who is addressed: actors, collections, Public
	Quote    object.Quote
	Audience string // group of FEP-1b12; empty = none
	Refused  bool   // bridgeable is false (FEP-0036): the post is not to be bridged
	Loss     []sdk.Loss
}

// content are the types that become items.
var content = map[string]bool{
	"Note": true, "ChatMessage": true, "Article": true, "Page": true, "Question": true, "Image": true, "Video": true, "Audio": true,
	"Event": true, "Document": true,
}

// IsContent reports whether objects of a type become items.
func IsContent(typ string) bool { return content[typ] }

// Read turns an object into a post. The error wraps ErrKind, ErrID or ErrAuthor.
func Read(o *object.Object, r Reading) (Post, error) {
	p := Post{Type: o.Type(), ID: o.ID(), Quote: o.Quote(), To: o.Recipients(), Refused: o.Value("bridgeable") == false}
	switch {
	case !content[p.Type]:
		return Post{}, fmt.Errorf("reading a %q: %w", p.Type, ErrKind)
	case object.Origin(p.ID) == "":
		return Post{}, fmt.Errorf("reading a %s: %w", p.Type, ErrID)
	}
	if p.Author = author(o); p.Author == "" {
		return Post{}, fmt.Errorf("reading a %s: %w", p.Type, ErrAuthor)
	}
	if a := o.Audience(); len(a) > 0 && !object.IsPublic(a[0]) {
		p.Audience = a[0]
	}
	if p.Vote = vote(o); p.Vote != "" {
		p.Item = sdk.Item{Origin: sdk.Ref{ID: sdk.RemoteID(p.ID)}, ReplyTo: target(o.InReplyTo()), Visibility: sdk.VisibilityDirect}
		return p, nil
	}
	in := reader{o: o, r: r, p: &p}
	in.read()
	return p, nil
}

// author gives the id of who is the object's author: of several (PeerTube: account and channel) the first Person, else the first one.
func author(o *object.Object) string {
	for _, a := range o.Parts("attributedTo") {
		if a.Is("Person") && object.Origin(a.ID()) != "" {
			return a.ID()
		}
	}
	for _, id := range slices.Concat(o.AttributedTo(), o.Refs("actor"), o.Refs("organizers")) { // organizers: FEP-8a8e
		if object.Origin(id) != "" {
			return id
		}
	}
	return ""
}

// vote gives the option that a Note votes for: it has a name and no content, and answers a poll.
func vote(o *object.Object) string {
	html, _ := o.Content()
	name, _ := o.Name()
	if !o.Is("Note") || name == "" || html != "" || o.InReplyTo() == "" || len(o.Attachments()) > 0 {
		return ""
	}
	if public, _ := o.Public(); public {
		return ""
	}
	return short(name, maxShort)
}

func target(id string) sdk.Target {
	if object.Origin(id) == "" {
		return sdk.Target{}
	}
	return sdk.Target{Remote: sdk.RemoteID(id)}
}

// Native keys of items: what only a link of this kind can say again.
const (
	nativeType  = "activitypub.type"   // the type of the object
	nativeFocal = "activitypub.focal." // and the index of the medium: its focal point as JSON
)

type reader struct {
	o    *object.Object
	r    Reading
	p    *Post
	loss losses
}

func (in *reader) read() {
	o, it := in.o, &in.p.Item
	it.Origin = sdk.Ref{ID: sdk.RemoteID(in.p.ID)}
	it.Native = map[string][]byte{nativeType: []byte(in.p.Type)}
	it.ReplyTo = target(o.InReplyTo())
	if it.ReplyTo.Remote == it.Origin.ID {
		it.ReplyTo = sdk.Target{}
	}
	it.Thread = target(o.Conversation())
	it.Quote = target(in.p.Quote.ID)
	it.Created, it.Edited = o.Published(), o.Updated()
	if it.Edited.Equal(it.Created) {
		it.Edited = time.Time{}
	}
	if it.URL = o.Page(); it.URL == "" {
		it.URL = in.p.ID
	}
	if in.p.Type != "ChatMessage" && in.p.Type != "Note" || !o.Has("content") {
		name, _ := o.Name()
		it.Title = short(name, maxShort)
	} else if name, _ := o.Name(); name != "" { // FEP-1b12: a Note with a name begins a thread
		it.Title = short(name, maxShort)
	}
	it.Visibility = Visibility(o, in.r.Followers)
	if in.r.Activity != nil && len(in.r.Activity.Recipients()) > 0 {
		it.Visibility = max(it.Visibility, Visibility(in.r.Activity, in.r.Followers))
	}
	in.warning()
	in.emoji()
	in.text()
	in.hashtags()
	in.media()
	in.poll()
	if o.Is("Event") {
		it.Calendar = in.event()
	}
	in.p.Loss = in.loss
}

// Sensitive is the warning of what is marked sensitive without saying why.
const Sensitive = "Sensitive content"

// warning reads summary: of what has no title it is a content warning, of anything else only if it is marked sensitive.
func (in *reader) warning() {
	html, _ := in.o.Summary()
	sensitive := in.o.Sensitive()
	if in.o.Is("Note", "Question", "ChatMessage", "Image") || sensitive {
		in.p.Item.Warning = short(plainOf(html), maxShort)
	}
	if in.p.Item.Warning == "" && sensitive {
		in.p.Item.Warning = Sensitive
	}
}

// Visibility reads who may see what is addressed so. Public counts in its three spellings; followers is the author's collection, and if
// it is empty every address that ends in /followers counts as one.
func Visibility(o *object.Object, followers string) sdk.Visibility {
	public, listed := o.Public()
	switch {
	case listed:
		return sdk.VisibilityPublic
	case public:
		return sdk.VisibilityUnlisted
	}
	if slices.ContainsFunc(o.Recipients(), func(id string) bool {
		if followers != "" {
			return id == followers
		}
		return strings.HasSuffix(strings.TrimRight(id, "/"), "/followers")
	}) {
		return sdk.VisibilityFollowers
	}
	return sdk.VisibilityDirect
}

// emoji reads the custom emoji (FEP-9098).
func (in *reader) emoji() {
	for _, t := range in.o.Tags() {
		if !t.Is("Emoji") {
			continue
		}
		e, ok := emojiOf(t)
		if !ok {
			continue
		}
		if len(in.p.Item.Emoji) == MaxEmoji {
			in.loss.add(sdk.LossMedia, "more custom emoji than are kept")
			return
		}
		in.p.Item.Emoji = append(in.p.Item.Emoji, e)
	}
}

func emojiOf(t *object.Object) (sdk.Emoji, bool) {
	name, _ := t.Name()
	code := short(strings.Trim(name, ":"), 256)
	icon := t.Part("icon")
	if code == "" || icon == nil {
		return sdk.Emoji{}, false
	}
	links := icon.Links("url")
	if len(links) == 0 || object.Origin(links[0].Href) == "" {
		return sdk.Emoji{}, false
	}
	return sdk.Emoji{Code: code, Media: sdk.Media{URL: links[0].Href, Type: icon.Text("mediaType"), Alt: ":" + code + ":"}}, true
}

// hashtags reads the tags without #.
func (in *reader) hashtags() {
	for _, t := range in.o.Tags() {
		if !t.Is("Hashtag") {
			continue
		}
		name, _ := t.Name()
		name = short(strings.TrimLeft(name, "#"), 256)
		if name == "" || slices.Contains(in.p.Item.Tags, name) {
			continue
		}
		if len(in.p.Item.Tags) == MaxTags {
			in.loss.add(sdk.LossText, "more hashtags than are kept")
			return
		}
		in.p.Item.Tags = append(in.p.Item.Tags, name)
	}
}

func (in *reader) poll() {
	p, ok := in.o.Poll(MaxOptions)
	if !ok {
		return
	}
	if n := len(in.o.Parts("oneOf")) + len(in.o.Parts("anyOf")); n > MaxOptions {
		in.loss.add(sdk.LossPoll, "more options than are kept")
	}
	out := &sdk.Poll{Multiple: p.Multiple, Closes: p.Ends, Closed: p.IsClosed, Voters: p.Voters}
	for _, o := range p.Options {
		out.Options = append(out.Options, sdk.PollOption{Text: short(o.Name, maxShort), Votes: o.Votes})
	}
	if !p.Closed.IsZero() && out.Closes.IsZero() {
		out.Closes = p.Closed
	}
	in.p.Item.Poll = out
}
