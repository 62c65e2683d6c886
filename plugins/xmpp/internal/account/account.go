// Package account keeps in order what an account has and a component has not:
// its presence, copies of what its other clients get (XEP-0280), its archive, in
// which it finds what was said while it was away (XEP-0313), and requests to see
// its presence.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Stream is what an account needs of the session.
type Stream interface {
	Send(ctx context.Context, p packet.Stanza) error
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// Store keeps a value durably; sdk.Store is one.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte) error
}

// Approval says whose requests to see the account's presence are granted.
type Approval string

// Kinds of approval.
const (
	ApprovePlaces    Approval = "places" // of people with whom a route talks
	ApproveEverybody Approval = "everybody"
	ApproveNobody    Approval = "nobody"
)

// Options configure an Account. Fields without a default are required.
type Options struct {
	JID      string // bare
	Approval Approval
	// Talks reports whether a route talks with a person, a bare JID.
	Talks func(bare string) bool
	// Take takes a message of the archive that came while the account was away.
	// It is called in the order of the archive, before live messages go on.
	Take func(ctx context.Context, m *packet.Message)

	MaxAge   time.Duration // how far back the archive is read; default 7 days
	MaxCount int           // most messages that are read; default 10,000
	Timeout  time.Duration // of one request; default 30 s
	Now      func() time.Time
	Log      *slog.Logger
}

// Account is the account of a link.
type Account struct {
	o      Options
	stream Stream
	store  Store
	ups    chan struct{} // cap 1: the stream is up anew

	mu      sync.Mutex
	at      position
	saved   position
	query   string // under way; empty = none
	results []*packet.Message
	last    string        // archive id of the result that came last
	more    chan struct{} // cap 1: last has changed
	held    []*packet.Message
	filling bool // live messages wait until the hole is filled
}

// position says up to where the account has heard.
type position struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Bounds and times.
const (
	storeKey  = "account/heard"
	maxHeld   = 4096 // live messages that wait; a full list stops the reading of the archive
	saveEvery = 2 * time.Second
	overlap   = time.Minute // read again where the archive no longer knows our position
)

// New makes an account. No I/O.
func New(o Options, s Stream, store Store) *Account {
	if o.MaxAge == 0 {
		o.MaxAge = 7 * 24 * time.Hour
	}
	if o.MaxCount == 0 {
		o.MaxCount = 10_000
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	return &Account{o: o, stream: s, store: store, ups: make(chan struct{}, 1), more: make(chan struct{}, 1)}
}

// StreamUp says that stanzas flow. A resumed stream lost nothing (XEP-0198 §5);
// any other one begins with what is in the archive.
func (a *Account) StreamUp(resumed bool) {
	if resumed {
		return
	}
	a.mu.Lock()
	a.filling = true
	a.mu.Unlock()
	select {
	case a.ups <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (a *Account) Run(ctx context.Context) error {
	raw, err := a.store.Get(ctx, storeKey)
	if err != nil {
		return fmt.Errorf("read position in the archive: %w", err)
	}
	if raw != nil {
		if err := json.Unmarshal(raw, &a.at); err != nil {
			a.o.Log.Warn("position in the archive is unreadable and begins anew", "error", err)
		}
	}
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveEvery)
			a.save(end)
			cancel()
			return nil
		case <-tick.C:
			a.save(ctx)
		case <-a.ups:
			a.begin(ctx)
		}
	}
}

// begin makes the account available, and fills the hole.
func (a *Account) begin(ctx context.Context) {
	if err := a.stream.Send(ctx, &packet.Presence{}); err != nil {
		a.o.Log.Debug("presence not sent", "error", err)
		return // the stream is down again
	}
	enable := &packet.IQ{Attrs: packet.Attrs{Type: "set"}, Payload: xmltok.New(convert.NSCarbons, "enable", "")}
	if err := a.ask(ctx, enable, nil); err != nil {
		a.o.Log.Info("no copies of what other clients of the account get", "reason", err)
	}
	if err := a.fill(ctx); err != nil {
		a.o.Log.Warn("archive not read, what was said while we were away is missing", "error", err)
	}
	a.release(ctx)
}

func (a *Account) ask(ctx context.Context, iq *packet.IQ, answer **packet.IQ) error {
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	got, err := a.stream.IQ(ctx, iq)
	if err == nil && answer != nil {
		*answer = got
	}
	return err
}

// fill hands over what the archive has since our position. Without a position
// nothing has been missed: the archive is asked where it ends.
func (a *Account) fill(ctx context.Context) error {
	a.mu.Lock()
	at := a.at
	a.mu.Unlock()
	if at.At.IsZero() {
		_, end, err := a.page(ctx, mam.Question{Back: true, Max: 1})
		if err != nil {
			return err
		}
		a.heard(end.Last, a.o.Now())
		return nil
	}
	question := mam.Question{After: at.ID}
	if oldest := a.o.Now().Add(-a.o.MaxAge); at.ID == "" || at.At.Before(oldest) {
		question = mam.Question{Start: later(at.At.Add(-overlap), oldest)}
	}
	count := 0
	for {
		list, page, err := a.page(ctx, question)
		var refusal *packet.Error
		if errors.As(err, &refusal) && refusal.Condition == "item-not-found" && question.Start.IsZero() {
			question = mam.Question{Start: at.At.Add(-overlap)} // our position is no longer in the archive
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range list {
			a.o.Take(ctx, m)
		}
		if count += len(list); count >= a.o.MaxCount {
			a.o.Log.Warn("archive is read no further", "messages", count)
			return nil
		}
		if page.Last != "" {
			a.heard(page.Last, a.o.Now())
		}
		if page.Complete || page.Last == "" {
			return nil
		}
		question.After = page.Last
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// page asks for a page. Results come before the answer on the stream, but the
// answer overtakes what waits for the handler, so the page ends when the result
// that it names as the last has been handled.
func (a *Account) page(ctx context.Context, ask mam.Question) ([]*packet.Message, mam.Page, error) {
	query := "bh" + strconv.FormatInt(a.o.Now().UnixNano(), 36)
	a.mu.Lock()
	a.query, a.results, a.last = query, nil, ""
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.query = ""
		a.mu.Unlock()
	}()
	payload, err := ask.Payload(query)
	if err != nil {
		return nil, mam.Page{}, fmt.Errorf("ask archive: %w", err)
	}
	var answer *packet.IQ
	if err := a.ask(ctx, &packet.IQ{Attrs: packet.Attrs{Type: "set"}, Payload: payload}, &answer); err != nil {
		return nil, mam.Page{}, fmt.Errorf("ask archive: %w", err)
	}
	page := mam.ReadPage(answer.Payload)
	timer := time.NewTimer(a.o.Timeout)
	defer timer.Stop()
	for {
		a.mu.Lock()
		list, handled := a.results, page.Last == "" || a.last == page.Last
		a.mu.Unlock()
		if handled {
			return list, page, nil
		}
		select {
		case <-a.more:
		case <-timer.C: // a result over the stream's limits was skipped: it must not hold up the others
			a.o.Log.Warn("a message of the archive could not be read", "id", page.Last)
			return list, page, nil
		case <-ctx.Done():
			return nil, mam.Page{}, fmt.Errorf("read archive: %w", ctx.Err())
		}
	}
}

// heard moves our position.
func (a *Account) heard(id string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = position{ID: id, At: at}
}

// save writes our position where it has moved.
func (a *Account) save(ctx context.Context) {
	a.mu.Lock()
	at, saved := a.at, a.saved
	a.mu.Unlock()
	if at == saved || at.At.IsZero() {
		return
	}
	raw, err := json.Marshal(at)
	if err == nil {
		err = a.store.Set(ctx, storeKey, raw)
	}
	if err != nil {
		a.o.Log.Warn("position in the archive not kept", "error", err)
		return
	}
	a.mu.Lock()
	a.saved = at
	a.mu.Unlock()
}

// HandleMessage looks at every message to the account before anybody else. It
// takes results of our own questions (XM-07), and keeps live messages back until
// what came before them has been handed over: then it is true.
func (a *Account) HandleMessage(m *packet.Message) bool {
	if result, ok := m.Extension(convert.NSMAM, "result"); ok {
		return a.result(m, result)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.filling && m.Type != "groupchat" && m.Type != "error" && len(a.held) < maxHeld {
		a.held = append(a.held, m)
		return true
	}
	a.seen(m)
	return false
}

// seen moves our position to a live message that the archive has. The server
// takes forged ids out (XEP-0359 §3.1); a wrong one costs a longer look back.
// Called with mu held.
func (a *Account) seen(m *packet.Message) {
	if id := m.StanzaID(a.o.JID); id != "" && !a.filling {
		a.at = position{ID: id, At: a.o.Now()}
	}
}

// result keeps a result of the question that is under way. Only our own
// account's archive counts, which answers without an address or with our own.
func (a *Account) result(m *packet.Message, result xmltok.Element) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.query == "" || result.Get("queryid") != a.query || m.From != "" && !packet.SameJID(m.From, a.o.JID) {
		return false
	}
	inner, kind := convert.Unwrap(m)
	a.last = result.Get("id")
	if kind == convert.Archived && inner != nil && len(a.results) < 4*mam.PageSize && !packet.SameJID(convert.Bare(inner.From), a.o.JID) {
		forwarded, _ := result.Child(convert.NSForward, "forwarded")
		if delay, ok := forwarded.Child(packet.NSDelay, "delay"); ok { // when the archive took it
			inner.Extensions = append(inner.Extensions, delay)
		}
		a.results = append(a.results, inner)
	}
	select {
	case a.more <- struct{}{}:
	default:
	}
	return true
}

// release hands over the live messages that waited, and lets the next ones go on.
func (a *Account) release(ctx context.Context) {
	for {
		a.mu.Lock()
		list := a.held
		a.held = nil
		if len(list) == 0 {
			a.filling = false
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		for _, m := range list {
			a.o.Take(ctx, m)
			a.mu.Lock()
			if id := m.StanzaID(a.o.JID); id != "" {
				a.at = position{ID: id, At: a.o.Now()}
			}
			a.mu.Unlock()
		}
	}
}

// HandlePresence answers requests to see the account's presence, and reports
// whether it was one (RFC 6121 §3.1).
func (a *Account) HandlePresence(ctx context.Context, p *packet.Presence) bool {
	if p.Type != "subscribe" {
		return false
	}
	bare := convert.Bare(p.From)
	grant := a.o.Approval == ApproveEverybody || a.o.Approval == ApprovePlaces && a.o.Talks(bare)
	answers := []string{"unsubscribed"}
	if grant {
		answers = []string{"subscribed", "subscribe"}
	}
	for _, typ := range answers {
		if err := a.stream.Send(ctx, &packet.Presence{Attrs: packet.Attrs{To: bare, Type: typ}}); err != nil {
			a.o.Log.Debug("request for presence not answered", "error", err)
		}
	}
	return true
}
