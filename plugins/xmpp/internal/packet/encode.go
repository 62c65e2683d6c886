package packet

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"

	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// MaxDepth is the deepest nesting that is ever sent: 10,000 levels end an ejabberd, and Prosody's archive drops the message.
const MaxDepth = 64

// Rules are what an outgoing stanza must keep. A server closes the whole stream over a stanza that breaks them, so that they are checked
// before the write.
type Rules struct {
	Space string // the stream's namespace: NSClient or NSComponent
	// Domain is the component's domain, within which every from must be (XEP-0114; Prosody answers invalid-from and closes). Empty for a client.
	Domain string
	// Account is the client's own full JID: from, if there is one, must be it or its bare form. Empty for a component.
	Account string
	MaxSize int // bytes; 0 means 256 KiB
}

// ErrForbidden is wrapped by every error about a stanza that may not be sent.
var ErrForbidden = errors.New("stanza may not be sent")

// raw is a stanza that was written out by the caller.
type raw []byte

// Name implements stanza.Packet.
func (raw) Name() string { return "raw" }

// Raw makes a packet of a stanza's bytes, which are checked when it is encoded.
func Raw(b []byte) stanza.Packet { return raw(b) }

// Encode writes a stanza for the stream that rules describe, checks the result with the same scanner that guards the incoming side, and
// returns it with the addresses it carries. It takes the types of this package, those of gosrc.io/xmpp/stanza, and Raw. Characters that
// XML forbids are replaced by U+FFFD. Every error wraps ErrForbidden, and the stanza would fail again.
func Encode(p stanza.Packet, rules Rules) ([]byte, Attrs, error) {
	b, err := marshal(p)
	if err != nil {
		return nil, Attrs{}, fmt.Errorf("%w: encode %T: %w", ErrForbidden, p, err)
	}
	size := rules.MaxSize
	if size == 0 {
		size = xmltok.ClientLimits().MaxBytes
	}
	lim := xmltok.Limits{MaxBytes: size, MaxDepth: MaxDepth, MaxElements: size, MaxAttrs: 256}
	e, err := xmltok.ParseIn(b, rules.Space, lim)
	if err != nil {
		return nil, Attrs{}, fmt.Errorf("%w: encode %T: %w", ErrForbidden, p, err)
	}
	a := Attrs{From: e.Get("from"), To: e.Get("to"), ID: e.Get("id"), Type: e.Get("type")}
	if err := rules.check(e, a); err != nil {
		return nil, a, fmt.Errorf("%w: encode %s to %q: %w", ErrForbidden, e.Name.Local, a.To, err)
	}
	return e.Raw(), a, nil
}

func (r Rules) check(e xmltok.Element, a Attrs) error {
	switch e.Name.Local {
	case "message", "presence", "iq":
	default:
		return fmt.Errorf("element %q is no stanza", e.Name.Local)
	}
	if e.Name.Space != r.Space {
		return fmt.Errorf("namespace %q is not the stream's", e.Name.Space)
	}
	if e.Name.Local == "iq" && a.ID == "" {
		return errors.New("iq without id")
	}
	if _, err := ParseJID(a.To); err != nil {
		return err
	}
	from, err := ParseJID(a.From)
	if err != nil {
		return err
	}
	if r.Domain != "" {
		if a.To == "" || a.From == "" {
			return errors.New("a component's stanza needs from and to")
		}
		own, err := ParseJID(r.Domain)
		if err != nil || from.Domainpart() != own.Domainpart() {
			return fmt.Errorf("from %q is outside of %q", a.From, r.Domain)
		}
		return nil
	}
	if a.From == "" || r.Account == "" {
		return nil
	}
	own, err := ParseJID(r.Account)
	if err != nil || !from.Equal(own) && !from.Equal(own.Bare()) {
		return fmt.Errorf("from %q is not the account's", a.From)
	}
	return nil
}

// marshal writes p without looking at rules.
func marshal(p stanza.Packet) ([]byte, error) {
	switch p := p.(type) {
	case *Message:
		return p.append(nil), nil
	case *Presence:
		return p.append(nil), nil
	case *IQ:
		return p.append(nil), nil
	case raw:
		return bytes.Clone(p), nil
	case nil:
		return nil, errors.New("no stanza")
	}
	return xml.Marshal(p)
}

func (m *Message) append(b []byte) []byte {
	b = m.start(b, "message", "")
	b = appendTexts(b, "subject", m.Subjects, m.Lang)
	b = appendTexts(b, "body", m.Bodies, m.Lang)
	if m.HasThread || m.Thread != "" {
		b = append(b, "<thread"...)
		b = xmltok.AppendAttr(b, "parent", m.Parent)
		b = append(b, '>')
		b = append(xmltok.AppendText(b, m.Thread), "</thread>"...)
	}
	return m.end(b, "message")
}

func (p *Presence) append(b []byte) []byte {
	b = p.start(b, "presence", "")
	if p.Show != "" {
		b = append(xmltok.AppendText(append(b, "<show>"...), p.Show), "</show>"...)
	}
	b = appendTexts(b, "status", p.Statuses, p.Lang)
	if p.Priority != 0 {
		b = append(strconv.AppendInt(append(b, "<priority>"...), int64(p.Priority), 10), "</priority>"...)
	}
	return p.end(b, "presence")
}

func (iq *IQ) append(b []byte) []byte {
	b = iq.start(b, "iq", "get")
	if !iq.Payload.IsZero() {
		b = append(b, iq.Payload.Standalone()...)
	}
	return iq.end(b, "iq")
}

func (a *Attrs) start(b []byte, name, typ string) []byte {
	if a.Type != "" {
		typ = a.Type
	}
	b = append(append(b, '<'), name...)
	b = xmltok.AppendAttr(b, "from", a.From)
	b = xmltok.AppendAttr(b, "to", a.To)
	b = xmltok.AppendAttr(b, "id", a.ID)
	b = xmltok.AppendAttr(b, "type", typ)
	b = xmltok.AppendAttr(b, "xml:lang", a.Lang)
	return append(b, '>')
}

func (a *Attrs) end(b []byte, name string) []byte {
	for _, e := range a.Extensions {
		b = append(b, e.Standalone()...)
	}
	if a.Error != nil {
		b = a.Error.append(b)
	}
	return append(append(append(b, '<', '/'), name...), '>')
}

// appendTexts writes an xml:lang only where it differs from the stanza's.
func appendTexts(b []byte, name string, texts []Text, lang string) []byte {
	for _, t := range texts {
		b = append(append(b, '<'), name...)
		if t.Lang != lang {
			b = xmltok.AppendAttr(b, "xml:lang", t.Lang)
		}
		b = append(xmltok.AppendText(append(b, '>'), t.Text), '<', '/')
		b = append(append(b, name...), '>')
	}
	return b
}

func (e *Error) append(b []byte) []byte {
	b = append(b, "<error"...)
	b = xmltok.AppendAttr(b, "type", e.Type)
	b = xmltok.AppendAttr(b, "by", e.By)
	condition := e.Condition
	if !isCondition(condition) {
		condition = "undefined-condition"
	}
	b = append(append(append(b, "><"...), condition...), " xmlns='"+NSStanzas+"'/>"...)
	if e.Text != "" {
		b = append(xmltok.AppendText(append(b, "<text xmlns='"+NSStanzas+"'>"...), e.Text), "</text>"...)
	}
	if !e.App.IsZero() {
		b = append(b, e.App.Standalone()...)
	}
	return append(b, "</error>"...)
}

// isCondition reports whether s can be the name of a condition (RFC 6120 §8.3.3 uses lower-case letters and dashes).
func isCondition(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// Reply returns an answer to iq of the type "result", addressed back to its sender, with the payload given (zero for none).
func (iq *IQ) Reply(payload xmltok.Element) *IQ {
	return &IQ{Attrs: Attrs{From: iq.To, To: iq.From, ID: iq.ID, Type: "result"}, Payload: payload}
}

// Refuse returns an answer of the type "error" (RFC 6120 §8.3) with the condition given, such as "forbidden".
func (iq *IQ) Refuse(errType, condition, text string) *IQ {
	return &IQ{Attrs: Attrs{From: iq.To, To: iq.From, ID: iq.ID, Type: "error", Error: &Error{Type: errType, Condition: condition, Text: text}}}
}

// IsRequest reports whether somebody waits for an answer.
func (iq *IQ) IsRequest() bool { return iq.Type == "get" || iq.Type == "set" }

// NewText is the usual single text without a language of its own.
func NewText(s string) []Text { return []Text{{Text: s}} }
