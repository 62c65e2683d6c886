package fetch

import (
	"context"
	"math"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"

	"bridgehost/sdk"
)

// bucket is the budget of one domain: tokens as of at.
type bucket struct {
	tokens float64
	at     time.Time
}

// spend takes one request from the budgets of ctx and of the URL's domain, or refuses with the time to wait.
func (c *Client) spend(ctx context.Context, op string, u *url.URL) error {
	if n, ok := ctx.Value(budgetKey{}).(*atomic.Int64); ok && n.Add(-1) < 0 {
		return fail(sdk.RateLimited, op, Budget, nil)
	}
	now, name := c.opt.Now(), domain(u)
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.domains.get(name)
	if !ok {
		b = &bucket{tokens: float64(c.opt.Burst), at: now}
		c.domains.put(name, b, 1)
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = math.Min(float64(c.opt.Burst), b.tokens+d.Seconds()*c.opt.Rate)
		b.at = now
	}
	if b.tokens < 1 {
		wait := time.Duration((1 - b.tokens) / c.opt.Rate * float64(time.Second))
		return &sdk.Error{Op: op, Kind: sdk.RateLimited, After: wait, Err: &Error{Reason: Budget}}
	}
	b.tokens--
	return nil
}

// domain gives the registrable domain, so that names made up below one (AP-20) share its budget; with the port, for an IP address.
func domain(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		return strings.ToLower(u.Host)
	}
	if d, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return d
	}
	return host
}
