package muc

import (
	"context"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// What people read who write to one of ours alone (XEP-0045 §7.5).
const (
	toBot    = "This is a bridge: it carries what is said in the room, and nobody reads what is written to it alone."
	toPuppet = "Private messages to people of another network do not cross this bridge."
)

// Bounds of notices to people who write to the bridge alone.
const (
	noticeEvery = time.Hour
	maxNoticed  = 1024
)

// private answers a message to one of ours alone: to a puppet by an error, since
// else its sender would believe that somebody reads it, to the bridge by one
// notice an hour. A room takes out whoever answers by an error that says that
// they are gone (XEP-0045 §14.4), so this is none of those. Called with mu held.
func (r *Room) private(m *packet.Message) *packet.Message {
	o := r.occupantTo(m.To)
	nick := convert.Resource(m.From)
	if o == nil || nick == "" || m.Type == "headline" || !m.HasBody() || r.nicks[nick] != nil || r.ours(m) {
		return nil
	}
	answer := &packet.Message{Attrs: packet.Attrs{From: m.To, To: m.From, ID: m.ID}}
	if o != r.bot {
		answer.Type = "error"
		answer.Error = &packet.Error{Type: "cancel", Condition: "feature-not-implemented", Text: toPuppet}
		return answer
	}
	key, now := r.occupying(nick).key, r.o.Now()
	if now.Sub(r.noticed[key]) < noticeEvery && !r.noticed[key].IsZero() {
		return nil
	}
	if len(r.noticed) >= maxNoticed {
		clear(r.noticed)
	}
	r.noticed[key] = now
	answer.Type, answer.ID = "chat", ""
	answer.Bodies = []packet.Text{{Text: toBot}}
	answer.Extensions = append(answer.Extensions, xmltok.New(packet.NSMUCUser, "x", "")) // XEP-0045 §7.5: of a room
	return answer
}

// answerPrivate sends the answer to a private message.
func (r *Room) answerPrivate(ctx context.Context, answer *packet.Message) {
	if err := r.stream.Send(ctx, answer); err != nil {
		r.o.Log.Debug("private message not answered", "error", err)
	}
}
