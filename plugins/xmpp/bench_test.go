package xmpp

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

const burst = 2000

// rawComponent is a component that only writes: the rate to compare with.
type rawComponent struct {
	net.Conn
	r *bufio.Reader
}

// dialRaw connects and authenticates (XEP-0114 §3) as domain.
func dialRaw(tb testing.TB, address, domain, secret string) *rawComponent {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	c := &rawComponent{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	c.write(tb, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='"+domain+"'>")
	head := c.until(tb, "<stream:stream")
	_, id, _ := strings.Cut(strings.ReplaceAll(head, `"`, "'"), "id='")
	id, _, _ = strings.Cut(id, "'")
	sum := sha1.Sum([]byte(id + secret))
	c.write(tb, "<handshake>"+hex.EncodeToString(sum[:])+"</handshake>")
	c.until(tb, "<handshake")
	return c
}

func (c *rawComponent) write(tb testing.TB, s string) {
	tb.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		tb.Fatal(err)
	}
}

// until reads to the end of the tag that begins with mark.
func (c *rawComponent) until(tb testing.TB, mark string) string {
	tb.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	for {
		tag, err := c.r.ReadSlice('>')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			tb.Fatalf("read until %s: %v", mark, err)
		}
		if bytes.Contains(tag, []byte(mark)) {
			return string(tag)
		}
	}
}

// fillRaw joins a room, writes a burst, and returns how long it takes until the
// room has sent the last one back.
func fillRaw(tb testing.TB, c *rawComponent, room, domain string) time.Duration {
	me := "writer@" + domain + "/x"
	c.write(tb, "<presence from='"+me+"' to='"+room+"/writer'><x xmlns='http://jabber.org/protocol/muc'><history maxchars='0'/></x></presence>")
	c.until(tb, "<subject")
	began := time.Now()
	go func() {
		w := bufio.NewWriterSize(c.Conn, 64<<10)
		for i := range burst {
			fmt.Fprintf(w, "<message type='groupchat' from='%s' to='%s' id='raw-%d'><body>message %d of the burst, with some text in it</body></message>", me, room, i, i)
		}
		w.Flush()
	}()
	c.until(tb, fmt.Sprintf("raw-%d'", burst-1))
	took := time.Since(began)
	c.write(tb, "<presence type='unavailable' from='"+me+"' to='"+room+"/writer'/>")
	return took
}

// BenchmarkFillRoom fills rooms of one Prosody by turns: by a raw component that
// only writes, and by Deliver in batches of 256.
func BenchmarkFillRoom(b *testing.B) {
	srv := itest.Prosody(b, itest.Options{
		Users:      map[string]string{"juliet": "pw"},
		Components: map[string]string{bridgeDomain: "s3cret", "raw.xmpp.test": "s3cret"},
	})
	juliet := itest.Slix(b, srv.Account("juliet"))
	raw := dialRaw(b, srv.Component, "raw.xmpp.test", "s3cret")
	var rawTook, ourTook time.Duration
	turn := 0
	for b.Loop() {
		turn++
		room := srv.Room(fmt.Sprintf("fill%d", turn))
		juliet.Join(room, "Juliet")
		rawTook += fillRaw(b, raw, room, "raw.xmpp.test")
		room = srv.Room(fmt.Sprintf("ours%d", turn))
		juliet.Join(room, "Juliet")
		ourTook += fillByDeliver(b, srv, room)
	}
	n := float64(burst * turn)
	b.ReportMetric(n/rawTook.Seconds(), "raw/s")
	b.ReportMetric(n/ourTook.Seconds(), "ours/s")
	b.ReportMetric(rawTook.Seconds()/ourTook.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

func fillByDeliver(b *testing.B, srv *itest.Server, room string) time.Duration {
	h := newFakeHost(b)
	l, stop := start(b, h, component(srv), writeTo(room))
	defer stop()
	h.roomUp(sdk.RemoteID(room))
	began := time.Now()
	for at := 0; at < burst; {
		var batch []sdk.Delivery
		for ; len(batch) < 256 && at < burst; at++ {
			batch = append(batch, textTo(sdk.RemoteID(room), fmt.Sprintf("%s-%d", room, at), grafana, fmt.Sprintf("message %d of the burst, with some text in it", at)))
		}
		deliver(b, l, batch...)
	}
	return time.Since(began)
}
