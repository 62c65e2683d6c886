package e2e

import (
	"fmt"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// side is one end of a gateway between two XMPP servers that do not know each other.
type side struct {
	server *itest.Server
	bridge string        // domain of the bridge's component there
	user   *itest.Client // who lives there
	peer   string        // the other side's user, as an address here
}

// virtual is the address of somebody of another server at a component. XEP-0106.
func virtual(jid, component string) string {
	return strings.ReplaceAll(jid, "@", `\40`) + "@" + component
}

// starter starts a kind of server.
type starter func(itest.TB, itest.Options) *itest.Server

// gatewayServers are the pairs of servers that a gateway is tested between; the first is always Prosody.
var gatewayServers = map[string]starter{"prosody": itest.Prosody, "ejabberd": itest.Ejabberd}

// gatewayOptions are those of one of the two servers.
func gatewayOptions(address, domain, user string) itest.Options {
	return itest.Options{
		Address: address, Domain: domain, Users: map[string]string{user: "pw"}, Upload: true, PubSub: true, Web: true, RoomExtras: true,
		Components: map[string]string{"bridge." + domain: secret},
	}
}

// newGateway starts juliet's Prosody, romeo's server, and bridgehost between them.
func newGateway(t *testing.T, start starter) (b *bridge, juliet, romeo *side) {
	t.Helper()
	one := itest.Prosody(t, gatewayOptions("127.0.0.2", "one.test", "juliet"))
	two := start(t, gatewayOptions("127.0.0.3", "two.test", "romeo"))
	return bridgeServers(t, one, two)
}

// bridgeServers connects users of two servers that run.
func bridgeServers(t *testing.T, one, two *itest.Server) (b *bridge, juliet, romeo *side) {
	t.Helper()
	juliet = &side{server: one, bridge: "bridge." + one.Domain}
	romeo = &side{server: two, bridge: "bridge." + two.Domain}
	juliet.peer, romeo.peer = virtual(two.JID("romeo"), juliet.bridge), virtual(one.JID("juliet"), romeo.bridge)
	b = newBridge(t, withSecret(t, gatewayLink("one", one, juliet.bridge)+gatewayLink("two", two, romeo.bridge)+
		"[[gateway]]\nlinks = [\"one\", \"two\"]\n"))
	b.start()
	b.connected()
	juliet.login(t, "juliet")
	romeo.login(t, "romeo")
	return b, juliet, romeo
}

// connected waits until the streams of all links are up. The host counts a link as up as soon as it runs, until the link says
// that it is not.
func (b *bridge) connected() {
	b.t.Helper()
	b.until("all links are connected", func() bool {
		var st struct {
			Links []struct{ State, Reason string }
		}
		if b.get("/status?format=json", &st) != 200 {
			return false
		}
		for _, l := range st.Links {
			if l.State != "up" || !strings.HasPrefix(l.Reason, "connected") {
				return false
			}
		}
		return true
	})
}

// gatewayLink is a component link that may read files from the servers of tests.
func gatewayLink(name string, s *itest.Server, domain string) string {
	return strings.TrimSpace(xmppLink(name, s, domain)) + "\nallow_private = [\"127.0.0.0/8\"]\n\n"
}

// login connects the side's user.
func (s *side) login(t *testing.T, user string) {
	t.Helper()
	s.user = itest.SlixWith(t, s.server.Account(user), itest.SlixOptions{Roster: true})
	s.user.Find("own presence", func(e itest.Event) bool { return e.Kind == "presence" && e.From == s.user.JID })
}

// wait waits for a message of the other side's user.
func (s *side) wait(what string, match func(itest.Event) bool) itest.Event {
	return s.user.Wait(fmt.Sprintf("%s from %s", what, s.peer), func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == s.peer && e.Refusal == nil && match(e)
	})
}

// say sends a text and returns it as its sender and as its receiver know it.
func (s *side) say(other *side, m itest.Message) (sent string, got itest.Event) {
	m.To = s.peer
	sent = s.user.SendMessage(m)
	return sent, other.wait("message "+m.Body, func(e itest.Event) bool { return e.HasBody && e.Body == m.Body })
}

// eachDirection runs a test from juliet to romeo and back.
func eachDirection(t *testing.T, juliet, romeo *side, run func(t *testing.T, from, to *side)) {
	t.Run("there", func(t *testing.T) { run(t, juliet, romeo) })
	t.Run("back", func(t *testing.T) { run(t, romeo, juliet) })
}

// part runs a subtest that uses both sides' clients.
func part(t *testing.T, name string, from, to *side, run func(t *testing.T, from, to *side)) {
	t.Run(name, func(t *testing.T) {
		from.user.In(t)
		to.user.In(t)
		run(t, from, to)
	})
}
