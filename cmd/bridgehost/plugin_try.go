package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bridgehost/host"
)

// tryFlags say what is tested.
type tryFlags struct {
	vectors string
	limit   time.Duration
}

func (t *tryFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.vectors, "vectors", "", "file or folder of vectors (default: the folder vectors beside the plugin)")
	cmd.Flags().DurationVar(&t.limit, "time", 0, "limit of one call (default: what the manifest asks for, at most 100ms)")
}

func newPluginTest() *cobra.Command {
	t := &tryFlags{}
	cmd := &cobra.Command{
		Use:   "test [FOLDER|FILE]",
		Short: "Run golden events through a plugin and compare the verdicts",
		Long: `Test runs the vectors *.json of the folder "vectors" beside a module or an
executable through it, with the limits and abilities that it would have in the
host. Each vector has an event in the JSON form of message Event of
proto/bridgehost/plugin/v1, and what must come out:

  {"name": "…", "config": {…}, "event": {…},
   "want": {"verb": "pass|drop|replace|hold", "reason": "…", "event": {…}, "error": "…"}}

A file holds one vector or a list of them. Exit code 4 means that one failed.`,
		Example: `  bridgehost plugin test
  bridgehost plugin test hello/hello.wasm --vectors hello/vectors`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, vectors, err := t.find(args)
			if err != nil {
				return err
			}
			results, err := host.TestPlugin(cmd.Context(), file, vectors, host.TestOptions{Time: t.limit, Log: newLogger(cmd.ErrOrStderr(), nil, "text")})
			if err != nil {
				return err
			}
			return showResults(cmd, results)
		},
	}
	t.bind(cmd)
	return cmd
}

// showResults prints a line for each vector.
func showResults(cmd *cobra.Command, results []host.VectorResult) error {
	out, failed := cmd.OutOrStdout(), 0
	for _, r := range results {
		if r.Fault == "" {
			fmt.Fprintf(out, "pass  %s (%v)\n", r.Vector.Name, r.Took.Round(time.Microsecond))
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s (%s)\n      %s\n", r.Vector.Name, r.Vector.File, strings.ReplaceAll(r.Fault, "\n", "\n      "))
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", len(results)-failed, failed)
	if failed > 0 {
		return &exitError{exitFound, nil}
	}
	return nil
}

// find gives the plugin's file and its vectors.
func (t *tryFlags) find(args []string) (string, []host.Vector, error) {
	path := "."
	if len(args) > 0 {
		path = args[0]
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, fmt.Errorf("plugin: %w", err)
	}
	dir := filepath.Dir(path)
	if info.IsDir() {
		dir = path
		if path, err = onlyPlugin(dir); err != nil {
			return "", nil, err
		}
	}
	from := t.vectors
	if from == "" {
		from = filepath.Join(dir, "vectors")
	}
	vectors, err := host.ReadVectors(from)
	if errors.Is(err, fs.ErrNotExist) && t.vectors == "" {
		err = fmt.Errorf("there are no vectors in %s; write some, or name a file or folder with --vectors: %w", from, err)
	}
	return path, vectors, err
}

// onlyPlugin finds the one module of a folder, or else the one executable that
// is no script.
func onlyPlugin(dir string) (string, error) {
	modules, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil {
		return "", fmt.Errorf("folder %s: %w", dir, err)
	}
	if len(modules) == 1 {
		return modules[0], nil
	}
	if len(modules) > 1 {
		return "", &exitError{exitUsage, fmt.Errorf("folder %s has several modules; name one of: %s", dir, strings.Join(modules, ", "))}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("folder %s: %w", dir, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 && filepath.Ext(e.Name()) == "" {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("folder %s has no module and no executable; build it first: sh build.sh", dir)
}

func newPluginBench() *cobra.Command {
	t := &tryFlags{}
	var during time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench [FOLDER|FILE]",
		Short: "Measure what one event costs in a filter",
		Long: `Bench sends the events of the vectors through a filter again and again, in batches
of 64, with limits on and everything that the way over the border costs.`,
		Example: `  bridgehost plugin bench
  bridgehost plugin bench hello/hello.wasm --for 5s`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, vectors, err := t.find(args)
			if err != nil {
				return err
			}
			r, err := host.BenchPlugin(cmd.Context(), file, vectors, during, host.TestOptions{Time: t.limit})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "start  %v, compiled anew\nevents %d\nmean   %v an event\nworst  %v an event, in the slowest batch\n",
				r.Start.Round(time.Millisecond), r.Calls, r.Mean, r.Worst)
			return err
		},
	}
	t.bind(cmd)
	cmd.Flags().DurationVar(&during, "for", 2*time.Second, "how long to measure")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; times in nanoseconds")
	return cmd
}
