package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// errEnough ends a query early.
var errEnough = errors.New("enough")

func enough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Lanes implements outbox.Store.
func (db *DB) Lanes(ctx context.Context) ([]store.Lane, error) {
	var list []store.Lane
	err := db.read(ctx, "list lanes", func(c *conn) error {
		return c.query(ctx, `SELECT l.id, k.name, l.place, l.fails, l.due, l.uncertain, d.depth, d.first, d.last, d.oldest, l.amnesty, l.pardoned
 FROM lane l JOIN link k ON k.id = l.link
 JOIN (SELECT lane, count(*) AS depth, min(seq) AS first, max(seq) AS last, min(created) AS oldest FROM delivery GROUP BY lane) d
 ON d.lane = l.id`, func(row []driver.Value) error {
			list = append(list, store.Lane{
				ID: num(row[0]), Place: sdk.Ref{Link: sdk.LinkID(text(row[1])), ID: sdk.RemoteID(text(row[2]))},
				Fails: int(num(row[3])), Due: fromMillis(num(row[4])), Uncertain: num(row[5]) != 0,
				Depth: num(row[6]), First: num(row[7]), Last: num(row[8]), Oldest: fromMillis(num(row[9])),
				Amnesty: fromMillis(num(row[10])), Pardoned: num(row[11]),
			})
			return nil
		})
	})
	return list, err
}

// The columns of an event; bodyColumns are those that a delivery needs. Each
// column costs, also when it is empty.
const (
	bodyColumns  = `e.link, e.place, e.kind, e.actor, e.item, e.dedup, e.sum, e.body`
	eventColumns = bodyColumns + `, e.time, e.fate, e.audit`
)

// eventRow reads bodyColumns or eventColumns; the body is dropped when the checksum does not
// fit, so that nothing damaged is ever shown to anybody.
func (db *DB) eventRow(seq int64, row []driver.Value) store.EventRow {
	e := store.EventRow{
		Seq: seq, Link: db.links.name(num(row[0])), Place: sdk.RemoteID(text(row[1])), Kind: sdk.ChangeKind(num(row[2])),
		ActorID: num(row[3]), ItemID: num(row[4]), Dedup: text(row[5]), Body: blob(row[7]),
	}
	if len(row) > 8 {
		e.Time, e.Fate, e.Audit = fromMillis(num(row[8])), store.Fate(num(row[9])), text(row[10])
	}
	if sumOf(seq, num(row[0]), text(row[1]), num(row[2]), e.Dedup, e.Body) != num(row[6]) {
		e.Body, e.Damaged = nil, true
	}
	return e
}

// Pending implements outbox.Store. A delivery whose event is missing comes back
// as damaged.
func (db *DB) Pending(ctx context.Context, lane, after int64, limit, maxBytes int) ([]store.Pending, error) {
	var list []store.Pending
	size := 0
	err := db.read(ctx, "read lane", func(c *conn) error {
		return enough(c.query(ctx, `SELECT d.seq, d.rule, d.created, `+bodyColumns+`
 FROM delivery d LEFT JOIN event e ON e.seq = d.seq WHERE d.lane = ? AND d.seq > ? ORDER BY d.seq LIMIT ?`,
			func(row []driver.Value) error {
				p := store.Pending{Lane: lane, Seq: num(row[0]), Rule: sdk.RouteID(text(row[1])), Created: fromMillis(num(row[2]))}
				p.Event = db.eventRow(p.Seq, row[3:])
				list = append(list, p)
				if size += len(p.Event.Body); size >= maxBytes {
					return errEnough
				}
				return nil
			}, lane, after, limit))
	})
	return list, err
}

// Event implements intake.Store.
func (db *DB) Event(ctx context.Context, seq int64) (store.EventRow, error) {
	var e store.EventRow
	err := db.read(ctx, "read event", func(c *conn) error {
		return c.query(ctx, `SELECT `+eventColumns+` FROM event e WHERE e.seq = ?`, func(row []driver.Value) error {
			e = db.eventRow(seq, row)
			return nil
		}, seq)
	})
	if err == nil && e.Seq == 0 {
		err = sdk.Errorf(sdk.NotFound, "read event", "no event with sequence %d", seq)
	}
	return e, err
}

// Waiting implements intake.Store.
func (db *DB) Waiting(ctx context.Context) ([]store.Waiting, error) {
	var list []store.Waiting
	err := db.read(ctx, "list waiting events", func(c *conn) error {
		return c.query(ctx, "SELECT event, until, link, remote FROM waiting ORDER BY event", func(row []driver.Value) error {
			list = append(list, store.Waiting{Event: num(row[0]), Until: fromMillis(num(row[1])),
				Key: store.Key{Link: db.links.name(num(row[2])), Remote: sdk.RemoteID(text(row[3]))}})
			return nil
		})
	})
	return list, err
}

// Actor implements intake.Store.
func (db *DB) Actor(ctx context.Context, id int64) (sdk.Actor, error) {
	var a sdk.Actor
	err := db.read(ctx, "read actor", func(c *conn) error {
		return c.query(ctx, "SELECT link, remote, kind, handle, name, profile, consent FROM actor WHERE id = ?", func(row []driver.Value) error {
			a = sdk.Actor{
				ID: db.names.Actor(id), Home: sdk.Ref{Link: db.links.name(num(row[0])), ID: sdk.RemoteID(text(row[1]))},
				Kind: sdk.ActorKind(num(row[2])), Handle: text(row[3]), Name: text(row[4]), Profile: text(row[5]),
				Consent: sdk.Consent(num(row[6])),
			}
			return nil
		}, id)
	})
	if err == nil && a.ID == "" {
		err = sdk.Errorf(sdk.NotFound, "read actor", "no actor with number %d", id)
	}
	return a, err
}

// IsPuppet implements intake.Store. It asks the database only when it may be so.
func (db *DB) IsPuppet(ref sdk.Ref) bool {
	if !db.seen.may(ref) {
		return false
	}
	found := false
	err := db.read(always, "read puppet", func(c *conn) error {
		var err error
		_, found, err = c.one("SELECT actor FROM puppet WHERE link = ? AND remote = ?", db.links.id(ref.Link), string(ref.ID))
		return err
	})
	// The set said yes: when the database cannot be asked, a loop is worse than
	// a message of a person whose hash collides.
	return found || err != nil
}

// Puppet implements outbox.Store.
func (db *DB) Puppet(ctx context.Context, actor int64, link sdk.LinkID) (sdk.RemoteID, error) {
	var remote sdk.RemoteID
	err := db.read(ctx, "read puppet", func(c *conn) error {
		return c.query(ctx, "SELECT remote FROM puppet WHERE actor = ? AND link = ?", func(row []driver.Value) error {
			remote = sdk.RemoteID(text(row[0]))
			return nil
		}, actor, db.links.id(link))
	})
	return remote, err
}

// Resolve implements outbox.Store. Of several copies in a place the first of
// the newest receipt counts.
func (db *DB) Resolve(ctx context.Context, place sdk.Ref, anyPlace bool, keys []store.Key) (map[store.Key]store.Resolved, error) {
	out := make(map[store.Key]store.Resolved, len(keys))
	link := db.links.id(place.Link)
	err := db.read(ctx, "resolve items", func(c *conn) error {
		for _, k := range keys {
			var item, home int64
			var remote, at string
			err := c.query(ctx, "SELECT i.id, i.link, i.remote, i.place FROM mapping m JOIN item i ON i.id = m.item WHERE m.link = ? AND m.remote = ?",
				func(row []driver.Value) error {
					item, home, remote, at = num(row[0]), num(row[1]), text(row[2]), text(row[3])
					return nil
				}, db.links.id(k.Link), string(k.Remote))
			if err != nil {
				return err
			}
			if item == 0 {
				continue
			}
			r := store.Resolved{Item: item}
			if home == link && (anyPlace || at == string(place.ID)) {
				r.Remote = sdk.RemoteID(remote)
			} else if r.Remote, err = copyOf(ctx, c, item, link, place.ID, anyPlace); err != nil {
				return err
			}
			out[k] = r
		}
		return nil
	})
	return out, err
}

func copyOf(ctx context.Context, c *conn, item, link int64, place sdk.RemoteID, anyPlace bool) (sdk.RemoteID, error) {
	var remote sdk.RemoteID
	err := c.query(ctx, `SELECT remote FROM mapping WHERE item = ? AND link = ? AND own = 1 AND (place = ? OR ?)
 ORDER BY place = ? DESC, made DESC, rank LIMIT 1`, func(row []driver.Value) error {
		remote = sdk.RemoteID(text(row[0]))
		return nil
	}, item, link, string(place), anyPlace, string(place))
	return remote, err
}
