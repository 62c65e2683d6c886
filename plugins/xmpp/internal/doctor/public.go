package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

const (
	nsServer = "jabber:server"
	nsTLS    = "urn:ietf:params:xml:ns:xmpp-tls"
)

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

// private are top-level domains that DNS does not have (RFC 2606, RFC 6761, RFC 8375, ICANN 2024).
var private = []string{"test", "localhost", "local", "internal", "invalid", "example", "lan", "home.arpa", "onion"}

// isPublic reports whether DNS can have a domain.
func isPublic(domain string) bool {
	if _, err := netip.ParseAddr(domain); err == nil || !strings.Contains(domain, ".") {
		return false
	}
	return !slices.ContainsFunc(private, func(tld string) bool { return domain == tld || strings.HasSuffix(domain, "."+tld) })
}

// public checks what other servers and clients see: DNS, ports and certificates.
func public(ctx context.Context, o *Options, r *Report) {
	endpoint(ctx, o, r, "c2s", o.C2S, "xmpp-client", "5222", packet.NSClient)
	endpoint(ctx, o, r, "s2s", o.S2S, "xmpp-server", "5269", nsServer)
	if !o.component() || !isPublic(o.Stream.Domain) {
		return
	}
	addresses, _, err := locate(ctx, o, "xmpp-server", o.Stream.Domain, "5269")
	if err != nil {
		r.add("dns", o.Stream.Domain, Warn, "has no address in DNS, so that people of other servers cannot write to it",
			Remedy{Server: "dns", Where: "the zone of " + Parent(o.Stream.Domain), Lines: []string{"_xmpp-server._tcp." + o.Stream.Domain + ". IN SRV 0 5 5269 " + o.Server + "."}})
		return
	}
	r.add("dns", o.Stream.Domain, OK, "other servers find it at "+strings.Join(addresses, ", "))
}

// endpoint examines the port for clients or for servers.
func endpoint(ctx context.Context, o *Options, r *Report, check, fixed, service, port, space string) {
	addresses := []string{fixed}
	if fixed == "" {
		if !isPublic(o.Server) {
			r.add(check, o.Server, Skip, "is no public domain; name its address with --"+check+" to examine it")
			return
		}
		var srv bool
		var err error
		if addresses, srv, err = locate(ctx, o, service, o.Server, port); err != nil {
			r.add(check, o.Server, Fail, "has no address in DNS: "+cause(err),
				Remedy{Server: "dns", Where: "the zone of " + o.Server, Lines: []string{"_" + service + "._tcp." + o.Server + ". IN SRV 0 5 " + port + " " + o.Server + "."}})
			return
		}
		if !srv {
			r.add("dns", o.Server, OK, "has no SRV record for "+service+"; its own address is used")
		}
	}
	var last error
	for _, address := range addresses {
		if last = starttls(ctx, o, r, check, address, space); last == nil {
			return
		}
	}
	r.add(check, strings.Join(addresses, ", "), Fail, said(last), endpointRemedies(check, port)...)
}

func endpointRemedies(check, port string) []Remedy {
	if check == "s2s" {
		return []Remedy{
			prosody("the global part", "s2s_ports = { "+port+" }", modules("s2s", "tls", "dialback", "s2s_auth_certs")).remark(beside),
			ejabberd("listen:", "-", "  port: "+port, "  module: ejabberd_s2s_in").remark("and at the top level: s2s_use_starttls: optional"),
		}
	}
	return []Remedy{
		prosody("the global part", "c2s_ports = { "+port+" }", modules("c2s", "tls")).remark(beside),
		ejabberd("listen:", "-", "  port: "+port, "  module: ejabberd_c2s", "  starttls: true"),
	}
}

// locate gives the addresses of a service (RFC 6120 §3.2), and whether SRV records name them.
func locate(ctx context.Context, o *Options, service, domain, port string) (addresses []string, srv bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if _, records, err := o.Lookup.LookupSRV(ctx, service, "tcp", domain); err == nil {
		for _, rec := range records {
			if rec.Target != "." {
				addresses = append(addresses, net.JoinHostPort(strings.TrimSuffix(rec.Target, "."), strconv.Itoa(int(rec.Port))))
			}
		}
	}
	if len(addresses) > 0 {
		return addresses, true, nil
	}
	if _, err := o.Lookup.LookupHost(ctx, domain); err != nil {
		return nil, false, err
	}
	return []string{net.JoinHostPort(domain, port)}, false, nil
}

// starttls opens a stream, upgrades it and examines the certificate. An error
// means that the address gives no stream; all else becomes findings.
func starttls(ctx context.Context, o *Options, r *Report, check, address, space string) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := dial(ctx, o, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is at stake
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	offered, err := upgrade(conn, o.Server, space)
	if err != nil {
		return err
	}
	if !offered {
		r.add(check, address, Fail, "is open, but offers no encryption", tlsRemedies(check)...)
		return nil
	}
	// The chain is verified below, where the reason of a failure can be told.
	t := tls.Client(conn, &tls.Config{ServerName: o.Server, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // verified by certificate
	if err := t.HandshakeContext(ctx); err != nil {
		r.add(check, address, Fail, "is open, but TLS does not work: "+cause(err), certificateRemedies(o.Server)...)
		return nil
	}
	r.add(check, address, OK, "is open and encrypted")
	certificate(o, r, check, t.ConnectionState().PeerCertificates)
	return nil
}

func tlsRemedies(check string) []Remedy {
	module := map[string]string{"c2s": "ejabberd_c2s", "s2s": "ejabberd_s2s_in"}[check]
	lines := []string{"-", "  module: " + module, "  starttls: true"}
	if check == "s2s" {
		return []Remedy{prosody("the global part", modules("tls")).remark(beside), ejabberd("the top level", "s2s_use_starttls: optional")}
	}
	return []Remedy{prosody("the global part", modules("tls")).remark(beside), ejabberd("listen:", lines...)}
}

// upgrade opens a stream and asks for TLS (RFC 6120 §4.2, §5.4.2). It reports
// whether the server offers it.
func upgrade(conn net.Conn, domain, space string) (bool, error) {
	b := []byte("<?xml version='1.0'?><stream:stream xmlns='" + space + "' xmlns:stream='" + packet.NSStream + "' version='1.0'")
	b = xmltok.AppendAttr(b, "to", domain)
	if _, err := conn.Write(append(b, '>')); err != nil {
		return false, fmt.Errorf("write stream header: %w", err)
	}
	split := xmltok.NewSplitter(conn, xmltok.ClientLimits())
	for {
		p, err := split.Next()
		if err != nil {
			return false, fmt.Errorf("read stream: %w", err)
		}
		if p.Kind == xmltok.End {
			return false, errors.New("the server closed the stream")
		}
		e := p.Element
		switch {
		case e.Is(packet.NSStream, "error"):
			return false, errors.New("the server refuses the stream: " + streamCondition(e))
		case e.Is(packet.NSStream, "features"):
			if _, ok := e.Child(nsTLS, "starttls"); !ok {
				return false, nil
			}
			if _, err := conn.Write([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
				return false, fmt.Errorf("ask for TLS: %w", err)
			}
		case e.Is(nsTLS, "proceed"):
			return true, nil
		case e.Is(nsTLS, "failure"):
			return false, errors.New("the server refuses TLS")
		}
	}
}

// streamCondition is the defined condition of a stream error (RFC 6120 §4.9.2).
func streamCondition(e xmltok.Element) string {
	for c := range e.Children() {
		if c.Name.Local != "text" {
			return c.Name.Local
		}
	}
	return "no reason given"
}

// certificate examines a chain: authority, names, end.
func certificate(o *Options, r *Report, check string, chain []*x509.Certificate) {
	if len(chain) == 0 {
		r.add(check+"-cert", o.Server, Fail, "no certificate", certificateRemedies(o.Server)...)
		return
	}
	leaf, now := chain[0], o.Now()
	left := leaf.NotAfter.Sub(now)
	ends := leaf.NotAfter.UTC().Format("2006-01-02")
	if left <= 0 {
		r.add(check+"-cert", o.Server, Fail, "the certificate ended on "+ends, certificateRemedies(o.Server)...)
		return
	}
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: o.Server, Roots: o.Roots, Intermediates: rest, CurrentTime: now})
	var name x509.HostnameError
	switch {
	case errors.As(err, &name):
		r.add(check+"-cert", o.Server, Fail, "the certificate is for "+strings.Join(leaf.DNSNames, ", "), certificateRemedies(o.Server)...)
	case err != nil:
		r.add(check+"-cert", o.Server, Fail, "the certificate is not believed: "+err.Error(), certificateRemedies(o.Server)...)
	case left < soon:
		r.add(check+"-cert", o.Server, Warn, fmt.Sprintf("the certificate ends on %s, in %d days", ends, int(left.Hours()/24)), certificateRemedies(o.Server)...)
	default:
		r.add(check+"-cert", o.Server, OK, "the certificate is valid until "+ends)
	}
	if check == "s2s" && o.component() && isPublic(o.Stream.Domain) && leaf.VerifyHostname(o.Stream.Domain) != nil {
		r.add("s2s-cert", o.Stream.Domain, Warn, "the certificate does not name it, so that servers that insist on certificates do not connect", certificateRemedies(o.Server, o.Stream.Domain)...)
	}
}
