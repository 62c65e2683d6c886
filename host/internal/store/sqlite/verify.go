package sqlite

import (
	"context"
	"database/sql/driver"

	"bridgehost/host/internal/store"
)

// Verify looks for damage: the checksum of every event row, and SQLite's own
// structure (quick_check). Rows of other tables have no checksum of their own;
// a flipped bit in a name or a number there shows only when it breaks the
// structure or an index.
func (db *DB) Verify(ctx context.Context) (Damage, error) {
	var d Damage
	for after := int64(0); ; {
		n, last, err := db.verifyChunk(ctx, after, &d)
		if err != nil {
			return d, err
		}
		if n == 0 {
			break
		}
		after = last
	}
	pages, err := db.QuickCheck(ctx)
	d.Pages = pages
	return d, err
}

const verifyChunk = 1000

func (db *DB) verifyChunk(ctx context.Context, after int64, d *Damage) (n int, last int64, err error) {
	err = db.read(ctx, "verify events", func(c *conn) error {
		return c.query(ctx, "SELECT e.seq, "+eventColumns+" FROM event e WHERE e.seq > ? ORDER BY e.seq LIMIT ?", func(row []driver.Value) error {
			var e store.EventRow
			last = num(row[0])
			if e = db.eventRow(last, row[1:]); e.Damaged {
				d.Events = append(d.Events, db.names.Event(last))
			}
			n++
			return nil
		}, after, verifyChunk)
	})
	d.Checked += int64(n)
	return n, last, err
}

// QuickCheck asks SQLite to check its own structure; it returns what is wrong,
// nothing when all is well.
func (db *DB) QuickCheck(ctx context.Context) ([]string, error) {
	var faults []string
	err := db.read(ctx, "check "+db.path, func(c *conn) error {
		return c.query(ctx, "PRAGMA quick_check(100)", func(row []driver.Value) error {
			if s := text(row[0]); s != "ok" {
				faults = append(faults, s)
			}
			return nil
		})
	})
	return faults, err
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
		if err != nil || last == 0 {
			return total, err
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
