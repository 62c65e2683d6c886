package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"bridgehost/sdk"
)

// Every pair of addresses that talks through a gateway has a lane. Its row is
// deleted when it was empty and unused for keepLanes; the time of use is written
// every useStep only, so that a busy lane costs nothing.
const (
	keepLanes = 24 * time.Hour
	useStep   = 6 * time.Hour
)

// laneMemo is a lane as last used.
type laneMemo struct {
	id, used int64
}

// lane gives the number of a place's lane, making it when it is new, and notes
// that it is used.
func (w *writer) lane(place sdk.Ref, now int64) (int64, error) {
	memo, ok := w.lanes[place]
	if ok && now-memo.used < useStep.Milliseconds() {
		return memo.id, nil
	}
	if !ok {
		var err error
		if memo, err = w.findLane(place, now); err != nil {
			return 0, err
		}
		remember(w.lanes, place, memo)
	}
	if now-memo.used >= useStep.Milliseconds() {
		memo.used = now
		if _, err := w.c.exec("UPDATE lane SET used = ? WHERE id = ?", now, memo.id); err != nil {
			return 0, err
		}
	}
	return memo.id, nil
}

// findLane reads a lane's row, or inserts it. Numbers of deleted lanes are not
// given again while the database is open: others may still know them.
func (w *writer) findLane(place sdk.Ref, now int64) (*laneMemo, error) {
	link, err := w.link(place.Link)
	if err != nil {
		return nil, err
	}
	var memo *laneMemo
	err = w.c.query(always, "SELECT id, used FROM lane WHERE link = ? AND place = ?", func(row []driver.Value) error {
		memo = &laneMemo{num(row[0]), num(row[1])}
		return nil
	}, link, string(place.ID))
	if err != nil || memo != nil {
		return memo, err
	}
	w.lastLane++
	_, err = w.c.exec("INSERT INTO lane (id, link, place, fails, due, uncertain, used) VALUES (?, ?, ?, 0, 0, 0, ?)",
		w.lastLane, link, string(place.ID), now)
	return &laneMemo{w.lastLane, now}, err
}

// idleLane is a row that may be deleted.
type idleLane struct {
	id    int64
	place sdk.Ref
}

// PruneLanes deletes the rows of lanes that are empty and were not used for long,
// in small transactions, and says how many there were. Lanes that a dead letter or
// a loss refers to stay with it.
func (db *DB) PruneLanes(ctx context.Context) (int64, error) {
	before := db.opts.Now().Add(-keepLanes - useStep).UnixMilli()
	lossy, err := db.lossyLanes(ctx)
	if err != nil {
		return 0, err
	}
	var total int64
	for after := int64(0); ; {
		idle, last, err := db.idleLanes(ctx, after, before, lossy)
		if err != nil || last == 0 {
			return total, err
		}
		n, err := db.deleteLanes(ctx, idle, before)
		if total += n; err != nil {
			return total, err
		}
		after = last
	}
}

// lossyLanes lists the lanes that losses refer to.
func (db *DB) lossyLanes(ctx context.Context) (map[int64]bool, error) {
	set := map[int64]bool{}
	err := db.read(ctx, "list lanes with losses", func(c *conn) error {
		return c.query(ctx, "SELECT DISTINCT lane FROM loss", func(row []driver.Value) error {
			set[num(row[0])] = true
			return nil
		})
	})
	return set, err
}

// idleLanes picks what may go from the next chunk of unused lanes; last is 0 at
// the end.
func (db *DB) idleLanes(ctx context.Context, after, before int64, lossy map[int64]bool) (idle []idleLane, last int64, err error) {
	err = db.read(ctx, "list idle lanes", func(c *conn) error {
		return c.query(ctx, `SELECT l.id, l.link, l.place FROM lane l WHERE l.id > ? AND l.used < ?
 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.lane = l.id) AND NOT EXISTS (SELECT 1 FROM dead x WHERE x.lane = l.id) ORDER BY l.id LIMIT ?`,
			func(row []driver.Value) error {
				if last = num(row[0]); !lossy[last] {
					idle = append(idle, idleLane{last, sdk.Ref{Link: db.links.name(num(row[1])), ID: sdk.RemoteID(text(row[2]))}})
				}
				return nil
			}, after, before, pruneChunk)
	})
	return idle, last, err
}

// deleteLanes deletes lanes that are still idle.
func (db *DB) deleteLanes(ctx context.Context, idle []idleLane, before int64) (int64, error) {
	var total int64
	err := db.write(ctx, &request{op: "prune lanes", weight: len(idle), run: func(w *writer) error {
		total = 0
		for _, l := range idle {
			n, err := w.c.exec(`DELETE FROM lane WHERE id = ?1 AND used < ?2
 AND NOT EXISTS (SELECT 1 FROM delivery WHERE lane = ?1) AND NOT EXISTS (SELECT 1 FROM dead WHERE lane = ?1)`, l.id, before)
			if err != nil {
				return err
			}
			if n > 0 {
				delete(w.lanes, l.place)
				total += n
			}
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return total, nil
}
