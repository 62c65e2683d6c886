package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"bridgehost/host"
	"bridgehost/host/config"
)

// version is the program's; a release sets it with -ldflags -X main.version=.
var version = "0.1.0-dev"

// flags are those that every verb has.
type flags struct {
	config string
}

// defaultConfig is where the configuration lies when -c names none.
func defaultConfig() string {
	if path := os.Getenv("BRIDGEHOST_CONFIG"); path != "" {
		return path
	}
	return "bridgehost.toml"
}

func newRoot() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "bridgehost",
		Short: "Bridges between open networks",
		Long: `bridgehost routes items between plugins: XMPP rooms, webhooks, and filters that
anybody can write as WASM modules. One TOML file says which links there are and
how they are joined.

Exit codes: 0 good, 1 failure, 2 usage, 3 configuration, 4 a check found problems.`,
		Example: `  bridgehost check -c bridgehost.toml
  bridgehost run -c bridgehost.toml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVarP(&f.config, "config", "c", defaultConfig(), "configuration file (or $BRIDGEHOST_CONFIG)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newRun(f), newCheck(f), newDoctor(f), newStatus(f), newQueue(f), newExplain(f), newReload(f),
		newPlugin(f), newConfig(f), newImport(), newVersion())
	root.InitDefaultCompletionCmd()
	return root
}

// usageArgs gives a wrong number of arguments the exit code of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

// load reads the configuration that -c names.
func (f *flags) load() (*config.Config, error) {
	path, err := f.path()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path, slices.Sorted(maps.Keys(builtins()))...)
	return cfg, f.missing(err)
}

// check reads the configuration that -c names and opens its links.
func (f *flags) check(ctx context.Context) (*config.Config, error) {
	path, err := f.path()
	if err != nil {
		return nil, err
	}
	cfg, err := host.CheckFile(ctx, path, builtins())
	return cfg, f.missing(err)
}

func (f *flags) path() (string, error) {
	path, err := filepath.Abs(f.config)
	if err != nil {
		return "", fmt.Errorf("configuration %s: %w", f.config, err)
	}
	return path, nil
}

// missing says how to go on when there is no file.
func (f *flags) missing(err error) error {
	if os.IsNotExist(err) {
		return &exitError{exitConfig, fmt.Errorf("configuration %s does not exist; name it with -c FILE, or begin with: bridgehost config example", f.config)}
	}
	return err
}

// printJSON writes v for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  bridgehost version
  bridgehost version --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						out["revision"] = s.Value
					}
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "bridgehost %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newLogger makes the logger of a running host.
func newLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	opt := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
