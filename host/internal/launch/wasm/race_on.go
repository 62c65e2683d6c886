//go:build race

package wasm

// slowdown is what the race detector makes of the time for a compilation.
const slowdown = 6
