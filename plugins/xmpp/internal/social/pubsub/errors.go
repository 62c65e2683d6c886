package pubsub

import (
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Fault makes a stanza error with a condition of pubsub beside the general one
// (XEP-0060 §6 and §7); app may be empty.
func Fault(kind, condition, app string) *packet.Error {
	e := &packet.Error{Type: kind, Condition: condition}
	if app != "" {
		e.App = xmltok.New(NSErrors, app, "")
	}
	return e
}

// Unsupported says that the service lacks a feature (XEP-0060 §12.16).
func Unsupported(feature string) *packet.Error {
	return &packet.Error{Type: "cancel", Condition: "feature-not-implemented",
		App: xmltok.New(NSErrors, "unsupported", "", xmltok.A("feature", feature))}
}

// Refusal makes the answer to iq that carries the error.
func Refusal(iq *packet.IQ, e *packet.Error) *packet.IQ {
	r := iq.Refuse(e.Type, e.Condition, e.Text)
	r.Error = e
	return r
}
