package proc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"bridgehost/sdk"
	"bridgehost/sdk/wire"
)

// DefaultStartTimeout is how long a process may take to become a plugin.
const DefaultStartTimeout = 5 * time.Second

// closeGrace is how long Close lets a process end by itself.
const closeGrace = 3 * time.Second

// Numbers of the descriptors that a plugin process gets beside 0, 1 and 2.
const (
	watchFD      = 3
	executableFD = 4
)

// Spec says what to start. Either Name or Path is set.
type Spec struct {
	Name   string // of a built-in plugin
	Path   string // of a foreign executable, absolute
	SHA256 string // of the file at Path, in hex

	// RuntimeDir is the private folder for the socket: Dir of the Runtime
	// that the host opened once.
	RuntimeDir string
	Log        *slog.Logger

	// Self are the arguments with which this executable becomes the built-in
	// plugin; nil = "plugin", Name.
	Self []string
	// Env is added to the plugin's environment, as KEY=value.
	Env []string
	// StartTimeout bounds the start as a whole; 0 = 5 s.
	StartTimeout time.Duration
	// Wire are the options of the connection.
	Wire wire.Options
}

func (s Spec) name() string {
	if s.Path != "" {
		return s.Path
	}
	return s.Name
}

// Process is a running plugin process.
type Process struct {
	client *goplugin.Client
	child  *child
	wire   *wire.Client
	stderr *lineLogger
}

// Launch starts a plugin process and waits until it has described itself. The
// process runs until Stop or Kill, or until it dies, which Done tells; ctx
// bounds the start alone.
func Launch(ctx context.Context, spec Spec) (*Process, error) {
	timeout := spec.StartTimeout
	if timeout == 0 {
		timeout = DefaultStartTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := ours(spec.RuntimeDir); err != nil {
		return nil, &sdk.Error{Op: "start plugin " + spec.name(), Kind: sdk.Invalid, Err: fmt.Errorf("runtime folder %q: %w", spec.RuntimeDir, err)}
	}
	cmd, keep, err := prepare(spec)
	if err != nil {
		return nil, &sdk.Error{Op: "start plugin " + spec.name(), Kind: sdk.Invalid, Err: err}
	}
	defer keep.closeChildEnds()
	p := &Process{stderr: newLineLogger(spec.Log, slog.LevelWarn, "stderr")}
	if p.child, err = newChild(cmd); err != nil {
		keep.closeHostEnd()
		return nil, &sdk.Error{Op: "start plugin " + spec.name(), Kind: sdk.Transient, Err: err}
	}
	p.client = p.goplugin(spec, cmd, timeout)
	err = p.connect(ctx, spec)
	if p.child.pid() != 0 {
		go func() { // ends with the process
			<-p.child.exited
			keep.closeHostEnd()
		}()
	} else {
		keep.closeHostEnd()
	}
	if err != nil {
		p.Kill()
		return nil, p.explain(ctx, spec, timeout, err)
	}
	return p, nil
}

// goplugin gives go-plugin's client for the command.
func (p *Process) goplugin(spec Spec, cmd *exec.Cmd, timeout time.Duration) *goplugin.Client {
	low, high := contracts(spec.Wire)
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		VersionedPlugins: wire.GoPlugins(nil, low, high),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, started *exec.Cmd, dir string) (runner.Runner, error) {
			cmd.Env = append(cmd.Env, started.Env...)
			p.child.dir = dir
			return p.child, nil
		},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     timeout,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: spec.RuntimeDir},
		Logger:           hclog.NewNullLogger(),
		Stderr:           p.stderr,
		SyncStdout:       newLineLogger(spec.Log, slog.LevelInfo, "stdout"),
		SyncStderr:       p.stderr,
		GRPCDialOptions:  wire.DialOptions(),
	})
}

func contracts(o wire.Options) (low, high int) {
	if o.ContractMax == 0 {
		return sdk.ContractVersionMin, sdk.ContractVersion
	}
	return o.ContractMin, o.ContractMax
}

// connect starts the process and shakes hands. go-plugin's calls take no
// context: when ctx ends the process is killed, which ends them.
func (p *Process) connect(ctx context.Context, spec Spec) error {
	stop := context.AfterFunc(ctx, func() { _ = p.child.Kill(context.Background()) })
	defer stop()
	if _, err := p.client.Start(); err != nil {
		return err
	}
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(wire.PluginName)
	if err != nil {
		return err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return fmt.Errorf("go-plugin gave a %T and not a connection", raw)
	}
	p.wire, err = wire.Connect(ctx, conn, spec.Wire)
	return err
}

// explain says what went wrong at the start, in words for the operator.
func (p *Process) explain(ctx context.Context, spec Spec, timeout time.Duration, err error) error {
	fail := &sdk.Error{Op: "start plugin " + spec.name(), Kind: sdk.Transient, Err: err}
	line, parts := p.child.hello.parts()
	low, high := contracts(spec.Wire)
	if version, known := contractOf(parts); known {
		if mismatch := wire.CheckContract(version, version, low, high); mismatch != nil {
			fail.Kind, fail.Err = sdk.Unsupported, mismatch
			return fail
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		fail.Err = ctx.Err()
	case p.wire != nil || sdk.KindOf(err) == sdk.Unsupported:
		fail.Kind = sdk.KindOf(err)
	case line != "" && (len(parts) < 4 || parts[0] != strconv.Itoa(goplugin.CoreProtocolVersion)):
		fail.Err = fmt.Errorf("it printed %q and not a plugin's greeting: is it a bridgehost plugin?", wire.Printable(line, 200))
	case line == "" && p.child.exit() != nil && ctx.Err() == nil:
		fail.Err = fmt.Errorf("it ended before it was ready: %w", p.Err())
	case line == "":
		fail.Err = fmt.Errorf("it did not answer within %v", timeout)
	}
	return fail
}

// contractOf reads the contract version of a handshake.
func contractOf(parts []string) (int, bool) {
	if len(parts) < 4 || parts[0] != strconv.Itoa(goplugin.CoreProtocolVersion) {
		return 0, false
	}
	v, err := strconv.Atoi(parts[1])
	return v, err == nil
}

// ends are the descriptors that host and child hold of what the child inherits.
type ends struct {
	watchRead, watchWrite, executable *os.File
}

func (e *ends) closeChildEnds() {
	_ = e.watchRead.Close()
	if e.executable != nil {
		_ = e.executable.Close()
	}
}

func (e *ends) closeHostEnd() { _ = e.watchWrite.Close() }

// prepare makes the command and the descriptors that it inherits.
func prepare(spec Spec) (*exec.Cmd, *ends, error) {
	keep := &ends{}
	var path string
	args := []string{spec.name()}
	var err error
	if spec.Path != "" {
		if keep.executable, err = openPinned(spec.Path, spec.SHA256); err != nil {
			return nil, nil, err
		}
		path = openPath(keep.executable, executableFD)
	} else {
		if path, err = selfPath(); err != nil {
			return nil, nil, err
		}
		args = append(args, "plugin", spec.Name)
		if spec.Self != nil {
			args = append(args[:1], spec.Self...)
		}
	}
	if keep.watchRead, keep.watchWrite, err = os.Pipe(); err != nil {
		if keep.executable != nil {
			err = errors.Join(err, keep.executable.Close())
		}
		return nil, nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: args, SysProcAttr: childAttr(), ExtraFiles: []*os.File{keep.watchRead}}
	if keep.executable != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, keep.executable)
	}
	cmd.Env = append(environment(), wire.WatchEnv+"="+strconv.Itoa(watchFD))
	cmd.Env = append(cmd.Env, spec.Env...)
	return cmd, keep, nil
}

// environment is all that a plugin sees of the host's: how to write times and
// texts, and where certificates are.
func environment() []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	for _, key := range []string{"LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}

// Plugin gives the plugin; its links die with the process.
func (p *Process) Plugin() sdk.Plugin { return p.wire }

// Ping reports whether the plugin still answers.
func (p *Process) Ping(ctx context.Context) error { return p.wire.Ping(ctx) }

// Pid gives the process id.
func (p *Process) Pid() int { return p.child.pid() }

// Done is closed when the process has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.child.exited }

// Err says how the process ended, with the end of what it printed on stderr;
// nil while it runs, and for an end with status 0.
func (p *Process) Err() error {
	err := p.child.exit()
	if err == nil {
		return nil
	}
	if text := p.stderr.last(); text != "" {
		return fmt.Errorf("plugin process: %w: %s", err, text)
	}
	return fmt.Errorf("plugin process: %w", err)
}

// Stop ends the links and lets the process end by itself; when ctx ends first
// the process is killed. It returns when the process is gone.
func (p *Process) Stop(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = p.child.Kill(context.Background()) })
	defer stop()
	_ = p.wire.Close()
	p.client.Kill()
	<-p.child.exited
}

// Close is Stop with a grace of closeGrace; it never fails.
func (p *Process) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	p.Stop(ctx)
	return nil
}

// Kill ends the process at once, and returns when it is gone and its socket
// removed. It is safe to call at any time.
func (p *Process) Kill() {
	if p.child.pid() != 0 {
		_ = p.child.Kill(context.Background())
		<-p.child.exited
	}
	if p.wire != nil {
		_ = p.wire.Close()
	}
	p.client.Kill()
}
