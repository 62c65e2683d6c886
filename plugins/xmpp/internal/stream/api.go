package stream

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Mode is how a session presents itself to the server.
type Mode int

// Modes.
const (
	Component Mode = iota // XEP-0114, jabber:component:accept
	Client                // RFC 6120 client-to-server stream
)

// Security says how the stream is encrypted.
type Security int

// Kinds of security.
const (
	// StartTLS upgrades a plain connection before anything else is sent (RFC 6120 §5). Components have no STARTTLS and use the
	// connection as it is. It is the default.
	StartTLS Security = iota
	// DirectTLS speaks TLS from the first byte (XEP-0368).
	DirectTLS
)

// Plaintext says where a stream may go on without TLS. Without TLS a client never uses PLAIN outside loopback, whatever is set here.
type Plaintext int

// Permissions for plain text.
const (
	PlaintextNever    Plaintext = iota // no credentials without TLS
	PlaintextLoopback                  // only if the peer's address is a loopback address; then STARTTLS is used only if the server requires it
	PlaintextAnywhere                  // the operator waived TLS, for instance inside a private network
)

// Options configure a Session. Zero values mean the default that is named at each field.
type Options struct {
	Mode     Mode
	Domain   string // component: own domain; client: domain of the account
	User     string // client: localpart of the account, unescaped
	Secret   string // component: shared secret; client: password
	Resource string // client: wanted resource; "" lets the server choose
	Address  string // host:port; a client may leave it empty to use SRV records (RFC 6120 §3.2, XEP-0368)

	Security   Security
	Plaintext  Plaintext
	RootCAs    *x509.CertPool // nil: the system's
	CAFile     string         // PEM file used instead of RootCAs; read at each connect
	ServerName string         // name expected in the certificate; default Domain

	Limits      xmltok.Limits // default xmltok.ClientLimits or xmltok.ComponentLimits
	MaxOutgoing int           // largest stanza sent, in bytes; default 256 KiB for clients, 512 KiB for components
	Queue       int           // stanzas waiting to be written; default 256
	Inbox       int           // stanzas waiting for the handler; default 256
	Unconfirmed int           // stanzas written but not yet known to be processed by the server; default 512

	ConnectTimeout time.Duration // dial, TLS, authentication and bind together; default 30 s
	WriteTimeout   time.Duration // one flush; default 30 s
	PingInterval   time.Duration // silence after which the server is asked for a sign of life; default 60 s
	PingTimeout    time.Duration // how long it may take to answer; default 30 s
	IQTimeout      time.Duration // default life of a request whose context has no deadline; default 60 s
	HandlerTimeout time.Duration // how long a full inbox is borne before the stream is dropped; default 60 s
	BackoffMin     time.Duration // first pause before a reconnect; default 1 s
	BackoffMax     time.Duration // longest pause; default 60 s

	NoResume bool // client: do not use XEP-0198

	// Software is what XEP-0092 requests are answered with; an empty Name refuses them.
	Software Software
	// Disco answers disco#info requests (XEP-0030) for an address of ours; nil, or ok false, hands the request to Handler.IQ.
	Disco func(ctx context.Context, to, node string) (info Disco, ok bool)

	// OnState is called from Run, one call at a time, at each change. It must return soon: the stream waits for it.
	OnState func(State)
	// OnLost is called from Run when a stream ended for good with stanzas on their way: they were written, and it is not known
	// whether the server processed them. Stanzas whose sender still waits in SendConfirmed are not among them.
	OnLost func([]packet.Attrs)

	Log  *slog.Logger                                                          // default: discard
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)     // default: net.Dialer
	SRV  func(ctx context.Context, service, domain string) ([]*net.SRV, error) // default: net.Resolver.LookupSRV over tcp
}

// Software answers XEP-0092 requests.
type Software struct{ Name, Version, OS string }

// Disco is the answer to a disco#info request (XEP-0030 §3.1).
type Disco struct {
	Identities []Identity
	Features   []string
	Extra      []xmltok.Element // forms of XEP-0128
}

// Identity is one identity of a disco#info answer.
type Identity struct{ Category, Type, Name string }

// Phase is where a session stands.
type Phase int

// Phases.
const (
	Down       Phase = iota // not connected; Err says why, Retry when the next attempt is made
	Connecting              // dialling or negotiating
	Up                      // stanzas flow
)

// String returns the phase in lower case.
func (p Phase) String() string { return [...]string{"down", "connecting", "up"}[p] }

// State is reported through Options.OnState.
type State struct {
	Phase   Phase
	Err     error         // Down: reason; nil at the start and after an orderly end
	Retry   time.Duration // Down: pause before the next attempt; 0 if there is none
	JID     string        // Up: full JID of a client, domain of a component
	Resumed bool          // Up: the previous stream goes on (XEP-0198); presence and rooms are still there. False: everything must be joined anew.
}

// Stats counts since New. All values only grow.
type Stats struct {
	Connects, Resumes   uint64
	Received, Sent      uint64 // stanzas
	SkippedSize         uint64 // incoming stanzas skipped for their size
	SkippedShape        uint64 // incoming stanzas skipped for depth, children or attributes
	Ignored             uint64 // incoming elements that are no stanzas, or have no sense
	ForgedReplies       uint64 // IQ results from somebody else than was asked, or never asked for
	Refused             uint64 // outgoing stanzas refused before the write
	Queued, Unconfirmed int    // now
}

// Handler receives what comes in. Its functions are called from one goroutine in the order of the stream. While one of them runs, up to
// Options.Inbox stanzas wait; then the stream is no longer read, and if that lasts for Options.HandlerTimeout it is dropped with
// ErrHandlerStuck. With XEP-0198 a stanza counts as handled when the function has returned. Calling Session.IQ from a handler is
// allowed: replies do not wait for the handler, only for a full inbox. So are Send and Start; not SendConfirmed, whose confirmation may
// stand behind a full inbox.
//
// ctx ends when Run ends. The stanza belongs to the handler.
type Handler struct {
	Message  func(ctx context.Context, m *packet.Message)
	Presence func(ctx context.Context, p *packet.Presence)
	// IQ is called for requests (get, set) only. It either returns true and has answered or will answer by Session.Send, or false: then
	// service-unavailable is sent (RFC 6120 §8.2.3). XEP-0199, XEP-0092 and disco#info are answered before, see Options.
	IQ func(ctx context.Context, iq *packet.IQ) bool
}

// Errors that callers branch on. Every error of Send, SendConfirmed and IQ wraps exactly one of ErrNotWritten and ErrMaybeWritten, if
// it is not a *packet.Error.
var (
	// ErrNotWritten: no byte of the stanza was sent; sending it again cannot duplicate it.
	ErrNotWritten = errors.New("not written")
	// ErrMaybeWritten: the stanza was at least partly written, and nobody knows whether the server processed it.
	ErrMaybeWritten = errors.New("maybe written")
	// ErrDown: the stream is not up. Always together with ErrNotWritten.
	ErrDown = errors.New("stream is down")
	// ErrRefused: the stanza breaks a rule (foreign from, size, depth, not well-formed) and would have cost the stream. Always together
	// with ErrNotWritten; sending it again is of no use.
	ErrRefused = errors.New("stanza refused")

	// ErrConflict ends Run: another instance took over the component's domain or the client's resource while the stream was live.
	ErrConflict = errors.New("replaced by another connection")
	// ErrAuth ends Run: the server refused the credentials, which it never accepted. If it did before, Run tries again later.
	ErrAuth = errors.New("credentials refused")
	// ErrNoTLS: the server offers no TLS and plain text is not allowed. Run tries again later.
	ErrNoTLS = errors.New("no TLS")
	// ErrInjected: the server's side sent plain text after <proceed/> and before TLS (CVE-2011-0411 kind). Run tries again later.
	ErrInjected = errors.New("plain text after STARTTLS")
	// ErrDowngrade: the server offers weaker authentication than before, or none that is safe. Run tries again later.
	ErrDowngrade = errors.New("authentication downgrade")
	// ErrPingTimeout: the server did not answer in time.
	ErrPingTimeout = errors.New("server does not answer")
	// ErrHandlerStuck: the handler did not take stanzas for Options.HandlerTimeout.
	ErrHandlerStuck = errors.New("handler takes no stanzas")
)
