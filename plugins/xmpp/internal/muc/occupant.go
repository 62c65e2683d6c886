package muc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// phase says where an occupant stands.
type phase uint8

const (
	out phase = iota
	joining
	in
)

// occupant is one of ours in the room. All fields but the first four belong to
// Room.mu.
type occupant struct {
	key    string  // author's JID at this link; empty for the link's own occupant
	from   string  // full JID that it acts from; empty on a client's stream
	prefix []byte  // beginning of its messages
	own    string  // network of the author, for a suffix of the nick
	home   sdk.Ref // the author; zero for the link's own occupant

	want  string // nick that it should have
	nick  string // nick that it has, or asks for
	phase phase

	answer  chan answer   // cap 1: what the room says to the presence sent last; nil when nothing is awaited
	attempt chan struct{} // closed when the attempt under way ends
	err     *sdk.Error    // why it is not in
	refused time.Time     // until when the refusal is believed
	barred  bool          // the refusal is about this occupant alone
	outcast bool          // the refusal says that it is banned
	muted   bool          // the room put it out: nobody else speaks for it

	role      string // as the room says (XEP-0045 §5.1)
	powerless int    // 1 + the epoch in which it was found to be no moderator

	leaving   bool // the room has not confirmed yet that it left
	replaying bool // the room still tells its history
	replay    *replay
	used      time.Time // when it spoke last
	heard     time.Time // when the room last showed that it is in
}

// answer is the room's answer to a presence.
type answer struct {
	err     *packet.Error
	created bool // status 201: the room did not exist
}

// maxTries bounds the nicks that are tried in a row.
const maxTries = 12

// enter brings an occupant into the room, and waits for it. With since the room
// is asked for what was said since then.
func (r *Room) enter(ctx context.Context, o *occupant, since time.Time) *sdk.Error {
	for {
		r.mu.Lock()
		switch {
		case o.phase == in && since.IsZero():
			r.mu.Unlock()
			return nil
		case o.phase == joining:
			attempt := o.attempt
			r.mu.Unlock()
			select {
			case <-attempt:
				continue
			case <-ctx.Done():
				return sdk.AsError("join "+r.o.JID, ctx.Err())
			}
		case !r.up:
			r.mu.Unlock()
			return &sdk.Error{Op: "join " + r.o.JID, Kind: sdk.Transient, Public: "the XMPP server cannot be reached now"}
		case o.err != nil && r.o.Now().Before(o.refused):
			err := o.err
			r.mu.Unlock()
			return err
		}
		o.phase, o.attempt, o.barred, o.outcast, o.muted = joining, make(chan struct{}), false, false, false
		epoch := r.epoch
		r.mu.Unlock()
		return r.attempt(ctx, o, since, epoch)
	}
}

// attempt is one attempt to join, with as many nicks as it takes.
func (r *Room) attempt(ctx context.Context, o *occupant, since time.Time, epoch int) *sdk.Error {
	err := r.probe(ctx, o.from)
	if err == nil {
		err = r.tryNicks(ctx, o, since)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(o.attempt)
	o.answer = nil
	if err == nil && (r.epoch != epoch || o.phase != in) {
		err = sdk.Errorf(sdk.Transient, "join "+r.o.JID, "the connection was lost")
	}
	if err == nil {
		o.err, o.used = nil, r.o.Now()
		if r.shut != nil {
			r.letIn()
		}
		if o == r.bot || !r.o.Source || r.bot.phase == in { // a source works when it is listened to
			r.setState(sdk.StateUp, r.joinedAs(o))
		}
		return nil
	}
	if o.phase == joining {
		o.phase = out
	}
	if r.watcher == o && o.phase == out {
		r.watcher = nil
		clear(r.members)
	}
	o.err = err
	if err.After > 0 {
		o.refused = r.o.Now().Add(err.After)
	}
	if r.up && (o.key == "" || !o.barred) {
		if r.shut == nil {
			r.retry = r.o.Now().Add(time.Second) // Run asks again
		}
		r.shut = o
		r.setState(sdk.StateDown, reasonOf(err))
	}
	return err
}

// letIn forgets refusals when a room that was shut lets one of ours in: its
// owner has changed something, and that may help the others too. Called with mu
// held.
func (r *Room) letIn() {
	r.shut = nil
	for _, o := range r.occupants {
		if !o.muted {
			o.refused = time.Time{}
		}
	}
}

// joinedAs gives the reason text of a room that works.
func (r *Room) joinedAs(o *occupant) string {
	if o.key == "" && o.nick != o.want {
		return fmt.Sprintf("joined as %q since %q is taken", o.nick, o.want)
	}
	return "joined"
}

// tryNicks asks for one nick after another until the room takes one (XEP-0045 §7.2.8).
func (r *Room) tryNicks(ctx context.Context, o *occupant, since time.Time) *sdk.Error {
	op := "join " + r.o.JID
	var got answer
	for try := range maxTries {
		r.mu.Lock()
		nick := nickFor(o, try)
		if r.mistakable(o, nick) {
			r.mu.Unlock()
			continue
		}
		o.nick, o.answer = nick, make(chan answer, 1)
		o.replaying = true
		reply := o.answer
		r.mu.Unlock()
		var err *sdk.Error
		if got, err = r.ask(ctx, o, nick, since, reply); err != nil {
			return err
		}
		if got.err == nil || got.err.Condition != "conflict" {
			break
		}
	}
	switch {
	case got.err != nil:
		err := refusedJoin(op, got.err)
		if personal(got.err.Condition) {
			err.After = time.Minute
			r.mu.Lock()
			o.barred = true
			if got.err.Condition == "forbidden" && o.key != "" { // XEP-0045 §7.2.7
				o.outcast = true
				err.Kind, err.Public = sdk.Forbidden, bannedText(o.want)
			}
			r.mu.Unlock()
		}
		return err
	case got.created && !r.o.Create:
		r.leave(ctx, o)
		return refusedJoin(op, &packet.Error{Type: "cancel", Condition: "item-not-found"})
	case got.created:
		return r.open(ctx, o)
	}
	return nil
}

// nickFor gives the nick of the given try: as wanted, with the network, numbered.
func nickFor(o *occupant, try int) string {
	switch {
	case try == 0:
		return o.want
	case try == 1 && o.own != "":
		return convert.NickWith(o.want, o.own)
	case o.own != "":
		return convert.NickWith(o.want, o.own+" "+strconv.Itoa(try))
	default:
		return convert.NickWith(o.want, strconv.Itoa(try+1))
	}
}

// mistakable reports whether a nick looks like that of somebody else in the
// room without being the same; the room itself only refuses the same. Called
// with mu held.
func (r *Room) mistakable(o *occupant, nick string) bool {
	if r.watcher == nil || o.key == "" {
		return false
	}
	look := convert.Skeleton(nick)
	for other, m := range r.members {
		if m.look == look && r.nicks[other] == nil && other != nick {
			return true
		}
	}
	return false
}

// ask sends the presence that asks for a nick, and waits for the answer.
func (r *Room) ask(ctx context.Context, o *occupant, nick string, since time.Time, reply chan answer) (answer, *sdk.Error) {
	return r.exchange(ctx, r.presence(o, nick, since), reply)
}

// exchange sends a presence and waits for what the room says to it.
func (r *Room) exchange(ctx context.Context, p *packet.Presence, reply chan answer) (answer, *sdk.Error) {
	op := "join " + r.o.JID
	if err := r.stream.Send(ctx, p); err != nil {
		return answer{}, &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the XMPP server cannot be reached now", Err: err}
	}
	t := time.NewTimer(r.o.Settle)
	defer t.Stop()
	select {
	case got := <-reply:
		return got, nil
	case <-ctx.Done():
		return answer{}, sdk.AsError(op, ctx.Err())
	case <-t.C:
		return answer{}, &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the room does not answer"}
	}
}

// rename changes the nick of an occupant whose author has a new name (XEP-0045
// §7.6). Where the room takes no nick, the old one stays.
func (r *Room) rename(ctx context.Context, o *occupant, want string) *sdk.Error {
	for try := 0; ; try++ {
		r.mu.Lock()
		if o.phase != in || try == 0 && want == o.want {
			r.mu.Unlock()
			return nil
		}
		o.want = want
		nick := nickFor(o, try)
		if nick == o.nick || try == maxTries {
			r.mu.Unlock()
			return nil
		}
		if r.mistakable(o, nick) {
			r.mu.Unlock()
			continue
		}
		o.answer = make(chan answer, 1)
		reply := o.answer
		r.mu.Unlock()
		got, err := r.exchange(ctx, &packet.Presence{Attrs: packet.Attrs{From: o.from, To: r.o.JID + "/" + nick}}, reply)
		if err != nil {
			return err
		}
		if got.err == nil || got.err.Condition != "conflict" {
			return nil
		}
	}
}

// presence makes the stanza that joins (XEP-0045 §7.2.2). The history is only
// asked for by whom it helps: the link's own occupant learns ids from it.
func (r *Room) presence(o *occupant, nick string, since time.Time) *packet.Presence {
	var w xmltok.Writer
	w.Start(packet.NSMUC, "x")
	if r.o.Password != "" {
		w.Start(packet.NSMUC, "password").Text(r.o.Password).End()
	}
	switch {
	case !since.IsZero():
		w.Start(packet.NSMUC, "history", xmltok.A("since", since.UTC().Format("2006-01-02T15:04:05Z"))).End()
	case o == r.bot && r.o.Source:
		w.Start(packet.NSMUC, "history", xmltok.A("maxstanzas", strconv.Itoa(r.historyWanted()))).End()
	default:
		w.Start(packet.NSMUC, "history", xmltok.A("maxchars", "0")).End()
	}
	p := &packet.Presence{Attrs: packet.Attrs{From: o.from, To: r.o.JID + "/" + nick}}
	if x, err := w.Element(); err == nil {
		p.Extensions = append(p.Extensions, x)
	}
	return p
}

// historyWanted is how much of its history the room is asked for: as much as it
// has where nothing else tells what was missed.
func (r *Room) historyWanted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.about().record && !r.heardAt.IsZero() {
		return knownMost
	}
	return prefill
}

// open accepts the default configuration of a room that we made, so that others
// can enter (XEP-0045 §10.1.2).
func (r *Room) open(ctx context.Context, o *occupant) *sdk.Error {
	const owner = "http://jabber.org/protocol/muc#owner"
	query, err := new(xmltok.Writer).Start(owner, "query").Start(convert.NSData, "x", xmltok.A("type", "submit")).Element()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
		defer cancel()
		_, err = r.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: o.from, To: r.o.JID, Type: "set"}, Payload: query})
	}
	if err != nil {
		return &sdk.Error{Op: "open " + r.o.JID, Kind: sdk.Transient, Public: "the room was made but could not be opened", Err: err}
	}
	return r.probe(ctx, o.from)
}

// leave takes an occupant out of the room.
func (r *Room) leave(ctx context.Context, o *occupant) {
	r.mu.Lock()
	nick, was := o.nick, o.phase
	r.gone(o, nil)
	o.phase, o.leaving = out, was != out
	r.mu.Unlock()
	if was == out {
		return
	}
	p := &packet.Presence{Attrs: packet.Attrs{From: o.from, To: r.o.JID + "/" + nick, Type: "unavailable"}}
	if err := r.stream.Send(ctx, p); err != nil {
		r.o.Log.Debug("occupant did not leave", "error", err)
	}
}

// leaveAll takes all out; the context of Run has ended, so it has its own time.
func (r *Room) leaveAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r.mu.Lock()
	up := r.up
	var all []*occupant
	for _, o := range r.occupants {
		all = append(all, o)
	}
	r.mu.Unlock()
	for _, o := range all {
		if up {
			r.leave(ctx, o)
		}
	}
}

// gone notes that an occupant is no longer in the room: what it sent and the
// room did not reflect is uncertain. Called with mu held.
func (r *Room) gone(o *occupant, why *sdk.Error) {
	if o.phase == in && r.nicks[o.nick] == o {
		delete(r.nicks, o.nick)
	}
	o.replaying = false
	if o.phase == joining {
		o.say(answer{err: &packet.Error{Type: "wait", Condition: "resource-constraint"}})
	} else {
		o.phase = out // the attempt under way ends its phase itself
	}
	if why != nil {
		o.err, o.leaving = why, false
		for _, p := range r.pending {
			if p.by == o {
				r.finish(p, sdk.Receipt{Err: &sdk.Error{Op: "send to " + r.o.JID, Kind: sdk.Transient, Public: reasonOf(why), Err: why}})
			}
		}
	}
	if r.watcher == o {
		r.watcher = nil
		clear(r.members)
	}
}

// anyIn gives one of ours that is in the room. Called with mu held.
func (r *Room) anyIn() *occupant {
	if r.bot.phase == in {
		return r.bot
	}
	for _, o := range r.nicks {
		return o
	}
	return nil
}

// author gives the occupant that speaks for an actor: its puppet where the link
// has puppets, the room lets it in and there is space, else the link's own.
// Direct says that it is the actor's own.
func (r *Room) author(ctx context.Context, a sdk.Actor) (o *occupant, direct bool, err *sdk.Error) {
	var refusal *sdk.Error
	if r.o.Puppet != nil {
		if o = r.puppet(a); o != nil {
			if err = r.enter(ctx, o, time.Time{}); err == nil {
				return o, true, r.rename(ctx, o, wantedNick(a))
			}
			r.mu.Lock()
			final, outcast := !o.barred || o.muted, o.outcast
			r.mu.Unlock()
			if final {
				return nil, false, err
			}
			if outcast {
				refusal = err
			}
		}
	}
	if botErr := r.enter(ctx, r.bot, time.Time{}); botErr != nil {
		return nil, false, botErr // the whole bridge is kept out, which may end
	}
	if refusal != nil {
		return nil, false, refusal // only the author is, and nobody speaks instead
	}
	return r.bot, false, nil
}

// puppet gives the occupant of an author, out or in; nil when there are too many.
func (r *Room) puppet(a sdk.Actor) *occupant {
	from := r.o.Puppet(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.occupants[from]; o != nil {
		if o.phase == out {
			o.want = wantedNick(a)
		}
		return o
	}
	if r.o.MaxPuppets > 0 && len(r.occupants) > r.o.MaxPuppets && !r.forgetIdle() {
		return nil
	}
	o := &occupant{
		key: from, from: from, own: string(a.Home.Link), home: a.Home, want: wantedNick(a),
		prefix: convert.MessagePrefix("groupchat", from, r.o.JID),
	}
	r.occupants[from] = o
	r.byFrom[from] = o
	return o
}

// forgetIdle drops one puppet that is out, but none that the room keeps out: that
// is not to be forgotten. Called with mu held.
func (r *Room) forgetIdle() bool {
	now := r.o.Now()
	for key, o := range r.occupants {
		if key != "" && o.phase == out && o != r.shut && !now.Before(o.refused) {
			delete(r.occupants, key)
			delete(r.byFrom, o.from)
			return true
		}
	}
	return false
}

// wantedNick gives the nick that an author should have.
func wantedNick(a sdk.Actor) string {
	for _, name := range []string{a.Name, a.Handle, string(a.Home.ID)} {
		if nick := convert.Nick(name); nick != "" {
			return nick
		}
	}
	return "somebody"
}
