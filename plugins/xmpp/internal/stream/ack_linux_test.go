package stream

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// answerTwice is a server with Nagle's algorithm on that answers each byte by
// two small writes, as a room does with a reflection and a presence.
func answerTwice(t *testing.T, l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetNoDelay(false); err != nil {
		t.Error(err)
	}
	in := bufio.NewReader(conn)
	for {
		if _, err := in.ReadByte(); err != nil {
			return
		}
		for range 2 {
			if _, err := conn.Write([]byte("<message/>\n")); err != nil {
				return
			}
		}
	}
}

// exchange measures n rounds with such a server.
func exchange(t *testing.T, n int, wrap func(net.Conn) net.Conn) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		answerTwice(t, l)
	}()
	defer func() { l.Close(); <-ended }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn = wrap(conn)
	in := bufio.NewReader(conn)
	began := time.Now()
	for range n {
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	return time.Since(began)
}

func TestReadAcknowledgesAtOnce(t *testing.T) {
	const rounds = 20
	plain := exchange(t, rounds, func(c net.Conn) net.Conn { return c })
	prompt := exchange(t, rounds, promptly)
	t.Logf("%d rounds: %v, with prompt acknowledgements %v", rounds, plain, prompt)
	// The kernel delays by 40 ms; the half is far from both sides.
	if plain > rounds*30*time.Millisecond && prompt > plain/2 {
		t.Errorf("%d rounds take %v, without prompt acknowledgements %v: they do not help", rounds, prompt, plain)
	}
}
