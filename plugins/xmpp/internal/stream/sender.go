package stream

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"gosrc.io/xmpp"
	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/packet"
)

// Sender gives the session the interface of gosrc.io/xmpp for code that is written against it. Send and SendRaw wait at most timeout.
func (s *Session) Sender(timeout time.Duration) xmpp.Sender { return sender{s, timeout} }

type sender struct {
	s       *Session
	timeout time.Duration
}

var _ xmpp.Sender = sender{}

// Send implements xmpp.Sender by Session.Send.
func (a sender) Send(p stanza.Packet) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
	defer cancel()
	return a.s.Send(ctx, p)
}

// SendRaw implements xmpp.Sender; the bytes must be one whole stanza.
func (a sender) SendRaw(p string) error { return a.Send(packet.Raw([]byte(p))) }

// SendIQ implements xmpp.Sender. The channel has room for the one answer, so that nobody waits for a caller that went away; it is closed
// without an answer when ctx ends (after Options.IQTimeout if it has no deadline) or the stream is lost. The answer's addresses are read by
// our own decoder.
func (a sender) SendIQ(ctx context.Context, iq *stanza.IQ) (chan stanza.IQ, error) {
	ch := make(chan stanza.IQ, 1)
	if iq.Id == "" {
		iq.Id = newID()
	}
	life := a.s.opt.IQTimeout
	if d, ok := ctx.Deadline(); ok {
		life = time.Until(d)
	}
	ctx, cancel := context.WithTimeout(ctx, life)
	key, err := a.s.iqs.add(iq.Id, iq.To, func(reply *packet.IQ, err error) {
		defer cancel()
		if err == nil {
			ch <- stanzaIQ(reply)
		}
		close(ch)
	})
	if err != nil {
		cancel()
		return nil, err
	}
	if err := a.s.Send(ctx, iq); err != nil {
		cancel()
		a.s.iqs.drop(key)
		return nil, fmt.Errorf("iq to %q: %w", iq.To, err)
	}
	context.AfterFunc(ctx, func() {
		cancel()
		if a.s.iqs.drop(key) {
			close(ch)
		}
	})
	return ch, nil
}

// stanzaIQ gives an answer the type of gosrc.io/xmpp; a payload of a registered type becomes that, any other a Node.
func stanzaIQ(iq *packet.IQ) stanza.IQ {
	out := stanza.IQ{
		XMLName: xml.Name{Local: "iq"},
		Attrs:   stanza.Attrs{Type: stanza.StanzaType(iq.Type), Id: iq.ID, From: iq.From, To: iq.To, Lang: iq.Lang},
	}
	if iq.Error != nil {
		e := iq.Error.Err()
		out.Error = &e
	}
	if iq.Payload.IsZero() {
		return out
	}
	if p := stanza.TypeRegistry.GetIQExtension(iq.Payload.Name); p != nil {
		if iq.Payload.Decode(p) == nil {
			out.Payload = p
			return out
		}
	}
	node := new(stanza.Node)
	if iq.Payload.Decode(node) == nil {
		out.Any = node
	}
	return out
}
