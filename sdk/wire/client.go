package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/internal/pluginpb/pluginrpc"
	"bridgehost/sdk/web"
)

// Defaults of Options.
const (
	DefaultCallTimeout = 5 * time.Second
	DefaultStopTimeout = 10 * time.Second
)

// Options of the host's half; the zero value is right for all but tests.
type Options struct {
	// CallTimeout bounds Describe, Open and each call of a facet but Deliver
	// and Backfill, for which the caller's context alone counts. 0 = 5 s.
	CallTimeout time.Duration
	// StopTimeout is how long a link may take to end after its Run was asked
	// to. 0 = 10 s.
	StopTimeout time.Duration
	// ContractMin and ContractMax are what the host speaks; 0 = those of sdk.
	ContractMin, ContractMax int
}

func (o Options) withDefaults() Options {
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	if o.ContractMax == 0 {
		o.ContractMin, o.ContractMax = sdk.ContractVersionMin, sdk.ContractVersion
	}
	return o
}

// Client is the host's half: an sdk.Plugin on the other side of a connection.
type Client struct {
	conn     grpc.ClientConnInterface
	opts     Options
	manifest sdk.Manifest

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
}

var _ sdk.Plugin = (*Client)(nil)

// Connect asks the plugin at the other side of conn to describe itself, and
// checks that both sides have a contract version in common. The caller closes
// the Client, and then conn.
func Connect(ctx context.Context, conn grpc.ClientConnInterface, opts Options) (*Client, error) {
	c := &Client{conn: conn, opts: opts.withDefaults(), sessions: make(map[*session]struct{})}
	s, err := c.start(nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var reply codec.DescribeReply
	ask := &codec.Describe{ContractMin: c.opts.ContractMin, ContractMax: c.opts.ContractMax}
	if err := s.ask(ctx, "describe plugin", c.opts.CallTimeout, ask, &reply); err != nil {
		return nil, err
	}
	c.manifest = reply.Manifest
	if err := CheckContract(c.manifest.ContractMin, c.manifest.ContractMax, c.opts.ContractMin, c.opts.ContractMax); err != nil {
		return nil, err
	}
	return c, nil
}

// Describe implements sdk.Plugin with what the plugin said when it was connected.
func (c *Client) Describe() sdk.Manifest { return c.manifest }

// Open implements sdk.Plugin. The link ends with its Run, or with Close.
func (c *Client) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	s, err := c.start(h)
	if err != nil {
		return nil, err
	}
	var reply codec.OpenReply
	ask := &codec.Open{Config: cfg, LogLevel: int(lowestLevel(h.Log()))}
	if err := s.ask(context.Background(), "open link "+string(cfg.Link), c.opts.CallTimeout, ask, &reply); err != nil {
		s.close()
		return nil, err
	}
	return &link{session: s, opts: c.opts, reply: reply, batchMax: c.manifest.BatchMax}, nil
}

// Ping reports whether the plugin still answers.
func (c *Client) Ping(ctx context.Context) error {
	s, err := c.start(nil)
	if err != nil {
		return err
	}
	defer s.close()
	return s.ask(ctx, "ping plugin", c.opts.CallTimeout, &codec.Ping{}, nil)
}

// Close ends all links and waits for their sessions. It is safe to call twice.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	open := make([]*session, 0, len(c.sessions))
	for s := range c.sessions {
		open = append(open, s)
	}
	c.mu.Unlock()
	for _, s := range open {
		s.close()
	}
	return nil
}

// session is one stream to the plugin.
type session struct {
	client *Client
	peer   *peer
	stop   context.CancelFunc
	ended  chan struct{}
}

func (c *Client) start(h sdk.Host) (*session, error) {
	ctx, stop := context.WithCancel(context.Background())
	late := time.AfterFunc(c.opts.CallTimeout, stop) // NewStream waits while there are too many streams
	st, err := c.conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "Session", ServerStreams: true, ClientStreams: true},
		pluginrpc.PluginService_Session_FullMethodName, grpc.ForceCodecV2(newFrameCodec()),
		grpc.MaxCallRecvMsgSize(MaxFrame), grpc.MaxCallSendMsgSize(MaxFrame))
	if !late.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		stop()
		return nil, &sdk.Error{Op: "open session with plugin", Kind: sdk.Transient, Err: err}
	}
	s := &session{client: c, stop: stop, ended: make(chan struct{})}
	s.peer = newPeer(st, newHostSide(h))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		stop()
		return nil, sdk.Errorf(sdk.Transient, "open session with plugin", "the plugin is being stopped")
	}
	c.sessions[s] = struct{}{}
	go func() { // close waits for it
		defer close(s.ended)
		_ = s.peer.run(ctx, stop) // the reason is given to each caller
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sessions, s)
	}()
	return s, nil
}

// close ends the session and waits until nothing of it runs.
func (s *session) close() {
	s.peer.end(errors.New("closed by the host"))
	s.stop()
	<-s.ended
}

// ask makes a call, with a timeout of its own unless it is 0. Errors are
// *sdk.Error or *sdk.ConfigError; op names the call where the error came from
// the border and not from the plugin.
func (s *session) ask(ctx context.Context, op string, timeout time.Duration, body, reply codec.Body) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := s.peer.call(ctx, body, reply)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoReply), errors.Is(err, errEnded):
		return &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}
	}
	var faults *sdk.ConfigError
	if errors.As(err, &faults) {
		return faults
	}
	return sdk.AsError(op, err)
}

// CheckContract compares the contract versions of both sides; the error names
// the side to upgrade.
func CheckContract(pluginMin, pluginMax, hostMin, hostMax int) error {
	const op = "agree on a contract with the plugin"
	switch {
	case pluginMin > hostMax:
		return sdk.Errorf(sdk.Unsupported, op, "the plugin speaks contract %s, this host %s: upgrade bridgehost",
			versionRange(pluginMin, pluginMax), versionRange(hostMin, hostMax))
	case pluginMax < hostMin:
		return sdk.Errorf(sdk.Unsupported, op, "the plugin speaks contract %s, this host %s: upgrade the plugin",
			versionRange(pluginMin, pluginMax), versionRange(hostMin, hostMax))
	default:
		return nil
	}
}

func versionRange(low, high int) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// lowestLevel gives the lowest of the usual levels at which l writes.
func lowestLevel(l *slog.Logger) slog.Level {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if l.Enabled(context.Background(), level) {
			return level
		}
	}
	return slog.LevelError
}

// facets names the abilities of a link, in the order of the manifest's words.
func facetNames(f sdk.Facets, h web.Handler) []string {
	var names []string
	for _, have := range []struct {
		name string
		ok   bool
	}{
		{"deliverer", f.Deliverer != nil}, {"filter", f.Filter != nil}, {"placer", f.Placer != nil},
		{"informed", f.Informed != nil}, {"resolver", f.Resolver != nil},
		{"backfiller", f.Backfiller != nil}, {"commander", f.Commander != nil}, {"web", h != nil},
	} {
		if have.ok {
			names = append(names, have.name)
		}
	}
	return names
}

func has(names []string, name string) bool { return slices.Contains(names, name) }
