package proc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-plugin/runner"
)

// maxHello is the longest first line that a plugin may print; go-plugin's holds
// a certificate of about 800 bytes.
const maxHello = 8 << 10

// child is the process, as go-plugin runs it.
type child struct {
	cmd    *exec.Cmd
	dir    string // folder of the socket
	stdout io.ReadCloser
	stderr io.ReadCloser
	hello  *hello
	exited chan struct{} // closed after the process has been waited for
	id     atomic.Int64  // of the process; 0 before it is started
	doomed atomic.Bool   // Kill was called, perhaps before the start

	mu      sync.Mutex
	exitErr error
}

var _ runner.Runner = (*child)(nil)

func newChild(cmd *exec.Cmd) (*child, error) {
	cmd.Stdin = nil // go-plugin hands over the host's
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	h := &hello{ReadCloser: stdout}
	return &child{cmd: cmd, stdout: h, stderr: stderr, hello: h, exited: make(chan struct{})}, nil
}

// Start implements runner.Runner. The parent-death signal comes when the thread
// that forked ends (prctl(2), PR_SET_PDEATHSIG), so a thread is kept for it
// until the child has ended; that goroutine ends with the child.
func (c *child) Start(context.Context) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		if err == nil {
			c.id.Store(int64(c.cmd.Process.Pid))
		}
		started <- err
		if err == nil {
			<-c.exited
		}
	}()
	err := <-started
	if err == nil && c.doomed.Load() {
		// Never an error: go-plugin waits only for what it takes as started.
		_ = c.Kill(context.Background())
	}
	return err
}

// Wait implements runner.Runner; go-plugin calls it once.
func (c *child) Wait(context.Context) error {
	err := c.cmd.Wait()
	c.mu.Lock()
	c.exitErr = err
	c.mu.Unlock()
	close(c.exited)
	return err
}

// Kill implements runner.Runner: it ends the process and all that it started in
// its process group.
func (c *child) Kill(context.Context) error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	c.doomed.Store(true)
	if c.pid() == 0 {
		return nil
	}
	err := syscall.Kill(-c.pid(), syscall.SIGKILL)
	if err == nil || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return fmt.Errorf("kill plugin process: %w", err)
}

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name implements runner.Runner.
func (c *child) Name() string { return c.cmd.Path }

// ID implements runner.Runner with the process id.
func (c *child) ID() string { return strconv.Itoa(c.pid()) }

func (c *child) pid() int { return int(c.id.Load()) }

// Diagnose implements runner.Runner; Launch explains errors itself.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner. Only a socket in the plugin's own
// folder is connected to.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(address) != c.dir {
		return "", "", fmt.Errorf("the plugin listens at %s %q and not in its folder", network, address)
	}
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// exit gives how the process ended; nil for status 0 or while it runs.
func (c *child) exit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exitErr
}

// hello keeps the first line that the plugin prints, the handshake.
type hello struct {
	io.ReadCloser

	mu   sync.Mutex
	line []byte
	full bool // the line is complete
}

// Read implements io.Reader. A first line without end ends the stream.
func (h *hello) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return n, err
	}
	part, _, found := bytes.Cut(b[:n], []byte("\n"))
	h.line = append(h.line, part[:min(len(part), maxHello-len(h.line))]...)
	h.full = found
	if !found && len(h.line) >= maxHello {
		return n, bufio.ErrTooLong
	}
	return n, err
}

// parts gives the fields of the handshake: core version, contract version,
// network, address, protocol, certificate.
func (h *hello) parts() (line string, parts []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line = strings.TrimSpace(string(h.line))
	if line == "" {
		return "", nil
	}
	return line, strings.Split(line, "|")
}
