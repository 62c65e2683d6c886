package actor

import (
	"cmp"
	"html"
	"net/url"
	"strings"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// Bounds of what is written of a profile; Mastodon cuts at the same (FEDERATION.md).
const (
	maxName    = 2048
	maxSummary = 20 << 10
)

// Document gives the document of the actor that stands for a person.
func (s Site) Document(name string, a sdk.Actor, publicKey string) *object.Object {
	o := s.base(name, kinds[a.Kind], publicKey)
	o.Set("name", clip(cmp.Or(a.Name, name), maxName))
	o.Set("url", s.Actor(name))
	o.Set("summary", summary(a))
	o.Set("discoverable", true)
	o.Set("manuallyApprovesFollowers", true)
	o.Set("outbox", s.Of(name, PartOutbox)).Set("followers", s.Of(name, PartFollowers)).Set("following", s.Of(name, PartFollowing))
	o.Set("featured", s.Of(name, PartFeatured))
	if icon := s.icon(name, a.Avatar); icon != nil {
		o.Set("icon", icon)
	}
	if a.Handle != "" {
		o.Set("attachment", []*object.Object{object.New("PropertyValue").Set("name", "Address").Set("value", html.EscapeString(a.Handle))})
	}
	return o
}

var kinds = [...]string{sdk.ActorPerson: "Person", sdk.ActorBot: "Service", sdk.ActorGroup: "Group", sdk.ActorService: "Service"}

// Instance gives the document of the instance actor.
func (s Site) Instance(publicKey string) *object.Object {
	o := s.base(InstanceName, "Application", publicKey)
	o.Set("name", "bridgehost at "+s.Domain)
	o.Set("outbox", s.Of(InstanceName, PartOutbox))
	o.Set("manuallyApprovesFollowers", true)
	o.Set("url", s.Actor(InstanceName))
	return o
}

// Bare gives the part of a document that everybody may read, even in secure
// mode: who checks our signature must get our key.
func (s Site) Bare(o *object.Object) *object.Object {
	out := object.New(o.Type())
	for _, k := range []string{"id", "preferredUsername", "webfinger", "inbox", "publicKey", "endpoints"} {
		if v := o.Value(k); v != nil {
			out.Set(k, v)
		}
	}
	return out
}

func (s Site) base(name, kind, publicKey string) *object.Object {
	id := s.Actor(name)
	o := object.New(kind)
	handle := s.Handle(name)
	user, _, _ := strings.Cut(handle, "@")
	o.Set("id", id).Set("preferredUsername", user).Set("webfinger", handle) // FEP-2c59
	o.Set("inbox", s.Of(name, PartInbox))
	o.Set("endpoints", object.New("").Set("sharedInbox", s.SharedInbox()))
	o.Set("publicKey", object.New("").Set("id", s.Key(name)).Set("owner", id).Set("publicKeyPem", publicKey))
	return o
}

func (s Site) icon(name string, m *sdk.Media) *object.Object {
	if m == nil {
		return nil
	}
	address := m.URL
	if len(m.Data) > 0 {
		address = s.Of(name, PartIcon)
		if m.Digest != "" {
			address += "?v=" + url.QueryEscape(m.Digest[:min(16, len(m.Digest))])
		}
	}
	if object.Origin(address) == "" {
		return nil
	}
	o := object.New("Image").Set("url", address)
	if m.Type != "" {
		o.Set("mediaType", m.Type)
	}
	return o
}

func summary(a sdk.Actor) string {
	if a.Summary == nil {
		return ""
	}
	if out := richtext.PrintHTML(*a.Summary, richtext.Print{}); len(out) <= maxSummary {
		return out
	}
	return "<p>" + html.EscapeString(clip(a.Summary.Plain, maxSummary/8)) + "</p>"
}

// clip cuts a text at a character border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// finger gives the WebFinger answer for an actor (RFC 7033). asked is the form that was asked for.
func (s Site) finger(name, asked string) map[string]any {
	id := s.Actor(name)
	aliases := []string{id}
	if subject := "acct:" + s.Handle(name); asked != subject && asked != id {
		aliases = append(aliases, asked)
	}
	return map[string]any{
		"subject": "acct:" + s.Handle(name),
		"aliases": aliases,
		"links": []any{
			map[string]any{"rel": "self", "type": typeActivity, "href": id},
			map[string]any{"rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": id},
			map[string]any{"rel": "http://schemas.google.com/g/2010#updates-from", "type": "application/atom+xml", "href": s.Of(name, PartFeed)},
		},
	}
}
