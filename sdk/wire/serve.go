package wire

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"bridgehost/sdk"
)

// PluginName is the name of the one plugin in go-plugin's set.
const PluginName = "bridgehost"

// WatchEnv names the environment variable with the number of the descriptor
// whose end tells the plugin that the host is gone.
const WatchEnv = "BRIDGEHOST_WATCH_FD"

// Handshake is what host and plugin must have in common to talk at all; it is
// no secret. The contract version is negotiated apart from it.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{
		MagicCookieKey:   "BRIDGEHOST_PLUGIN",
		MagicCookieValue: "b3c7c1b6-plugin-contract",
	}
}

// GoPlugins gives go-plugin's sets for the contract versions low to high. The
// plugin is nil at the host.
func GoPlugins(plugin sdk.Plugin, low, high int) map[int]goplugin.PluginSet {
	sets := make(map[int]goplugin.PluginSet)
	for v := low; v <= high; v++ {
		sets[v] = goplugin.PluginSet{PluginName: &grpcPlugin{plugin: plugin}}
	}
	return sets
}

// grpcPlugin fits the contract into go-plugin.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin sdk.Plugin
}

var _ goplugin.GRPCPlugin = (*grpcPlugin)(nil)

// GRPCServer implements goplugin.GRPCPlugin.
func (p *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	Register(s, p.plugin)
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin with the bare connection, for Connect.
func (p *grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// Serve is the main function of a plugin process: it serves plugin to the host
// that started the process, and ends the process. Started by hand, it prints
// help and exits with status 1. It ends at once when the host dies.
func Serve(plugin sdk.Plugin) {
	cookie := Handshake()
	if os.Getenv(cookie.MagicCookieKey) != cookie.MagicCookieValue {
		help(os.Stderr, plugin.Describe())
		os.Exit(1)
	}
	if err := watchHost(os.Getenv(WatchEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	m := plugin.Describe()
	low, high := m.ContractMin, m.ContractMax
	if high == 0 {
		low, high = sdk.ContractVersionMin, sdk.ContractVersion
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  cookie,
		VersionedPlugins: GoPlugins(plugin, low, high),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, ServerOptions()...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
	})
}

// help says what the program is to somebody who started it by hand.
func help(w io.Writer, m sdk.Manifest) {
	fmt.Fprintf(w, "This is the bridgehost plugin %q, version %s.\n", m.ID, m.Version)
	if m.Description != "" {
		fmt.Fprintf(w, "%s\n", m.Description)
	}
	fmt.Fprintf(w, "\nIt does nothing by itself: bridgehost starts it. Name it in the configuration:\n\n"+
		"  [link.NAME]\n  plugin = \"exec:/path/of/this/program\"\n  sha256 = \"…\"\n\n"+
		"and run: bridgehost run\n")
}

// watchHost makes the process end when the descriptor ends, which happens when
// the host dies in whatever way. SIGTERM is left to the host then, which stops
// its plugins after it has drained; a service manager sends it to all.
func watchHost(fd string) error {
	if fd == "" {
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		return fmt.Errorf("watch host: %s=%q is no descriptor", WatchEnv, fd)
	}
	syscall.CloseOnExec(n)
	pipe := os.NewFile(uintptr(n), "host")
	signal.Ignore(syscall.SIGTERM)
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, pipe)
		os.Exit(1)
	}()
	return nil
}
