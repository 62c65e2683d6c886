package muc

import (
	"context"
	"slices"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
)

// What a message refers to may be older than what is in memory, above all after
// a restart. Then the archive is asked: nothing about the sender of a message is
// believed that the room does not vouch for (XEP-0308 §5, XEP-0424 §5).

// Bounds of looking things up.
const (
	maxPast  = 2048             // messages of the archive that are remembered
	backMost = 10               // pages that are read from the end of the archive
	restLook = 10 * time.Second // after looking in vain nothing is looked for so long
)

// target finds the message with the room's id; nil when nobody knows it.
func (r *Room) target(ctx context.Context, stanza string) *sight {
	if v := r.recall(func(s *seen) *sight { return s.stanza(stanza) }); v != nil {
		return v
	}
	return r.look(ctx, mam.Question{ID: stanza}, func(s *seen) *sight { return s.stanza(stanza) })
}

// sent finds the message with the room's id if w sent it; nil when it was somebody
// else, or when nobody knows. A message of the history that follows a join names
// its sender by nick alone where the room has no occupant-id; its archive may say
// more.
func (r *Room) sent(ctx context.Context, w who, stanza string) *sight {
	v := r.target(ctx, stanza)
	if v != nil && !sameSender(v, w) && w.stable && v.author == r.o.JID+"/"+convert.Resource(v.from) {
		v = r.look(ctx, mam.Question{ID: stanza}, func(s *seen) *sight {
			if v := s.stanza(stanza); v != nil && sameSender(v, w) {
				return v
			}
			return nil
		})
	}
	if v == nil || v.gone || !sameSender(v, w) {
		return nil
	}
	return v
}

// original finds what its author sent under the message id; nil when nobody
// knows it, or when the room lets nobody know who the author of old messages is.
func (r *Room) original(ctx context.Context, w who, id string) *sight {
	find := func(s *seen) *sight { return s.message(w.key, id) }
	if v := r.recall(find); v != nil || !w.stable {
		return v
	}
	return r.look(ctx, mam.Question{}, find)
}

// recall looks in memory.
func (r *Room) recall(find func(*seen) *sight) *sight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := find(r.seen); v != nil {
		return v
	}
	return find(r.past)
}

// look asks the archive: for the one message where it knows messages by id, else
// for its last pages. Somebody who refers to what does not exist must not make
// us read for ever, so it rests after looking in vain.
func (r *Room) look(ctx context.Context, ask mam.Question, find func(*seen) *sight) *sight {
	r.mu.Lock()
	about := r.about()
	rest := r.o.Now().Before(r.lookAgain) || !about.record || !r.up || r.bot.phase != in || ctx.Err() != nil
	byID := ask.ID != "" && about.byID
	r.mu.Unlock()
	if rest {
		return nil
	}
	if byID {
		if kept, _, err := r.readPage(ctx, mam.Question{ID: ask.ID, Max: 1}); err == nil {
			r.learn(kept)
		}
	} else {
		r.readBack(ctx, find)
	}
	v := r.recall(find)
	if v == nil {
		r.mu.Lock()
		r.lookAgain = r.o.Now().Add(restLook)
		r.mu.Unlock()
	}
	return v
}

// readBack reads the archive from its end until find succeeds.
func (r *Room) readBack(ctx context.Context, find func(*seen) *sight) {
	ask := mam.Question{Back: true}
	var all []past
	for range backMost {
		kept, got, err := r.readPage(ctx, ask)
		if err != nil {
			r.o.Log.Debug("archive not read", "error", err)
			return
		}
		all = append(slices.Clone(kept), all...)
		r.mu.Lock()
		r.past = newSeen(maxPast) // anew, since a correction has to be filed after what it corrects
		r.mu.Unlock()
		r.learn(all)
		if r.recall(find) != nil || got.Complete || got.First == "" || got.First == ask.Before {
			return
		}
		ask.Before = got.First
	}
}

// learn remembers messages of the archive.
func (r *Room) learn(all []past) {
	for _, p := range all {
		h := r.fromPast(p)
		r.mu.Lock()
		r.file(r.past, &h)
		r.mu.Unlock()
	}
}
