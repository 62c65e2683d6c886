// Package muc keeps a link's places in order that are rooms (XEP-0045): who of
// ours is in them and under which nick, what is sent and not yet reflected, and
// what the room says.
//
// A Room never reads from the stream: the link hands it the stanzas from the
// room, one after another, and tells it when the stream goes and comes.
package muc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Stream is what a room needs of the session.
type Stream interface {
	// Send writes one stanza.
	Send(ctx context.Context, p packet.Stanza) error
	// SendRaw writes one message that is already escaped; from is its from
	// attribute.
	SendRaw(ctx context.Context, from string, stanza []byte) error
	// IQ asks and waits for the answer; a refusal is a *packet.Error.
	IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error)
}

// Host is what a room needs of the host.
type Host interface {
	Publish(ctx context.Context, events ...sdk.Event) error
	Report(ctx context.Context, reports ...sdk.Report) error
}

// Options configure a Room. Fields without a default are required.
type Options struct {
	Place  sdk.RemoteID // as the operator wrote it
	JID    string       // normalised bare JID
	Tag    string       // beginning of our message ids, from convert.Tag
	Source bool         // events of the room are wanted
	Target bool         // deliveries go to the room

	BotFrom string // full JID of the link's own occupant; empty on a client's stream
	BotNick string
	// Puppet gives the full JID of an author's own occupant; nil where all
	// authors share the link's.
	Puppet   func(sdk.Actor) string
	Password string
	Create   bool // make the room if it does not exist

	MaxText    int           // bytes of an escaped body
	MaxPuppets int           // occupants at the same time; further authors share the link's own
	Idle       time.Duration // a puppet that says nothing for so long leaves; 0 = never
	SelfPing   time.Duration // silence after which an occupant asks whether it is still in (XEP-0410); 0 = never
	Settle     time.Duration // how long a join, a reflection or a reconnect is waited for

	Link    sdk.LinkID // the link's own name, for members in events
	Members bool       // tell who comes and goes
	// Bookmark notes the room among the account's bookmarks (XEP-0402); for
	// accounts only.
	Bookmark bool
	CatchUp  CatchUp // bounds of what is read after a time without us
	Store    Store   // keeps up to where the room has been heard; nil = only as long as the Room lives

	Now func() time.Time
	Log *slog.Logger
}

// Bounds of what a room keeps in memory.
const (
	maxWaiting = 4096 // messages that the host has not taken yet; a full buffer stops the reading
	maxSeen    = 4096 // messages whose ids are remembered for corrections and replies
	maxMembers = 4096 // occupants whose addresses are known
	prefill    = 50   // messages of the history that are asked for to know their ids
)

// Room is one room.
type Room struct {
	o      Options
	stream Stream
	host   Host

	wake  chan struct{} // cap 1: something for Run to look at
	heard chan heard    // to the pump; closed never
	space chan struct{} // cap 1: the pump has taken something from heard
	let   chan struct{} // cap 1: asking has changed, or something was missed

	mu        sync.Mutex
	up        bool
	upped     chan struct{} // closed while the stream is up
	upAt      time.Time     // when the stream began
	epoch     int           // counts streams
	info      *info         // what the room says of itself; nil = not asked on this stream
	occupants map[string]*occupant
	byFrom    map[string]*occupant // by the JID that it acts from
	nicks     map[string]*occupant // nicks that are ours
	bot       *occupant
	shut      *occupant // whom the room refused last, so that the room is down; Run tries again with it
	watcher   *occupant // whose presences the members are read from
	members   map[string]*member
	joins     uint64 // counts members that came
	pending   map[string]*pending
	looked    *looked         // what the last search of the archive found
	doubted   map[string]bool // messages sent on this stream whose reflection did not come
	seen      *seen
	past      *seen // messages that were looked up

	comings allowance            // of events about who comes and goes
	noticed map[string]time.Time // who was told that the bridge reads no private messages
	stale   bool                 // the room's configuration has changed
	ended   *sdk.Error           // why the room is no more
	title   string               // that was told last
	// bookmarked is 1 + the epoch in which the room was noted among the bookmarks.
	bookmarked int
	most       int            // longest text that the server is believed to take; 0 = as configured
	suspects   map[string]int // long messages with which the connection was lost, and how often

	asked    map[string]*replay // queries of the archive under way
	queries  int
	asking   int    // queries that the pump waits for
	missed   bool   // something was left to the archive; nothing is queued until it is read
	enqueued uint64 // messages that went to the pump
	done     uint64 // messages that the pump has handed over
	tail     tail

	mark        mark      // up to where the room has been heard; written by the pump alone
	heardAt     time.Time // mark.At, for others than the pump
	replaySince time.Time // mark.At when the link's own occupant came in
	recent      *ring     // what has been heard
	dirty       bool
	dropped     bool // the mark is to be deleted
	saved       time.Time
	again       time.Time // when the hole is read again; zero = there is none
	lookAgain   time.Time // when the archive is asked again for single messages

	state    sdk.Report
	reported sdk.Report
	retry    time.Time // when Run tries again to join
	fails    int
}

// New gives a room in which nobody of ours is yet. No I/O.
func New(o Options, stream Stream, host Host) *Room {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Settle <= 0 {
		o.Settle = 20 * time.Second
	}
	o.CatchUp = o.CatchUp.withDefaults()
	r := &Room{
		o: o, stream: stream, host: host,
		wake: make(chan struct{}, 1), heard: make(chan heard, maxWaiting), space: make(chan struct{}, 1), let: make(chan struct{}, 1), upped: make(chan struct{}),
		occupants: map[string]*occupant{}, byFrom: map[string]*occupant{}, nicks: map[string]*occupant{},
		members: map[string]*member{}, pending: map[string]*pending{}, doubted: map[string]bool{}, seen: newSeen(maxSeen),
		past: newSeen(maxPast), asked: map[string]*replay{}, noticed: map[string]time.Time{}, suspects: map[string]int{}, recent: newRing(maxRecent),
	}
	r.bot = &occupant{from: o.BotFrom, want: o.BotNick, nick: o.BotNick, prefix: convert.MessagePrefix("groupchat", o.BotFrom, o.JID)}
	r.occupants[""] = r.bot
	r.byFrom[o.BotFrom] = r.bot
	r.state = sdk.Report{Place: o.Place, State: sdk.StateStarting, Reason: "not connected yet"}
	return r
}

// JID gives the normalised bare JID.
func (r *Room) JID() string { return r.o.JID }

// Source reports whether events of the room are wanted.
func (r *Room) Source() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.o.Source
}

// SetUse changes how the operator's routes use the room.
func (r *Room) SetUse(source, target bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.o.Source && !source {
		r.forget()
	}
	r.o.Source, r.o.Target = source, target
	r.ended = nil
	r.nudge()
}

// nudge wakes Run; it never blocks.
func (r *Room) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// StreamUp says that stanzas flow. With resumed the stream goes on where it was
// (XEP-0198), and so do the occupants.
func (r *Room) StreamUp(resumed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !resumed {
		r.reset("the connection was lost")
		r.upAt, r.ended = r.o.Now(), nil
		r.looked, r.doubted = nil, map[string]bool{}
	}
	if !r.up {
		r.up = true
		close(r.upped)
	}
	r.retry, r.fails = time.Time{}, 0
	r.nudge()
}

// StreamDown says that nothing can be sent. With lost the stream will not be
// resumed: nobody of ours is in the room any more, and what was not reflected
// may or may not be there.
func (r *Room) StreamDown(lost bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up {
		r.up = false
		r.upped = make(chan struct{})
	}
	if lost {
		r.reset("the connection was lost")
	}
	r.setState(sdk.StateDown, "not connected")
}

// reset forgets what only holds for one stream. Called with mu held.
func (r *Room) reset(why string) {
	r.epoch++
	r.info = nil
	r.suspect()
	for _, o := range r.occupants {
		r.gone(o, sdk.Errorf(sdk.Transient, "stay in "+r.o.JID, "%s", why))
		o.refused = time.Time{}
	}
}

// waitUp waits until the stream is up.
func (r *Room) waitUp(ctx context.Context) *sdk.Error {
	r.mu.Lock()
	up, ended := r.upped, r.ended
	r.mu.Unlock()
	if ended != nil {
		return ended
	}
	select {
	case <-up:
		return nil
	default:
	}
	t := time.NewTimer(r.o.Settle)
	defer t.Stop()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
	case <-t.C:
	}
	return &sdk.Error{Op: "send to " + r.o.JID, Kind: sdk.Transient, Public: "the XMPP server cannot be reached now"}
}

// setState notes the state of the place; Run reports it. Called with mu held.
func (r *Room) setState(s sdk.State, reason string) {
	r.state.State, r.state.Reason = s, reason
	r.nudge()
}

// report tells the host the state if it changed.
func (r *Room) report(ctx context.Context) {
	r.mu.Lock()
	now := r.state
	same := now == r.reported
	r.reported = now
	r.mu.Unlock()
	if same {
		return
	}
	if err := r.host.Report(ctx, now); err != nil && ctx.Err() == nil {
		r.o.Log.Warn("state of room not reported", "error", err)
		r.mu.Lock()
		r.reported = sdk.Report{}
		r.mu.Unlock()
	}
}

// Run keeps the room until ctx ends: it joins where events are wanted, hands
// events to the host, looks whether we are still in, and lets idle puppets go.
func (r *Room) Run(ctx context.Context) error {
	if r.loadMark(ctx) != nil {
		return nil // ctx has ended before anything was begun
	}
	// The pump outlives the rest, so that what was heard before the end is
	// handed over.
	pumping, stopPump := context.WithCancel(context.WithoutCancel(ctx))
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		r.pump(pumping)
	}()
	defer func() {
		stopPump()
		<-pumped
	}()
	const turn = 15 * time.Second
	timer := time.NewTimer(turn)
	defer timer.Stop()
	for {
		r.report(ctx)
		next := turn
		if d := r.settle(ctx); d > 0 && d < next {
			next = d
		}
		r.report(ctx)
		timer.Reset(next)
		select {
		case <-ctx.Done():
			r.leaveAll()
			return nil
		case <-r.wake:
		case <-timer.C:
			r.checkOccupants(ctx)
		}
	}
}

// settle joins the room where that is wanted and due. It returns how long to
// wait before the next attempt, 0 when there is nothing to wait for.
func (r *Room) settle(ctx context.Context) time.Duration {
	r.mu.Lock()
	now := r.o.Now()
	wait := r.retry.Sub(now)
	source, bot, shut := r.o.Source, r.bot, r.shut
	known := r.info != nil
	if r.up && r.stale && known && r.anyIn() != nil {
		r.mu.Unlock()
		if err := r.refresh(ctx); err != nil {
			r.o.Log.Debug("room not asked again", "error", err)
		}
		r.mu.Lock()
	}
	if !r.up || r.ended != nil || wait > 0 || shut == nil && (source && bot.phase == in || !source && known) {
		r.mu.Unlock()
		return max(wait, 0)
	}
	listen := source && bot.phase != in
	if shut != nil {
		shut.refused, bot.refused = time.Time{}, time.Time{} // this is the time to ask again
	}
	r.mu.Unlock()
	var err *sdk.Error
	switch {
	case listen:
		if err = r.enter(ctx, bot, time.Time{}); err == nil {
			r.bookmark(ctx)
		}
	case shut != nil:
		err = r.reopen(ctx, shut, source)
	default:
		err = r.probe(ctx, bot.from)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.fails, r.retry = 0, time.Time{}
		return 0
	}
	r.fails++
	pause := min(time.Second<<min(r.fails, 4), 15*time.Second)
	r.retry = r.o.Now().Add(pause)
	if r.up {
		r.setState(sdk.StateDown, reasonOf(err))
	}
	return pause
}

// reopen asks again with an occupant that the room refused, so that the lane
// need not wait for its next attempt, which may be an hour away. The link's own
// occupant does not stay where authors have theirs and nobody listens.
func (r *Room) reopen(ctx context.Context, o *occupant, source bool) *sdk.Error {
	err := r.enter(ctx, o, time.Time{})
	if err == nil && o == r.bot && r.o.Puppet != nil && !source {
		r.leave(ctx, o)
	}
	return err
}

// reasonOf gives the text of an error for operators and senders.
func reasonOf(err *sdk.Error) string {
	if err.Public != "" {
		return err.Public
	}
	return err.Error()
}
