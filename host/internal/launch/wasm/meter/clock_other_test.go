//go:build !linux

package meter

import "time"

var started = time.Now()

// cpuTime is the wall clock where threads have none of their own.
func cpuTime() time.Duration { return time.Since(started) }
