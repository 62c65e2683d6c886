package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// defaultMaxBody bounds the body of a route that names no bound.
const defaultMaxBody = 1 << 20

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	m := g.find(r.URL.Path)
	if m == nil && g.awaiting() {
		g.refuse(w, "", &refusal{status: http.StatusServiceUnavailable, after: time.Second, detail: "the bridge is starting", remedy: "try again"})
		return
	}
	if m == nil {
		g.refuse(w, "", &refusal{status: http.StatusNotFound, detail: "nothing is served here", remedy: "check the path"})
		return
	}
	req, ref := g.admit(w, r, m)
	if ref != nil {
		g.refuse(w, m.route.Prefix, ref)
		return
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		g.refuse(w, m.route.Prefix, &refusal{status: http.StatusServiceUnavailable, after: time.Second,
			detail: "too many requests are being handled", remedy: "try again later"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.opt.Timeout)
	defer cancel()
	resp, err := m.handler.ServeWeb(ctx, req)
	if err != nil {
		g.refuse(w, m.route.Prefix, refusalOf(err))
		return
	}
	g.answer(w, m.route.Prefix, resp)
}

// admit checks the request in the order: token, method, state of the link,
// rate, size; and only then reads the body.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, m *mount) (*web.Request, *refusal) {
	req := &web.Request{Method: r.Method, Prefix: m.route.Prefix, Client: clientAddr(r, g.opt.TrustedProxies), Host: r.Host}
	rest := "/" + strings.TrimLeft(strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(m.route.Prefix, "/")), "/")
	if len(m.route.Tokens) > 0 {
		digest, left, ref := checkToken(r, rest, m.route.Tokens)
		if ref != nil {
			return nil, ref
		}
		req.Token, rest = digest, left
	} else {
		req.Target = r.URL.RequestURI()
	}
	if rest == "/" {
		rest = ""
	}
	req.Path = rest
	if !allowed(m.route.Methods, r.Method) {
		return nil, &refusal{status: http.StatusMethodNotAllowed, allow: strings.Join(m.route.Methods, ", "),
			detail: r.Method + " is not answered here", remedy: "use " + strings.Join(m.route.Methods, " or ")}
	}
	if m.handler == nil {
		return nil, &refusal{status: http.StatusServiceUnavailable, after: 2 * time.Second,
			detail: "the service behind this address is starting again", remedy: "try again"}
	}
	key := string(req.Token[:])
	if len(m.route.Tokens) == 0 {
		key = req.Client.String()
	}
	if wait := m.rate.take(key, g.opt.Now()); wait > 0 {
		return nil, &refusal{status: http.StatusTooManyRequests, after: wait,
			detail: fmt.Sprintf("more than %d requests in a minute", m.route.PerMinute), remedy: "send fewer, or ask the operator for a higher rate"}
	}
	body, ref := g.readBody(w, r, m.route.MaxBody)
	if ref != nil {
		return nil, ref
	}
	req.Body = body
	req.Query = r.URL.Query()
	req.Header = make(map[string][]string, len(r.Header))
	for name, values := range r.Header {
		if name != "Authorization" && name != "Cookie" {
			req.Header[name] = values
		}
	}
	return req, nil
}

// checkToken looks for the token as a path segment, then as a bearer token. All
// digests are compared, each in constant time, so that the time says nothing
// about which one is near (WH-01).
func checkToken(r *http.Request, rest string, tokens [][32]byte) (digest [32]byte, left string, ref *refusal) {
	secret, left, inPath := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if inPath {
		left = "/" + left
	}
	header := false
	if secret == "" {
		var ok bool
		secret, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || secret == "" {
			return digest, "", &refusal{status: http.StatusUnauthorized, authenticate: `Bearer realm="bridgehost"`,
				detail: "a token is missing", remedy: "put it behind the path, or send Authorization: Bearer TOKEN"}
		}
		header = true
	}
	digest = sha256.Sum256([]byte(secret))
	if matchToken(digest, tokens) {
		return digest, left, nil
	}
	if header {
		return digest, "", &refusal{status: http.StatusUnauthorized, authenticate: `Bearer realm="bridgehost", error="invalid_token"`,
			detail: "token mismatch", remedy: "check the token in the configuration of the hook"}
	}
	return digest, "", &refusal{status: http.StatusNotFound, detail: "token mismatch", remedy: "check the token in the configuration of the hook"}
}

// matchToken compares with every digest, whether or not one was found.
func matchToken(digest [32]byte, tokens [][32]byte) bool {
	found := 0
	for i := range tokens {
		found |= subtle.ConstantTimeCompare(digest[:], tokens[i][:])
	}
	return found == 1
}

func allowed(methods []string, method string) bool {
	if len(methods) == 0 {
		return true
	}
	for _, m := range methods {
		if m == method {
			return true
		}
	}
	return false
}

// readBody reads at most limit bytes, within ReadTimeout.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *refusal) {
	if limit <= 0 {
		limit = defaultMaxBody
	}
	large := &refusal{status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("the body is larger than %d bytes", limit), remedy: "send less, or raise max_body"}
	if r.ContentLength > limit {
		return nil, large
	}
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.opt.ReadTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, &refusal{status: http.StatusBadRequest, detail: "the connection broke"}
	}
	var body []byte
	var err error
	if r.ContentLength > 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, large
	case err != nil:
		return nil, &refusal{status: http.StatusRequestTimeout, detail: "the body did not arrive in time or as a whole", remedy: "send it again"}
	}
	return body, nil
}

// answer writes what the link answered.
func (g *Gateway) answer(w http.ResponseWriter, prefix string, resp *web.Response) {
	if resp == nil || resp.Status < 200 || resp.Status > 599 {
		g.refuse(w, prefix, &refusal{status: http.StatusInternalServerError, detail: "the link gave no answer"})
		return
	}
	for name, values := range resp.Header {
		for _, v := range values {
			w.Header().Add(name, v)
		}
	}
	w.WriteHeader(resp.Status)
	if _, err := w.Write(resp.Body); err != nil {
		g.opt.Log.Debug("answer not written", "prefix", prefix, "error", err)
	}
	g.opt.Observe(prefix, resp.Status)
}

// refusalOf translates a link's error.
func refusalOf(err error) *refusal {
	ref := &refusal{status: http.StatusInternalServerError, detail: "the link could not answer"}
	var e *sdk.Error
	if errors.As(err, &e) && e.Public != "" {
		ref.detail = e.Public
	}
	if kind := sdk.KindOf(err); kind.Temporary() {
		ref.status, ref.after, ref.remedy = http.StatusServiceUnavailable, 2*time.Second, "try again"
		if e != nil && e.After > 0 {
			ref.after = e.After
		}
	}
	return ref
}

// retryAfter gives whole seconds, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(int(math.Max(1, math.Ceil(d.Seconds()))))
}
