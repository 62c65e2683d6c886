package muc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"bridgehost/sdk"
)

// Store keeps a few values durably; sdk.Store is one.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// mark says up to where a room has been heard. Everything up to it has been
// handed to the host.
type mark struct {
	ID    string    `json:"id,omitempty"` // archive id; empty where the room gave none
	At    time.Time `json:"at"`           // when that was; zero = never heard
	Topic string    `json:"topic,omitempty"`
	// For rooms without an archive: what was heard last, and what corrections
	// may refer to.
	Recent []string `json:"recent,omitempty"`
	Sights []stored `json:"sights,omitempty"`
}

// stored is a sight as the mark keeps it.
type stored struct {
	Remote  sdk.RemoteID `json:"r"`
	Author  string       `json:"a"`
	From    string       `json:"f,omitempty"`
	Message string       `json:"m,omitempty"`
	Stanza  string       `json:"s,omitempty"`
}

// tail is the newest message of ours that the room showed: the mark may move
// behind it when everything before it has been handed over.
type tail struct {
	id    string
	at    time.Time
	after uint64 // how many messages had been queued before
}

const (
	saveEvery   = 2 * time.Second // a mark is written that often at most
	maxRecent   = 2 * maxWaiting  // messages that are known to have been heard
	storedMost  = 100             // of what a mark keeps of a room without an archive
	maxMarkSize = 60 << 10
)

// digest shortens a text to what tells it from others.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// markKey is where the mark is kept: keys have at most 256 bytes.
func (r *Room) markKey() string {
	if len(r.o.JID) <= 200 {
		return "room." + r.o.JID
	}
	return "room." + digest(r.o.JID)
}

// load reads the mark. Until that has worked nobody listens, since a hole that
// is not known is lost.
func (r *Room) load(ctx context.Context) error {
	if r.o.Store == nil {
		return nil
	}
	raw, err := r.o.Store.Get(ctx, r.markKey())
	if err != nil {
		return err
	}
	if len(raw) == 0 {
		return nil
	}
	if !r.Source() { // nobody wants to hear what was said, now or later
		return r.o.Store.Set(ctx, r.markKey(), nil)
	}
	var m mark
	if err := json.Unmarshal(raw, &m); err != nil {
		r.o.Log.Error("what was heard of a room cannot be read; what was said meanwhile is not looked for", "error", err)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range m.Recent {
		r.recent.add(key)
	}
	for _, s := range m.Sights {
		r.seen.add(&sight{remote: s.Remote, author: s.Author, from: s.From}, s.Message, s.Stanza)
	}
	m.Recent, m.Sights = nil, nil
	r.mark, r.heardAt = m, m.At
	return nil
}

// forget drops the mark: what is said while the operator has no use for the room
// is nobody's business later. Called with mu held.
func (r *Room) forget() {
	r.mark, r.heardAt, r.again = mark{}, time.Time{}, time.Time{}
	r.dropped, r.dirty = true, true
}

// loadMark reads the mark, however long it takes.
func (r *Room) loadMark(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := r.load(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		r.o.Log.Warn("what was heard of a room cannot be read", "retry", pause, "error", err)
		if pauseFor(ctx, pause) != nil {
			return ctx.Err()
		}
	}
}

// passed notes that messages from the buffer have been handed over. While a hole
// is open behind the mark, the mark stays. Only the pump calls it.
func (r *Room) passed(batch []heard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += uint64(len(batch))
	whole := r.again.IsZero() && !r.missed
	for i := range batch {
		h := &batch[i]
		if h.hole || h.entry || h.own || h.ev != nil {
			continue
		}
		r.recent.add(h.key())
		if whole && (!h.past || h.at.After(r.mark.At)) {
			r.moveMark(h.stanza, h.at)
		}
	}
	if t := r.tail; whole && r.behindTail() {
		r.moveMark(t.id, t.at)
	}
}

// moveMark says up to where the room has been heard. Called with mu held.
func (r *Room) moveMark(id string, at time.Time) {
	if !r.o.Source {
		return
	}
	r.mark.ID, r.mark.At, r.heardAt = id, at, at
	r.dirty = true
}

// behindTail reports whether the mark may move to the newest message of ours:
// everything before it has been handed over. Called with mu held.
func (r *Room) behindTail() bool {
	return r.tail.id != "" && r.tail.after <= r.done && !r.mark.At.IsZero() && r.tail.at.After(r.mark.At)
}

// wasHeard reports whether a message has been handed over already: the archive
// and the live room both tell it.
func (r *Room) wasHeard(h *heard) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return h.stanza != "" && r.recent.has(h.stanza)
}

// key recognises a message: by the room's id, else by what its sender wrote.
func (h *heard) key() string {
	if h.stanza != "" {
		return h.stanza
	}
	return "#" + digest(h.nick, h.m.ID, h.m.Body())
}

// keep writes the mark if it has moved, not too often unless it is the last time.
func (r *Room) keep(ctx context.Context, last bool) {
	r.mu.Lock()
	if r.again.IsZero() && !r.missed && r.behindTail() {
		r.moveMark(r.tail.id, r.tail.at)
	}
	m, dirty, drop := r.mark, r.dirty, r.dropped && r.mark.At.IsZero()
	if !dirty || !last && r.o.Now().Sub(r.saved) < saveEvery || r.o.Store == nil || m.At.IsZero() && !drop {
		r.mu.Unlock()
		return
	}
	if !r.about().record {
		m.Recent, m.Sights = r.recent.last(storedMost), r.seen.last(storedMost)
	}
	r.dirty, r.dropped, r.saved = false, false, r.o.Now()
	r.mu.Unlock()
	raw, err := json.Marshal(m)
	if drop {
		raw = nil
	}
	for err == nil && len(raw) > maxMarkSize && len(m.Sights) > 0 {
		m.Sights = m.Sights[len(m.Sights)/2+1:]
		raw, err = json.Marshal(m)
	}
	if err == nil {
		err = r.o.Store.Set(ctx, r.markKey(), raw)
	}
	if err != nil {
		r.o.Log.Warn("what was heard of a room cannot be kept", "error", err)
		r.mu.Lock()
		r.dirty, r.dropped = true, drop
		r.mu.Unlock()
	}
}

// idle is how long the pump may sleep.
func (r *Room) idle() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := time.Minute
	now := r.o.Now()
	if r.dirty && r.o.Store != nil {
		wait = max(saveEvery-now.Sub(r.saved), 10*time.Millisecond)
	}
	if !r.again.IsZero() {
		wait = min(wait, max(r.again.Sub(now), time.Second))
	}
	return wait
}

// ring remembers the last keys that were added.
type ring struct {
	most int
	keys map[string]int // how often in list
	list []string
	at   int
}

func newRing(n int) *ring { return &ring{most: n, keys: map[string]int{}} }

func (g *ring) add(key string) {
	if len(g.list) < g.most {
		g.list = append(g.list, key)
		g.keys[key]++
		return
	}
	old := g.list[g.at]
	if g.keys[old]--; g.keys[old] <= 0 {
		delete(g.keys, old)
	}
	g.list[g.at] = key
	g.keys[key]++
	g.at = (g.at + 1) % len(g.list)
}

func (g *ring) has(key string) bool { return g.keys[key] > 0 }

// last gives the newest n keys, oldest first.
func (g *ring) last(n int) []string {
	all := append(append([]string(nil), g.list[g.at:]...), g.list[:g.at]...)
	return all[max(0, len(all)-n):]
}
