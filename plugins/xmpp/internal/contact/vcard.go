package contact

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// maxField bounds a text in a vCard, in bytes.
const maxField = 4096

// clip shortens a text at a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// web gives a URL if it is one that a client may open.
func web(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(s) > maxField {
		return ""
	}
	return s
}

// wrapped is base64 in lines of 76 characters (RFC 2045 §6.8, as XEP-0153 §4.6 asks).
func wrapped(data []byte) string {
	s := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76])
		b.WriteByte('\n')
		s = s[76:]
	}
	b.WriteString(s)
	return b.String()
}

// vcardTemp writes a profile as vcard-temp (XEP-0054).
func vcardTemp(foreign, virtual string, p *Profile) xmltok.Element {
	var w xmltok.Writer
	w.Start(nsVCard, "vCard")
	field := func(name, value string) {
		if value != "" {
			w.Start(nsVCard, name).Text(clip(value, maxField)).End()
		}
	}
	field("FN", p.Name(foreign))
	field("NICKNAME", p.Name(foreign))
	field("JABBERID", virtual)
	field("URL", web(p.Actor.Profile))
	field("DESC", summary(p.Actor))
	if a := p.Avatar; a != nil {
		w.Start(nsVCard, "PHOTO")
		w.Start(nsVCard, "TYPE").Text(a.Type).End()
		w.Start(nsVCard, "BINVAL").Text(wrapped(a.Data)).End()
		w.End()
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// summary gives the handle by which the other network knows the contact, and what the contact says of itself.
func summary(a sdk.Actor) string {
	s := a.Handle
	if a.Summary != nil && a.Summary.Plain != "" {
		s = strings.TrimSpace(s + "\n\n" + a.Summary.Plain)
	}
	return s
}

// vcard4 writes a profile as vCard4 (XEP-0292, RFC 6351).
func vcard4(foreign, virtual string, p *Profile) xmltok.Element {
	var w xmltok.Writer
	w.Start(nsVCard4, "vcard")
	field := func(name, kind, value string) {
		if value != "" {
			w.Start(nsVCard4, name).Start(nsVCard4, kind).Text(clip(value, maxField)).End().End()
		}
	}
	field("kind", "text", map[sdk.ActorKind]string{
		sdk.ActorPerson: "individual", sdk.ActorBot: "application", sdk.ActorGroup: "group", sdk.ActorService: "application",
	}[p.Actor.Kind])
	field("fn", "text", p.Name(foreign))
	field("nickname", "text", p.Name(foreign))
	field("url", "uri", web(p.Actor.Profile))
	field("impp", "uri", "xmpp:"+virtual)
	field("note", "text", summary(p.Actor))
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// item is one item of a contact's node.
type item struct {
	id      string
	payload xmltok.Element
}

// items gives the items of a contact's node (XEP-0084, XEP-0292 §4.1, XEP-0172 §4.1): at most one, the newest.
func items(node, foreign, virtual string, p *Profile) []item {
	switch node {
	case nsNick:
		return []item{{"current", xmltok.New(nsNick, "nick", clip(p.Name(foreign), maxField))}}
	case nodeVCard4:
		return []item{{"current", vcard4(foreign, virtual, p)}}
	case nsData:
		if a := p.Avatar; a != nil {
			return []item{{a.Hash, xmltok.New(nsData, "data", base64.StdEncoding.EncodeToString(a.Data))}}
		}
	case nsMetadata:
		var w xmltok.Writer
		w.Start(nsMetadata, "metadata")
		id := "none"
		if a := p.Avatar; a != nil {
			id = a.Hash
			w.Start(nsMetadata, "info", xmltok.A("bytes", strconv.Itoa(len(a.Data))), xmltok.A("id", a.Hash), xmltok.A("type", a.Type),
				xmltok.A("width", strconv.Itoa(a.Width)), xmltok.A("height", strconv.Itoa(a.Height))).End()
		}
		e, _ := w.Element() // constant names: cannot go wrong
		return []item{{id, e}}
	}
	return nil
}

// updateElement is what a contact's presence says of the avatar (XEP-0153 §4.1): empty while it is not known.
func updateElement(p *Profile) xmltok.Element {
	var w xmltok.Writer
	w.Start(nsUpdate, "x")
	if p != nil && p.err == nil {
		w.Start(nsUpdate, "photo").Text(p.hash()).End()
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}
