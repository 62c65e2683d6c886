package stream

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

const (
	nsTLS  = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind = "urn:ietf:params:xml:ns:xmpp-bind"
	nsCB   = "urn:xmpp:sasl-cb:0"
)

// negotiation is the state of one connection until stanzas flow. It is made anew for every connection.
type negotiation struct {
	s        *Session
	conn     net.Conn
	split    *xmltok.Splitter // nil before the first header on the current transport
	secure   *tls.ConnectionState
	loopback bool
}

func (n *negotiation) space() string {
	if n.s.opt.Mode == Component {
		return packet.NSComponent
	}
	return packet.NSClient
}

func (n *negotiation) write(b []byte) error {
	_, err := n.conn.Write(b)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// open sends our stream header and reads the server's (RFC 6120 §4.7).
func (n *negotiation) open() (xmltok.Element, error) {
	b := []byte("<?xml version='1.0'?><stream:stream xmlns='" + n.space() + "' xmlns:stream='" + packet.NSStream + "'")
	b = xmltok.AppendAttr(b, "to", n.s.opt.Domain)
	if n.s.opt.Mode == Client {
		b = append(b, " version='1.0'"...)
	}
	if err := n.write(append(b, '>')); err != nil {
		return xmltok.Element{}, err
	}
	if n.split == nil {
		n.split = xmltok.NewSplitter(n.conn, n.s.opt.Limits)
	} else {
		n.split.Restart()
	}
	p, err := n.split.Next()
	if err != nil {
		return xmltok.Element{}, fmt.Errorf("read stream header: %w", err)
	}
	if p.Kind != xmltok.Header || !p.Element.Is(packet.NSStream, "stream") {
		return xmltok.Element{}, errors.New("read stream header: not an XMPP stream")
	}
	return p.Element, nil
}

// next reads one element; a stream error is an error.
func (n *negotiation) next(what string) (xmltok.Element, error) {
	p, err := n.split.Next()
	switch {
	case errors.Is(err, io.EOF):
		return xmltok.Element{}, fmt.Errorf("wait for %s: server closed the connection: %w", what, io.ErrUnexpectedEOF)
	case err != nil:
		return xmltok.Element{}, fmt.Errorf("wait for %s: %w", what, err)
	case p.Kind == xmltok.End:
		return xmltok.Element{}, fmt.Errorf("wait for %s: %w", what, errClosed)
	case p.Kind != xmltok.Stanza:
		return xmltok.Element{}, fmt.Errorf("wait for %s: unexpected element of %d bytes", what, p.Size)
	case p.Element.Is(packet.NSStream, "error"):
		return xmltok.Element{}, fmt.Errorf("wait for %s: %w", what, streamError(p.Element))
	}
	return p.Element, nil
}

// component authenticates by XEP-0114 §3.
func (n *negotiation) component() (*established, error) {
	if n.secure == nil && !n.mayBePlain() {
		return nil, fmt.Errorf("%w: the component protocol is not encrypted, and plain text is allowed neither for %s nor everywhere", ErrNoTLS, n.conn.RemoteAddr())
	}
	head, err := n.open()
	if err != nil {
		return nil, err
	}
	id := head.Get("id")
	if id == "" { // the reason follows, host-unknown for instance
		if _, err := n.next("stream id"); err != nil {
			return nil, err
		}
		return nil, errors.New("server gave no stream id")
	}
	sum := sha1.Sum([]byte(id + n.s.opt.Secret))
	if err := n.write([]byte("<handshake>" + hex.EncodeToString(sum[:]) + "</handshake>")); err != nil {
		return nil, err
	}
	e, err := n.next("handshake")
	if err != nil {
		var se *Error
		if errors.As(err, &se) && se.Condition == "not-authorized" {
			return nil, fmt.Errorf("%w: %w", ErrAuth, err)
		}
		return nil, err
	}
	if !e.Is(packet.NSComponent, "handshake") {
		return nil, fmt.Errorf("handshake answered by %q", e.Name.Local)
	}
	m := &managed{jid: n.s.opt.Domain}
	return &established{flow: n.newFlow(n.s.opt.Domain, m), managed: m}, nil
}

// features opens a stream and reads what the server offers.
func (n *negotiation) features() (xmltok.Element, error) {
	if _, err := n.open(); err != nil {
		return xmltok.Element{}, err
	}
	e, err := n.next("stream features")
	if err == nil && !e.Is(packet.NSStream, "features") {
		return e, fmt.Errorf("wait for stream features: got %q", e.Name.Local)
	}
	return e, err
}

// client negotiates TLS, authentication, and a resource or a resumption (RFC 6120 §5–7, XEP-0198).
func (n *negotiation) client(ctx context.Context, last *managed, inbox chan<- inItem) (*established, error) {
	feats, err := n.features()
	if err != nil {
		return nil, err
	}
	if n.secure == nil {
		if feats, err = n.startTLS(ctx, feats); err != nil {
			return nil, err
		}
	}
	if err := n.authenticate(feats); err != nil {
		return nil, err
	}
	if feats, err = n.features(); err != nil {
		return nil, err
	}
	_, offered := feats.Child(nsSM, "sm")
	if last != nil && offered {
		est, err := n.resume(ctx, last, inbox)
		if est != nil || err != nil {
			return est, err
		}
	}
	m := &managed{}
	if m.jid, err = n.bind(feats); err != nil {
		return nil, err
	}
	if offered && !n.s.opt.NoResume {
		if err := n.enable(m); err != nil {
			return nil, err
		}
	}
	return &established{flow: n.newFlow(m.jid, m), managed: m}, nil
}

// startTLS upgrades the connection and returns the features offered on the protected stream (RFC 6120 §5.4).
func (n *negotiation) startTLS(ctx context.Context, feats xmltok.Element) (xmltok.Element, error) {
	offer, ok := feats.Child(nsTLS, "starttls")
	_, required := offer.Child(nsTLS, "required")
	if !ok {
		if n.mayBePlain() {
			return feats, nil
		}
		return feats, fmt.Errorf("%w: server offers no STARTTLS", ErrNoTLS)
	}
	if n.mayBePlain() && n.loopback && !required {
		return feats, nil
	}
	if err := n.write([]byte("<starttls xmlns='" + nsTLS + "'/>")); err != nil {
		return feats, err
	}
	e, err := n.next("proceed")
	if err != nil {
		return feats, err
	}
	if !e.Is(nsTLS, "proceed") {
		return feats, fmt.Errorf("%w: server answered %q to STARTTLS", ErrNoTLS, e.Name.Local)
	}
	if n.split.Buffered() > 0 {
		return feats, ErrInjected
	}
	if err := n.tls(ctx); err != nil {
		return feats, err
	}
	return n.features()
}

// request sends an iq during negotiation and returns the answer to it.
func (n *negotiation) request(id, payload string) (*packet.IQ, error) {
	if err := n.write([]byte("<iq type='set' id='" + id + "'>" + payload + "</iq>")); err != nil {
		return nil, err
	}
	for {
		e, err := n.next("answer to " + id)
		if err != nil {
			return nil, err
		}
		st, err := packet.Decode(e)
		if err != nil {
			return nil, fmt.Errorf("wait for answer to %s: got %q", id, e.Name.Local)
		}
		iq, ok := st.(*packet.IQ)
		if !ok || iq.ID != id || iq.IsRequest() {
			continue
		}
		if iq.Type == "error" {
			return nil, refusal(iq)
		}
		return iq, nil
	}
}

// bind asks for a resource (RFC 6120 §7).
func (n *negotiation) bind(feats xmltok.Element) (string, error) {
	if _, ok := feats.Child(nsBind, "bind"); !ok {
		return "", errors.New("server offers no resource binding")
	}
	payload := "<bind xmlns='" + nsBind + "'/>"
	if n.s.opt.Resource != "" {
		payload = "<bind xmlns='" + nsBind + "'><resource>" + string(xmltok.AppendText(nil, n.s.opt.Resource)) + "</resource></bind>"
	}
	iq, err := n.request("bind", payload)
	if err != nil {
		return "", fmt.Errorf("bind resource: %w", err)
	}
	full := iq.Payload.ChildText(nsBind, "jid")
	j, err := packet.ParseJID(full)
	if err != nil || j.Resourcepart() == "" {
		return "", fmt.Errorf("bind resource: server gave %q as address", full)
	}
	// RFC 3921 servers want a session; RFC 6121 §1.4 marks it optional, and then it is not asked for.
	if sess, ok := feats.Child("urn:ietf:params:xml:ns:xmpp-session", "session"); ok {
		if _, optional := sess.Child("urn:ietf:params:xml:ns:xmpp-session", "optional"); !optional {
			if _, err := n.request("session", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"); err != nil {
				return "", fmt.Errorf("start session: %w", err)
			}
		}
	}
	return j.String(), nil
}

// enable turns on acknowledgements (XEP-0198 §3). A refusal is no error. Nothing that is counted can come before the answer, since we
// have sent no presence and no requests.
func (n *negotiation) enable(m *managed) error {
	if err := n.write([]byte("<enable xmlns='" + nsSM + "' resume='true'/>")); err != nil {
		return err
	}
	for {
		e, err := n.next("enabled")
		if err != nil {
			return err
		}
		switch {
		case e.Is(nsSM, "enabled"):
			m.sm = true
			if r := e.Get("resume"); r == "true" || r == "1" {
				m.id = e.Get("id")
			}
			return nil
		case e.Is(nsSM, "failed"):
			return nil
		case e.Name.Space == nsSM:
			return fmt.Errorf("wait for enabled: got %q", e.Name.Local)
		}
		n.s.counts.ignored.Add(1) // addressed to us before any presence, for instance a stray answer
	}
}

// resume takes up the last stream (XEP-0198 §5). It returns nothing if the server has forgotten it; then the negotiation goes on.
func (n *negotiation) resume(ctx context.Context, last *managed, inbox chan<- inItem) (*established, error) {
	// What was received must be handled before it is acknowledged, and else would come again.
	idle := make(chan struct{})
	select {
	case inbox <- inItem{run: func() { close(idle) }}:
	case <-ctx.Done():
		return nil, fmt.Errorf("resume: %w: %w", ErrHandlerStuck, ctx.Err())
	}
	select {
	case <-idle:
	case <-ctx.Done():
		return nil, fmt.Errorf("resume: %w: %w", ErrHandlerStuck, ctx.Err())
	}
	b := []byte("<resume xmlns='" + nsSM + "'")
	b = xmltok.AppendAttr(b, "h", strconv.FormatUint(uint64(last.handled.Load()), 10))
	b = xmltok.AppendAttr(b, "previd", last.id)
	if err := n.write(append(b, "/>"...)); err != nil {
		return nil, err
	}
	e, err := n.next("resumed")
	if err != nil {
		return nil, err
	}
	h, herr := strconv.ParseUint(e.Get("h"), 10, 32)
	switch {
	case e.Is(nsSM, "failed"):
		if herr == nil {
			last.ledger.ack(uint32(h))
		}
		return nil, nil
	case !e.Is(nsSM, "resumed"), herr != nil, e.Get("previd") != last.id, !last.ledger.ack(uint32(h)):
		last.id = "" // never try this one again
		return nil, fmt.Errorf("resume: server answered %q with h=%q", e.Name.Local, e.Get("h"))
	}
	return &established{flow: n.newFlow(last.jid, last), managed: last, resumed: true, resend: last.ledger.snapshot()}, nil
}
