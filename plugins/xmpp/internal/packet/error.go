package packet

import (
	"gosrc.io/xmpp/stanza"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Error is a stanza error (RFC 6120 §8.3). It is a Go error, so that an IQ's refusal can be returned as one.
type Error struct {
	Type      string // auth, cancel, continue, modify or wait; RFC 6120 §8.3.2
	Condition string // defined condition, such as item-not-found; undefined-condition if the peer gave none
	Text      string
	By        string         // who raised it, often ""
	App       xmltok.Element // application-specific condition; zero if none
}

// Error implements error without the text, which anybody may have written.
func (e *Error) Error() string { return "stanza error " + e.Condition + " (" + e.Type + ")" }

// Temporary reports whether the same stanza may succeed later: the peer said "wait".
func (e *Error) Temporary() bool { return e.Type == "wait" }

// Err gives the error as gosrc.io/xmpp's type.
func (e *Error) Err() stanza.Err {
	return stanza.Err{Code: legacyCode(e.Condition), Type: stanza.ErrorType(e.Type), Reason: e.Condition, Text: e.Text}
}

// legacyCode is the number of XEP-0086, without which gosrc.io/xmpp does not write an error at all.
func legacyCode(condition string) int {
	switch condition {
	case "bad-request", "jid-malformed":
		return 400
	case "forbidden":
		return 403
	case "item-not-found", "recipient-unavailable", "remote-server-not-found":
		return 404
	case "not-allowed":
		return 405
	case "not-acceptable":
		return 406
	case "conflict":
		return 409
	case "feature-not-implemented":
		return 501
	case "service-unavailable":
		return 503
	}
	return 500
}
