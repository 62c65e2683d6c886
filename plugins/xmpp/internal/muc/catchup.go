package muc

import (
	"context"
	"errors"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// CatchUp bounds what is read after a time in which nobody of ours listened.
type CatchUp struct {
	MaxAge   time.Duration // older messages are left out; 0 = 7 days, negative = nothing is read
	MaxCount int           // more messages than that are left out; 0 = 10,000
}

// Bounds of a catch-up.
const (
	overlap   = 2 * time.Minute // what is read again where the archive no longer has the last message
	tryAgain  = time.Minute     // pause after a catch-up that did not work
	tries     = 3
	knownMost = 500 // messages of the history that are asked for where there is no archive
)

// withDefaults fills in what is not set.
func (c CatchUp) withDefaults() CatchUp {
	if c.MaxAge == 0 {
		c.MaxAge = 7 * 24 * time.Hour
	}
	if c.MaxCount <= 0 {
		c.MaxCount = 10_000
	}
	return c
}

// began notes that the link's own occupant has come in: what was said since the
// mark is to be heard before anything that is said now. Called with mu held.
func (r *Room) began() {
	r.replaySince = r.heardAt
	if !r.o.Source {
		return
	}
	select {
	case r.heard <- heard{hole: true}:
		r.enqueued++
	default:
		r.missed = true // read when the buffer is empty
	}
}

// unheard reports whether a message of the history has not crossed yet, in a
// room that has no archive to tell. Of a room that is only being made nobody
// knows yet whether it has one: a server that forgot the room in a crash may
// still have its archive. Called with mu held.
func (r *Room) unheard(h *heard) bool {
	if r.info == nil || r.info.record || r.replaySince.IsZero() || r.o.CatchUp.MaxAge < 0 || r.ours(h.m) {
		return false
	}
	if r.o.Now().Sub(h.at) > r.o.CatchUp.MaxAge {
		return false
	}
	if h.stanza == "" && h.m.ID == "" { // the same words may be said again
		return h.at.After(r.replaySince)
	}
	return h.at.After(r.replaySince.Add(-overlap)) && !r.recent.has(h.key())
}

// catchUp reads what was said since the mark from the archive and publishes it.
// Live messages wait in the buffer meanwhile. Where the archive does not answer
// they go on after a while, the mark stays, and the hole is read later. Only the
// pump calls it.
func (r *Room) catchUp(ctx context.Context) {
	r.mu.Lock()
	r.missed = false
	epoch, first := r.epoch, r.mark.At.IsZero()
	live := r.up && r.bot.phase == in && r.info != nil
	if live && !r.info.record || r.o.CatchUp.MaxAge < 0 {
		if first && live || r.o.CatchUp.MaxAge < 0 {
			r.moveMark("", r.o.Now())
		}
		r.again = time.Time{}
		r.mu.Unlock()
		return
	}
	r.again = r.o.Now().Add(tryAgain) // until it has worked
	r.mu.Unlock()
	if !live {
		return // the next join brings another attempt
	}
	var err error
	for try := range tries {
		if try > 0 && pauseFor(ctx, time.Second<<try) != nil {
			return
		}
		if first {
			err = r.seed(ctx)
		} else {
			err = r.fill(ctx)
		}
		if err == nil || ctx.Err() != nil || archiveRefused(err) || !r.same(epoch) {
			break
		}
	}
	r.filled(ctx, err)
}

// same reports whether the stream is still the one of the epoch.
func (r *Room) same(epoch int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up && r.epoch == epoch && r.bot.phase == in
}

// filled notes how a catch-up ended.
func (r *Room) filled(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		r.again = time.Time{}
	case archiveRefused(err):
		r.again = time.Time{} // asking again does not help
		r.o.Log.Error("the room's archive is closed to us: what was said while nobody listened is not known", "error", err)
	default:
		r.again = r.o.Now().Add(tryAgain)
		r.o.Log.Warn("what was said while nobody listened cannot be read from the room's archive yet", "retry", tryAgain, "error", err)
	}
}

// seed makes the first mark of a room: the end of its archive.
func (r *Room) seed(ctx context.Context) error {
	kept, got, err := r.readPage(ctx, mam.Question{Back: true, Max: 1})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.o.Now()
	if n := len(kept); n > 0 && !kept[n-1].stamp.IsZero() {
		at = kept[n-1].stamp
	}
	r.moveMark(got.Last, at)
	return nil
}

// fill reads the hole page by page, publishes each page, and moves the mark
// behind it.
func (r *Room) fill(ctx context.Context) error {
	ask, cut := r.from()
	if cut {
		r.o.Log.Warn("the room was not heard for longer than may be caught up; the older part is left out", "max_age", r.o.CatchUp.MaxAge)
	}
	stepped, news := false, 0
	for {
		kept, got, err := r.readPage(ctx, ask)
		switch {
		case errors.Is(err, errGone) && !stepped:
			// The message that we stood at has expired (XEP-0059 §2.2).
			stepped = true
			r.mu.Lock()
			ask = mam.Question{Start: r.mark.At.Add(-overlap)}
			r.mu.Unlock()
			continue
		case err != nil:
			return err
		}
		n, err := r.tellPast(ctx, kept)
		if err != nil {
			return err
		}
		if got.Last != "" {
			r.arrive(got.Last, kept)
		}
		if got.Complete || got.Last == "" || got.Last == ask.After {
			return nil
		}
		if news += n; news >= r.o.CatchUp.MaxCount {
			r.o.Log.Warn("more was said while nobody listened than may be caught up; the rest is left out", "max_count", r.o.CatchUp.MaxCount)
			return r.seed(ctx)
		}
		ask.After = got.Last
	}
}

// from says where the hole begins, and whether its older part is left out.
func (r *Room) from() (ask mam.Question, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.o.Now().Add(-r.o.CatchUp.MaxAge)
	switch {
	case r.mark.At.Before(oldest):
		return mam.Question{Start: oldest}, true
	case r.mark.ID != "":
		return mam.Question{After: r.mark.ID}, false
	default:
		// The archive was empty then, and its clock may be another.
		return mam.Question{Start: r.mark.At.Add(-overlap)}, false
	}
}

// arrive moves the mark to the end of a page that has been published.
func (r *Room) arrive(last string, kept []past) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.mark.At
	if n := len(kept); n > 0 && kept[n-1].stamp.After(at) {
		at = kept[n-1].stamp
	}
	r.moveMark(last, at)
}

// tellPast publishes what a page of the archive says, and counts it.
func (r *Room) tellPast(ctx context.Context, kept []past) (int, error) {
	var events []sdk.Event
	for _, p := range kept {
		h := r.fromPast(p)
		r.mu.Lock()
		known := r.recent.has(p.id)
		r.recent.add(p.id)
		switch {
		case r.ours(p.m):
			r.file(r.seen, &h)
			known = true
		case tombstone(p.m): // it never crossed, and must not now
			r.file(r.seen, &h)
			if v := r.seen.stanza(p.id); v != nil && !known {
				v.gone = true
			}
			known = true
		}
		r.mu.Unlock()
		if known {
			continue
		}
		if ev, ok := r.news(ctx, &h); ok {
			events = append(events, ev)
		}
	}
	for rest := events; len(rest) > 0; {
		n := min(len(rest), maxBatch)
		if err := r.publish(ctx, rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(events), nil
}

// fromPast makes what was heard of a message of the archive.
func (r *Room) fromPast(p past) heard {
	nick := convert.Resource(p.m.From)
	r.mu.Lock()
	defer r.mu.Unlock()
	h := heard{m: p.m, nick: nick, who: r.whoWas(p.m, nick), at: p.stamp, stanza: p.id, past: true}
	if h.at.IsZero() || h.at.After(r.o.Now()) {
		h.at = r.o.Now()
	}
	if packet.SameJID(p.m.From, r.o.JID) {
		h.nick = ""
	}
	return h
}
