package muc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/sdk"
)

// hit is a message of ours that the room already has.
type hit struct {
	stanza string // stanza-id by the room, if known
	nick   string
	parts  int // not 0: the delivery took so many messages, each with a hit of its own
}

// looked is what a search of the archive found, so that the next uncertain
// deliveries of the same stream need no search of their own: after a crash there
// are hundreds of them, and an archive may take a second for each look.
type looked struct {
	stream time.Time      // when the stream began on which it was found
	since  time.Time      // from where on
	hits   map[string]hit // every message of this link, by message id
}

// maxLooked bounds the messages that are remembered of one search.
const maxLooked = 50_000

// Bounds of a search.
const (
	margin   = 2 * time.Minute // clocks of host and server may differ by so much
	maxPages = 2000
	// calm is the age of a connection from which nothing of the one before it
	// can still arrive. Some servers (ejabberd) take a new connection while they
	// still work off the old one.
	calm = 750 * time.Millisecond
)

// search looks for the uncertain deliveries in the room: in its archive
// (XEP-0313), or where it has none in the history that it tells to who joins
// (XEP-0045 §7.2.13). It returns those found by message id.
func (r *Room) search(ctx context.Context, deliveries []sdk.Delivery) (map[string]hit, *sdk.Error) {
	want := map[string]bool{}
	var since time.Time
	var first *sdk.Delivery
	for i := range deliveries {
		d := &deliveries[i]
		if !d.Uncertain {
			continue
		}
		want[convert.MessageID(r.o.Tag, d.ID)] = true
		if first == nil {
			first = d
		}
		if since.IsZero() || d.Since.Before(since) {
			since = d.Since
		}
	}
	if first == nil {
		return nil, nil
	}
	since = since.Add(-margin)
	o, _, err := r.author(ctx, first.Event.Actor)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	look, young, stream := r.searchHistory, calm-r.o.Now().Sub(r.upAt), r.upAt
	archive := r.about().archive
	if archive {
		look = r.searchArchive
	}
	known := r.looked.answers(stream, since, want, r.doubted)
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := look(ctx, o, since, want)
	if err == nil && young <= 0 && archive && len(found) <= maxLooked {
		r.remember(stream, since, found)
	}
	if err != nil || young <= 0 || covers(found, want) {
		return found, err
	}
	t := time.NewTimer(young)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, sdk.AsError("search "+r.o.JID, ctx.Err())
	}
	return look(ctx, o, since, want)
}

// covers reports whether every wanted message was found.
func covers(found map[string]hit, want map[string]bool) bool {
	for id := range want {
		if !whole(inRoom(found, id)) {
			return false
		}
	}
	return true
}

// inRoom gives where the messages of a delivery are in the room, in order; the
// zero hit for one that is missing. It gives none when no message was found.
func inRoom(found map[string]hit, base string) []hit {
	h, ok := found[base]
	switch {
	case !ok:
		return nil
	case h.parts == 0:
		return []hit{h}
	}
	var hits []hit
	for _, id := range convert.PartIDs(base, h.parts) {
		hits = append(hits, found[id])
	}
	return hits
}

// whole reports whether no message is missing.
func whole(hits []hit) bool { return len(hits) > 0 && !slices.Contains(hits, hit{}) }

// answers gives what an earlier search on the same stream says about the wanted
// messages; nil when it says nothing: it began later, or one of them was sent
// on this stream and never reflected.
func (l *looked) answers(stream, since time.Time, want map[string]bool, doubted map[string]bool) map[string]hit {
	if l == nil || !l.stream.Equal(stream) || since.Before(l.since) || len(l.hits) > maxLooked {
		return nil
	}
	found := map[string]hit{}
	for id := range want {
		if doubted[id] {
			return nil
		}
		h, ok := l.hits[id]
		if !ok {
			continue
		}
		found[id] = h
		if h.parts == 0 {
			continue
		}
		for _, part := range convert.PartIDs(id, h.parts) {
			if h, ok := l.hits[part]; ok {
				found[part] = h
			}
		}
	}
	return found
}

// add notes a message that the room reflected after the search: its receipt may
// be lost on the way, and the delivery come again.
func (l *looked) add(id string, h hit) {
	if l != nil {
		file(l.hits, id, h)
	}
}

// file notes where a message is; of one that is a part also that there are parts.
func file(hits map[string]hit, id string, h hit) {
	hits[id] = h
	if parts := convert.PartsOf(id); len(parts) > 1 {
		hits[baseOf(id)] = hit{parts: len(parts)}
	}
}

// baseOf gives the id that the messages of one delivery share.
func baseOf(id string) string {
	if len(convert.PartsOf(id)) > 1 {
		return id[:strings.LastIndexByte(id, '~')]
	}
	return id
}

// remember keeps what a search found while its stream lives.
func (r *Room) remember(stream, since time.Time, found map[string]hit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.upAt.Equal(stream) {
		r.looked, r.doubted = &looked{stream: stream, since: since, hits: found}, map[string]bool{}
	}
}

// searchArchive pages through the archive from since on to its end, and finds
// all messages of this link. What the archive has grown by meanwhile is of other people.
func (r *Room) searchArchive(ctx context.Context, o *occupant, since time.Time, want map[string]bool) (map[string]hit, *sdk.Error) {
	op := "search the archive of " + r.o.JID
	found := map[string]hit{}
	ask := mam.Question{Start: since}
	for range maxPages {
		q := &replay{by: o, want: want, tag: r.o.Tag, found: found}
		got, err := r.page(ctx, q, ask)
		if errors.Is(err, errGone) {
			return found, nil // the message that we stood at has expired: XEP-0059 §2.2
		}
		if err != nil {
			return nil, &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the room's archive does not answer", Err: err}
		}
		if got.Complete || got.Last == "" || got.Last == ask.After {
			return found, nil
		}
		ask.After = got.Last
	}
	return nil, &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the room's archive is too long to look through"}
}

// take notes a message if it is one of those looked for.
func (q *replay) take(nick, id, origin, stanza string) {
	for _, key := range []string{id, origin} {
		if q.want[key] || q.want[baseOf(key)] || q.tag != "" && strings.HasPrefix(key, q.tag) {
			file(q.found, key, hit{stanza: stanza, nick: nick})
		}
	}
}

// searchHistory joins anew and reads the history. Rooms keep only so much of it;
// what is older than that is taken as not sent.
func (r *Room) searchHistory(ctx context.Context, o *occupant, since time.Time, want map[string]bool) (map[string]hit, *sdk.Error) {
	ended := make(chan struct{})
	q := &replay{want: want, found: map[string]hit{}, ended: ended}
	r.leave(ctx, o)
	r.mu.Lock()
	o.replay = q
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		o.replay = nil
		r.mu.Unlock()
	}()
	if err := r.enter(ctx, o, since); err != nil {
		return nil, err
	}
	t := time.NewTimer(r.o.Settle)
	defer t.Stop()
	select {
	case <-ended:
		return q.found, nil
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, &sdk.Error{Op: "read the history of " + r.o.JID, Kind: sdk.Transient, Public: "the room does not tell its history"}
}
