// Package bench holds what the programs that print figures share: a raw
// component that only writes, an observer that only counts, and the way to run
// the bridge beside them. The figures of one run are compared with each other,
// never with those of another machine.
package bench

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // XEP-0114 §3 prescribes it
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Component is an XMPP component (XEP-0114) on a bare socket. It knows just
// enough to enter a room, fill it, and see what comes back.
type Component struct {
	domain string
	conn   net.Conn
	in     *bufio.Reader
}

// Dial connects and authenticates a component.
func Dial(addr, domain, secret string) (*Component, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("dial component port: %w", err)
	}
	c := &Component{domain: domain, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	if err := c.handshake(secret); err != nil {
		return nil, fmt.Errorf("component %s: %w", domain, joinClose(err, conn))
	}
	return c, nil
}

func joinClose(err error, conn net.Conn) error {
	if e := conn.Close(); e != nil {
		return fmt.Errorf("%w (and close: %w)", err, e)
	}
	return err
}

func (c *Component) handshake(secret string) error {
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='%s'>", c.domain); err != nil {
		return err
	}
	head, err := c.until("<stream:stream", '>')
	if err != nil {
		return err
	}
	id := attribute(head, "id")
	sum := sha1.Sum([]byte(id + secret)) //nolint:gosec // XEP-0114 §3
	if _, err := fmt.Fprintf(c.conn, "<handshake>%s</handshake>", hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	if _, err := c.until("<handshake", '>'); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Time{})
}

// until reads up to the end of the first tag that begins with start.
func (c *Component) until(start string, end byte) (string, error) {
	for {
		tag, err := c.in.ReadString(end)
		if err != nil {
			return "", err
		}
		if i := strings.LastIndex(tag, start); i >= 0 {
			return tag[i:], nil
		}
		if strings.Contains(tag, "<stream:error") {
			return "", fmt.Errorf("refused: %s", tag)
		}
	}
}

func attribute(tag, name string) string {
	for _, quote := range []string{"'", `"`} {
		if _, rest, ok := strings.Cut(tag, " "+name+"="+quote); ok {
			value, _, _ := strings.Cut(rest, quote)
			return value
		}
	}
	return ""
}

// Join enters a room under a nick and returns once the room has sent the
// subject, which ends the greeting (XEP-0045 §7.2.15).
func (c *Component) Join(room, user, nick string) error {
	_, err := fmt.Fprintf(c.conn, "<presence from='%s@%s/x' to='%s/%s'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>", user, c.domain, room, nick)
	if err != nil {
		return err
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.until("<subject", '>'); err != nil {
		return fmt.Errorf("join %s: %w", room, err)
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// Fill writes n messages to the room as fast as the socket takes them, and
// throws away what comes back.
func (c *Component) Fill(room, user string, n int, body func(i int) string) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.in.Read(buf); err != nil {
				return
			}
		}
	}()
	w := bufio.NewWriterSize(c.conn, 64<<10)
	for i := range n {
		if _, err := fmt.Fprintf(w, "<message from='%s@%s/x' to='%s' type='groupchat' id='r%d'><body>%s</body></message>", user, c.domain, room, i, body(i)); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return nil
}

// Seen is one message that an observer saw.
type Seen struct {
	At   time.Time
	Nick string
	Body string
}

// Observe reads messages of the room until n have come or nothing has come for
// idle, and returns them in the order of arrival.
func (c *Component) Observe(n int, idle time.Duration) ([]Seen, error) {
	var seen []Seen
	for len(seen) < n {
		if err := c.conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
			return seen, err
		}
		stanza, err := c.message()
		if err != nil {
			return seen, fmt.Errorf("after %d of %d messages: %w", len(seen), n, err)
		}
		from := attribute(stanza, "from")
		_, nick, _ := strings.Cut(from, "/")
		_, rest, ok := strings.Cut(stanza, "<body>")
		if !ok {
			continue
		}
		body, _, _ := strings.Cut(rest, "</body>")
		seen = append(seen, Seen{At: time.Now(), Nick: nick, Body: body})
	}
	return seen, nil
}

// message reads one message element.
func (c *Component) message() (string, error) {
	var b bytes.Buffer
	for {
		part, err := c.in.ReadSlice('>')
		b.Write(part)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", err
		}
		if bytes.HasSuffix(b.Bytes(), []byte("</message>")) {
			if i := bytes.LastIndex(b.Bytes(), []byte("<message ")); i >= 0 {
				return b.String()[i:], nil
			}
			b.Reset() // the end of the subject that Join has read
		}
		if bytes.HasSuffix(b.Bytes(), []byte("</presence>")) || bytes.HasSuffix(b.Bytes(), []byte("</iq>")) {
			b.Reset()
		}
	}
}

// Close ends the connection.
func (c *Component) Close() error { return c.conn.Close() }
