package itest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

// Browser is a page of a headless Chromium with an empty profile. It speaks Chrome's DevTools protocol over a pipe, so it opens
// no port. Methods that fail end the test.
type Browser struct {
	t       TB
	proc    *process
	in      *os.File
	log     string
	session string
	ids     atomic.Int64

	mu      sync.Mutex
	waiting map[int64]chan protocolMessage
	errors  []string // exceptions and errors of the page's console
	ended   chan struct{}
}

// protocolMessage is an answer or event of the DevTools protocol.
type protocolMessage struct {
	ID     int64           `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// chromiumFlags keep the browser to this machine and this test.
var chromiumFlags = []string{
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-default-apps", "--mute-audio", "--disable-dev-shm-usage",
	"--window-size=1200,900", "--remote-debugging-pipe",
}

// noBus are the lines about a message bus, which no test needs.
var noBus = regexp.MustCompile(`(?m)^.*:dbus/.*\n`)

// maxConsole bounds how many errors of the page are kept.
const maxConsole = 100

// Chromium starts a browser with one empty page. It ends with the test.
func Chromium(t TB) *Browser {
	t.Helper()
	program := requireProgram(t, "chromium", "chromium", "/usr/bin/chromium")
	b := &Browser{
		t: t, log: filepath.Join(t.TempDir(), "chromium.log"),
		waiting: map[int64]chan protocolMessage{}, ended: make(chan struct{}),
	}
	cmd := exec.Command(program, append(chromiumFlags, "--user-data-dir="+t.TempDir(), "about:blank")...)
	if err := b.start(cmd); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	var target struct {
		ID string `json:"targetId"`
	}
	b.must("new page", b.call("Target.createTarget", args{"url": "about:blank"}, &target))
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.must("attach to page", b.call("Target.attachToTarget", args{"targetId": target.ID, "flatten": true}, &attached))
	b.session = attached.Session
	b.must("enable page", b.call("Page.enable", nil, nil))
	b.must("enable console", b.call("Runtime.enable", nil, nil))
	return b
}

// start runs the browser with the protocol on its descriptors 3 and 4.
func (b *Browser) start(cmd *exec.Cmd) error {
	log, err := os.Create(b.log)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		_ = log.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_, _, _ = log.Close(), theirIn.Close(), in.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{theirIn, theirOut}
	b.in = in
	b.proc, err = startProcess(cmd)
	_, _, _ = log.Close(), theirIn.Close(), theirOut.Close() // the child has its own
	if err != nil {
		_, _ = in.Close(), out.Close()
		return err
	}
	go b.read(out)
	t := b.t // of the whole test, whatever In says later
	t.Cleanup(func() {
		b.proc.kill()
		<-b.ended
		_, _ = in.Close(), out.Close()
		if t.Failed() {
			if text, err := os.ReadFile(b.log); err == nil {
				t.Logf("console of the page: %q\nlog of chromium:\n%s", b.console(), tail(noBus.ReplaceAll(text, nil)))
			}
		}
	})
	return nil
}

// read hands each answer to who waits for it, until the browser ends.
func (b *Browser) read(out *os.File) {
	defer close(b.ended)
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m protocolMessage
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if waiter, ok := b.waiting[m.ID]; ok {
			delete(b.waiting, m.ID)
			waiter <- m // it has room for one
		}
		if text := consoleError(m); text != "" && len(b.errors) < maxConsole {
			b.errors = append(b.errors, text)
		}
		b.mu.Unlock()
	}
}

// consoleError returns what the page has complained about.
func consoleError(m protocolMessage) string {
	if m.Method != "Runtime.exceptionThrown" && m.Method != "Runtime.consoleAPICalled" {
		return ""
	}
	var p struct {
		Type string `json:"type"`
		Args []struct {
			Value       any    `json:"value"`
			Description string `json:"description"`
		} `json:"args"`
		ExceptionDetails struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if json.Unmarshal(m.Params, &p) != nil || m.Method == "Runtime.consoleAPICalled" && p.Type != "error" && p.Type != "warning" {
		return ""
	}
	text := p.ExceptionDetails.Text + p.ExceptionDetails.Exception.Description
	for _, a := range p.Args {
		text += fmt.Sprint(a.Value, " ", a.Description)
	}
	return text
}

func (b *Browser) console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.errors...)
}

// call sends a command of the protocol and decodes its result.
func (b *Browser) call(method string, params args, result any) error {
	id := b.ids.Add(1)
	command := args{"id": id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("%s: encode: %w", method, err)
	}
	waiter := make(chan protocolMessage, 1)
	b.mu.Lock()
	b.waiting[id] = waiter
	b.mu.Unlock()
	if _, err := b.in.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: send: %w", method, err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*WaitTimeout)
	defer cancel()
	select {
	case m := <-waiter:
		if m.Error != nil {
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("%s: decode result: %w", method, err)
		}
		return nil
	case <-b.ended:
		return fmt.Errorf("%s: the browser has ended", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (b *Browser) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("chromium: %s: %v; console of the page: %q", what, err, b.console())
	}
}

// Open loads an address and returns once the page's document is complete.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.must("open "+url, b.call("Page.navigate", args{"url": url}, nil))
	b.Eval("new Promise(function look(done) { if (location.href !== 'about:blank' && document.readyState === 'complete') "+
		"done(true); else setTimeout(look, 20, done); })", nil)
}

// Eval runs JavaScript in the page, waits for its promise if it returns one, and decodes its value into result if not nil.
func (b *Browser) Eval(expression string, result any) {
	b.t.Helper()
	b.must("evaluate "+expression, b.tryEval(expression, result))
}

func (b *Browser) tryEval(expression string, result any) error {
	var got struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	params := args{"expression": expression, "awaitPromise": true, "returnByValue": true}
	if err := b.call("Runtime.evaluate", params, &got); err != nil {
		return err
	}
	if got.Exception != nil {
		return errors.New(got.Exception.Text + " " + got.Exception.Exception.Description)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(got.Result.Value, result); err != nil {
		return fmt.Errorf("decode value %s: %w", got.Result.Value, err)
	}
	return nil
}

// In makes what fails from now on a failure of t, such as that of a subtest, until t ends. The browser itself ends with the
// test that made it.
func (b *Browser) In(t TB) {
	before := b.t
	b.t = t
	t.Cleanup(func() { b.t = before })
}

// Type enters text where the focus is: ASCII by keys, the rest as an input method does.
func (b *Browser) Type(text string) {
	b.t.Helper()
	for _, r := range text {
		if r < ' ' || r > '~' {
			b.must("type", b.call("Input.insertText", args{"text": string(r)}, nil))
			continue
		}
		b.press(args{"key": string(r), "text": string(r)})
	}
}

// Enter presses the enter key.
func (b *Browser) Enter() {
	b.t.Helper()
	b.press(args{"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "nativeVirtualKeyCode": 13, "text": "\r"})
}

// press presses a key and lets it go.
func (b *Browser) press(key args) {
	b.t.Helper()
	key["type"] = "keyDown"
	b.must("press key", b.call("Input.dispatchKeyEvent", key, nil))
	delete(key, "text")
	key["type"] = "keyUp"
	b.must("release key", b.call("Input.dispatchKeyEvent", key, nil))
}

// Screenshot writes a picture of the page to path, which ends in .png. Tests that are to be looked at by people name a folder
// of their own in [ScreenshotEnv].
func (b *Browser) Screenshot(path string) {
	b.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	b.must("screenshot", b.call("Page.captureScreenshot", args{"format": "png"}, &shot))
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, picture, 0o600)
	}
	b.must("write screenshot", err)
}

// ScreenshotEnv names the folder that keeps the screenshots of tests; without it they go with the test.
const ScreenshotEnv = "BRIDGEHOST_SCREENSHOTS"

// Shot is Screenshot to NAME.png in the folder of [ScreenshotEnv] or of the test, and logs where it is.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	dir := os.Getenv(ScreenshotEnv)
	if dir == "" {
		dir = b.t.TempDir()
	}
	path := filepath.Join(dir, name+".png")
	b.Screenshot(path)
	b.t.Logf("screenshot %s at %s", path, time.Now().Format(time.TimeOnly))
}
