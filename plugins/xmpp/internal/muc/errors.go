package muc

import (
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

// Refusals of a room wait: the operator or the room's owner can lift them, so
// they are temporary for the lane, and the text says what is the matter.

// joinTexts are what people read when a room does not let us in (XEP-0045 §7.2).
var joinTexts = map[string]string{
	"not-authorized":          "the room needs a password, or the one configured is wrong",
	"forbidden":               "the room has banned us",
	"item-not-found":          "the room does not exist",
	"not-allowed":             "the room does not exist, and we may not create it",
	"not-acceptable":          "the room wants a nick that it has registered for us",
	"registration-required":   "the room is for members only, and we are none",
	"conflict":                "all nicks that we tried are taken",
	"service-unavailable":     "the room is full, or its service is not available",
	"resource-constraint":     "the room is full, or its server cannot take more now",
	"remote-server-not-found": "the room's server cannot be found",
	"remote-server-timeout":   "the room's server does not answer",
	"gone":                    "the room no longer exists",
	"jid-malformed":           "the room's service does not take our nick",
}

// refusedJoin turns the refusal of a join into an error for the lane.
func refusedJoin(op string, e *packet.Error) *sdk.Error {
	text := joinTexts[e.Condition]
	if text == "" {
		text = "the room does not let us in: " + e.Condition
	}
	return &sdk.Error{Op: op, Kind: sdk.Transient, Public: text, After: 5 * time.Second, Err: e}
}

// personal reports whether a refusal is about one occupant, so that another one
// of ours may still get in.
func personal(condition string) bool {
	switch condition {
	case "forbidden", "registration-required", "not-acceptable", "conflict", "jid-malformed":
		return true
	default:
		return false
	}
}

// outside reports whether a refused message means that the sender is not, or no
// longer, in the room (XEP-0045 §7.4).
func outside(condition string) bool {
	switch condition {
	case "not-acceptable", "item-not-found", "gone", "service-unavailable", "remote-server-not-found", "remote-server-timeout",
		"recipient-unavailable":
		return true
	default:
		return false
	}
}

// refusedMessage turns the refusal of a message into an error for its delivery.
// What only the message itself can cause is permanent.
func refusedMessage(op string, e *packet.Error) *sdk.Error {
	out := &sdk.Error{Op: op, Kind: sdk.Transient, Err: e}
	switch {
	case outside(e.Condition):
		out.Public = "we are no longer in the room"
	case e.Condition == "forbidden":
		out.Public = "the room is moderated, and we have no voice in it"
		out.After = 10 * time.Second
	case e.Temporary(), e.Condition == "resource-constraint":
		out.Public = "the room takes no more messages now"
		out.After = 2 * time.Second
	case e.Condition == "policy-violation", e.Condition == "not-allowed", e.Condition == "not-authorized":
		out.Kind = sdk.Forbidden
		out.Public = "the room's server refused the message: " + e.Condition
	case e.Condition == "bad-request", e.Condition == "jid-malformed", e.Condition == "feature-not-implemented":
		out.Kind = sdk.Invalid
		out.Public = "the room's server does not understand the message: " + e.Condition
	default:
		out.Public = "the room refused the message: " + e.Condition
	}
	return out
}
