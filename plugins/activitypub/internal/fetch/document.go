package fetch

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
)

// acceptDocument asks for ActivityPub (ActivityPub §3.2).
const acceptDocument = `application/activity+json, application/ld+json; profile="https://www.w3.org/ns/activitystreams"`

// entry is what an address said: a document or a failure.
type entry struct {
	obj     *object.Object
	url     string // that gave it, after redirects
	err     error
	until   time.Time
	etag    string
	changed string // Last-Modified
}

// flight is a request under way that others wait for. Its fields are set before done is closed.
type flight struct {
	done      chan struct{}
	e         *entry
	abandoned bool // the one who asked gave up, which says nothing about the remote
}

// Document reads the document with an id, from the cache if it is fresh. It is given out only if it comes from its own id's address: an
// answer with another id is followed to that id once (AP-06). The document is shared: it must not be changed. Errors are *sdk.Error with
// an *Error inside: Gone and NotFound tell that there is no such document.
func (c *Client) Document(ctx context.Context, id string) (*object.Object, error) {
	return c.document(ctx, id, false)
}

// Refresh is Document without the cache: the server is asked whether the document changed.
func (c *Client) Refresh(ctx context.Context, id string) (*object.Object, error) {
	return c.document(ctx, id, true)
}

func (c *Client) document(ctx context.Context, id string, fresh bool) (*object.Object, error) {
	address := id
	for again := range 2 {
		e, err := c.read(ctx, address, fresh)
		if err != nil {
			return nil, err
		}
		own := e.obj.ID()
		if own == "" || object.Origin(own) == "" {
			return nil, fail(sdk.Invalid, "read "+hostOf(address), WrongID, &object.Error{Reason: object.NoID})
		}
		if sameAddress(own, e.url) {
			if _, err := e.obj.CheckFetched(own); err != nil {
				return nil, fail(sdk.Invalid, "read "+hostOf(address), Malformed, err)
			}
			return e.obj, nil
		}
		if again == 0 {
			address = own
		}
	}
	return nil, fail(sdk.Invalid, "read "+hostOf(address), WrongID, errors.New("the id does not lead to the document"))
}

// sameAddress reports whether an id names the document at a URL. Origins are compared as such, the rest by letters; fragments name parts.
func sameAddress(id, url string) bool {
	return object.SameOrigin(id, url) && rest(id) == rest(url)
}

// rest gives path and query of a URL; an empty path is the root.
func rest(raw string) string {
	raw, _, _ = strings.Cut(raw, "#")
	_, raw, _ = strings.Cut(raw, "://")
	i := strings.IndexAny(raw, "/?")
	if i < 0 {
		return "/"
	}
	if raw[i] == '?' {
		return "/" + raw[i:]
	}
	return raw[i:]
}

// read gives what an address says, whatever its id is. Requests for one address at the same time are made once.
func (c *Client) read(ctx context.Context, address string, fresh bool) (*entry, error) {
	key, _, _ := strings.Cut(address, "#")
	for {
		c.mu.Lock()
		old, _ := c.cache.get(key)
		if old != nil && c.opt.Now().Before(old.until) && (!fresh || old.err != nil && ReasonOf(old.err) != Status) {
			c.mu.Unlock()
			return old, old.err
		}
		f, waiting := c.flights[key]
		if !waiting {
			f = &flight{done: make(chan struct{})}
			c.flights[key] = f
		}
		c.mu.Unlock()
		if !waiting {
			c.fly(ctx, key, f, old)
			return f.e, f.e.err
		}
		select {
		case <-f.done:
			if !f.abandoned {
				return f.e, f.e.err
			}
		case <-ctx.Done():
			return nil, fail(sdk.Transient, "read "+hostOf(address), Cancelled, ctx.Err())
		}
	}
}

// fly makes the request of a flight and caches what it said.
func (c *Client) fly(ctx context.Context, key string, f *flight, old *entry) {
	defer func() {
		c.mu.Lock()
		delete(c.flights, key)
		c.mu.Unlock()
		close(f.done)
	}()
	f.abandoned = true // until it is known, for those who wait while this panics
	f.e = c.load(ctx, key, old)
	f.abandoned = ctx.Err() != nil
	if f.abandoned || ReasonOf(f.e.err) == Budget || f.e.until.IsZero() {
		return
	}
	size := int64(len(key)) + 512
	if f.e.obj != nil {
		size += 5 * int64(len(f.e.obj.Raw())) // parsed, it takes about four times as much as its text
	}
	c.mu.Lock()
	c.cache.put(key, f.e, size)
	c.mu.Unlock()
}

// load asks the server; old is what it said before.
func (c *Client) load(ctx context.Context, address string, old *entry) *entry {
	op, now := "get "+hostOf(address), c.opt.Now()
	conditional := http.Header{}
	if old != nil && old.obj != nil {
		if old.etag != "" {
			conditional.Set("If-None-Match", old.etag)
		} else if old.changed != "" {
			conditional.Set("If-Modified-Since", old.changed)
		}
	}
	bad := func(err error, keep time.Duration) *entry { return &entry{err: err, until: now.Add(keep)} }
	r, err := c.get(ctx, address, acceptDocument, true, conditional)
	switch {
	case err != nil:
		return bad(err, c.keepFailure(err))
	case r.status == http.StatusNotModified && len(conditional) > 0:
		e := *old
		e.until = c.freshUntil(r.header)
		return &e
	case r.status/100 != 2:
		err := c.statusError(op, r)
		return bad(err, c.keepFailure(err))
	case len(r.header.Values("Content-Type")) != 1 || !object.IsDocument(r.header.Get("Content-Type")):
		return bad(fail(sdk.Invalid, op, ContentType, nil), c.opt.Negative)
	}
	obj, err := object.ParseWithin(r.body, object.Limits{Size: int(c.opt.MaxBody)})
	if err != nil {
		return bad(fail(sdk.Invalid, op, Malformed, err), c.opt.Negative)
	}
	return &entry{obj: obj, url: r.url.String(), until: c.freshUntil(r.header), etag: r.header.Get("ETag"), changed: r.header.Get("Last-Modified")}
}

// keepFailure says how long a failure is taken as the answer: what can pass only for a minute, what is gone for an hour.
func (c *Client) keepFailure(err error) time.Duration {
	switch kind := sdk.KindOf(err); {
	case kind == sdk.Gone:
		return max(c.opt.Negative, time.Hour)
	case kind.Temporary() && sign.ReasonOf(err) == "":
		return min(c.opt.Negative, time.Minute)
	default:
		return c.opt.Negative
	}
}

// freshUntil reads how long an answer may be used (RFC 9111 §5.2.2): at least 10 s, so that one activity asks once, at most a day.
func (c *Client) freshUntil(h http.Header) time.Time {
	d := c.opt.Fresh
	for part := range strings.SplitSeq(strings.ToLower(h.Get("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "no-store", "no-cache":
			return c.opt.Now().Add(10 * time.Second)
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && n >= 0 {
				d = time.Duration(min(n, 86400)) * time.Second
			}
		}
	}
	return c.opt.Now().Add(max(d, 10*time.Second))
}

// Forget drops what is cached of an address, such as after an Update or Delete of it.
func (c *Client) Forget(id string) {
	key, _, _ := strings.Cut(id, "#")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache.drop(key)
}

// statusError maps a status that is no success to a kind, as Mastodon does for deliveries: permanent are 501 and 4xx other than 401, 408
// and 429, which can be ours or pass.
func (c *Client) statusError(op string, r *reply) error {
	kind := sdk.Transient
	switch s := r.status; {
	case s == http.StatusGone:
		kind = sdk.Gone
	case s == http.StatusNotFound:
		kind = sdk.NotFound
	case s == http.StatusForbidden, s == http.StatusUnavailableForLegalReasons:
		kind = sdk.Forbidden
	case s == http.StatusRequestEntityTooLarge:
		kind = sdk.TooLarge
	case s == http.StatusTooManyRequests:
		kind = sdk.RateLimited
	case s == http.StatusServiceUnavailable:
		kind = sdk.Overloaded
	case s == http.StatusNotImplemented:
		kind = sdk.Unsupported
	case s == http.StatusUnauthorized, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		kind = sdk.Transient
	case s/100 == 4:
		kind = sdk.Invalid
	case s/100 == 3:
		kind = sdk.NotFound // a redirect that is not followed: what was there moved
	}
	return &sdk.Error{Op: op, Kind: kind, After: c.retryAfter(r), Err: &Error{Reason: Status, Code: r.status}}
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3) of 429 and 5xx: seconds or a date, at most a day.
func (c *Client) retryAfter(r *reply) time.Duration {
	v := strings.TrimSpace(r.header.Get("Retry-After"))
	if v == "" || r.status != http.StatusTooManyRequests && r.status/100 != 5 {
		return 0
	}
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), 86400)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(c.opt.Now()), 0), 24*time.Hour)
	}
	return 0
}
