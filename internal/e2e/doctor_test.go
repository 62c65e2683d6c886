package e2e

import (
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestDoctor examines two servers, one of which ends the first connection of a
// component for a second one and one of which would share its stanzas: while the
// bridge runs, doctor must disturb neither.
func TestDoctor(t *testing.T) {
	prosody := itest.Prosody(t, itest.Options{
		Domain: "p.test", Components: map[string]string{"bridge.p.test": secret}, Users: map[string]string{"anna": "pw"}, KickOldComponent: true,
	})
	ejabberd := itest.Ejabberd(t, itest.Options{Domain: "e.test", Components: map[string]string{"bridge.e.test": secret}, Users: map[string]string{"boris": "pw"}})
	roomP, roomE := prosody.Room("tea"), ejabberd.Room("tea")
	anna, boris := itest.Slix(t, prosody.Account("anna")), itest.Slix(t, ejabberd.Account("boris"))
	anna.Join(roomP, "Anna")
	boris.Join(roomE, "Boris")
	b := newBridge(t, withSecret(t, xmppLink("p", prosody, "bridge.p.test")+xmppLink("e", ejabberd, "bridge.e.test")+relay("p:"+roomP, "e:"+roomE)))
	b.start()
	b.joined(2)
	text, code := b.cli("doctor")
	if code != 0 || strings.Count(text, "  -     connection      bridgehost runs, and its link is up;") != 2 {
		t.Errorf("while the bridge runs: code %d\n%s", code, text)
	}
	anna.SendGroupchat(roomP, "still there?")
	boris.WaitBody(roomE, "still there?")
	boris.SendGroupchat(roomE, "yes")
	anna.WaitBody(roomP, "yes")
	b.stop()
	text, code = b.cli("doctor")
	if code != 4 || strings.Count(text, "the server accepts the connection") != 2 || !strings.Contains(text, "  ok    room-archive    "+roomP) ||
		!strings.Contains(text, "  ok    room-archive    "+roomE) || !strings.Contains(text, `Component "upload.p.test" "http_file_share"`) {
		t.Errorf("while the bridge is down: code %d\n%s", code, text)
	}
	b.start()
	b.joined(2)
	anna.SendGroupchat(roomP, "and again")
	boris.WaitBody(roomE, "and again")
}

// TestDoctorOfABrokenLink examines a link of a running bridge whose secret is wrong.
func TestDoctorOfABrokenLink(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Domain: "p.test", Components: map[string]string{"bridge.p.test": "another"}})
	b := newBridge(t, withSecret(t, xmppLink("p", server, "bridge.p.test")))
	b.start()
	b.until("the link is told to be refused", func() bool {
		text, code := b.cli("doctor")
		return code == 4 && strings.Contains(text, "  FAIL  connection      bridgehost runs, but its link is ") && strings.Contains(text, "refused")
	})
	b.stop()
	text, code := b.cli("doctor")
	if code != 4 || !strings.Contains(text, "  FAIL  secret          bridge.p.test: the server knows another secret") ||
		!strings.Contains(text, "            \tcomponent_secret = \"SECRET\"\n") {
		t.Errorf("code %d\n%s", code, text)
	}
}
