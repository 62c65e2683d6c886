package doctor

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk/netguard"
)

// Options say what to examine. Link, and Stream with the link's own settings, are required.
type Options struct {
	Link   string
	Stream stream.Options // as the link uses them; OnState, Disco and Log are replaced

	// Server is the domain of the server's users. Default: a client's own domain; for a component what is behind the first
	// dot of its domain.
	Server string
	Rooms  []string // rooms that the link uses
	Nodes  []string // pubsub services that the link uses
	Create bool     // the link makes rooms that do not exist

	Upload      string          // address of the upload service; default: searched
	Guard       *netguard.Guard // as the link uses it for uploads
	UploadPlain bool            // the link accepts http addresses of uploads

	C2S, S2S string         // host:port to examine in place of what DNS says
	Roots    *x509.CertPool // authorities; default: the system's

	// Running is the state of the link in a running bridgehost; empty when none
	// runs. With it the connection is not made.
	Running string
	Broken  bool // the link is known not to be connected, as Running tells

	Timeout time.Duration // one question; default 10 s
	Now     func() time.Time
	Lookup  Resolver // default: the system's
	Log     *slog.Logger
}

// Resolver asks DNS; *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// complete fills in defaults.
func (o *Options) complete() {
	if o.Server == "" {
		o.Server = o.Stream.Domain
		if o.component() {
			o.Server = Parent(o.Stream.Domain)
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard = netguard.New()
	}
}

// component reports whether the link is a component.
func (o *Options) component() bool { return o.Stream.Mode == stream.Component }

// Parent gives the domain of the users that a component's domain suggests:
// example.org for bridge.example.org.
func Parent(domain string) string {
	if _, rest, ok := strings.Cut(domain, "."); ok && rest != "" {
		return rest
	}
	return domain
}
