package xmpp

import (
	"context"

	"bridgehost/plugins/xmpp/internal/chat"
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/muc"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// sender is what rooms see of the session.
type sender stream.Session

var _ muc.Stream = (*sender)(nil)

// Send implements muc.Stream.
func (s *sender) Send(ctx context.Context, p packet.Stanza) error {
	return (*stream.Session)(s).Send(ctx, p)
}

// SendRaw implements muc.Stream. It does not wait for the write: if that fails
// the stream ends, and the room learns it.
func (s *sender) SendRaw(ctx context.Context, _ string, stanza []byte) error {
	_, err := (*stream.Session)(s).Start(ctx, packet.Raw(stanza), false)
	return err
}

// IQ implements muc.Stream.
func (s *sender) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	return (*stream.Session)(s).IQ(ctx, iq)
}

// room gives the room that an address belongs to, nil when it is none of ours.
// The server writes addresses in one form, so that the first look nearly always finds it.
func (l *link) room(address string) *muc.Room {
	bare := convert.Bare(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.rooms[bare]; e != nil {
		return e.room
	}
	j, err := packet.ParseJID(bare)
	if err != nil {
		return nil
	}
	if e := l.rooms[j.String()]; e != nil {
		return e.room
	}
	return nil
}

// message takes every message that comes in.
func (l *link) message(ctx context.Context, m *packet.Message) {
	if l.granted != nil && l.granted.HandleMessage(m) {
		return
	}
	if l.account != nil {
		if l.account.HandleMessage(m) {
			return
		}
		defer l.account.Handled(ctx, m)
	}
	if i, ok := muc.ReadInvitation(m); ok && l.itself(m.To) {
		l.invited(ctx, m, i)
		return
	}
	if r := l.room(m.From); r != nil {
		r.HandleMessage(ctx, m)
		return
	}
	l.conversation(ctx, m)
}

// conversation takes a message that is of no room.
func (l *link) conversation(ctx context.Context, m *packet.Message) {
	if l.contacts != nil && l.contacts.HandleMessage(ctx, m) || l.social.HandleMessage(ctx, m) {
		return
	}
	if _, ok := m.Extension(pubsub.NSEvent, "event"); ok {
		return // a notification of a node that nobody reads; its body, if any, is for people's clients
	}
	if l.chats.HandleMessage(ctx, m) {
		return
	}
	l.direct(ctx, m)
}

// itself reports whether an address is the link's own, and nobody's else behind it.
func (l *link) itself(address string) bool {
	return l.s.Mode == modeClient || convert.Bare(address) == l.s.Domain
}

// invited answers an invitation: rooms are chosen by the operator's routes alone.
func (l *link) invited(ctx context.Context, m *packet.Message, i muc.Invitation) {
	if r := l.room(i.Room); r != nil {
		r.Invited()
		return
	}
	if err := l.sess.Send(ctx, i.Decline(m.To, "This bridge only joins rooms that its operator has set up.")); err != nil {
		l.host.Log().Debug("invitation not declined", "error", err)
	}
}

// direct takes a message to one of ours that belongs to no conversation. The
// sender is told why, instead of being left to believe that somebody reads it
// (RFC 6121 §8.5.1).
func (l *link) direct(ctx context.Context, m *packet.Message) {
	if m.Type == "error" || m.Type == "groupchat" || m.Type == "headline" || !m.HasBody() {
		return
	}
	answer := &packet.Message{Attrs: packet.Attrs{From: m.To, To: m.From, ID: m.ID, Type: "error", Error: l.refusal(m)}}
	if err := l.sess.Send(ctx, answer); err != nil {
		l.host.Log().Debug("direct message not answered", "error", err)
	}
}

// refusal says why a message belongs to no conversation.
func (l *link) refusal(m *packet.Message) *packet.Error {
	to, err := m.ToJID()
	if l.gate == nil || err != nil || to.Localpart() == "" {
		return &packet.Error{Type: "cancel", Condition: "service-unavailable", Text: "This address takes no direct messages."}
	}
	if _, err := l.gate.Foreign(to); err != nil {
		return &packet.Error{Type: "cancel", Condition: "item-not-found", Text: "This is the address of nobody in the other network."}
	}
	if !l.s.may(convert.Bare(m.From)) {
		return &packet.Error{Type: "auth", Condition: "forbidden", Text: "The operator of this gateway does not serve your address."}
	}
	return &packet.Error{Type: "auth", Condition: "registration-required", Text: "Please register with the gateway " + l.s.Domain + " first."}
}

// presence takes every presence that comes in. That of people outside rooms is
// for contacts of a gateway; without one it is of no use here.
func (l *link) presence(ctx context.Context, p *packet.Presence) {
	if r := l.room(p.From); r != nil {
		r.HandlePresence(ctx, p)
		return
	}
	if l.account != nil && l.account.HandlePresence(ctx, p) {
		return
	}
	if l.contacts != nil && !l.service.HandlePresence(ctx, p) {
		l.contacts.HandlePresence(ctx, p)
	}
}

// request takes the requests that the stream does not answer itself.
func (l *link) request(ctx context.Context, iq *packet.IQ) bool {
	return l.granted != nil && l.delegated(ctx, iq) || l.contacts != nil && (l.service.HandleIQ(ctx, iq) || l.contacts.HandleIQ(ctx, iq)) || l.social.HandleIQ(ctx, iq)
}

// delegated answers a request to people's own accounts that their server hands on
// to us (XEP-0355 §4.3). We hold nothing for them: requests to our own addresses
// come without that, and what is not ours cannot be handed back.
func (l *link) delegated(ctx context.Context, iq *packet.IQ) bool {
	r, ok := l.granted.Delegated(iq)
	if !ok {
		return false
	}
	answer, err := r.Answer(r.IQ.Refuse("cancel", "feature-not-implemented", "The bridge keeps no data of this server's people."))
	if err == nil {
		err = l.sess.Send(ctx, answer)
	}
	if err != nil {
		l.host.Log().Debug("delegated request not answered", "error", err)
	}
	return true
}

// disco says what our addresses are (XEP-0030 §3.1).
func (l *link) disco(_ context.Context, to, node string) (stream.Disco, bool) {
	if l.contacts != nil {
		if d, ok := l.service.Disco(to, node); ok {
			return d, true
		}
		if d, ok := l.contacts.Disco(to, node); ok || node != "" {
			return d, ok
		}
	}
	d := stream.Disco{Features: append(ownFeatures(), packet.NSDiscoInfo, packet.NSPing, packet.NSVersion)}
	if l.s.Mode == modeComponent && to == l.s.Domain {
		d.Identities = []stream.Identity{{Category: "gateway", Type: "bridgehost", Name: "bridgehost"}}
	} else {
		d.Identities = []stream.Identity{{Category: "client", Type: "bot", Name: "bridgehost"}}
	}
	return d, true
}

// ownFeatures are what our own address understands beside what every one does.
func ownFeatures() []string { return append(chat.Features(), packet.NSMUC) }

// onState is called by the session at each change, in the order of the stream.
func (l *link) onState(st stream.State) {
	l.mu.Lock()
	l.up, l.state = st.Phase == stream.Up, st
	var all []*entry
	for _, e := range l.rooms {
		all = append(all, e)
	}
	l.mu.Unlock()
	switch st.Phase {
	case stream.Up:
		l.parts.up(st.Resumed)
	case stream.Down:
		l.down()
	case stream.Connecting:
	}
	for _, e := range all {
		switch st.Phase {
		case stream.Up:
			e.room.StreamUp(st.Resumed)
		case stream.Down:
			// A component's stream never goes on where it was; a client's may.
			e.room.StreamDown(l.s.Mode == modeComponent)
		case stream.Connecting:
		}
	}
	l.tell(st)
}

// restate tells the host the state once more: something about it has changed.
func (l *link) restate() {
	l.mu.Lock()
	st := l.state
	l.mu.Unlock()
	l.tell(st)
}

// tell queues a state for report.
func (l *link) tell(st stream.State) {
	for {
		select {
		case l.states <- st:
			return
		default:
		}
		select {
		case <-l.states:
		default:
		}
	}
}

// report tells the host the state of the link until ctx ends.
func (l *link) report(ctx context.Context) {
	for {
		var st stream.State
		select {
		case <-ctx.Done():
			return
		case st = <-l.states:
		}
		r := sdk.Report{State: sdk.StateStarting, Reason: "connecting"}
		switch {
		case st.Phase == stream.Up:
			r.State, r.Reason = sdk.StateUp, "connected"+l.grants()
		case st.Phase == stream.Down && st.Err != nil:
			r.State, r.Reason = sdk.StateDown, st.Err.Error()
		case st.Phase == stream.Down:
			r.State, r.Reason = sdk.StateDown, "not connected"
		}
		if err := l.host.Report(ctx, append(l.chats.Reports(r), r)...); err != nil && ctx.Err() == nil {
			l.host.Log().Warn("state of link not reported", "error", err)
		}
	}
}
