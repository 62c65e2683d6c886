package convert

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Kind says what a groupchat message is about.
type Kind uint8

// Kinds of groupchat message.
const (
	Nothing  Kind = iota // nothing that crosses: chat states, markers, empty messages
	Text                 // a new item
	Correct              // a new version of Reading.Target (XEP-0308)
	Retract              // Reading.Target is taken back by its sender (XEP-0424)
	Moderate             // Reading.Target is taken back by a moderator (XEP-0425)
	React                // the sender's reactions to Reading.Target (XEP-0444)
	Topic                // a new topic (XEP-0045 §8.1)
	Sealed               // end-to-end encrypted (XEP-0380, XEP-0384)
)

// Reading is what a groupchat message says. References are still as the message
// makes them: Target is a message id for Correct and a stanza-id for all others.
type Reading struct {
	Kind      Kind
	ID        ID
	Item      sdk.Item // for Text, Correct, Sealed; Origin.ID is ID.Remote()
	Target    string
	ReplyTo   string // stanza-id that the message answers (XEP-0461)
	Reactions []string
	Topic     string
	Moderator string // XEP-0425: nick of who moderated; may be empty
	Reason    string
}

// Room is what a reading needs to know about the room.
type Room struct {
	JID       string // normalised bare JID
	StanzaIDs bool   // the room advertises urn:xmpp:sid:0, so it removes forged ids (XEP-0359 §5)
}

// FromGroupchat reads a groupchat message. Bodies in the stream's namespace only
// count (packet.Message.Body); a stanza-id only if the room assigned it; a delay
// stamp never lies in the future (XEP-0203).
func FromGroupchat(m *packet.Message, room Room, now time.Time) Reading {
	nick := Resource(m.From)
	r := Reading{ID: ID{Room: room.JID, Message: m.ID, From: nick}}
	if room.StanzaIDs {
		r.ID.Stanza = m.StanzaID(room.JID)
	}
	if r.ID.Message == "" {
		r.ID.Message = m.OriginID()
	}
	switch {
	case r.readRetraction(m, nick == ""):
	case m.HasSubject() && !m.HasBody() && !m.HasThread:
		r.Kind, r.Topic = Topic, m.Subject()
	case r.readSealed(m):
	case r.readReactions(m):
	case m.Body() != "":
		r.readText(m)
	}
	if r.Kind == Text || r.Kind == Correct || r.Kind == Sealed {
		r.Item.Origin.ID = r.ID.Remote()
		r.Item.Created = sentAt(m, now)
		if r.Kind == Correct {
			r.Item.Edited = r.Item.Created
		}
	}
	return r
}

// sentAt gives when the message was sent: its oldest believable stamp, never in the future.
func sentAt(m *packet.Message, now time.Time) time.Time {
	d, ok := m.Delay()
	if !ok || d.Stamp.After(now) || d.Stamp.Year() < 1999 {
		return now.UTC()
	}
	return d.Stamp
}

// readRetraction reads XEP-0424 and XEP-0425 in both versions. A moderation
// counts only from the room itself (XEP-0425 §4), a retraction only from an occupant.
func (r *Reading) readRetraction(m *packet.Message, fromRoom bool) bool {
	if e, ok := m.Extension(NSRetract, "retract"); ok {
		mod, moderated := e.Child(NSModerate, "moderated")
		return r.retraction(e, mod, moderated, fromRoom, e.Get("id"))
	}
	apply, ok := m.Extension(NSFasten, "apply-to")
	if !ok {
		return false
	}
	if mod, ok := apply.Child(NSModerateOld, "moderated"); ok {
		if _, ok := mod.Child(NSRetractOld, "retract"); ok {
			return r.retraction(mod, mod, true, fromRoom, apply.Get("id"))
		}
	}
	if e, ok := apply.Child(NSRetractOld, "retract"); ok {
		return r.retraction(e, xmltok.Element{}, false, fromRoom, apply.Get("id"))
	}
	return false
}

// retraction always consumes the message: a retraction that is not to be
// believed must not appear as a message because of its fallback body.
func (r *Reading) retraction(e, mod xmltok.Element, moderated, fromRoom bool, target string) bool {
	if target == "" || moderated != fromRoom {
		return true
	}
	r.Kind, r.Target = Retract, target
	if moderated {
		r.Kind = Moderate
		r.Moderator = Resource(mod.Get("by"))
		for c := range e.Children() {
			if c.Name.Local == "reason" {
				r.Reason = c.Text()
			}
		}
	}
	return true
}

// sealedBy names the elements that carry an encrypted payload.
var sealedBy = []struct{ space, local string }{
	{NSOMEMO, "encrypted"}, {NSOMEMOLegacy, "encrypted"}, {NSOpenPGP, "openpgp"}, {NSLegacyPGP, "x"},
}

// readSealed recognises end-to-end encryption. The body of such a message is
// only a hint for people, so it never crosses as what the sender said.
func (r *Reading) readSealed(m *packet.Message) bool {
	scheme := ""
	if e, ok := m.Extension(NSEME, "encryption"); ok {
		scheme = e.Get("namespace")
	}
	var data []byte
	for _, s := range sealedBy {
		if e, ok := m.Extension(s.space, s.local); ok {
			if scheme == "" {
				scheme = s.space
			}
			data = e.Standalone()
			break
		}
	}
	if scheme == "" {
		return false
	}
	r.Kind = Sealed
	r.Item.Sealed = &sdk.Sealed{Scheme: scheme, Data: data}
	return true
}

// maxReactions bounds how many different reactions of one sender are read.
const maxReactions = 32

func (r *Reading) readReactions(m *packet.Message) bool {
	e, ok := m.Extension(NSReactions, "reactions")
	if !ok || e.Get("id") == "" {
		return false
	}
	r.Kind, r.Target = React, e.Get("id")
	seen := map[string]bool{}
	for c := range e.Children() {
		text := strings.TrimSpace(c.Text())
		if c.Is(NSReactions, "reaction") && text != "" && len(text) <= 64 && !seen[text] && len(seen) < maxReactions {
			seen[text] = true
			r.Reactions = append(r.Reactions, text)
		}
	}
	return true
}

// readText reads a message with a body, which may be a correction or a reply.
func (r *Reading) readText(m *packet.Message) {
	r.Kind = Text
	body := m.Body()
	if e, ok := m.Extension(NSReply, "reply"); ok && e.Get("id") != "" {
		r.ReplyTo = e.Get("id")
		body = withoutFallback(m, NSReply, body)
	}
	if e, ok := m.Extension(NSCorrect, "replace"); ok && e.Get("id") != "" {
		r.Kind, r.Target = Correct, e.Get("id")
	}
	r.Item.Text = sdk.NewText(body)
	r.Item.Language = m.Lang
	r.Item.Native = map[string][]byte{nativeUnstyled: []byte("0")}
	if _, ok := m.Extension(NSStyling, "unstyled"); ok {
		r.Item.Native[nativeUnstyled][0] = '1'
	}
	r.readFile(m, body)
}

// readFile reads XEP-0066: an address that is the whole body is a file, and not text.
func (r *Reading) readFile(m *packet.Message, body string) {
	e, ok := m.Extension(NSOOB, "x")
	if !ok {
		return
	}
	url := strings.TrimSpace(e.ChildText(NSOOB, "url"))
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return
	}
	r.Item.Media = []sdk.Media{{URL: url, Alt: e.ChildText(NSOOB, "desc")}}
	if strings.TrimSpace(body) == url {
		r.Item.Text = nil
	}
}

// withoutFallback cuts the parts of the body that are only there for clients
// without the extension space (XEP-0428 §3.2); positions are code points.
func withoutFallback(m *packet.Message, space, body string) string {
	for _, e := range m.Extensions {
		if !e.Is(NSFallback, "fallback") || e.Get("for") != space {
			continue
		}
		part, ok := e.Child(NSFallback, "body")
		if !ok {
			continue
		}
		start, err1 := strconv.Atoi(part.Get("start"))
		end, err2 := strconv.Atoi(part.Get("end"))
		if err1 != nil || err2 != nil || start < 0 || end <= start || end > utf8.RuneCountInString(body) {
			continue
		}
		runes := []rune(body)
		if rest := string(runes[:start]) + string(runes[end:]); strings.TrimSpace(rest) != "" {
			return rest
		}
	}
	return body
}

// Resource gives the resourcepart of a JID: an occupant's nick.
func Resource(address string) string {
	_, nick, _ := strings.Cut(address, "/")
	return nick
}

// Bare gives a JID without its resourcepart.
func Bare(address string) string {
	bare, _, _ := strings.Cut(address, "/")
	return bare
}
