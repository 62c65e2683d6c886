package stream

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mellium.im/sasl"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Strengths of authentication; a later connection may not use a weaker class than one that succeeded before.
const (
	strengthNone  = iota
	strengthPlain // PLAIN, over TLS only
	strengthScram // SCRAM
	strengthBound // SCRAM with channel binding
)

// maxIterations bounds what a server may make us compute; minIterations is what RFC 7677 §4 asks for.
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

// mechanism is one way to authenticate.
type mechanism struct {
	name     string
	sasl     sasl.Mechanism
	bound    sasl.Mechanism // the -PLUS form, to tell the server that we could (GS2 flag "y")
	strength int
}

// mechanisms in order of preference.
func mechanisms() []mechanism {
	return []mechanism{
		{"SCRAM-SHA-256-PLUS", sasl.ScramSha256Plus, sasl.ScramSha256Plus, strengthBound},
		{"SCRAM-SHA-1-PLUS", sasl.ScramSha1Plus, sasl.ScramSha1Plus, strengthBound},
		{"SCRAM-SHA-256", sasl.ScramSha256, sasl.ScramSha256Plus, strengthScram},
		{"SCRAM-SHA-1", sasl.ScramSha1, sasl.ScramSha1Plus, strengthScram},
		{"PLAIN", sasl.Plain, sasl.Plain, strengthPlain},
	}
}

// authenticate runs SASL with the best mechanism that both sides have (RFC 6120 §6).
func (n *negotiation) authenticate(feats xmltok.Element) error {
	var offered []string
	list, _ := feats.Child(nsSASL, "mechanisms")
	for m := range list.Children() {
		if m.Is(nsSASL, "mechanism") {
			offered = append(offered, strings.TrimSpace(m.Text()))
		}
	}
	m, err := n.choose(offered, n.canBind(feats))
	if err != nil {
		return err
	}
	serverBinds := slices.ContainsFunc(offered, func(o string) bool { return strings.HasSuffix(o, "-PLUS") })
	mech := m.sasl
	opts := []sasl.Option{
		sasl.Credentials(func() ([]byte, []byte, []byte) { return []byte(n.s.opt.User), []byte(n.s.opt.Secret), nil }),
		sasl.RemoteMechanisms(offered...),
	}
	if n.secure != nil {
		opts = append(opts, sasl.TLSState(*n.secure))
		if m.strength == strengthScram && !serverBinds && len(bindingData(n.secure)) > 0 {
			mech = m.bound // sends "y": a server that does offer -PLUS sees that somebody cut the list (RFC 5802 §6)
		}
	}
	if err := n.exchange(m.name, sasl.NewClient(mech, opts...)); err != nil {
		return fmt.Errorf("authenticate by %s: %w", m.name, err)
	}
	n.s.mu.Lock()
	n.s.pinned = max(n.s.pinned, m.strength)
	n.s.mu.Unlock()
	return nil
}

// canBind reports whether channel binding will work: our side has the data, and the server names the type (XEP-0440). A server that names
// none is believed to know tls-unique, the type of before TLS 1.3: ejabberd 23.01 offers -PLUS on TLS 1.3 too and then refuses tls-exporter.
func (n *negotiation) canBind(feats xmltok.Element) bool {
	if len(bindingData(n.secure)) == 0 {
		return false
	}
	ours := "tls-unique"
	if n.secure.Version >= tls.VersionTLS13 {
		ours = "tls-exporter"
	}
	list, ok := feats.Child(nsCB, "sasl-channel-binding")
	if !ok {
		return n.secure.Version < tls.VersionTLS13
	}
	for c := range list.Children() {
		if c.Is(nsCB, "channel-binding") && c.Get("type") == ours {
			return true
		}
	}
	return false
}

// bindingData is what ties the authentication to the TLS connection (RFC 5929 §3, RFC 9266).
func bindingData(st *tls.ConnectionState) []byte {
	if st == nil {
		return nil
	}
	if st.Version < tls.VersionTLS13 {
		return st.TLSUnique
	}
	b, err := st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil
	}
	return b
}

// choose picks a mechanism. Without TLS, PLAIN is for loopback only.
func (n *negotiation) choose(offered []string, canBind bool) (mechanism, error) {
	n.s.mu.Lock()
	pinned := n.s.pinned
	n.s.mu.Unlock()
	var weaker bool
	for _, m := range mechanisms() {
		switch {
		case !slices.Contains(offered, m.name):
		case m.strength == strengthBound && !canBind:
		case m.strength == strengthPlain && n.secure == nil && !n.loopback:
			weaker = true
		case m.strength < pinned:
			weaker = true
		default:
			return m, nil
		}
	}
	if weaker {
		return mechanism{}, fmt.Errorf("%w: server offers only %s", ErrDowngrade, strings.Join(offered, " "))
	}
	return mechanism{}, fmt.Errorf("no common authentication mechanism: server offers %q", strings.Join(offered, " "))
}

// exchange carries the messages of one authentication.
func (n *negotiation) exchange(name string, c *sasl.Negotiator) error {
	more, resp, err := c.Step(nil)
	if err != nil {
		return err
	}
	if err := n.write([]byte("<auth xmlns='" + nsSASL + "' mechanism='" + name + "'>" + encodeSASL(resp) + "</auth>")); err != nil {
		return err
	}
	first := name != "PLAIN"
	for {
		e, err := n.next("authentication")
		if err != nil {
			return err
		}
		switch {
		case e.Is(nsSASL, "challenge"), e.Is(nsSASL, "success"):
		case e.Is(nsSASL, "failure"):
			return saslFailure(e)
		default:
			return fmt.Errorf("server answered %q", e.Name.Local)
		}
		data, err := decodeSASL(e.Text())
		if err != nil {
			return err
		}
		done := e.Name.Local == "success"
		if done && !more {
			return nil
		}
		if first {
			if done {
				return errors.New("server claims success without proof that it knows the password")
			}
			if err := checkServerFirst(data); err != nil {
				return err
			}
			first = false
		}
		if more {
			if more, resp, err = c.Step(data); err != nil {
				return fmt.Errorf("server's proof: %w", err)
			}
		}
		if done {
			if more {
				return errors.New("server ended the authentication too early")
			}
			return nil
		}
		if err := n.write([]byte("<response xmlns='" + nsSASL + "'>" + encodeSASL(resp) + "</response>")); err != nil {
			return err
		}
		resp = nil
	}
}

// checkServerFirst refuses a first message of SCRAM that is not of the form r=…,s=…,i=… (RFC 5802 §7), or asks for too little or too much work.
func checkServerFirst(b []byte) error {
	parts := bytes.Split(b, []byte(","))
	if len(parts) < 3 || !bytes.HasPrefix(parts[0], []byte("r=")) || !bytes.HasPrefix(parts[1], []byte("s=")) || !bytes.HasPrefix(parts[2], []byte("i=")) {
		return errors.New("server's challenge is not of SCRAM's form")
	}
	for _, p := range parts {
		if len(p) < 3 || p[1] != '=' {
			return errors.New("server's challenge has an empty field")
		}
	}
	i, err := strconv.Atoi(string(parts[2][2:]))
	if err != nil || i < minIterations || i > maxIterations {
		return fmt.Errorf("server asks for %q iterations, allowed are %d to %d", parts[2][2:], minIterations, maxIterations)
	}
	return nil
}

// saslFailure tells refused credentials from what may pass (RFC 6120 §6.5).
func saslFailure(e xmltok.Element) error {
	condition, text := "", ""
	for c := range e.Children() {
		if c.Is(nsSASL, "text") {
			text = c.Text()
		} else if condition == "" && c.Name.Space == nsSASL {
			condition = c.Name.Local
		}
	}
	err := fmt.Errorf("server answered %q %q", condition, text)
	switch condition {
	case "not-authorized", "account-disabled", "credentials-expired", "invalid-authzid", "malformed-request":
		return fmt.Errorf("%w: %w", ErrAuth, err)
	}
	return err
}

// encodeSASL writes an empty response as RFC 6120 §6.4.2 wants it.
func encodeSASL(b []byte) string {
	if b == nil {
		return ""
	}
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decodeSASL(s string) ([]byte, error) {
	s = strings.TrimSpace(s)
	if s == "" || s == "=" {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("server's challenge: %w", err)
	}
	return b, nil
}
