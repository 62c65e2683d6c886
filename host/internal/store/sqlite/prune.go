package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"bridgehost/host/internal/store"
)

// Prune runs this often, and first so long after the start.
const (
	maintainEvery = time.Hour
	maintainFirst = time.Minute
)

// maintain prunes until ctx ends. It belongs to the open database: Close waits
// for it.
func (db *DB) maintain(ctx context.Context) {
	timer := time.NewTimer(maintainFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		events, err := db.Prune(ctx)
		lanes, lanesErr := db.PruneLanes(ctx)
		switch err = errors.Join(err, lanesErr); {
		case ctx.Err() != nil:
			return
		case err != nil:
			db.opts.Log.Warn("what is old was not pruned", "error", err)
		case events > 0 || lanes > 0:
			db.opts.Log.Info("what is old was pruned", "events", events, "lanes", lanes)
		}
		timer.Reset(maintainEvery)
	}
}

const pruneChunk = 1000

// Prune deletes events that are older than Options.KeepEvents and that no
// delivery, dead letter or wait needs, in small transactions, and says how many
// there were. Items and their names stay, so that later edits still find them.
// The newest event stays too: the count of ids starts from it.
func (db *DB) Prune(ctx context.Context) (int64, error) {
	if db.opts.KeepEvents < 0 {
		return 0, nil
	}
	before := db.opts.Now().Add(-db.opts.KeepEvents).UnixMilli()
	needed, err := db.needed(ctx, before)
	if err != nil {
		return 0, err
	}
	var total int64
	for after := int64(0); ; {
		old, last, err := db.oldEvents(ctx, after, before, needed)
		if err != nil {
			return total, err
		}
		if last == 0 {
			if err := db.pruneOutcomes(ctx, before); err != nil {
				return total, err
			}
			return total, db.pruneTombstones(ctx, before)
		}
		if err := db.deleteEvents(ctx, old); err != nil {
			return total, err
		}
		total += int64(len(old))
		after = last
	}
}

// needed lists old events that something refers to. Nothing comes to refer to
// an old event later: a dead letter was a delivery before, and the other way.
func (db *DB) needed(ctx context.Context, before int64) (map[int64]bool, error) {
	set := map[int64]bool{}
	err := db.read(ctx, "list events in use", func(c *conn) error {
		last, _, err := c.one("SELECT max(seq) FROM event WHERE time < ?", before)
		if err != nil {
			return err
		}
		return c.query(ctx, "SELECT seq FROM delivery WHERE seq <= ?1 UNION SELECT seq FROM dead WHERE seq <= ?1 UNION SELECT event FROM waiting",
			func(row []driver.Value) error {
				set[num(row[0])] = true
				return nil
			}, last)
	})
	return set, err
}

// oldEvents picks what may go from the next chunk; last is 0 at the end.
func (db *DB) oldEvents(ctx context.Context, after, before int64, needed map[int64]bool) (old []int64, last int64, err error) {
	err = db.read(ctx, "list old events", func(c *conn) error {
		return c.query(ctx, "SELECT seq FROM event WHERE seq > ? AND time < ? AND seq < (SELECT max(seq) FROM event) ORDER BY seq LIMIT ?",
			func(row []driver.Value) error {
				if last = num(row[0]); !needed[last] {
					old = append(old, last)
				}
				return nil
			}, after, before, pruneChunk)
	})
	return old, last, err
}

func (db *DB) deleteEvents(ctx context.Context, seqs []int64) error {
	return db.write(ctx, &request{op: "prune events", weight: len(seqs), run: func(w *writer) error {
		for _, seq := range seqs {
			if _, err := w.c.exec("DELETE FROM loss WHERE event = ?", seq); err != nil {
				return err
			}
			if _, err := w.c.exec("DELETE FROM event WHERE seq = ?", seq); err != nil {
				return err
			}
		}
		return nil
	}})
}

// pruneTombstones deletes old tombstones of items that never arrived: networks
// send deletions of what nobody here has seen, without end.
func (db *DB) pruneTombstones(ctx context.Context, before int64) error {
	for {
		var ids []int64
		err := db.read(ctx, "list old tombstones", func(c *conn) error {
			return c.query(ctx, `SELECT id FROM item WHERE state = ? AND place = '' AND created < ? AND id < (SELECT max(id) FROM item)
 ORDER BY id LIMIT ?`, func(row []driver.Value) error {
				ids = append(ids, num(row[0]))
				return nil
			}, int64(store.ItemRetracted), before, pruneChunk)
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := db.deleteItems(ctx, ids); err != nil {
			return err
		}
	}
}

func (db *DB) deleteItems(ctx context.Context, ids []int64) error {
	return db.write(ctx, &request{op: "prune tombstones", weight: len(ids), run: func(w *writer) error {
		for _, id := range ids {
			if _, err := w.c.exec(`DELETE FROM mapping WHERE item = ?1
 AND (link, remote) = (SELECT link, remote FROM item WHERE id = ?1)`, id); err != nil {
				return err
			}
			if _, err := w.c.exec("DELETE FROM item WHERE id = ?", id); err != nil {
				return err
			}
		}
		return nil
	}})
}
