package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
)

// queueFlags select deliveries.
type queueFlags struct {
	filter host.QueueFilter
	all    bool
	yes    bool
	asJSON bool
}

func (q *queueFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.filter.Link, "link", "", "only deliveries of this link")
	cmd.Flags().StringVar(&q.filter.Place, "place", "", "only deliveries to this place of the link")
	cmd.Flags().BoolVar(&q.filter.Dead, "dead", false, "dead letters in place of waiting deliveries")
	cmd.Flags().BoolVar(&q.asJSON, "json", false, "print JSON")
}

func newQueue(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show, retry or drop deliveries that wait or were given up",
		Example: `  bridgehost queue list
  bridgehost queue retry --dead --link home --all`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQueueList(f),
		newQueueChange(f, "retry", "Make deliveries due now, dead letters among them",
			`  bridgehost queue retry d-0123456789
  bridgehost queue retry --dead --all`,
			func(cmd *cobra.Command, c *host.Client, q *queueFlags) (int, error) {
				return c.Retry(cmd.Context(), q.filter)
			}),
		newQueueChange(f, "drop", "Remove deliveries for good; shows what it would do unless --yes is given",
			`  bridgehost queue drop --dead --link home --all
  bridgehost queue drop --yes d-0123456789`,
			func(cmd *cobra.Command, c *host.Client, q *queueFlags) (int, error) {
				return c.Drop(cmd.Context(), q.filter)
			}))
	return cmd
}

func newQueueList(f *flags) *cobra.Command {
	q := &queueFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List waiting deliveries or dead letters",
		Example: `  bridgehost queue list --link home
  bridgehost queue list --dead --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			return listQueue(cmd, c, q)
		},
	}
	q.bind(cmd)
	cmd.Flags().IntVar(&q.filter.Limit, "limit", 100, "at most so many rows")
	return cmd
}

func listQueue(cmd *cobra.Command, c *host.Client, q *queueFlags) error {
	rows, err := c.Queue(cmd.Context(), q.filter)
	if err != nil {
		return err
	}
	if q.asJSON {
		return printJSON(cmd.OutOrStdout(), rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing")
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tPLACE\tKIND\tCREATED\tDUE\tATTEMPTS\tREASON")
	for _, r := range rows {
		due := "-"
		if !r.Due.IsZero() {
			due = "in " + time.Until(r.Due).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s:%s\t%s\t%s ago\t%s\t%d\t%s\n", r.ID, r.Link, r.Place, r.Kind, since(r.Created), due, r.Attempts, r.Reason)
	}
	return w.Flush()
}

// newQueueChange makes the verbs that change the queue. Dropping shows what it
// would do first.
func newQueueChange(f *flags, verb, short, example string, do func(*cobra.Command, *host.Client, *queueFlags) (int, error)) *cobra.Command {
	q := &queueFlags{}
	cmd := &cobra.Command{
		Use:     verb + " [ID...]",
		Short:   short,
		Example: example,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !q.all {
				return &exitError{exitUsage, errors.New("name deliveries by their ids, or select them with --all and --link, --place, --dead")}
			}
			q.filter.IDs = args
			c, err := f.client()
			if err != nil {
				return err
			}
			if verb == "drop" && !q.yes {
				fmt.Fprintln(cmd.OutOrStdout(), "would drop (add --yes to do so):")
				q.filter.Limit = 1000
				return listQueue(cmd, c, q)
			}
			n, err := do(cmd, c, q)
			if err != nil {
				return err
			}
			return printed(cmd.OutOrStdout(), q.asJSON, map[string]int{"changed": n}, fmt.Sprintf("%d deliveries", n))
		},
	}
	q.bind(cmd)
	cmd.Flags().BoolVar(&q.all, "all", false, "all that the other flags select")
	if verb == "drop" {
		cmd.Flags().BoolVar(&q.yes, "yes", false, "really drop")
	}
	return cmd
}

func newExplain(f *flags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain ITEM",
		Short: "Tell where an item came from, what rules did, and where it went",
		Long: `Explain takes the id of an item, or the id that a network gave it, written
link:id; the id in the answer to a webhook is such an id.`,
		Example: `  bridgehost explain i-0123456789
  bridgehost explain hooks:9f2c1e`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			e, err := c.Explain(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "item   %s\norigin %s\n", e.Item, e.Origin)
			for _, c := range e.Copies {
				fmt.Fprintf(out, "copy   %s\n", c)
			}
			for _, s := range e.Steps {
				fmt.Fprintf(out, "%s  %s\n", s.Time.Format(time.RFC3339Nano), s.What)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
