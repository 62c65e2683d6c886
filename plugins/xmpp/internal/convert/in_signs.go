package convert

import (
	"slices"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// ChatState is a XEP-0085 chat state; empty = none told.
type ChatState string

// Chat states.
const (
	StateActive    ChatState = "active"
	StateComposing ChatState = "composing"
	StatePaused    ChatState = "paused"
	StateInactive  ChatState = "inactive"
	StateGone      ChatState = "gone"
)

// Hints are XEP-0334 message processing hints, a set of bits.
type Hints uint8

// Message processing hints.
const (
	HintNoPermanentStore Hints = 1 << iota
	HintNoStore
	HintNoCopy
	HintStore
)

var hintNames = map[string]Hints{
	"no-permanent-store": HintNoPermanentStore, "no-store": HintNoStore, "no-copy": HintNoCopy, "store": HintStore,
}

// Signal is a transient sign: typing and paused without a target, received (XEP-0184, XEP-0333) and displayed (XEP-0333, for all messages
// up to it) with the id of the message that it is about.
type Signal struct {
	Kind   sdk.SignalKind
	Target string
}

// signal adds a sign once.
func (r *Reading) signal(kind sdk.SignalKind, target string) {
	if s := (Signal{kind, target}); !slices.Contains(r.Signals, s) && len(r.Signals) < maxSignals {
		r.Signals = append(r.Signals, s)
	}
}

const maxSignals = 8

// Invite is an invitation to a room.
type Invite struct {
	Room     string // bare JID
	From     string // who invites, as the room or the message says it; may be an occupant's address
	Reason   string
	Password string
	Thread   string // of the chat that the room continues; may be empty
	Direct   bool   // XEP-0249, from the person; else XEP-0045 §7.8.2, from the room
	Declined bool   // the person that we invited does not come (XEP-0045 §7.8.2)
}

// readSigns reads what may accompany any message.
func (r *Reading) readSigns(m *packet.Message) {
	r.Thread, r.Parent = m.Thread, m.Parent
	_, r.Delayed = m.Delay()
	for _, e := range m.Extensions {
		switch e.Name.Space {
		case NSChatStates:
			switch s := ChatState(e.Name.Local); s {
			case StateActive, StateComposing, StatePaused, StateInactive, StateGone:
				r.State = s
			}
			switch r.State {
			case StateComposing:
				r.signal(sdk.SignalTyping, "")
			case StatePaused, StateInactive, StateGone:
				r.signal(sdk.SignalPaused, "")
			}
		case NSReceipts:
			switch e.Name.Local {
			case "request":
				r.WantsReceipt = true
			case "received":
				r.about(sdk.SignalReceived, e)
			}
		case NSMarkers:
			r.readMarker(e)
		case NSHints:
			r.Hints |= hintNames[e.Name.Local]
		case NSNick:
			if e.Name.Local == "nick" {
				r.Nick = Nick(e.Text())
			}
		case packet.NSMUCUser:
			r.Private = r.Private || e.Name.Local == "x"
		}
	}
}

func (r *Reading) readMarker(e xmltok.Element) {
	switch e.Name.Local {
	case "markable":
		r.WantsMarker = true
	case "received": // until XEP-0333 0.5, as the next but one
		r.about(sdk.SignalReceived, e)
	case "displayed", "acknowledged":
		r.about(sdk.SignalDisplayed, e)
	}
}

func (r *Reading) about(kind sdk.SignalKind, e xmltok.Element) {
	if id := e.Get("id"); id != "" {
		r.signal(kind, id)
	}
}

// readInvite reads an invitation, and its refusal.
func (r *Reading) readInvite(m *packet.Message) bool {
	if x, ok := m.Extension(packet.NSMUCUser, "x"); ok {
		for _, name := range []string{"invite", "decline"} {
			e, ok := x.Child(packet.NSMUCUser, name)
			if !ok {
				continue
			}
			going, _ := e.Child(packet.NSMUCUser, "continue")
			r.Kind, r.Private = Invited, false
			r.Invite = &Invite{
				Room: Bare(m.From), From: e.Get("from"), Reason: e.ChildText(packet.NSMUCUser, "reason"),
				Password: x.ChildText(packet.NSMUCUser, "password"), Thread: going.Get("thread"), Declined: name == "decline",
			}
			return true
		}
	}
	e, ok := m.Extension(NSInvite, "x")
	if !ok {
		return false
	}
	room, err := packet.ParseJID(e.Get("jid"))
	if err != nil || room.Localpart() == "" {
		return false
	}
	r.Kind = Invited
	r.Invite = &Invite{
		Room: room.Bare().String(), From: m.From, Reason: e.Get("reason"), Password: e.Get("password"), Thread: e.Get("thread"), Direct: true,
	}
	return true
}
