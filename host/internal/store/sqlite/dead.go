package sqlite

import (
	"context"
	"database/sql/driver"

	"bridgehost/sdk"
)

// DeadCounts tells how many dead letters each link has now.
func (db *DB) DeadCounts(ctx context.Context) (map[sdk.LinkID]int, error) {
	counts := map[sdk.LinkID]int{}
	err := db.read(ctx, "count dead letters", func(c *conn) error {
		return c.query(ctx, `SELECT k.name, count(*) FROM dead d JOIN lane l ON l.id = d.lane JOIN link k ON k.id = l.link GROUP BY k.name`,
			func(row []driver.Value) error {
				counts[sdk.LinkID(text(row[0]))] = int(num(row[1]))
				return nil
			})
	})
	return counts, err
}
