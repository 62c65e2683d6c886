// Package sdktest helps to test plugins: a host that lives in memory, and a
// conformance suite that runs a plugin over every transport.
package sdktest
