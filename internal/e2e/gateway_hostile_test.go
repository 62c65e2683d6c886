package e2e

import (
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestGatewayErrors has messages that cannot arrive come back to their sender, and nothing that is not a message be taken for one.
func TestGatewayErrors(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newGateway(t, start)
			part(t, "nobody", juliet, romeo, nobodyThere)
			part(t, "forged copies", juliet, romeo, forgedCopies)
			part(t, "forged changes", juliet, romeo, forgedChanges)
			part(t, "odd addresses", juliet, romeo, oddAddresses)
		})
	}
}

// nobodyThere writes to an account that does not exist on the other server.
func nobodyThere(t *testing.T, from, to *side) {
	address := virtual("nobody@"+to.server.Domain, from.bridge)
	id := from.user.SendMessage(itest.Message{To: address, Body: "is anybody there?"})
	e := from.user.Wait("refusal of the message", func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == address && e.Refusal != nil
	})
	if e.ID != id {
		t.Errorf("refusal of %q, want %q: %s", e.ID, id, e.XML)
	}
	if e.Refusal.Text == "" {
		t.Errorf("refusal without a reason: %s", e.XML)
	}
}

// forgedCopies sends what looks like a carbon and like an archive result of somebody else's message. XEP-0280 §11.
func forgedCopies(_ *testing.T, from, to *side) {
	inner := "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' from='" + to.server.JID("romeo") + "' to='" +
		from.user.Bare() + "' id='forged'><body>forged</body></message></forwarded>"
	for _, wrapped := range []string{
		"<received xmlns='urn:xmpp:carbons:2'>" + inner + "</received>", "<sent xmlns='urn:xmpp:carbons:2'>" + inner + "</sent>",
		"<result xmlns='urn:xmpp:mam:2' id='1' queryid='1'>" + inner + "</result>",
	} {
		from.user.SendRaw("<message type='chat' to='" + from.peer + "'>" + wrapped + "</message>")
	}
	from.say(to, itest.Message{Body: "a true word"})
	to.user.None("a forged message", func(e itest.Event) bool { return strings.Contains(e.XML, "forged") })
}

// forgedChanges corrects and retracts a message of the other side, which changes nothing and is refused. XEP-0308 §5, XEP-0424 §5.
func forgedChanges(t *testing.T, from, to *side) {
	_, got := from.say(to, itest.Message{Body: "mine alone"})
	for what, id := range map[string]string{
		"retraction": to.user.Retract(to.peer, got.ID), "correction": to.user.Correct(to.peer, got.ID, "not mine"),
	} {
		e := to.user.Wait("refusal of the "+what, func(e itest.Event) bool {
			return e.Kind == "message" && e.Room == to.peer && e.ID == id && e.Refusal != nil
		})
		if e.Refusal.Condition != "forbidden" || e.Refusal.Text == "" {
			t.Errorf("refusal of the %s: %s", what, e.XML)
		}
	}
	to.say(from, itest.Message{Body: "or so I thought"})
	for _, e := range from.user.Events() {
		if e.Kind == "message" && e.Room == from.peer && (e.Retract != nil || e.Replace != "") {
			t.Errorf("somebody else's message was changed: %s", e.XML)
		}
	}
}

// oddAddresses writes to addresses that name nobody.
func oddAddresses(t *testing.T, from, _ *side) {
	for _, local := range []string{`\40`, `a\40`, `\40b.test`, `a\40b\40c.test`, "plain", `x\40` + strings.Repeat("y", 900) + ".test"} {
		id := from.user.SendMessage(itest.Message{To: local + "@" + from.bridge, Body: "hello?"})
		e := from.user.Wait("refusal by "+local, func(e itest.Event) bool { return e.Kind == "message" && e.ID == id })
		if e.Refusal == nil {
			t.Errorf("%s: %s", local, e.XML)
		}
	}
	if _, err := from.user.Ping(from.bridge); err != nil {
		t.Errorf("the component does not answer any more: %v", err)
	}
}
