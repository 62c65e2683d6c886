package stream

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"bridgehost/plugins/xmpp/internal/packet"
)

// tracker matches answers to requests by id and sender (RFC 6120 §8.1.2.1 and §8.2.3).
type tracker struct {
	domain string

	mu      sync.Mutex
	account string // full JID of a client; "" for a component
	bare    string
	waiting map[iqKey]func(*packet.IQ, error)
}

// iqKey names a request: its id, and who must answer. The peer is "" for the own server acting for the own account.
type iqKey struct{ id, peer string }

func (t *tracker) init(domain string) {
	t.domain = domain
	t.waiting = make(map[iqKey]func(*packet.IQ, error))
}

// bound tells the tracker the client's address.
func (t *tracker) bound(full string) {
	bare := ""
	if j, err := packet.ParseJID(full); err == nil {
		bare = j.Bare().String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account, t.bare = full, bare
}

// peer normalises an address for a key. An absent address means the account itself to a client's server, as does the bare JID.
func (t *tracker) peer(addr string) string {
	j, err := packet.ParseJID(addr)
	if err != nil {
		return "!" + addr // matches the same unparsable bytes only
	}
	s := j.String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.account != "" && s == t.bare {
		return ""
	}
	return s
}

// add registers a request before it is sent.
func (t *tracker) add(id, to string, deliver func(*packet.IQ, error)) (iqKey, error) {
	k := iqKey{id: id, peer: t.peer(to)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, dup := t.waiting[k]; dup {
		return k, fmt.Errorf("iq: %w: %w: id %q is in use", ErrNotWritten, ErrRefused, id)
	}
	t.waiting[k] = deliver
	return k, nil
}

// drop forgets a request and reports whether it still waited.
func (t *tracker) drop(k iqKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.waiting[k]
	delete(t.waiting, k)
	return ok
}

// deliver hands an answer to its request. False: nobody asked this sender under this id.
func (t *tracker) deliver(iq *packet.IQ) bool {
	keys := []iqKey{{iq.ID, t.peer(iq.From)}}
	t.mu.Lock()
	// A server may answer for the account from the full JID or, as older ones do, from its domain (RFC 6120 §8.1.2.1, §10.3.3).
	if t.account != "" && (iq.From == t.account || packet.SameJID(iq.From, t.domain)) {
		keys = append(keys, iqKey{iq.ID, ""})
	}
	var f func(*packet.IQ, error)
	for _, k := range keys {
		if found, ok := t.waiting[k]; ok {
			f = found
			delete(t.waiting, k)
			break
		}
	}
	t.mu.Unlock()
	if f == nil {
		return false
	}
	f(iq, nil)
	return true
}

// failAll ends every request.
func (t *tracker) failAll(err error) {
	t.mu.Lock()
	all := t.waiting
	t.waiting = make(map[iqKey]func(*packet.IQ, error))
	t.mu.Unlock()
	for _, f := range all {
		f(nil, err)
	}
}

func (t *tracker) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

// newID returns an id that nobody can guess.
func newID() string { return rand.Text() }

// IQ sends a request (type get or set; get if empty) and returns the answer. An empty ID is filled in; a component's request needs From
// and To. A refusal is returned as the answer together with its *packet.Error. Only an answer of the address that was asked counts; others
// with the same id are ignored. Without a deadline in ctx the request expires after Options.IQTimeout.
func (s *Session) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	req := *iq
	if req.ID == "" {
		req.ID = newID()
	}
	if req.Type == "" {
		req.Type = "get"
	}
	if !req.IsRequest() {
		return nil, fmt.Errorf("iq: %w: %w: type %q asks for nothing", ErrNotWritten, ErrRefused, req.Type)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opt.IQTimeout)
		defer cancel()
	}
	type answer struct {
		iq  *packet.IQ
		err error
	}
	ch := make(chan answer, 1)
	key, err := s.iqs.add(req.ID, req.To, func(iq *packet.IQ, err error) { ch <- answer{iq, err} })
	if err != nil {
		return nil, err
	}
	defer s.iqs.drop(key)
	if err := s.Send(ctx, &req); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		if a.err == nil && a.iq.Type == "error" {
			return a.iq, refusal(a.iq)
		}
		return a.iq, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("iq to %q: %w: %w", req.To, ErrMaybeWritten, ctx.Err())
	}
}

// refusal is the error of an answer of the type "error", which should have one inside.
func refusal(iq *packet.IQ) error {
	if iq.Error != nil {
		return iq.Error
	}
	return &packet.Error{Type: "cancel", Condition: "undefined-condition"}
}
