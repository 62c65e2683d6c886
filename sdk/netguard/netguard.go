// Package netguard keeps outgoing connections away from addresses that are not
// part of the public Internet, so that a URL which a stranger wrote cannot
// reach the operator's own machines (server-side request forgery).
//
// The check looks at the address that is dialled, after resolving, so neither
// an odd spelling (2130706433, 0x7f.1, ::ffff:127.0.0.1) nor a name that
// changes its answer between check and use (DNS rebinding) gets past it. It
// uses the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890), not
// only "loopback or private": 0.0.0.0 reaches the local machine as well.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// ErrBlockedAddr is in the chain of every refusal of this package.
var ErrBlockedAddr = errors.New("address is not on the public internet")

// ErrTooManyRedirects ends a chain of redirects.
var ErrTooManyRedirects = errors.New("too many redirects")

// BlockedError says which address was refused, and why.
type BlockedError struct {
	Addr   string // as dialled; a host name when the refusal came before resolving
	Reason string // such as "loopback (RFC 1122)"
}

// Error names the address and the reason.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s: %s: %v", e.Addr, e.Reason, ErrBlockedAddr)
}

// Unwrap gives ErrBlockedAddr.
func (e *BlockedError) Unwrap() error { return ErrBlockedAddr }

// Guard decides which addresses may be dialled. The zero value allows the
// public Internet and nothing else. It is safe for use by many goroutines.
type Guard struct {
	allow []netip.Prefix
}

// New makes a guard with explicit exceptions: prefixes that may be dialled
// although they are special. An exception for a translation prefix (NAT64,
// 6to4) opens the translator only; the IPv4 address inside must be public or
// have an exception of its own.
func New(allow ...netip.Prefix) *Guard {
	g := &Guard{}
	for _, p := range allow {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		g.allow = append(g.allow, p.Masked())
	}
	return g
}

// ParseExceptions reads addresses (127.0.0.2) and prefixes (10.1.0.0/16) for New.
func ParseExceptions(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("exception %q: neither an address nor a prefix such as 10.1.0.0/16", s)
		}
		out = append(out, p)
	}
	return out, nil
}

// Check reports whether addr may be dialled: nil, or a *BlockedError.
func (g *Guard) Check(addr netip.Addr) error {
	if !addr.IsValid() {
		return &BlockedError{Addr: "invalid address", Reason: "not an IP address"}
	}
	// ::ffff:127.0.0.1 and 127.0.0.1 are one address for the kernel. A zone
	// (RFC 4007 §11) picks the interface, which is nobody's choice but the
	// operator's.
	a := addr.Unmap().WithZone("")
	reason := special(a)
	if reason == "" && addr.Zone() != "" {
		reason = "zone (RFC 4007)"
	}
	if reason == "" {
		return nil
	}
	if !g.excepted(a) {
		return &BlockedError{Addr: addr.String(), Reason: reason}
	}
	if inner, ok := embedded(a); ok {
		if err := g.Check(inner); err != nil {
			return &BlockedError{Addr: addr.String(), Reason: reason + " towards " + inner.String()}
		}
	}
	return nil
}

func (g *Guard) excepted(a netip.Addr) bool {
	if g == nil {
		return false
	}
	for _, p := range g.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Control is for net.Dialer.Control: it runs after resolving and before
// connecting, once for each address that is tried.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp4", "tcp6", "udp4", "udp6":
	default:
		return &BlockedError{Addr: address, Reason: "network " + network}
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &BlockedError{Addr: address, Reason: "not an IP address"}
	}
	return g.Check(ap.Addr())
}

// Dialer makes a dialer that applies the guard to every address.
func (g *Guard) Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: g.Control}
}

// CheckURL refuses what can be refused without resolving: other schemes than
// https (and http when plain is set), user names in the URL, a missing host,
// and literal addresses that Check refuses. A name that passes here is checked
// again by Control.
func (g *Guard) CheckURL(u *url.URL, plain bool) error {
	switch {
	case u.Scheme == "https", u.Scheme == "http" && plain:
	case u.Scheme == "http":
		return &BlockedError{Addr: u.Host, Reason: "plain http"}
	default:
		return &BlockedError{Addr: u.Host, Reason: fmt.Sprintf("scheme %q", u.Scheme)}
	}
	host := u.Hostname()
	if host == "" {
		return &BlockedError{Addr: u.Host, Reason: "no host in the URL"}
	}
	if u.User != nil {
		return &BlockedError{Addr: host, Reason: "user name in the URL"}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.Check(a)
	}
	return nil
}

// Transport makes an HTTP transport whose connections pass the guard. It uses
// no proxy, since a proxy would dial in our place, unguarded.
func (g *Guard) Transport(timeout time.Duration) *http.Transport {
	d := g.Dialer(timeout)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
		Proxy:                  nil,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        90 * time.Second,
	}
}

// Redirects makes a CheckRedirect function for http.Client: at most limit hops,
// each URL checked as by CheckURL. With limit 0 the redirect itself is the
// answer.
func (g *Guard) Redirects(limit int, plain bool) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		if limit == 0 {
			return http.ErrUseLastResponse
		}
		if len(via) > limit {
			return fmt.Errorf("redirect to %s: %w", r.URL.Host, ErrTooManyRedirects)
		}
		if err := g.CheckURL(r.URL, plain); err != nil {
			return fmt.Errorf("redirect: %w", err)
		}
		return nil
	}
}
