package sqlite

import (
	"context"
	"database/sql/driver"
	"hash/crc32"
	"hash/maphash"
	"slices"
	"strconv"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// Append implements intake.Store.
func (db *DB) Append(ctx context.Context, req store.Appender) error {
	r := &request{op: "store events", weight: 4 * max(1, len(req.Keys())), grows: true, done: req.Done}
	r.run = func(w *writer) error { return w.append(req) }
	return db.write(ctx, r)
}

func (w *writer) append(req store.Appender) error {
	keys := req.Keys()
	known := make(map[store.Key]store.Known, len(keys))
	for _, k := range keys {
		if err := w.lookup(k, known); err != nil {
			return err
		}
	}
	entries, err := req.Decide(known)
	if err != nil {
		return refusal{err}
	}
	for _, e := range entries {
		if err := w.entry(e); err != nil {
			return err
		}
	}
	return nil
}

const lookupSQL = `SELECT m.item, m.own, m.place, i.state, i.link, i.remote, a.link, a.remote, i.moderated, i.revision, i.visibility
 FROM mapping m JOIN item i ON i.id = m.item LEFT JOIN actor a ON a.id = i.author WHERE m.link = ? AND m.remote = ?`

func (w *writer) lookup(k store.Key, into map[store.Key]store.Known) error {
	link := w.db.links.id(k.Link)
	if link == 0 {
		return nil
	}
	return w.c.query(always, lookupSQL, func(row []driver.Value) error {
		into[k] = store.Known{
			Item: num(row[0]), Copy: num(row[1]) != 0, Place: sdk.RemoteID(text(row[2])),
			State:     store.ItemState(num(row[3])),
			Origin:    sdk.Ref{Link: w.db.links.name(num(row[4])), ID: sdk.RemoteID(text(row[5]))},
			Author:    sdk.Ref{Link: w.db.links.name(num(row[6])), ID: sdk.RemoteID(text(row[7]))},
			Moderated: num(row[8]) != 0, Revision: uint32(num(row[9])), Visibility: sdk.Visibility(num(row[10])),
		}
		return nil
	}, link, string(k.Remote))
}

// entry writes one event with what hangs on it.
func (w *writer) entry(e *store.Entry) error {
	e.Duplicate = e.Parent != nil && e.Parent.Duplicate || e.ItemFrom != nil && e.ItemFrom.Duplicate
	if e.Duplicate {
		return nil
	}
	if ok, err := w.resume(e); err != nil || !ok {
		e.Duplicate = !ok
		return err
	}
	actor, err := w.actor(&e.Event.Actor)
	if err != nil {
		return err
	}
	e.ActorID = actor
	w.chooseItem(e)
	if isNew, err := w.insertEvent(e); err != nil || !isNew {
		e.Duplicate = !isNew
		return err
	}
	if err := w.changeItem(e); err != nil {
		return err
	}
	now := millis(w.db.opts.Now())
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		if d.Lane, err = w.lane(d.To, now); err != nil {
			return err
		}
		if _, err := w.c.exec("INSERT INTO delivery (lane, seq, rule, created) VALUES (?, ?, ?, ?)", d.Lane, e.Seq, string(d.Rule), now); err != nil {
			return err
		}
	}
	if err := w.tell(e.Outcomes); err != nil {
		return err
	}
	return w.wait(e)
}

// resume takes the waiting event that e continues off the list; false when it
// is no longer there.
func (w *writer) resume(e *store.Entry) (bool, error) {
	if e.Resume == 0 {
		return true, nil
	}
	n, err := w.c.exec("DELETE FROM waiting WHERE event = ?", e.Resume)
	if err != nil || n == 0 {
		return false, err
	}
	var sum int64
	err = w.c.query(always, "SELECT link, place, kind, dedup FROM event WHERE seq = ?", func(row []driver.Value) error {
		sum = sumOf(e.Resume, num(row[0]), text(row[1]), num(row[2]), text(row[3]), nil)
		return nil
	}, e.Resume)
	if err != nil {
		return false, err
	}
	_, err = w.c.exec("UPDATE event SET fate = ?, body = NULL, sum = ? WHERE seq = ?", int64(e.Fate), sum, e.Resume)
	return true, err
}

func (w *writer) chooseItem(e *store.Entry) {
	switch {
	case e.Parent != nil:
		e.ItemID = e.Parent.ItemID
	case e.ItemFrom != nil:
		e.ItemID = e.ItemFrom.ItemID
	case e.Item.Op == store.ItemCreate:
		w.lastItem++
		e.ItemID = w.lastItem
	default:
		e.ItemID = e.Item.ID
	}
}

const eventSQL = `INSERT INTO event (seq, link, place, kind, actor, item, dedup, time, fate, audit, parent, sum, body)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (link, dedup) WHERE dedup IS NOT NULL DO NOTHING`

// insertEvent writes the journal row; false when the origin key was there.
func (w *writer) insertEvent(e *store.Entry) (bool, error) {
	link, err := w.link(e.Event.Place.Link)
	if err != nil {
		return false, err
	}
	seq := w.lastSeq + 1
	var dedup, item, parent, body any
	sumOf := *e.Event
	if e.Parent != nil {
		parent = e.Parent.Seq
		sumOf.Dedup = ""
	}
	if e.Resume != 0 {
		parent = e.Resume
		sumOf.Dedup = ""
	}
	if sumOf.Dedup != "" {
		dedup = sumOf.Dedup
	}
	if e.ItemID != 0 {
		item = e.ItemID
	}
	if len(e.Body) > 0 {
		body = e.Body
	}
	n, err := w.c.exec(eventSQL, seq, link, string(e.Event.Place.ID), int64(e.Event.Kind()), e.ActorID, item, dedup,
		millis(w.db.opts.Now()), int64(e.Fate), e.Audit, parent, checksum(seq, link, &sumOf, e.Body), body)
	if err != nil || n == 0 {
		return false, err
	}
	w.lastSeq, e.Seq = seq, seq
	return true, nil
}

func (w *writer) changeItem(e *store.Entry) error {
	if e.Parent != nil {
		return nil
	}
	ch := &e.Item
	var err error
	switch ch.Op {
	case store.ItemCreate:
		return w.createItem(e)
	case store.ItemRevise:
		_, err = w.c.exec("UPDATE item SET revision = ?, visibility = ?, state = ? WHERE id = ?",
			int64(ch.Revision), int64(ch.Visibility), int64(ch.State), e.ItemID)
	case store.ItemSetState:
		_, err = w.c.exec("UPDATE item SET state = ?, moderated = ? WHERE id = ?", int64(ch.State), ch.Moderated, e.ItemID)
	}
	return err
}

func (w *writer) createItem(e *store.Entry) error {
	ch := &e.Item
	link, err := w.link(e.Event.Place.Link)
	if err != nil {
		return err
	}
	now := millis(w.db.opts.Now())
	if _, err = w.c.exec(`INSERT INTO item (id, link, remote, place, author, visibility, revision, state, moderated, created)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.ItemID, link, string(ch.Origin.ID), string(ch.Place), e.ActorID,
		int64(ch.Visibility), int64(ch.Revision), int64(ch.State), ch.Moderated, now); err != nil || ch.Origin.ID == "" {
		return err
	}
	_, err = w.c.exec(`INSERT INTO mapping (link, remote, item, place, own, rule, made, rank) VALUES (?, ?, ?, ?, 0, '', ?, 0)
 ON CONFLICT (link, remote) DO UPDATE SET item = excluded.item, place = excluded.place, own = 0, made = excluded.made`,
		link, string(ch.Origin.ID), e.ItemID, string(ch.Place), now)
	return err
}

func (w *writer) wait(e *store.Entry) error {
	if e.Wait == nil {
		return nil
	}
	var link int64
	if e.Wait.Key.Link != "" {
		var err error
		if link, err = w.link(e.Wait.Key.Link); err != nil {
			return err
		}
	}
	_, err := w.c.exec("INSERT INTO waiting (event, until, link, remote) VALUES (?, ?, ?, ?)",
		e.Seq, millis(e.Wait.Until), link, string(e.Wait.Key.Remote))
	return err
}

// link interns a link's name.
func (w *writer) link(name sdk.LinkID) (int64, error) {
	if id := w.db.links.id(name); id != 0 {
		return id, nil
	}
	if _, err := w.c.exec("INSERT INTO link (name) VALUES (?) ON CONFLICT DO NOTHING", string(name)); err != nil {
		return 0, err
	}
	id, _, err := w.c.one("SELECT id FROM link WHERE name = ?", string(name))
	if err == nil {
		w.db.links.put(name, id)
	}
	return id, err
}

// actor writes the actor when it is new or changed, and gives its number.
func (w *writer) actor(a *sdk.Actor) (int64, error) {
	if a.Home.ID == "" {
		return 0, nil
	}
	hash := hashActor(w.db.seen.seed, a)
	memo, ok := w.actors[a.Home]
	if ok && memo.hash == hash {
		return memo.id, nil
	}
	link, err := w.link(a.Home.Link)
	if err != nil {
		return 0, err
	}
	if _, err := w.c.exec(`INSERT INTO actor (link, remote, kind, handle, name, profile, consent, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (link, remote) DO UPDATE SET kind = excluded.kind, handle = excluded.handle, name = excluded.name,
 profile = excluded.profile, consent = excluded.consent, seen = excluded.seen`, link, string(a.Home.ID), int64(a.Kind),
		a.Handle, a.Name, a.Profile, int64(a.Consent), millis(w.db.opts.Now())); err != nil {
		return 0, err
	}
	id, _, err := w.c.one("SELECT id FROM actor WHERE link = ? AND remote = ?", link, string(a.Home.ID))
	if err == nil {
		remember(w.actors, a.Home, actorMemo{id: id, hash: hash})
	}
	return id, err
}

func hashActor(seed maphash.Seed, a *sdk.Actor) uint64 {
	return maphash.Comparable(seed, struct {
		kind                  sdk.ActorKind
		handle, name, profile string
		consent               sdk.Consent
	}{a.Kind, a.Handle, a.Name, a.Profile, a.Consent})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers what a row says about itself and its body, so that a changed
// bit, or a body that ended up in another row, is noticed when it is read.
func checksum(seq, link int64, ev *sdk.Event, body []byte) int64 {
	return sumOf(seq, link, string(ev.Place.ID), int64(ev.Kind()), ev.Dedup, body)
}

func sumOf(seq, link int64, place string, kind int64, dedup string, body []byte) int64 {
	var buf [256]byte
	b := strconv.AppendInt(buf[:0], seq, 36)
	for _, n := range [...]int64{link, kind, int64(len(place)), int64(len(dedup))} {
		b = strconv.AppendInt(append(b, ' '), n, 36)
	}
	b = append(append(slices.Grow(b, len(place)+len(dedup)), place...), dedup...)
	return int64(crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, body))
}
