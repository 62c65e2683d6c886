// Package seal checks and makes the signatures of webhooks: HMACs over the raw
// body by the rules of GitHub, Gitea, Standard Webhooks, or a generic header.
package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Names of schemes.
const (
	GitHub   = "github"   // X-Hub-Signature-256: sha256=HEX
	Gitea    = "gitea"    // X-Gitea-Signature: HEX
	Standard = "standard" // webhook-signature: v1,BASE64 over id.timestamp.body
	Generic  = "generic"  // a header of the operator's choice
)

// Schemes are the names that a configuration may give.
var Schemes = []string{GitHub, Gitea, Standard, Generic}

// Options describe a scheme. Only Generic uses the fields from Header on.
type Options struct {
	Scheme  string
	Secrets []string // the first makes signatures, any of them may have made one
	Window  time.Duration
	Header  string
	Prefix  string
	// Algorithm is sha256 or sha512; empty = sha256. SHA-1 is not offered.
	Algorithm string
	// Encoding is hex or base64; empty = hex.
	Encoding string
	// TimeHeader, when set, holds seconds since 1970, and the signature covers
	// TIMESTAMP.BODY.
	TimeHeader string
}

// Scheme checks signatures. It is safe for use by many goroutines.
type Scheme struct {
	opt  Options
	keys [][]byte
	hash func() hash.Hash
}

// Refusal says why a signature does not count; the answer is 401.
type Refusal struct {
	Detail string
	Remedy string
}

// Error gives the detail.
func (r *Refusal) Error() string { return r.Detail }

// Signed tells what a valid signature covers.
type Signed struct {
	// Once holds names that no second request may bring: the delivery id,
	// and, where the signature does not cover an id, the signature itself.
	Once []string
}

// New makes a scheme. The error names what to change.
func New(opt Options) (*Scheme, error) {
	s := &Scheme{hash: sha256.New}
	if len(opt.Secrets) == 0 {
		return nil, fmt.Errorf("scheme %s: a secret is missing", opt.Scheme)
	}
	for _, secret := range opt.Secrets {
		key := []byte(secret)
		if opt.Scheme == Standard {
			// Standard Webhooks, "Symmetric": the secret is base64 behind whsec_.
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
			if err != nil {
				return nil, fmt.Errorf("scheme %s: the secret is not base64; it looks like whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", opt.Scheme)
			}
			key = raw
		}
		if len(key) < 8 {
			return nil, fmt.Errorf("scheme %s: the secret is shorter than 8 bytes; make one with openssl rand -hex 32", opt.Scheme)
		}
		s.keys = append(s.keys, key)
	}
	opt.Secrets = nil
	switch opt.Scheme {
	case GitHub:
		opt.Header, opt.Prefix, opt.Encoding, opt.TimeHeader = "X-Hub-Signature-256", "sha256=", "hex", ""
	case Gitea:
		opt.Header, opt.Prefix, opt.Encoding, opt.TimeHeader = "X-Gitea-Signature", "", "hex", ""
	case Standard:
		opt.Header, opt.Prefix, opt.Encoding, opt.TimeHeader = "Webhook-Signature", "v1,", "base64", "Webhook-Timestamp"
	case Generic:
		if opt.Header == "" {
			return nil, fmt.Errorf("scheme %s: the name of the header is missing", opt.Scheme)
		}
		switch opt.Algorithm {
		case "", "sha256":
		case "sha512":
			s.hash = sha512.New
		default:
			return nil, fmt.Errorf("scheme %s: algorithm %q is not offered; use sha256 or sha512", opt.Scheme, opt.Algorithm)
		}
		if opt.Encoding != "" && opt.Encoding != "hex" && opt.Encoding != "base64" {
			return nil, fmt.Errorf("scheme %s: encoding %q is not known; use hex or base64", opt.Scheme, opt.Encoding)
		}
	default:
		return nil, fmt.Errorf("scheme %q is not known; use one of %s", opt.Scheme, strings.Join(Schemes, ", "))
	}
	opt.Header, opt.TimeHeader = http.CanonicalHeaderKey(opt.Header), http.CanonicalHeaderKey(opt.TimeHeader)
	s.opt = opt
	return s, nil
}

// Verify checks the signature of a request at the time now. Names of headers
// are canonical. The error is a *Refusal; it never tells what would be right.
func (s *Scheme) Verify(header map[string][]string, body []byte, now time.Time) (Signed, error) {
	values := header[s.opt.Header]
	switch {
	case len(values) == 0:
		return Signed{}, s.missing(header)
	case len(values) > 1:
		return Signed{}, &Refusal{"there are two " + s.opt.Header + " headers", "send one"}
	}
	var id, stamp string
	if s.opt.TimeHeader != "" {
		var err error
		if stamp, err = s.timestamp(header, now); err != nil {
			return Signed{}, err
		}
	}
	if s.opt.Scheme == Standard {
		ids := header["Webhook-Id"]
		if len(ids) != 1 || ids[0] == "" || len(ids[0]) > 256 || strings.Contains(ids[0], ".") {
			return Signed{}, &Refusal{"there is not exactly one usable webhook-id header", "send one id without a dot, as Standard Webhooks says"}
		}
		id = ids[0]
	}
	if !s.match(s.candidates(values[0]), id, stamp, body) {
		return Signed{}, &Refusal{"signature mismatch", "check the secret; the signature covers the body as it was sent, byte for byte"}
	}
	return Signed{Once: s.once(header, id, values[0])}, nil
}

func (s *Scheme) missing(header map[string][]string) *Refusal {
	if s.opt.Scheme == GitHub && len(header["X-Hub-Signature"]) > 0 {
		return &Refusal{"there is only a SHA-1 signature, which is not accepted", "send X-Hub-Signature-256 as well"}
	}
	return &Refusal{"the header " + s.opt.Header + " is missing", "set the hook's secret at the sender"}
}

func (s *Scheme) timestamp(header map[string][]string, now time.Time) (string, error) {
	values := header[s.opt.TimeHeader]
	if len(values) != 1 {
		return "", &Refusal{"there is not exactly one " + s.opt.TimeHeader + " header", "send one, in seconds since 1970"}
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != values[0] {
		return "", &Refusal{"the " + s.opt.TimeHeader + " is no number of seconds", "send seconds since 1970"}
	}
	if age := now.Sub(time.Unix(n, 0)); age > s.opt.Window || age < -s.opt.Window {
		return "", &Refusal{fmt.Sprintf("the %s is more than %s off", s.opt.TimeHeader, s.opt.Window), "check the sender's clock; a message cannot be sent again later"}
	}
	return values[0], nil
}

// candidates gives the decoded signatures in a header value. Standard Webhooks
// allows several, separated by spaces, while a secret is being changed.
func (s *Scheme) candidates(value string) [][]byte {
	parts := []string{value}
	if s.opt.Scheme == Standard {
		parts = strings.Fields(value)
	}
	var out [][]byte
	for _, p := range parts[:min(len(parts), 8)] {
		text, ok := strings.CutPrefix(p, s.opt.Prefix)
		if !ok {
			continue
		}
		var mac []byte
		var err error
		if s.opt.Encoding == "base64" {
			mac, err = base64.StdEncoding.DecodeString(text)
		} else {
			mac, err = hex.DecodeString(text)
		}
		if err == nil {
			out = append(out, mac)
		}
	}
	return out
}

// match compares in constant time; every key is tried.
func (s *Scheme) match(macs [][]byte, id, stamp string, body []byte) bool {
	found := false
	for _, key := range s.keys {
		want := s.mac(key, id, stamp, body)
		for _, mac := range macs {
			if hmac.Equal(mac, want) {
				found = true
			}
		}
	}
	return found
}

func (s *Scheme) mac(key []byte, id, stamp string, body []byte) []byte {
	m := hmac.New(s.hash, key)
	if s.opt.Scheme == Standard {
		m.Write([]byte(id + "."))
	}
	if s.opt.TimeHeader != "" {
		m.Write([]byte(stamp + "."))
	}
	m.Write(body)
	return m.Sum(nil)
}

// once names what must not come again. GitHub and Gitea do not sign the
// delivery id, so that only the signature itself shows a replay under a new id.
func (s *Scheme) once(header map[string][]string, id, value string) []string {
	switch s.opt.Scheme {
	case Standard:
		return []string{"id:" + id}
	case GitHub:
		return withID(header["X-Github-Delivery"], "mac:"+strings.ToLower(value))
	case Gitea:
		return withID(header["X-Gitea-Delivery"], "mac:"+strings.ToLower(value))
	default:
		if s.opt.Encoding != "base64" {
			value = strings.ToLower(value)
		}
		return []string{"mac:" + value}
	}
}

func withID(ids []string, mac string) []string {
	if len(ids) == 0 || ids[0] == "" {
		return []string{mac}
	}
	return []string{"id:" + ids[0], mac}
}

// Sign gives the headers of a request that this scheme's Verify accepts. id is
// the delivery's; only Standard uses it.
func (s *Scheme) Sign(id string, body []byte, now time.Time) map[string]string {
	out := map[string]string{}
	stamp := ""
	if s.opt.TimeHeader != "" {
		stamp = strconv.FormatInt(now.Unix(), 10)
		out[s.opt.TimeHeader] = stamp
	}
	if s.opt.Scheme == Standard {
		out["Webhook-Id"] = id
	}
	mac := s.mac(s.keys[0], id, stamp, body)
	if s.opt.Encoding == "base64" {
		out[s.opt.Header] = s.opt.Prefix + base64.StdEncoding.EncodeToString(mac)
	} else {
		out[s.opt.Header] = s.opt.Prefix + hex.EncodeToString(mac)
	}
	return out
}

// BodyOnly reports that a signature covers neither an id nor a time, and that
// the scheme knows no header for an id: only an equal body shows a replay.
func (s *Scheme) BodyOnly() bool { return s.opt.Scheme == Generic }
