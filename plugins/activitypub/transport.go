package activitypub

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/fetch"
	"bridgehost/plugins/activitypub/internal/inbox"
	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// transport speaks HTTP.
type transport struct {
	client   *fetch.Client
	verifier *sign.Verifier
	keys     *keys.Ring
	site     actor.Site
}

// newTransport makes the Transport that speaks HTTP.
func newTransport(n Needs) (Transport, error) {
	u, err := url.Parse(n.Config.base)
	if err != nil {
		return nil, fmt.Errorf("read public URL: %w", err)
	}
	t := &transport{keys: n.Keys, site: n.Site}
	opt := fetch.Options{Guard: netguard.New(n.Config.allow...), Own: []string{u.Host, n.Config.Domain}, UserAgent: "bridgehost/" + Version + " (+" + n.Config.base + ")",
		Total: n.Config.Timeout, Now: n.Now}
	if n.Config.CAFile != "" {
		if opt.RootCAs, err = roots(n.Config.CAFile); err != nil {
			return nil, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "ca_file", Problem: err.Error(), Remedy: "name a file with certificates in PEM"}}}
		}
	}
	t.client = fetch.New(func(ctx context.Context) (sign.Key, error) { return t.key(ctx, actor.InstanceName) }, opt)
	t.verifier = sign.NewVerifier(fetch.NewKeys(t.client, fetch.KeyOptions{}), []string{u.Host}, sign.Options{Now: n.Now})
	return t, nil
}

func roots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

func (t *transport) key(ctx context.Context, name string) (sign.Key, error) {
	pair, err := t.keys.Of(ctx, name)
	if err != nil {
		return sign.Key{}, sdk.AsError("look up the key of "+name, err)
	}
	return sign.Key{ID: t.site.Key(name), Signer: pair.RSA}, nil
}

// Post implements Transport.
func (t *transport) Post(ctx context.Context, name, inbox string, activity []byte) error {
	key, err := t.key(ctx, name)
	if err != nil {
		return err
	}
	return t.client.Deliver(ctx, inbox, activity, key)
}

// Verifier implements Transport.
func (t *transport) Verifier() inbox.Verifier { return t.verifier }

// Close implements Transport.
func (t *transport) Close() { t.client.Close() }

// Document implements far.Reader.
func (t *transport) Document(ctx context.Context, id string) (*object.Object, error) {
	return t.client.Document(ctx, id)
}

// Refresh implements far.Reader.
func (t *transport) Refresh(ctx context.Context, id string) (*object.Object, error) {
	return t.client.Refresh(ctx, id)
}

// Finger implements far.Reader.
func (t *transport) Finger(ctx context.Context, handle string) (id, subject string, err error) {
	h, err := fetch.ParseHandle(handle)
	if err != nil {
		return "", "", sdk.Errorf(sdk.NotFound, "ask for a handle", "%w", err)
	}
	f, err := t.client.Finger(ctx, h)
	if err != nil {
		return "", "", err
	}
	return f.Actor, strings.ToLower(f.Subject.String()), nil
}

// HandleOf implements far.Reader.
func (t *transport) HandleOf(ctx context.Context, o *object.Object) (string, error) {
	h, err := t.client.HandleOf(ctx, o)
	return strings.ToLower(h.String()), err
}
