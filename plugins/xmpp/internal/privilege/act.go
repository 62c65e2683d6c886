package privilege

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

type xmlElement = xmltok.Element

// maxInner bounds a stanza that goes inside another one, in bytes.
const maxInner = 240 << 10

// RosterItem is a contact in a roster (RFC 6121 §2.1.2).
type RosterItem struct {
	JID          string
	Name         string
	Subscription string // none, to, from, both; remove takes the contact out
	Ask          bool   // a subscription was asked for
	Groups       []string
}

// Roster reads a user's roster (XEP-0356 §4.3).
func (e *Entity) Roster(ctx context.Context, user string) ([]RosterItem, error) {
	bare, g, err := e.user(user)
	if err != nil {
		return nil, fmt.Errorf("read roster: %w", err)
	}
	if !g.Roster.Get {
		return nil, notGranted("roster", user)
	}
	answer, err := e.stream.IQ(ctx, &packet.IQ{
		Attrs:   packet.Attrs{From: e.o.Component, To: bare.String(), Type: "get"},
		Payload: xmltok.New(NSRoster, "query", ""),
	})
	if err != nil {
		return nil, fmt.Errorf("read roster of %s: %w", user, refused(err))
	}
	return rosterItems(answer.Payload), nil
}

// SetRoster adds, changes or removes one contact of a user (XEP-0356 §4.3).
func (e *Entity) SetRoster(ctx context.Context, user string, item RosterItem) error {
	bare, g, err := e.user(user)
	if err != nil {
		return fmt.Errorf("change roster: %w", err)
	}
	if !g.Roster.Set {
		return notGranted("roster", user)
	}
	payload, err := item.query()
	if err != nil {
		return fmt.Errorf("change roster of %s: %w", user, err)
	}
	_, err = e.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: e.o.Component, To: bare.String(), Type: "set"}, Payload: payload})
	if err != nil {
		return fmt.Errorf("change roster of %s: %w", user, refused(err))
	}
	return nil
}

// query is a roster set of one item (RFC 6121 §2.1.5).
func (i RosterItem) query() (xmltok.Element, error) {
	var w xmltok.Writer
	attrs := []attr{xmltok.A("jid", i.JID)}
	if i.Name != "" {
		attrs = append(attrs, xmltok.A("name", i.Name))
	}
	if i.Subscription != "" {
		attrs = append(attrs, xmltok.A("subscription", i.Subscription))
	}
	w.Start(NSRoster, "query").Start(NSRoster, "item", attrs...)
	for _, group := range i.Groups {
		w.Start(NSRoster, "group").Text(group).End()
	}
	return w.Element()
}

// rosterItems reads the items of a query.
func rosterItems(query xmltok.Element) []RosterItem {
	var out []RosterItem
	for c := range query.Children() {
		if !query.Is(NSRoster, "query") || !c.Is(NSRoster, "item") {
			continue
		}
		item := RosterItem{JID: c.Get("jid"), Name: c.Get("name"), Subscription: c.Get("subscription"), Ask: c.Get("ask") == "subscribe"}
		for g := range c.Children() {
			if g.Is(NSRoster, "group") {
				item.Groups = append(item.Groups, g.Text())
			}
		}
		if item.JID != "" {
			out = append(out, item)
		}
	}
	return out
}

// RosterPush reads a push that tells of a change in a user's roster (XEP-0356
// §4.4). It is one only if it comes from the bare address of a user whose server
// grants pushes; everything else could come from anybody. The caller answers it
// with an empty result.
func (e *Entity) RosterPush(iq *packet.IQ) (user string, items []RosterItem, ok bool) {
	if iq.Type != "set" || !iq.Payload.Is(NSRoster, "query") {
		return "", nil, false
	}
	j, err := iq.FromJID()
	if err != nil || j.Localpart() == "" || j.Resourcepart() != "" {
		return "", nil, false
	}
	bare, g, err := e.user(iq.From)
	if err != nil || !g.RosterPush {
		return "", nil, false
	}
	return bare.String(), rosterItems(iq.Payload), true
}

// Message sends a message in the name of m.From, which must be the bare address
// of a user of the server, or the server's domain (XEP-0356 §5). The server
// answers nothing when it sends it.
func (e *Entity) Message(ctx context.Context, m *packet.Message) error {
	bare, g, err := e.user(m.From)
	if err != nil {
		return fmt.Errorf("send message in another name: %w", err)
	}
	if !g.Message {
		return notGranted("message in the name", m.From)
	}
	inner := *m
	inner.From = bare.String()
	if inner.ID == "" {
		inner.ID = rand.Text()
	}
	wrapped, err := forwarded(&inner)
	if err != nil {
		return fmt.Errorf("send message in the name of %s: %w", m.From, err)
	}
	var w xmltok.Writer
	x, err := w.Start(g.space, "privilege").Child(wrapped).Element()
	if err != nil {
		return fmt.Errorf("send message in the name of %s: %w", m.From, err)
	}
	outer := &packet.Message{Attrs: packet.Attrs{From: e.o.Component, To: bare.Domainpart(), ID: inner.ID, Extensions: []xmltok.Element{x}}}
	if err := e.stream.Send(ctx, outer); err != nil {
		return fmt.Errorf("send message in the name of %s: %w", m.From, err)
	}
	return nil
}

// forwarded wraps a stanza of our own into <forwarded/> (XEP-0297 §3).
func forwarded(p packet.Stanza) (xmltok.Element, error) {
	e, err := clientElement(p)
	if err != nil {
		return xmltok.Element{}, err
	}
	var w xmltok.Writer
	return w.Start(NSForward, "forwarded").Child(e).Element()
}

// clientElement writes a stanza as one of jabber:client.
func clientElement(p packet.Stanza) (xmltok.Element, error) {
	b, _, err := packet.Encode(p, packet.Rules{Space: packet.NSClient, MaxSize: maxInner})
	if err != nil {
		return xmltok.Element{}, err
	}
	return xmltok.ParseIn(b, packet.NSClient, xmltok.ComponentLimits())
}

// IQ sends a request in the name of iq.From, which must be a user of the server,
// and returns the answer that the user would get (XEP-0356 §6). An empty To asks
// the user's own account, whose nodes (PEP) can be read and written so. A refusal
// is the answer together with its *packet.Error.
func (e *Entity) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	bare, g, err := e.user(iq.From)
	if err != nil {
		return nil, fmt.Errorf("ask in another name: %w", err)
	}
	inner := *iq
	inner.From = bare.String()
	if inner.To == "" {
		inner.To = inner.From
	}
	if inner.Type == "" {
		inner.Type = "get"
	}
	if inner.ID == "" {
		inner.ID = rand.Text()
	}
	if bare.Localpart() == "" || !g.IQ[inner.Payload.Name.Space].may(inner.Type) {
		return nil, notGranted("iq "+inner.Type+" "+inner.Payload.Name.Space+" in the name", iq.From)
	}
	wrapped, err := clientElement(&inner)
	if err != nil {
		return nil, fmt.Errorf("ask in the name of %s: %w", iq.From, err)
	}
	var w xmltok.Writer
	payload, err := w.Start(g.space, "privileged_iq").Child(wrapped).Element()
	if err != nil {
		return nil, fmt.Errorf("ask in the name of %s: %w", iq.From, err)
	}
	answer, err := e.stream.IQ(ctx, &packet.IQ{
		Attrs: packet.Attrs{From: e.o.Component, To: inner.From, Type: inner.Type}, Payload: payload,
	})
	if err != nil {
		return nil, fmt.Errorf("ask in the name of %s: %w", iq.From, refused(err))
	}
	return unwrap(answer, &inner, g.space)
}

// unwrap takes the answer out of a privileged answer and checks that it belongs
// to the request (XEP-0356 §6.3).
func unwrap(answer, asked *packet.IQ, space string) (*packet.IQ, error) {
	if !answer.Payload.Is(space, "privilege") {
		return nil, fmt.Errorf("answer %q is not a privileged one", answer.Payload.Name.Local)
	}
	inner, ok := innerIQ(answer.Payload)
	switch {
	case !ok:
		return nil, errors.New("privileged answer without a stanza")
	case inner.ID != asked.ID, inner.IsRequest():
		return nil, errors.New("privileged answer to another request")
	case inner.From != "" && !packet.SameJID(inner.From, asked.To):
		return nil, errors.New("privileged answer of another address")
	case inner.Type == "error" && inner.Error != nil:
		return inner, inner.Error
	case inner.Type == "error":
		return inner, &packet.Error{Type: "cancel", Condition: "undefined-condition"}
	}
	return inner, nil
}

// innerIQ is the iq in <forwarded/> in e.
func innerIQ(e xmltok.Element) (*packet.IQ, bool) {
	f, ok := e.Child(NSForward, "forwarded")
	if !ok {
		return nil, false
	}
	x, ok := f.Child(packet.NSClient, "iq")
	if !ok {
		return nil, false
	}
	st, err := packet.Decode(x)
	if err != nil {
		return nil, false
	}
	iq, ok := st.(*packet.IQ)
	return iq, ok
}

// refused makes a refusal for lack of rights wrap ErrNotGranted: the operator may
// have taken a right away since it was told.
func refused(err error) error {
	var e *packet.Error
	if errors.As(err, &e) && e.Condition == "forbidden" {
		return fmt.Errorf("%w: %w", ErrNotGranted, err)
	}
	return err
}
