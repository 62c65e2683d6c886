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
