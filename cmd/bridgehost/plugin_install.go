package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
	"bridgehost/host/config"
)

func newPluginInstall(f *flags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "install FILE",
		Short: "Write the checksum of a module or executable into plugins.lock, after showing what it asks for",
		Long: `Install examines a plugin's file, shows what it is, and writes its checksum into
plugins.lock beside the configuration. The file stays where it is; from then on
the host takes it only as it is now. When the file was installed before and has
changed, install shows the difference and asks.

A running host takes a new file when it reads its configuration again:
bridgehost reload.`,
		Example: `  bridgehost plugin install filters/shout.wasm
  bridgehost plugin install --yes /usr/libexec/clock -c /etc/bridgehost/bridgehost.toml`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := host.InspectPlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if i.Problem != "" {
				return &exitError{exitFound, fmt.Errorf("install %s: %s", args[0], i.Problem)}
			}
			return install(cmd, f, i, yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// install writes one plugin into the lock.
func install(cmd *cobra.Command, f *flags, i *host.Inspection, yes bool) error {
	path, err := f.lockFile()
	if err != nil {
		return err
	}
	lock, err := config.ReadLock(path)
	if err != nil {
		return err
	}
	entry := config.Locked{Path: i.Path, SHA256: i.SHA256, Size: i.Size, Abilities: i.Abilities(), Installed: time.Now().UTC().Truncate(time.Second)}
	if i.Manifest != nil {
		entry.ID, entry.Version = i.Manifest.ID, i.Manifest.Version
	}
	out := cmd.OutOrStdout()
	old := lock.Set(entry)
	if old != nil && old.SHA256 == i.SHA256 {
		_, err := fmt.Fprintf(out, "%s is installed already, and as it was\n", i.Path)
		return err
	}
	if err := showInspection(cmd, i); err != nil {
		return err
	}
	if old != nil {
		fmt.Fprintf(out, "\n%s", strings.Join(changes(old, &entry), "\n"))
		fmt.Fprintln(out)
		if !yes && !confirmed(cmd.InOrStdin(), out) {
			return errors.New("install: nothing was changed; answer y, or give --yes")
		}
	}
	if err := lock.Write(path); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ninstalled in %s\n", path)
	if old == nil {
		fmt.Fprintf(out, "\nto use it:\n\n%s", usage(i))
	}
	return nil
}

// changes says what is different from the entry before.
func changes(old, now *config.Locked) []string {
	lines := []string{fmt.Sprintf("it was installed on %s as %s %s with sha256 %s (%d bytes)",
		old.Installed.Format(time.DateOnly), orNone(old.ID), old.Version, old.SHA256, old.Size)}
	same := true
	for _, a := range now.Abilities {
		if !slices.Contains(old.Abilities, a) {
			lines, same = append(lines, "+ it newly asks for the ability "+a), false
		}
	}
	for _, a := range old.Abilities {
		if !slices.Contains(now.Abilities, a) {
			lines, same = append(lines, "- it no longer asks for the ability "+a), false
		}
	}
	if same {
		lines = append(lines, "its abilities are the same: "+words(now.Abilities))
	}
	return lines
}

func orNone(s string) string {
	if s == "" {
		return "a plugin without a name"
	}
	return s
}

// confirmed asks, and takes y or yes for an answer.
func confirmed(in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "take the new file? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(out)
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// usage gives the lines of configuration for a plugin.
func usage(i *host.Inspection) string {
	name, scheme := "mine", "exec:"
	if i.Manifest != nil {
		name = i.Manifest.ID
	}
	if i.Kind == host.PluginModule {
		scheme = "wasm:"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[link.%s]\nplugin = %q\n", name, scheme+i.Path)
	if len(i.Abilities()) > 0 {
		var quoted []string
		for _, a := range i.Abilities() {
			quoted = append(quoted, fmt.Sprintf("%q", a))
		}
		fmt.Fprintf(&b, "grant = [%s]\n", strings.Join(quoted, ", "))
	}
	if i.Manifest != nil && i.Manifest.Sample != "" {
		fmt.Fprintf(&b, "\n[link.%s.config]\n%s\n", name, strings.TrimSpace(strings.ReplaceAll(i.Manifest.Sample, "\n[", "\n[link."+name+".config.")))
	}
	return b.String()
}
