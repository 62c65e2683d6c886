package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
	"bridgehost/host/config"
	"bridgehost/sdk"
)

func newPlugin(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "List, make, test, examine and install plugins",
		Long: `A plugin is built in, a WebAssembly module (wasm:FILE), or an executable
(exec:FILE). Files are taken by the host only with the checksum that
"plugin install" wrote down, or that the configuration names.

docs/plugin-author.md leads from a template to the first event in five minutes.`,
		Example: `  bridgehost plugin new --lang go hello
  bridgehost plugin list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return &exitError{exitUsage, fmt.Errorf("there is no verb %q; see: %s --help", args[0], cmd.CommandPath())}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPluginList(f), newPluginNew(), newPluginTest(), newPluginBench(), newPluginPack(),
		newPluginInspect(), newPluginInstall(f), newPluginVerify(f), newPluginRestart(f))
	return cmd
}

// listed is a row of plugin list.
type listed struct {
	Link   string `json:"link,omitempty"` // empty = built in, used by no link
	Plugin string `json:"plugin"`
	State  string `json:"state"`
}

func newPluginList(f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List built-in plugins, and those of the configuration with the state of their files",
		Example: `  bridgehost plugin list
  bridgehost plugin list -c /etc/bridgehost/bridgehost.toml --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := listPlugins(f)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "PLUGIN\tLINK\tSTATE")
			for _, r := range rows {
				link := r.Link
				if link == "" {
					link = "-"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Plugin, link, r.State)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listPlugins lists built-in plugins, and the configured ones when there is a
// configuration.
func listPlugins(f *flags) ([]listed, error) {
	var rows []listed
	all := builtins()
	for _, name := range sortedNames(all) {
		m := all[name].Describe()
		rows = append(rows, listed{Plugin: name, State: "built in, version " + m.Version + ": " + m.Description})
	}
	if _, err := os.Stat(f.config); errors.Is(err, os.ErrNotExist) {
		return rows, nil
	}
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	for _, name := range sortedNames(cfg.Links) {
		state := "built in"
		if path, want := pluginFile(cfg, cfg.Links[name]); path != "" {
			if state = fileState(path, want); state == "" {
				state = "as installed"
			}
		}
		rows = append(rows, listed{Link: name, Plugin: cfg.Links[name].Plugin, State: state})
	}
	return rows, nil
}

// sortedNames gives the keys of a map in order.
func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// pluginFile gives the file of a link's plugin with the checksum that it must
// have; no path for a built-in one.
func pluginFile(cfg *config.Config, l *config.Link) (path, sha256 string) {
	path, ok := l.Module(cfg.Dir())
	if !ok {
		path, _ = l.Executable(cfg.Dir())
	}
	return path, l.SHA256
}

// fileState tells what is wrong with a plugin's file, "" when nothing is.
func fileState(path, want string) string {
	got, err := host.FileSHA256(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "missing"
	case err != nil:
		return err.Error()
	case want == "":
		return "no checksum is known; run: bridgehost plugin install " + path
	case !strings.EqualFold(got, want):
		return "changed: its sha256 is " + got + "; if that is meant, run: bridgehost plugin install " + path
	}
	return ""
}

func newPluginVerify(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare the files of all plugins with their checksums",
		Long: `Verify reads every file that plugins.lock or the configuration names. Exit code 4
means that one is missing or has changed.`,
		Example: `  bridgehost plugin verify
  bridgehost plugin verify -c /etc/bridgehost/bridgehost.toml`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := lockedFiles(f)
			if err != nil {
				return err
			}
			bad := 0
			for _, path := range sortedNames(files) {
				state := fileState(path, files[path])
				if state != "" {
					bad++
				} else {
					state = "good"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", path, state)
			}
			if bad > 0 {
				return &exitError{exitFound, fmt.Errorf("%d of %d files are not as they should be", bad, len(files))}
			}
			if len(files) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no plugin has a file")
			}
			return nil
		},
	}
}

// lockedFiles gives the files of plugins.lock and of the configuration with
// their checksums; what the configuration says counts.
func lockedFiles(f *flags) (map[string]string, error) {
	lockPath, err := f.lockFile()
	if err != nil {
		return nil, err
	}
	lock, err := config.ReadLock(lockPath)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, p := range lock.Plugins {
		files[p.Path] = p.SHA256
	}
	if _, err := os.Stat(f.config); errors.Is(err, os.ErrNotExist) {
		return files, nil
	}
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	for _, l := range cfg.Links {
		if path, want := pluginFile(cfg, l); path != "" {
			files[path] = want
		}
	}
	return files, nil
}

// lockFile gives the path of plugins.lock, also when there is no configuration yet.
func (f *flags) lockFile() (string, error) {
	path, err := filepath.Abs(f.config)
	if err != nil {
		return "", fmt.Errorf("configuration %s: %w", f.config, err)
	}
	return (&config.Config{Path: path}).LockFile(), nil
}

func newPluginRestart(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "restart LINK",
		Short: "Start a link of the running bridge anew, also one that has failed",
		Example: `  bridgehost plugin restart home
  bridgehost plugin restart home -c /etc/bridgehost/bridgehost.toml`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.Restart(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("restart link %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "link %s is started anew\n", args[0])
			return err
		},
	}
}

func newPluginInspect() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a module or executable is, what it asks for, and whether the host would take it",
		Long: `Inspect compiles a module as the host would, and looks at owner and mode of an
executable; neither is run. Exit code 4 means that the host would refuse it.`,
		Example: `  bridgehost plugin inspect filters/shout.wasm
  bridgehost plugin inspect --json /usr/libexec/clock`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := host.InspectPlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), i)
			} else {
				err = showInspection(cmd, i)
			}
			if err == nil && i.Problem != "" {
				err = &exitError{exitFound, errors.New(i.Problem)}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// showInspection prints an inspection for people.
func showInspection(cmd *cobra.Command, i *host.Inspection) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "file\t%s\nkind\t%s\nsha256\t%s\nsize\t%d bytes\n", i.Path, i.Kind, i.SHA256, i.Size)
	if i.Kind == host.PluginExecutable {
		fmt.Fprintf(w, "rights\tnative code: it may do all that the user may who runs the host\n")
		return w.Flush()
	}
	if i.Manifest != nil {
		showManifest(w, i.Manifest)
	} else {
		fmt.Fprintf(w, "manifest\tnone: taken for a filter that asks for nothing\n")
	}
	fmt.Fprintf(w, "imports\t%s\nexports\t%s\n", words(i.Imports), words(i.Exports))
	if i.Problem == "" {
		fmt.Fprintf(w, "memory\t%d KiB, at most %d KiB\nruns\t%s\ncompile\t%v\n", i.MemoryMin>>10, i.MemoryMax>>10, i.Runs, i.Compile.Round(time.Millisecond))
	}
	return w.Flush()
}

func showManifest(w *tabwriter.Writer, m *sdk.Manifest) {
	fmt.Fprintf(w, "id\t%s\nversion\t%s\nabout\t%s\ncontract\t%d to %d\nfacets\t%s\nabilities\t%s\n",
		m.ID, m.Version, m.Description, m.ContractMin, m.ContractMax, words(m.Facets), words(m.Abilities))
	if len(m.Hosts) > 0 {
		fmt.Fprintf(w, "hosts\t%s\n", words(m.Hosts))
	}
	for _, list := range []struct {
		what  string
		kinds []sdk.ChangeKind
	}{{"takes", m.Takes}, {"gives", m.Gives}} {
		var names []string
		for _, k := range list.kinds {
			names = append(names, k.String())
		}
		if len(names) > 0 {
			fmt.Fprintf(w, "%s\t%s\n", list.what, words(names))
		}
	}
}

// words joins a list for people.
func words(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func newPluginPack() *cobra.Command {
	var manifest string
	cmd := &cobra.Command{
		Use:   "pack FILE.wasm",
		Short: "Write plugin.toml into a module",
		Long: `Pack checks plugin.toml and writes it into the module as the custom section
bridgehost.manifest. One that is there is replaced.`,
		Example: `  bridgehost plugin pack hello.wasm
  bridgehost plugin pack hello.wasm --manifest other/plugin.toml`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if manifest == "" {
				manifest = filepath.Join(filepath.Dir(args[0]), "plugin.toml")
			}
			text, err := os.ReadFile(manifest)
			if err != nil {
				return fmt.Errorf("pack: %w", err)
			}
			m, err := host.PackModule(args[0], text)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is now %s %s\n", args[0], m.ID, m.Version)
			return err
		},
	}
	cmd.Flags().StringVar(&manifest, "manifest", "", "file to write into it (default: plugin.toml beside the module)")
	return cmd
}
