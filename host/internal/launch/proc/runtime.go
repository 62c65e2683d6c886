package proc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFolder is the longest path of a runtime folder: go-plugin adds about 40
// bytes, and the path of a Unix socket has room for 104 to 108 (unix(7)).
const maxFolder = 60

const lockName = "lock"

// Runtime is the private folder for the sockets of one host's plugins.
type Runtime struct {
	dir  string
	lock *os.File
}

// OpenRuntime makes or takes over the folder dir, with mode 0700, and sweeps
// what an earlier host left in it. A folder that belongs to somebody else, is a
// link, or is in use by another host is refused. When the path is too long for
// a socket, a folder in the system's folder for temporary files is used whose
// name follows from dir, so that the next start finds it again.
func OpenRuntime(dir string) (*Runtime, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open runtime folder: %w", err)
	}
	if len(dir) > maxFolder {
		sum := sha256.Sum256([]byte(dir))
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("bridgehost-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	}
	if len(dir) > maxFolder {
		return nil, fmt.Errorf("open runtime folder %s: the path is longer than %d bytes: set TMPDIR to a shorter one", dir, maxFolder)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("open runtime folder: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open runtime folder: %w", err)
	}
	if err := ours(dir); err != nil {
		return nil, fmt.Errorf("open runtime folder %s: %w", dir, err)
	}
	r := &Runtime{dir: dir}
	if err := r.take(); err != nil {
		return nil, err
	}
	if err := r.sweep(); err != nil {
		return nil, errors.Join(err, r.lock.Close())
	}
	return r, nil
}

// ours checks that nobody else can enter dir.
func ours(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("is %s and not a folder", info.Mode().Type())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() {
		return fmt.Errorf("belongs to user %d and not to user %d, who runs the host", st.Uid, os.Getuid())
	}
	if info.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// take locks the folder against a second host.
func (r *Runtime) take() error {
	f, err := os.OpenFile(filepath.Join(r.dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock runtime folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("runtime folder %s is in use by another host: %w", r.dir, err), f.Close())
	}
	r.lock = f
	return nil
}

// sweep removes the sockets that a killed host left.
func (r *Runtime) sweep() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("sweep runtime folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(r.dir, e.Name())); err != nil {
			return fmt.Errorf("sweep runtime folder: %w", err)
		}
	}
	return nil
}

// Dir gives the folder's path.
func (r *Runtime) Dir() string { return r.dir }

// Close sweeps the folder and lets it go; no plugin may run any more.
func (r *Runtime) Close() error { return errors.Join(r.sweep(), r.lock.Close()) }
