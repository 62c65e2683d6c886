//go:build !race

package wasm

// slowdown is 1 but in tests with the race detector.
const slowdown = 1
