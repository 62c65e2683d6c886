//go:build !linux

package proc

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

// selfPath gives this program's file, if it is still what runs: after an
// upgrade in place it is not, and must not become a plugin of an older host.
func selfPath() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	onDisk, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read build of %s: %w", path, err)
	}
	running, ok := debug.ReadBuildInfo()
	if !ok || running.String() != onDisk.String() {
		return "", errors.New("the executable was replaced since the host was started: restart the host")
	}
	return path, nil
}

// openPath gives the file's path: these systems cannot run an open file.
func openPath(f *os.File, _ int) string { return f.Name() }

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
