// Package convert turns ActivityStreams objects and activities into items, actors and changes, and back. It is pure: ids, addresses,
// look-ups and the time are handed in, nothing is fetched or stored.
//
// The remote id of an item at this link is the id of its object, a URL. The remote id of an actor is its handle user@host, in lower
// case. What cannot be said in the other world is returned as a declared loss.
package convert

import (
	"errors"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// Reasons not to convert.
var (
	ErrKind   = errors.New("object is of no type that can be shown")
	ErrAuthor = errors.New("object has no author")
	ErrID     = errors.New("object has no id")
)

// Bounds on what is taken of one foreign object; the rest is a declared loss (AP-21).
const (
	MaxMedia    = 32
	MaxMentions = 100
	MaxTags     = 100
	MaxEmoji    = 100
	MaxOptions  = 100
	maxShort    = 2048     // bytes of names, titles, options
	maxAlt      = 10000    // bytes of a description
	maxText     = 1 << 18  // bytes of a post
	maxHTML     = 40 << 10 // bytes of content that are sent: Misskey takes 64 KiB in all
	maxTwice    = 16 << 10 // bytes of content that are sent twice, in content and contentMap
)

// Like is the reaction that a Like without content stands for, and that is sent as one: XMPP's "noticed" of XEP-0470 is the same.
const Like = "⭐"

// Person is an actor as mentions and addresses need it.
type Person struct {
	ID     string // actor id
	Handle string // user@host without the first @
	URL    string // page for people; empty = ID
}

func (p Person) page() string {
	if p.URL != "" {
		return p.URL
	}
	return p.ID
}

// NormalHandle gives user@host in the one spelling that names it: lower case, host in punycode, without a leading @ or acct:. It reports
// false for what is no handle.
func NormalHandle(s string) (string, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(s), "acct:"), "@")
	user, host, ok := strings.Cut(s, "@")
	if !ok || user == "" || len(s) > maxShort || strings.ContainsAny(user, " \t\r\n/?#<>\"\\") {
		return "", false
	}
	name, port, hasPort := strings.Cut(host, ":")
	name, err := idna.Lookup.ToASCII(strings.ToLower(name))
	if err != nil || name == "" || strings.HasSuffix(name, ".") {
		return "", false
	}
	if hasPort {
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return "", false
		}
		name += ":" + port
	}
	return strings.ToLower(user) + "@" + name, true
}

// GuessHandle gives the handle that an actor id and a name suggest, unverified: the name's host if it has one, else the id's.
func GuessHandle(id, name string) string {
	name = strings.TrimPrefix(strings.TrimSpace(name), "@")
	u, err := url.Parse(id)
	if err != nil || u.Host == "" {
		return ""
	}
	if name == "" {
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		name = strings.TrimPrefix(parts[len(parts)-1], "@")
	}
	if !strings.Contains(name, "@") {
		name += "@" + u.Host
	}
	h, ok := NormalHandle(name)
	if !ok {
		return ""
	}
	return h
}

// ActorHandle gives the handle that an actor document tells of itself, unverified: its webfinger name, else preferredUsername at the
// host of its id.
func ActorHandle(o *object.Object) string {
	if h, ok := NormalHandle(o.WebFinger()); ok {
		return h
	}
	return GuessHandle(o.ID(), o.PreferredUsername())
}

// losses gathers declared losses, each kind with one detail once.
type losses []sdk.Loss

func (l *losses) add(kind sdk.LossKind, detail string) {
	for _, have := range *l {
		if have.Kind == kind && have.Detail == detail {
			return
		}
	}
	*l = append(*l, sdk.Loss{Kind: kind, Detail: detail})
}

// short cuts a text to n bytes at a character border and cleans it of what is no text.
func short(s string, n int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r == 0x7F || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200E || r == 0x200F || r == 0x061C:
			return -1
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
