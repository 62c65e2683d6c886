// Package e2e runs the program as operators do, against real servers and with
// real clients, and kills what can be killed.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// secret is the component secret of every server in these tests.
const secret = "component-secret"

// programEnv names a program that is already built, to compare versions with.
const programEnv = "BRIDGEHOST_E2E_PROGRAM"

var program struct {
	once sync.Once
	dir  string // made here
	path string
	err  error
}

// binary builds the program once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	program.once.Do(func() {
		if program.path = os.Getenv(programEnv); program.path != "" {
			return
		}
		if program.dir, program.err = os.MkdirTemp("", "bridgehost-e2e-"); program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "bridgehost")
		if out, err := exec.Command("go", "build", "-o", program.path, "bridgehost/cmd/bridgehost").CombinedOutput(); err != nil {
			program.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		if err := os.RemoveAll(program.dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove the built program:", err)
		}
	}
	os.Exit(code)
}

// bridge is one bridgehost with its own folder.
type bridge struct {
	t      testing.TB
	dir    string
	public string // base URL of the public listener
	admin  string // base URL of the admin listener
	head   string // of the configuration: host and listeners
	cmd    *exec.Cmd
	done   chan struct{}
}

// newBridge writes the configuration; links is the TOML of links and routes.
func newBridge(t testing.TB, links string) *bridge {
	t.Helper()
	return newBridgeWith(t, "", links)
}

// newBridgeWith also has lines for the table [host].
func newBridgeWith(t testing.TB, host, links string) *bridge {
	t.Helper()
	b := &bridge{t: t, dir: t.TempDir()}
	public, admin := free(t), free(t)
	b.public, b.admin = "http://"+public, "http://"+admin
	b.head = fmt.Sprintf(`[host]
data = %q
crash_limit = 100000
crash_pause = "300ms"
%s

[http]
listen = %q
public_url = %q

[admin]
listen = %q

`, filepath.Join(b.dir, "data"), host, public, b.public, admin)
	b.configure(b.head + links)
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("end of the log of bridgehost:\n%s", b.tail())
		}
	})
	return b
}

func free(t testing.TB) string {
	t.Helper()
	addr, err := itest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func (b *bridge) configFile() string { return filepath.Join(b.dir, "bridgehost.toml") }

func (b *bridge) configure(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.configFile(), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bridge) logFile() string { return filepath.Join(b.dir, "bridgehost.log") }

func (b *bridge) tail() string {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-1200<<10):])
}

// start runs the program and waits until it is live.
func (b *bridge) start() {
	b.t.Helper()
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cmd = exec.Command(binary(b.t), "run", "-c", b.configFile())
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan struct{})
	b.done = done
	cmd := b.cmd
	go func() {
		defer close(done)
		_ = cmd.Wait() // killed more often than not
		_ = log.Close()
	}()
	b.until("live", func() bool { return b.get("/livez", nil) == 200 })
}

// ready waits until every link works.
func (b *bridge) ready() {
	b.t.Helper()
	b.until("ready", func() bool { return b.get("/readyz", nil) == 200 })
}

// joined waits until every place works as well.
func (b *bridge) joined(places int) {
	b.t.Helper()
	b.ready()
	b.until("all places are up", func() bool {
		var st struct {
			Links []struct {
				Places map[string]struct{ State string }
			}
		}
		up := 0
		if b.get("/status?format=json", &st) == 200 {
			for _, l := range st.Links {
				for _, p := range l.Places {
					if p.State == "up" {
						up++
					}
				}
			}
		}
		return up == places
	})
}

// until asks again until ok or half a minute is over.
func (b *bridge) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		if ok() {
			return
		}
		select {
		case <-b.done:
			b.t.Fatalf("bridgehost ended while waiting until %s:\n%s", what, b.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			b.t.Fatalf("not %s after 30 s; status: %s", what, b.statusText())
		}
	}
}

// get asks the admin listener and decodes JSON into v when it is not nil; 0
// means no answer.
func (b *bridge) get(path string, v any) int {
	resp, err := http.Get(b.admin + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if v != nil {
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			return 0
		}
	}
	return resp.StatusCode
}

func (b *bridge) statusText() string {
	resp, err := http.Get(b.admin + "/status?format=json")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// kill ends the program at once, as a power cut would.
func (b *bridge) kill() { b.signal(syscall.SIGKILL) }

// stop ends it in order.
func (b *bridge) stop() { b.signal(syscall.SIGTERM) }

func (b *bridge) signal(sig syscall.Signal) {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Signal(sig) // it may have ended already
	<-b.done
}

// children gives the process ids of the plugin's subprocesses by plugin name.
func (b *bridge) children() map[string]int {
	out := map[string]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		var pid, ppid int
		if _, err := fmt.Sscanf(e.Name(), "%d", &pid); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 {
			var state string
			if _, err := fmt.Sscanf(string(stat[i+1:]), "%s %d", &state, &ppid); err != nil || ppid != b.cmd.Process.Pid {
				continue
			}
		}
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		words := strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")
		out[words[len(words)-1]] = pid
	}
	return out
}

// answer is what the webhook said.
type answer struct {
	status int
	body   string
	header http.Header
}

// post sends a body to a hook.
func (b *bridge) post(ctx context.Context, path, contentType, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.public+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text), resp.Header}, err
}

// cli runs a verb of the command line and gives its output and exit code.
func (b *bridge) cli(args ...string) (string, int) {
	cmd := exec.Command(binary(b.t), append(args, "-c", b.configFile())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		if cmd.ProcessState == nil {
			b.t.Fatal(err)
		}
	}
	return string(out), cmd.ProcessState.ExitCode()
}
