package sdktest

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"bridgehost/sdk"
	"bridgehost/sdk/wire"
)

// execEnv tells the test binary to be the plugin.
const execEnv = "BRIDGEHOST_SDKTEST_PLUGIN"

// Main is for TestMain of a plugin's tests: it runs the tests, or, in the
// process that the suite starts, the plugin. It does not return.
func Main(m *testing.M, plugin sdk.Plugin) {
	if os.Getenv(execEnv) != "" {
		wire.Serve(plugin)
		return
	}
	os.Exit(m.Run())
}

// OverGRPC serves a plugin over gRPC within this process, and gives the host's
// view of it. Both end with the test.
func OverGRPC(t testing.TB, p sdk.Plugin) *wire.Client {
	t.Helper()
	return OverGRPCWith(t, p, wire.Options{})
}

// OverGRPCWith is OverGRPC with options of the host's half.
func OverGRPCWith(t testing.TB, p sdk.Plugin, opts wire.Options) *wire.Client {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	server := grpc.NewServer(wire.ServerOptions()...)
	wire.Register(server, p)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve gRPC: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, conn, opts)
}

func connect(t testing.TB, conn *grpc.ClientConn, opts wire.Options) *wire.Client {
	t.Helper()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	c, err := wire.Connect(ctx, conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close plugin: %v", err)
		}
	})
	return c
}

// Exec starts the test binary once more as the plugin that was given to Main,
// and gives the host's view of it. The process ends with the test.
func Exec(t *testing.T) sdk.Plugin {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sdktest") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cookie := wire.Handshake()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self) // the clean-up below ends it
	cmd.Env = append(os.Environ(), execEnv+"=1", cookie.MagicCookieKey+"="+cookie.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(callWithin, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewReader(out)
	hello, err := lines.ReadString('\n')
	parts := strings.Split(strings.TrimSpace(hello), "|")
	if !late.Stop() || err != nil || len(parts) < 5 {
		t.Fatalf("the plugin process said %q, %v: does TestMain call sdktest.Main?", hello, err)
	}
	copied := make(chan struct{})
	go func() { // ends with the process
		defer close(copied)
		_, _ = io.Copy(os.Stdout, lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-copied
	})
	conn, err := grpc.NewClient("unix:"+parts[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, conn, wire.Options{})
}
