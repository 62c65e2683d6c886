package packet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// ErrNotStanza is returned by Decode for a top-level element that is none of message, presence and iq of the stream's namespace.
var ErrNotStanza = errors.New("not a stanza")

// Decode makes a *Message, *Presence or *IQ of a top-level element of a stream. The stream's namespace is that of the element; both
// jabber:client and jabber:component:accept are taken. An error other than ErrNotStanza wraps xmltok.ErrNotWellFormed.
func Decode(e xmltok.Element) (Stanza, error) {
	ns := e.Name.Space
	if ns != NSClient && ns != NSComponent {
		return nil, ErrNotStanza
	}
	a := Attrs{Source: e, Lang: e.Lang(), From: e.Get("from"), To: e.Get("to"), ID: e.Get("id"), Type: e.Get("type")}
	switch e.Name.Local {
	case "message":
		return decodeMessage(ns, a), nil
	case "presence":
		return decodePresence(ns, a), nil
	case "iq":
		return decodeIQ(ns, a), nil
	}
	return nil, ErrNotStanza
}

// DecodeBytes decodes one stanza that stands in the namespace ns, for instance one that was kept or forwarded.
func DecodeBytes(b []byte, ns string) (Stanza, error) {
	e, err := xmltok.ParseIn(b, ns, xmltok.ComponentLimits())
	if err != nil {
		return nil, fmt.Errorf("decode stanza: %w", err)
	}
	return Decode(e)
}

func decodeMessage(ns string, a Attrs) *Message {
	m := &Message{Attrs: a}
	for c := range a.Source.Children() {
		switch {
		case c.Is(ns, "body"):
			m.Bodies = append(m.Bodies, textOf(c, a.Lang))
		case c.Is(ns, "subject"):
			m.Subjects = append(m.Subjects, textOf(c, a.Lang))
		case c.Is(ns, "thread"):
			if !m.HasThread {
				m.HasThread, m.Thread, m.Parent = true, c.Text(), c.Get("parent")
			}
		default:
			m.other(ns, c)
		}
	}
	return m
}

func decodePresence(ns string, a Attrs) *Presence {
	p := &Presence{Attrs: a}
	var show, priority bool
	for c := range a.Source.Children() {
		switch {
		case c.Is(ns, "show"):
			if !show {
				show, p.Show = true, showOf(c.Text())
			}
		case c.Is(ns, "status"):
			p.Statuses = append(p.Statuses, textOf(c, a.Lang))
		case c.Is(ns, "priority"):
			if n, err := strconv.ParseInt(strings.TrimSpace(c.Text()), 10, 8); err == nil && !priority {
				p.Priority = int8(n)
			}
			priority = true
		default:
			p.other(ns, c)
		}
	}
	return p
}

func decodeIQ(ns string, a Attrs) *IQ {
	iq := &IQ{Attrs: a}
	for c := range a.Source.Children() {
		if iq.Payload.IsZero() && !c.Is(ns, "error") {
			iq.Payload = c
			continue
		}
		iq.other(ns, c)
	}
	return iq
}

// other files a child that has no field of its own.
func (a *Attrs) other(ns string, c xmltok.Element) {
	if a.Error == nil && c.Is(ns, "error") {
		a.Error = decodeError(c)
		return
	}
	a.Extensions = append(a.Extensions, c)
}

func showOf(s string) string {
	switch s {
	case "away", "chat", "dnd", "xa":
		return s
	}
	return ""
}

func textOf(c xmltok.Element, lang string) Text {
	if l := c.Lang(); l != "" {
		lang = l
	}
	return Text{Lang: lang, Text: c.Text()}
}

func decodeError(e xmltok.Element) *Error {
	x := &Error{Type: e.Get("type"), By: e.Get("by")}
	for c := range e.Children() {
		switch {
		case c.Is(NSStanzas, "text"):
			if x.Text == "" {
				x.Text = c.Text()
			}
		case c.Name.Space == NSStanzas:
			if x.Condition == "" {
				x.Condition = c.Name.Local
			}
		case x.App.IsZero():
			x.App = c
		}
	}
	if x.Condition == "" {
		x.Condition = "undefined-condition"
	}
	if x.Type == "" {
		x.Type = "cancel"
	}
	return x
}
