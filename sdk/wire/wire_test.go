package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"bridgehost/sdk"
	"bridgehost/sdk/internal/pluginpb"
	"bridgehost/sdk/internal/pluginpb/pluginrpc"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/wire"
)

// stub is a plugin whose link is given by functions.
type stub struct {
	manifest sdk.Manifest
	deliver  func(context.Context, []sdk.Delivery) ([]sdk.Receipt, error)
	command  func(context.Context, sdk.Host, sdk.Invocation) (string, error)
}

func (s *stub) Describe() sdk.Manifest { return s.manifest }

func (s *stub) Open(_ sdk.Config, h sdk.Host) (sdk.Link, error) { return &stubLink{s, h}, nil }

type stubLink struct {
	*stub
	host sdk.Host
}

func (l *stubLink) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (l *stubLink) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	return l.deliver(ctx, batch)
}

func (l *stubLink) Command(ctx context.Context, call sdk.Invocation) (string, error) {
	return l.command(ctx, l.host, call)
}

// openLink opens a link of p over gRPC.
func openLink(t testing.TB, p sdk.Plugin, h sdk.Host, opts wire.Options) (sdk.Link, sdk.Facets) {
	t.Helper()
	l, err := sdktest.OverGRPCWith(t, p, opts).Open(sdk.Config{Link: "l"}, h)
	if err != nil {
		t.Fatal(err)
	}
	return l, sdk.FacetsOf(l)
}

func sized(id string, bytes int) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(id), Place: "p", Event: sdk.Event{
		Change: sdk.ItemCreated{Item: sdk.Item{Text: sdk.NewText(strings.Repeat("x", bytes))}}}}
}

func ok(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	out := make([]sdk.Receipt, len(batch))
	for i := range batch {
		out[i].Delivery = batch[i].ID
	}
	return out, nil
}

func TestContractVersions(t *testing.T) {
	for _, c := range []struct {
		pluginMin, pluginMax, hostMin, hostMax int
		want                                   string
	}{
		{1, 1, 1, 1, ""},
		{1, 1, 1, 2, ""}, // the host speaks N and N-1
		{1, 2, 2, 3, ""},
		{3, 3, 1, 1, "the plugin speaks contract 3, this host 1: upgrade bridgehost"},
		{3, 4, 1, 2, "the plugin speaks contract 3 to 4, this host 1 to 2: upgrade bridgehost"},
		{1, 1, 2, 3, "the plugin speaks contract 1, this host 2 to 3: upgrade the plugin"},
	} {
		err := wire.CheckContract(c.pluginMin, c.pluginMax, c.hostMin, c.hostMax)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || sdk.KindOf(err) != sdk.Unsupported) {
			t.Errorf("plugin %d-%d, host %d-%d: %v, want %q", c.pluginMin, c.pluginMax, c.hostMin, c.hostMax, err, c.want)
		}
	}
	conn := serve(t, &stub{manifest: sdk.Manifest{ID: "new", ContractMin: 7, ContractMax: 7}})
	if _, err := wire.Connect(t.Context(), conn, wire.Options{}); err == nil || !strings.Contains(err.Error(), "upgrade bridgehost") {
		t.Errorf("connect to a newer plugin: %v", err)
	}
}

// serve offers a plugin at a connection in memory.
func serve(t *testing.T, p sdk.Plugin) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer(wire.ServerOptions()...)
	wire.Register(server, p)
	return dial(t, server)
}

func dial(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(lis) }() // ends with Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestPL19OversizeMessages(t *testing.T) {
	l, f := openLink(t, &stub{deliver: ok, command: func(ctx context.Context, h sdk.Host, call sdk.Invocation) (string, error) {
		if call.Name == "answer" {
			return strings.Repeat("x", wire.MaxFrame), nil
		}
		return "", h.Publish(ctx, sized("", wire.MaxFrame).Event)
	}}, sdktest.NewHost(nil), wire.Options{})
	_ = l
	for _, name := range []string{"answer", "publish"} {
		if _, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: name}); sdk.KindOf(err) != sdk.TooLarge {
			t.Errorf("%s of more than 4 MiB: %v, want too-large", name, err)
		}
	}
	got, err := f.Deliverer.Deliver(t.Context(), []sdk.Delivery{sized("small", 10), sized("huge", wire.MaxFrame), sized("next", 10)})
	if err != nil || len(got) != 3 || got[0].Err != nil || got[2].Err != nil {
		t.Fatalf("receipts %+v, %v", got, err)
	}
	if r := got[1]; r.Delivery != "huge" || r.Err == nil || r.Err.Kind != sdk.TooLarge || !r.Unsent {
		t.Errorf("receipt of the oversize delivery: %+v", r)
	}
}

func TestPL19OversizeFrameEndsTheSessionAlone(t *testing.T) {
	server := grpc.NewServer()
	pluginrpc.RegisterPluginServiceServer(server, &foreign{oversize: true})
	c, err := wire.Connect(t.Context(), dial(t, server), wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	l, err := c.Open(sdk.Config{}, sdktest.NewHost(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); err == nil || sdk.KindOf(err) != sdk.Transient {
		t.Errorf("Run of a link that sends too much: %v, want a transient error", err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("the connection died with the session: %v", err)
	}
}

func TestPL19SessionsAreBounded(t *testing.T) {
	c := sdktest.OverGRPCWith(t, &stub{}, wire.Options{CallTimeout: 300 * time.Millisecond})
	opened := 0
	for range 100 {
		if _, err := c.Open(sdk.Config{}, sdktest.NewHost(nil)); err != nil {
			if sdk.KindOf(err) != sdk.Transient {
				t.Errorf("one session too many: %v, want a transient error", err)
			}
			break
		}
		opened++
	}
	if opened != 64 {
		t.Errorf("%d sessions were opened, want 64", opened)
	}
}

func TestCreditsBoundCalls(t *testing.T) {
	const callers = 3 * wire.Window
	var now, most atomic.Int64
	full, release := make(chan struct{}), make(chan struct{})
	_, f := openLink(t, &stub{command: func(context.Context, sdk.Host, sdk.Invocation) (string, error) {
		if n := now.Add(1); n == wire.Window {
			close(full)
		} else if n > most.Load() {
			most.Store(n)
		}
		<-release
		now.Add(-1)
		return "", nil
	}}, sdktest.NewHost(nil), wire.Options{CallTimeout: time.Minute})
	var wg sync.WaitGroup
	var failed atomic.Int64
	for range callers {
		wg.Go(func() {
			if _, err := f.Commander.Command(t.Context(), sdk.Invocation{}); err != nil {
				failed.Add(1)
			}
		})
	}
	<-full
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.Commander.Command(ctx, sdk.Invocation{}); sdk.KindOf(err) != sdk.Transient || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call without credit: %v, want to wait until its context ends", err)
	}
	close(release)
	wg.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d calls failed", failed.Load())
	}
	if most.Load() > wire.Window {
		t.Errorf("%d calls were in flight, want at most %d", most.Load(), wire.Window)
	}
}

func TestCancelReachesThePlugin(t *testing.T) {
	started, cancelled := make(chan struct{}), make(chan error, 1)
	_, f := openLink(t, &stub{deliver: func(ctx context.Context, _ []sdk.Delivery) ([]sdk.Receipt, error) {
		if _, ok := ctx.Deadline(); ok {
			t.Error("Deliver has a deadline that the caller did not set")
		}
		close(started)
		<-ctx.Done()
		cancelled <- context.Cause(ctx)
		return nil, ctx.Err()
	}}, sdktest.NewHost(nil), wire.Options{CallTimeout: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := f.Deliverer.Deliver(ctx, []sdk.Delivery{{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Deliver: %v", err)
	}
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("the plugin saw %v", err)
	}
}

func TestDeadlineCrosses(t *testing.T) {
	_, f := openLink(t, &stub{command: func(ctx context.Context, _ sdk.Host, _ sdk.Invocation) (string, error) {
		at, _ := ctx.Deadline()
		return fmt.Sprint(time.Until(at) > 0 && time.Until(at) <= wire.DefaultCallTimeout), nil
	}}, sdktest.NewHost(nil), wire.Options{})
	if got, err := f.Commander.Command(t.Context(), sdk.Invocation{}); got != "true" {
		t.Errorf("deadline of a call within 5 s: %s, %v", got, err)
	}
}

func TestDeliverInParts(t *testing.T) {
	var calls [][]sdk.DeliveryID
	_, f := openLink(t, &stub{deliver: func(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
		var ids []sdk.DeliveryID
		for _, d := range batch {
			ids = append(ids, d.ID)
		}
		calls = append(calls, ids)
		out, _ := ok(ctx, batch)
		if i := slices.Index(ids, "3"); i >= 0 {
			out[i].Err = &sdk.Error{Kind: sdk.RateLimited, After: time.Minute}
		}
		return out, nil
	}}, sdktest.NewHost(nil), wire.Options{})
	var batch []sdk.Delivery
	for i := range 8 {
		batch = append(batch, sized(fmt.Sprint(i), 200<<10))
	}
	got, err := f.Deliverer.Deliver(t.Context(), batch)
	if err != nil || len(got) != len(batch) {
		t.Fatalf("%d receipts, %v", len(got), err)
	}
	if want := [][]sdk.DeliveryID{{"0", "1"}, {"2", "3"}}; fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Errorf("parts %v, want %v and nothing after the failure", calls, want)
	}
	for i, r := range got {
		unsent := i > 3
		if r.Delivery != batch[i].ID || r.Unsent != unsent || unsent && r.Err.Kind != sdk.RateLimited {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
}

func TestLogCrosses(t *testing.T) {
	var out bytes.Buffer
	h := sdktest.NewHost(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l, f := openLink(t, &stub{command: func(ctx context.Context, h sdk.Host, _ sdk.Invocation) (string, error) {
		log := h.Log().With("link", "x").WithGroup("room")
		log.Debug("not wanted")
		log.WarnContext(ctx, "two\nlines\x1b[31m", "name", "ops", slog.Group("who", "nick", "bob"))
		return fmt.Sprint(log.Enabled(ctx, slog.LevelDebug)), nil
	}}, h, wire.Options{})
	if got, err := f.Commander.Command(t.Context(), sdk.Invocation{}); got != "false" {
		t.Errorf("debug is enabled: %s, %v; the host does not want it", got, err)
	}
	ended(t, l) // the session has ended, so out is complete
	got := out.String()
	for _, want := range []string{"level=WARN", "link=x", "room.name=ops", "room.who.nick=bob"} {
		if !strings.Contains(got, want) {
			t.Errorf("log lacks %q: %s", want, got)
		}
	}
	if strings.Count(got, "\n") != 1 || strings.Contains(got, `\n`) || strings.Contains(got, `\x1b`) {
		t.Errorf("log has control characters, or more than one line: %q", got)
	}
}

// ended runs a link with an ended context.
func ended(t *testing.T, l sdk.Link) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil && sdk.KindOf(err) != sdk.Transient {
		t.Error(err)
	}
}

func TestLogIsRateCapped(t *testing.T) {
	var out bytes.Buffer
	h := sdktest.NewHost(slog.New(slog.NewTextHandler(&out, nil)))
	l, f := openLink(t, &stub{command: func(_ context.Context, h sdk.Host, _ sdk.Invocation) (string, error) {
		for range 50_000 {
			h.Log().Info("again")
		}
		return "", nil
	}}, h, wire.Options{})
	if _, err := f.Commander.Command(t.Context(), sdk.Invocation{}); err != nil {
		t.Fatal(err)
	}
	ended(t, l)
	if n := strings.Count(out.String(), "\n"); n < 100 || n > 3000 {
		t.Errorf("%d of 50,000 records came through, want about a burst of 1,000", n)
	}
}

func TestLinkThatDoesNotEnd(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	l, _ := openLink(t, stuck{release}, sdktest.NewHost(nil), wire.Options{StopTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err == nil || !strings.Contains(err.Error(), "still running") && sdk.KindOf(err) != sdk.Transient {
		t.Errorf("Run of a link that does not end: %v", err)
	}
}

type stuck struct{ release chan struct{} }

func (stuck) Describe() sdk.Manifest                        { return sdk.Manifest{ID: "stuck"} }
func (s stuck) Open(sdk.Config, sdk.Host) (sdk.Link, error) { return s, nil }
func (s stuck) Run(context.Context) error                   { <-s.release; return nil }

// foreign is a plugin in "another language": it uses the generated code alone.
type foreign struct {
	pluginrpc.UnimplementedPluginServiceServer
	oversize bool
}

func (p *foreign) Session(st grpc.BidiStreamingServer[pluginpb.Frame, pluginpb.Frame]) error {
	if err := st.Send(&pluginpb.Frame{Credit: 10}); err != nil {
		return err
	}
	for {
		in, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range in.GetEnvelopes() {
			out := &pluginpb.Envelope{Id: e.GetId()}
			switch e.GetBody().(type) {
			case *pluginpb.Envelope_Describe:
				out.Body = &pluginpb.Envelope_DescribeReply{DescribeReply: &pluginpb.DescribeReply{
					Manifest: &pluginpb.Manifest{Id: "foreign", ContractMin: 1, ContractMax: 1}}}
			case *pluginpb.Envelope_Open:
				out.Body = &pluginpb.Envelope_OpenReply{OpenReply: &pluginpb.OpenReply{Facets: []string{"deliverer"}}}
			case *pluginpb.Envelope_Run:
				if p.oversize {
					out.Body = &pluginpb.Envelope_CommandReply{CommandReply: &pluginpb.CommandReply{Text: strings.Repeat("x", wire.MaxFrame)}}
				} else {
					out.Body = &pluginpb.Envelope_Error{Error: &pluginpb.Error{}}
				}
			case *pluginpb.Envelope_Deliver:
				out.Body = &pluginpb.Envelope_DeliverReply{DeliverReply: &pluginpb.DeliverReply{Receipts: []*pluginpb.Receipt{
					{Delivery: e.GetDeliver().GetDeliveries()[0].GetId(), Puppet: "puppet"}}}}
			default:
				out.Body = &pluginpb.Envelope_Done{Done: &pluginpb.Done{}}
			}
			if err := st.Send(&pluginpb.Frame{Credit: 1, Envelopes: []*pluginpb.Envelope{out}}); err != nil {
				return err
			}
		}
	}
}

func TestPluginFromGeneratedCode(t *testing.T) {
	server := grpc.NewServer()
	pluginrpc.RegisterPluginServiceServer(server, &foreign{})
	c, err := wire.Connect(t.Context(), dial(t, server), wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	l, err := c.Open(sdk.Config{Link: "l"}, sdktest.NewHost(nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := sdk.FacetsOf(l).Deliverer.Deliver(t.Context(), []sdk.Delivery{sized("d", 3)})
	if err != nil || len(got) != 1 || got[0].Delivery != "d" || got[0].Puppet != "puppet" {
		t.Errorf("receipts %+v, %v", got, err)
	}
	if err := l.Run(t.Context()); err == nil || sdk.KindOf(err) != sdk.Unknown {
		t.Errorf("an Error without fields came back as %v", err)
	}
}

func TestHostFromGeneratedCode(t *testing.T) {
	st, err := pluginrpc.NewPluginServiceClient(serve(t, sdktest.Echo{})).Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Send(&pluginpb.Frame{Credit: 10, Envelopes: []*pluginpb.Envelope{
		{Id: 1, Body: &pluginpb.Envelope_Describe{Describe: &pluginpb.Describe{ContractMin: 1, ContractMax: 1}}}}}); err != nil {
		t.Fatal(err)
	}
	credit := uint32(0)
	for {
		in, err := st.Recv()
		if err != nil {
			t.Fatal(err)
		}
		credit += in.GetCredit()
		for _, e := range in.GetEnvelopes() {
			if got := e.GetDescribeReply().GetManifest().GetId(); got != "echo" || e.GetId() != 1 || credit < wire.Window {
				t.Errorf("reply %v, credit %d", e, credit)
			}
			return
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ß":         "plain ß",
		"a\nb\x1b[0m\x00": "a\uFFFDb\uFFFD[0m\uFFFD",
		"\u202Eevil":      "\uFFFDevil",
		"tab\there":       "tab here",
		"0123456789ßx":    "0123456789…",
	} {
		if got := wire.Printable(in, 11); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}
