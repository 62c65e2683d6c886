package sqlite

import (
	"context"
	"database/sql/driver"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// Bounds of the outcomes that wait for one link. Beyond keepOutcomes the oldest
// are deleted, trimOutcomes at once: they are also in the audit and in the dead
// letters.
const (
	keepOutcomes = 10_000
	trimOutcomes = keepOutcomes / 10
)

// tell keeps outcomes for links, in the transaction of what they are about.
func (w *writer) tell(rows []store.OutcomeRow) error {
	if len(rows) == 0 {
		return nil
	}
	now := millis(w.db.opts.Now())
	for i := range rows {
		link, err := w.link(rows[i].To)
		if err != nil {
			return err
		}
		w.lastOutcome++
		if _, err := w.c.exec("INSERT INTO outcome (link, id, made, body) VALUES (?, ?, ?, ?)",
			link, w.lastOutcome, now, codec.AppendOutcome(nil, &rows[i].Outcome)); err != nil {
			return err
		}
		if w.outcomes[link]++; w.outcomes[link] > keepOutcomes {
			if err := w.trimOutcomes(link); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimOutcomes deletes the oldest outcomes of a link.
func (w *writer) trimOutcomes(link int64) error {
	n, err := w.c.exec(`DELETE FROM outcome WHERE link = ?1
 AND id <= (SELECT id FROM outcome WHERE link = ?1 ORDER BY id LIMIT 1 OFFSET ?2)`, link, trimOutcomes-1)
	if err != nil {
		return err
	}
	w.outcomes[link] -= n
	w.db.opts.Log.Warn("outcomes dropped, the link does not take them", "link", w.db.links.name(link), "count", n)
	return nil
}

// loadOutcomes counts what waits for each link. Numbers are not given twice while
// the database is open, also when the highest were deleted.
func (w *writer) loadOutcomes(ctx context.Context) error {
	return w.c.query(ctx, "SELECT link, count(*), max(id) FROM outcome GROUP BY link", func(row []driver.Value) error {
		w.outcomes[num(row[0])] = num(row[1])
		w.lastOutcome = max(w.lastOutcome, num(row[2]))
		return nil
	})
}

// Outcomes reads what a link was not told yet, oldest first, with numbers above
// after. One that cannot be read is passed over: nobody could take it.
func (db *DB) Outcomes(ctx context.Context, link sdk.LinkID, after int64, limit int) ([]store.OutcomeRow, error) {
	var list []store.OutcomeRow
	err := db.read(ctx, "list outcomes", func(c *conn) error {
		return c.query(ctx, "SELECT id, body FROM outcome WHERE link = ? AND id > ? ORDER BY id LIMIT ?", func(row []driver.Value) error {
			o, err := codec.DecodeOutcome(blob(row[1]))
			if err != nil {
				db.opts.Log.Warn("outcome cannot be read", "link", link, "error", err)
				o = sdk.Outcome{}
			}
			list = append(list, store.OutcomeRow{ID: num(row[0]), To: link, Outcome: o})
			return nil
		}, db.links.id(link), after, limit)
	})
	return list, err
}

// OutcomesTaken deletes outcomes of a link up to a number.
func (db *DB) OutcomesTaken(ctx context.Context, link sdk.LinkID, upto int64) error {
	return db.write(ctx, &request{op: "delete outcomes", weight: 1, run: func(w *writer) error {
		id := w.db.links.id(link)
		n, err := w.c.exec("DELETE FROM outcome WHERE link = ? AND id <= ?", id, upto)
		if n > 0 {
			w.outcomes[id] -= n
		}
		return err
	}})
}

// pruneOutcomes deletes outcomes that nobody took for long, such as those of links
// that are no longer configured.
func (db *DB) pruneOutcomes(ctx context.Context, before int64) error {
	return db.write(ctx, &request{op: "prune outcomes", weight: 1, run: func(w *writer) error {
		if n, err := w.c.exec("DELETE FROM outcome WHERE made < ?", before); n == 0 || err != nil {
			return err
		}
		clear(w.outcomes)
		return w.loadOutcomes(ctx)
	}})
}
