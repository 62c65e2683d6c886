package service

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Bounds of work.
const (
	workers  = 4
	maxTasks = 64 // requests that wait for the other network; more are refused
	taskTime = 40 * time.Second
)

// Service answers for the component's own JID.
type Service struct {
	opt      Options
	stream   Stream
	contacts Contacts
	users    *Users
	started  time.Time
	tasks    chan func(context.Context) // cap maxTasks

	mu       sync.Mutex
	sessions map[string]*session
}

// New makes the face of a component.
func New(o Options, s Stream, c Contacts, u *Users) *Service {
	o.defaults()
	return &Service{
		opt: o, stream: s, contacts: c, users: u, started: o.Now(), tasks: make(chan func(context.Context), maxTasks), sessions: map[string]*session{},
	}
}

// Run works off what needs the other network until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	if err := s.users.Load(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case f := <-s.tasks:
					task, cancel := context.WithTimeout(ctx, taskTime)
					f(task)
					cancel()
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// Allowed reports whether a user, a bare JID, may use the gateway.
func (s *Service) Allowed(user string) bool {
	return s.opt.May(user) && s.users.Allowed(user, s.opt.Registration)
}

// ours reports whether a stanza is for the component itself.
func (s *Service) ours(to string) bool {
	j, err := packet.ParseJID(to)
	return err == nil && j.Localpart() == "" && j.Domainpart() == s.opt.Address.Domain
}

// user gives the bare JID of a user who sent a stanza.
func (s *Service) user(from string) (bare string, ok bool) {
	j, err := packet.ParseJID(from)
	if err != nil || j.Localpart() == "" || j.Domainpart() == s.opt.Address.Domain {
		return "", false
	}
	return j.Bare().String(), true
}

// Disco describes the component and its commands (XEP-0030 §3, XEP-0050 §2). ok is false for other addresses and nodes.
func (s *Service) Disco(to, node string) (info stream.Disco, ok bool) {
	if !s.ours(to) {
		return stream.Disco{}, false
	}
	switch node {
	case "":
		return s.describe(), true
	case nsCommands:
		return stream.Disco{Identities: []stream.Identity{{Category: "automation", Type: "command-list", Name: "Commands"}}, Features: []string{nsCommands}}, true
	}
	for _, c := range commands {
		if c.node == node {
			return stream.Disco{
				Identities: []stream.Identity{{Category: "automation", Type: "command-node", Name: c.name}}, Features: []string{nsCommands, nsForm},
			}, true
		}
	}
	return stream.Disco{}, false
}

func (s *Service) describe() stream.Disco {
	features := append([]string{
		packet.NSDiscoInfo, nsItems, packet.NSPing, packet.NSVersion, nsLast, nsVCard, nsCommands, nsRegister, nsSearch, nsGateway,
	}, s.opt.Features...)
	slices.Sort(features)
	d := stream.Disco{
		Identities: []stream.Identity{{Category: "gateway", Type: s.opt.Type, Name: s.opt.Name}}, Features: slices.Compact(features),
	}
	if len(s.opt.Addresses) > 0 { // XEP-0157
		f := form{kind: "result", fields: []field{formType("http://jabber.org/network/serverinfo")}}
		for _, kind := range []string{"abuse-addresses", "admin-addresses", "feedback-addresses", "sales-addresses", "security-addresses", "status-addresses", "support-addresses"} {
			if uris := s.opt.Addresses[kind]; len(uris) > 0 {
				f.fields = append(f.fields, field{name: kind, kind: "list-multi", values: uris})
			}
		}
		d.Extra = []xmltok.Element{f.element()}
	}
	return d
}

// HandlePresence takes presence for the component itself. Everybody may see that it is there (XEP-0100 §4.1); its own interest in users'
// presence is that of its contacts.
func (s *Service) HandlePresence(ctx context.Context, p *packet.Presence) bool {
	if !s.ours(p.To) {
		return false
	}
	user, ok := s.user(p.From)
	if !ok {
		return true
	}
	var answers []string
	switch p.Type {
	case "subscribe":
		answers = []string{"subscribed", ""}
	case "probe":
		answers = []string{""}
	case "unsubscribe":
		answers = []string{"unavailable", "unsubscribed"}
	}
	for _, typ := range answers {
		a := &packet.Presence{Attrs: packet.Attrs{From: s.opt.Address.Domain, To: user, Type: typ}}
		if typ == "" || typ == "unavailable" {
			a.From += "/" + s.opt.Resource
		}
		s.send(ctx, a)
	}
	return true
}

// HandleIQ takes a request to the component itself. It is false for what it has no answer to.
func (s *Service) HandleIQ(ctx context.Context, iq *packet.IQ) bool {
	if !iq.IsRequest() || !s.ours(iq.To) {
		return false
	}
	user, ok := s.user(iq.From)
	if !ok {
		return false
	}
	get := iq.Type == "get"
	switch p := iq.Payload; {
	case p.Is(nsItems, "query") && get:
		s.items(ctx, iq, user)
	case p.Is(packet.NSDiscoInfo, "query") && get:
		s.send(ctx, iq.Refuse("cancel", "item-not-found", ""))
	case p.Is(nsLast, "query") && get: // XEP-0012 §4
		up := int64(s.opt.Now().Sub(s.started).Seconds())
		s.send(ctx, iq.Reply(xmltok.New(nsLast, "query", "", xmltok.A("seconds", strconv.FormatInt(up, 10)))))
	case p.Is(nsVCard, "vCard") && get:
		s.send(ctx, iq.Reply(s.card()))
	case p.Is(nsRegister, "query"):
		s.register(ctx, iq, user)
	case p.Is(nsSearch, "query"):
		s.search(ctx, iq, user)
	case p.Is(nsGateway, "query"):
		s.convert(ctx, iq)
	case p.Is(nsCommands, "command") && !get:
		s.command(ctx, iq, user)
	default:
		return false
	}
	return true
}

// items lists the commands, or the contacts of the user who asks, and of nobody else.
func (s *Service) items(ctx context.Context, iq *packet.IQ, user string) {
	node := iq.Payload.Get("node")
	if node != "" && node != nsCommands {
		s.send(ctx, iq.Refuse("cancel", "item-not-found", ""))
		return
	}
	var w xmltok.Writer
	if node == "" {
		w.Start(nsItems, "query")
		w.Start(nsItems, "item", xmltok.A("jid", s.opt.Address.Domain), xmltok.A("node", nsCommands), xmltok.A("name", "Commands")).End()
		for _, e := range s.contacts.List(user) {
			w.Start(nsItems, "item", xmltok.A("jid", e.JID), xmltok.A("name", e.Foreign)).End()
		}
	} else {
		w.Start(nsItems, "query", xmltok.A("node", node))
		for _, c := range commands {
			if !c.admin || s.admin(user) {
				w.Start(nsItems, "item", xmltok.A("jid", s.opt.Address.Domain), xmltok.A("node", c.node), xmltok.A("name", c.name)).End()
			}
		}
	}
	s.answer(ctx, iq, &w)
}

// card is the component's own vCard.
func (s *Service) card() xmltok.Element {
	var w xmltok.Writer
	w.Start(nsVCard, "vCard")
	w.Start(nsVCard, "FN").Text(s.opt.Name).End()
	w.Start(nsVCard, "DESC").Text("Gateway. People of the other network are addresses of " + s.opt.Address.Domain + ".").End()
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// convert turns a foreign address into a JID (XEP-0100 §6.3).
func (s *Service) convert(ctx context.Context, iq *packet.IQ) {
	var w xmltok.Writer
	w.Start(nsGateway, "query")
	if iq.Type == "get" {
		w.Start(nsGateway, "desc").Text("Please enter the address of the person, such as " + s.opt.Example + ".").End()
		w.Start(nsGateway, "prompt").Text("Address").End()
		s.answer(ctx, iq, &w)
		return
	}
	j, err := s.opt.Address.Virtual(foreign(iq.Payload.ChildText(nsGateway, "prompt")))
	if err != nil {
		s.send(ctx, iq.Refuse("modify", "not-acceptable", "This is no address. Please write it as in "+s.opt.Example+"."))
		return
	}
	w.Start(nsGateway, "jid").Text(j.String()).End()
	w.Start(nsGateway, "prompt").Text(j.String()).End() // for clients of before XEP-0100 1.0
	s.answer(ctx, iq, &w)
}

// foreign reads an address as people write it: with spaces around, as a URI, or with an @ in front.
func foreign(text string) string {
	text = strings.TrimSpace(text)
	for _, scheme := range []string{"xmpp:", "acct:"} {
		if len(text) > len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
			text = text[len(scheme):]
		}
	}
	return strings.TrimPrefix(text, "@")
}

// register is XEP-0077: registering is consent, removing takes it back and ends all relations.
func (s *Service) register(ctx context.Context, iq *packet.IQ, user string) {
	switch {
	case !s.opt.May(user):
		s.send(ctx, iq.Refuse("auth", "forbidden", "You may not use this gateway."))
	case iq.Type == "get":
		s.registration(ctx, iq, user)
	default:
		if _, remove := iq.Payload.Child(nsRegister, "remove"); remove {
			s.later(ctx, iq, func(ctx context.Context) { s.remove(ctx, iq, user) })
			return
		}
		if s.opt.Registration == Closed && !s.Allowed(user) {
			s.send(ctx, iq.Refuse("cancel", "not-allowed", "The gateway takes no new users."))
			return
		}
		if _, values, ok := submitted(iq.Payload); ok && !yes(values["consent"]) {
			s.send(ctx, iq.Refuse("modify", "not-acceptable", "Registering means consent."))
			return
		}
		if err := s.users.set(ctx, user, in); err != nil {
			s.opt.Log.Error("registration not kept", "error", err)
			s.send(ctx, iq.Refuse("wait", "resource-constraint", ""))
			return
		}
		s.send(ctx, iq.Reply(xmltok.Element{}))
		s.send(ctx, &packet.Presence{Attrs: packet.Attrs{From: s.opt.Address.Domain, To: user, Type: "subscribe"}}) // XEP-0100 §4.1.1
	}
}

// registration describes what registering means.
func (s *Service) registration(ctx context.Context, iq *packet.IQ, user string) {
	text := "Register to use the gateway " + s.opt.Name + ": people of the other network can write to you, and see your name and avatar."
	var w xmltok.Writer
	w.Start(nsRegister, "query")
	if s.users.get(user) == in {
		w.Start(nsRegister, "registered").End()
		text = "You are registered."
	}
	w.Start(nsRegister, "instructions").Text(text).End()
	form{kind: "form", title: s.opt.Name, instructions: text, fields: []field{
		formType(nsRegister),
		{name: "consent", kind: "boolean", label: "I want to be reachable through the gateway", values: []string{"1"}, required: true},
	}}.write(&w)
	s.answer(ctx, iq, &w)
}

// remove ends a registration.
func (s *Service) remove(ctx context.Context, iq *packet.IQ, user string) {
	if _, err := s.leave(ctx, user); err != nil {
		s.opt.Log.Error("user not removed", "error", err)
		s.send(ctx, iq.Refuse("wait", "resource-constraint", ""))
		return
	}
	s.send(ctx, iq.Reply(xmltok.Element{}))
}

// leave forgets a user but for the wish to be left alone.
func (s *Service) leave(ctx context.Context, user string) (int, error) {
	n, err := s.contacts.Leave(ctx, user)
	if err != nil {
		return n, fmt.Errorf("leave: %w", err)
	}
	said := silent
	if s.opt.Registration == Optional {
		said = out
	}
	if err := s.users.set(ctx, user, said); err != nil {
		return n, err
	}
	for _, typ := range []string{"unsubscribe", "unsubscribed"} {
		s.send(ctx, &packet.Presence{Attrs: packet.Attrs{From: s.opt.Address.Domain, To: user, Type: typ}})
	}
	return n, nil
}

// search looks a person up (XEP-0055), with a form or with the old field for a nick.
func (s *Service) search(ctx context.Context, iq *packet.IQ, user string) {
	if iq.Type == "get" {
		text := "Enter the whole address of a person, such as " + s.opt.Example + "."
		var w xmltok.Writer
		w.Start(nsSearch, "query")
		w.Start(nsSearch, "instructions").Text(text).End()
		w.Start(nsSearch, "nick").End()
		form{kind: "form", title: "Find a person", instructions: text, fields: []field{
			formType(nsSearch), {name: "nick", kind: "text-single", label: "Address", required: true},
		}}.write(&w)
		s.answer(ctx, iq, &w)
		return
	}
	_, values, isForm := submitted(iq.Payload)
	asked := values["nick"]
	if !isForm {
		asked = iq.Payload.ChildText(nsSearch, "nick")
	}
	s.later(ctx, iq, func(ctx context.Context) {
		var rows []person
		switch p, err := s.find(ctx, user, asked); {
		case err == nil:
			rows = append(rows, p)
		case sdk.KindOf(err).Temporary():
			s.send(ctx, iq.Refuse("wait", "remote-server-timeout", "The other network does not answer. Please try again later."))
			return
		}
		s.send(ctx, iq.Reply(found(rows, isForm)))
	})
}

// found writes the result of a search.
func found(rows []person, isForm bool) xmltok.Element {
	var w xmltok.Writer
	w.Start(nsSearch, "query")
	if isForm {
		f := form{kind: "result", rows: [][]string{}, fields: []field{
			{name: "jid", kind: "jid-single", label: "Jabber ID"}, {name: "nick", kind: "text-single", label: "Name"}, {name: "address", kind: "text-single", label: "Address"},
		}}
		for _, p := range rows {
			f.rows = append(f.rows, []string{p.jid, p.name, p.address})
		}
		f.write(&w)
	} else {
		for _, p := range rows {
			w.Start(nsSearch, "item", xmltok.A("jid", p.jid)).Start(nsSearch, "nick").Text(p.name).End().End()
		}
	}
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

// person is somebody who was found.
type person struct{ jid, name, address string }

// find looks an address up for a user.
func (s *Service) find(ctx context.Context, user, text string) (person, error) {
	if !s.Allowed(user) {
		return person{}, sdk.Errorf(sdk.Forbidden, "look up an address", "the user may not")
	}
	address, err := s.opt.Address.Canonical(foreign(text))
	if err != nil {
		return person{}, sdk.Errorf(sdk.Invalid, "look up an address", "%w", err)
	}
	j, err := s.opt.Address.Virtual(address)
	if err != nil {
		return person{}, sdk.Errorf(sdk.Invalid, "look up an address", "%w", err)
	}
	p, err := s.contacts.Find(ctx, user, address)
	if err != nil {
		return person{}, fmt.Errorf("look up an address: %w", err)
	}
	return person{jid: j.String(), name: p.Name(address), address: address}, nil
}

// later runs f in the pool, or refuses the request when the pool is full.
func (s *Service) later(ctx context.Context, iq *packet.IQ, f func(context.Context)) {
	select {
	case s.tasks <- f:
	default:
		s.send(ctx, iq.Refuse("wait", "resource-constraint", "Too many requests. Please try again later."))
	}
}

func (s *Service) answer(ctx context.Context, iq *packet.IQ, w *xmltok.Writer) {
	e, err := w.Element()
	if err != nil {
		s.opt.Log.Error("answer cannot be written", "error", err)
		s.send(ctx, iq.Refuse("cancel", "internal-server-error", ""))
		return
	}
	s.send(ctx, iq.Reply(e))
}

func (s *Service) send(ctx context.Context, p packet.Stanza) {
	if err := s.stream.Send(ctx, p); err != nil {
		s.opt.Log.Debug("answer not sent", "error", err)
	}
}
