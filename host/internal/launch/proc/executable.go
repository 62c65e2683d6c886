package proc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openPinned opens a foreign executable once, checks who could have written it,
// and compares its content with the pin. What runs later is this open file, so
// that replacing the path in between changes nothing (PL-12).
func openPinned(path, pin string) (*os.File, error) {
	want, err := hex.DecodeString(pin)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("plugin %s: sha256 %q is not a SHA-256 digest of 64 hexadecimal digits", path, pin)
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("plugin %s: the path of an executable must begin with /", path)
	}
	if err := checkFolders(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			return nil, fmt.Errorf("plugin %s is a symbolic link: name the file itself", path)
		}
		return nil, fmt.Errorf("plugin %s: %w", path, err)
	}
	if err := checkContent(f, want); err != nil {
		return nil, errors.Join(fmt.Errorf("plugin %s: %w", path, err), f.Close())
	}
	return f, nil
}

func checkContent(f *os.File, want []byte) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return fmt.Errorf("mode %s: is no regular file", mode)
	case mode.Perm()&0o002 != 0:
		return fmt.Errorf("mode %s: everybody may write it: chmod o-w", mode)
	case mode.Perm()&0o111 == 0:
		return fmt.Errorf("mode %s: is not executable: chmod u+x", mode)
	}
	if err := trustedOwner(info); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if have := h.Sum(nil); subtle.ConstantTimeCompare(have, want) != 1 {
		return fmt.Errorf("sha256 is %x and not %x, as the configuration says", have, want)
	}
	return nil
}

// checkFolders refuses folders in which others could replace the executable. A
// folder with the sticky bit is safe above the executable's own folder.
func checkFolders(dir string) error {
	folder, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for own := true; ; own = false {
		info, err := os.Lstat(folder)
		if err != nil {
			return err
		}
		sticky := info.Mode()&fs.ModeSticky != 0
		if info.Mode().Perm()&0o002 != 0 && (own || !sticky) {
			return fmt.Errorf("folder %s has mode %s: everybody may write it", folder, info.Mode())
		}
		if err := trustedOwner(info); err != nil {
			return fmt.Errorf("folder %s: %w", folder, err)
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return nil
		}
		folder = parent
	}
}

// trustedOwner accepts root and the user who runs the host.
func trustedOwner(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 || int(st.Uid) == os.Getuid() {
		return nil
	}
	return fmt.Errorf("belongs to user %d: root or user %d, who runs the host, must own it", st.Uid, os.Getuid())
}
