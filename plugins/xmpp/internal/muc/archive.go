package muc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// NSMAMExtended is the feature of archives that find messages by their ids
// (XEP-0313 §4.1.4).
const NSMAMExtended = "urn:xmpp:mam:2#extended"

// replay collects what the room tells of the past: archive results by query id,
// or the history that follows a join.
type replay struct {
	query string
	by    *occupant       // who asked
	want  map[string]bool // message ids
	tag   string          // beginning of further ids that are wanted; empty = none
	found map[string]hit
	keep  bool          // all results are wanted
	kept  []past        // they, in the order of the archive
	ended chan struct{} // closed when a history has ended; nil then, and for a query
	last  string        // archive id of the result that came last
	more  chan struct{} // cap 1: last has changed
}

// past is one message of the archive.
type past struct {
	id    string    // the archive's id, which is the stanza-id of the live message
	stamp time.Time // when the room took it
	m     *packet.Message
}

// errGone says that the message at which a page should begin is no longer in
// the archive.
var errGone = errors.New("the message is no longer in the archive")

// maxKept bounds the results that are taken for one page, whatever a server sends.
const maxKept = 4 * mam.PageSize

// page asks for one page of the archive. Results come before the answer on the
// stream, but the answer overtakes what still waits for the link's handler, so
// the page ends when the result that it names as the last has been handled.
func (r *Room) page(ctx context.Context, q *replay, ask mam.Question) (mam.Page, error) {
	r.mu.Lock()
	r.queries++
	q.query = "bh" + strconv.FormatInt(r.o.Now().UnixNano(), 36) + "-" + strconv.Itoa(r.queries)
	q.more = make(chan struct{}, 1)
	r.asked[q.query] = q
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.asked, q.query)
		r.mu.Unlock()
	}()
	payload, err := ask.Payload(q.query)
	if err != nil {
		return mam.Page{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	answer, err := r.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: q.by.from, To: r.o.JID, Type: "set"}, Payload: payload})
	if err != nil {
		var refusal *packet.Error
		if (ask.After != "" || ask.Before != "" || ask.ID != "") && errors.As(err, &refusal) && refusal.Condition == "item-not-found" {
			return mam.Page{}, errGone
		}
		return mam.Page{}, err
	}
	got := mam.ReadPage(answer.Payload)
	for {
		r.mu.Lock()
		handled := got.Last == "" || q.last == got.Last
		r.mu.Unlock()
		if handled {
			return got, nil
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			if q.keep && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				// The stream skips stanzas over its limits; one such result must not
				// hold up all that follow it.
				r.o.Log.Warn("a message of the archive could not be read", "id", got.Last)
				return got, nil
			}
			return mam.Page{}, fmt.Errorf("wait for result %s: %w", got.Last, ctx.Err())
		}
	}
}

// archived takes one archive result. Only what comes from the room itself and
// names a query under way of the occupant that it is for counts (XEP-0313 §4.2).
// Called with mu held.
func (r *Room) archived(o *occupant, result xmltok.Element) {
	q := r.asked[result.Get("queryid")]
	if q == nil || q.by != o {
		return
	}
	q.last = result.Get("id")
	select {
	case q.more <- struct{}{}:
	default:
	}
	forwarded, ok := result.Child(convert.NSForward, "forwarded")
	if !ok {
		return
	}
	for e := range forwarded.Children() {
		if e.Name.Local != "message" {
			continue
		}
		if q.keep {
			q.hold(r.o.JID, q.last, forwarded, e)
			return
		}
		origin, _ := e.Child(packet.NSStanzaID, "origin-id")
		q.take(convert.Resource(e.Get("from")), e.Get("id"), origin.Get("id"), q.last)
		return
	}
}

// hold keeps a result that is a message of the room.
func (q *replay) hold(room, id string, forwarded, e xmltok.Element) {
	st, err := packet.Decode(e)
	m, ok := st.(*packet.Message)
	if err != nil || !ok || id == "" || len(q.kept) >= maxKept || m.Type != "groupchat" || !packet.SameJID(convert.Bare(m.From), room) {
		return
	}
	delay, _ := forwarded.Child(packet.NSDelay, "delay")
	stamp, err := time.Parse(time.RFC3339, delay.Get("stamp"))
	if err != nil {
		stamp = time.Time{}
	}
	q.kept = append(q.kept, past{id: id, stamp: stamp.UTC(), m: m})
}

// readPage asks for a page as the link's own occupant and returns its messages.
func (r *Room) readPage(ctx context.Context, ask mam.Question) ([]past, mam.Page, error) {
	q := &replay{by: r.bot, keep: true}
	r.asks(1)
	got, err := r.page(ctx, q, ask)
	r.asks(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	return q.kept, got, err
}

// asks counts the queries whose results the pump waits for, and lets go a
// handler that waits for the pump: the results come through it.
func (r *Room) asks(n int) {
	r.mu.Lock()
	r.asking += n
	r.mu.Unlock()
	select {
	case r.let <- struct{}{}:
	default:
	}
}

// whoWas is identity for a message of the archive: members of today say nothing
// about it. A real JID counts only where the room shows it to all, and if nobody
// can have put a second one beside it. Called with mu held.
func (r *Room) whoWas(m *packet.Message, nick string) who {
	w := who{key: r.o.JID + "/" + nick}
	about := r.about()
	if about.occupants {
		if id := occupantID(&m.Attrs); id != "" {
			w.key, w.stable = "occupant:"+id+"@"+r.o.JID, true
			return w
		}
	}
	if !about.open {
		return w
	}
	jid, count := "", 0
	for _, e := range m.Extensions {
		if e.Is(packet.NSMUCUser, "x") {
			count++
		}
	}
	if user, ok := m.MUCUser(); ok && count == 1 && len(user.Items) == 1 {
		jid = convert.Bare(user.Item().JID)
	}
	if jid != "" {
		w.key, w.jid, w.stable = jid, jid, true
	}
	return w
}

// occupantID gives the occupant-id of a stanza, empty when there is none or
// more than one (XEP-0421 §5).
func occupantID(m *packet.Attrs) string {
	id, count := "", 0
	for _, e := range m.Extensions {
		if e.Is(convert.NSOccupantID, "occupant-id") {
			id = e.Get("id")
			count++
		}
	}
	if count != 1 {
		return ""
	}
	return id
}

// archiveRefused reports whether asking again cannot help.
func archiveRefused(err error) bool {
	var refusal *packet.Error
	return errors.As(err, &refusal) && !refusal.Temporary() && sdk.KindOf(err) == sdk.Unknown
}
