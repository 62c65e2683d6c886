//go:build unix

package sqlite

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"bridgehost/host/internal/store"
)

// TestWriteErrorGivesTheConnectionUp makes write(2) fail by a limit on the size
// of files (EFBIG, which SQLite reports as an I/O error and not as a full disk).
// What was acknowledged stays, and the database goes on with a new connection
// when the fault is gone.
func TestWriteErrorGivesTheConnectionUp(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("first", "x", "p")}}); err != nil {
		t.Fatal(err)
	}
	wal, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	limited := old
	limited.Cur = uint64(wal.Size()) + 256<<10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		t.Skipf("cannot limit the size of files: %v", err)
	}
	ok := fill(t, db, 0)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if len(ok) == 0 {
		t.Error("nothing fitted below the limit")
	}
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("after", "x", "p")}}); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	checkAll(t, db, append(ok, "first", "after"))
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
