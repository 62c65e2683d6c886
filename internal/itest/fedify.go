package itest

import (
	"bufio"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// FedifyVersion is the release of Fedify that scripts/install-test-deps fetches.
const FedifyVersion = "2.3.6"

// FedifyEnv names a folder with the node_modules of internal/itest/fedify, instead of where scripts/install-test-deps puts it:
// bridgehost/fedify-VERSION in the user's cache folder.
const FedifyEnv = "BRIDGEHOST_FEDIFY"

//go:embed fedify/peer.mjs
var fedifyProgram embed.FS

// Kinds of signatures of requests, as [FedifyOptions] and [FedifyEvent] name them.
const (
	SignatureRFC9421 = "rfc9421"
	SignatureCavage  = "cavage"
)

// cavageDraft is Fedify's name of [SignatureCavage].
const cavageDraft = "draft-cavage-http-signatures-12"

// FedifyOptions says what a peer is. The zero value has the user alice on 127.0.0.6, who lets everybody follow.
type FedifyOptions struct {
	Host   string   // loopback address
	Users  []string // names of actors
	Locked []string // those of Users who answer a Follow only when the test says so
	First  string   // kind of signature that it tries first; [SignatureRFC9421] when empty
	Secure bool     // answer only signed requests (authorised fetch)
}

// Fedify is a fediverse server that is independent of ours: an actor for each user, at an address with a port. All events
// are kept in order, and waiting functions look at each event once. Methods that fail end the test; one goroutine at a time uses it.
type Fedify struct {
	Address string // host:port, the part of handles behind the @
	CAFile  string // authority that signed its certificate

	t     TB
	proc  *process
	stdin io.WriteCloser
	log   string
	calls int

	mu      sync.Mutex
	events  []FedifyEvent
	next    int           // first event that no wait has looked at
	more    chan struct{} // closed and replaced when events or answers grow
	ended   bool          // no more events will come
	answers map[int]fedifyAnswer
}

// FedifyEvent is what a peer saw.
type FedifyEvent struct {
	// Kind is activity (its inbox verified one), refused (a request to an inbox), get (a document was asked for), or failed.
	Kind      string
	Type      string          // activity: as the raw document has it
	ID        string          // activity
	Actor     string          // activity: address of who did it
	Inbox     string          // activity: path of the inbox that took it
	Signature string          // kind of signature of the request: SignatureRFC9421, SignatureCavage or none
	Raw       json.RawMessage // activity: the document as it came
	Method    string          // refused, get
	Path      string          // refused, get
	Status    int             // refused, get: of the answer
	Reason    string          // refused: what Fedify says
	Error     string          // refused: body of the answer; failed: what went wrong
	Body      string          // refused: body of the request
}

// Object returns the raw document of the activity's object, which may be a string.
func (e FedifyEvent) Object() json.RawMessage {
	var doc struct{ Object json.RawMessage }
	if json.Unmarshal(e.Raw, &doc) != nil {
		return nil
	}
	return doc.Object
}

// ObjectID is the address of the activity's object.
func (e FedifyEvent) ObjectID() string {
	raw := e.Object()
	var id string
	if json.Unmarshal(raw, &id) == nil {
		return id
	}
	var doc struct{ ID string }
	_ = json.Unmarshal(raw, &doc) // an object without address has the empty one
	return doc.ID
}

// Note decodes the fields of the activity's object that tests look at.
func (e FedifyEvent) Note() FedifyNote {
	var note FedifyNote
	_ = json.Unmarshal(e.Object(), &note) // what is missing shows in the comparison of the test
	return note
}

// FedifyNote is a part of a post as it came.
type FedifyNote struct {
	ID, Type, Content, Summary, Name, InReplyTo string
	AttributedTo                                string
	Sensitive                                   bool
	To, CC                                      OneOrMany
	Tag                                         []struct{ Type, Name, Href string }
	Attachment                                  []struct{ Type, MediaType, URL, Name string }
	OneOf, AnyOf                                []struct{ Type, Name string }
}

// OneOrMany is a value of JSON-LD that is a string or a list of strings.
type OneOrMany []string

// UnmarshalJSON reads both forms.
func (o *OneOrMany) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = OneOrMany{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(text, &many); err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	*o = many
	return nil
}

type fedifyAnswer struct {
	Result json.RawMessage
	Error  string
	Status int
}

// StartFedify starts a peer and returns once it listens. It ends with the test.
func StartFedify(t TB, opts FedifyOptions) *Fedify {
	t.Helper()
	node, modules := fedifyFolder(t)
	if opts.Host == "" {
		opts.Host = "127.0.0.6"
	}
	if opts.Users == nil {
		opts.Users = []string{"alice"}
	}
	address, err := FreeAddress(opts.Host)
	if err != nil {
		t.Fatalf("fedify: %v", err)
	}
	dir := t.TempDir()
	cert := Certificate(t, dir, opts.Host)
	if err := os.CopyFS(dir, fedifyProgram); err != nil {
		t.Fatalf("fedify: write program: %v", err)
	}
	program := filepath.Join(dir, "fedify")
	if err := os.Symlink(modules, filepath.Join(program, "node_modules")); err != nil {
		t.Fatalf("fedify: link packages: %v", err)
	}
	options, err := json.Marshal(map[string]any{
		"address": address, "cert": cert.CertFile, "key": cert.KeyFile, "users": opts.Users, "locked": opts.Locked,
		"first": firstSignature(opts.First), "secure": opts.Secure,
	})
	if err != nil {
		t.Fatalf("fedify: encode options: %v", err)
	}
	f := &Fedify{Address: address, CAFile: cert.CAFile, t: t, log: filepath.Join(dir, "peer.log"), more: make(chan struct{}), answers: map[int]fedifyAnswer{}}
	cmd := exec.Command(node, filepath.Join(program, "peer.mjs"), string(options))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+cert.CAFile)
	if err := f.start(cmd); err != nil {
		t.Fatalf("fedify: %v", err)
	}
	f.Wait("that the peer listens", func(e FedifyEvent) bool { return e.Kind == "ready" })
	return f
}

func firstSignature(kind string) string {
	if kind == SignatureCavage {
		return cavageDraft
	}
	return SignatureRFC9421
}

// fedifyFolder is where Fedify is on this machine, and the Node that came with it.
func fedifyFolder(t TB) (node, modules string) {
	t.Helper()
	dir := os.Getenv(FedifyEnv)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("fedify: find cache folder: %v", err)
		}
		dir = filepath.Join(cache, "bridgehost", "fedify-"+FedifyVersion)
	}
	modules = filepath.Join(dir, "node_modules")
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	node = filepath.Join(modules, "node-linux-"+arch, "bin", "node")
	for _, needed := range []string{node, filepath.Join(modules, "@fedify", "fedify", "package.json")} {
		if _, err := os.Stat(needed); err != nil {
			missing(t, "no %s", needed)
		}
	}
	return node, modules
}

// start runs the peer's program and the goroutine that collects its events until the program ends.
func (f *Fedify) start(cmd *exec.Cmd) error {
	log, err := os.Create(f.log)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		_ = log.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	in, stdin, err := os.Pipe()
	if err != nil {
		_, _, _ = log.Close(), stdout.Close(), out.Close()
		return fmt.Errorf("make pipe: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, log
	f.proc, err = startProcess(cmd)
	// The child has its own copies of what it was given.
	_, _, _ = log.Close(), out.Close(), in.Close()
	if err != nil {
		_, _ = stdout.Close(), stdin.Close()
		return err
	}
	f.stdin = stdin
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		f.collect(stdout)
	}()
	f.t.Cleanup(func() {
		_ = stdin.Close()  // the program ends when its input does
		_ = f.proc.stop()  // how it ends is of no interest
		<-collected        // its output has ended too
		_ = stdout.Close() // nothing was written to it
		if f.t.Failed() {
			if text, err := os.ReadFile(f.log); err == nil && len(text) > 0 {
				f.t.Logf("log of the peer %s:\n%s", f.Address, tail(text))
			}
		}
	})
	return nil
}

// collect appends the program's events until its output ends.
func (f *Fedify) collect(stdout io.Reader) {
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadBytes('\n')
		f.mu.Lock()
		if err != nil {
			f.ended = true
		} else {
			f.read(line)
		}
		close(f.more)
		f.more = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// read keeps an event or answer.
func (f *Fedify) read(line []byte) {
	var l struct {
		FedifyEvent
		Call   int
		Result json.RawMessage
	}
	if err := json.Unmarshal(line, &l); err != nil {
		l.FedifyEvent = FedifyEvent{Kind: "failed", Error: fmt.Sprintf("peer wrote %q: %v", line, err)}
	}
	if l.Kind == "answer" {
		f.answers[l.Call] = fedifyAnswer{l.Result, l.Error, l.Status}
		return
	}
	f.events = append(f.events, l.FedifyEvent)
}

// until looks again and again until look, called with the lock held, is true. It reports whether it was before the time is up.
func (f *Fedify) until(look func() bool) bool {
	timer := time.NewTimer(WaitTimeout)
	defer timer.Stop()
	for {
		f.mu.Lock()
		found, ended, more := look(), f.ended, f.more
		f.mu.Unlock()
		if found || ended {
			return found
		}
		select {
		case <-more:
		case <-timer.C:
			return false
		}
	}
}

// Wait returns the next event that match accepts, and skips those before it. It ends the test after WaitTimeout, with all
// events that came.
func (f *Fedify) Wait(what string, match func(FedifyEvent) bool) FedifyEvent {
	f.t.Helper()
	var found FedifyEvent
	ok := f.until(func() bool {
		for f.next < len(f.events) {
			found = f.events[f.next]
			f.next++
			if match(found) {
				return true
			}
		}
		return false
	})
	if !ok {
		f.t.Fatalf("%s waited for %s in vain; it saw:\n%s", f.Address, what, f.describe())
	}
	return found
}

// WaitActivity returns the next activity of the type that match, which may be nil, accepts.
func (f *Fedify) WaitActivity(kind string, match func(FedifyEvent) bool) FedifyEvent {
	f.t.Helper()
	return f.Wait("activity "+kind, func(e FedifyEvent) bool {
		return e.Kind == "activity" && e.Type == kind && (match == nil || match(e))
	})
}

// Events returns all events so far, also those that waits have passed.
func (f *Fedify) Events() []FedifyEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]FedifyEvent(nil), f.events...)
}

func (f *Fedify) describe() string {
	var b strings.Builder
	for _, e := range f.Events() {
		fmt.Fprintf(&b, "  %s %s %s %s %s %d %s %s %s %s\n", e.Kind, e.Type, e.Actor, e.Method, e.Path, e.Status, e.Signature, e.Reason, e.Error, e.Raw)
	}
	return b.String()
}

// In makes what fails from now on a failure of t, such as that of a subtest, until t ends.
func (f *Fedify) In(t TB) {
	before := f.t
	f.t = t
	t.Cleanup(func() { f.t = before })
}

// Handle is the handle of one of its users, without @ in front.
func (f *Fedify) Handle(user string) string { return user + "@" + f.Address }

// Actor is the address of the actor of one of its users.
func (f *Fedify) Actor(user string) string { return "https://" + f.Address + "/users/" + user }

// FedifyArgs are the arguments of a command; peer.mjs has their names.
type FedifyArgs map[string]any

// Try runs a command of peer.mjs, decodes its result unless result is nil, and returns why it failed. A delivery that was
// refused is an error with the answer's text.
func (f *Fedify) Try(op string, args FedifyArgs, result any) error {
	f.t.Helper()
	f.calls++
	call := f.calls
	command := map[string]any{}
	maps.Copy(command, args)
	command["op"], command["call"] = op, call
	line, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("encode command %s: %w", op, err)
	}
	if _, err := f.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send command %s: %w", op, err)
	}
	var a fedifyAnswer
	if !f.until(func() (ok bool) { a, ok = f.answers[call]; return ok }) {
		return fmt.Errorf("command %s: no answer; it saw:\n%s", op, f.describe())
	}
	if a.Error != "" {
		return fmt.Errorf("command %s: status %d: %s", op, a.Status, a.Error)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("decode answer of command %s: %w", op, err)
	}
	return nil
}

// Do is [Fedify.Try] that ends the test when the command fails.
func (f *Fedify) Do(op string, args FedifyArgs, result any) {
	f.t.Helper()
	if err := f.Try(op, args, result); err != nil {
		f.t.Fatalf("%s: %v", f.Address, err)
	}
}

// FedifySent is an activity that was delivered.
type FedifySent struct {
	ID        string // of the activity
	Object    string // post: address of the post
	Actor     string // follow, block: address of who it is about
	Receivers int    // actors that it went to
}

// Send runs a command that delivers an activity, such as post, edit, delete, follow, unfollow, like, react, announce, undo, block, move.
func (f *Fedify) Send(op string, args FedifyArgs) FedifySent {
	f.t.Helper()
	var sent FedifySent
	f.Do(op, args, &sent)
	return sent
}

// First changes which kind of signature the peer tries first.
func (f *Fedify) First(kind string) {
	f.t.Helper()
	f.Do("set", FedifyArgs{"knobs": map[string]any{"first": firstSignature(kind)}}, nil)
}

// Secure makes the peer answer only signed requests, or all.
func (f *Fedify) Secure(on bool) {
	f.t.Helper()
	f.Do("set", FedifyArgs{"knobs": map[string]any{"secure": on}}, nil)
}
