//go:build !(linux || darwin || freebsd)

package wasm

import "github.com/tetratelabs/wazero/experimental"

// reserve leaves guest memories on the Go heap; the runtime bounds them.
func reserve(uint64) experimental.MemoryAllocator { return nil }
