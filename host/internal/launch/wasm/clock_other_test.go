//go:build !linux

package wasm

import "time"

var started = time.Now()

// cpuTime is the wall clock where threads have none of their own.
func cpuTime() time.Duration { return time.Since(started) }

// processTime is the wall clock where processes have none of their own.
func processTime() time.Duration { return time.Since(started) }
