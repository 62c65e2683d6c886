package muc

import (
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Pauses before one of ours that was put out asks to come in again. Who is
// refused is told so at once; nobody speaks for them meanwhile.
const (
	kickPause = 5 * time.Minute
	banPause  = 10 * time.Minute
)

// Bounds of what is told about people who come and go.
const (
	comingsBurst = 20
	comingsEvery = time.Second
)

// allowance is a token bucket.
type allowance struct {
	left int
	at   time.Time
}

// take reports whether one more is allowed now.
func (a *allowance) take(now time.Time) bool {
	if gained := int(now.Sub(a.at) / comingsEvery); gained > 0 || a.at.IsZero() {
		a.left = min(comingsBurst, a.left+gained)
		if a.at.IsZero() {
			a.left = comingsBurst
		}
		a.at = now
	}
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}

// memberEvent makes the event of a change of membership, by who did it. Called
// with mu held.
func (r *Room) memberEvent(by sdk.Actor, c sdk.MemberChanged) (heard, bool) {
	now := r.o.Now()
	return heard{at: now, ev: &sdk.Event{Time: now.UTC(), Place: sdk.Ref{ID: r.o.Place}, Actor: by, Change: c}}, true
}

// listening reports whether o is whose presences of others are told: those that
// the room sends to the link's own occupant once it is in. Called with mu held.
func (r *Room) listening(o *occupant) bool { return o == r.bot && r.o.Source && o.phase == in }

// member gives the name of who has a nick. Called with mu held.
func (r *Room) member(w who) sdk.Ref { return sdk.Ref{Link: r.o.Link, ID: sdk.RemoteID(w.key)} }

// joined tells that somebody came in, or has another role than before. Called
// with mu held, after the member was noted.
func (r *Room) joined(o *occupant, nick string, was *member, item packet.MUCItem) (heard, bool) {
	if !r.listening(o) || r.nicks[nick] != nil {
		return heard{}, false
	}
	w := r.occupying(nick)
	c := sdk.MemberChanged{Member: r.member(w), Membership: sdk.MemberJoined, Role: roleOf(item)}
	by := actorOf(w, r.o.JID, nick)
	switch {
	case was == nil:
		if !r.o.Members || !r.comings.take(r.o.Now()) {
			return heard{}, false
		}
	case was.role == item.Role && was.affiliation == item.Affiliation || was.role == "":
		return heard{}, false
	default:
		c.Membership, c.Reason = sdk.MemberRole, item.Reason
		by = r.doer(item.Actor)
		if r.nicks[item.Actor] != nil {
			return heard{}, false // we did it ourselves
		}
	}
	return r.memberEvent(by, c)
}

// roleOf names the standing of an occupant: its affiliation if it has one, else
// its role (XEP-0045 §5).
func roleOf(item packet.MUCItem) string {
	switch item.Affiliation {
	case "", "none":
		return item.Role
	default:
		return item.Affiliation
	}
}

// parted tells that somebody left, or was put out (XEP-0045 §9.1, §9.3, §15.6.2):
// one of the room's own people, or a puppet, whose author it then concerns. w is
// who it was. Called with mu held.
func (r *Room) parted(o *occupant, nick string, w who, user packet.MUCUser) (heard, bool) {
	if !r.listening(o) {
		return heard{}, false
	}
	item := user.Item()
	c := sdk.MemberChanged{Member: r.member(w), Membership: sdk.MemberLeft, Reason: item.Reason}
	switch {
	case user.Has(301):
		c.Membership = sdk.MemberBanned
	case user.Has(307) && !user.Has(333):
		c.Membership = sdk.MemberKicked
	case user.Has(321), user.Has(322), user.Has(332), user.Has(333):
	}
	ours := r.known(nick, c.Membership != sdk.MemberLeft)
	switch {
	case c.Membership == sdk.MemberLeft:
		if ours != nil || !r.o.Members || !r.comings.take(r.o.Now()) {
			return heard{}, false
		}
		return r.memberEvent(actorOf(w, r.o.JID, nick), c)
	case r.nicks[item.Actor] != nil || ours == r.bot:
		return heard{}, false // by us, or it is only the link's own occupant
	case ours != nil:
		c.Member = ours.home
	}
	return r.memberEvent(r.doer(item.Actor), c)
}

// known gives the occupant of ours that has the nick, or had it last: the room
// tells of its end to itself and to the others in any order. Called with mu held.
func (r *Room) known(nick string, expelled bool) *occupant {
	if o := r.nicks[nick]; o != nil {
		return o
	}
	for _, o := range r.occupants {
		if o.nick == nick && o.phase == out && (o.muted || !expelled) {
			return o
		}
	}
	return nil
}

// doer gives who did something to somebody: the occupant that the room names, or
// the room. Called with mu held.
func (r *Room) doer(nick string) sdk.Actor {
	if nick == "" {
		return r.itself()
	}
	return actorOf(r.occupying(nick), r.o.JID, nick)
}

// itself is the room as an actor.
func (r *Room) itself() sdk.Actor {
	return sdk.Actor{Kind: sdk.ActorService, Home: sdk.Ref{ID: sdk.RemoteID(r.o.JID)}, Handle: r.o.JID, Name: r.o.JID}
}

// putOut notes that the room put a puppet out: its author is told so instead of
// speaking by another mouth. Called with mu held.
func (r *Room) putOut(o *occupant, user packet.MUCUser) {
	o.muted, o.barred = true, true
	o.refused = r.o.Now().Add(kickPause)
	text := "the room's moderators have removed " + o.nick + " for now"
	if user.Has(301) {
		o.refused = r.o.Now().Add(banPause)
		text = bannedText(o.nick)
	}
	o.err = &sdk.Error{Op: "stay in " + r.o.JID, Kind: sdk.Forbidden, Public: text}
}

func bannedText(nick string) string { return "the room has banned " + nick }

// whoIs finds the member that another link means: by any name that it may have
// had here, since what the room shows depends on our role. Called with mu held.
func (r *Room) whoIs(ref sdk.Ref) (nick string, m *member) {
	for nick, m := range r.members {
		if r.nicks[nick] != nil {
			continue
		}
		switch string(ref.ID) {
		case r.occupying(nick).key, r.o.JID + "/" + nick, m.jid:
			return nick, m
		}
	}
	return "", nil
}

// puppetOf finds the occupant of an author. Called with mu held.
func (r *Room) puppetOf(home sdk.Ref) *occupant {
	for _, o := range r.occupants {
		if o.key != "" && o.home == home {
			return o
		}
	}
	return nil
}

// realJID reads the address of who a name stands for, where it is one.
func realJID(ref sdk.Ref, room string) string {
	j, err := packet.ParseJID(string(ref.ID))
	if err != nil || j.Localpart() == "" || j.Resourcepart() != "" || convert.Bare(string(ref.ID)) == room {
		return ""
	}
	return j.Bare().String()
}
