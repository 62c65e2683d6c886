// Package fetch is the client side of ActivityPub over HTTP: it reads documents, keys, collections and WebFinger, and posts activities.
//
// Whatever a stranger can make it do is bounded: addresses by netguard, bytes after inflating, time, redirects, pages, requests to one
// domain, and memory of the cache. A document is only given out if it comes from where its id points (FEP-fe34). GET requests are signed
// by the instance actor, in the form that the host took before ("double knock"), and never on to another host.
package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// Reason says why a request was refused or failed; it is fit for a counter's label.
type Reason string

// Reasons.
const (
	BadURL      Reason = "bad_url"      // no http or https URL that may be asked
	OwnHost     Reason = "own_host"     // we do not ask ourselves
	Blocked     Reason = "blocked"      // netguard.ErrBlockedAddr is in the chain
	Redirects   Reason = "redirects"    // too many, a loop, or another scheme
	ContentType Reason = "content_type" // not that of a document
	TooLarge    Reason = "too_large"    // more bytes than allowed
	Unreachable Reason = "unreachable"  // no connection, TLS failure, broken off
	Timeout     Reason = "timeout"      // not done in time
	Status      Reason = "status"       // an HTTP status that is no success
	Budget      Reason = "budget"       // too many requests to this domain, or for one incoming request
	Malformed   Reason = "malformed"    // no document; *object.Error may be in the chain
	WrongID     Reason = "wrong_id"     // the document has an id that does not lead to it
	Mismatch    Reason = "mismatch"     // WebFinger and actor do not agree
	Cancelled   Reason = "cancelled"    // by the caller
)

// Error tells the reason; an *sdk.Error is around it.
type Error struct {
	Reason Reason
	Code   int // HTTP status, for Status
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	s := string(e.Reason)
	if e.Code != 0 {
		s = fmt.Sprintf("%s %d", s, e.Code)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf gives the reason of an error of this package; empty for others.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func fail(kind sdk.Kind, op string, r Reason, err error) error {
	return &sdk.Error{Op: op, Kind: kind, Err: &Error{Reason: r, Err: err}}
}

// Options of a Client. Zero values mean the defaults.
type Options struct {
	Guard     *netguard.Guard // addresses that may be dialled; default: the public internet alone
	RootCAs   *x509.CertPool  // default: those of the system
	Plain     []string        // hosts (name or name:port) that may be asked by plain http; for tests
	Own       []string        // our own hosts, which are never asked
	UserAgent string          // default "bridgehost"; GoToSocial refuses requests without one

	MaxBody   int64         // bytes of a document, after inflating; default 1 MiB
	Connect   time.Duration // for dialling and TLS; default 5 s
	Timeout   time.Duration // for one request with its answer; default 10 s
	Total     time.Duration // for a request with redirects and further tries; default 30 s
	Redirects int           // default 3; below 0 none

	Rate    float64 // requests a second to one registrable domain, in the long run; default 5
	Burst   int     // at once; default 60
	Domains int     // domains that are remembered; default 10,000

	CacheEntries int           // default 4,096
	CacheBytes   int64         // estimated memory of the cache; default 32 MiB
	Fresh        time.Duration // how long a document is used without asking, if it does not say; default 10 min
	Negative     time.Duration // how long a failure is; default 5 min

	Now func() time.Time // default time.Now
}

func (o Options) filled() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if o.Guard == nil {
		o.Guard = netguard.New()
	}
	if o.UserAgent == "" {
		o.UserAgent = "bridgehost"
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 1 << 20
	}
	def(&o.Connect, 5*time.Second)
	def(&o.Timeout, 10*time.Second)
	def(&o.Total, 30*time.Second)
	def(&o.Fresh, 10*time.Minute)
	def(&o.Negative, 5*time.Minute)
	if o.Redirects == 0 {
		o.Redirects = 3
	}
	if o.Rate <= 0 {
		o.Rate = 5
	}
	if o.Burst <= 0 {
		o.Burst = 60
	}
	if o.Domains <= 0 {
		o.Domains = 10_000
	}
	if o.CacheEntries <= 0 {
		o.CacheEntries = 4096
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// KeyFunc gives the key that signs our GET requests, that of the instance actor.
type KeyFunc func(ctx context.Context) (sign.Key, error)

// Client asks other servers. It is safe for use by many goroutines.
type Client struct {
	opt  Options
	key  KeyFunc
	http *http.Client

	mu      sync.Mutex
	forms   *lru[string, sign.Form] // per host: what it took last, if not draft-cavage
	domains *lru[string, *bucket]
	cache   *lru[string, *entry]
	flights map[string]*flight
}

// New makes a client; it does no I/O. With key nil, GET requests are not signed.
func New(key KeyFunc, opt Options) *Client {
	o := opt.filled()
	t := o.Guard.Transport(o.Connect)
	t.TLSClientConfig = &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	t.ResponseHeaderTimeout = o.Timeout
	t.MaxConnsPerHost = 8
	t.MaxIdleConns = 512
	c := &Client{opt: o, key: key, flights: map[string]*flight{}}
	c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.forms = newLRU[string, sign.Form](o.Domains, 0)
	c.domains = newLRU[string, *bucket](o.Domains, 0)
	c.cache = newLRU[string, *entry](o.CacheEntries, o.CacheBytes)
	return c
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

type budgetKey struct{}

// WithBudget bounds how many requests may be made for what ctx stands for, such as one incoming activity: further ones are refused.
func WithBudget(ctx context.Context, requests int) context.Context {
	n := new(atomic.Int64)
	n.Store(int64(requests))
	return context.WithValue(ctx, budgetKey{}, n)
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   []byte
	url    *url.URL // that gave it, after redirects; without fragment
}

// parseURL reads a URL that a stranger wrote and refuses what may not be asked.
func (c *Client) parseURL(op, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 4096 || u.Opaque != "" {
		return nil, fail(sdk.Invalid, op, BadURL, nil)
	}
	u.Fragment, u.RawFragment = "", ""
	return u, c.checkURL(op, u)
}

func (c *Client) checkURL(op string, u *url.URL) error {
	host := strings.ToLower(u.Host)
	plain := slices.Contains(c.opt.Plain, host) || slices.Contains(c.opt.Plain, strings.ToLower(u.Hostname()))
	if err := c.opt.Guard.CheckURL(u, plain); err != nil {
		return fail(sdk.Forbidden, op, Blocked, err)
	}
	if slices.Contains(c.opt.Own, host) || u.Port() == "443" && slices.Contains(c.opt.Own, strings.TrimSuffix(host, ":443")) {
		return fail(sdk.Forbidden, op, OwnHost, nil)
	}
	return nil
}

// get reads a URL, following redirects: at most Options.Redirects, of the same scheme, no loop (AP-18). Only the host of the first URL
// sees our signature, anew for each hop. Statuses other than redirects are given back.
func (c *Client) get(ctx context.Context, raw, accept string, signed bool, conditional http.Header) (*reply, error) {
	op := "get " + hostOf(raw)
	ctx, cancel := context.WithTimeout(ctx, c.opt.Total)
	defer cancel()
	u, err := c.parseURL(op, raw)
	if err != nil {
		return nil, err
	}
	first, seen := u, map[string]bool{}
	for hop := 0; ; hop++ {
		if err := c.spend(ctx, op, u); err != nil {
			return nil, err
		}
		seen[u.String()] = true
		h := http.Header{"Accept": {accept}}
		for k, v := range conditional {
			h[k] = v
		}
		r, err := c.knock(ctx, op, http.MethodGet, u, h, nil, signed && u.Host == first.Host, nil)
		if err != nil {
			return nil, err
		}
		to := r.header.Get("Location")
		if r.status < 301 || r.status > 308 || r.status == 304 || to == "" {
			return r, nil
		}
		next, err := u.Parse(to)
		if err != nil || hop >= c.opt.Redirects {
			return nil, fail(sdk.Invalid, op, Redirects, netguard.ErrTooManyRedirects)
		}
		next.Fragment, next.RawFragment = "", ""
		if next.Scheme != u.Scheme || seen[next.String()] {
			return nil, fail(sdk.Invalid, op, Redirects, errors.New("loop or another scheme"))
		}
		if err := c.checkURL(op, next); err != nil {
			return nil, err
		}
		u, conditional = next, nil
	}
}

// knock makes a request in the form that the host took before, and on 400 or 401 once in the other one; a GET with a query that is still
// refused is signed once more without the query, as GoToSocial does itself.
func (c *Client) knock(ctx context.Context, op, method string, u *url.URL, h http.Header, body []byte, signed bool, key *sign.Key) (*reply, error) {
	if signed && key == nil && c.key != nil {
		k, err := c.key(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: key: %w", op, err)
		}
		key = &k
	}
	if !signed || key == nil {
		return c.once(ctx, op, method, u, h, body, nil)
	}
	form := c.form(u.Host)
	as := func(f sign.Form, target string) (*reply, error) {
		return c.once(ctx, op, method, u, h, body, func(r *http.Request) error {
			s := sign.FromHTTP(r, body)
			s.Target = target
			return sign.Sign(s, f, *key, c.opt.Now())
		})
	}
	refused := func(r *reply) bool { return r.status == http.StatusUnauthorized || r.status == http.StatusBadRequest }
	r, err := as(form, u.RequestURI())
	if err != nil || !refused(r) {
		return r, err
	}
	other := sign.RFC9421 - form
	second, err := as(other, u.RequestURI())
	if err != nil {
		return r, nil //nolint:nilerr // the first answer stands: the host did answer
	}
	if !refused(second) {
		c.remember(u.Host, other)
		return second, nil
	}
	if method == http.MethodGet && u.RawQuery != "" && r.status == http.StatusUnauthorized {
		if third, err := as(sign.Cavage, u.EscapedPath()); err == nil && !refused(third) {
			return third, nil
		}
	}
	return r, nil
}

// once makes one request and reads its answer within Options.Timeout.
func (c *Client) once(ctx context.Context, op, method string, u *url.URL, h http.Header, body []byte, seal func(*http.Request) error) (*reply, error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fail(sdk.Invalid, op, BadURL, err)
	}
	req.Header = h.Clone()
	req.Header.Set("User-Agent", c.opt.UserAgent)
	if seal != nil {
		if err := seal(req); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(parent, op, err)
	}
	defer func() { _ = res.Body.Close() }() // the body was read, or is given up
	limit := c.opt.MaxBody
	if res.StatusCode/100 != 2 {
		limit = 4 << 10 // enough to use the connection again; nobody reads it
	}
	r := &reply{status: res.StatusCode, header: res.Header, url: u}
	r.body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case res.StatusCode/100 != 2:
		r.body = nil
	case err != nil:
		return nil, c.broken(parent, op, err)
	case int64(len(r.body)) > limit:
		return nil, fail(sdk.TooLarge, op, TooLarge, nil)
	}
	return r, nil
}

// broken sorts the errors of a transport. parent is the context of the caller, whose end is no fault of the remote.
func (c *Client) broken(parent context.Context, op string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the URL is not repeated: its query may be private
	}
	var ne net.Error
	switch {
	case errors.Is(err, netguard.ErrBlockedAddr):
		return fail(sdk.Forbidden, op, Blocked, err)
	case errors.Is(parent.Err(), context.Canceled):
		return fail(sdk.Transient, op, Cancelled, parent.Err())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fail(sdk.Transient, op, Timeout, err)
	default:
		return fail(sdk.Transient, op, Unreachable, err)
	}
}

func (c *Client) form(host string) sign.Form {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, _ := c.forms.get(host)
	return f
}

func (c *Client) remember(host string, f sign.Form) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forms.put(host, f, 1)
}

// hostOf gives the host for an error's operation.
func hostOf(raw string) string {
	if o := object.Origin(raw); o != "" {
		return o
	}
	return "URL"
}
