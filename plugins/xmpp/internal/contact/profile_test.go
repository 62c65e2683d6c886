package contact

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

// files answers Fetch.
type files map[string][]byte

func (f files) Fetch(_ context.Context, url string, limit int64) ([]byte, string, error) {
	data, ok := f[url]
	if !ok {
		return nil, "", errors.New("no such file")
	}
	if int64(len(data)) > limit {
		return nil, "", errors.New("too large")
	}
	return data, "image/x-wrong", nil
}

// iq asks a contact and returns what came of it.
func (w *world) iq(typ, from, to, payload string) string {
	w.t.Helper()
	w.sent()
	st, err := packet.DecodeBytes([]byte("<iq type='"+typ+"' id='1' from='"+from+"' to='"+to+"'>"+payload+"</iq>"), packet.NSComponent)
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.c.HandleIQ(context.Background(), st.(*packet.IQ)) {
		return "not taken"
	}
	synctest.Wait()
	return strings.Join(w.sent(), "\n")
}

// holds checks that a text holds words.
func (w *world) holds(what, got string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(got, word) {
			w.t.Errorf("%s lacks %s: %.1000s", what, word, got)
		}
	}
}

const phone = romeo + "/phone"

// items asks for the items of a node.
func (w *world) items(node, child string) string {
	w.t.Helper()
	return w.iq("get", phone, vjuliet, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='"+node+"'>"+child+"</items></pubsub>")
}

// knownActor makes the other network answer with an actor.
func (w *world) knownActor(a sdk.Actor) *int {
	asked := 0
	w.h.AnswerResolve(func(foreign string) (sdk.Resolved, error) {
		asked++
		if foreign != juliet {
			return sdk.Resolved{}, sdk.Errorf(sdk.NotFound, "resolve", "nobody")
		}
		return sdk.Resolved{Actor: &a}, nil
	})
	return &asked
}

func TestProfile(t *testing.T) {
	o := options()
	picture := pngFile(t, 64, 64)
	o.Fetch = files{"https://s2.example/a.png": picture}
	run(t, o, func(w *world) {
		asked := w.knownActor(sdk.Actor{
			Name: "Juliet <3", Handle: "@juliet@s2.example", Profile: "https://s2.example/@juliet", Summary: sdk.NewText("Is it thy name?"),
			Avatar: &sdk.Media{URL: "https://s2.example/a.png"},
		})
		a, err := NewAvatar(picture)
		if err != nil {
			t.Fatal(err)
		}
		b64 := base64.StdEncoding.EncodeToString(picture)
		card := w.iq("get", phone, vjuliet, "<vCard xmlns='vcard-temp'/>")
		w.holds("vCard", card, "<FN>Juliet &lt;3</FN>", "@juliet@s2.example\n\nIs it thy name?", "<TYPE>image/png</TYPE>", "https://s2.example/@juliet", b64[:60])
		w.holds("vCard4", w.iq("get", phone, vjuliet, "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>"), "<fn><text>Juliet &lt;3</text></fn>", "<kind><text>individual")
		w.holds("node of the vCard4", w.items("urn:xmpp:vcard4", ""), "<item id='current'>", "Juliet")
		w.holds("nick", w.items("http://jabber.org/protocol/nick", ""), "<nick xmlns='http://jabber.org/protocol/nick'>Juliet &lt;3</nick>")
		w.holds("metadata", w.items("urn:xmpp:avatar:metadata", ""), "id='"+a.Hash+"'", "width='64'", fmt.Sprintf("bytes='%d'", len(picture)))
		w.holds("data", w.items("urn:xmpp:avatar:data", "<item id='"+a.Hash+"'/>"), b64, "<item id='"+a.Hash+"'>")
		if got := w.items("urn:xmpp:avatar:data", "<item id='other'/>"); strings.Contains(got, "<item ") || !strings.Contains(got, "result") {
			t.Errorf("another item: %s", got)
		}
		if *asked != 1 {
			t.Errorf("the other network was asked %d times, want once", *asked)
		}
		later(7 * time.Hour)
		w.items("urn:xmpp:vcard4", "")
		if *asked != 2 {
			t.Errorf("the other network was asked %d times after the profile expired, want twice", *asked)
		}
		w.holds("node of somebody else", w.items("urn:xmpp:microblog:0", ""), "not taken")
		w.holds("publish", w.iq("set", phone, vjuliet, "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:avatar:data'/></pubsub>"), "forbidden")
		w.holds("set vCard", w.iq("set", phone, vjuliet, "<vCard xmlns='vcard-temp'/>"), "forbidden")
		w.holds("nobody", w.iq("get", phone, `x\40s2.example@`+domain, "<vCard xmlns='vcard-temp'/>"), "item-not-found")
		w.holds("no address", w.iq("get", phone, "bob@"+domain, "<vCard xmlns='vcard-temp'/>"), "item-not-found")
		w.holds("a server", w.iq("get", "example.org", vjuliet, "<vCard xmlns='vcard-temp'/>"), "forbidden")
		w.holds("nodes", w.iq("get", phone, vjuliet, "<query xmlns='http://jabber.org/protocol/disco#items'/>"), "urn:xmpp:avatar:metadata", "urn:xmpp:vcard4")
		w.holds("unknown node", w.iq("get", phone, vjuliet, "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"), "not taken")
		w.holds("unknown resource", w.iq("get", phone, vjuliet+"/x", "<query xmlns='http://jabber.org/protocol/disco#info'/>"), "item-not-found")
	})
}

// TestAvatarsAreBounded checks that a contact without a usable avatar has none, and all the rest.
func TestAvatarsAreBounded(t *testing.T) {
	o := options()
	o.Fetch = files{"https://s2.example/10M": make([]byte, 10<<20), "https://s2.example/svg": []byte("<svg/>")}
	for name, m := range map[string]*sdk.Media{
		"10 MiB":                {URL: "https://s2.example/10M"},
		"10 MiB that says so":   {URL: "https://s2.example/10M", Size: 10 << 20},
		"10 MiB carried along":  {Data: make([]byte, 10<<20)},
		"wrong type":            {URL: "https://s2.example/svg", Type: "image/png"},
		"none there":            {URL: "https://s2.example/nothing"},
		"neither URL nor bytes": {},
	} {
		run(t, o, func(w *world) {
			w.knownActor(sdk.Actor{Name: "Juliet", Avatar: m})
			got := w.iq("get", phone, vjuliet, "<vCard xmlns='vcard-temp'/>")
			w.holds(name, got, "<FN>Juliet</FN>")
			if strings.Contains(got, "PHOTO") {
				t.Errorf("%s: there is a photo: %.300s", name, got)
			}
			w.holds(name, w.items("urn:xmpp:avatar:metadata", ""), "<metadata", "result")
		})
	}
}

// TestAvatarCannotBeFetched checks that a contact keeps its avatar while the new one cannot be fetched, and gets it later.
func TestAvatarCannotBeFetched(t *testing.T) {
	o := options()
	there := files{"https://s2.example/1": pngFile(t, 32, 32)}
	o.Fetch = there
	run(t, o, func(w *world) {
		a := sdk.Actor{Name: "Juliet", Avatar: &sdk.Media{URL: "https://s2.example/1"}}
		w.h.AnswerResolve(func(string) (sdk.Resolved, error) { return sdk.Resolved{Actor: &a}, nil })
		w.holds("first avatar", w.items("urn:xmpp:avatar:metadata", ""), "width='32'")
		a.Avatar = &sdk.Media{URL: "https://s2.example/2"}
		later(7 * time.Hour)
		w.holds("second avatar is not there yet", w.items("urn:xmpp:avatar:metadata", ""), "width='32'")
		there["https://s2.example/2"] = pngFile(t, 48, 48)
		later(3 * time.Minute)
		w.holds("second avatar", w.items("urn:xmpp:avatar:metadata", ""), "width='48'")
	})
}

// TestLookupsAreLimited checks that nobody can make us ask the other network without bounds.
func TestLookupsAreLimited(t *testing.T) {
	o := options()
	o.Lookups = 40
	run(t, o, func(w *world) {
		asked := w.knownActor(sdk.Actor{})
		refused := 0
		for i := range 100 {
			if strings.Contains(w.iq("get", phone, fmt.Sprintf(`u%d\40s2.example@%s`, i, domain), "<vCard xmlns='vcard-temp'/>"), "resource-constraint") {
				refused++
			}
		}
		if *asked != 20 || refused != 80 {
			t.Errorf("%d look-ups, %d refused, want 20 and 80", *asked, refused)
		}
		w.h.AnswerResolve(func(string) (sdk.Resolved, error) {
			return sdk.Resolved{}, sdk.Errorf(sdk.Transient, "resolve", "down")
		})
		w.holds("down", w.iq("get", "mercutio@example.org/x", vjuliet, "<vCard xmlns='vcard-temp'/>"), "remote-server-timeout", "wait")
	})
}

// TestVer computes the example of XEP-0115 §5.2.
func TestVer(t *testing.T) {
	got := Ver(stream.Disco{
		Identities: []stream.Identity{{Category: "client", Type: "pc", Name: "Exodus 0.9.1"}},
		Features: []string{
			"http://jabber.org/protocol/muc", "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/caps",
		},
	})
	if got != "QgayPKawpkPSDYmwT/WM94uAlu0=" {
		t.Errorf("Ver = %q", got)
	}
}

func TestDisco(t *testing.T) {
	o := options()
	o.Features = []string{"urn:xmpp:receipts", "urn:xmpp:ping"}
	c := New(o, &fakeStream{}, nil)
	for _, tc := range []struct {
		to, node, category string
	}{
		{vjuliet, "", "account"},
		{vjuliet, "urn:xmpp:avatar:metadata", "pubsub"},
		{vjuliet + "/bridgehost", "", "client"},
		{vjuliet + "/bridgehost", "https://bridgehost.example/#" + c.ver, "client"},
		{vjuliet + "/bridgehost", "https://bridgehost.example/#other", ""},
		{vjuliet + "/other", "", ""},
		{vjuliet, "x", ""},
		{"bob@" + domain, "", ""},
		{domain, "", ""},
		{"bob@example.org", "", ""},
	} {
		d, ok := c.Disco(tc.to, tc.node)
		switch {
		case ok != (tc.category != ""):
			t.Errorf("Disco(%q, %q) = %+v, %v", tc.to, tc.node, d, ok)
		case ok && d.Identities[0].Category != tc.category:
			t.Errorf("Disco(%q, %q) is %q, want %q", tc.to, tc.node, d.Identities[0].Category, tc.category)
		case ok && tc.node == "" && !strings.Contains(strings.Join(d.Features, " "), "urn:xmpp:receipts"):
			t.Errorf("Disco(%q) has no features of chats", tc.to)
		case ok && tc.category == "client" && Ver(d) != c.ver:
			t.Errorf("Disco(%q, %q) is not what presence tells of", tc.to, tc.node)
		}
	}
}

// friends makes Romeo and Juliet see each other's presence.
func (w *world) friends() {
	w.t.Helper()
	w.presence(romeo, "subscribe", "")
	w.deliver(answer)
	w.deliver(sdk.FollowAsked{})
	w.presence(romeo, "subscribed", "")
	w.events()
	w.sent()
}

// TestNotify checks that clients which want it are told of avatars and nicks (XEP-0163 §4.3), and others are not.
func TestNotify(t *testing.T) {
	run(t, options(), func(w *world) {
		w.knownActor(sdk.Actor{Name: "Juliet"})
		w.s.answers = func(iq *packet.IQ) (*packet.IQ, error) {
			if !iq.Payload.Is(packet.NSDiscoInfo, "query") || iq.To != phone {
				return nil, &packet.Error{Type: "cancel", Condition: "item-not-found"}
			}
			e, err := xmltok.Parse([]byte("<query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:xmpp:avatar:metadata+notify'/><feature var='x+notify'/></query>"))
			return &packet.IQ{Attrs: packet.Attrs{Type: "result"}, Payload: e}, err
		}
		w.friends()
		w.presence(phone, "", "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>")
		w.expect("last item", "headline to='"+phone+"' urn:xmpp:avatar:metadata <metadata")
		w.presence(romeo+"/desk", "", "")
		w.expect("a client that wants nothing")
		r := w.c.Deliver(context.Background(), sdk.Delivery{
			Place: sdk.PeerPlace(sdk.PeerAll, juliet),
			Event: sdk.Event{Actor: sdk.Actor{Name: "Juliet", Avatar: &sdk.Media{Data: pngFile(t, 32, 32)}}, Change: sdk.ActorUpdated{}},
		})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		a, err := NewAvatar(pngFile(t, 32, 32))
		if err != nil {
			t.Fatal(err)
		}
		w.expect("new avatar", "<photo>"+a.Hash+"</photo>", "headline to='"+phone+"' "+a.Hash)
		w.presence(phone, "unavailable", "")
		w.presence(phone, "", "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>")
		w.expect("client comes again", "headline "+a.Hash)
	})
}

// TestActorGone checks that relations to an actor that no longer exists end.
func TestActorGone(t *testing.T) {
	run(t, options(), func(w *world) {
		w.friends()
		r := w.c.Deliver(context.Background(), sdk.Delivery{Place: sdk.PeerPlace(sdk.PeerAll, juliet), Event: sdk.Event{Change: sdk.ActorGone{}}})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		w.expect("end", "unavailable", "type='unsubscribed'", "type='unsubscribe'")
		w.published("end")
		w.holds("vCard", w.iq("get", phone, vjuliet, "<vCard xmlns='vcard-temp'/>"), "item-not-found")
		if got := w.c.List(romeo); len(got) != 0 {
			t.Errorf("contacts after the end: %+v", got)
		}
	})
}

// TestGoodbye checks that nobody looks present when the component has gone.
func TestGoodbye(t *testing.T) {
	run(t, options(), func(w *world) {
		w.friends()
		w.c.StreamUp(false)
		synctest.Wait()
		w.sent()
		w.restart(options())
		w.expect("goodbye", "type='unavailable' from='"+vjuliet+"/bridgehost' to='"+romeo+"'")
		w.restart(options())
		w.expect("without a stream")
	})
}

// TestNickOfRequest checks that a request names the user by the nick that came with it (XEP-0172 §4.2).
func TestNickOfRequest(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "<nick xmlns='http://jabber.org/protocol/nick'> Romeo </nick>")
		if ev := w.events(); len(ev) != 1 || ev[0].Actor.Name != "Romeo" {
			t.Errorf("events %+v, want one of Romeo", ev)
		}
	})
}

// TestNames checks that no name can steer or deceive who reads it, and that one which says nothing is replaced by the address.
func TestNames(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"Juliet", "Juliet"},
		{"  Juliet \n\t Capulet ", "Juliet Capulet"},
		{"evil\u202etxt.exe", "eviltxt.exe"},
		{"\u200b\u200d\u2060", juliet},
		{"", juliet},
		{"J\x00u", "Ju"},
		{"\u0391dmin", "\u0391dmin"}, // looks like another, and is not taken for it
		{strings.Repeat("\u00e4", 1000), strings.Repeat("\u00e4", 32)},
	} {
		if got := (&Profile{Actor: sdk.Actor{Name: tc.name}}).Name(juliet); got != tc.want {
			t.Errorf("name of %.40q is %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestRefusedConsent checks that nothing is shown of somebody who does not want to be bridged.
func TestRefusedConsent(t *testing.T) {
	run(t, options(), func(w *world) {
		w.knownActor(sdk.Actor{Name: "Juliet", Consent: sdk.ConsentRefused})
		w.holds("vCard", w.iq("get", phone, vjuliet, "<vCard xmlns='vcard-temp'/>"), "forbidden")
	})
}

// TestRequestsToOneUserAreLimited checks that strangers cannot flood a user with requests.
func TestRequestsToOneUserAreLimited(t *testing.T) {
	run(t, options(), func(w *world) {
		passed := 0
		for i := range 500 {
			r := w.c.Deliver(context.Background(), sdk.Delivery{
				Place: sdk.PeerPlace(romeo, fmt.Sprintf("u%d@s2.example", i)), Event: sdk.Event{Change: sdk.FollowAsked{}},
			})
			switch {
			case r.Err == nil:
				passed++
			case r.Err.Kind != sdk.RateLimited || r.Err.After == 0:
				t.Fatalf("receipt %+v", r)
			}
		}
		if got := len(w.sent()); passed != 60 || got != 60 {
			t.Errorf("%d requests passed, %d were sent, want 60", passed, got)
		}
	})
}

func TestManage(t *testing.T) {
	run(t, options(), func(w *world) {
		w.knownActor(sdk.Actor{Name: "Juliet"})
		w.friends()
		if got := w.c.List(romeo); len(got) != 1 || got[0] != (Entry{Foreign: juliet, JID: vjuliet, From: true, To: true}) {
			t.Errorf("contacts %+v", got)
		}
		if got := w.c.Counts(); got != (Counts{Users: 1, Contacts: 1}) {
			t.Errorf("counts %+v", got)
		}
		if p, err := w.c.Find(w.t.Context(), romeo, "Juliet@S2.example"); err != nil || p.Actor.Name != "Juliet" {
			t.Errorf("Find = %+v, %v", p, err)
		}
		if _, err := w.c.Find(w.t.Context(), romeo, "nobody@s2.example"); sdk.KindOf(err) != sdk.NotFound {
			t.Errorf("Find of nobody: %v", err)
		}
		if _, err := w.c.Find(w.t.Context(), romeo, "nobody"); sdk.KindOf(err) != sdk.Invalid {
			t.Errorf("Find of no address: %v", err)
		}
		n, err := w.c.Leave(w.t.Context(), romeo)
		if err != nil || n != 1 {
			t.Errorf("Leave = %d, %v", n, err)
		}
		w.published("leave", ended, refused)
		w.expect("leave", "unavailable", "type='unsubscribe'", "type='unsubscribed'")
		if keys, err := w.h.Store().Keys(w.t.Context(), prefix, ""); err != nil || len(w.c.List(romeo)) != 0 {
			t.Errorf("left behind: %v, %v, %v", keys, w.c.List(romeo), err)
		}
		later(time.Minute) // what was published is forgotten with the next save
		if keys, _ := w.h.Store().Keys(w.t.Context(), prefix, ""); len(keys) != 0 || w.c.Counts() != (Counts{}) {
			t.Errorf("left behind: %v, %+v", keys, w.c.Counts())
		}
	})
}

// TestInform checks that a request which could not be passed on is refused.
func TestInform(t *testing.T) {
	run(t, options(), func(w *world) {
		w.presence(romeo, "subscribe", "")
		ev := w.events()
		o := sdk.Outcome{Dedup: ev[0].Dedup, State: sdk.OutcomeDelivered}
		if !w.c.Inform(w.t.Context(), o) {
			t.Error("outcome is not taken")
		}
		w.expect("delivered")
		o.State, o.Reason = sdk.OutcomeDead, "no such person"
		w.c.Inform(w.t.Context(), o)
		w.expect("dead", "type='unsubscribed' <status>no")
		for _, dedup := range []string{"", "x", "a b c d", "item-created a b 1"} {
			if w.c.Inform(w.t.Context(), sdk.Outcome{Dedup: dedup, State: sdk.OutcomeDead}) {
				t.Errorf("outcome of %q is taken", dedup)
			}
		}
	})
}

// server answers for the users' server: a vCard with a photo and a nick.
func server(photo []byte, nick string) func(*packet.IQ) (*packet.IQ, error) {
	return func(iq *packet.IQ) (*packet.IQ, error) {
		var w xmltok.Writer
		list, _ := iq.Payload.Child(nsPubsub, "items")
		switch {
		case iq.From != domain || iq.To != romeo:
			return nil, &packet.Error{Type: "cancel", Condition: "service-unavailable"}
		case iq.Payload.Is(nsVCard, "vCard"):
			w.Start(nsVCard, "vCard").Start(nsVCard, "FN").Text("Romeo Montague").End().Start(nsVCard, "URL").Text("javascript:alert(1)").End()
			w.Start(nsVCard, "PHOTO").Start(nsVCard, "BINVAL").Text(wrapped(photo)).End()
		case list.Get("node") == nsNick:
			w.Start(nsPubsub, "pubsub").Start(nsPubsub, "items").Start(nsPubsub, "item").Start(nsNick, "nick").Text(nick)
		default:
			return nil, &packet.Error{Type: "cancel", Condition: "item-not-found"}
		}
		e, err := w.Element()
		return &packet.IQ{Attrs: packet.Attrs{Type: "result"}, Payload: e}, err
	}
}

// TestOwnProfile checks that a user's changed avatar or nick is published once, however often we are told.
func TestOwnProfile(t *testing.T) {
	run(t, options(), func(w *world) {
		w.friends()
		w.s.answers = server(pngFile(t, 40, 40), "Romeo")
		a, err := w.c.Profile(w.t.Context(), romeo)
		if err != nil || a.Name != "Romeo" || a.Avatar == nil || a.Avatar.Width != 40 || a.Profile != "" || a.Home.ID != romeo {
			t.Errorf("profile %+v, %v", a, err)
		}
		if _, err := w.c.Profile(w.t.Context(), "nobody@example.org"); sdk.KindOf(err) != sdk.NotFound {
			t.Errorf("profile of nobody: %v", err)
		}
		if _, err := w.c.Profile(w.t.Context(), vjuliet); sdk.KindOf(err) != sdk.NotFound {
			t.Errorf("profile of one of our own: %v", err)
		}
		hash := "<x xmlns='vcard-temp:x:update'><photo>abc</photo></x>"
		for range 3 {
			w.presence(phone, "", hash)
		}
		check := func(what string, want int) {
			t.Helper()
			n := 0
			for _, e := range w.events() {
				if e.Kind() == sdk.KindActorUpdated {
					n++
					if e.Place.ID != sdk.PeerPlace(romeo, sdk.PeerAll) || e.Actor.Avatar == nil || e.Actor.Home.ID != romeo {
						t.Errorf("%s: published %+v in %q", what, e.Actor, e.Place.ID)
					}
				}
			}
			if n != want {
				t.Errorf("%s: published %d times, want %d", what, n, want)
			}
		}
		check("hash in presence", 1)
		if got := w.c.Actor(romeo); got.Name != "Romeo" || got.Home.ID != romeo {
			t.Errorf("actor %+v", got)
		}
		w.notification("http://jabber.org/protocol/nick", "<nick xmlns='http://jabber.org/protocol/nick'>R.</nick>")
		check("notification without news", 0)
		w.s.answers = server(pngFile(t, 40, 40), "R.")
		w.notification("urn:xmpp:avatar:metadata", "<metadata xmlns='urn:xmpp:avatar:metadata'/>")
		check("notification", 1)
		w.restart(options())
		w.presence(phone, "", hash)
		check("the same after a restart", 0)
	})
}

// notification hands in what Romeo's server tells of one of his nodes.
func (w *world) notification(node, payload string) {
	w.t.Helper()
	st, err := packet.DecodeBytes([]byte("<message type='headline' from='"+romeo+"' to='"+vjuliet+"/bridgehost'><event xmlns='http://jabber.org/protocol/pubsub#event'>"+
		"<items node='"+node+"'><item id='1'>"+payload+"</item></items></event></message>"), packet.NSComponent)
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.c.HandleMessage(context.Background(), st.(*packet.Message)) {
		w.t.Errorf("notification of %s is not taken", node)
	}
	synctest.Wait()
}

// FuzzHandle feeds stanzas from strangers to a contact.
func FuzzHandle(f *testing.F) {
	f.Add("presence", "subscribe", "<nick xmlns='http://jabber.org/protocol/nick'>x</nick>")
	f.Add("presence", "", "<c xmlns='http://jabber.org/protocol/caps' node='n' ver='v'/><x xmlns='vcard-temp:x:update'><photo>a</photo></x>")
	f.Add("iq", "get", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'><item id='x'/></items></pubsub>")
	f.Add("message", "headline", "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/nick'><item/></items></event>")
	f.Fuzz(func(t *testing.T, name, typ, inside string) {
		st, err := packet.DecodeBytes([]byte("<"+name+" type='"+typ+"' id='1' from='"+phone+"' to='"+vjuliet+"'>"+inside+"</"+name+">"), packet.NSComponent)
		if err != nil {
			return
		}
		s := &fakeStream{}
		c := New(options(), s, sdktest.NewHost(nil))
		close(c.ready)
		c.profiles.put(juliet, &Profile{at: time.Now()}, 10)
		r := c.lock(romeo, true)
		p, err := c.pair(r, juliet)
		if err != nil {
			t.Fatal(err)
		}
		p.from, p.to = granted, granted
		r.mu.Unlock()
		switch st := st.(type) {
		case *packet.Presence:
			c.HandlePresence(t.Context(), st)
		case *packet.IQ:
			if c.HandleIQ(t.Context(), st) && len(s.sent) != 1 {
				t.Fatalf("%d answers to %s", len(s.sent), inside)
			}
		case *packet.Message:
			c.HandleMessage(t.Context(), st)
		}
	})
}
