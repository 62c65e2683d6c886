package netguard

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAP16Addresses holds every kind of address that must not be dialled.
func TestAP16Addresses(t *testing.T) {
	blocked := []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
		"192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1", "2001:3::1", "2001:4:112::1", "8000::1", "2606:4700::1%eth0",
		"::ffff:169.254.169.254", "64:ff9b::10.0.0.1",
		"192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.2.3",
		"240.0.0.1", "255.255.255.255",
		"::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "::ffff:0:7f00:1",
		"64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1",
		"2001:0:7f00:1::80ff:fffe", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
		"3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "1::1",
	}
	var g Guard
	for _, s := range blocked {
		err := g.Check(netip.MustParseAddr(s))
		if !errors.Is(err, ErrBlockedAddr) {
			t.Errorf("Check(%s) = %v, want ErrBlockedAddr", s, err)
		}
	}
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
		"172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111", "2a00::1",
		"2003::1", "2001:4860:4860::8888", "126.255.255.255", "128.0.0.1", "169.253.1.1", "169.255.1.1", "192.167.1.1", "192.169.1.1",
		"192.31.195.255", "192.31.197.0", "192.52.194.0", "192.175.49.0", "2620:4f:8001::1"} {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("Check(%s) = %v, want nil", s, err)
		}
	}
	if err := g.Check(netip.Addr{}); !errors.Is(err, ErrBlockedAddr) {
		t.Errorf("Check(zero) = %v, want ErrBlockedAddr", err)
	}
}

func TestExceptions(t *testing.T) {
	list, err := ParseExceptions([]string{"127.0.0.2", "::ffff:10.1.0.0/112", "64:ff9b::/96", "2002::/16", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	g := New(list...)
	for addr, ok := range map[string]bool{
		"127.0.0.2": true, "::ffff:127.0.0.2": true, "127.0.0.1": false, "127.0.0.3": false,
		"10.1.2.3": true, "10.2.0.1": false, "fd00::1": true, "fc00::1": false, "fd00::1%eth0": true, "fe80::1%eth0": false,
		"64:ff9b::808:808": true, "64:ff9b::7f00:1": false, "64:ff9b::7f00:2": true,
		"2002:808:808::1": true, "2002:7f00:1::": false,
	} {
		if err := g.Check(netip.MustParseAddr(addr)); (err == nil) != ok {
			t.Errorf("Check(%s) = %v, want allowed %v", addr, err, ok)
		}
	}
	if _, err := ParseExceptions([]string{"localhost"}); err == nil || !strings.Contains(err.Error(), `"localhost"`) {
		t.Errorf("a name as an exception: %v, want an error that names it", err)
	}
}

func TestCheckURL(t *testing.T) {
	var g Guard
	for raw, ok := range map[string]bool{
		"https://example.org/x": true, "http://example.org/x": false, "file:///etc/passwd": false, "gopher://example.org/": false,
		"data:text/plain,x": false, "https://127.0.0.1/": false, "https://[::1]:8443/": false, "https://[::ffff:127.0.0.1]/": false,
		"https://0.0.0.0/": false, "https://user:pw@example.org/": false, "https:///x": false, "https://8.8.8.8/": true,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.CheckURL(u, false); (err == nil) != ok {
			t.Errorf("CheckURL(%s) = %v, want allowed %v", raw, err, ok)
		}
	}
	u := &url.URL{Scheme: "http", Host: "example.org"}
	if err := g.CheckURL(u, true); err != nil {
		t.Errorf("CheckURL(plain http, allowed) = %v, want nil", err)
	}
}

// countingListener counts connections, which must stay at none.
type countingListener struct {
	net.Listener
	seen chan struct{}
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.seen <- struct{}{}
	}
	return c, err
}

// TestAP16Spellings dials the loopback under every spelling that a resolver
// may turn into it. The listener there must see no connection.
func TestAP16Spellings(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &countingListener{Listener: inner, seen: make(chan struct{}, 64)}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-done
	}()
	_, port, err := net.SplitHostPort(inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: New().Transport(2 * time.Second), Timeout: 3 * time.Second}
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1",
		"0", "0x7f000001", "[::1]", "[64:ff9b::7f00:1]"} {
		if err := get(t, client, "http://"+net.JoinHostPort(strings.Trim(host, "[]"), port)+"/"); err == nil {
			t.Errorf("GET %s: answered, want refused", host)
		}
	}
	if n := len(l.seen); n != 0 {
		t.Errorf("the listener saw %d connections, want 0", n)
	}
	// The same client with an exception reaches it: the guard, not the set-up, refused.
	open := &http.Client{Transport: New(netip.MustParsePrefix("127.0.0.1/32")).Transport(2 * time.Second), Timeout: 3 * time.Second}
	if err := get(t, open, "http://127.0.0.1:"+port+"/"); err != nil {
		t.Fatalf("GET with an exception: %v", err)
	}
	if n := len(l.seen); n != 1 {
		t.Errorf("the listener saw %d connections, want 1", n)
	}
}

// get gives the error of a request, nil when there was an answer.
func get(t *testing.T, c *http.Client, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestControlRefusesOtherNetworks(t *testing.T) {
	var g Guard
	for _, c := range [][2]string{{"unix", "/run/x.sock"}, {"tcp4", "nonsense"}, {"ip4:icmp", "8.8.8.8"}} {
		if err := g.Control(c[0], c[1], nil); !errors.Is(err, ErrBlockedAddr) {
			t.Errorf("Control(%s, %s) = %v, want ErrBlockedAddr", c[0], c[1], err)
		}
	}
	if err := g.Control("tcp6", "[2606:4700::1111]:443", nil); err != nil {
		t.Errorf("Control of a public address = %v, want nil", err)
	}
}

func TestRedirectToInternalAddress(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	}))
	defer srv.Close()
	g := New(netip.MustParsePrefix("127.0.0.1/32"))
	c := &http.Client{Transport: g.Transport(time.Second), CheckRedirect: g.Redirects(3, true)}
	err := get(t, c, srv.URL)
	if !errors.Is(err, ErrBlockedAddr) {
		t.Errorf("redirect to a link-local address: %v, want ErrBlockedAddr", err)
	}
}

func FuzzControl(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:80", "x", "1.1.1.1:443", "[fe80::1%lo]:1", ":80"} {
		f.Add("tcp4", s)
	}
	f.Fuzz(func(t *testing.T, network, address string) {
		var g Guard
		err := g.Control(network, address, nil)
		if err != nil && !errors.Is(err, ErrBlockedAddr) {
			t.Errorf("Control(%q, %q) = %v, want ErrBlockedAddr", network, address, err)
		}
		if ap, bad := netip.ParseAddrPort(address); err == nil && (bad != nil || ap.Addr().IsLoopback() || ap.Addr().IsPrivate() || ap.Addr().IsUnspecified()) {
			t.Errorf("Control(%q, %q) passed", network, address)
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		var g Guard
		err := g.Check(a)
		if u := a.Unmap(); err == nil && (u.IsLoopback() || u.IsPrivate() || u.IsUnspecified() || u.IsMulticast() || u.IsLinkLocalUnicast()) {
			t.Errorf("Check(%s) allowed an internal address", a)
		}
	})
}
