package xmpp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/muc"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// link is one connection to a server with its rooms.
type link struct {
	id   sdk.LinkID
	peer sdk.LinkID // the other link of its gateway
	s    options
	host sdk.Host
	sess *stream.Session
	parts

	states chan stream.State // cap 16, oldest dropped: for reports

	mu    sync.Mutex
	ctx   runContext
	up    bool
	state stream.State            // as told last
	rooms map[string]*entry       // by normalised JID
	names map[sdk.RemoteID]string // operator's spelling -> normalised JID
}

// runContext is how rooms that come while Run works are started: by a function
// that Run gives, so that no context is kept.
type runContext struct {
	start func(*entry) // nil before Run and after it
}

// entry is a room and how to end it.
type entry struct {
	room   *muc.Room
	cancel context.CancelFunc // nil before Run
	done   chan struct{}
}

var (
	_ sdk.Link      = (*link)(nil)
	_ sdk.Deliverer = (*link)(nil)
	_ sdk.Placer    = (*link)(nil)
	_ sdk.Resolver  = (*link)(nil)
	_ sdk.Informed  = (*link)(nil)
)

// newLink makes a link. No I/O.
func newLink(cfg sdk.Config, s options, h sdk.Host) (*link, error) {
	l := &link{
		id: cfg.Link, peer: cfg.Gateway, s: s, host: h, states: make(chan stream.State, 16),
		rooms: map[string]*entry{}, names: map[sdk.RemoteID]string{},
	}
	opt := stream.Options{
		Address: s.Address, CAFile: s.TLS.CAFile, ServerName: s.TLS.ServerName, Plaintext: s.TLS.Plaintext.allowed(), Queue: s.Limits.Queue,
		BackoffMin: 250 * time.Millisecond, BackoffMax: 10 * time.Second,
		Software: stream.Software{Name: "bridgehost", Version: Version},
		Disco:    l.disco, OnState: l.onState, Log: h.Log(),
	}
	if s.TLS.Direct {
		opt.Security = stream.DirectTLS
	}
	if s.Mode == modeComponent {
		opt.Mode, opt.Domain, opt.Secret = stream.Component, s.Domain, s.Secret
		opt.BackoffMax = 3 * time.Second // the server is near, and ours alone: it may be asked often
	} else {
		opt.Mode, opt.Domain, opt.User = stream.Client, s.account.Domainpart(), s.account.Localpart()
		opt.Secret, opt.Resource = s.Password, s.Resource
	}
	sess, err := stream.New(opt)
	if err != nil {
		return nil, fmt.Errorf("open xmpp link %s: %w", cfg.Link, err)
	}
	l.sess = sess
	if err := l.newParts(cfg); err != nil {
		return nil, err
	}
	l.use(cfg.Places)
	return l, nil
}

// use makes and drops rooms so that they are those of places, and returns the
// new and the dropped ones. Called with mu held, or before the link is known.
func (l *link) use(places []sdk.PlaceUse) (added, dropped []*entry) {
	wanted := map[string]bool{}
	names := map[sdk.RemoteID]string{}
	l.usePlaces(places)
	for _, p := range places {
		at, err := parsePlace(p.ID)
		j := at.jid
		if err != nil || at.kind != placeRoom || wanted[j] {
			continue
		}
		wanted[j], names[p.ID] = true, j
		if e := l.rooms[j]; e != nil && l.names[p.ID] == j {
			e.room.SetUse(p.Source, p.Target)
			continue
		} else if e != nil { // spelled in another way now
			dropped = append(dropped, e)
		}
		e := &entry{room: muc.New(l.roomOptions(p, j), (*sender)(l.sess), l.host), done: make(chan struct{})}
		l.rooms[j] = e
		added = append(added, e)
	}
	for j, e := range l.rooms {
		if !wanted[j] {
			delete(l.rooms, j)
			dropped = append(dropped, e)
		}
	}
	l.names = names
	return added, dropped
}

// roomOptions gives the options of a room.
func (l *link) roomOptions(p sdk.PlaceUse, j string) muc.Options {
	room := l.s.rooms[j]
	o := muc.Options{
		Place: p.ID, JID: j, Tag: l.tag(), Source: p.Source, Target: p.Target,
		BotNick: convert.Nick(l.s.Nick), Password: room.Password, Create: l.s.Create,
		MaxText: int(l.s.Limits.MaxText), MaxPuppets: l.s.Limits.MaxPuppets,
		Idle: l.s.Idle, SelfPing: l.s.SelfPing, Settle: l.s.Timeout, Store: l.host.Store(), Link: l.id,
		Now: time.Now, Log: l.host.Log().With("room", j),
	}
	o.CatchUp = muc.CatchUp{MaxAge: l.s.CatchUp, MaxCount: l.s.CatchMax}
	if l.s.CatchUp == 0 {
		o.CatchUp.MaxAge = -1
	}
	o.Members, o.Bookmark = l.s.Members, l.s.Bookmark
	if room.Nick != "" {
		o.BotNick = convert.Nick(room.Nick)
	}
	if room.Create != nil {
		o.Create = *room.Create
	}
	if l.s.Mode == modeComponent {
		o.BotFrom = l.s.Domain + "/" + l.s.Resource
	}
	if l.s.puppets() {
		o.Puppet = l.puppet
	}
	return o
}

// tag gives the beginning of the ids of our messages.
func (l *link) tag() string {
	if l.s.Mode == modeComponent {
		return convert.Tag(l.id, l.s.Domain)
	}
	return convert.Tag(l.id, l.s.account.String())
}

// puppet gives the full JID of an author's puppet: the one that the host knows
// if it is of our domain, else the one that follows from the author's home.
func (l *link) puppet(a sdk.Actor) string {
	if j, err := packet.ParseJID(string(a.Puppet)); err == nil && j.Domainpart() == l.s.Domain && j.Localpart() != "" {
		return j.Bare().String() + "/" + l.s.Resource
	}
	if l.gate != nil && a.Home.Link == l.peer { // the same address as in a chat
		if j, err := l.gate.Virtual(string(a.Home.ID)); err == nil {
			return j.String() + "/" + l.s.Resource
		}
	}
	return convert.PuppetLocal(a.Home) + "@" + l.s.Domain + "/" + l.s.Resource
}

// Run implements sdk.Link.
func (l *link) Run(ctx context.Context) error {
	if l.users != nil {
		if err := l.users.Load(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Rooms get a context of their own, so that they can say goodbye while the
	// stream still lives.
	rooms, endRooms := context.WithCancel(ctx)
	streamCtx, endStream := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var once sync.Once
	var broken error
	wg.Go(func() { l.report(ctx) })
	var goodbyes sync.WaitGroup // parts that say something at their end
	l.run(rooms, &goodbyes, func(err error) {
		once.Do(func() { broken = err })
		endRooms()
	})
	l.begin(rooms, &wg)
	wg.Go(func() {
		<-rooms.Done()
		l.endRooms()
		goodbyes.Wait()
		endStream()
	})
	err := l.sess.Run(streamCtx, stream.Handler{Message: l.message, Presence: l.presence, IQ: l.request})
	endRooms()
	cancel()
	wg.Wait()
	l.fetch.Close()
	l.upload.Close()
	switch {
	case broken != nil:
		return broken
	case err != nil && !errors.Is(err, context.Canceled):
		return l.fatal(err)
	}
	return nil
}

// fatal names the cause of an end that only the operator can repair.
func (l *link) fatal(err error) error {
	e := &sdk.Error{Op: "run link " + string(l.id), Kind: sdk.Internal, Err: err}
	switch {
	case errors.Is(err, stream.ErrAuth):
		e.Kind, e.Public = sdk.Unauthorized, "the server refuses the credentials"
	case errors.Is(err, stream.ErrConflict):
		e.Kind, e.Public = sdk.Conflict, "another program has connected in our name"
	}
	return e
}

// begin starts the rooms, and makes later ones start at once.
func (l *link) begin(ctx context.Context, wg *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctx.start = func(e *entry) {
		roomCtx, cancel := context.WithCancel(ctx)
		e.cancel = cancel
		wg.Go(func() {
			defer close(e.done)
			defer cancel()
			if err := e.room.Run(roomCtx); err != nil {
				l.host.Log().Error("room ended", "error", err)
			}
		})
		if l.up {
			e.room.StreamUp(false)
		}
	}
	for _, e := range l.rooms {
		l.ctx.start(e)
	}
}

// endRooms waits until all rooms have been left.
func (l *link) endRooms() {
	l.mu.Lock()
	l.ctx.start = nil
	var all []*entry
	for _, e := range l.rooms {
		all = append(all, e)
	}
	l.mu.Unlock()
	for _, e := range all {
		<-e.done
	}
}

// SetPlaces implements sdk.Placer.
func (l *link) SetPlaces(ctx context.Context, places []sdk.PlaceUse) error {
	s := l.s
	var f faults
	if s.checkPlaces(&f, places); len(f.list) > 0 {
		return &sdk.Error{Op: "use places", Kind: sdk.Invalid, Err: &sdk.ConfigError{Faults: f.list}}
	}
	l.mu.Lock()
	added, dropped := l.use(places)
	start := l.ctx.start
	if start != nil {
		for _, e := range added {
			start(e)
		}
	}
	l.mu.Unlock()
	for _, e := range dropped {
		if e.cancel == nil {
			continue
		}
		e.cancel()
		select {
		case <-e.done:
		case <-ctx.Done():
			return fmt.Errorf("leave room %s: %w", e.room.JID(), ctx.Err())
		}
	}
	return nil
}

// Deliver implements sdk.Deliverer.
func (l *link) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if d := batch[0].Deadline; !d.IsZero() {
		// Leave the host time to hear of what is still open.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.Add(-time.Second))
		defer cancel()
	}
	ready, lost, later := l.rehost(ctx, batch)
	var receipts []sdk.Receipt
	if len(ready) > 0 {
		receipts = l.deliver(ctx, ready)
	}
	for i := range receipts {
		if r := &receipts[i]; r.Err == nil {
			r.Loss = append(r.Loss, lost[r.Delivery]...)
		}
	}
	if later != nil {
		receipts = append(receipts, refuse(batch[len(ready):], later)...)
	}
	return receipts, nil
}

// deliver hands a batch to what its place is.
func (l *link) deliver(ctx context.Context, batch []sdk.Delivery) []sdk.Receipt {
	if receipts, ok := l.elsewhere(ctx, batch); ok {
		return receipts
	}
	l.mu.Lock()
	e := l.rooms[l.names[batch[0].Place]]
	l.mu.Unlock()
	if e == nil {
		return refuse(batch, sdk.Errorf(sdk.NotFound, "deliver to "+string(batch[0].Place), "no place of link %s", l.id))
	}
	return e.room.Deliver(ctx, batch)
}
