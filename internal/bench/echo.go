package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Echo sends every message back to where it came from, with its body, until
// the stream ends, which is no error. It is the least that an echo can be: it
// looks for the ends of messages and for two attributes, knows no namespaces,
// and checks nothing.
func (c *Component) Echo() error {
	out := bufio.NewWriterSize(c.conn, 64<<10)
	in := bufio.NewReaderSize(c.in, 64<<10)
	var stanza []byte
	for {
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return fmt.Errorf("write echo: %w", err)
			}
		}
		part, err := in.ReadSlice('>')
		stanza = append(stanza, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read stanza: %w", err)
		case bytes.HasSuffix(stanza, []byte("</stream:stream>")):
			return nil
		case bytes.HasSuffix(stanza, []byte("</message>")):
			echo(out, stanza)
			stanza = stanza[:0]
		}
	}
}

// echo writes the answer to one message; an error stays with the writer.
func echo(out *bufio.Writer, stanza []byte) {
	head, rest, _ := bytes.Cut(stanza, []byte("<body>"))
	body, _, ok := bytes.Cut(rest, []byte("</body>"))
	if !ok {
		return
	}
	_, _ = fmt.Fprintf(out, "<message type='chat' from='%s' to='%s' id='%s'><body>%s</body></message>",
		value(head, " to="), value(head, " from="), value(head, " id="), body)
}

// value gives the value of an attribute.
func value(head []byte, name string) []byte {
	_, rest, ok := bytes.Cut(head, []byte(name))
	if !ok || len(rest) == 0 {
		return nil
	}
	v, _, _ := bytes.Cut(rest[1:], rest[:1])
	return v
}

// Flood writes n chat messages to an address as fast as the socket takes them,
// and returns how long it took until the last echo was back. The echoes must
// come in order, each once and with its body.
func (c *Component) Flood(to string, n int, idle time.Duration, body func(i int) string) (time.Duration, error) {
	began := time.Now()
	written := make(chan error, 1)
	go func() { written <- c.flood(to, n, body) }()
	seen, err := c.Observe(n, idle)
	took := time.Since(began)
	if err != nil {
		_ = c.conn.Close() // ends the writer as well
		return 0, errors.Join(err, <-written)
	}
	if err := <-written; err != nil {
		return 0, fmt.Errorf("flood %s: %w", to, err)
	}
	for i, s := range seen {
		if s.Body != body(i) {
			return 0, fmt.Errorf("echo %d of %s is %q, want %q", i, to, s.Body, body(i))
		}
	}
	return took, nil
}

func (c *Component) flood(to string, n int, body func(i int) string) error {
	w := bufio.NewWriterSize(c.conn, 64<<10)
	for i := range n {
		if _, err := fmt.Fprintf(w, "<message type='chat' from='flood@%s/x' to='%s' id='f%d'><body>%s</body></message>", c.domain, to, i, body(i)); err != nil {
			return err
		}
	}
	return w.Flush()
}
