package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// Bounds of reading a foreign file.
const (
	maxRedirects = 3
	maxURL       = 8 << 10
)

// Fetcher reads a file of another network. The reader gives at most limit bytes
// and then an error; the caller closes it. An error is an *sdk.Error.
type Fetcher interface {
	Fetch(ctx context.Context, address string, limit int64) (body io.ReadCloser, mediaType string, err error)
}

// Guarded reads files over http and https from addresses that its guard allows,
// also after a redirect. It is safe for use by many goroutines.
type Guarded struct {
	guard  *netguard.Guard
	client *http.Client
	agent  string
}

var _ Fetcher = (*Guarded)(nil)

// NewGuarded makes a Fetcher whose connections pass guard; nil allows the public
// Internet only. Each step of a request, not the whole body, must be done within
// timeout; ctx bounds the whole. agent is sent as User-Agent.
func NewGuarded(guard *netguard.Guard, timeout time.Duration, agent string) *Guarded {
	transport := guard.Transport(timeout)
	transport.DisableCompression = true // the limit counts what is stored
	return &Guarded{
		guard: guard, agent: agent,
		client: &http.Client{Transport: transport, CheckRedirect: guard.Redirects(maxRedirects, true)},
	}
}

// Close ends idle connections.
func (g *Guarded) Close() { g.client.CloseIdleConnections() }

// Fetch implements Fetcher.
func (g *Guarded) Fetch(ctx context.Context, address string, limit int64) (io.ReadCloser, string, error) {
	const op = "fetch file"
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL {
		return nil, "", sdk.Errorf(sdk.Invalid, op, "address of %d bytes is no URL", len(address))
	}
	if err := g.guard.CheckURL(u, true); err != nil {
		return nil, "", sdk.Errorf(sdk.Forbidden, op, "%w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", sdk.Errorf(sdk.Invalid, op, "%w", err)
	}
	req.Header.Set("User-Agent", g.agent)
	resp, err := g.client.Do(req)
	switch {
	case errors.Is(err, netguard.ErrBlockedAddr):
		return nil, "", sdk.Errorf(sdk.Forbidden, op, "%w", err)
	case err != nil:
		return nil, "", sdk.Errorf(sdk.Transient, op, "%w", err)
	}
	if err := fetchable(resp, limit); err != nil {
		return nil, "", errors.Join(err, resp.Body.Close())
	}
	return &bounded{resp.Body, limit}, MediaType(resp.Header.Get("Content-Type")), nil
}

// fetchable judges an answer by its head.
func fetchable(resp *http.Response, limit int64) error {
	op := "fetch file from " + resp.Request.URL.Host
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusGone:
		return sdk.Errorf(sdk.Gone, op, "status %d", code)
	case code == http.StatusNotFound:
		return sdk.Errorf(sdk.NotFound, op, "status %d", code)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return sdk.Errorf(sdk.Transient, op, "status %d", code)
	default:
		return sdk.Errorf(sdk.Forbidden, op, "status %d", code)
	}
	if resp.ContentLength > limit {
		return sdk.Errorf(sdk.TooLarge, op, "%d bytes, at most %d: %w", resp.ContentLength, limit, errTooLarge)
	}
	return nil
}

// bounded gives an error once more than left bytes were read.
type bounded struct {
	body io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("read file: %w", errTooLarge)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, fmt.Errorf("read file: %w", errTooLarge)
	}
	return n, err
}

// Close implements io.Closer.
func (b *bounded) Close() error { return b.body.Close() }
