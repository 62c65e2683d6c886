package service

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Bounds of sessions.
const (
	maxSessions = 1000 // of all users
	maxOfUser   = 8    // of one user
)

// session is a command that waits for its user's form. It belongs to the full JID that began it (XEP-0050 §3.1).
type session struct {
	jid, user, node string
	until           time.Time
}

// cmd is one command.
type cmd struct {
	node, name string
	admin      bool                                          // for operators only
	form       func(s *Service) form                         // asked for first; nil runs the command at once
	run        func(ctx context.Context, s *Service, c call) // answers; called in the pool
}

// call is one run of a command.
type call struct {
	iq      *packet.IQ
	user    string
	session string
	values  map[string]string
}

// commands are all commands, in the order in which they are listed.
var commands = []cmd{
	{node: "contact", name: "Look up or add a contact", form: contactForm, run: runContact},
	{node: "contacts", name: "List my contacts", run: runContacts},
	{node: "leave", name: "Leave, and remove my data", form: leaveForm, run: runLeave},
	{node: "status", name: "Status of the gateway", admin: true, run: runStatus},
}

func (s *Service) admin(user string) bool { return slices.Contains(s.opt.Admins, user) }

// command does one step of a command (XEP-0050 §3).
func (s *Service) command(ctx context.Context, iq *packet.IQ, user string) {
	node, id, action := iq.Payload.Get("node"), iq.Payload.Get("sessionid"), iq.Payload.Get("action")
	i := slices.IndexFunc(commands, func(c cmd) bool { return c.node == node })
	switch {
	case i < 0:
		s.send(ctx, iq.Refuse("cancel", "item-not-found", ""))
		return
	case commands[i].admin && !s.admin(user):
		s.send(ctx, iq.Refuse("auth", "forbidden", "This command is for operators."))
		return
	}
	c := commands[i]
	if id == "" {
		s.begin(ctx, iq, user, c)
		return
	}
	ses, condition := s.session(id, iq.From, node)
	switch {
	case condition == "forbidden":
		s.send(ctx, iq.Refuse("auth", "forbidden", "This command was begun by somebody else."))
	case ses == nil:
		s.refuse(ctx, iq, "session-expired", "not-allowed")
	case action == "cancel":
		s.end(id)
		s.done(ctx, iq, node, id, "canceled", nil, "", "")
	case action == "prev" || action != "" && action != "execute" && action != "next" && action != "complete":
		s.refuse(ctx, iq, "bad-action", "bad-request")
	default:
		kind, values, ok := submitted(iq.Payload)
		if !ok || kind != "submit" {
			s.refuse(ctx, iq, "bad-payload", "bad-request")
			return
		}
		s.end(id)
		s.start(ctx, c, call{iq: iq, user: user, session: id, values: values})
	}
}

// begin asks for the command's form, or runs it at once.
func (s *Service) begin(ctx context.Context, iq *packet.IQ, user string, c cmd) {
	if a := iq.Payload.Get("action"); a != "" && a != "execute" {
		s.refuse(ctx, iq, "bad-action", "bad-request")
		return
	}
	id := rand.Text()
	if c.form == nil {
		s.start(ctx, c, call{iq: iq, user: user, session: id})
		return
	}
	if !s.open(id, &session{jid: iq.From, user: user, node: c.node, until: s.opt.Now().Add(s.opt.Session)}) {
		s.send(ctx, iq.Refuse("wait", "resource-constraint", "Too many commands are open."))
		return
	}
	f := c.form(s)
	s.done(ctx, iq, c.node, id, "executing", &f, "", "")
}

// start runs a command in the pool.
func (s *Service) start(ctx context.Context, c cmd, run call) {
	s.later(ctx, run.iq, func(ctx context.Context) {
		c.run(ctx, s, run)
	})
}

// open keeps a session. It is false when there are too many.
func (s *Service) open(id string, ses *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, mine := s.opt.Now(), 0
	for k, other := range s.sessions {
		switch {
		case !now.Before(other.until):
			delete(s.sessions, k)
		case other.user == ses.user:
			mine++
		}
	}
	if len(s.sessions) >= maxSessions || mine >= maxOfUser {
		return false
	}
	s.sessions[id] = ses
	return true
}

// session finds a session of a full JID. The condition is forbidden when it is somebody else's.
func (s *Service) session(id, jid, node string) (ses *session, condition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses = s.sessions[id]
	switch {
	case ses == nil || !s.opt.Now().Before(ses.until):
		return nil, ""
	case !packet.SameJID(ses.jid, jid) || ses.node != node:
		return nil, "forbidden"
	}
	return ses, ""
}

func (s *Service) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, id)
}

// refuse answers by an error of XEP-0050 §4.6.
func (s *Service) refuse(ctx context.Context, iq *packet.IQ, specific, condition string) {
	typ := "modify"
	if condition == "not-allowed" {
		typ = "cancel"
	}
	answer := iq.Refuse(typ, condition, "")
	answer.Error.App = xmltok.New(nsCommands, specific, "")
	s.send(ctx, answer)
}

// done answers a step of a command.
func (s *Service) done(ctx context.Context, iq *packet.IQ, node, id, status string, f *form, noteKind, note string) {
	var w xmltok.Writer
	w.Start(nsCommands, "command", []xml.Attr{xmltok.A("node", node), xmltok.A("sessionid", id), xmltok.A("status", status)}...)
	if status == "executing" {
		w.Start(nsCommands, "actions", xmltok.A("execute", "complete")).Start(nsCommands, "complete").End().End()
	}
	if note != "" {
		w.Start(nsCommands, "note", xmltok.A("type", noteKind)).Text(note).End()
	}
	if f != nil {
		f.write(&w)
	}
	s.answer(ctx, iq, &w)
}

// complete answers the last step of a command.
func (s *Service) complete(ctx context.Context, c call, f *form, noteKind, note string) {
	s.done(ctx, c.iq, c.iq.Payload.Get("node"), c.session, "completed", f, noteKind, note)
}

func contactForm(s *Service) form {
	return form{kind: "form", title: "Contact", instructions: "Enter the whole address of a person, such as " + s.opt.Example + ".", fields: []field{
		{name: "address", kind: "text-single", label: "Address", required: true},
		{name: "add", kind: "boolean", label: "Suggest it for my contacts", values: []string{"0"}},
	}}
}

// runContact looks an address up, and suggests it for the user's contacts (XEP-0144).
func runContact(ctx context.Context, s *Service, c call) {
	p, err := s.find(ctx, c.user, c.values["address"])
	if err != nil {
		s.complete(ctx, c, nil, "error", failure(err, s.opt.Example))
		return
	}
	if yes(c.values["add"]) {
		var w xmltok.Writer
		w.Start(nsRosterX, "x").Start(nsRosterX, "item", xmltok.A("action", "add"), xmltok.A("jid", p.jid), xmltok.A("name", p.name)).End()
		if x, err := w.Element(); err == nil {
			s.send(ctx, &packet.Message{Attrs: packet.Attrs{From: s.opt.Address.Domain, To: c.iq.From, ID: rand.Text(), Extensions: []xmltok.Element{x}}})
		}
	}
	s.complete(ctx, c, &form{kind: "result", title: p.name, fields: []field{
		{name: "name", kind: "text-single", label: "Name", values: []string{p.name}},
		{name: "address", kind: "text-single", label: "Address", values: []string{p.address}},
		{name: "jid", kind: "jid-single", label: "Jabber ID", values: []string{p.jid}},
	}}, "info", "Write to "+p.jid+", or add it to your contacts.")
}

// failure says to the user why an address was not found.
func failure(err error, example string) string {
	switch sdk.KindOf(err) {
	case sdk.Invalid:
		return "This is no address. Please write it as in " + example + "."
	case sdk.NotFound, sdk.Gone:
		return "There is no such person."
	case sdk.Forbidden:
		return "You are not registered with the gateway."
	case sdk.RateLimited:
		return "Too many requests. Please try again later."
	default:
		return "The other network does not answer. Please try again later."
	}
}

func runContacts(ctx context.Context, s *Service, c call) {
	f := form{kind: "result", title: "My contacts", rows: [][]string{}, fields: []field{
		{name: "address", kind: "text-single", label: "Address"}, {name: "jid", kind: "jid-single", label: "Jabber ID"},
		{name: "subscription", kind: "text-single", label: "Subscription"},
	}}
	for _, e := range s.contacts.List(c.user) {
		state := "none"
		switch {
		case e.From && e.To:
			state = "both"
		case e.From:
			state = "you see them"
		case e.To:
			state = "they see you"
		}
		if e.Asked {
			state += ", asked"
		}
		f.rows = append(f.rows, []string{e.Foreign, e.JID, state})
	}
	s.complete(ctx, c, &f, "info", strconv.Itoa(len(f.rows))+" contacts")
}

func leaveForm(s *Service) form {
	return form{kind: "form", title: "Leave", instructions: "All your contacts on " + s.opt.Address.Domain + " end, and what the gateway keeps of you is removed.", fields: []field{
		{name: "confirm", kind: "boolean", label: "Leave the gateway", values: []string{"0"}, required: true},
	}}
}

func runLeave(ctx context.Context, s *Service, c call) {
	if !yes(c.values["confirm"]) {
		s.complete(ctx, c, nil, "info", "Nothing was changed.")
		return
	}
	n, err := s.leave(ctx, c.user)
	if err != nil {
		s.opt.Log.Error("user not removed", "error", err)
		s.complete(ctx, c, nil, "error", "That did not work. Please try again later.")
		return
	}
	s.complete(ctx, c, nil, "info", fmt.Sprintf("You have left. %d contacts ended.", n))
}

func runStatus(ctx context.Context, s *Service, c call) {
	n := s.contacts.Counts()
	lines := []string{
		"Up since " + s.started.UTC().Format(time.RFC3339),
		fmt.Sprintf("%d users with %d contacts, %d registered, %d waiting", n.Users, n.Contacts, s.users.count(), n.Waiting),
	}
	if s.opt.Status != nil {
		lines = append(lines, s.opt.Status(ctx)...)
	}
	s.complete(ctx, c, &form{kind: "result", title: "Status", fields: []field{{name: "status", kind: "text-multi", label: "Status", values: lines}}}, "", "")
}
