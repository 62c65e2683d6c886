package upload

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Bounds of the search for a service.
const (
	maxItems    = 64
	askTimeout  = 10 * time.Second
	keepService = time.Hour       // how long a service that was found is taken for granted
	keepNothing = 5 * time.Minute // how long it is taken for granted that there is none
)

const (
	nsItems = "http://jabber.org/protocol/disco#items"
	nsForms = "jabber:x:data"
)

// Service is an upload service of a server.
type Service struct {
	Address string // JID
	MaxSize int64  // bytes of one file; 0 = not said
}

// errNoService is wrapped when a server has no upload service.
var errNoService = errors.New("the server has no upload service")

// IQer asks over the stream; a stream session is one.
type IQer interface {
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// finder remembers what Find found. The lock is a channel, since who waits for
// another one's search must not wait longer than its own context.
type finder struct {
	lock  chan struct{}
	known Service
	err   error
	until time.Time

	forgets atomic.Bool  // the next look is a search
	told    atomic.Int64 // limit that a refusal told since the last search
}

// limited is what is known, with the limit that a refusal told.
func (f *finder) limited() Service {
	s := f.known
	if told := f.told.Load(); told > 0 {
		s.MaxSize = told
	}
	return s
}

func (f *finder) unlock() { <-f.lock }

// Find looks for the upload service of a server: that of the given address, or
// the first of the server's items (XEP-0363 §3, XEP-0030 §4) and the server
// itself that has the feature. An error that means "there is none" wraps a
// *sdk.Error of kind Unsupported.
func Find(ctx context.Context, stream IQer, from, server, address string) (Service, error) {
	if address != "" {
		s, ok, err := ask(ctx, stream, from, address)
		if err == nil && !ok {
			err = sdk.Errorf(sdk.Unsupported, "find upload service", "%s: %w", address, errNoService)
		}
		return s, err
	}
	candidates := []string{server}
	iq := &packet.IQ{Attrs: packet.Attrs{From: from, To: server, Type: "get"}, Payload: xmltok.New(nsItems, "query", "")}
	answer, err := stream.IQ(ctx, iq)
	var refusal *packet.Error
	if err != nil && !errors.As(err, &refusal) {
		return Service{}, fmt.Errorf("list services of %s: %w", server, err)
	}
	if err == nil {
		candidates = append(items(answer.Payload), server)
	}
	var silent error
	for _, c := range candidates {
		s, ok, err := ask(ctx, stream, from, c)
		if err == nil && ok {
			return s, nil
		}
		if err != nil && !errors.As(err, &refusal) {
			silent = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if silent != nil {
		return Service{}, fmt.Errorf("find upload service: %w", silent)
	}
	return Service{}, sdk.Errorf(sdk.Unsupported, "find upload service", "%s: %w", server, errNoService)
}

// items are the addresses of an answer to disco#items, without nodes.
func items(query xmltok.Element) []string {
	var out []string
	for c := range query.Children() {
		if len(out) == maxItems {
			break
		}
		if j := c.Get("jid"); c.Is(nsItems, "item") && j != "" && c.Get("node") == "" && !strings.Contains(j, "@") {
			out = append(out, j)
		}
	}
	return out
}

// ask reports whether an address takes uploads, and how large ones.
func ask(ctx context.Context, stream IQer, from, address string) (Service, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	iq := &packet.IQ{Attrs: packet.Attrs{From: from, To: address, Type: "get"}, Payload: xmltok.New(packet.NSDiscoInfo, "query", "")}
	answer, err := stream.IQ(ctx, iq)
	if err != nil {
		return Service{}, false, fmt.Errorf("ask %s what it is: %w", address, err)
	}
	s, ok := parseService(answer.Payload)
	s.Address = address
	return s, ok, nil
}

// parseService reads an answer to disco#info.
func parseService(query xmltok.Element) (s Service, ok bool) {
	for c := range query.Children() {
		switch {
		case c.Is(packet.NSDiscoInfo, "feature"):
			ok = ok || c.Get("var") == NS
		case c.Is(nsForms, "x") && formField(c, "FORM_TYPE") == NS:
			if n, err := strconv.ParseInt(formField(c, "max-file-size"), 10, 64); err == nil && n > 0 {
				s.MaxSize = n
			}
		}
	}
	return s, ok
}

// formField is the first value of a field (XEP-0004 §3.2).
func formField(form xmltok.Element, name string) string {
	for f := range form.Children() {
		if f.Is(nsForms, "field") && f.Get("var") == name {
			return strings.TrimSpace(f.ChildText(nsForms, "value"))
		}
	}
	return ""
}

// service gives the service to use, found at most once an hour.
func (u *Uploader) service(ctx context.Context, from string) (Service, error) {
	select {
	case u.found.lock <- struct{}{}:
		defer u.found.unlock()
	case <-ctx.Done():
		return Service{}, fmt.Errorf("find upload service: %w", ctx.Err())
	}
	if !u.found.forgets.Swap(false) && u.o.Now().Before(u.found.until) {
		return u.found.limited(), u.found.err
	}
	u.found.told.Store(0)
	s, err := Find(ctx, u.stream, from, u.o.Server, u.o.Service)
	keep := keepService
	switch {
	case err != nil && sdk.KindOf(err) == sdk.Unsupported:
		keep = keepNothing
	case err != nil:
		u.found.until = time.Time{}
		return Service{}, err // nothing was learnt
	}
	u.found.known, u.found.err, u.found.until = s, err, u.o.Now().Add(keep)
	return s, err
}

// Forget drops what is known of the service. Call it when the stream is down: the
// server may come back with another configuration.
func (u *Uploader) Forget() {
	u.found.forgets.Store(true)
}

// learn notes a limit that a refusal told (XEP-0363 §6).
func (u *Uploader) learn(limit int64) {
	u.found.told.Store(limit)
}
