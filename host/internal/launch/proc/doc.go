// Package proc gives an sdk.Plugin from a process: a built-in plugin, which is
// this executable once more, or a foreign executable pinned by its SHA-256.
//
// A plugin process sees nothing of the host's environment, talks over a socket
// in a folder that only the host's user can enter, with mutual TLS for this one
// start, and does not outlive the host: the kernel kills it when the host dies
// (Linux), and it watches a pipe whose other end is the host.
package proc
