package service

import (
	"context"
	"testing"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk/sdktest"
)

// FuzzHandleIQ feeds requests from strangers. Each is answered, at the latest from the pool, by a stanza that may be sent.
func FuzzHandleIQ(f *testing.F) {
	f.Add("set", "<command xmlns='http://jabber.org/protocol/commands' node='contact' action='execute'/>")
	f.Add("set", "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='consent'><value>1</value></field></x></query>")
	f.Add("set", "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>")
	f.Add("set", "<query xmlns='jabber:iq:gateway'><prompt>a\\20b@m.example</prompt></query>")
	f.Add("get", "<query xmlns='http://jabber.org/protocol/disco#items' node='&#x9;'/>")
	f.Fuzz(func(t *testing.T, typ, payload string) {
		st, err := packet.DecodeBytes([]byte("<iq type='"+typ+"' id='1' from='romeo@example.org/x' to='ap.example.org'>"+payload+"</iq>"), packet.NSComponent)
		if err != nil {
			return
		}
		w := &world{t: t, c: &fakeContacts{}}
		w.users = NewUsers(sdktest.NewHost(nil).Store(), 10)
		w.s = New(Options{Address: address.Component{Domain: domain}}, w, w.c, w.users)
		if !w.s.HandleIQ(context.Background(), st.(*packet.IQ)) {
			return
		}
		select {
		case f := <-w.s.tasks:
			f(context.Background())
		default:
		}
		if w.sent() == "" {
			t.Fatalf("no answer to %s %s", typ, payload)
		}
	})
}
