package stream

import (
	"net"
	"syscall"
)

// promptConn acknowledges what it has read at once. A server that leaves Nagle's algorithm on (RFC 896; Prosody does by default) holds a
// small stanza back until the one before it is acknowledged, and the kernel delays acknowledgements by 40 ms where nothing is written in
// return: each message would wait for that.
type promptConn struct {
	net.Conn
	raw syscall.RawConn
}

// promptly makes a TCP connection acknowledge at once; others stay as they are.
func promptly(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn // closed already: the first read says so
	}
	return &promptConn{Conn: conn, raw: raw}
}

// Read implements net.Conn. The kernel goes back to delaying by itself, so that it is told after each read (tcp(7), TCP_QUICKACK); but not
// while there is more to read.
func (c *promptConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && n < len(p) {
		_ = c.raw.Control(acknowledge) // without it all works, but slower
	}
	return n, err
}

func acknowledge(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}
