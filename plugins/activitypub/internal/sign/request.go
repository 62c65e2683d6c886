// Package sign makes and checks what proves who sent an ActivityPub request or wrote a document: HTTP signatures by
// draft-cavage-http-signatures-12 and RFC 9421, digests by RFC 3230 and RFC 9530, and proofs inside documents by FEP-8b32.
//
// A Verifier refuses whatever a signature does not cover: the target, the host, the time, and the body by its digest. Who owns the key
// is told by the KeySource; that this is the actor of the activity is Verified.CheckActor's to say. Linked-data signatures are never
// looked at.
package sign

import (
	"crypto"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"bridgehost/sdk/web"
)

// Request is the part of an HTTP request that signatures are about.
type Request struct {
	Method string
	Target string // path and query as on the wire (RFC 9112 §3.2.1)
	Host   string // as the client named it, with the port if any
	Scheme string // for @target-uri; empty = https
	Header map[string][]string
	Body   []byte
}

// FromHTTP gives the request of a server or a client; the header is shared, so that signing a client's request changes it.
func FromHTTP(r *http.Request, body []byte) *Request {
	host, target := r.Host, r.RequestURI
	if host == "" {
		host = r.URL.Host
	}
	if target == "" {
		target = r.URL.RequestURI()
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	return &Request{Method: r.Method, Target: target, Host: host, Scheme: r.URL.Scheme, Header: r.Header, Body: body}
}

// FromWeb gives the request that the host's listener handed over.
func FromWeb(r *web.Request) *Request {
	return &Request{Method: r.Method, Target: r.Target, Host: r.Host, Header: r.Header, Body: r.Body}
}

// Form is a way to sign requests.
type Form uint8

// Forms of HTTP signatures.
const (
	Cavage  Form = iota // draft-cavage-http-signatures-12
	RFC9421             // HTTP Message Signatures
)

// String names the form, for logs and counters.
func (f Form) String() string {
	if f == RFC9421 {
		return "rfc9421"
	}
	return "cavage"
}

// Key signs requests. The signer is an *rsa.PrivateKey or an ed25519.PrivateKey.
type Key struct {
	ID     string // the URL under which the public key is found
	Signer crypto.Signer
}

// PublicKey is a key of somebody else, with whom it belongs to.
type PublicKey struct {
	ID    string
	Owner string           // id of the actor that lists the key
	Key   crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
}

// values gives the values of a header by its name in any case; the map has canonical names.
func (r *Request) values(name string) []string {
	return r.Header[textproto.CanonicalMIMEHeaderKey(name)]
}

// field joins the values of a header as both standards ask: trimmed, with a comma and a space (RFC 9421 §2.1).
func (r *Request) field(name string) (string, bool) {
	if strings.EqualFold(name, "host") {
		return r.Host, r.Host != ""
	}
	v := r.values(name)
	if len(v) == 0 {
		return "", false
	}
	if len(v) == 1 {
		return strings.TrimSpace(v[0]), true
	}
	trimmed := make([]string, len(v))
	for i := range v {
		trimmed[i] = strings.TrimSpace(v[i])
	}
	return strings.Join(trimmed, ", "), true
}

func (r *Request) set(name, value string) {
	r.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
}

func (r *Request) scheme() string {
	if r.Scheme == "" {
		return "https"
	}
	return strings.ToLower(r.Scheme)
}

// authority is the host in lower case without the default port (RFC 9421 §2.2.3).
func (r *Request) authority() string {
	h := strings.ToLower(r.Host)
	if r.scheme() == "http" {
		return strings.TrimSuffix(h, ":80")
	}
	return strings.TrimSuffix(h, ":443")
}

// hasBody says whether a digest is needed: also for a POST without a body, which would otherwise be open to one.
func (r *Request) hasBody() bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return len(r.Body) > 0
	default:
		return true
	}
}

// httpDate writes the Date header (RFC 9110 §5.6.7).
func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
