package sqlite

import (
	"fmt"
	"path/filepath"

	"bridgehost/sdk"
)

// Free tells how many bytes are free on the database's disk. The error says why
// events that add to the database would be refused now; the bytes are valid
// beside an error of kind Overloaded.
func (db *DB) Free() (int64, error) {
	free, err := db.opts.Free(filepath.Dir(db.path))
	if err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	if free < db.opts.Reserve {
		return free, sdk.Errorf(sdk.Overloaded, "", "%d bytes are free, %d are kept in reserve", free, db.opts.Reserve)
	}
	return free, nil
}
