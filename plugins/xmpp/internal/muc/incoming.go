package muc

import (
	"context"
	"errors"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// HandleMessage takes a message from the room. It blocks while the host takes no
// events and the buffer is full: then the stream waits too, and nothing is lost.
func (r *Room) HandleMessage(ctx context.Context, m *packet.Message) {
	if m.Type == "error" {
		r.refused(m)
		return
	}
	r.mu.Lock()
	ev, ok := r.read(m)
	r.mu.Unlock()
	if !ok {
		return
	}
	select {
	case r.events <- &ev:
	case <-ctx.Done():
	}
}

// read decides what a message is: a result of a search, history, our own
// reflection, or news. Called with mu held.
func (r *Room) read(m *packet.Message) (sdk.Event, bool) {
	var none sdk.Event
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
	if r.history(o, m, nick) {
		return none, false
	}
	if nick != "" && r.reflected(m, nick) {
		return none, false
	}
	if o != r.bot || !r.o.Source || o.phase != in {
		return none, false
	}
	o.heard = r.o.Now()
	return r.news(m, nick)
}

// history reports whether a message belongs to what the room tells of the past
// after a join: it ends with the subject (XEP-0045 §7.2.14), and all of it has a
// delay stamp.
func (r *Room) history(o *occupant, m *packet.Message, nick string) bool {
	d, delayed := m.Delay()
	subject := m.HasSubject() && !m.HasBody()
	switch {
	case !o.replaying:
		return delayed && packet.SameJID(d.From, r.o.JID)
	case subject || !delayed:
		o.replaying = false
		if q := o.replay; q != nil && q.ended != nil {
			close(q.ended)
			q.ended = nil
		}
		if subject && o == r.bot {
			r.topic = m.Subject()
		}
		return subject
	}
	stanza := ""
	if r.about().stanzaIDs {
		stanza = m.StanzaID(r.o.JID)
	}
	if q := o.replay; q != nil && q.query == "" {
		q.take(nick, m.ID, m.OriginID(), stanza)
	}
	if o == r.bot && r.o.Source && nick != "" && m.HasBody() {
		id := convert.ID{Room: r.o.JID, Stanza: stanza, Message: m.ID, From: nick}
		if stanza == "" || r.seen.stanza(stanza) == nil {
			r.seen.add(&sight{remote: id.Remote(), author: r.identity(m, nick).key, from: m.From}, m.ID, stanza)
		}
	}
	return true
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
		id, count := "", 0
		for _, e := range m.Extensions {
			if e.Is(convert.NSOccupantID, "occupant-id") {
				id = e.Get("id")
				count++
			}
		}
		if count == 1 && id != "" {
			w.key, w.stable = "occupant:"+id+"@"+r.o.JID, true
			return w
		}
	}
	if w.jid != "" {
		w.key, w.stable = w.jid, true
	}
	return w
}

// news makes an event of a message that was said just now. Called with mu held.
func (r *Room) news(m *packet.Message, nick string) (sdk.Event, bool) {
	now := r.o.Now()
	got := convert.FromGroupchat(m, convert.Room{JID: r.o.JID, StanzaIDs: r.about().stanzaIDs}, now)
	w := r.identity(m, nick)
	ev := sdk.Event{Time: now.UTC(), Place: sdk.Ref{ID: r.o.Place}, Actor: actorOf(w, r.o.JID, nick)}
	if convert.Relayed(m.ID, m.OriginID()) {
		ev.Via = []sdk.LinkID{elsewhere}
	}
	if got.ID.Stanza != "" {
		ev.Dedup = "room:" + r.o.JID + "|" + got.ID.Stanza
	}
	switch got.Kind {
	case convert.Text, convert.Sealed:
		ev.Change = r.created(got, w, m)
	case convert.Correct:
		ev.Change = r.corrected(got, w, m)
	case convert.Retract:
		v := r.seen.stanza(got.Target)
		if v == nil || !r.sameSender(v, w) {
			return ev, false
		}
		ev.Change = sdk.ItemRetracted{Target: sdk.Target{Remote: v.remote}}
	case convert.Moderate:
		v := r.seen.stanza(got.Target)
		if v == nil {
			return ev, false
		}
		ev.Actor = r.moderator(got.Moderator)
		ev.Change = sdk.ItemRetracted{Target: sdk.Target{Remote: v.remote}, Moderated: true, Reason: got.Reason}
	case convert.React:
		v := r.seen.stanza(got.Target)
		if v == nil {
			return ev, false
		}
		ev.Change = sdk.ReactionsSet{Target: sdk.Target{Remote: v.remote}, Reactions: got.Reactions}
	case convert.Topic:
		if got.Topic == r.topic {
			return ev, false
		}
		r.topic = got.Topic
		if nick == "" {
			ev.Actor = r.moderator("")
		}
		ev.Change = sdk.ConversationUpdated{Topic: sdk.NewText(got.Topic)}
	default:
		return ev, false
	}
	return ev, nick != "" || got.Kind == convert.Moderate || got.Kind == convert.Topic
}

// actorOf gives the sender as an actor whose home is this link.
func actorOf(w who, room, nick string) sdk.Actor {
	a := sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(w.key)}, Handle: w.jid, Name: nick}
	if a.Handle == "" {
		a.Handle = room + "/" + nick
	}
	return a
}

// moderator gives who moderated: the occupant that the room names, or the room.
func (r *Room) moderator(nick string) sdk.Actor {
	if nick == "" {
		return sdk.Actor{Kind: sdk.ActorService, Home: sdk.Ref{ID: sdk.RemoteID(r.o.JID)}, Handle: r.o.JID, Name: r.o.JID}
	}
	return actorOf(r.identity(&packet.Message{}, nick), r.o.JID, nick)
}

// created files a new message and gives its change.
func (r *Room) created(got convert.Reading, w who, m *packet.Message) sdk.Change {
	it := got.Item
	if got.ReplyTo != "" {
		if v := r.seen.stanza(got.ReplyTo); v != nil {
			it.ReplyTo = sdk.Target{Remote: v.remote}
		}
	}
	if it.Origin.ID == "" {
		it.Origin.ID = convert.ID{Room: r.o.JID, Message: "t" + r.o.Now().UTC().Format("20060102150405.000000000"), From: got.ID.From}.Remote()
	}
	r.seen.add(&sight{remote: it.Origin.ID, author: w.key, joins: w.stay, from: m.From}, got.ID.Message, got.ID.Stanza)
	return sdk.ItemCreated{Item: it}
}

// corrected gives the change of a correction, if its sender sent what it
// corrects; else it is a message like any other (XEP-0308 §5).
func (r *Room) corrected(got convert.Reading, w who, m *packet.Message) sdk.Change {
	v := r.seen.message(w.key, got.Target)
	if v == nil || !r.sameSender(v, w) {
		got.Item.Edited = time.Time{}
		return r.created(got, w, m)
	}
	it := got.Item
	it.Origin.ID = v.remote
	alias := *v
	alias.keys = [2]string{}
	r.seen.add(&alias, got.ID.Message, got.ID.Stanza)
	return sdk.ItemUpdated{Target: sdk.Target{Remote: v.remote}, Item: it}
}

// sameSender reports whether w sent v: the same identity and, where that is only
// a nick, the same stay in the room (XEP-0308 §5, XEP-0424 §5).
func (r *Room) sameSender(v *sight, w who) bool {
	return v.author == w.key && (w.stable || v.joins != 0 && v.joins == w.stay)
}

// maxBatch is the most that is published at a time.
const maxBatch = 128

// pump hands events to the host in order. One that the host does not take now is
// tried again until it does; the room waits meanwhile.
func (r *Room) pump(ctx context.Context) {
	var batch []sdk.Event
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			r.flush(ctx, nil)
			return
		case ev := <-r.events:
			batch = append(batch, *ev)
		}
		batch = r.waiting(batch, maxBatch)
		if r.publish(ctx, batch) != nil {
			r.flush(ctx, batch)
			return
		}
	}
}

// waiting adds what waits to a batch, up to n.
func (r *Room) waiting(batch []sdk.Event, n int) []sdk.Event {
	for len(batch) < n {
		select {
		case ev := <-r.events:
			batch = append(batch, *ev)
		default:
			return batch
		}
	}
	return batch
}

// flush makes one last attempt to hand over what was heard before the end.
func (r *Room) flush(ctx context.Context, batch []sdk.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for {
		if batch = r.waiting(batch, max(len(batch), maxBatch)); len(batch) == 0 {
			return
		}
		if err := r.host.Publish(ctx, batch...); err != nil {
			r.o.Log.Error("events of a room are lost: the host did not take them before the end", "events", len(batch)+len(r.events), "error", err)
			return
		}
		batch = batch[:0]
	}
}

// publish hands a batch over. It only returns an error when ctx has ended.
func (r *Room) publish(ctx context.Context, batch []sdk.Event) error {
	pause := 100 * time.Millisecond
	for {
		err := r.host.Publish(ctx, batch...)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !sdk.KindOf(err).Temporary():
			return r.publishEach(ctx, batch, err)
		}
		wait := pause
		var e *sdk.Error
		if errors.As(err, &e) && e.After > 0 {
			wait = e.After
		}
		r.o.Log.Warn("host takes no events now", "events", len(batch), "retry", wait, "error", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// publishEach finds the event that the host refuses for good, and goes on
// without it.
func (r *Room) publishEach(ctx context.Context, batch []sdk.Event, why error) error {
	if len(batch) == 1 {
		r.o.Log.Error("host refuses an event of a room", "kind", batch[0].Kind().String(), "error", why)
		return nil
	}
	for i := range batch {
		if err := r.publish(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere stands in the path of an event for the link of another bridge.
const elsewhere = "elsewhere"
