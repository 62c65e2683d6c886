// Package netguard keeps outgoing connections away from addresses that are not
// on the public Internet: the host itself, its private networks, cloud metadata,
// and every form in which such an address hides inside another one.
//
// The check belongs at the moment of dialling, where the address is already
// resolved: a check of names is defeated by odd spellings (0x7f.1, 2130706433)
// and by a resolver that gives a public answer first and a private one next.
package netguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrBlocked means that an address is not one that a guest may reach.
var ErrBlocked = errors.New("blocked address")

// blocked lists the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890
// and later entries) that are not globally reachable, multicast, and IPv6 ranges
// that embed an IPv4 address, with the reason for messages.
var blocked = [...]struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112"},
	{netip.MustParsePrefix("192.52.193.0/24"), "AMT"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/96"), "unspecified, loopback or IPv4-compatible"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64"},
	{netip.MustParsePrefix("100::/64"), "discard only"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy prefix"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments, Teredo, ORCHID"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "unique local"},
	{netip.MustParsePrefix("fe80::/10"), "link local"},
	{netip.MustParsePrefix("fec0::/10"), "site local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// Guard decides about addresses. The zero value blocks everything that is not
// public. A Guard is not changed after its first use.
type Guard struct {
	// Allow lists exceptions that the operator made.
	Allow []netip.Prefix
}

// Check returns nil when the address may be reached, else an error that wraps
// ErrBlocked. IPv4 addresses mapped into IPv6 are treated as what they are; a
// zone (fe80::1%eth0) is always blocked unless the address is allowed.
func (g *Guard) Check(addr netip.Addr) error {
	if !addr.IsValid() {
		return fmt.Errorf("no address: %w", ErrBlocked)
	}
	plain := addr.Unmap().WithZone("")
	if g != nil {
		for _, p := range g.Allow {
			if p.Contains(plain) {
				return nil
			}
		}
	}
	if addr.Zone() != "" {
		return fmt.Errorf("%s: address with a zone: %w", addr, ErrBlocked)
	}
	for _, b := range blocked {
		if b.prefix.Contains(plain) {
			return fmt.Errorf("%s: %s: %w", addr, b.why, ErrBlocked)
		}
	}
	if plain.Is6() && !globalUnicast.Contains(plain) {
		return fmt.Errorf("%s: not global unicast: %w", addr, ErrBlocked)
	}
	return nil
}

// globalUnicast is the part of IPv6 that IANA has opened for the Internet.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Control is for net.Dialer.Control: it sees the resolved address of each attempt.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp4", "tcp6", "udp4", "udp6":
	default:
		return fmt.Errorf("network %s: %w", network, ErrBlocked)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, ErrBlocked)
	}
	return g.Check(ap.Addr())
}

// Dialer returns a dialer whose every connection attempt passes the guard.
func (g *Guard) Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: g.Control}
}
