package itest_test

import (
	"fmt"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestPrivilegedComponent connects a component that may act for users, and asks for a roster.
func TestPrivilegedComponent(t *testing.T) {
	const domain = "bridge.xmpp.test"
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		opts := twoUsers()
		opts.Components = map[string]string{domain: "secret"}
		opts.Privileged = []string{domain}
		opts.Delegated = map[string]string{"urn:example:delegated": domain}
		srv := start(t, opts)
		conn, text := connect(t, srv, domain, "secret")
		wants := []string{"urn:xmpp:privilege:2", "urn:xmpp:delegation:2", "</delegation>"}
		if srv.Kind == "ejabberd" { // which has an older version of both, and asks for the component's features first
			wants = []string{"urn:xmpp:privilege:1", "urn:xmpp:delegation:1:bare:"}
		}
		for !strings.Contains(text, "</privilege>") || !strings.Contains(text, wants[len(wants)-1]) {
			text += readUntil(t, conn, ">")
		}
		for _, want := range append(wants, "urn:example:delegated", "managed_entity", "outgoing") {
			if !strings.Contains(text, want) {
				t.Errorf("the server granted %s, want %s in it", text, want)
			}
		}
		if want := srv.Kind == "prosody"; strings.Contains(text, "http://jabber.org/protocol/pubsub#owner") != want {
			t.Errorf("requests granted is not %v: %s", want, text)
		}
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.SetContact(itest.Contact{JID: "nurse@xmpp.test", Name: "Nurse"})
		if _, err := fmt.Fprintf(conn, "<iq type='get' id='r1' from='%s' to='%s'><query xmlns='jabber:iq:roster'/></iq>",
			domain, juliet.Bare()); err != nil {
			t.Fatal(err)
		}
		if text := readUntil(t, conn, `(?s)<iq[^>]*id=['"]r1['"].*</iq>`); !strings.Contains(text, "nurse@xmpp.test") {
			t.Errorf("roster = %s", text)
		}
		if srv.Kind == "ejabberd" {
			return
		}
		juliet.SendRaw("<iq type='get' id='d1' to='" + juliet.Bare() + "'><thing xmlns='urn:example:delegated'/></iq>")
		if text := readUntil(t, conn, "urn:example:delegated.*</iq>"); !strings.Contains(text, "forwarded") {
			t.Errorf("delegated request = %s", text)
		}
	})
}

// TestTwoServersOnTheirOwnAddresses has a bridge's component on each of two servers that do not know each other.
func TestTwoServersOnTheirOwnAddresses(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		options := func(address, domain string) itest.Options {
			return itest.Options{
				Address: address, Domain: domain, Users: map[string]string{"juliet": "pw"}, Upload: true, PubSub: true, Web: true,
				Components: map[string]string{"bridge." + domain: "secret"},
			}
		}
		one := itest.Prosody(t, options("127.0.0.2", "one.test"))
		two := start(t, options("127.0.0.3", "two.test"))
		for _, srv := range []*itest.Server{one, two} {
			if _, ok := handshake(t, srv, "bridge."+srv.Domain, "secret"); !ok {
				t.Errorf("the component of %s was refused", srv.Domain)
			}
		}
		juliet := itest.Slix(t, one.Account("juliet"))
		if _, err := juliet.Ping(two.Domain); err == nil {
			t.Error("the servers reach each other without a bridge")
		}
		juliet.SendChat(two.JID("juliet"), "hello?")
		e := juliet.Wait("refusal", func(e itest.Event) bool { return e.Kind == "message" && e.Refusal != nil })
		t.Log(e.Refusal)
	})
}
