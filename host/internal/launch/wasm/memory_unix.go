//go:build linux || darwin || freebsd

package wasm

import (
	"fmt"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// reserve maps address space for guest memories, outside of the Go heap: the
// collector does not count it, growing never copies, pages that the guest does
// not touch cost nothing, and all goes back to the system when the instance is
// closed, not when the collector runs.
func reserve(limit uint64) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, high uint64) experimental.LinearMemory {
		size := min(high, limit)
		if size == 0 {
			return &mapping{}
		}
		b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			panic(fmt.Errorf("reserve %d bytes of guest memory: %w", size, err))
		}
		return &mapping{b: b}
	})
}

// mapping is the memory of one instance.
type mapping struct{ b []byte }

// Reallocate implements experimental.LinearMemory; nil refuses to grow.
func (m *mapping) Reallocate(size uint64) []byte {
	if size > uint64(len(m.b)) {
		return nil
	}
	return m.b[:size:size]
}

// Free implements experimental.LinearMemory.
func (m *mapping) Free() {
	if m.b != nil {
		_ = syscall.Munmap(m.b)
		m.b = nil
	}
}
