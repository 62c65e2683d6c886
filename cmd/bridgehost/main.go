// Command bridgehost bridges open networks: it routes items between plugins
// that an operator mixes in one TOML file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"bridgehost/host/config"
	"bridgehost/sdk/wire"
)

// Exit codes.
const (
	exitGood    = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 3
	exitFound   = 4 // a check found problems
)

// exitError carries an exit code; a nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	// A built-in plugin is this program, started again by the host.
	if len(os.Args) == 3 && os.Args[1] == "plugin" {
		if p, ok := builtins()[os.Args[2]]; ok {
			wire.Serve(p)
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes the command line and gives the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	var faults *config.Errors
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintf(stderr, "bridgehost: %v\n", exit.err)
		}
		return exit.code
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, err)
		return exitConfig
	default:
		fmt.Fprintf(stderr, "bridgehost: %v\n", err)
		return exitFailure
	}
}
