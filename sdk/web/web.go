// Package web is the facet of links that answer HTTP on the host's public
// listener. Requests cross the plugin border as a whole, so bodies are bounded.
package web

import (
	"context"
	"net/netip"
)

// Route is a part of the host's public listener that a link asks for.
type Route struct {
	// Prefix begins with a slash. The longest prefix wins; the same prefix at
	// two links is a fault of the configuration.
	Prefix string
	// Methods that are answered; others get 405 with Allow. Empty = all.
	Methods []string
	// MaxBody bounds the body in bytes; more gets 413 before it is read.
	MaxBody int64
	// Tokens, when not empty, are SHA-256 digests of secrets. The request
	// must carry one of them, as the path's segment after Prefix or as
	// Authorization: Bearer; the host compares in constant time, before it
	// reads the body, and answers 404 for a wrong token in the path and 401
	// for a wrong or missing one elsewhere. The token itself never crosses
	// the border nor enters a log: Request.Token holds its digest, and the
	// segment is cut out of Request.Path.
	Tokens [][32]byte
	// PerMinute bounds the requests of one token (or, without tokens, one
	// client address) in a minute; 0 = no bound of its own.
	PerMinute int
}

// Request is one HTTP request.
type Request struct {
	Method string
	Path   string // below Route.Prefix, without the token's segment; begins with a slash or is empty
	Prefix string // of the route that took it
	Target string // path and query as they came over the wire (RFC 9112 §3.2.1), for signatures; empty where a token was cut out
	Host   string // as the client named it, with the port if any
	Query  map[string][]string
	Header map[string][]string // canonical names; Authorization and Cookie are left out
	Body   []byte
	Client netip.Addr // the real client, by trusted_proxies
	Token  [32]byte   // digest of the token, zero when the route has none
}

// Get gives the first value of a header, empty when it is missing; name must be
// in canonical form.
func (r *Request) Get(name string) string {
	if v := r.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Response answers a Request.
type Response struct {
	Status int
	Header map[string][]string
	Body   []byte
}

// Handler is the facet. WebRoutes is asked once after Open; ServeWeb must
// return before ctx ends. An error becomes 503 with Retry-After when its kind
// is temporary, else 500.
type Handler interface {
	WebRoutes() []Route
	ServeWeb(ctx context.Context, r *Request) (*Response, error)
}

// Faceted is implemented by links whose abilities are known only at run time.
type Faceted interface {
	Web() Handler // nil when the link answers no HTTP
}

// HandlerOf detects the facet of a link; nil when it has none.
func HandlerOf(link any) Handler {
	if f, ok := link.(Faceted); ok {
		return f.Web()
	}
	h, _ := link.(Handler)
	return h
}
