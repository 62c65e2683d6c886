package itest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServersListenOnLoopbackOnly looks at all sockets of the server's processes.
func TestServersListenOnLoopbackOnly(t *testing.T) {
	for name, start := range map[string]func(TB, Options) *Server{"prosody": Prosody, "ejabberd": Ejabberd} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, Options{
				Address: "127.0.0.3", DirectTLS: true, S2S: true, Components: map[string]string{"bridge.xmpp.test": "secret"},
			})
			addrs := listeners(t, srv.PID())
			want := len(srv.probes())
			if len(addrs) != want {
				t.Errorf("%s listens on %d addresses %v, want %d", name, len(addrs), addrs, want)
			}
			for _, addr := range addrs {
				if !strings.HasPrefix(addr, "127.0.0.3:") {
					t.Errorf("%s listens on %s, want 127.0.0.3 only", name, addr)
				}
			}
		})
	}
}

// listeners returns the TCP addresses on which the members of a process group listen.
func listeners(t *testing.T, group int) []string {
	t.Helper()
	inodes := map[string]bool{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			t.Fatal(err)
		}
		if pgid, err := syscall.Getpgid(pid); err != nil || pgid != group {
			continue
		}
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
				inodes[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
			}
		}
	}
	return append(socketTable(t, "/proc/net/tcp", inodes), socketTable(t, "/proc/net/tcp6", inodes)...)
}

// socketTable reads a table of proc(5) and returns the listening addresses of the given inodes.
func socketTable(t *testing.T, table string, inodes map[string]bool) []string {
	t.Helper()
	f, err := os.Open(table)
	if os.IsNotExist(err) {
		return nil // a kernel without IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var addrs []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		const listen = "0A"
		if len(fields) < 10 || fields[3] != listen || !inodes[fields[9]] {
			continue
		}
		host, port, _ := strings.Cut(fields[1], ":")
		number, err := strconv.ParseUint(port, 16, 16)
		if err != nil {
			t.Fatalf("%s: port %q: %v", table, port, err)
		}
		addrs = append(addrs, net.JoinHostPort(kernelAddress(t, host), strconv.FormatUint(number, 10)))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return addrs
}

// kernelAddress decodes an address of proc(5): words of four bytes in the byte order of the machine.
func kernelAddress(t *testing.T, text string) string {
	t.Helper()
	var ip net.IP
	for i := 0; i+8 <= len(text); i += 8 {
		word, err := strconv.ParseUint(text[i:i+8], 16, 32)
		if err != nil {
			t.Fatalf("address %q: %v", text, err)
		}
		bytes := []byte{byte(word), byte(word >> 8), byte(word >> 16), byte(word >> 24)}
		if runtime.GOARCH == "s390x" {
			bytes[0], bytes[1], bytes[2], bytes[3] = bytes[3], bytes[2], bytes[1], bytes[0]
		}
		ip = append(ip, bytes...)
	}
	return ip.String()
}

// orphanEnv makes TestMain's process the parent of the orphan test.
const orphanEnv = "ITEST_ORPHAN_PARENT"

// TestOrphanParent is not a test of its own: TestServersDieWithTheirParent runs it in a process that it kills.
func TestOrphanParent(t *testing.T) {
	kind := os.Getenv(orphanEnv)
	if kind == "" {
		t.Skip("only run by TestServersDieWithTheirParent")
	}
	start := map[string]func(TB, Options) *Server{kindProsody: Prosody, kindEjabberd: Ejabberd}[kind]
	srv := start(t, Options{Users: map[string]string{"juliet": "pw"}})
	itest := Slix(t, srv.Account("juliet"))
	fmt.Println("READY", srv.C2S, srv.PID(), itest.proc.cmd.Process.Pid)
	select {} // until it is killed
}

func TestServersDieWithTheirParent(t *testing.T) {
	requireSlixmpp(t)
	for _, kind := range []string{kindProsody, kindEjabberd} {
		t.Run(kind, func(t *testing.T) {
			if kind == kindProsody {
				requireProgram(t, "prosody", "prosody", "/usr/bin/prosody")
			} else {
				requireFile(t, "ejabberd", "/usr/lib/*/ejabberd-*/ebin/ejabberd.app")
			}
			dieWithParent(t, kind)
		})
	}
}

func dieWithParent(t *testing.T, kind string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestOrphanParent$", "-test.v")
	// The killed process cannot remove its temporary folder: it is ours.
	cmd.Env = append(os.Environ(), orphanEnv+"="+kind, "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // where the test ended early
		_ = cmd.Wait()
	}()
	var addr string
	var server, client int
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), "READY %s %d %d", &addr, &server, &client); n == 3 {
			break
		}
	}
	if addr == "" {
		t.Fatalf("the parent did not start its server: %v", lines.Err())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{server, client} {
		waitGone(t, pid)
	}
	waitRefused(t, addr)
}

// waitRefused returns when nothing listens on addr any more: the sockets of a process with threads are closed a little after
// its first thread has become a zombie.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(WaitTimeout)
	ticker := time.NewTicker(dialPause)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return
		}
		_ = conn.Close()
		<-ticker.C
	}
	t.Errorf("%s still accepts connections", addr)
}

// waitGone returns when the process has ended. A process that nobody waits for stays as a zombie, which has ended as well.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(WaitTimeout)
	ticker := time.NewTicker(dialPause)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		<-ticker.C
	}
	t.Errorf("process %d outlived its parent", pid)
}

// recorder is a testing.TB that remembers how a test ended.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestMissingServerSkipsOrFails(t *testing.T) {
	for _, c := range []struct{ env, name string }{{"", "skips"}, {"1", "fails"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(RequireEnv, c.env)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				requireProgram(r, "nothing", "no-such-program-anywhere")
			}()
			<-done
			got, other := r.skipped, r.failed
			if c.env == "1" {
				got, other = other, got
			}
			if !strings.Contains(got, "no-such-program-anywhere") || other != "" {
				t.Errorf("skipped with %q, failed with %q", r.skipped, r.failed)
			}
		})
	}
}
