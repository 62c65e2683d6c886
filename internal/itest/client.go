package itest

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// WaitTimeout bounds every wait of a client for an event. It is long, for tests share few processors; a wait that is
// answered ends at once.
const WaitTimeout = 30 * time.Second

//go:embed slix/*.py
var clientProgram embed.FS

// Client is a connected slixmpp client. All events are kept in order; waiting functions look at each event once, so that
// a wait never finds what an earlier wait has already passed. Methods that fail end the test; one goroutine at a time uses
// a Client.
type Client struct {
	JID string // full address, as bound by the server

	t     TB
	proc  *process
	stdin io.WriteCloser
	log   string
	ids   int

	mu     sync.Mutex
	events []Event
	next   int           // first event that no wait has looked at
	more   chan struct{} // closed and replaced when events or answers grow
	ended  bool          // no more events will come
	// answers of the program to calls that wait for them, by the number of the call
	answers map[int]answer
}

// SlixOptions says what a client does of itself. The zero value is a client that is available at once.
type SlixOptions struct {
	// Unavailable connects without initial presence and, by RFC 6121 §4.2, without presence of contacts and messages to the
	// bare address.
	Unavailable bool
	// Roster asks for the roster before the initial presence, so that roster pushes come (RFC 6121 §2.1.6).
	Roster bool
	// Features are added to what the client's capabilities advertise. A node name with "+notify" asks for its events
	// (XEP-0163 §4.3.2).
	Features []string
	// AutoReceipts answers messages that ask for a receipt (XEP-0184), as people's clients do.
	AutoReceipts bool
	// Debug makes the client's log complete.
	Debug bool
}

// Slix connects as account and returns once the session is established. The client ends with the test.
func Slix(t TB, account Account) *Client {
	t.Helper()
	c, err := TrySlix(t, account)
	if err != nil {
		t.Fatalf("slixmpp as %s: %v", account.JID, err)
	}
	return c
}

// SlixWith is [Slix] with options.
func SlixWith(t TB, account Account, opts SlixOptions) *Client {
	t.Helper()
	c, err := trySlix(t, account, opts)
	if err != nil {
		t.Fatalf("slixmpp as %s: %v", account.JID, err)
	}
	return c
}

// TrySlix is [Slix] for accounts that may be refused.
func TrySlix(t TB, account Account) (*Client, error) {
	t.Helper()
	return trySlix(t, account, SlixOptions{})
}

func trySlix(t TB, account Account, opts SlixOptions) (*Client, error) {
	t.Helper()
	python := requireSlixmpp(t)
	host, port, err := splitPort(account.Address)
	if err != nil {
		return nil, err
	}
	tls := "starttls"
	switch {
	case account.NoTLS:
		tls = "none"
	case account.DirectTLS:
		tls = "direct"
	}
	options, err := json.Marshal(map[string]any{
		"jid": account.JID, "password": account.Password, "host": host, "port": port, "tls": tls, "ca_file": account.CAFile,
		"available": !opts.Unavailable, "roster": opts.Roster, "features": opts.Features,
		"auto_receipts": opts.AutoReceipts, "debug": opts.Debug,
	})
	if err != nil {
		return nil, fmt.Errorf("encode client options: %w", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, clientProgram); err != nil {
		return nil, fmt.Errorf("write client program: %w", err)
	}
	c := &Client{t: t, log: filepath.Join(dir, "client.log"), more: make(chan struct{}), answers: map[int]answer{}}
	if err := c.start(exec.Command(python, "-u", filepath.Join(dir, "slix", "client.py"), string(options))); err != nil {
		return nil, err
	}
	ev, ok := c.wait(time.Now().Add(WaitTimeout), func(e Event) bool { return e.Kind == "ready" || e.Kind == "failed" })
	if !ok || ev.Kind != "ready" {
		log, _ := os.ReadFile(c.log) // only to explain the error below
		return nil, fmt.Errorf("connect to %s: %s\n%s", account.Address, ev.Error, tail(log))
	}
	c.JID = ev.To
	return c, nil
}

// slixmppPythons are tried in this order: Debian's package is for Debian's python, which need not be first in PATH.
var slixmppPythons = []string{"/usr/bin/python3", "python3"}

func requireSlixmpp(t TB) string {
	t.Helper()
	for _, python := range slixmppPythons {
		if exec.Command(python, "-c", "import slixmpp").Run() == nil {
			return python
		}
	}
	missing(t, "python3 cannot import slixmpp of Debian's package python3-slixmpp")
	return ""
}

// start runs the client's program and the goroutine that collects its events until the program ends.
func (c *Client) start(cmd *exec.Cmd) error {
	log, err := os.Create(c.log)
	if err != nil {
		return fmt.Errorf("create client log: %w", err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		_ = log.Close()
		return fmt.Errorf("make client pipe: %w", err)
	}
	in, stdin, err := os.Pipe()
	if err != nil {
		_, _, _ = log.Close(), stdout.Close(), out.Close()
		return fmt.Errorf("make client pipe: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, log
	c.proc, err = startProcess(cmd)
	// The child has its own copies of what it was given.
	_, _, _ = log.Close(), out.Close(), in.Close()
	if err != nil {
		_, _ = stdout.Close(), stdin.Close()
		return err
	}
	c.stdin = stdin
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		c.collect(stdout)
	}()
	c.t.Cleanup(func() {
		_ = stdin.Close() // the program ends when its input does
		_ = c.proc.stop() // how it ends is of no interest
		<-collected
		_ = stdout.Close()
		if c.t.Failed() {
			if text, err := os.ReadFile(c.log); err == nil && len(text) > 0 {
				c.t.Logf("log of the client %s:\n%s", c.JID, tail(text))
			}
		}
	})
	return nil
}

// collect appends the program's events until its output ends.
func (c *Client) collect(stdout io.Reader) {
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			c.append(nil)
			return
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			e = Event{Kind: "failed", Error: fmt.Sprintf("client wrote %q: %v", line, err)}
		}
		c.append(&e)
	}
}

// append adds an event, or marks the end with nil, and wakes who waits.
func (c *Client) append(e *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e == nil:
		c.ended = true
	case e.Kind == "answer":
		c.answers[e.Call] = answer{e.Result, e.Refusal, e.Error, e.XML}
	default:
		c.events = append(c.events, *e)
	}
	close(c.more)
	c.more = make(chan struct{})
}

// take looks at the events after those of earlier waits. It returns the first that match accepts.
func (c *Client) take(match func(Event) bool) (e Event, found, ended bool, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.next < len(c.events) {
		e := c.events[c.next]
		c.next++
		if match(e) {
			return e, true, false, nil
		}
	}
	return Event{}, false, c.ended, c.more
}

func (c *Client) wait(deadline time.Time, match func(Event) bool) (Event, bool) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		e, found, ended, more := c.take(match)
		if found || ended {
			return e, found
		}
		select {
		case <-more:
		case <-timer.C:
			return Event{}, false
		}
	}
}

// Wait returns the next event that match accepts, and skips those before it. It ends the test after WaitTimeout, with all
// events that came.
func (c *Client) Wait(what string, match func(Event) bool) Event {
	c.t.Helper()
	e, ok := c.wait(time.Now().Add(WaitTimeout), match)
	if !ok {
		c.t.Fatalf("%s waited for %s in vain; it saw:\n%s", c.JID, what, describe(c.Events()))
	}
	return e
}

// WaitBody returns the next live message in the room with the body, whoever sent it.
func (c *Client) WaitBody(room, body string) Event {
	c.t.Helper()
	return c.Wait(fmt.Sprintf("message %q in %s", body, room), func(e Event) bool {
		return e.Kind == "message" && e.Room == room && e.Body == body && !e.Delayed
	})
}

// None fails the test if an event that match accepts has come since the last wait, or comes before the answer to a ping of
// the server, which the server sends after what it sent before.
func (c *Client) None(what string, match func(Event) bool) {
	c.t.Helper()
	_, domain, _ := strings.Cut(c.JID, "@")
	domain, _, _ = strings.Cut(domain, "/")
	id := c.newID()
	c.SendRaw("<iq type='get' id='" + id + "' to='" + domain + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	e := c.Wait("pong", func(e Event) bool { return match(e) || e.Kind == "iq" && e.ID == id })
	if match(e) {
		c.t.Fatalf("%s saw %s, which must not come:\n%s", c.JID, what, describe([]Event{e}))
	}
}

// Find returns the first of all events, also of those that waits have passed, that match accepts. It ends the test when none
// has come after WaitTimeout.
func (c *Client) Find(what string, match func(Event) bool) Event {
	c.t.Helper()
	timer := time.NewTimer(WaitTimeout)
	defer timer.Stop()
	for looked := 0; ; {
		c.mu.Lock()
		events, more, ended := c.events, c.more, c.ended
		c.mu.Unlock()
		for ; looked < len(events); looked++ {
			if match(events[looked]) {
				return events[looked]
			}
		}
		if !ended {
			select {
			case <-more:
				continue
			case <-timer.C:
			}
		}
		c.t.Fatalf("%s found no %s; it saw:\n%s", c.JID, what, describe(events))
	}
}

// Events returns all events so far, also those that waits have passed.
func (c *Client) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Event(nil), c.events...)
}

// Messages returns the live messages with a body that the room has sent so far.
func (c *Client) Messages(room string) []Event {
	var list []Event
	for _, e := range c.Events() {
		if e.Kind == "message" && e.Room == room && e.HasBody && !e.Delayed && e.Type == "groupchat" {
			list = append(list, e)
		}
	}
	return list
}

// WaitMessages returns the live messages with a body that the room has sent, once there are at least n. It ends the test when
// none has come for WaitTimeout. It looks at all events, whatever other waits have passed.
func (c *Client) WaitMessages(room string, n int) []Event {
	c.t.Helper()
	for {
		c.mu.Lock()
		more, ended := c.more, c.ended
		c.mu.Unlock()
		list := c.Messages(room)
		if len(list) >= n {
			return list
		}
		timer := time.NewTimer(WaitTimeout)
		select {
		case <-more:
		case <-timer.C:
			ended = true
		}
		timer.Stop()
		if ended {
			c.t.Fatalf("%s saw %d messages in %s, want %d", c.JID, len(list), room, n)
		}
	}
}

func describe(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		if e.XML == "" {
			fmt.Fprintf(&b, "  %s %s\n", e.Kind, e.Error)
		} else {
			fmt.Fprintf(&b, "  %s\n", e.XML)
		}
	}
	return b.String()
}

func (c *Client) newID() string {
	c.ids++
	return fmt.Sprintf("itest-%d", c.ids)
}

// send hands the program one command.
func (c *Client) send(command map[string]any) {
	c.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		c.t.Fatalf("%s: encode command: %v", c.JID, err)
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("%s: send command: %v; it saw:\n%s", c.JID, err, describe(c.Events()))
	}
}

// SendRaw sends bytes as they are: a stanza in the default namespace jabber:client, or what a test of hostile input needs.
func (c *Client) SendRaw(xml string) {
	c.t.Helper()
	c.send(map[string]any{"op": "raw", "xml": xml})
}

// IQ sends a request with the payload and returns the answer, result or error.
func (c *Client) IQ(kind, to, payload string) Event {
	c.t.Helper()
	id := c.newID()
	c.SendRaw("<iq type='" + kind + "' id='" + id + "' to='" + escape(to) + "'>" + payload + "</iq>")
	return c.Wait("answer to iq "+id, func(e Event) bool {
		return e.Kind == "iq" && e.ID == id && (e.Type == "result" || e.Type == "error")
	})
}

// In makes what fails from now on a failure of t, such as that of a subtest, until t ends. The client itself ends with the test
// that made it.
func (c *Client) In(t TB) {
	before := c.t
	c.t = t
	t.Cleanup(func() { c.t = before })
}

// Close ends the session and returns when the program has gone.
func (c *Client) Close() {
	c.t.Helper()
	c.send(map[string]any{"op": "quit"})
	ctx, cancel := context.WithTimeout(c.t.Context(), WaitTimeout)
	defer cancel()
	select {
	case <-c.proc.done:
	case <-ctx.Done():
		c.t.Fatalf("%s: close: the client did not end", c.JID)
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
