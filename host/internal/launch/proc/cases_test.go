package proc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bridgehost/sdk"
	"bridgehost/sdk/wire"
)

// The names of the tests carry the numbers of docs/security cases PL-12 to PL-19.

// foreign copies the test binary to a folder of its own and gives its digest.
func foreign(t *testing.T) (path, digest string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return path, hex.EncodeToString(sum[:])
}

func TestPL12ForeignExecutableRefused(t *testing.T) {
	path, digest := foreign(t)
	dir := filepath.Dir(path)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, pin, want string
		before, after         func() error
	}{
		{name: "wrong checksum", path: path, pin: strings.Repeat("0", 64), want: "sha256 is " + digest},
		{name: "no checksum", path: path, want: "is not a SHA-256 digest"},
		{name: "symbolic link", path: link, pin: digest, want: "symbolic link"},
		{name: "relative path", path: "plugin", pin: digest, want: "begin with /"},
		{name: "not there", path: filepath.Join(dir, "none"), pin: digest, want: "no such file"},
		{name: "folder", path: dir, pin: digest, want: "no regular file"},
		{name: "world-writable file", path: path, pin: digest, want: "everybody may write it",
			before: func() error { return os.Chmod(path, 0o757) }, after: func() error { return os.Chmod(path, 0o755) }},
		{name: "world-writable folder", path: path, pin: digest, want: "everybody may write it",
			before: func() error { return os.Chmod(dir, 0o777) }, after: func() error { return os.Chmod(dir, 0o755) }},
		{name: "world-writable sticky folder", path: path, pin: digest, want: "everybody may write it",
			before: func() error { return os.Chmod(dir, 0o777|os.ModeSticky) }, after: func() error { return os.Chmod(dir, 0o755) }},
		{name: "not executable", path: path, pin: digest, want: "chmod u+x",
			before: func() error { return os.Chmod(path, 0o644) }, after: func() error { return os.Chmod(path, 0o755) }},
		{name: "owned by another user", path: path, pin: digest, want: "belongs to user 65534",
			before: func() error { return os.Chown(path, 65534, -1) }, after: func() error { return os.Chown(path, 0, -1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				if err := c.before(); errors.Is(err, os.ErrPermission) {
					t.Skipf("needs root: %v", err)
				} else if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := c.after(); err != nil {
						t.Error(err)
					}
				}()
			}
			_, err := Launch(t.Context(), Spec{Path: c.path, SHA256: c.pin, RuntimeDir: newRuntime(t).Dir(), Log: quiet()})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error = %v, want one with %q and the path", err, c.want)
			}
			if sdk.KindOf(err) != sdk.Invalid {
				t.Errorf("kind = %v, want invalid", sdk.KindOf(err))
			}
		})
	}
}

func TestPL12ReplacedBetweenCheckAndExec(t *testing.T) {
	path, digest := foreign(t)
	f, err := openPinned(path, digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho replaced\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(openPath(f, 3))
	cmd.Args = []string{"plugin", asEcho}
	cmd.ExtraFiles = []*os.File{f}
	out, _ := cmd.CombinedOutput()
	if strings.Contains(string(out), "replaced") || !strings.Contains(string(out), `plugin "echo"`) {
		t.Errorf("ran something else than was checked: %s", out)
	}
}

func TestPL12ForeignExecutableRuns(t *testing.T) {
	path, digest := foreign(t)
	// A foreign plugin gets no arguments, so the environment tells the test
	// binary what to be.
	p, err := Launch(t.Context(), Spec{Path: path, SHA256: digest, RuntimeDir: newRuntime(t).Dir(), Log: quiet(),
		Env: []string{envRole + "=" + asEcho}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	f, _ := open(t, p)
	if got := command(t, f, "say", "hi"); got != "hi" {
		t.Errorf("answer = %q", got)
	}
}

func TestPL13StartedByHand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(self, asEcho).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", err)
	}
	for _, want := range []string{`plugin "echo"`, "[link.NAME]", "bridgehost run"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("help lacks %q:\n%s", want, out)
		}
	}
}

func TestPL14Handshake(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
		kind sdk.Kind
	}{
		{"nonsense", []string{asNoise, "hello,", "world"}, `printed "hello, world"`, sdk.Transient},
		{"control characters", []string{asNoise, "\x1b[2J"}, "printed \"\uFFFD[2J\"", sdk.Transient},
		{"old core protocol", []string{asNoise, "0|1|unix|/x|grpc"}, "not a plugin's greeting", sdk.Transient},
		{"newer contract", []string{asNoise, "1|3|unix|/x|grpc"}, "the plugin speaks contract 3, this host 1: upgrade bridgehost", sdk.Unsupported},
		{"older contract", []string{asNoise, "1|0|unix|/x|grpc"}, "the plugin speaks contract 0, this host 1: upgrade the plugin", sdk.Unsupported},
		{"foreign address", []string{asNoise, "1|1|tcp|127.0.0.1:1|grpc"}, "not in its folder", sdk.Transient},
		{"foreign socket", []string{asNoise, "1|1|unix|/run/other|grpc"}, "not in its folder", sdk.Transient},
		{"endless line", []string{asNoise, strings.Repeat("x", 100_000)}, "not a plugin's greeting", sdk.Transient},
		{"silence", []string{asMute}, "did not answer within 1s", sdk.Transient},
		{"ends at once", []string{"-test.run=^$", "-no-such-flag"}, "ended before it was ready", sdk.Transient},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			timeout := time.Second
			if c.kind == sdk.Transient && c.args[0] != asMute {
				timeout = 4 * time.Second // under the race detector a process takes a second to end
			}
			_, err := Launch(t.Context(), Spec{Name: "odd", Self: c.args, RuntimeDir: newRuntime(t).Dir(), Log: quiet(), StartTimeout: timeout})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
			if sdk.KindOf(err) != c.kind {
				t.Errorf("kind = %v, want %v", sdk.KindOf(err), c.kind)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v, want less than 5 s", took)
			}
		})
	}
}

func TestPL14StartIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(50*time.Millisecond, cancel)
	defer stop.Stop()
	start := time.Now()
	_, err := Launch(ctx, Spec{Name: "mute", Self: []string{asMute}, RuntimeDir: newRuntime(t).Dir(), Log: quiet()})
	if !errors.Is(err, context.Canceled) || time.Since(start) > 4*time.Second {
		t.Errorf("error = %v after %v, want the context's soon", err, time.Since(start))
	}
}

func TestPL15PluginHangsInCall(t *testing.T) {
	p := launch(t, func(s *Spec) { s.Wire.CallTimeout = 200 * time.Millisecond })
	f, _ := open(t, p)
	for _, name := range []string{"hang", "stuck"} {
		start := time.Now()
		_, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: name})
		if sdk.KindOf(err) != sdk.Transient || time.Since(start) > 3*time.Second {
			t.Errorf("%s: error %v after %v, want a transient one within the deadline", name, err, time.Since(start))
		}
	}
	if got := command(t, f, "say", "still there"); got != "still there" {
		t.Errorf("answer after a hang = %q", got)
	}
}

func TestPL15StoppedProcessIsKilled(t *testing.T) {
	p := launch(t, func(s *Spec) { s.Wire.CallTimeout = 200 * time.Millisecond })
	if err := syscall.Kill(p.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // until then a thread of it may still answer
	if _, err := syscall.Wait4(p.Pid(), &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("wait for the stop: %v, status %#x", err, status)
	}
	if err := p.Ping(t.Context()); sdk.KindOf(err) != sdk.Transient || err == nil {
		t.Errorf("ping of a stopped process: %v, want a transient error", err)
	}
	p.Kill()
	<-p.Done()
}

func TestPL16CrashIsSeen(t *testing.T) {
	for _, c := range []struct{ command, want string }{
		{"panic", "echo was asked to panic"},
		{"exit", "exit status 7"},
	} {
		t.Run(c.command, func(t *testing.T) {
			p := launch(t, nil)
			f, _ := open(t, p)
			_, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: c.command})
			if sdk.KindOf(err) != sdk.Transient || err == nil {
				t.Errorf("call of a crashing plugin: %v, want a transient error", err)
			}
			<-p.Done()
			if err := p.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("process error = %v, want one with %q", err, c.want)
			}
			if _, err := p.Plugin().Open(sdk.Config{}, nil); err == nil {
				t.Error("opened a link of a dead process")
			}
		})
	}
}

func TestPL16KillSeenSoonAndRunEnds(t *testing.T) {
	p := launch(t, nil)
	l, err := p.Plugin().Open(sdk.Config{Link: "echo"}, newFakeHost())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(t.Context()) }()
	start := time.Now()
	if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	seen := time.Since(start)
	if err := <-ended; sdk.KindOf(err) != sdk.Transient || err == nil {
		t.Errorf("Run of a killed plugin = %v, want a transient error", err)
	}
	t.Logf("death seen after %v", seen)
	if seen > time.Second {
		t.Errorf("death seen after %v", seen)
	}
}

func TestPL17NoOrphanAfterHostIsKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bhhost")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	host := exec.Command(self, asHost, dir)
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("host said %q", line)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	waitGone(t, pid, 2*time.Second)
	if left := sockets(t, dir); len(left) == 0 {
		t.Error("no socket was left behind, so nothing is tested")
	}
	r, err := OpenRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	if left := sockets(t, dir); len(left) > 0 {
		t.Errorf("stale sockets after a restart: %v", left)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// waitGone waits until a process that is no child of ours has gone.
func waitGone(t *testing.T, pid int, limit time.Duration) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < limit; <-tick.C {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(state, []byte(") Z ")) {
			t.Logf("gone after %v", time.Since(start))
			return
		}
	}
	t.Errorf("process %d is an orphan after %v", pid, limit)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func sockets(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "plugin-dir*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPL17WatchedPipe shows that the pipe alone ends the plugin, as it has to
// where there is no parent-death signal.
func TestPL17WatchedPipe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cookie := wire.Handshake()
	cmd := exec.Command(self, asEcho)
	cmd.Env = []string{cookie.MagicCookieKey + "=" + cookie.MagicCookieValue, wire.WatchEnv + "=3", "PLUGIN_PROTOCOL_VERSIONS=1"}
	cmd.ExtraFiles = []*os.File{read}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil { // must be ignored
		t.Fatal(err)
	}
	_ = write.Close()
	late := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
	if err := cmd.Wait(); err == nil || err.Error() != "exit status 1" {
		t.Errorf("ended with %v, want status 1 by the pipe", err)
	}
	if !late.Stop() {
		t.Error("lived on for 2 s after the host was gone")
	}
}

func TestPL18SocketIsPrivate(t *testing.T) {
	r := newRuntime(t)
	p := launch(t, func(s *Spec) { s.RuntimeDir = r.Dir() })
	info, err := os.Stat(r.Dir())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("runtime folder: %v, %v; want mode 0700", info.Mode(), err)
	}
	found := sockets(t, r.Dir())
	if len(found) != 1 {
		t.Fatalf("sockets: %v, want one", found)
	}
	conn, err := net.Dial("unix", found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// HTTP/2 without TLS: nothing may come back but a TLS alert or the end.
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || (len(got) > 0 && got[0] != 0x15) {
		t.Errorf("without a certificate the socket answered %q, %v", got, err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	other := exec.Command("/bin/sh", "-c", "test -e "+found[0])
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := other.Run(); err == nil {
		t.Error("another user can reach the socket")
	}
	p.Kill()
	if left := sockets(t, r.Dir()); len(left) > 0 {
		t.Errorf("sockets after Kill: %v", left)
	}
}

func TestRuntimeRefusesSecondHost(t *testing.T) {
	r := newRuntime(t)
	if _, err := OpenRuntime(r.Dir()); err == nil || !strings.Contains(err.Error(), "in use by another host") {
		t.Errorf("second host: %v", err)
	}
	if _, err := OpenRuntime("/proc/self/exe"); err == nil {
		t.Error("took a link for a folder")
	}
}

func TestRuntimeLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	r, err := OpenRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(r.Dir())
	first := r.Dir()
	if len(first) > maxFolder {
		t.Errorf("folder %s is too long for a socket", first)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = OpenRuntime(dir); err != nil || r.Dir() != first {
		t.Errorf("second start: %v, %v; want %s again", r, err, first)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentIsNotHandedOver(t *testing.T) {
	t.Setenv("BRIDGEHOST_TEST_SECRET", "hunter2")
	t.Setenv("TZ", "Europe/Berlin")
	f, _ := open(t, launch(t, nil))
	env := command(t, f, "env")
	if strings.Contains(env, "hunter2") || strings.Contains(env, "HOME=") {
		t.Errorf("the host's environment leaked:\n%s", env)
	}
	if !strings.Contains(env, "TZ=Europe/Berlin") {
		t.Errorf("the time zone is missing:\n%s", env)
	}
}

// records is a log handler that keeps its lines.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
	return r.text.Write(b)
}

func TestPL10PrintedTextIsEscaped(t *testing.T) {
	out := &records{more: make(chan struct{}, 1)}
	p := launch(t, func(s *Spec) { s.Log = slog.New(slog.NewTextHandler(out, nil)) })
	f, _ := open(t, p)
	command(t, f, "print", "red\x1b[31m")
	late := time.After(5 * time.Second)
	for {
		out.mu.Lock()
		got := out.text.String()
		out.mu.Unlock()
		if strings.Contains(got, "from=stdout") && strings.Contains(got, "from=stderr") {
			if strings.Contains(got, "\x1b") || strings.Contains(got, `\x1b`) {
				t.Errorf("escape sequence in the log: %s", got)
			}
			return
		}
		select {
		case <-out.more:
		case <-late:
			t.Fatalf("log lacks what was printed: %q", got)
		}
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	r := newRuntime(t)
	for _, end := range []struct {
		name string
		end  func(*Process)
	}{
		{"kill", func(p *Process) { p.Kill() }},
		{"close", func(p *Process) { _ = p.Close() }},
		{"close twice and kill", func(p *Process) { _ = p.Close(); _ = p.Close(); p.Kill() }},
		{"crash", func(p *Process) { _ = syscall.Kill(p.Pid(), syscall.SIGKILL); <-p.Done(); p.Kill() }},
		{"stopped process", func(p *Process) {
			_ = syscall.Kill(p.Pid(), syscall.SIGSTOP)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			p.Stop(ctx)
		}},
	} {
		t.Run(end.name, func(t *testing.T) {
			files := openFiles(t)
			p, err := Launch(t.Context(), Spec{Name: "echo", Self: []string{asEcho}, RuntimeDir: r.Dir(), Log: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			f, _ := open(t, p)
			command(t, f, "say", "hi")
			end.end(p)
			<-p.Done()
			if err := goleak.Find(before, goleak.IgnoreTopFunction("testing.(*T).Run"), goleak.IgnoreTopFunction("testing.tRunner.func2")); err != nil {
				t.Error(err)
			}
			if left := sockets(t, r.Dir()); len(left) > 0 {
				t.Errorf("sockets left: %v", left)
			}
			if now := openFiles(t); now > files {
				t.Errorf("%d open files, %d before", now, files)
			}
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(fds)
}
