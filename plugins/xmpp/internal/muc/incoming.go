package muc

import (
	"context"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// heard is something that the pump turns into an event: a message as the room
// vouched for it when it came, or the sign that the archive has to be read first.
type heard struct {
	m      *packet.Message
	nick   string
	who    who
	at     time.Time  // when it was said
	stanza string     // the room's id; empty where it assigns none
	past   bool       // of the archive or the history
	entry  bool       // the topic that the room tells to who joins
	hole   bool       // no message: read what was missed from the archive now
	own    bool       // a topic that one of ours has set
	ev     *sdk.Event // what it says, if it is no message
}

// HandleMessage takes a message from the room. It blocks while the host takes no
// events and the buffer is full: then the stream waits too, and nothing is lost.
func (r *Room) HandleMessage(ctx context.Context, m *packet.Message) {
	if m.Type == "error" {
		r.refused(m)
		return
	}
	r.mu.Lock()
	if m.Type != "groupchat" {
		if _, result := m.Extension(convert.NSMAM, "result"); !result {
			answer := r.private(m)
			r.mu.Unlock()
			if answer != nil {
				r.answerPrivate(ctx, answer)
			}
			return
		}
	}
	h, ok := r.read(m)
	r.mu.Unlock()
	if ok {
		r.hear(ctx, h)
	}
}

// hear hands a message to the pump. While the pump itself waits for the archive,
// whose answers come through the caller, a full buffer must not stop the caller:
// then what is said is left to the archive, and the pump reads it from there
// when it has emptied the buffer.
func (r *Room) hear(ctx context.Context, h heard) {
	for {
		r.mu.Lock()
		if r.missed {
			r.mu.Unlock()
			return
		}
		select {
		case r.heard <- h:
			r.enqueued++
			r.mu.Unlock()
			return
		default:
		}
		if r.asking > 0 {
			r.missed = true
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		select {
		case <-r.space:
		case <-r.let:
		case <-ctx.Done():
			return
		}
	}
}

// read decides what a message is: a result of a search, history, our own
// reflection, or news. Called with mu held.
func (r *Room) read(m *packet.Message) (heard, bool) {
	var none heard
	o := r.occupantTo(m.To)
	if o == nil {
		return none, false
	}
	if result, ok := m.Extension(convert.NSMAM, "result"); ok {
		if packet.SameJID(m.From, r.o.JID) {
			r.archived(o, result)
		}
		return none, false
	}
	if m.Type != "groupchat" {
		return none, false
	}
	nick := convert.Resource(m.From)
	if h, told, news := r.history(o, m, nick); told {
		return h, news
	}
	h := heard{m: m, nick: nick, at: r.o.Now(), stanza: r.stanzaID(m)}
	if nick != "" && r.reflected(m, nick) {
		if o == r.bot && h.stanza != "" {
			r.tail = tail{id: h.stanza, at: h.at, after: r.enqueued}
		}
		h.own = true
		return h, o == r.bot && r.o.Source && m.HasSubject() && !m.HasBody()
	}
	if nick == "" {
		r.configured(m)
	}
	if o != r.bot || !r.o.Source || o.phase != in {
		return none, false
	}
	o.heard = h.at
	h.who = r.identity(m, nick)
	return h, true
}

// stanzaID gives the room's id of a message, where the room promises that it is
// its own. Called with mu held.
func (r *Room) stanzaID(m *packet.Message) string {
	if !r.about().stanzaIDs {
		return ""
	}
	return m.StanzaID(r.o.JID)
}

// history takes what the room tells of the past after a join: it ends with the
// subject (XEP-0045 §7.2.14), and all of it has a delay stamp. It reports whether
// the message belongs to it, and whether it is news all the same: a topic that
// was set meanwhile, or what was said while nobody of ours listened in a room
// without an archive. Called with mu held.
func (r *Room) history(o *occupant, m *packet.Message, nick string) (h heard, told, news bool) {
	d, delayed := m.Delay()
	subject := m.HasSubject() && !m.HasBody()
	switch {
	case !o.replaying:
		return h, delayed && packet.SameJID(d.From, r.o.JID), false
	case subject || !delayed:
		o.replaying = false
		if q := o.replay; q != nil && q.ended != nil {
			close(q.ended)
			q.ended = nil
		}
		if subject && o == r.bot && r.o.Source {
			return heard{m: m, nick: nick, at: r.o.Now(), who: r.whoWas(m, nick), entry: true}, true, true
		}
		return h, subject, false
	}
	stanza := r.stanzaID(m)
	if q := o.replay; q != nil && q.query == "" {
		q.take(nick, m.ID, m.OriginID(), stanza)
	}
	if o != r.bot || !r.o.Source || nick == "" {
		return h, true, false
	}
	h = heard{m: m, nick: nick, who: r.whoWas(m, nick), at: d.Stamp, stanza: stanza, past: true}
	if r.unheard(&h) {
		return h, true, true
	}
	r.file(r.seen, &h)
	if !r.about().record && !r.recent.has(h.key()) {
		r.recent.add(h.key())
	}
	return h, true, false
}

// who is the sender of a message, as the room vouches for it.
type who struct {
	key    string // names the person for as long as the room lets us know
	jid    string // real bare JID, if shown
	stay   uint64
	stable bool // key is an occupant-id or a real JID, not only a nick
}

// identity finds out who sent a message: by the occupant-id if the room promises
// one (XEP-0421), by the real JID if the room shows it, else by nick. Called
// with mu held.
func (r *Room) identity(m *packet.Message, nick string) who {
	w := who{key: r.o.JID + "/" + nick}
	if mem := r.members[nick]; mem != nil {
		w.jid, w.stay = mem.jid, mem.stay
	}
	if r.about().occupants {
		if id := occupantID(&m.Attrs); id != "" {
			w.key, w.stable = "occupant:"+id+"@"+r.o.JID, true
			return w
		}
	}
	if w.jid != "" {
		w.key, w.stable = w.jid, true
	}
	return w
}

// occupying names who has a nick now. Called with mu held.
func (r *Room) occupying(nick string) who {
	w := who{key: r.o.JID + "/" + nick}
	mem := r.members[nick]
	switch {
	case mem == nil:
	case mem.id != "":
		w = who{key: "occupant:" + mem.id + "@" + r.o.JID, jid: mem.jid, stay: mem.stay, stable: true}
	case mem.jid != "":
		w = who{key: mem.jid, jid: mem.jid, stay: mem.stay, stable: true}
	default:
		w.stay = mem.stay
	}
	return w
}

// configured notes that the room's configuration has changed (XEP-0045 §10.2):
// what it says of itself is asked for anew. Called with mu held.
func (r *Room) configured(m *packet.Message) {
	user, ok := m.MUCUser()
	if !ok {
		return
	}
	for _, code := range []int{104, 170, 171, 172, 173, 174} {
		if user.Has(code) {
			r.stale = true
			r.nudge()
			return
		}
	}
}
