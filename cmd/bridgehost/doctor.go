package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
	"bridgehost/host/config"
	"bridgehost/plugins/xmpp"
	"bridgehost/sdk"
)

// doctorTimeout bounds the examination of one link.
const doctorTimeout = 2 * time.Minute

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	asJSON           bool
	quiet            bool
	server, c2s, s2s string
}

func newDoctor(f *flags) *cobra.Command {
	var d doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [LINK...]",
		Short: "Examine the servers around the links, and tell what is missing",
		Long: `Doctor connects as every XMPP link of the configuration, or as those named, and
examines the server: secret, rooms and their archives, pubsub, file upload,
privileges, ports, certificates and DNS. What is missing comes with the lines to
add for Prosody or for ejabberd. While bridgehost runs, what needs a second
connection of a component is left out, since that would disturb the first one.

Exit codes: 0 all good (warnings included), 2 usage, 3 configuration, 4 something failed.`,
		Example: `  bridgehost doctor -c /etc/bridgehost/bridgehost.toml
  bridgehost doctor home --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd, f, args) },
	}
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&d.quiet, "problems", false, "print only what is not good")
	cmd.Flags().StringVar(&d.server, "server", "", "domain of the server's users (default: a component's domain without its first label)")
	cmd.Flags().StringVar(&d.c2s, "c2s", "", "host:port for clients, in place of what DNS says")
	cmd.Flags().StringVar(&d.s2s, "s2s", "", "host:port for servers, in place of what DNS says")
	return cmd
}

// run examines the links and prints the reports.
func (d *doctorFlags) run(cmd *cobra.Command, f *flags, args []string) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	links, err := doctorLinks(cfg, args)
	if err != nil {
		return err
	}
	running := linkStates(cmd.Context(), cfg)
	reports := make([]*xmpp.Report, 0, len(links))
	for _, name := range links {
		r, err := d.examine(cmd.Context(), cfg, name, running[name])
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	failed := 0
	for _, r := range reports {
		failed += r.Count(xmpp.FindingFail)
	}
	if err := d.print(cmd.OutOrStdout(), reports); err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{exitFound, nil}
	}
	return nil
}

// doctorLinks gives the links to examine: those named, or all that speak XMPP.
func doctorLinks(cfg *config.Config, args []string) ([]string, error) {
	var known []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Links)) {
		if cfg.Links[name].Plugin == "xmpp" {
			known = append(known, name)
		}
	}
	for _, name := range args {
		if !slices.Contains(known, name) {
			return nil, &exitError{exitUsage, fmt.Errorf("there is no XMPP link %q; there is: %s", name, cmp.Or(strings.Join(known, ", "), "none"))}
		}
	}
	if len(args) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(args))), nil
	}
	return known, nil
}

// linkState is how a link of a running host does.
type linkState struct {
	name   string // empty: the link does not run
	broken bool   // it is known not to be connected
}

// linkStates gives the states of the links of a running host; none when none runs,
// and none for a link that was given up.
// A host without an admin listener is noticed by its hold on the data folder.
func linkStates(ctx context.Context, cfg *config.Config) map[string]linkState {
	out := map[string]linkState{}
	c, err := host.NewClient(cfg)
	if err != nil {
		return out
	}
	if st, err := c.Status(ctx); err == nil {
		for _, l := range st.Links {
			if l.StateName == sdk.StateFailed.String() {
				continue // it is not connected, and does not try to be
			}
			st := linkState{name: l.StateName}
			if st.broken = l.StateName != sdk.StateUp.String() && l.StateName != sdk.StateDegraded.String(); st.broken && l.Reason != "" {
				st.name += " (" + l.Reason + ")"
			}
			out[string(l.Link)] = st
		}
		return out
	}
	if _, err := os.Stat(cfg.DataDir()); err != nil {
		return out // never run
	}
	if _, err := c.Queue(ctx, host.QueueFilter{Limit: 1}); err != nil {
		for name := range cfg.Links {
			out[name] = linkState{name: "in a state that it does not tell, since [admin] listen is not set or does not answer"}
		}
	}
	return out
}

// examine examines one link.
func (d *doctorFlags) examine(ctx context.Context, cfg *config.Config, name string, running linkState) (*xmpp.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	l := cfg.Links[name]
	r, err := xmpp.Diagnose(ctx, sdk.Config{
		Link: sdk.LinkID(name), JSON: l.ConfigJSON(), Places: cfg.Places(name), Gateway: sdk.LinkID(cfg.Peer(name)),
		PublicURL: cfg.HTTP.PublicURL, Dir: filepath.Join(cfg.DataDir(), "links", name),
	}, xmpp.DiagnoseOptions{Server: d.server, C2S: d.c2s, S2S: d.s2s, Running: running.name, Broken: running.broken})
	var bad *sdk.ConfigError
	if errors.As(err, &bad) {
		faults := &config.Errors{}
		for _, f := range bad.Faults {
			faults.List = append(faults.List, cfg.Fault(name, f.Key, f.Problem, f.Remedy))
		}
		return nil, faults
	}
	return r, err
}

// print writes the reports and, for people, the sum.
func (d *doctorFlags) print(w io.Writer, reports []*xmpp.Report) error {
	good, warned, failed, skipped := 0, 0, 0, 0
	for _, r := range reports {
		good += r.Count(xmpp.FindingOK)
		warned += r.Count(xmpp.FindingWarn)
		failed += r.Count(xmpp.FindingFail)
		skipped += r.Count(xmpp.FindingSkip)
		if d.quiet {
			r.Findings = slices.DeleteFunc(r.Findings, func(f xmpp.Finding) bool { return f.Status == xmpp.FindingOK })
		}
	}
	if d.asJSON {
		return printJSON(w, reports)
	}
	for _, r := range reports {
		if err := r.Write(w); err != nil {
			return err
		}
	}
	if len(reports) == 0 {
		_, err := fmt.Fprintln(w, "no link speaks XMPP: nothing to examine")
		return err
	}
	_, err := fmt.Fprintf(w, "%d ok, %d warnings, %d failed, %d not checked\n", good, warned, failed, skipped)
	return err
}
