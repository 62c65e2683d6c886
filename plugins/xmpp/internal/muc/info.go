package muc

import (
	"context"
	"errors"
	"slices"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// info is what a room says of itself by disco#info (XEP-0045 §6.4).
type info struct {
	title     string
	features  []string
	exists    bool
	stanzaIDs bool // XEP-0359: the room assigns ids and removes forged ones
	occupants bool // XEP-0421
	archive   bool // XEP-0313
	record    bool // the archive's ids are those of live messages, so that it can tell what was missed
	byID      bool // XEP-0313 §4.1.4: the archive finds messages by id
	open      bool // XEP-0045 §4.2: all see the real addresses
	stable    bool // XEP-0045 §7.4: the room keeps the id attribute
}

// probe asks the room what it is, once for each stream. It fails where the room
// cannot be reached, or does not exist and is not to be made.
func (r *Room) probe(ctx context.Context, from string) *sdk.Error {
	r.mu.Lock()
	known, epoch := r.info, r.epoch
	r.mu.Unlock()
	if known != nil {
		return nil
	}
	op := "ask " + r.o.JID
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	iq := &packet.IQ{Attrs: packet.Attrs{From: from, To: r.o.JID, Type: "get"}, Payload: xmltok.New(packet.NSDiscoInfo, "query", "")}
	answer, err := r.stream.IQ(ctx, iq)
	got := &info{exists: true}
	var refusal *packet.Error
	switch {
	case err == nil:
		got.read(answer.Payload)
		if r.o.Password == "" && slices.Contains(got.features, "muc_passwordprotected") {
			return refusedJoin(op, &packet.Error{Type: "auth", Condition: "not-authorized"})
		}
	case !errors.As(err, &refusal):
		return &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the room does not answer", Err: err}
	case refusal.Condition == "item-not-found" && r.o.Create:
		got.exists = false
	case refusal.Condition == "service-unavailable", refusal.Condition == "feature-not-implemented", refusal.Condition == "forbidden":
		// Some rooms tell nothing to people outside; the join will show.
	default:
		return refusedJoin(op, refusal)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch {
		return sdk.Errorf(sdk.Transient, op, "the connection was lost")
	}
	if got.exists {
		r.info = got
	}
	r.state.Title = got.title
	r.state.Capabilities = r.capabilities()
	if !r.o.Source && r.anyIn() == nil {
		r.setState(sdk.StateUp, "ready; joins when there is something to say")
	}
	return nil
}

func (i *info) read(query xmltok.Element) {
	for c := range query.Children() {
		switch {
		case c.Is(packet.NSDiscoInfo, "feature"):
			i.features = append(i.features, c.Get("var"))
		case c.Is(packet.NSDiscoInfo, "identity") && i.title == "":
			i.title = c.Get("name")
		}
	}
	i.stanzaIDs = slices.Contains(i.features, packet.NSStanzaID)
	i.occupants = slices.Contains(i.features, convert.NSOccupantID)
	i.stable = slices.Contains(i.features, "http://jabber.org/protocol/muc#stable_id")
	i.archive = slices.Contains(i.features, convert.NSMAM)
	i.record = i.archive && i.stanzaIDs
	i.byID = slices.Contains(i.features, NSMAMExtended)
	i.open = slices.Contains(i.features, "muc_nonanonymous")
}

// capabilities says what the room can express.
func (r *Room) capabilities() *sdk.Capabilities {
	c := &sdk.Capabilities{
		Features: []sdk.Feature{sdk.FeatureUpdate, sdk.FeatureRetract, sdk.FeatureReply},
		MaxText:  r.o.MaxText,
	}
	if r.o.Puppet != nil {
		c.Features = append(c.Features, sdk.FeaturePuppet, sdk.FeatureReaction)
	}
	return c
}

// about gives what the room promised; nothing before it was asked.
func (r *Room) about() info {
	if r.info == nil {
		return info{}
	}
	return *r.info
}
