package stream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
)

// established is a negotiated connection that is ready for stanzas.
type established struct {
	flow    *flow
	managed *managed
	resumed bool
	resend  []*outItem
}

// target is one place to try.
type target struct {
	addr   string
	direct bool // TLS from the first byte
}

// network fills in the defaults for reaching the outside.
func (o *Options) network() {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if o.SRV == nil {
		o.SRV = func(ctx context.Context, service, domain string) ([]*net.SRV, error) {
			_, all, err := net.DefaultResolver.LookupSRV(ctx, service, "tcp", domain)
			return all, err
		}
	}
}

// connect dials and negotiates one connection from nothing. last is the stream to resume, or nil.
func (s *Session) connect(ctx context.Context, last *managed, inbox chan<- inItem) (*established, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.ConnectTimeout)
	defer cancel()
	targets, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, t := range targets {
		conn, err := s.opt.Dial(ctx, "tcp", t.addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("connect to %s: %w", t.addr, err))
			continue
		}
		conn = promptly(conn)
		est, err := s.negotiate(ctx, conn, t, last, inbox)
		if err == nil {
			return est, nil
		}
		_ = conn.Close()
		errs = append(errs, fmt.Errorf("negotiate with %s: %w", t.addr, err))
		if errors.Is(err, ErrAuth) || errors.Is(err, ErrDowngrade) || ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// targets are the addresses to try in order: the configured one, or those of SRV records (RFC 6120 §3.2, XEP-0368 §3), or the domain.
func (s *Session) targets(ctx context.Context) ([]target, error) {
	if s.opt.Address != "" {
		return []target{{s.opt.Address, s.opt.Security == DirectTLS}}, nil
	}
	type record struct {
		*net.SRV
		direct bool
	}
	var all []record
	for _, service := range []string{"xmpps-client", "xmpp-client"} {
		direct := service == "xmpps-client"
		if s.opt.Security == DirectTLS && !direct {
			continue
		}
		found, err := s.opt.SRV(ctx, service, s.opt.Domain)
		var dns *net.DNSError
		if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
			s.opt.Log.Debug("no SRV records", "service", service, "error", err)
		}
		for _, r := range found {
			if r.Target != "." && r.Target != "" {
				all = append(all, record{r, direct})
			}
		}
	}
	if len(all) == 0 {
		port := "5222"
		if s.opt.Security == DirectTLS {
			port = "5223"
		}
		return []target{{net.JoinHostPort(s.opt.Domain, port), s.opt.Security == DirectTLS}}, nil
	}
	slices.SortStableFunc(all, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	var out []target
	for _, r := range all {
		out = append(out, target{net.JoinHostPort(r.Target, strconv.Itoa(int(r.Port))), r.direct})
	}
	return out, nil
}

// negotiate takes a fresh connection to the point where stanzas may be sent. The connection is closed by the caller on an error.
func (s *Session) negotiate(ctx context.Context, conn net.Conn, t target, last *managed, inbox chan<- inItem) (*established, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	n := &negotiation{s: s, conn: conn, loopback: isLoopback(conn)}
	if t.direct {
		if err := n.tls(ctx); err != nil {
			return nil, err
		}
	}
	var est *established
	var err error
	if s.opt.Mode == Component {
		est, err = n.component()
	} else {
		est, err = n.client(ctx, last, inbox)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		return nil, err
	}
	if !stop() {
		return nil, fmt.Errorf("negotiation took too long: %w", context.Cause(ctx))
	}
	return est, nil
}

// mayBePlain reports whether the connection may be used without TLS.
func (n *negotiation) mayBePlain() bool {
	return n.s.opt.Plaintext == PlaintextAnywhere || n.s.opt.Plaintext == PlaintextLoopback && n.loopback
}

// isLoopback looks at the address that the connection really has.
func isLoopback(conn net.Conn) bool {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// tls upgrades the connection and starts over with a new scanner, so that nothing read in clear is taken as protected.
func (n *negotiation) tls(ctx context.Context) error {
	cfg := &tls.Config{ServerName: n.s.opt.ServerName, RootCAs: n.s.opt.RootCAs, MinVersion: tls.VersionTLS12}
	if n.s.opt.Mode == Client {
		cfg.NextProtos = []string{"xmpp-client"} // XEP-0368 §4
	}
	if n.split != nil {
		cfg.NextProtos = nil // STARTTLS has no ALPN
	}
	if n.s.opt.CAFile != "" {
		pem, err := os.ReadFile(n.s.opt.CAFile)
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read certificates of %s: no PEM certificate in it", n.s.opt.CAFile)
		}
	}
	c := tls.Client(n.conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS with %s: %w", cfg.ServerName, err)
	}
	st := c.ConnectionState()
	n.conn, n.secure, n.split = c, &st, nil
	return nil
}

// newFlow makes the live connection of a finished negotiation.
func (n *negotiation) newFlow(jid string, m *managed) *flow {
	s := n.s
	f := &flow{
		s: s, conn: n.conn, split: n.split, secure: n.secure != nil, jid: jid, managed: m,
		queue: make(chan *outItem, s.opt.Queue), urgent: make(chan *outItem, maxUrgent), nonza: make(chan []byte, 4),
		kick: make(chan struct{}, 1), done: make(chan struct{}), drained: make(chan struct{}),
	}
	f.rules = packet.Rules{Space: n.space(), MaxSize: s.opt.MaxOutgoing}
	if s.opt.Mode == Component {
		f.rules.Domain = s.opt.Domain
	} else {
		f.rules.Account = jid
		s.iqs.bound(jid)
	}
	return f
}
