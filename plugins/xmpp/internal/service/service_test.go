package service

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/address"
	"bridgehost/plugins/xmpp/internal/contact"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

const (
	domain = "ap.example.org"
	romeo  = "romeo@example.org"
	vbob   = `bob\40m.example@ap.example.org`
)

// fakeContacts knows bob@m.example.
type fakeContacts struct {
	mu   sync.Mutex
	left []string
	slow chan struct{} // when not nil, Find waits for it
}

func (f *fakeContacts) List(user string) []contact.Entry {
	if user != romeo {
		return nil
	}
	return []contact.Entry{{Foreign: "bob@m.example", JID: vbob, From: true, To: true}, {Foreign: "eve@m.example", JID: `eve\40m.example@ap.example.org`, Asked: true}}
}

func (f *fakeContacts) Find(_ context.Context, _, foreign string) (contact.Profile, error) {
	if f.slow != nil {
		<-f.slow
	}
	switch foreign {
	case "bob@m.example":
		return contact.Profile{Actor: sdk.Actor{Name: "Bob <&>"}}, nil
	case "down@m.example":
		return contact.Profile{}, sdk.Errorf(sdk.Transient, "find", "down")
	}
	return contact.Profile{}, sdk.Errorf(sdk.NotFound, "find", "nobody")
}

func (f *fakeContacts) Leave(_ context.Context, user string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = append(f.left, user)
	return 2, nil
}

func (*fakeContacts) Counts() contact.Counts { return contact.Counts{Users: 1, Contacts: 2} }

// world is a service with fakes around it, in a bubble of synctest.
type world struct {
	t     *testing.T
	s     *Service
	c     *fakeContacts
	users *Users
	mu    sync.Mutex
	out   []string
}

func (w *world) Send(_ context.Context, p packet.Stanza) error {
	b, _, err := packet.Encode(p, packet.Rules{Space: packet.NSComponent, Domain: domain})
	if err != nil {
		w.t.Error(err)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, string(b))
	return nil
}

func run(t *testing.T, o Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Address = address.Component{Domain: domain, Local: []string{"example.org"}}
		w := &world{t: t, c: &fakeContacts{}}
		w.users = NewUsers(sdktest.NewHost(nil).Store(), 100)
		w.s = New(o, w, w.c, w.users)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.s.Run(ctx) }()
		synctest.Wait()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		test(w)
	})
}

// iq asks and returns all that came of it.
func (w *world) iq(typ, from, payload string) string {
	w.t.Helper()
	st, err := packet.DecodeBytes([]byte("<iq type='"+typ+"' id='1' from='"+from+"' to='"+domain+"'>"+payload+"</iq>"), packet.NSComponent)
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.s.HandleIQ(context.Background(), st.(*packet.IQ)) {
		return "not taken"
	}
	synctest.Wait()
	return w.sent()
}

func (w *world) sent() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.out, "\n")
	w.out = nil
	return s
}

// has checks that an answer holds words, and those after ! not.
func (w *world) has(what, got string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if no, ok := strings.CutPrefix(word, "!"); ok == strings.Contains(got, no) && ok {
			w.t.Errorf("%s: holds %s: %s", what, no, got)
		} else if !ok && !strings.Contains(got, word) {
			w.t.Errorf("%s: lacks %s: %s", what, word, got)
		}
	}
}

const phone = romeo + "/phone"

func TestDisco(t *testing.T) {
	o := Options{Type: "activitypub", Name: "Fediverse", Addresses: map[string][]string{"abuse-addresses": {"mailto:abuse@example.org"}}}
	run(t, o, func(w *world) {
		d, ok := w.s.Disco(domain, "")
		if !ok || d.Identities[0].Category != "gateway" || d.Identities[0].Type != "activitypub" || len(d.Extra) != 1 {
			t.Errorf("disco %+v, %v", d, ok)
		}
		w.has("contact form", string(d.Extra[0].Raw()), "mailto:abuse@example.org", "http://jabber.org/network/serverinfo")
		if d, ok := w.s.Disco(domain, "leave"); !ok || d.Identities[0].Type != "command-node" {
			t.Errorf("disco of a command %+v, %v", d, ok)
		}
		for _, at := range [][2]string{{vbob, ""}, {domain, "nothing"}, {"other.example", ""}} {
			if _, ok := w.s.Disco(at[0], at[1]); ok {
				t.Errorf("disco of %q answered", at)
			}
		}
		w.has("items", w.iq("get", phone, "<query xmlns='http://jabber.org/protocol/disco#items'/>"), vbob, "eve", nsCommands)
		w.has("items of another", w.iq("get", "tybalt@example.org/x", "<query xmlns='http://jabber.org/protocol/disco#items'/>"), nsCommands, "!bob")
		w.has("items of no node", w.iq("get", phone, "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>"), "item-not-found")
		w.has("commands", w.iq("get", phone, "<query xmlns='http://jabber.org/protocol/disco#items' node='"+nsCommands+"'/>"), "node='leave'", "!status")
		w.has("last", w.iq("get", phone, "<query xmlns='jabber:iq:last'/>"), "seconds='0'")
		w.has("vCard", w.iq("get", phone, "<vCard xmlns='vcard-temp'/>"), "Fediverse")
		w.has("anything else", w.iq("get", phone, "<x xmlns='y'/>"), "not taken")
	})
}

func TestConvert(t *testing.T) {
	run(t, Options{}, func(w *world) {
		w.has("prompt", w.iq("get", phone, "<query xmlns='jabber:iq:gateway'/>"), "<prompt>", "<desc>")
		for _, text := range []string{"bob@m.example", " @Bob@M.Example ", "acct:bob@m.example", "xmpp:bob@m.example"} {
			w.has(text, w.iq("set", phone, "<query xmlns='jabber:iq:gateway'><prompt>"+text+"</prompt></query>"), "<jid>"+vbob+"</jid>", "<prompt>"+vbob)
		}
		for _, text := range []string{"", "bob", "bob@example.org", "a@b@c", "bo\u200bb@m.example", strings.Repeat("x", 2000) + "@m.example"} {
			w.has(text, w.iq("set", phone, "<query xmlns='jabber:iq:gateway'><prompt>"+text+"</prompt></query>"), "not-acceptable")
		}
	})
}

func TestSearch(t *testing.T) {
	run(t, Options{}, func(w *world) {
		ask := func(nick string) string {
			return w.iq("set", phone, "<query xmlns='jabber:iq:search'><x xmlns='jabber:x:data' type='submit'><field var='nick'><value>"+nick+"</value></field></x></query>")
		}
		w.has("form", w.iq("get", phone, "<query xmlns='jabber:iq:search'/>"), "<nick>", "jabber:x:data", "FORM_TYPE")
		w.has("somebody", ask("bob@m.example"), "result", "<value>"+vbob+"</value>", "Bob &lt;&amp;&gt;", "reported")
		w.has("nobody", ask("nobody@m.example"), "result", "reported", "!item")
		w.has("no address", ask("bob"), "result", "!item")
		w.has("down", ask("down@m.example"), "remote-server-timeout")
		w.has("old way", w.iq("set", phone, "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>"), "<item jid='"+vbob+"'>")
	})
}

func TestRegister(t *testing.T) {
	for _, kind := range []Registration{Optional, Required, Closed} {
		run(t, Options{Registration: kind}, func(w *world) {
			if got := w.s.Allowed(romeo); got != (kind == Optional) {
				t.Errorf("%s: allowed %v before registration", kind, got)
			}
			w.has("form", w.iq("get", phone, "<query xmlns='jabber:iq:register'/>"), "instructions", "consent", "!registered/>")
			w.has("without consent", w.iq("set", phone, "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='consent'><value>0</value></field></x></query>"),
				map[Registration]string{Closed: "not-allowed"}[kind], "error")
			got := w.iq("set", phone, "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='consent'><value>true</value></field></x></query>")
			if kind == Closed {
				w.has("closed", got, "not-allowed")
				return
			}
			w.has("registered", got, "type='result'", "type='subscribe'")
			w.has("form again", w.iq("get", phone, "<query xmlns='jabber:iq:register'/>"), "<registered")
			if !w.s.Allowed(romeo) {
				t.Errorf("%s: not allowed after registration", kind)
			}
			again := NewUsers(w.users.store, 100)
			if err := again.Load(w.t.Context()); err != nil || !again.Allowed(romeo, Required) {
				t.Errorf("%s: registration is not kept: %v", kind, err)
			}
			w.has("remove", w.iq("set", phone, "<query xmlns='jabber:iq:register'><remove/></query>"), "type='result'", "type='unsubscribe'")
			if w.s.Allowed(romeo) || len(w.c.left) != 1 || w.c.left[0] != romeo {
				t.Errorf("%s: allowed %v after removal, left %v", kind, w.s.Allowed(romeo), w.c.left)
			}
			w.has("search after removal", w.iq("set", phone, "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>"), "!"+vbob)
		})
	}
	run(t, Options{May: func(user string) bool { return user != romeo }}, func(w *world) {
		w.has("may not", w.iq("set", phone, "<query xmlns='jabber:iq:register'/>"), "forbidden")
	})
}

func TestUsersAreBounded(t *testing.T) {
	u := NewUsers(sdktest.NewHost(nil).Store(), 10)
	var err error
	n := 0
	for ; err == nil && n < 20; n++ {
		err = u.set(t.Context(), fmt.Sprintf("u%d@example.org", n), in)
	}
	if n != 11 || sdk.KindOf(err) != sdk.Overloaded || u.count() != 10 {
		t.Errorf("user %d is refused by %v, %d registered", n, err, u.count())
	}
	if err := u.set(t.Context(), "u1@example.org", out); err != nil || u.count() != 9 {
		t.Errorf("leave: %v, %d registered", err, u.count())
	}
}

var sessionID = regexp.MustCompile(`sessionid='([^']+)'`)

// command runs a step of a command.
func (w *world) command(from, node, attrs, fields string) (answer, id string) {
	w.t.Helper()
	payload := "<command xmlns='" + nsCommands + "' node='" + node + "' " + attrs + ">"
	if fields != "" {
		payload += "<x xmlns='jabber:x:data' type='submit'>" + fields + "</x>"
	}
	answer = w.iq("set", from, payload+"</command>")
	if m := sessionID.FindStringSubmatch(answer); m != nil {
		id = m[1]
	}
	return answer, id
}

func value(name, v string) string {
	return "<field var='" + name + "'><value>" + v + "</value></field>"
}

func TestCommands(t *testing.T) {
	run(t, Options{Admins: []string{"admin@example.org"}, Status: func(context.Context) []string { return []string{"link is up"} }}, func(w *world) {
		got, id := w.command(phone, "contact", "action='execute'", "")
		w.has("contact", got, "status='executing'", "var='address'", "<complete")
		got, _ = w.command(phone, "contact", "sessionid='"+id+"'", value("address", "@bob@m.example")+value("add", "1"))
		w.has("found", got, "status='completed'", vbob, "Bob", nsRosterX, "action='add'")
		got, _ = w.command(phone, "contact", "sessionid='"+id+"'", value("address", "bob@m.example"))
		w.has("session is over", got, "session-expired")
		for text, want := range map[string]string{"bob": "no address", "x@m.example": "no such person", "down@m.example": "try again"} {
			_, id := w.command(phone, "contact", "", "")
			got, _ := w.command(phone, "contact", "action='complete' sessionid='"+id+"'", value("address", text))
			w.has(text, got, "type='error'", want, "completed")
		}
		got, _ = w.command(phone, "contacts", "", "")
		w.has("contacts", got, "status='completed'", "<value>both</value>", "asked", "2 contacts")
		_, id = w.command(phone, "leave", "", "")
		got, _ = w.command(phone, "leave", "sessionid='"+id+"'", value("confirm", "0"))
		w.has("not confirmed", got, "Nothing")
		_, id = w.command(phone, "leave", "", "")
		got, _ = w.command(phone, "leave", "action='cancel' sessionid='"+id+"'", "")
		w.has("cancelled", got, "canceled")
		_, id = w.command(phone, "leave", "", "")
		got, _ = w.command(phone, "leave", "sessionid='"+id+"'", value("confirm", "true"))
		w.has("left", got, "2 contacts ended")
		got, _ = w.command("admin@example.org/x", "status", "", "")
		w.has("status", got, "link is up", "1 users with 2 contacts")
		w.has("commands of an operator", w.iq("get", "admin@example.org/x", "<query xmlns='http://jabber.org/protocol/disco#items' node='"+nsCommands+"'/>"), "status")
	})
}

// TestCommandsAreGuarded is case XM-21.
func TestCommandsAreGuarded(t *testing.T) {
	run(t, Options{Admins: []string{"admin@example.org"}}, func(w *world) {
		for _, from := range []string{phone, "ops@muc.example.org/admin", "admin@example.org.evil.example/x"} {
			got, _ := w.command(from, "status", "", "")
			w.has(from, got, "forbidden")
		}
		got, _ := w.command("admin@ap.example.org/x", "status", "", "")
		w.has("one of our own addresses", got, "not taken")
		_, id := w.command(phone, "leave", "", "")
		for _, from := range []string{"tybalt@example.org/x", romeo + "/desk"} {
			got, _ := w.command(from, "leave", "sessionid='"+id+"'", value("confirm", "1"))
			w.has(from, got, "forbidden")
		}
		got, _ = w.command(phone, "contact", "sessionid='"+id+"'", value("address", "bob@m.example"))
		w.has("session of another command", got, "forbidden")
		if len(w.c.left) != 0 {
			t.Errorf("somebody left: %v", w.c.left)
		}
		for _, attrs := range []string{"action='prev' sessionid='" + id + "'", "action='dance' sessionid='" + id + "'"} {
			got, _ := w.command(phone, "leave", attrs, value("confirm", "1"))
			w.has(attrs, got, "bad-action")
		}
		got, _ = w.command(phone, "leave", "sessionid='"+id+"'", "")
		w.has("no form", got, "bad-payload")
		got, _ = w.command(phone, "nothing", "", "")
		w.has("unknown", got, "item-not-found")
		time.Sleep(time.Hour) // inside a bubble time is not real
		got, _ = w.command(phone, "leave", "sessionid='"+id+"'", value("confirm", "1"))
		w.has("too late", got, "session-expired")
		for range 20 {
			got, _ = w.command(phone, "leave", "", "")
		}
		w.has("too many", got, "resource-constraint")
		got, _ = w.command("tybalt@example.org/x", "leave", "", "")
		w.has("somebody else", got, "executing")
	})
}

// TestTooMuch checks that requests which need the other network are refused when too many wait.
func TestTooMuch(t *testing.T) {
	run(t, Options{}, func(w *world) {
		w.c.slow = make(chan struct{})
		for range maxTasks + workers + 10 {
			w.iq("set", phone, "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>")
		}
		close(w.c.slow)
		synctest.Wait()
		got := w.iq("set", phone, "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>")
		w.has("after it", got, "type='result'")
	})
	run(t, Options{}, func(w *world) {
		w.c.slow = make(chan struct{})
		refused := 0
		for range maxTasks + workers + 10 {
			if strings.Contains(w.iq("set", phone, "<query xmlns='jabber:iq:search'><nick>bob@m.example</nick></query>"), "resource-constraint") {
				refused++
			}
		}
		if refused != 10 {
			t.Errorf("%d requests refused, want 10", refused)
		}
		close(w.c.slow)
	})
}

func TestPresence(t *testing.T) {
	run(t, Options{}, func(w *world) {
		for typ, want := range map[string][]string{
			"subscribe": {"type='subscribed'", "from='" + domain + "/bridgehost'"}, "probe": {"from='" + domain + "/bridgehost'"},
			"unsubscribe": {"type='unsubscribed'"}, "subscribed": {},
		} {
			p := &packet.Presence{Attrs: packet.Attrs{From: phone, To: domain, Type: typ}}
			if !w.s.HandlePresence(context.Background(), p) {
				t.Errorf("%s is not taken", typ)
			}
			w.has(typ, w.sent(), want...)
		}
		if w.s.HandlePresence(context.Background(), &packet.Presence{Attrs: packet.Attrs{From: phone, To: vbob}}) {
			t.Error("presence for a contact is taken")
		}
	})
}

// failing is a store that does not work.
type failing struct{}

func (failing) Get(context.Context, string) ([]byte, error) { return nil, errors.New("disk is gone") }
func (failing) Set(context.Context, string, []byte) error   { return errors.New("disk is full") }

func TestStoreFails(t *testing.T) {
	u := NewUsers(failing{}, 10)
	if err := u.Load(t.Context()); err == nil {
		t.Error("Load succeeds")
	}
	if err := u.set(t.Context(), romeo, in); err == nil || u.get(romeo) != silent {
		t.Errorf("set gives %v and keeps %v", err, u.get(romeo))
	}
}
