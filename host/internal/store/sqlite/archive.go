package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

const pageSize = 1000

// Queue lists pending deliveries, by lane and order.
func (db *DB) Queue(ctx context.Context, f store.QueueFilter) ([]store.Queued, error) {
	return db.list(ctx, f, `SELECT d.lane, d.seq, d.rule, d.created, k.name, l.place, l.due, e.link, e.place, e.kind, e.item,
 0, 0, 0, '' FROM delivery d JOIN lane l ON l.id = d.lane JOIN link k ON k.id = l.link LEFT JOIN event e ON e.seq = d.seq WHERE `, false)
}

// DeadLetters lists deliveries that were given up.
func (db *DB) DeadLetters(ctx context.Context, f store.QueueFilter) ([]store.Queued, error) {
	return db.list(ctx, f, `SELECT d.lane, d.seq, d.rule, d.created, k.name, l.place, 0, e.link, e.place, e.kind, e.item,
 d.died, d.attempts, d.kind, d.reason FROM dead d JOIN lane l ON l.id = d.lane JOIN link k ON k.id = l.link LEFT JOIN event e ON e.seq = d.seq WHERE `, true)
}

func (db *DB) list(ctx context.Context, f store.QueueFilter, from string, dead bool) ([]store.Queued, error) {
	var list []store.Queued
	each := func(row []driver.Value) error {
		list = append(list, store.Queued{
			ID: db.names.Delivery(num(row[0]), num(row[1])), Rule: sdk.RouteID(text(row[2])), Created: fromMillis(num(row[3])),
			Place: sdk.Ref{Link: sdk.LinkID(text(row[4])), ID: sdk.RemoteID(text(row[5]))}, Due: fromMillis(num(row[6])),
			Event: db.names.Event(num(row[1])), From: sdk.Ref{Link: db.links.name(num(row[7])), ID: sdk.RemoteID(text(row[8]))},
			Kind: sdk.ChangeKind(num(row[9])), Item: db.names.Item(num(row[10])), Dead: dead, Died: fromMillis(num(row[11])),
			Attempts: int(num(row[12])), ErrKind: sdk.Kind(num(row[13])), Reason: text(row[14]),
		})
		return nil
	}
	err := db.read(ctx, "list deliveries", func(c *conn) error {
		for _, id := range f.IDs {
			lane, seq, ok := db.names.ParseDelivery(id)
			if !ok {
				return sdk.Errorf(sdk.Invalid, "list deliveries", "%q is no delivery of this host", id)
			}
			if err := c.query(ctx, from+"d.lane = ? AND d.seq = ?", each, lane, seq); err != nil {
				return err
			}
		}
		if len(f.IDs) > 0 {
			return nil
		}
		lane, seq, ok := db.names.ParseDelivery(f.After)
		if !ok && f.After != "" {
			return sdk.Errorf(sdk.Invalid, "list deliveries", "%q is no delivery of this host", f.After)
		}
		return c.query(ctx, from+`(d.lane, d.seq) > (?, ?) AND (? = '' OR k.name = ?) AND (? = '' OR l.place = ?) AND (? = 0 OR e.kind = ?)
 ORDER BY d.lane, d.seq LIMIT ?`, each, lane, seq, string(f.Link), string(f.Link), string(f.Place), string(f.Place),
			int64(f.Kind), int64(f.Kind), cmp.Or(f.Limit, pageSize))
	})
	return list, err
}

// Revive puts dead letters back into their lanes. It returns those that were
// there, with their lanes and without events.
func (db *DB) Revive(ctx context.Context, ids []sdk.DeliveryID) ([]store.Pending, error) {
	var out []store.Pending
	err := db.write(ctx, &request{op: "revive dead letters", weight: len(ids), grows: true, run: func(w *writer) error {
		out = out[:0]
		now := w.db.opts.Now()
		for _, id := range ids {
			lane, seq, ok := db.names.ParseDelivery(id)
			if !ok {
				return refusal{sdk.Errorf(sdk.Invalid, "revive dead letter", "%q is no delivery of this host", id)}
			}
			p := store.Pending{Lane: lane, Seq: seq, Created: now}
			err := w.c.query(ctx, "SELECT d.rule, l.link, l.place FROM dead d JOIN lane l ON l.id = d.lane WHERE d.lane = ? AND d.seq = ?", func(row []driver.Value) error {
				p.Rule = sdk.RouteID(text(row[0]))
				p.Place = sdk.Ref{Link: w.db.links.name(num(row[1])), ID: sdk.RemoteID(text(row[2]))}
				return nil
			}, lane, seq)
			if err != nil {
				return err
			}
			n, err := w.c.exec("DELETE FROM dead WHERE lane = ? AND seq = ?", lane, seq)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if _, err := w.c.exec("INSERT INTO delivery (lane, seq, rule, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
				lane, seq, string(p.Rule), millis(now)); err != nil {
				return err
			}
			if _, err := w.c.exec("UPDATE lane SET amnesty = ?, pardoned = max(pardoned, ?) WHERE id = ?", millis(now), seq, lane); err != nil {
				return err
			}
			out = append(out, p)
		}
		return nil
	}})
	if err != nil { // the writer may still be at work on out
		return nil, err
	}
	return out, nil
}

// Discard deletes dead letters, and says how many there were.
func (db *DB) Discard(ctx context.Context, ids []sdk.DeliveryID) (int, error) {
	var total int64
	err := db.write(ctx, &request{op: "drop dead letters", weight: len(ids), run: func(w *writer) error {
		total = 0
		for _, id := range ids {
			lane, seq, ok := db.names.ParseDelivery(id)
			if !ok {
				return refusal{sdk.Errorf(sdk.Invalid, "drop dead letter", "%q is no delivery of this host", id)}
			}
			n, err := w.c.exec("DELETE FROM dead WHERE lane = ? AND seq = ?", lane, seq)
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return int(total), nil
}

// Trace finds an item by its id, by the id of one of its events, or by any name
// that it has in a network (link:remote), and tells everything about it.
func (db *DB) Trace(ctx context.Context, what string) (*store.Trace, error) {
	var t *store.Trace
	err := db.read(ctx, "explain", func(c *conn) error {
		item, err := db.findItem(ctx, c, what)
		if err != nil {
			return err
		}
		if item == 0 {
			return sdk.Errorf(sdk.NotFound, "explain", "nothing is known of %q", what)
		}
		t = &store.Trace{Item: db.names.Item(item)}
		steps := []func(context.Context, *conn, int64, *store.Trace) error{db.traceItem, db.traceEvents, db.traceCopies}
		for _, step := range steps {
			if err := step(ctx, c, item, t); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

func (db *DB) findItem(ctx context.Context, c *conn, what string) (item int64, err error) {
	if id, ok := db.names.ParseItem(sdk.ItemID(what)); ok {
		return id, nil
	}
	if seq, ok := db.names.ParseEvent(sdk.EventID(what)); ok {
		item, _, err = c.one("SELECT item FROM event WHERE seq = ?", seq)
		return item, err
	}
	if _, seq, ok := db.names.ParseDelivery(sdk.DeliveryID(what)); ok {
		item, _, err = c.one("SELECT item FROM event WHERE seq = ?", seq)
		return item, err
	}
	ref, ok := sdk.ParseRef(what)
	if !ok {
		return 0, sdk.Errorf(sdk.Invalid, "explain", "%q is neither an id of this host nor link:id", what)
	}
	item, _, err = c.one("SELECT item FROM mapping WHERE link = ? AND remote = ?", db.links.id(ref.Link), string(ref.ID))
	if err == nil && item == 0 {
		// A link may also be asked by its key of deduplication, such as the id
		// that a webhook was answered with.
		item, _, err = c.one("SELECT item FROM event WHERE link = ? AND dedup = ?", db.links.id(ref.Link), string(ref.ID))
	}
	return item, err
}

func (db *DB) traceItem(ctx context.Context, c *conn, item int64, t *store.Trace) error {
	var author int64
	err := c.query(ctx, "SELECT link, remote, place, author, visibility, revision, state, created FROM item WHERE id = ?", func(row []driver.Value) error {
		link := db.links.name(num(row[0]))
		t.Origin, t.Place = sdk.Ref{Link: link, ID: sdk.RemoteID(text(row[1]))}, sdk.Ref{Link: link, ID: sdk.RemoteID(text(row[2]))}
		author, t.Visibility, t.Revision = num(row[3]), sdk.Visibility(num(row[4])), uint32(num(row[5]))
		t.State = [...]string{"live", "retracted", "held", "dropped"}[min(num(row[6]), 3)]
		t.Created = fromMillis(num(row[7]))
		return nil
	}, item)
	if err != nil || author == 0 {
		return err
	}
	return c.query(ctx, "SELECT link, remote, handle, name, profile FROM actor WHERE id = ?", func(row []driver.Value) error {
		t.Author = sdk.Actor{ID: db.names.Actor(author), Home: sdk.Ref{Link: db.links.name(num(row[0])), ID: sdk.RemoteID(text(row[1]))},
			Handle: text(row[2]), Name: text(row[3]), Profile: text(row[4])}
		return nil
	}, author)
}

func (db *DB) traceEvents(ctx context.Context, c *conn, item int64, t *store.Trace) error {
	var seqs []int64
	err := c.query(ctx, `SELECT e.seq, `+eventColumns+` FROM event e WHERE e.item = ? ORDER BY e.seq LIMIT 1000`, func(row []driver.Value) error {
		e := db.eventRow(num(row[0]), row[1:])
		t.Events = append(t.Events, store.TraceEvent{
			Event: db.names.Event(e.Seq), Time: e.Time, Kind: e.Kind, Place: sdk.Ref{Link: e.Link, ID: e.Place},
			Actor: db.names.Actor(e.ActorID), Fate: e.Fate, Audit: e.Audit, Damaged: e.Damaged,
		})
		seqs = append(seqs, e.Seq)
		return nil
	}, item)
	if err != nil {
		return err
	}
	for i, seq := range seqs {
		err := c.query(ctx, `SELECT k.name, l.place, o.rule, o.text FROM loss o JOIN lane l ON l.id = o.lane JOIN link k ON k.id = l.link
 WHERE o.event = ?`, func(row []driver.Value) error {
			l := store.TraceLoss{Place: sdk.Ref{Link: sdk.LinkID(text(row[0])), ID: sdk.RemoteID(text(row[1]))}, Rule: sdk.RouteID(text(row[2]))}
			if err := json.Unmarshal([]byte(text(row[3])), &l.Loss); err != nil {
				return err
			}
			t.Events[i].Losses = append(t.Events[i].Losses, l)
			return nil
		}, seq)
		if err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) traceCopies(ctx context.Context, c *conn, item int64, t *store.Trace) error {
	err := c.query(ctx, `SELECT k.name, m.place, m.remote, m.rule, m.made FROM mapping m JOIN link k ON k.id = m.link
 WHERE m.item = ? AND m.own = 1 ORDER BY m.made, m.rank`, func(row []driver.Value) error {
		t.Copies = append(t.Copies, store.TraceCopy{Place: sdk.Ref{Link: sdk.LinkID(text(row[0])), ID: sdk.RemoteID(text(row[1]))},
			Remote: sdk.RemoteID(text(row[2])), Rule: sdk.RouteID(text(row[3])), Made: fromMillis(num(row[4]))})
		return nil
	}, item)
	if err != nil {
		return err
	}
	for _, dead := range []bool{false, true} {
		table, extra := "delivery", "0, 0, 0, ''"
		if dead {
			table, extra = "dead", "d.died, d.attempts, d.kind, d.reason"
		}
		err := c.query(ctx, `SELECT d.lane, d.seq, d.rule, d.created, k.name, l.place, e.kind, `+extra+`
 FROM event e JOIN lane l JOIN `+table+` d ON d.lane = l.id AND d.seq = e.seq JOIN link k ON k.id = l.link WHERE e.item = ?`,
			func(row []driver.Value) error {
				q := store.Queued{ID: db.names.Delivery(num(row[0]), num(row[1])), Event: db.names.Event(num(row[1])), Item: t.Item,
					Rule: sdk.RouteID(text(row[2])), Created: fromMillis(num(row[3])), Kind: sdk.ChangeKind(num(row[6])), From: t.Place,
					Place: sdk.Ref{Link: sdk.LinkID(text(row[4])), ID: sdk.RemoteID(text(row[5]))}, Dead: dead,
					Died: fromMillis(num(row[7])), Attempts: int(num(row[8])), ErrKind: sdk.Kind(num(row[9])), Reason: text(row[10])}
				if dead {
					t.Dead = append(t.Dead, q)
				} else {
					t.Pending = append(t.Pending, q)
				}
				return nil
			}, item)
		if err != nil {
			return err
		}
	}
	return nil
}
