package muc

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// info is what a room says of itself by disco#info (XEP-0045 §6.4).
type info struct {
	title         string
	reactions     []string // those that are allowed (XEP-0444 §2.2); empty = all
	mostReactions int      // of one person to one message; 0 = as many as one likes
	features      []string
	exists        bool
	stanzaIDs     bool // XEP-0359: the room assigns ids and removes forged ones
	occupants     bool // XEP-0421
	archive       bool // XEP-0313
	record        bool // the archive's ids are those of live messages, so that it can tell what was missed
	byID          bool // XEP-0313 §4.1.4: the archive finds messages by id
	open          bool // XEP-0045 §4.2: all see the real addresses
	moderates     bool // XEP-0425
	moderatesOld  bool // XEP-0425 0.2
	stable        bool // XEP-0045 §7.4: the room keeps the id attribute
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
	got, err := r.inquire(ctx, from)
	if err != nil {
		return err
	}
	return r.learnt(ctx, got, epoch)
}

// refresh asks the room again what it is, after its configuration has changed.
func (r *Room) refresh(ctx context.Context) *sdk.Error {
	r.mu.Lock()
	r.stale = false
	o, epoch := r.anyIn(), r.epoch
	r.mu.Unlock()
	if o == nil {
		return nil
	}
	got, err := r.inquire(ctx, o.from)
	if err != nil {
		return err
	}
	return r.learnt(ctx, got, epoch)
}

// inquire asks the room what it is.
func (r *Room) inquire(ctx context.Context, from string) (*info, *sdk.Error) {
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
			return nil, refusedJoin(op, &packet.Error{Type: "auth", Condition: "not-authorized"})
		}
	case !errors.As(err, &refusal):
		return nil, &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the room does not answer", Err: err}
	case refusal.Condition == "item-not-found" && r.o.Create:
		got.exists = false
	case refusal.Condition == "service-unavailable", refusal.Condition == "feature-not-implemented", refusal.Condition == "forbidden":
		// Some rooms tell nothing to people outside; the join will show.
	default:
		return nil, refusedJoin(op, refusal)
	}
	return got, nil
}

// learnt keeps what the room said of itself, and tells a new title.
func (r *Room) learnt(ctx context.Context, got *info, epoch int) *sdk.Error {
	r.mu.Lock()
	if r.epoch != epoch {
		r.mu.Unlock()
		return sdk.Errorf(sdk.Transient, "ask "+r.o.JID, "the connection was lost")
	}
	if got.exists {
		unknown := r.info == nil
		if r.info = got; unknown && r.bot.phase == in { // it was made by our coming, and can be asked only now
			r.began()
		}
	}
	var h heard
	if was := r.title; was != "" && got.title != "" && got.title != was && r.listening(r.bot) {
		now := r.o.Now()
		h = heard{at: now, ev: &sdk.Event{
			Time: now.UTC(), Place: sdk.Ref{ID: r.o.Place}, Actor: r.itself(), Change: sdk.ConversationUpdated{Title: got.title},
		}}
	}
	if got.title != "" {
		r.title = got.title
	}
	r.state.Title = r.title
	r.state.Capabilities = r.capabilities()
	if !r.o.Source && r.anyIn() == nil {
		r.setState(sdk.StateUp, "ready; joins when there is something to say")
	}
	r.nudge()
	r.mu.Unlock()
	if h.ev != nil {
		r.hear(ctx, h)
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
		case c.Is(convert.NSData, "x"):
			i.restrict(c)
		}
	}
	i.stanzaIDs = slices.Contains(i.features, packet.NSStanzaID)
	i.occupants = slices.Contains(i.features, convert.NSOccupantID)
	i.stable = slices.Contains(i.features, "http://jabber.org/protocol/muc#stable_id")
	i.archive = slices.Contains(i.features, convert.NSMAM)
	i.record = i.archive && i.stanzaIDs
	i.byID = slices.Contains(i.features, NSMAMExtended)
	i.moderates = slices.Contains(i.features, convert.NSModerate)
	i.moderatesOld = slices.Contains(i.features, convert.NSModerateOld)
	i.open = slices.Contains(i.features, "muc_nonanonymous")
}

// capabilities says what the room can express, as far as it has said what it is.
// Replies, reactions and retractions name messages by the room's ids (XEP-0461
// §4.1, XEP-0444 §3.1, XEP-0424 §5.1). Called with mu held.
func (r *Room) capabilities() *sdk.Capabilities {
	about := r.about()
	c := &sdk.Capabilities{Features: []sdk.Feature{sdk.FeatureUpdate, sdk.FeatureMedia, sdk.FeatureRichText}, MaxText: r.o.MaxText}
	if about.stanzaIDs {
		c.Features = append(c.Features, sdk.FeatureRetract, sdk.FeatureReply)
	}
	if r.o.Puppet != nil {
		c.Features = append(c.Features, sdk.FeaturePuppet)
		if about.stanzaIDs {
			c.Features = append(c.Features, sdk.FeatureReaction)
			c.Reactions = about.reactions
		}
	}
	if r.bot.role == "moderator" {
		c.Features = append(c.Features, sdk.FeatureMembers)
		if about.moderates || about.moderatesOld {
			c.Features = append(c.Features, sdk.FeatureModerate)
		}
	}
	return c
}

// maxAllowed bounds the reactions that a room may name as allowed.
const maxAllowed = 256

// restrict reads which reactions the room allows (XEP-0444 §2.2).
func (i *info) restrict(form xmltok.Element) {
	values := map[string][]string{}
	for field := range form.Children() {
		if !field.Is(convert.NSData, "field") {
			continue
		}
		for value := range field.Children() {
			if name := field.Get("var"); value.Is(convert.NSData, "value") && len(values[name]) < maxAllowed {
				values[name] = append(values[name], value.Text())
			}
		}
	}
	if kind := values["FORM_TYPE"]; len(kind) != 1 || kind[0] != convert.NSReactions+":restrictions" {
		return
	}
	i.reactions = values["allowlist"]
	if most := values["max_reactions_per_user"]; len(most) == 1 {
		if n, err := strconv.Atoi(most[0]); err == nil && n > 0 {
			i.mostReactions = n
		}
	}
}

// permitted gives those of the reactions that the room allows.
func (i info) permitted(reactions []string) []string {
	var out []string
	for _, text := range reactions {
		if len(i.reactions) > 0 && !slices.Contains(i.reactions, text) {
			continue
		}
		if i.mostReactions > 0 && len(out) == i.mostReactions {
			break
		}
		out = append(out, text)
	}
	return out
}

// about gives what the room promised; nothing before it was asked.
func (r *Room) about() info {
	if r.info == nil {
		return info{}
	}
	return *r.info
}
