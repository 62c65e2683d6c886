// Command demo shows the bridge at work: it starts a Prosody of its own on
// loopback and bridgehost with a generated configuration, posts to a webhook,
// and shows the message, which a WASM filter has changed on its way, as an
// independent client saw it in the room. Then it prints the line to try and
// stays until Ctrl-C, or ends when ONCE=1 is set.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bridgehost/internal/itest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the demonstration.
func run(ctx context.Context) (err error) {
	s := newStage(ctx)
	defer func() { err = errors.Join(err, s.close()) }()
	return s.act(func() error { return play(ctx, s) })
}

func play(ctx context.Context, s *stage) error {
	say("starting a Prosody of its own on 127.0.0.1 …")
	secret := random()
	server := itest.Prosody(s, itest.Options{Domain: "demo.test",
		Users: map[string]string{"watcher": random()}, Components: map[string]string{"bridge.demo.test": secret}})
	room := server.Room("tea")

	say("building and starting bridgehost, with a filter of its own as a WASM module …")
	b, err := startBridge(ctx, s, server, room, secret)
	if err != nil {
		return err
	}
	say("an independent client (slixmpp) enters the room %s …", room)
	watcher := itest.Slix(s, server.Account("watcher"))
	watcher.Join(room, "Watcher")

	const payload = `{"title":"Tea is ready","cups":2,"mood":"☕"}`
	began := time.Now()
	say("posting to the webhook: %s", payload)
	answer, err := post(ctx, b.url+"?wait=10s", payload)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("\n  bridgehost answered, %v later: %s\n", took.Round(time.Millisecond), strings.TrimSpace(answer))
	seen := watcher.Wait("the webhook's message", func(e itest.Event) bool { return e.HasBody && e.Nick == "Kettle" })
	fmt.Printf("  the client in the room saw, from %s, after the WASM filter shout:\n\n%s\n\n", seen.Nick, indent(seen.Body))
	say("posting a word that the filter forbids …")
	_, err = post(ctx, b.url+"?wait=10s", `{"title":"a forbidden thing"}`)
	if err == nil {
		return errors.New("the filter let a forbidden word pass")
	}
	fmt.Printf("\n  %v\n\n", err)

	fmt.Printf("\nTry it yourself:\n\n  curl -H 'Content-Type: application/json' -d '{\"hello\":\"world\"}' %s\n\n", b.url)
	fmt.Printf("Status page:   http://%s/status\n", b.admin)
	fmt.Printf("Configuration: %s\n\n", b.config)
	if os.Getenv("ONCE") == "1" {
		return b.stop()
	}
	fmt.Println("What arrives in the room is shown below. Ctrl-C ends the demonstration.")
	show(ctx, watcher, b)
	return b.stop()
}

// show prints what the client sees until ctx ends.
func show(ctx context.Context, watcher *itest.Client, b *bridge) {
	shown := len(watcher.Events())
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		events := watcher.Events()
		for _, e := range events[shown:] {
			if e.HasBody {
				fmt.Printf("\n[%s]\n%s\n", e.Nick, indent(e.Body))
			}
		}
		shown = len(events)
	}
}

func say(format string, args ...any) { fmt.Printf("- "+format+"\n", args...) }

func indent(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }

func random() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// bridge is the running program.
type bridge struct {
	cmd    *exec.Cmd
	done   chan struct{}
	url    string // of the webhook
	admin  string
	config string
}

const configuration = `[host]
data = "data"

[http]
listen = %q

[admin]
listen = %q

[link.home]
plugin = "xmpp"
[link.home.config]
mode = "component"
address = %q
domain = "bridge.demo.test"
secret = { file = "component-secret" }

[link.hooks]
plugin = "webhook"
[link.hooks.config.hook.kettle]
token = { file = "hook-token" }
name = "Kettle"
format = "yaml"

[link.shout]
plugin = "wasm:shout.wasm"

[[route]]
from = "hooks:kettle"
to = ["home:%s"]
filters = ["shout"]
`

// startBridge builds the program, writes its configuration, and runs it.
func startBridge(ctx context.Context, s *stage, server *itest.Server, room, secret string) (*bridge, error) {
	dir := s.TempDir()
	program := filepath.Join(dir, "bridgehost")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/bridgehost").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build bridgehost: %w\n%s", err, out)
	}
	public, err := itest.FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	admin, err := itest.FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	token := random()
	b := &bridge{url: "http://" + public + "/post/" + token, admin: admin, config: filepath.Join(dir, "bridgehost.toml"), done: make(chan struct{})}
	for name, text := range map[string]string{
		"bridgehost.toml":  fmt.Sprintf(configuration, public, admin, server.Component, room),
		"component-secret": secret, "hook-token": token,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if err := installFilter(ctx, program, b.config); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "bridgehost.log"))
	if err != nil {
		return nil, err
	}
	b.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, "run", "-c", b.config)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which then stops the bridge
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { // ends with the process
		defer close(b.done)
		_ = b.cmd.Wait() // stop looks at the state
		_ = log.Close()
	}()
	s.Cleanup(func() { _ = b.stop() })
	return b, b.ready(ctx, log.Name())
}

// installFilter builds the example filter beside the configuration, and has its
// checksum written into plugins.lock.
func installFilter(ctx context.Context, program, config string) error {
	module := filepath.Join(filepath.Dir(config), "shout.wasm")
	build := exec.CommandContext(ctx, "sh", "examples/shout-go/build.sh")
	build.Env = append(os.Environ(), "OUT="+module)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the filter: %w\n%s", err, out)
	}
	if out, err := exec.CommandContext(ctx, program, "plugin", "install", "--yes", "-c", config, module).CombinedOutput(); err != nil {
		return fmt.Errorf("install the filter: %w\n%s", err, out)
	}
	return nil
}

// ready waits until every link is up.
func (b *bridge) ready(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	last := "no answer yet"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			text, _ := io.ReadAll(resp.Body) // only for the message below
			_ = resp.Body.Close()
			if last = string(text); resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-b.done:
			text, _ := os.ReadFile(log)
			return fmt.Errorf("bridgehost ended:\n%s", text)
		case <-ctx.Done():
			return fmt.Errorf("bridgehost is not ready: %s", last)
		}
	}
}

// stop ends the program in order; it may be called again.
func (b *bridge) stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-b.done
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("bridgehost ended with exit code %d", code)
	}
	return nil
}

// post sends JSON and returns the answer.
func post(ctx context.Context, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the webhook answered %s: %s", resp.Status, text)
	}
	return fmt.Sprintf("%s %s", resp.Status, text), nil
}
