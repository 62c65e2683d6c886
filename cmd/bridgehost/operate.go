package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
)

func newRun(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the bridge until it is told to stop",
		Long: `Run starts every link and routes between them until SIGTERM or SIGINT; it then
stops intake, finishes what is in flight within ten seconds, and leaves the
queue on disk. SIGHUP reads the configuration again and applies the difference;
a wrong file leaves the running configuration as it is.`,
		Example: `  bridgehost run -c /etc/bridgehost/bridgehost.toml
  BRIDGEHOST_CONFIG=bridgehost.toml bridgehost run`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.load()
			if err != nil {
				return err
			}
			log := newLogger(cmd.ErrOrStderr(), cfg.LogLevel(), cfg.Host.Log.Format)
			h, err := host.New(cfg, builtins(), host.Options{Version: version, Log: log})
			if err != nil {
				return err
			}
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			return h.Run(cmd.Context(), hup)
		},
	}
}

func newCheck(f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Examine the configuration without running it",
		Long: `Check reads the configuration, its includes and secrets, opens every link without
connecting it, and examines modules and executables. All faults are printed at
once, those of the plugins' tables as well, each with file, line, column and
remedy. A link whose own lines cannot be read is not opened.`,
		Example: `  bridgehost check -c bridgehost.toml
  bridgehost check --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.check(cmd.Context())
			return reportCheck(cmd.OutOrStdout(), cfg, err, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newStatus(f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running bridge",
		Example: `  bridgehost status
  bridgehost status --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), st)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintf(w, "LINK OR PLACE\tPLUGIN\tSTATE\tSINCE\tREMARK\n")
			for _, l := range st.Links {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Link, l.Plugin, l.StateName, since(l.Since), l.Reason)
				for _, id := range slices.Sorted(maps.Keys(l.Places)) {
					p := l.Places[id]
					fmt.Fprintf(w, "  %s\t\t%s\t%s\t%s\n", id, p.StateName, since(p.Since), p.Reason)
				}
			}
			fmt.Fprintf(w, "\nQUEUE\tWAITING\tOLDEST\tDEAD LETTERS\n")
			for _, q := range st.Queues {
				fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", q.Link, q.Depth, q.Oldest.Round(time.Second), q.Dead)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if !st.Ready {
				return &exitError{exitFound, fmt.Errorf("not ready: %s", st.Reason)}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newReload(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make a running bridge read its configuration again",
		Example: `  bridgehost reload
  bridgehost reload -c /etc/bridgehost/bridgehost.toml`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			text, err := c.Reload(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			return nil
		},
	}
}

// client reaches the running host of the configuration, or opens its data
// folder when none runs.
func (f *flags) client() (*host.Client, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	return host.NewClient(cfg)
}

// since gives a time as people read it in a table.
func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

// printed encodes v as JSON or prints a line of text.
func printed(w io.Writer, asJSON bool, v any, text string) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(text, "\n"))
	return err
}
