package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockData makes sure that one host alone works in a data folder. The lock ends
// with the process, however it ends.
func lockData(dir string) (release func() error, err error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 16)
		n, _ := file.Read(pid) // only for the text
		_ = file.Close()
		return nil, fmt.Errorf("data folder %s is in use by another bridgehost (process %s): stop it, or give this one a folder of its own", dir, strings.TrimSpace(string(pid[:n])))
	}
	if err := file.Truncate(0); err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	return file.Close, nil
}
