package doctor

import (
	"net"
	"testing"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// FuzzServer lets a server answer anything, before and after the stream's start.
func FuzzServer(f *testing.F) {
	f.Add("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	f.Add("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
	f.Add("<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='Prosody'/><feature var='urn:xmpp:ping'/></query>")
	f.Fuzz(func(t *testing.T, answer string) {
		if e, err := xmltok.Parse([]byte(answer)); err == nil {
			if x := parseInfo("a", e); len(x.features) > maxInfo || len(x.identities) > maxInfo {
				t.Errorf("%d features", len(x.features))
			}
		}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 4096)
			for {
				if _, err := theirs.Read(buf); err != nil {
					return
				}
			}
		}()
		go func() {
			_, _ = theirs.Write([]byte(answer))
			_ = theirs.Close()
		}()
		offered, err := upgrade(ours, "example.org", packet.NSClient)
		if offered && err != nil {
			t.Errorf("TLS offered with %v", err)
		}
		_ = ours.Close()
		<-done
	})
}
