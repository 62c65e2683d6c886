package muc

import (
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// NSConference is a direct invitation (XEP-0249).
const NSConference = "jabber:x:conference"

// Invitation asks us into a room: through the room (XEP-0045 §7.8.2) or directly
// (XEP-0249).
type Invitation struct {
	Room     string // bare JID, normalised
	From     string // who invites, as the room or the stream says
	Direct   bool
	Password string
	Reason   string
}

// ReadInvitation reads an invitation. It reports false for any other message.
func ReadInvitation(m *packet.Message) (Invitation, bool) {
	if m.Type == "error" || m.Type == "groupchat" {
		return Invitation{}, false
	}
	if x, ok := m.Extension(packet.NSMUCUser, "x"); ok {
		if invite, ok := x.Child(packet.NSMUCUser, "invite"); ok && convert.Resource(m.From) == "" {
			room, err := packet.ParseJID(m.From)
			return Invitation{
				Room: room.String(), From: invite.Get("from"),
				Password: x.ChildText(packet.NSMUCUser, "password"), Reason: invite.ChildText(packet.NSMUCUser, "reason"),
			}, err == nil && m.From != ""
		}
	}
	x, ok := m.Extension(NSConference, "x")
	if !ok {
		return Invitation{}, false
	}
	room, err := packet.ParseJID(x.Get("jid"))
	if err != nil || room.Localpart() == "" {
		return Invitation{}, false
	}
	return Invitation{Room: room.Bare().String(), From: m.From, Direct: true, Password: x.Get("password"), Reason: x.Get("reason")}, true
}

// Decline makes the answer that turns an invitation down, as from: through the
// room (XEP-0045 §7.8.2), or, since XEP-0249 has no answer, in words.
func (i Invitation) Decline(from, reason string) *packet.Message {
	m := &packet.Message{Attrs: packet.Attrs{From: from, To: i.Room}}
	if i.Direct {
		m.To, m.Type = i.From, "chat"
		m.Bodies = []packet.Text{{Text: reason}}
		return m
	}
	var w xmltok.Writer
	w.Start(packet.NSMUCUser, "x")
	if i.From == "" {
		w.Start(packet.NSMUCUser, "decline")
	} else {
		w.Start(packet.NSMUCUser, "decline", xmltok.A("to", i.From))
	}
	w.Start(packet.NSMUCUser, "reason").Text(reason)
	if x, err := w.Element(); err == nil {
		m.Extensions = append(m.Extensions, x)
	}
	return m
}

// Invited notes that somebody asked us into the room: what kept us out may be
// over, since an invitation can make us a member (XEP-0045 §7.8.2).
func (r *Room) Invited() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.occupants {
		if !o.muted {
			o.refused = time.Time{}
		}
	}
	r.retry, r.ended = time.Time{}, nil
	r.nudge()
}
