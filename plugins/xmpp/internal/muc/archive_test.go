package muc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// archive plays a room's archive (XEP-0313).
type archive struct {
	s    *service
	mu   sync.Mutex
	list []entry
	page int // most results in one page

	asked  []mam.Question
	refuse error                      // what queries end with
	hold   func()                     // called before each answer
	forge  func(iq *packet.IQ) string // stanzas that come before the results
}

type entry struct {
	id    string
	stamp time.Time
	xml   string
}

// keep gives the service an archive.
func (s *service) keep() *archive {
	a := &archive{s: s, page: 50}
	s.features = append([]string{convert.NSMAM}, allFeatures...)
	s.onArchive = a.answer
	return a
}

// add archives a message of somebody.
func (a *archive) add(nick, id, inner string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	stanza := fmt.Sprintf("a%03d", len(a.list)+1)
	from := roomJID + "/" + nick
	if nick == "" {
		from = roomJID
	}
	a.list = append(a.list, entry{stanza, time.Now(), "<message xmlns='jabber:client' type='groupchat' id='" + id + "' from='" + from + "'>" + inner + "</message>"})
	return stanza
}

// say archives a message with an occupant-id and lets the listener hear it.
func (a *archive) say(nick, id, inner string) string {
	inner += "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='" + nick + "'/>"
	stanza := a.add(nick, id, inner)
	a.s.say(nick, id, inner+"<stanza-id xmlns='urn:xmpp:sid:0' by='"+roomJID+"' id='"+stanza+"'/>")
	return stanza
}

// unheard archives a message with an occupant-id that nobody hears.
func (a *archive) unheard(nick, id, inner string) string {
	return a.add(nick, id, inner+"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='"+nick+"'/>")
}

func (a *archive) answer(iq *packet.IQ) (*packet.IQ, error) {
	ask, query := readQuestion(iq)
	a.mu.Lock()
	a.asked = append(a.asked, ask)
	hold, refuse := a.hold, a.refuse
	a.mu.Unlock()
	if hold != nil {
		hold()
	}
	if refuse != nil {
		return nil, refuse
	}
	a.mu.Lock()
	list := slices.Clone(a.list)
	a.mu.Unlock()
	from, to := 0, len(list)
	for _, at := range []string{ask.After, ask.Before} {
		if at != "" && !slices.ContainsFunc(list, func(e entry) bool { return e.id == at }) {
			return nil, &packet.Error{Type: "cancel", Condition: "item-not-found"}
		}
	}
	for i, e := range list {
		switch {
		case e.id == ask.After, !ask.Start.IsZero() && e.stamp.Before(ask.Start):
			from = max(from, i+1)
		case e.id == ask.Before:
			to = i
		}
	}
	most := min(ask.Max, a.page)
	complete := to-from <= most
	if !complete && ask.Back {
		from = to - most
	} else if !complete {
		to = from + most
	}
	if a.forge != nil {
		if raw := a.forge(iq); raw != "" {
			a.s.message(raw)
		}
	}
	return a.send(iq, query, list[from:to], complete)
}

// send gives the results and the answer.
func (a *archive) send(iq *packet.IQ, query string, list []entry, complete bool) (*packet.IQ, error) {
	var w xmltok.Writer
	w.Start(convert.NSMAM, "fin", xmltok.A("complete", strconv.FormatBool(complete)))
	w.Start(convert.NSRSM, "set")
	for i, e := range list {
		a.s.message(result(iq, roomJID, query, e))
		if i == 0 {
			w.Start(convert.NSRSM, "first").Text(e.id).End()
		}
		if i == len(list)-1 {
			w.Start(convert.NSRSM, "last").Text(e.id).End()
		}
	}
	fin, err := w.Element()
	return &packet.IQ{Payload: fin}, err
}

// result is the message that carries a message of the archive.
func result(iq *packet.IQ, from, query string, e entry) string {
	return "<message from='" + from + "' to='" + iq.From + "'><result xmlns='urn:xmpp:mam:2' queryid='" + query + "' id='" + e.id + "'>" +
		"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='" + e.stamp.UTC().Format(time.RFC3339Nano) + "'/>" + e.xml + "</forwarded></result></message>"
}

func readQuestion(iq *packet.IQ) (ask mam.Question, query string) {
	q := iq.Payload
	if x, ok := q.Child(convert.NSData, "x"); ok {
		for f := range x.Children() {
			value := f.ChildText(convert.NSData, "value")
			switch f.Get("var") {
			case "start":
				ask.Start, _ = time.Parse(time.RFC3339, value)
			case "ids":
				ask.ID = value
			}
		}
	}
	set, _ := q.Child(convert.NSRSM, "set")
	ask.After = set.ChildText(convert.NSRSM, "after")
	_, ask.Back = set.Child(convert.NSRSM, "before")
	ask.Before = set.ChildText(convert.NSRSM, "before")
	ask.Max, _ = strconv.Atoi(set.ChildText(convert.NSRSM, "max"))
	return ask, q.Get("queryid")
}

// memory is a Store.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	fail   error
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], m.fail
}

func (m *memory) Set(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.values[key] = value
	}
	return m.fail
}
