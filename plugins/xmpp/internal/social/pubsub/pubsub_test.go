package pubsub

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"bridgehost/plugins/xmpp/internal/packet"
)

func TestURIOfOneItemHasOneSpelling(t *testing.T) {
	want := Address{Service: `bob\40m.example@ap.example.org`, Node: NSMicroblog, Item: "a b;c/ü"}
	for _, s := range []string{
		want.URI(),
		`xmpp:bob%5C40m.example@AP.example.org?;node=urn:xmpp:microblog:0;item=a%20b%3Bc/ü`,
		"XMPP:bob%5c40m.example@ap.example.org?pubsub;action=retrieve;\n   node=urn%3Axmpp%3Amicroblog%3A0;\n   item=a%20b%3Bc%2F%C3%BC",
		`xmpp://me@example.org/bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=a%20b%3bc%2f%c3%bc`,
	} {
		got, err := ParseURI(s)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
	if got, want := want.URI(), `xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=a%20b%3Bc%2F%C3%BC`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "https://example.org", "xmpp:a@b", "xmpp:?;node=x", "xmpp:a@b/c?;node=x", "xmpp:a@b?;node=%zz", "xmpp:a@b?;node=" + strings.Repeat("x", 2000), strings.Repeat("x", 9000)} {
		if a, err := ParseURI(bad); err == nil {
			t.Errorf("%.40q was read as %+v", bad, a)
		}
	}
}

func TestPlace(t *testing.T) {
	a, err := ParsePlace("node:Romeo@example.org/urn:xmpp:microblog:0")
	if want := (Address{Service: "romeo@example.org", Node: NSMicroblog}); err != nil || a != want {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, err := ParsePlace("node:pubsub.example.org/a/b c"); err != nil || a.Node != "a/b c" || a.PEP() {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, bad := range []string{"node:x", "node:/x", "node:x/", "x@y", "node:@/x"} {
		if _, err := ParsePlace(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCut(t *testing.T) {
	ids := []string{"a", "b", "c", "d", "e"}
	for _, c := range []struct {
		set      Set
		from, to int
	}{
		{Set{Max: 2, Index: -1}, 0, 2},
		{Set{Max: 2, Index: -1, After: "b"}, 2, 4},
		{Set{Max: 2, Index: -1, After: "e"}, 5, 5},
		{Set{Max: 2, Index: -1, HasBefore: true}, 3, 5},
		{Set{Max: 2, Index: -1, HasBefore: true, Before: "d"}, 1, 3},
		{Set{Max: 2, Index: -1, HasBefore: true, Before: "b"}, 0, 1},
		{Set{Max: 2, Index: 3}, 3, 5},
		{Set{Max: 2, Index: 30}, 5, 5},
		{Set{Max: 0, Index: -1}, 0, 0},
		{Set{Max: -1, Index: -1}, 0, 4},
		{Set{Max: 5, Index: -1, After: "d", Before: "b", HasBefore: true}, 4, 4},
	} {
		from, to, page, ok := Cut(ids, &c.set, 4)
		if !ok || from != c.from || to != c.to || page.Count != 5 {
			t.Errorf("%+v: got %d to %d, %+v, %v; want %d to %d", c.set, from, to, page, ok, c.from, c.to)
		}
	}
	if _, _, _, ok := Cut(ids, &Set{Max: 2, Index: -1, After: "zz"}, 4); ok {
		t.Error("a page after nothing was given")
	}
}

func stanza(t testing.TB, s string) packet.Stanza {
	t.Helper()
	p, err := packet.DecodeBytes([]byte(s), packet.NSComponent)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEvents(t *testing.T) {
	event := func(inner string) (Event, bool) {
		return ParseEvent(stanza(t, `<message from='a@b' to='d'><event xmlns='http://jabber.org/protocol/pubsub#event'>`+inner+`</event></message>`).(*packet.Message))
	}
	ev, ok := event(`<items node='n'><item id='1' publisher='a@b'><entry xmlns='http://www.w3.org/2005/Atom'/></item><retract id='2'/></items>`)
	if !ok || ev.Kind != EventItems || ev.Node != "n" || len(ev.Items) != 1 || ev.Items[0].Publisher != "a@b" || !reflect.DeepEqual(ev.Retracted, []string{"2"}) {
		t.Errorf("got %+v %v", ev, ok)
	}
	for inner, kind := range map[string]EventKind{`<purge node='n'/>`: EventPurged, `<delete node='n'/>`: EventDeleted, `<configuration node='n'/>`: EventConfigured} {
		if ev, ok := event(inner); !ok || ev.Kind != kind {
			t.Errorf("%s: got %+v %v", inner, ev, ok)
		}
	}
	for _, bad := range []string{``, `<items/>`, `<items xmlns='x' node='n'/>`, `<what node='n'/>`} {
		if ev, ok := event(bad); ok {
			t.Errorf("%s: got %+v", bad, ev)
		}
	}
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "<item id='%d'/>", i)
	}
	if ev, _ := event(`<items node='n'>` + many.String() + `</items>`); len(ev.Items) != MaxItems || !ev.Cut {
		t.Errorf("%d items, cut %v", len(ev.Items), ev.Cut)
	}
}

func TestRequests(t *testing.T) {
	request := func(kind, payload string) Request {
		r, ok := ParseRequest(stanza(t, `<iq type='`+kind+`' id='1' from='a@b/c' to='d'>`+payload+`</iq>`).(*packet.IQ))
		if !ok {
			t.Fatalf("%s is no request", payload)
		}
		return r
	}
	r := request("get", `<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n' max_items='3'><item id='x'/></items><set xmlns='http://jabber.org/protocol/rsm'><max>5</max><before/></set></pubsub>`)
	if r.Verb != VerbItems || r.Max != 3 || r.Items[0].ID != "x" || r.Set == nil || r.Set.Max != 5 || !r.Set.HasBefore {
		t.Errorf("got %+v", r)
	}
	r = request("set", string(Subscribe("n", "a@b", true).Raw()))
	if r.Verb != VerbSubscribe || r.JID != "a@b" || !r.Public || r.Node != "n" {
		t.Errorf("got %+v", r)
	}
	if r = request("get", string(Subscribe("n", "a@b", true).Raw())); r.Verb != VerbUnknown {
		t.Errorf("a subscription by get: %+v", r)
	}
	r = request("set", string(Publish("n", Item{ID: "1"}, map[string]string{"pubsub#access_model": "open"}).Raw()))
	if r.Verb != VerbPublish || len(r.Items) != 1 {
		t.Errorf("got %+v", r)
	}
	if r = request("set", string(Retract("n", "1").Raw())); r.Verb != VerbRetract || !r.Notify || r.Items[0].ID != "1" {
		t.Errorf("got %+v", r)
	}
	if r = request("set", `<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><purge node='n'/></pubsub>`); r.Verb != VerbOwner || r.Node != "n" {
		t.Errorf("got %+v", r)
	}
}

func FuzzEventAndRequest(f *testing.F) {
	f.Add([]byte(`<message><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'><item id='1'/><retract id='2'/></items></event></message>`))
	f.Add([]byte(`<iq type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>5</max></set></pubsub></iq>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := packet.DecodeBytes(b, packet.NSComponent)
		if err != nil {
			return
		}
		switch p := s.(type) {
		case *packet.Message:
			if ev, ok := ParseEvent(p); ok && (len(ev.Items)+len(ev.Retracted) > MaxItems || !ValidName(ev.Node)) {
				t.Fatalf("%+v", ev)
			}
		case *packet.IQ:
			if r, ok := ParseRequest(p); ok && r.Set != nil {
				if from, to, _, ok := Cut([]string{"a", "b", "c"}, r.Set, 2); ok && (from < 0 || to < from || to > 3 || to-from > 2) {
					t.Fatalf("%+v gives %d to %d", r.Set, from, to)
				}
			}
			ParseItems(p.Payload)
		}
	})
}

func FuzzURI(f *testing.F) {
	f.Add(`xmpp:bob%5C40m.example@ap.example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=a%20b`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseURI(s)
		if err != nil {
			return
		}
		if b, err := ParseURI(a.URI()); err != nil || a != b {
			t.Fatalf("%q: %+v became %+v, %v", s, a, b, err)
		}
	})
}
