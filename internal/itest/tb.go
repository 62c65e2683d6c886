package itest

import "context"

// TB is the part of testing.TB that servers and clients use, so that a program
// can start them too. Fatalf and Skipf must not return.
type TB interface {
	reporter
	lifetime
}

// reporter says what happened. Fatalf and Skipf must not return.
type reporter interface {
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// lifetime is how long a test lasts, and what it leaves behind.
type lifetime interface {
	Helper()
	Context() context.Context
	TempDir() string
	Cleanup(f func())
	Failed() bool
}
