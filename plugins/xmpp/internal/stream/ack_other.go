//go:build !linux

package stream

import "net"

// promptly is of use on Linux only.
func promptly(conn net.Conn) net.Conn { return conn }
