//go:build wasip1

package guest

import "unsafe"

//go:wasmimport bh call
func hostCall(op uint32, ptr unsafe.Pointer, n uint32) int64

// call performs an operation; the host reads or fills b.
func call(op uint32, b []byte) int64 {
	return hostCall(op, unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
}

// requestBuf is the buffer that the host writes requests to.
var requestBuf []byte

//go:wasmexport bh_abi_1
func abi1() {}

//go:wasmexport bh_alloc
func alloc(n uint32) uint32 {
	if uint32(cap(requestBuf)) < n {
		requestBuf = make([]byte, n)
	}
	requestBuf = requestBuf[:cap(requestBuf)]
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(requestBuf))))
}

//go:wasmexport bh_handle
func handle(ptr, n uint32) int64 {
	reply := Handle(requestBuf[:n])
	if len(reply) == 0 {
		return 0
	}
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(reply))))<<32 | int64(len(reply))
}
