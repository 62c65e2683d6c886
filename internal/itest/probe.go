package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// dialPause is the time between two attempts to reach a server that is starting.
	dialPause = 10 * time.Millisecond
	// probeLimit bounds what a probe reads before it has seen its answer.
	probeLimit = 64 << 10
)

// probe is one question that a ready server answers.
type probe struct {
	addr   string
	open   string // what is sent
	expect string // what the answer contains once the server is ready
}

// clientProbe asks for stream features. RFC 6120 §4.3.2.
func clientProbe(addr, domain string) probe {
	return probe{
		addr: addr,
		open: "<?xml version='1.0'?><stream:stream to='" + domain + "' xmlns='jabber:client' " +
			"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
		expect: "<stream:features",
	}
}

// componentProbe asks for a component stream and stops before the handshake. XEP-0114 §3.
func componentProbe(addr, domain string) probe {
	return probe{
		addr: addr,
		open: "<?xml version='1.0'?><stream:stream to='" + domain + "' xmlns='jabber:component:accept' " +
			"xmlns:stream='http://etherx.jabber.org/streams'>",
		expect: domain,
	}
}

// dialProbe asks only that something accepts connections.
func dialProbe(addr string) probe { return probe{addr: addr} }

// wait repeats the probe until it is answered, ctx ends, or stop is closed.
func (p probe) wait(ctx context.Context, stop <-chan struct{}) error {
	ticker := time.NewTicker(dialPause)
	defer ticker.Stop()
	for {
		err := p.once(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-stop:
			return fmt.Errorf("probe %s: the server has ended: %w", p.addr, err)
		case <-ctx.Done():
			return fmt.Errorf("probe %s: %w: %w", p.addr, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func (p probe) once(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }() // a probe has nothing to lose
	if p.expect == "" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("set deadline: %w", err)
		}
	}
	if _, err := conn.Write([]byte(p.open)); err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	return p.read(conn)
}

func (p probe) read(conn net.Conn) error {
	var answer []byte
	buf := make([]byte, 4096)
	for len(answer) < probeLimit {
		n, err := conn.Read(buf)
		answer = append(answer, buf[:n]...)
		switch {
		case bytes.Contains(answer, []byte("<stream:error")):
			return fmt.Errorf("stream error: %s", answer)
		case bytes.Contains(answer, []byte(p.expect)):
			return nil
		case err != nil:
			return fmt.Errorf("read answer %q: %w", answer, err)
		}
	}
	return errors.New("answer too long")
}
