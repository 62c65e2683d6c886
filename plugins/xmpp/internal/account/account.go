// Package account keeps in order what an account has and a component has not:
// its presence, copies of what its other clients get (XEP-0280), its archive, in
// which it finds what was said while it was away (XEP-0313), and requests to see
// its presence.
package account

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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
	// Take takes a message of the archive that came while the account was away,
	// or a live one that had to wait for those. It is called in their order.
	Take func(ctx context.Context, m *packet.Message)
	// After has done called when everything that was taken so far is in the
	// host's hands: only then the account no longer needs the archive for it.
	After func(ctx context.Context, done func()) error

	MaxAge   time.Duration // how far back the archive is read; default 7 days, negative = not at all
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
	epoch   int // of the stream
	at      position
	saved   position
	queries int
	query   string // under way; empty = none
	results []*packet.Message
	last    string        // archive id of the result that came last
	more    chan struct{} // cap 1: last has changed
	held    []*packet.Message
	lost    bool            // held was full: the archive has the rest
	taken   map[string]bool // archive ids that were taken since filling began; used by Run alone
	filling bool            // live messages wait until the hole is filled
	hole    bool            // the hole could not be read: the position stays before it
	again   time.Time       // when that is tried next
	since   mam.Question    // with which the last hole began
	known   map[string]bool // archive ids that were taken since then; as long as there are looks
	looks   []time.Time     // when it is looked through again for what the archive took late
}

// position says up to where the account has heard.
type position struct {
	ID string    `json:"id"` // of the archive; empty where the archive was empty, or there is none
	At time.Time `json:"at"` // zero = never
}

// Bounds and times.
const (
	storeKey  = "account/heard"
	maxHeld   = 4096 // live messages that wait; those that come then are read from the archive
	saveEvery = 2 * time.Second
	overlap   = 2 * time.Minute // read again where the archive no longer knows our position
	tries     = 3
	tryAgain  = time.Minute // pause after a hole could not be read
)

// lookAgain says when a hole is looked through again. What a server still had in
// hand for our stream when that broke, it puts into the archive when it notices,
// which may be after we have read it: ejabberd does so for streams that could be
// resumed.
var lookAgain = [...]time.Duration{2 * time.Second, 20 * time.Second}

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
	return &Account{o: o, stream: s, store: store, ups: make(chan struct{}, 1), more: make(chan struct{}, 1), taken: map[string]bool{}}
}

// StreamUp says that stanzas flow. A resumed stream lost nothing (XEP-0198 §5);
// any other one begins with what is in the archive.
func (a *Account) StreamUp(resumed bool) {
	if resumed {
		return
	}
	a.mu.Lock()
	a.filling = true
	a.epoch++
	a.mu.Unlock()
	select {
	case a.ups <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (a *Account) Run(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
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
			if a.due() {
				a.catchUp(ctx)
			}
		case <-a.ups:
			a.begin(ctx)
		}
	}
}

// due reports whether a hole is to be read now that could not be read before,
// and makes live messages wait for it.
func (a *Account) due() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.o.Now()
	if a.filling || !a.hole && (len(a.looks) == 0 || now.Before(a.looks[0])) || a.hole && now.Before(a.again) {
		return false
	}
	a.filling = true
	return true
}

// load reads our position of an earlier run.
func (a *Account) load(ctx context.Context) error {
	raw, err := a.store.Get(ctx, storeKey)
	if err != nil {
		return fmt.Errorf("read position in the archive: %w", err)
	}
	if raw == nil {
		return nil
	}
	var at position
	if err := json.Unmarshal(raw, &at); err != nil {
		a.o.Log.Warn("position in the archive is unreadable and begins anew", "error", err)
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at, a.saved = at, at
	return nil
}

// begin makes the account available, and fills the hole.
func (a *Account) begin(ctx context.Context) {
	if err := a.stream.Send(ctx, &packet.Presence{}); err != nil {
		a.o.Log.Debug("presence not sent", "error", err)
		return // the stream is down again
	}
	enable := &packet.IQ{Attrs: packet.Attrs{Type: "set"}, Payload: xmltok.New(convert.NSCarbons, "enable", "")}
	if _, err := a.ask(ctx, enable); err != nil {
		a.o.Log.Info("no copies of what other clients of the account get", "reason", err)
	}
	a.catchUp(ctx)
	a.settle(ctx)
}

// settle keeps where we are as soon as the host has what was taken: the very
// first position must not wait, since without one nothing counts as missed.
func (a *Account) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveEvery)
	defer cancel()
	settled := make(chan struct{})
	if a.o.After(ctx, func() { close(settled) }) != nil {
		return // the next save comes in time
	}
	select {
	case <-settled:
		a.save(ctx)
	case <-ctx.Done():
	}
}

func (a *Account) ask(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	return a.stream.IQ(ctx, iq)
}

// heard moves our position, when the host has all that was taken until now.
func (a *Account) heard(ctx context.Context, to position) {
	err := a.o.After(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.at = to
	})
	if err != nil {
		a.o.Log.Debug("position in the archive not moved", "error", err)
	}
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
	switch {
	case !a.filling || m.Type == "groupchat" || m.Type == "error":
		return false
	case a.lost || len(a.held) >= maxHeld:
		a.lost = true
	default:
		a.held = append(a.held, m)
	}
	return true
}

// Handled moves our position to a live message that somebody has taken. It is
// called after HandleMessage has left a message to others and they are done with
// it. The server takes forged ids out (XEP-0359 §3.1); a wrong one costs a longer
// look back.
func (a *Account) Handled(ctx context.Context, m *packet.Message) {
	id := a.archiveID(m)
	a.mu.Lock()
	moves := id != "" && !a.filling && !a.hole
	a.note(id)
	a.mu.Unlock()
	if moves {
		a.heard(ctx, position{ID: id, At: a.o.Now()})
	}
}

// archiveID gives the id under which our archive has a live message, or the one
// of which it is a copy; empty for none.
func (a *Account) archiveID(m *packet.Message) string {
	inner, kind := convert.Unwrap(m)
	switch {
	case kind == convert.Unwrapped:
		return m.StanzaID(a.o.JID)
	case inner != nil && (kind == convert.CarbonReceived || kind == convert.CarbonSent) && packet.SameJID(m.From, a.o.JID):
		return inner.StanzaID(a.o.JID)
	default:
		return ""
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
