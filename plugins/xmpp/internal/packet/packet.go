// Package packet holds the stanzas that bridgehost reads and writes: Message, Presence and IQ.
//
// Incoming stanzas are decoded here and never by gosrc.io/xmpp: addresses are taken from un-namespaced attributes only, body, subject
// and thread only from the stream's own namespace, and every other child is kept verbatim as an xmltok.Element. Content that makes no
// sense (a priority of 999, an unreadable delay stamp) is ignored; it never makes a stanza, let alone a stream, fail.
//
// The three types also serve for sending, and implement gosrc.io/xmpp/stanza.Packet as the types of that package do. Encode takes either.
package packet

import (
	"strconv"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces of streams and of the extensions that this package reads.
const (
	NSClient    = "jabber:client"
	NSComponent = "jabber:component:accept"
	NSStream    = "http://etherx.jabber.org/streams"
	NSStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSDelay     = "urn:xmpp:delay"
	NSStanzaID  = "urn:xmpp:sid:0"
	NSMUC       = "http://jabber.org/protocol/muc"
	NSMUCUser   = "http://jabber.org/protocol/muc#user"
	NSPing      = "urn:xmpp:ping"
	NSVersion   = "jabber:iq:version"
	NSDiscoInfo = "http://jabber.org/protocol/disco#info"
)

// Stanza is what the three incoming types have in common.
type Stanza interface {
	stanza.Packet
	// Header returns the stanza's common part, which the caller may change.
	Header() *Attrs
}

// Attrs is the common part of every stanza (RFC 6120 §8.1). Addresses are as the stream gave them: on an incoming stanza the server has
// checked From. Use FromJID and ToJID to compare or to show them.
type Attrs struct {
	From, To string
	ID       string
	Type     string
	Lang     string // xml:lang of the stanza itself, "" if none

	// Source is the whole stanza as it came. It is zero on a stanza of our own, and Encode does not look at it.
	Source xmltok.Element
	// Extensions are the children that have no field of their own, in document order and verbatim.
	Extensions []xmltok.Element
	// Error is the stanza's <error/>, nil if there is none (RFC 6120 §8.3).
	Error *Error
}

// Header returns a itself, so that every stanza is a Stanza.
func (a *Attrs) Header() *Attrs { return a }

// FromJID parses From. An absent address gives the zero JID and no error.
func (a *Attrs) FromJID() (jid.JID, error) { return ParseJID(a.From) }

// ToJID parses To. An absent address gives the zero JID and no error.
func (a *Attrs) ToJID() (jid.JID, error) { return ParseJID(a.To) }

// Extension returns the first extension with the name local in the namespace space, and whether there is one.
func (a *Attrs) Extension(space, local string) (xmltok.Element, bool) {
	for _, e := range a.Extensions {
		if e.Is(space, local) {
			return e, true
		}
	}
	return xmltok.Element{}, false
}

// Text is a human-readable text in one language.
type Text struct {
	Lang string // xml:lang in force: the element's own, else the stanza's, else ""
	Text string
}

// Message is a message stanza (RFC 6121 §5).
type Message struct {
	Attrs
	// Bodies and Subjects hold all elements of the stream's namespace in document order; see Body and Subject for the choice among them.
	Bodies, Subjects []Text
	Thread, Parent   string // thread id and its parent, from the first <thread/>
	HasThread        bool
}

// Presence is a presence stanza (RFC 6121 §4).
type Presence struct {
	Attrs
	Show     string // "", away, chat, dnd or xa; anything else is ignored
	Statuses []Text
	Priority int8 // 0 if absent or out of -128..127
}

// IQ is an info/query stanza (RFC 6120 §8.2.3).
type IQ struct {
	Attrs
	// Payload is the first child that is not <error/>; zero if there is none.
	Payload xmltok.Element
}

// Name implements stanza.Packet.
func (*Message) Name() string { return "message" }

// Name implements stanza.Packet.
func (*Presence) Name() string { return "presence" }

// Name implements stanza.Packet.
func (*IQ) Name() string { return "iq" }

// Body returns the text that readers and moderators both see: of the bodies in the stanza's own language the first, else the first of
// all. The rule is the same for every part of bridgehost, whatever the reader's language.
func (m *Message) Body() string { return pick(m.Bodies, m.Lang) }

// HasBody reports whether there is a body at all; a body may be empty.
func (m *Message) HasBody() bool { return len(m.Bodies) > 0 }

// Subject chooses as Body does. A message with a subject and neither body nor thread sets a room's topic (XEP-0045 §8.1).
func (m *Message) Subject() string { return pick(m.Subjects, m.Lang) }

// HasSubject reports whether there is a subject; an empty one clears a room's topic.
func (m *Message) HasSubject() bool { return len(m.Subjects) > 0 }

// Status chooses as Message.Body does.
func (p *Presence) Status() string { return pick(p.Statuses, p.Lang) }

func pick(texts []Text, lang string) string {
	for _, t := range texts {
		if strings.EqualFold(t.Lang, lang) {
			return t.Text
		}
	}
	if len(texts) > 0 {
		return texts[0].Text
	}
	return ""
}

// Delay is a XEP-0203 stamp.
type Delay struct {
	From  string // who delayed the stanza; trust it only where that address is the one that sent the stanza
	Stamp time.Time
	Text  string
}

// Delay returns the first readable XEP-0203 stamp and whether there is one. The stamp is not checked against the clock.
func (a *Attrs) Delay() (Delay, bool) {
	for _, e := range a.Extensions {
		if !e.Is(NSDelay, "delay") {
			continue
		}
		t, err := time.Parse(time.RFC3339, e.Get("stamp"))
		if err != nil {
			continue
		}
		return Delay{From: e.Get("from"), Stamp: t.UTC(), Text: e.Text()}, true
	}
	return Delay{}, false
}

// StanzaID returns the XEP-0359 id that by assigned, and "" if there is none or more than one (then somebody forged one). The caller
// must know from disco#info that by takes forged ids out (XEP-0359 §3.1, rule 4) before it trusts the id.
func (a *Attrs) StanzaID(by string) string {
	found := ""
	for _, e := range a.Extensions {
		if !e.Is(NSStanzaID, "stanza-id") || !SameJID(e.Get("by"), by) {
			continue
		}
		if id := e.Get("id"); found == "" {
			found = id
		} else if id != found {
			return ""
		}
	}
	return found
}

// OriginID returns the sender's own XEP-0359 id, or "". It proves nothing about who sent the stanza.
func (a *Attrs) OriginID() string {
	e, _ := a.Extension(NSStanzaID, "origin-id")
	return e.Get("id")
}

// MUCItem is an <item/> of muc#user (XEP-0045 §7.2.3).
type MUCItem struct{ Affiliation, Role, JID, Nick, Reason, Actor string }

// MUCUser is what a room says about an occupant (XEP-0045, namespace muc#user). Trust it only if the stanza is from the room.
type MUCUser struct {
	Items    []MUCItem
	Statuses []int // status codes such as 110 (self) or 303 (nick changed)
	Element  xmltok.Element
}

// Has reports whether the status code is there.
func (u MUCUser) Has(code int) bool {
	for _, c := range u.Statuses {
		if c == code {
			return true
		}
	}
	return false
}

// Item returns the first item, or the zero one.
func (u MUCUser) Item() MUCItem {
	if len(u.Items) == 0 {
		return MUCItem{}
	}
	return u.Items[0]
}

// MUCUser returns the muc#user child and whether there is one.
func (a *Attrs) MUCUser() (MUCUser, bool) {
	x, ok := a.Extension(NSMUCUser, "x")
	if !ok {
		return MUCUser{}, false
	}
	u := MUCUser{Element: x}
	for c := range x.Children() {
		switch {
		case c.Is(NSMUCUser, "item"):
			actor, _ := c.Child(NSMUCUser, "actor")
			u.Items = append(u.Items, MUCItem{
				Affiliation: c.Get("affiliation"), Role: c.Get("role"), JID: c.Get("jid"), Nick: c.Get("nick"),
				Reason: c.ChildText(NSMUCUser, "reason"), Actor: actor.Get("nick"),
			})
		case c.Is(NSMUCUser, "status"):
			if code, err := strconv.Atoi(c.Get("code")); err == nil {
				u.Statuses = append(u.Statuses, code)
			}
		}
	}
	return u, true
}
