package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestCheck lists addresses of every registry and the public ones beside them.
func TestCheck(t *testing.T) {
	bad := `0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.169.254
		172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7
		203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.1.1.1
		::ffff:0.0.0.0 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::
		2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1
		ff02::1 4000::1 8000::1 2606:4700::1%eth0`
	var g Guard
	for _, s := range strings.Fields(bad) {
		if err := g.Check(netip.MustParseAddr(s)); !errors.Is(err, ErrBlocked) {
			t.Errorf("Check(%s) = %v, want %v", s, err, ErrBlocked)
		}
	}
	good := `1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.1.1 169.255.1.1
		172.15.255.255 172.32.0.1 192.0.1.1 192.167.1.1 192.169.1.1 198.17.1.1 198.20.1.1 223.255.255.255 2606:4700::1111
		2001:4860:4860::8888 2a00:1450::1 2003::1 ::ffff:1.1.1.1`
	for _, s := range strings.Fields(good) {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("Check(%s) = %v, want nil", s, err)
		}
	}
	if err := g.Check(netip.Addr{}); !errors.Is(err, ErrBlocked) {
		t.Errorf("Check of no address = %v, want %v", err, ErrBlocked)
	}
}

// TestAllow asserts that an exception covers its prefix and nothing else.
func TestAllow(t *testing.T) {
	g := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	for s, want := range map[string]bool{"127.0.0.2": true, "::ffff:127.0.0.2": true, "127.0.0.1": false, "10.0.0.1": false} {
		if err := g.Check(netip.MustParseAddr(s)); (err == nil) != want {
			t.Errorf("Check(%s) = %v, want allowed %v", s, err, want)
		}
	}
}

// TestDial connects by every spelling of a loopback address; the listener must
// see none of them, and the allowed one.
func TestDial(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	var g Guard
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "0", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1",
		"[::ffff:127.0.0.1]", "[::1]", "[::]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := g.Dialer(time.Second).DialContext(ctx, "tcp", strings.Trim(host, "[]")+":"+port)
		if strings.HasPrefix(host, "[") {
			conn, err = g.Dialer(time.Second).DialContext(ctx, "tcp", host+":"+port)
		}
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("dialling %s succeeded", host)
		}
	}
	g = Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	conn, err := g.Dialer(time.Second).Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("allowed address: %v", err)
	}
	conn.Close()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(time.Second))
	if c, err := ln.Accept(); err != nil {
		t.Fatal(err)
	} else {
		c.Close()
	}
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener saw a second connection")
	}
}

func FuzzControl(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:80", "x", "1.1.1.1:443", "[fe80::1%lo]:1", ":80"} {
		f.Add("tcp4", s)
	}
	f.Fuzz(func(t *testing.T, network, address string) {
		err := (&Guard{}).Control(network, address, nil)
		if err != nil && !errors.Is(err, ErrBlocked) {
			t.Errorf("Control(%q, %q) = %v", network, address, err)
		}
		if ap, perr := netip.ParseAddrPort(address); err == nil && (perr != nil || ap.Addr().IsLoopback() || ap.Addr().IsPrivate() || ap.Addr().IsUnspecified()) {
			t.Errorf("Control(%q, %q) passed", network, address)
		}
	})
}
