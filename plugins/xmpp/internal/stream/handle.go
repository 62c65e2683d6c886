package stream

import (
	"context"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// handle is the one goroutine that calls the handler. It ends when the inbox is closed; after the end of Run's ctx it only counts.
func (s *Session) handle(ctx context.Context, h Handler, inbox <-chan inItem) {
	for it := range inbox {
		if it.run != nil {
			it.run()
			continue
		}
		if ctx.Err() != nil {
			continue // not handled: the server keeps it for a resumption or its offline storage
		}
		switch st := it.stanza.(type) {
		case *packet.Message:
			if h.Message != nil {
				h.Message(ctx, st)
			}
		case *packet.Presence:
			if h.Presence != nil {
				h.Presence(ctx, st)
			}
		case *packet.IQ:
			s.request(ctx, h, it.flow, st)
		}
		it.flow.managed.handled.Add(1)
	}
}

// request answers an iq of the type get or set, by the handler or without it (RFC 6120 §8.2.3: there must be an answer).
func (s *Session) request(ctx context.Context, h Handler, f *flow, iq *packet.IQ) {
	switch {
	case iq.Type == "get" && iq.Payload.Is(packet.NSVersion, "query") && s.opt.Software.Name != "":
		f.reply(iq.Reply(s.opt.Software.element()))
		return
	case iq.Type == "get" && iq.Payload.Is(packet.NSDiscoInfo, "query") && s.opt.Disco != nil:
		node := iq.Payload.Get("node")
		if d, ok := s.opt.Disco(ctx, iq.To, node); ok {
			f.reply(iq.Reply(d.element(node)))
			return
		}
	}
	if h.IQ != nil && h.IQ(ctx, iq) {
		return
	}
	f.reply(iq.Refuse("cancel", "service-unavailable", ""))
}

func (v Software) element() xmltok.Element {
	var w xmltok.Writer
	w.Start(packet.NSVersion, "query")
	w.Start(packet.NSVersion, "name").Text(v.Name).End()
	w.Start(packet.NSVersion, "version").Text(v.Version).End()
	if v.OS != "" {
		w.Start(packet.NSVersion, "os").Text(v.OS).End()
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

func (d Disco) element(node string) xmltok.Element {
	var w xmltok.Writer
	if node == "" {
		w.Start(packet.NSDiscoInfo, "query")
	} else {
		w.Start(packet.NSDiscoInfo, "query", xmltok.A("node", node))
	}
	for _, id := range d.Identities {
		w.Start(packet.NSDiscoInfo, "identity", xmltok.A("category", id.Category), xmltok.A("type", id.Type), xmltok.A("name", id.Name)).End()
	}
	for _, f := range d.Features {
		w.Start(packet.NSDiscoInfo, "feature", xmltok.A("var", f)).End()
	}
	for _, x := range d.Extra {
		w.Child(x)
	}
	e, _ := w.Element()
	return e
}
