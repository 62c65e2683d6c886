package meter

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the processor time of this thread: unlike the wall clock it does
// not count what other programs on the machine take.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
