//go:build !wasip1

package guest

// Host stands for the host in tests of a module on the author's machine: it
// gets what bh.call gets. For operation 0 it fills arg.
var Host func(op uint32, arg []byte) int64

// call performs an operation.
func call(op uint32, b []byte) int64 {
	if Host == nil {
		return -int64(Unsupported)
	}
	return Host(op, b)
}
