package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"bridgehost/internal/itest"
)

// stage lets a program use the servers and clients of the tests.
type stage struct {
	ctx     contextOf
	cleanup []func()
	failed  bool
	err     error
}

// contextOf gives a context without keeping one in a struct.
type contextOf func() context.Context

var _ itest.TB = (*stage)(nil)

// errGiveUp unwinds from Fatalf to act.
var errGiveUp = errors.New("given up")

func newStage(ctx context.Context) *stage {
	return &stage{ctx: func() context.Context { return ctx }}
}

// act runs f, and returns what it or a Fatalf inside it says.
func (s *stage) act(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != any(errGiveUp) {
				panic(v)
			}
			err = s.err
		}
	}()
	return f()
}

// close undoes everything, last things first.
func (s *stage) close() error {
	return s.act(func() error {
		for i := len(s.cleanup) - 1; i >= 0; i-- {
			s.cleanup[i]()
		}
		return nil
	})
}

func (s *stage) Helper()                  {}
func (s *stage) Context() context.Context { return s.ctx() }
func (s *stage) Cleanup(f func())         { s.cleanup = append(s.cleanup, f) }
func (s *stage) Failed() bool             { return s.failed }
func (s *stage) Logf(f string, a ...any)  { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (s *stage) Fatal(args ...any)        { s.Fatalf("%s", fmt.Sprintln(args...)) }
func (s *stage) Error(args ...any)        { s.Errorf("%s", fmt.Sprintln(args...)) }
func (s *stage) Skipf(f string, a ...any) { s.Fatalf(f, a...) }

// TempDir makes a folder that is removed at the end.
func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "bridgehost-demo-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Errorf notes a failure and goes on.
func (s *stage) Errorf(format string, args ...any) {
	s.failed = true
	s.Logf(format, args...)
}

// Fatalf gives up.
func (s *stage) Fatalf(format string, args ...any) {
	s.failed = true
	s.err = fmt.Errorf(format, args...)
	panic(errGiveUp)
}
