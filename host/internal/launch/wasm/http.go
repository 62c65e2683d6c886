package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
	"bridgehost/sdk/netguard"
	"bridgehost/sdk/web"
)

// Limits of the http ability.
const (
	httpTime      = 10 * time.Second
	httpRedirects = 3
	httpBody      = MaxReply - 64<<10 // of the answer, inflated; the rest is for headers
	httpHeaders   = 32 << 10
)

// fetcher is the http ability of one link.
type fetcher struct {
	hosts  []string // patterns: example.org, example.org:8443, *.example.org, *
	client *http.Client
}

// newFetcher returns the ability for a list of hosts. The address of each
// connection is checked when dialling, after names are resolved.
func newFetcher(hosts []string, allow []netip.Prefix) *fetcher {
	f := &fetcher{hosts: hosts}
	guard := netguard.New(allow...)
	f.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            guard.Dialer(5 * time.Second).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  httpTime,
			MaxResponseHeaderBytes: httpHeaders,
			MaxIdleConnsPerHost:    1,
			MaxConnsPerHost:        4,
			IdleConnTimeout:        30 * time.Second,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: f.redirect,
	}
	return f
}

// close ends idle connections.
func (f *fetcher) close() { f.client.CloseIdleConnections() }

// allowed checks scheme and host of a URL against the list.
func (f *fetcher) allowed(u *url.URL) error {
	if (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return sdk.Errorf(sdk.Invalid, "http", "only http and https URLs with a host and without credentials")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	port := u.Port()
	for _, pattern := range f.hosts {
		want, wantPort := pattern, ""
		if h, p, err := net.SplitHostPort(pattern); err == nil {
			want, wantPort = h, p
		}
		want = strings.ToLower(want)
		usual := port == "" || (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80")
		if wantPort == "" && !usual || wantPort != "" && wantPort != port {
			continue
		}
		suffix, wild := strings.CutPrefix(want, "*")
		if want == host || wild && (suffix == "" || strings.HasPrefix(suffix, ".") && strings.HasSuffix(host, suffix) && len(host) > len(suffix)) {
			return nil
		}
	}
	return sdk.Errorf(sdk.Forbidden, "http", "host %q is not in the list of allowed hosts", escape([]byte(u.Host)))
}

// redirect checks every hop: count, list, and that https does not become http.
func (f *fetcher) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > httpRedirects {
		return sdk.Errorf(sdk.Forbidden, "http", "more than %d redirects", httpRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return sdk.Errorf(sdk.Forbidden, "http", "redirect from https to %s", req.URL.Scheme)
	}
	if via[0].URL.Host != req.URL.Host {
		for name := range req.Header {
			if name != "User-Agent" && name != "Accept" && name != "Accept-Language" {
				req.Header.Del(name) // what was said to one host is not told another
			}
		}
	}
	return f.allowed(req.URL)
}

// do performs an HTTPRequest and answers with a WebResponse.
func (f *fetcher) do(ctx context.Context, c *guestCall, arg []byte) error {
	req, err := parseHTTPRequest(ctx, arg)
	if err != nil {
		return invalid("http", err)
	}
	if err := f.allowed(req.URL); err != nil {
		return err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return httpError(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, httpBody+1))
	if err != nil {
		return httpError(err)
	}
	if len(body) > httpBody {
		return sdk.Errorf(sdk.TooLarge, "http", "answer has more than %d bytes", httpBody)
	}
	answer := web.Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	c.pending = codec.AppendWebResponse(c.pending, &answer)
	return nil
}

// httpError sorts errors of the client. The URL is cut out of the text, since
// it may hold secrets.
func httpError(err error) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	kind := sdk.Transient
	if errors.Is(err, netguard.ErrBlockedAddr) {
		kind = sdk.Forbidden
	} else if se := (*sdk.Error)(nil); errors.As(err, &se) {
		kind = se.Kind
	}
	return &sdk.Error{Op: "http", Kind: kind, Err: err}
}

// httpMethods that a guest may use.
var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// hopHeaders are those that belong to the connection, which is the host's.
var hopHeaders = []string{
	"Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Expect", "Accept-Encoding",
}

// parseHTTPRequest reads an HTTPRequest.
func parseHTTPRequest(ctx context.Context, arg []byte) (*http.Request, error) {
	method, target, header := "GET", "", http.Header{"User-Agent": {"bridgehost-module/1"}}
	var body []byte
	err := fields(arg, func(f field) error {
		switch {
		case f.typ != protowire.BytesType:
		case f.id == 1 && len(f.raw) > 0:
			method = string(f.raw)
		case f.id == 2:
			target = string(f.raw)
		case f.id == 3:
			return addHeader(header, f.raw)
		case f.id == 4:
			body = append([]byte{}, f.raw...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !slices.Contains(httpMethods, method) {
		return nil, fmt.Errorf("method %q", escape([]byte(method)))
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// addHeader reads a Header.
func addHeader(h http.Header, b []byte) error {
	var name string
	var values []string
	err := fields(b, func(f field) error {
		switch f.id {
		case 1:
			name = http.CanonicalHeaderKey(string(f.raw))
		case 2:
			values = append(values, string(f.raw))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldName(name) || slices.Contains(hopHeaders, name) {
		return fmt.Errorf("header %q", escape([]byte(name)))
	}
	for _, v := range values {
		if !httpguts.ValidHeaderFieldValue(v) {
			return fmt.Errorf("value of header %s", name)
		}
	}
	h[name] = values
	return nil
}
