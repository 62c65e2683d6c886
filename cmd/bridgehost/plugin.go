package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newPlugin makes the verbs about plugins. `bridgehost plugin NAME` with the
// name of a built-in plugin is the plugin itself; see main.
func newPlugin(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "List, make, test, install and examine plugins",
		Example: `  bridgehost plugin list
  bridgehost plugin restart home`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPluginRestart(f))
	return cmd
}

func newPluginRestart(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "restart LINK",
		Short: "Start a link of the running bridge anew, also one that has failed",
		Example: `  bridgehost plugin restart home
  bridgehost plugin restart shout -c /etc/bridgehost/bridgehost.toml`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.Restart(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "link %s is started anew\n", args[0])
			return err
		},
	}
}
