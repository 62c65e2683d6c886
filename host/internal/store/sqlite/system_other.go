//go:build !unix

package sqlite

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// lockFolder opens the lock file; systems without flock rely on the operator.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data folder: %w", err)
	}
	return f, nil
}

// freeSpace is not known here; a full disk is noticed when a write fails.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }
