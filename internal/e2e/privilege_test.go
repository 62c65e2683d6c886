package e2e

import (
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// delegatedSpace is a namespace that a server hands on to the bridge, which has nothing to say about it.
const delegatedSpace = "urn:example:delegated"

// newPrivileged is newGateway between two Prosodys of which the first lets the bridge see and change rosters (XEP-0356).
func newPrivileged(t *testing.T) (b *bridge, juliet, romeo *side) {
	t.Helper()
	opts := gatewayOptions("127.0.0.2", "one.test", "juliet")
	opts.Privileged = []string{"bridge.one.test"}
	opts.Delegated = map[string]string{delegatedSpace: "bridge.one.test"}
	one := itest.Prosody(t, opts)
	two := itest.Prosody(t, gatewayOptions("127.0.0.3", "two.test", "romeo"))
	juliet = &side{server: one, bridge: "bridge.one.test", peer: virtual("romeo@two.test", "bridge.one.test")}
	romeo = &side{server: two, bridge: "bridge.two.test", peer: virtual("juliet@one.test", "bridge.two.test")}
	grouped := strings.TrimSpace(gatewayLink("one", one, juliet.bridge)) + "\n[link.one.config.gateway]\nroster_group = \"Elsewhere\"\n\n"
	b = newBridge(t, withSecret(t, grouped+gatewayLink("two", two, romeo.bridge)+"[[gateway]]\nlinks = [\"one\", \"two\"]\n"))
	b.start()
	b.connected()
	juliet.login(t, "juliet")
	romeo.login(t, "romeo")
	romeo.user.SetVCard("", itest.VCard{Name: "Romeo Montague"})
	juliet.user.SetVCard("", itest.VCard{Name: "Juliet Capulet"})
	return b, juliet, romeo
}

// TestNamesInRosters: a server that lets the bridge change rosters shows contacts by their names; one that does not shows them all
// the same. What the user has named stays.
func TestNamesInRosters(t *testing.T) {
	b, juliet, romeo := newPrivileged(t)
	crossSubscription(t, juliet, romeo)
	soon(t, "contact with a name", func() (any, bool) {
		c := juliet.user.Roster()[juliet.peer]
		return c, c.Name == "Romeo Montague" && c.Subscription == "both" && slices.Equal(c.Groups, []string{"Elsewhere"})
	})
	if c := romeo.user.Roster()[romeo.peer]; c.Name != "" || c.Subscription != "both" {
		t.Errorf("contact %+v without a grant, want one without a name", c)
	}
	if text := b.statusText(); !strings.Contains(text, "rosters (both)") {
		t.Errorf("status does not tell of the grant:\n%s", text)
	}
	// What the server hands on and the bridge has no answer to is refused at once (XEP-0355).
	if e := juliet.user.IQ("get", juliet.user.Bare(), "<query xmlns='"+delegatedSpace+"'/>"); e.Refusal == nil || e.Refusal.Condition != "feature-not-implemented" {
		t.Errorf("delegated request: %s", e.XML)
	}
	juliet.user.SetContact(itest.Contact{JID: juliet.peer, Name: "My Romeo", Groups: []string{"Love"}})
	b.stop()
	b.start()
	b.connected()
	// Presence still crosses, with its text.
	romeo.user.SendPresence(itest.Presence{Show: "away", Status: "banished"})
	juliet.user.Wait("away", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == juliet.peer && e.Show == "away" && e.StatusText == "banished"
	})
	romeo.user.SendPresence(itest.Presence{Show: "away", Status: "in Mantua"})
	juliet.user.Wait("new text", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == juliet.peer && e.Show == "away" && e.StatusText == "in Mantua"
	})
	if c := juliet.user.Roster()[juliet.peer]; c.Name != "My Romeo" || !slices.Equal(c.Groups, []string{"Love"}) || c.Subscription != "both" {
		t.Errorf("contact %+v, want what Juliet has made of it", c)
	}
	// When both relations have ended at the other side, the entry goes.
	romeo.user.SendPresence(itest.Presence{To: romeo.peer, Type: "unsubscribed"})
	juliet.user.WaitPresence(juliet.peer, "unsubscribed")
	romeo.user.SendPresence(itest.Presence{To: romeo.peer, Type: "unsubscribe"})
	juliet.user.WaitPresence(juliet.peer, "unsubscribe")
	soon(t, "no contact", func() (any, bool) {
		c, there := juliet.user.Roster()[juliet.peer]
		return c, !there
	})
}
