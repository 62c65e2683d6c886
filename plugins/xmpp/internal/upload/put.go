package upload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// maxAnswer is how much of an upload's answer is read so that the connection can be used again.
const maxAnswer = 16 << 10

// errStale is wrapped when the service takes a slot no more.
var errStale = errors.New("the slot is not valid any more")

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// send uploads c and returns its address. A slot that the service takes no more
// is replaced once (XEP-0363 §7, §8).
func (u *Uploader) send(ctx context.Context, from string, s Service, c *content, name, mediaType string) (string, error) {
	for try := 0; ; try++ {
		sl, err := u.slot(ctx, from, s, name, mediaType, c.size)
		if err != nil {
			return "", err
		}
		err = u.put(ctx, sl, c, mediaType)
		switch {
		case err == nil:
			return sl.get.String(), nil
		case errors.Is(err, errStale) && try == 0:
		case errors.Is(err, errStale):
			return "", &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}
		default:
			return "", err
		}
	}
}

// slot asks for a slot and checks where it points.
func (u *Uploader) slot(ctx context.Context, from string, s Service, name, mediaType string, size int64) (slot, error) {
	payload, err := request(name, mediaType, size)
	if err != nil {
		return slot{}, sdk.Errorf(sdk.Invalid, op, "slot request: %w", err)
	}
	answer, err := u.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: from, To: s.Address, Type: "get"}, Payload: payload})
	var refusal *packet.Error
	switch {
	case errors.As(err, &refusal):
		return slot{}, u.refused(s, refusal)
	case err != nil:
		return slot{}, sdk.Errorf(sdk.Transient, op, "ask %s for a slot: %w", s.Address, err)
	}
	sl, err := parseSlot(answer.Payload)
	if err != nil {
		return slot{}, sdk.Errorf(sdk.Invalid, op, "slot of %s: %w", s.Address, err)
	}
	for _, address := range []*url.URL{sl.put, sl.get} {
		if err := u.o.Guard.CheckURL(address, u.plain(address)); err != nil {
			return slot{}, sdk.Errorf(sdk.Forbidden, op, "slot of %s: %w", s.Address, err)
		}
	}
	return sl, nil
}

// plain reports whether an address may go without TLS: where the operator said
// so, or to a literal address that the operator excepted.
func (u *Uploader) plain(address *url.URL) bool {
	if u.o.Plain {
		return true
	}
	a, err := netip.ParseAddr(address.Hostname())
	// Excepted is what passes this guard and would not pass one without exceptions.
	return err == nil && u.o.Guard.Check(a) == nil && netguard.New().Check(a) != nil
}

// refused turns a service's refusal into an error (XEP-0363 §6).
func (u *Uploader) refused(s Service, e *packet.Error) *sdk.Error {
	out := &sdk.Error{Op: "ask " + s.Address + " for a slot", Kind: sdk.Forbidden, Err: e}
	switch {
	case e.App.Is(NS, "file-too-large"):
		out.Kind = sdk.TooLarge
		if n, err := strconv.ParseInt(e.App.ChildText(NS, "max-file-size"), 10, 64); err == nil && n > 0 {
			u.learn(n)
		}
	case e.App.Is(NS, "retry"):
		out.Kind = sdk.RateLimited
		if t, err := time.Parse(time.RFC3339, e.App.Get("stamp")); err == nil {
			out.After = min(max(t.Sub(u.o.Now()), 0), 24*time.Hour)
		}
	case e.Type == "wait", e.Condition == "resource-constraint":
		out.Kind = sdk.RateLimited
	case e.Condition == "service-unavailable", e.Condition == "item-not-found", e.Condition == "feature-not-implemented",
		e.Condition == "remote-server-not-found":
		out.Kind = sdk.Unsupported
		u.Forget()
	case e.Condition == "not-acceptable", e.Condition == "bad-request":
		out.Kind = sdk.Invalid
	case e.Condition == "internal-server-error", e.Condition == "remote-server-timeout":
		out.Kind = sdk.Transient
	}
	return out
}

// put sends c to the slot (XEP-0363 §7).
func (u *Uploader) put(ctx context.Context, sl slot, c *content, mediaType string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, sl.put.String(), io.NopCloser(c.reader()))
	if err != nil {
		return sdk.Errorf(sdk.Invalid, op, "slot: %w", err)
	}
	for name, values := range sl.header {
		req.Header[name] = values
	}
	req.ContentLength = c.size
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(c.reader()), nil }
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("User-Agent", "bridgehost")
	resp, err := u.client.Do(req)
	switch {
	case errors.Is(err, netguard.ErrBlockedAddr):
		return sdk.Errorf(sdk.Forbidden, op, "upload to %s: %w", sl.put.Host, err)
	case err != nil:
		return sdk.Errorf(sdk.Transient, op, "upload to %s: %w", sl.put.Host, unwrapURL(err))
	}
	// What else the answer says is of no use; an error here is no error of the upload.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	return judge(sl.put.Host, resp.StatusCode)
}

// unwrapURL takes the address out of an HTTP error: a slot's address is a secret.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// judge says what the status of an upload means. XEP-0363 §7 has 201; 200 and
// 204 are what some proxies make of it.
func judge(host string, code int) error {
	switch {
	case code == http.StatusCreated, code == http.StatusOK, code == http.StatusNoContent:
		return nil
	case code == http.StatusRequestEntityTooLarge:
		return sdk.Errorf(sdk.TooLarge, op, "upload to %s: status %d", host, code)
	case code == http.StatusTooManyRequests:
		return sdk.Errorf(sdk.RateLimited, op, "upload to %s: status %d", host, code)
	case code >= 400 && code < 500:
		return fmt.Errorf("upload to %s: status %d: %w", host, code, errStale)
	case code == http.StatusInsufficientStorage:
		return sdk.Errorf(sdk.RateLimited, op, "upload to %s: status %d", host, code)
	case code >= 500:
		return sdk.Errorf(sdk.Transient, op, "upload to %s: status %d", host, code)
	default: // a redirect among them: it could lead anywhere
		return sdk.Errorf(sdk.Forbidden, op, "upload to %s: status %d", host, code)
	}
}
