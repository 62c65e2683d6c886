package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"bridgehost/host/config"
	"bridgehost/plugins/webhook/pyenv"
)

// reportCheck prints what check found and gives the exit code.
func reportCheck(w io.Writer, cfg *config.Config, err error, asJSON bool) error {
	var faults *config.Errors
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	if asJSON {
		list := []config.Error{}
		if faults != nil {
			list = faults.List
		}
		if err := printJSON(w, map[string]any{"good": err == nil, "faults": list}); err != nil {
			return err
		}
	} else if faults != nil {
		fmt.Fprintln(w, faults.Error())
	}
	if faults != nil {
		return &exitError{exitFound, nil}
	}
	if !asJSON {
		for _, warning := range cfg.Warnings {
			fmt.Fprintf(w, "warning: %s\n", warning)
		}
		fmt.Fprintf(w, "good: %d links, %d routes\n", len(cfg.Links), len(cfg.Routes))
	}
	return nil
}

func newConfig(_ *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print an example, the keys, or the JSON Schema of the configuration",
		Example: `  bridgehost config example > bridgehost.toml
  bridgehost config schema > bridgehost.schema.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "example",
		Short: "Print a commented configuration to begin with",
		Example: `  bridgehost config example
  bridgehost config example > bridgehost.toml`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Example())
			return err
		},
	}, &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Example: `  bridgehost config schema
  bridgehost config schema > bridgehost.schema.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}, &cobra.Command{
		Use:   "docs",
		Short: "Print every key with its type, default and meaning",
		Example: `  bridgehost config docs
  bridgehost config docs | grep route`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, k := range config.Keys() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Key, k.Type, k.Default, k.Doc)
			}
			return w.Flush()
		},
	})
	return cmd
}

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Turn the configuration of another program into one for bridgehost",
		Example: `  bridgehost import xmpp-muc-gateway .pyenv > bridgehost.toml
  bridgehost import xmpp-muc-gateway - < .pyenv`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "xmpp-muc-gateway FILE",
		Short: "Read the .pyenv file of the XMPP MUC Message Gateway; - is standard input",
		Long: `The TOML goes to standard output; what could not be mapped is listed on standard
error. Tokens and the password are copied: keep the result from other readers.`,
		Example: `  bridgehost import xmpp-muc-gateway .pyenv > bridgehost.toml
  bridgehost import xmpp-muc-gateway - < .pyenv`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("import: %w", err)
				}
				defer file.Close()
				in = file
			}
			text, notes, err := pyenv.Import(in)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			for _, n := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", n)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	})
	return cmd
}
