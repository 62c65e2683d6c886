package proc

import (
	"fmt"
	"os"
	"syscall"
)

// selfPath gives what to run for a built-in plugin: this very program, even if
// its file was replaced since.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// openPath gives the path of an open file that the child gets as descriptor n.
func openPath(_ *os.File, n int) string { return fmt.Sprintf("/proc/self/fd/%d", n) }

// childAttr puts the child in a process group of its own, so that Ctrl-C at a
// terminal reaches the host alone, and lets the kernel kill it with the thread
// that started it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
