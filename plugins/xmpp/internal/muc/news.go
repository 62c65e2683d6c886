package muc

import (
	"context"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// elsewhere stands in the path of an event for the link of another bridge.
const elsewhere = "elsewhere"

// news makes an event of what was heard. The message that it is about may have
// to be looked up in the archive. Only the pump calls it.
func (r *Room) news(ctx context.Context, h *heard) (sdk.Event, bool) {
	if h.ev != nil {
		return *h.ev, true
	}
	now := r.o.Now()
	got := r.reading(h, now)
	ev := sdk.Event{Time: h.at.UTC(), Place: sdk.Ref{ID: r.o.Place}, Actor: actorOf(h.who, r.o.JID, h.nick)}
	if convert.Relayed(h.m.ID, h.m.OriginID()) {
		ev.Via = []sdk.LinkID{elsewhere}
	}
	if got.ID.Stanza != "" {
		ev.Dedup = "room:" + r.o.JID + "|" + got.ID.Stanza
	}
	switch got.Kind {
	case convert.Text, convert.Sealed:
		ev.Change = r.created(ctx, got, h)
	case convert.Correct:
		ev.Change = r.corrected(ctx, got, h)
	case convert.Retract:
		v := r.sent(ctx, h.who, got.Target)
		if v == nil {
			return ev, false
		}
		ev.Change = sdk.ItemRetracted{Target: sdk.Target{Remote: v.remote}}
	case convert.Moderate:
		if r.isOurs(got.Moderator) {
			return ev, false // it came from elsewhere, by us
		}
		v := r.target(ctx, got.Target)
		if v == nil || v.gone {
			return ev, false
		}
		ev.Actor = r.moderator(got.Moderator)
		ev.Change = sdk.ItemRetracted{Target: sdk.Target{Remote: v.remote}, Moderated: true, Reason: got.Reason}
	case convert.React:
		v := r.target(ctx, got.Target)
		if v == nil || v.gone {
			return ev, false
		}
		ev.Change = sdk.ReactionsSet{Target: sdk.Target{Remote: v.remote}, Reactions: got.Reactions}
	case convert.Topic:
		return r.topicSet(ev, got.Topic, h)
	default:
		return ev, false
	}
	return ev, h.nick != "" || got.Kind == convert.Moderate
}

// reading is what a message says, under the id and the time that the room gave
// it when it came: the same for a live message and for that of the archive.
func (r *Room) reading(h *heard, now time.Time) convert.Reading {
	got := convert.FromGroupchat(h.m, convert.Room{JID: r.o.JID}, now)
	got.ID.Stanza = h.stanza
	if got.Item.Origin.ID != "" || h.stanza != "" {
		got.Item.Origin.ID = got.ID.Remote()
	}
	if h.past && !h.at.IsZero() && h.at.Before(now) {
		got.Item.Created = h.at
		if got.Kind == convert.Correct {
			got.Item.Edited = h.at
		}
	}
	return got
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
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.doer(nick)
}

// isOurs reports whether a nick is one of ours.
func (r *Room) isOurs(nick string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return nick != "" && r.nicks[nick] != nil
}

// topicSet gives the change of the topic, unless it is what it was before. The
// first topic that is seen of a room is no news.
func (r *Room) topicSet(ev sdk.Event, topic string, h *heard) (sdk.Event, bool) {
	sum := digest(topic)
	was := r.mark.Topic
	r.mark.Topic, r.dirty = sum, true
	if was == sum || h.own || h.entry && was == "" {
		return ev, false
	}
	if h.nick == "" {
		ev.Actor = r.moderator("")
	}
	ev.Change = sdk.ConversationUpdated{Topic: sdk.NewText(topic)}
	return ev, true
}

// created files a message and gives its change.
func (r *Room) created(ctx context.Context, got convert.Reading, h *heard) sdk.Change {
	it := got.Item
	if got.ReplyTo != "" {
		if v := r.target(ctx, got.ReplyTo); v != nil {
			it.ReplyTo = sdk.Target{Remote: v.remote}
		}
	}
	if it.Origin.ID == "" {
		it.Origin.ID = convert.ID{Room: r.o.JID, Message: "t" + h.at.UTC().Format("20060102150405.000000000"), From: got.ID.From}.Remote()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.add(&sight{remote: it.Origin.ID, author: h.who.key, joins: h.who.stay, from: h.m.From, text: excerpt(it.Body())}, got.ID.Message, got.ID.Stanza)
	return sdk.ItemCreated{Item: it}
}

// corrected gives the change of a correction, if its sender sent what it
// corrects; else it is a message like any other (XEP-0308 §5).
func (r *Room) corrected(ctx context.Context, got convert.Reading, h *heard) sdk.Change {
	v := r.original(ctx, h.who, got.Target)
	if v == nil || !sameSender(v, h.who) {
		got.Item.Edited = time.Time{}
		return r.created(ctx, got, h)
	}
	it := got.Item
	it.Origin.ID = v.remote
	alias := *v
	alias.keys = [2]string{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.add(&alias, got.ID.Message, got.ID.Stanza)
	return sdk.ItemUpdated{Target: sdk.Target{Remote: v.remote}, Item: it}
}

// sameSender reports whether w sent v: the same identity and, where that is only
// a nick, the same stay in the room (XEP-0308 §5, XEP-0424 §5).
func sameSender(v *sight, w who) bool {
	return v.author == w.key && (w.stable || v.joins != 0 && v.joins == w.stay)
}

// file remembers a message of the past for what will refer to it: corrections
// under the name of what they correct. Called with mu held.
func (r *Room) file(in *seen, h *heard) {
	m := h.m
	author, message := h.who.key, m.ID
	own := r.ours(m)
	if own {
		author = ownAuthor
	}
	if message == "" || own && !r.tagged(message) {
		message = m.OriginID()
	}
	known := h.stanza != "" && (r.knows(in, h) || r.knows(r.seen, h))
	if known || h.stanza == "" && message == "" || !m.HasBody() && !tombstone(m) {
		return
	}
	if own && len(convert.PartsOf(message)) > 1 {
		r.filePart(in, h, message)
		return
	}
	id := convert.ID{Room: r.o.JID, Stanza: h.stanza, Message: message, From: h.nick}
	v := &sight{remote: id.Remote(), author: author, joins: h.who.stay, from: m.From, text: excerpt(m.Body())}
	if e, ok := m.Extension(convert.NSCorrect, "replace"); ok {
		first := in.message(author, e.Get("id"))
		if first == nil {
			first = r.seen.message(author, e.Get("id"))
		}
		if first != nil && (own || sameSender(first, h.who)) {
			alias := *first
			alias.keys = [2]string{}
			v = &alias
		}
	}
	in.add(v, message, h.stanza)
}

// knows reports whether a message of the past is filed already. What is filed
// under a nick alone is filed again when its sender is known. Called with mu held.
func (r *Room) knows(in *seen, h *heard) bool {
	v := in.stanza(h.stanza)
	return v != nil && (v.author == h.who.key || !h.who.stable || v.author != r.o.JID+"/"+h.nick)
}

// filePart remembers one of several messages of ours that are one copy. Only when
// all are known the copy has its name. Called with mu held.
func (r *Room) filePart(in *seen, h *heard, message string) {
	ids := convert.PartsOf(message)
	base := baseOf(message)
	hits := in.partial[base]
	if len(hits) != len(ids) {
		if len(in.partial) >= maxPartial {
			clear(in.partial)
		}
		hits = make([]hit, len(ids))
		in.partial[base] = hits
	}
	hits[slices.Index(ids, message)] = hit{stanza: h.stanza, nick: h.nick}
	if !whole(hits) {
		return
	}
	delete(in.partial, base)
	remote := r.copyOf(base, hits).Remote()
	for i, got := range hits {
		in.add(&sight{remote: remote, author: ownAuthor, from: h.m.From, text: excerpt(h.m.Body())}, ids[i], got.stanza)
	}
}

// tagged reports whether an id is one that this link gives. Anybody can write
// it, so it proves nothing; who does only hides a message of their own.
func (r *Room) tagged(id string) bool { return r.o.Tag != "" && strings.HasPrefix(id, r.o.Tag) }

// ours reports whether a message of the past bears an id of this link.
func (r *Room) ours(m *packet.Message) bool { return r.tagged(m.ID) || r.tagged(m.OriginID()) }

// ownAuthor is the author of what is ours in sights.
const ownAuthor = "\x00own"

// tombstone reports whether a message of the archive is only what is left of one
// that was taken back (XEP-0424 §4, XEP-0425 §4, both versions).
func tombstone(m *packet.Message) bool {
	if _, ok := m.Extension(convert.NSRetract, "retracted"); ok {
		return true
	}
	if _, ok := m.Extension(convert.NSRetractOld, "retracted"); ok {
		return true
	}
	e, ok := m.Extension(convert.NSModerateOld, "moderated")
	if !ok {
		return false
	}
	_, ok = e.Child(convert.NSRetractOld, "retracted")
	return ok
}
