package convert

import (
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Kind says what a message is about.
type Kind uint8

// Kinds of message.
const (
	Nothing  Kind = iota // nothing that lasts: chat states, markers, receipts, empty messages; see Reading's other fields
	Text                 // a new item
	Correct              // a new version of Reading.Target (XEP-0308)
	Retract              // Reading.Target is taken back by its sender (XEP-0424)
	Moderate             // Reading.Target is taken back by a moderator (XEP-0425)
	React                // the sender's reactions to Reading.Target (XEP-0444)
	Topic                // a new topic (XEP-0045 §8.1)
	Sealed               // end-to-end encrypted (XEP-0380, XEP-0384)
	Invited              // an invitation to a room: Reading.Invite (XEP-0249, XEP-0045 §7.8)
	Wrapped              // another message inside, which counts only after Unwrap and a look at who wrapped it (XEP-0280, XEP-0313)
)

// Reading is what a message says. References are still as the message makes them. In a room Target is a message id for Correct and a
// stanza-id for all others, and ReplyTo is a stanza-id. In a chat all are ids of messages; PartsOf tells whether one is a part of a delivery.
type Reading struct {
	Kind      Kind
	ID        ID
	Item      sdk.Item // for Text, Correct, Sealed; Origin.ID is ID.Remote()
	Target    string
	ReplyTo   string   // what the message answers (XEP-0461)
	ReplyAt   string   // JID of its sender as the message tells it; may be empty, and proves nothing
	Reactions []string // the complete set, for React
	Topic     string
	Moderator string // XEP-0425: nick of who moderated; may be empty
	Reason    string
	Invite    *Invite // for Invited

	Nick           string    // how the sender wants to be called (XEP-0172), as Nick makes it; proves nothing
	Thread, Parent string    // thread and parent thread (RFC 6121 §5.2.5)
	Private        bool      // marked as a private message of a room (XEP-0045 §7.5)
	Delayed        bool      // has a delay stamp (XEP-0203): kept somewhere on its way
	State          ChatState // XEP-0085
	Signals        []Signal  // State, receipts (XEP-0184) and markers (XEP-0333) as signals
	WantsReceipt   bool      // XEP-0184: the sender asks for a receipt
	WantsMarker    bool      // XEP-0333: the sender asks for a marker
	Hints          Hints     // XEP-0334
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
	r.readSigns(m)
	switch {
	case wraps(m):
		r.Kind = Wrapped
	case r.readRetraction(m, nick == ""):
	case m.HasSubject() && !m.HasBody() && !m.HasThread:
		r.Kind, r.Topic = Topic, m.Subject()
	default:
		r.readContent(m)
	}
	r.finish(m, now)
	return r
}

// FromChat reads a message of type chat or normal; none and an unknown one are
// normal (RFC 6121 §5.2.2). It gives Nothing for an error, and for a message of
// type groupchat or headline.
// ID.From is the sender's bare JID and ID.Room the bare JID of whom it is to.
func FromChat(m *packet.Message, now time.Time) Reading {
	r := Reading{ID: ID{Room: Bare(m.To), Message: m.ID, From: Bare(m.From)}}
	switch m.Type {
	case "error", "groupchat", "headline":
		return r
	}
	if origin := m.OriginID(); r.ID.Message == "" {
		r.ID.Message = origin
	} else if origin != r.ID.Message {
		r.ID.Origin = origin
	}
	r.readSigns(m)
	switch {
	case wraps(m):
		r.Kind = Wrapped
	case r.readInvite(m):
	case r.readRetraction(m, false):
	default:
		r.readContent(m)
	}
	if (r.Kind == Text || r.Kind == Correct) && m.Subject() != "" {
		r.Item.Title = oneLine(m.Subject())
	}
	r.finish(m, now)
	return r
}

// readContent reads what chats and rooms have in common.
func (r *Reading) readContent(m *packet.Message) {
	switch {
	case r.readSealed(m):
	case r.readReactions(m):
	default:
		r.readText(m)
	}
}

// finish dates what was read and gives it its name.
func (r *Reading) finish(m *packet.Message, now time.Time) {
	if r.Kind != Text && r.Kind != Correct && r.Kind != Sealed {
		return
	}
	r.Item.Origin.ID = r.ID.Remote()
	r.Item.Created = sentAt(m, now)
	r.Item.Language = bodyLang(m)
	if r.Kind == Correct {
		r.Item.Edited = r.Item.Created
	}
}

// bodyLang gives the language of the body that packet.Message.Body chooses.
func bodyLang(m *packet.Message) string {
	for _, b := range m.Bodies {
		if strings.EqualFold(b.Lang, m.Lang) {
			return b.Lang
		}
	}
	if len(m.Bodies) > 0 {
		return m.Bodies[0].Lang
	}
	return m.Lang
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
// counts only from the room itself (XEP-0425 §4), a retraction only from a person.
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
			if _, speaks := e.Child(s.space, "payload"); !speaks && s.local == "encrypted" && !m.HasBody() {
				return true // OMEMO exchanges keys and says nothing (XEP-0384 §5.8)
			}
			data = e.Standalone()
			break
		}
	}
	if scheme == "" && strings.HasPrefix(m.Body(), "?OTR") {
		scheme = NSOTR
	}
	if scheme == "" {
		return false
	}
	r.Kind = Sealed
	r.Item.Sealed = &sdk.Sealed{Scheme: scheme, Data: data}
	return true
}

// MaxReactions bounds how many different reactions of one sender are read.
const MaxReactions = 32

func (r *Reading) readReactions(m *packet.Message) bool {
	e, ok := m.Extension(NSReactions, "reactions")
	if !ok || e.Get("id") == "" {
		return false
	}
	r.Kind, r.Target = React, e.Get("id")
	seen := map[string]bool{}
	for c := range e.Children() {
		text := strings.TrimSpace(c.Text())
		if c.Is(NSReactions, "reaction") && text != "" && len(text) <= 64 && !seen[text] && len(seen) < MaxReactions {
			seen[text] = true
			r.Reactions = append(r.Reactions, text)
		}
	}
	return true
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
