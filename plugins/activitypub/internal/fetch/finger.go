package fetch

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// Handle is an account's address, user@host, in its one canonical form: the host in lower case and punycode, without default port.
type Handle struct{ User, Host string }

// String gives user@host.
func (h Handle) String() string { return h.User + "@" + h.Host }

// ErrHandle is returned for what is no handle.
var ErrHandle = errors.New("no address of the form user@host")

// ParseHandle reads user@host, @user@host or acct:user@host (RFC 7565) and gives the canonical form; what could be taken for another host
// by another reader is refused (AP-12).
func ParseHandle(s string) (Handle, error) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "acct:"), "@")
	user, host, ok := strings.Cut(s, "@")
	if !ok || user == "" || len(user) > 256 || strings.Contains(host, "@") {
		return Handle{}, ErrHandle
	}
	for i := range len(user) {
		c := user[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-._~!$&'()*+,;=", rune(c)) {
			return Handle{}, ErrHandle
		}
	}
	host, ok = CanonicalHost(host)
	if !ok {
		return Handle{}, ErrHandle
	}
	return Handle{User: user, Host: host}, nil
}

// CanonicalHost gives a host name, with its port if that is not 443, in the one form to compare: ASCII in lower case, IDNA A-labels. It
// refuses IP addresses without dots or in brackets, percent signs, trailing dots, and labels that only look like others: whatever is not
// ASCII must become an xn-- label of its own, and no character may become a dot or a letter of ASCII (UTS 46 maps some so).
func CanonicalHost(s string) (string, bool) {
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return "", false
	}
	if name == "" || len(name) > 253 || strings.HasSuffix(name, ".") || strings.ContainsAny(name, "%/\\?#[]@ \t\r\n") {
		return "", false
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil || len(ascii) > 253 || !utf8.ValidString(name) {
		return "", false
	}
	if again, err := idna.Lookup.ToASCII(ascii); err != nil || again != ascii {
		return "", false
	}
	before, after := strings.Split(name, "."), strings.Split(ascii, ".")
	if len(before) != len(after) || len(after) < 2 {
		return "", false
	}
	for i, l := range before {
		foreign := strings.ContainsFunc(l, func(r rune) bool { return r >= 0x80 })
		if after[i] == "" || foreign && !strings.HasPrefix(after[i], "xn--") {
			return "", false
		}
	}
	if hasPort && port != "443" {
		return ascii + ":" + port, true
	}
	return ascii, true
}

// Finger is what WebFinger says of an account.
type Finger struct {
	Subject   Handle // the account's own address
	Actor     string // id of the actor
	Page      string // profile page; may be empty
	Subscribe string // template of the remote follow form, with {uri}; may be empty
}

// jrd is a JSON resource descriptor (RFC 7033 §4.4).
type jrd struct {
	Subject string `json:"subject"`
	Links   []struct {
		Rel      string `json:"rel"`
		Type     string `json:"type"`
		Href     string `json:"href"`
		Template string `json:"template"`
	} `json:"links"`
}

// Finger asks for an account (RFC 7033). If the answer's subject is another account, that one is asked at its own host, once, and must
// lead to the same actor; so nobody can answer for somebody else's host.
func (c *Client) Finger(ctx context.Context, h Handle) (Finger, error) {
	f, err := c.finger(ctx, h)
	if err != nil || f.Subject == h {
		return f, err
	}
	own, err := c.finger(ctx, f.Subject)
	if err != nil {
		return Finger{}, err
	}
	if own.Subject != f.Subject || own.Actor != f.Actor {
		return Finger{}, fail(sdk.Invalid, "webfinger "+h.Host, Mismatch, errors.New("the subject's own host does not agree"))
	}
	return own, nil
}

// Resolve gives the actor of an address: WebFinger, then the actor's document. handle is its own address, which may differ.
func (c *Client) Resolve(ctx context.Context, h Handle) (actor *object.Object, handle Handle, err error) {
	f, err := c.Finger(ctx, h)
	if err != nil {
		return nil, Handle{}, err
	}
	actor, err = c.Document(ctx, f.Actor)
	if err != nil {
		return nil, Handle{}, err
	}
	op := "resolve " + h.Host
	if actor.Class() != object.ClassActor {
		return nil, Handle{}, fail(sdk.Invalid, op, Malformed, errors.New("no actor"))
	}
	if actor.ID() != f.Actor {
		if handle, err = c.HandleOf(ctx, actor); err != nil {
			return nil, Handle{}, err
		}
		return actor, handle, nil
	}
	return actor, f.Subject, nil
}

// HandleOf gives the proved address of an actor: WebFinger at the host that the actor names (FEP-2c59), else at that of its id, must lead
// back to the actor. preferredUsername alone proves nothing.
func (c *Client) HandleOf(ctx context.Context, actor *object.Object) (Handle, error) {
	op := "handle of an actor at " + hostOf(actor.ID())
	var err error
	for _, s := range []string{actor.WebFinger(), actor.PreferredUsername() + "@" + strings.TrimPrefix(strings.TrimPrefix(object.Origin(actor.ID()), "https://"), "http://")} {
		h, bad := ParseHandle(s)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		f, ferr := c.Finger(ctx, h)
		switch {
		case ferr == nil && f.Actor == actor.ID():
			return f.Subject, nil
		case ferr != nil && sdk.KindOf(ferr).Temporary():
			return Handle{}, ferr
		case ferr != nil:
			err = errors.Join(err, ferr)
		}
	}
	return Handle{}, fail(sdk.Invalid, op, Mismatch, err)
}

// finger asks one host, by host-meta if it has no WebFinger at the usual place (RFC 6415 §3).
func (c *Client) finger(ctx context.Context, h Handle) (Finger, error) {
	resource, op := "acct:"+h.String(), "webfinger "+h.Host
	base := c.schemeOf(h.Host) + "://" + h.Host
	r, err := c.get(ctx, base+"/.well-known/webfinger?resource="+url.QueryEscape(resource), "application/jrd+json, application/json", false, nil)
	if err != nil {
		return Finger{}, err
	}
	if r.status == http.StatusNotFound {
		if template, ok := c.hostMeta(ctx, base); ok {
			if r, err = c.get(ctx, strings.ReplaceAll(template, "{uri}", url.QueryEscape(resource)), "application/jrd+json, application/json", false, nil); err != nil {
				return Finger{}, err
			}
		}
	}
	if r.status/100 != 2 {
		return Finger{}, c.statusError(op, r)
	}
	if t := mediaType(r); t != "application/jrd+json" && t != "application/json" && t != "application/activity+json" {
		return Finger{}, fail(sdk.Invalid, op, ContentType, nil)
	}
	return readJRD(op, r.body)
}

func mediaType(r *reply) string {
	t, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

func (c *Client) schemeOf(host string) string {
	if slices.Contains(c.opt.Plain, host) {
		return "http"
	}
	return "https"
}

// hostMeta gives the lrdd template of a host.
func (c *Client) hostMeta(ctx context.Context, base string) (string, bool) {
	r, err := c.get(ctx, base+"/.well-known/host-meta", "application/xrd+xml, application/xml", false, nil)
	if err != nil || r.status/100 != 2 || len(r.body) > 64<<10 {
		return "", false
	}
	var xrd struct {
		Links []struct {
			Rel      string `xml:"rel,attr"`
			Template string `xml:"template,attr"`
		} `xml:"Link"`
	}
	if xml.Unmarshal(r.body, &xrd) != nil {
		return "", false
	}
	for _, l := range xrd.Links {
		if l.Rel == "lrdd" && strings.Contains(l.Template, "{uri}") {
			return l.Template, true
		}
	}
	return "", false
}

// readJRD reads an answer; it must have a subject and a link to an actor.
func readJRD(op string, body []byte) (Finger, error) {
	var d jrd
	if err := json.Unmarshal(body, &d); err != nil {
		return Finger{}, fail(sdk.Invalid, op, Malformed, errors.New("no JSON resource descriptor"))
	}
	subject, err := ParseHandle(d.Subject)
	if err != nil {
		return Finger{}, fail(sdk.Invalid, op, Malformed, errors.New("no subject"))
	}
	f := Finger{Subject: subject}
	for _, l := range d.Links[:min(len(d.Links), 64)] {
		switch {
		case l.Rel == "self" && f.Actor == "" && object.IsDocument(l.Type) && object.Origin(l.Href) != "":
			f.Actor = l.Href
		case l.Rel == "http://webfinger.net/rel/profile-page" && f.Page == "" && object.Origin(l.Href) != "":
			f.Page = l.Href
		case l.Rel == "http://ostatus.org/schema/1.0/subscribe" && f.Subscribe == "" && strings.Contains(l.Template, "{uri}"):
			f.Subscribe = l.Template
		}
	}
	if f.Actor == "" {
		return Finger{}, fail(sdk.NotFound, op, Mismatch, errors.New("no link to an actor"))
	}
	return f, nil
}
