package xmpp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

func client(srv *itest.Server) map[string]any {
	return map[string]any{
		"mode": "client", "jid": srv.JID("bot"), "password": "pw", "address": srv.C2S, "timeout": "5s",
		"tls": map[string]any{"ca_file": srv.CAFile},
	}
}

// TestClientLink shows an account's link: one nick, authors named in the text,
// and a rejoin after the server was killed.
func TestClientLink(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		room := srv.Room("ops")
		juliet := itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		h := newFakeHost(t)
		l, _ := start(t, h, client(srv), bothWays(room))
		h.roomUp(sdk.RemoteID(room))
		r := deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))[0]
		got := juliet.WaitBody(room, "Grafana: one")
		if got.Nick != "bridge" || !hasLoss(r, sdk.LossAuthor) || r.Puppet != "" {
			t.Errorf("nick %q, receipt %+v", got.Nick, r)
		}
		juliet.SendGroupchat(room, "hello")
		if ev := h.event(); ev.Item().Body() != "hello" {
			t.Errorf("event: %+v", ev)
		}
		srv.Kill()
		srv.Start()
		juliet = itest.Slix(t, srv.Account("juliet"))
		juliet.Join(room, "Juliet")
		h.report("link down", func(r sdk.Report) bool { return r.Place == "" && r.State == sdk.StateDown })
		h.roomUp(sdk.RemoteID(room))
		d := textTo(sdk.RemoteID(room), "d1", grafana, "one")
		d.Uncertain, d.Since = true, time.Now().Add(-time.Minute)
		deliver(t, l, d, textTo(sdk.RemoteID(room), "d2", grafana, "two"))
		juliet.WaitBody(room, "Grafana: two")
		juliet.SendGroupchat(room, "hello again")
		if ev := h.event(); ev.Item().Body() != "hello again" {
			t.Errorf("event: %+v", ev)
		}
		h.noEvent()
	})
}

// hear starts a link that listens in a room where Juliet is.
func hear(t *testing.T, srv *itest.Server) (juliet *itest.Client, room string, h *fakeHost, l sdk.Link) {
	t.Helper()
	room = srv.Room("ops")
	juliet = itest.Slix(t, srv.Account("juliet"))
	juliet.Join(room, "Juliet")
	h = newFakeHost(t)
	l, _ = start(t, h, component(srv), bothWays(room))
	h.roomUp(sdk.RemoteID(room))
	return juliet, room, h, l
}

// TestSpoof sends stanzas that carry somebody else's address, or a second body,
// in other namespaces: cases XM-01, XM-02, XM-10 and XM-11.
func TestSpoof(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, _ := hear(t, srv)
		juliet.SendRaw("<message type='groupchat' to='" + room + "' id='m1' xmlns:x='urn:x' x:from='" + room + "/Admin' x:to='evil@" + bridgeDomain + "'>" +
			"<body xmlns='urn:x'>foreign</body><x xmlns='urn:y'><body>inner</body><message xmlns='jabber:client'><body>smuggled</body></message></x>" +
			"<body>first</body>" +
			"<stanza-id xmlns='urn:xmpp:sid:0' by='" + room + "' id='forged'/><stanza-id xmlns='urn:xmpp:sid:0' by='elsewhere' id='forged2'/>" +
			"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></message>")
		seen := juliet.WaitBody(room, "first")
		ev := h.event()
		if ev.Item().Body() != "first" || ev.Actor.Name != "Juliet" {
			t.Errorf("body %q by %q", ev.Item().Body(), ev.Actor.Name)
		}
		if strings.Contains(string(ev.Actor.Home.ID), "forged") || strings.Contains(ev.Dedup, "forged") || !strings.HasSuffix(ev.Dedup, seen.StanzaID) {
			t.Errorf("home %q, dedup %q, stanza-id %q", ev.Actor.Home.ID, ev.Dedup, seen.StanzaID)
		}
		juliet.SendGroupchat(room, "next")
		if next := h.event(); next.Actor.Home != ev.Actor.Home {
			t.Errorf("homes differ: %v, %v", next.Actor.Home, ev.Actor.Home)
		}
	})
}

// TestCorrectionIn shows that only the author's correction changes a message (XM-08).
func TestCorrectionIn(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, _ := hear(t, srv)
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		correction := func(body string) string {
			return "<message type='groupchat' to='" + room + "' id='fix-" + body + "'><body>" + body + "</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/></message>"
		}
		juliet.SendRaw("<message type='groupchat' to='" + room + "' id='m1'><body>helo</body></message>")
		first := h.event()
		romeo.SendRaw(correction("evil"))
		forged := h.event()
		if _, created := forged.Change.(sdk.ItemCreated); !created {
			t.Errorf("correction by somebody else: %T", forged.Change)
		}
		juliet.SendRaw(correction("hello"))
		for _, body := range []string{"hello", "hello!"} {
			fixed := h.event()
			up, ok := fixed.Change.(sdk.ItemUpdated)
			if !ok || up.Target.Remote != first.Item().Origin.ID || up.Item.Body() != body {
				t.Errorf("correction: %+v, want target %q", fixed.Change, first.Item().Origin.ID)
			}
			if body == "hello" {
				juliet.SendRaw(correction("hello!"))
			}
		}
	})
}

// TestRetractionIn shows that only the author's retraction counts (XM-09).
func TestRetractionIn(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, _ := hear(t, srv)
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		juliet.SendGroupchat(room, "oops")
		sid := juliet.WaitBody(room, "oops").StanzaID
		first := h.event()
		retract := "<message type='groupchat' to='" + room + "' id='r1'><retract xmlns='urn:xmpp:message-retract:1' id='" + sid + "'/>" +
			"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>retracted</body></message>"
		romeo.SendRaw(retract)
		romeo.SendRaw("<message type='groupchat' to='" + room + "' id='r2'><retract xmlns='urn:xmpp:message-retract:1' id='" + sid + "'>" +
			"<moderated xmlns='urn:xmpp:message-moderate:1' by='" + room + "/Juliet'/></retract></message>")
		romeo.SendGroupchat(room, "marker")
		if ev := h.event(); ev.Kind() != sdk.KindItemCreated || ev.Item().Body() != "marker" {
			t.Errorf("forged retraction crossed: %+v", ev)
		}
		juliet.SendRaw(retract)
		ev := h.event()
		if c, ok := ev.Change.(sdk.ItemRetracted); !ok || c.Target.Remote != first.Item().Origin.ID || c.Moderated {
			t.Errorf("retraction: %+v", ev.Change)
		}
	})
}

// TestUpdateAndRetractOut changes a delivered message and takes it back.
func TestUpdateAndRetractOut(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, l := hear(t, srv)
		id := sdk.RemoteID(room)
		copied := deliver(t, l, textTo(id, "d1", grafana, "alrm"))[0].Copies[0]
		sid := juliet.WaitBody(room, "alrm").StanzaID
		target := sdk.Target(copied)
		change := func(delivery string, c sdk.Change) sdk.Delivery {
			return sdk.Delivery{ID: sdk.DeliveryID(delivery), Place: id, Event: sdk.Event{Actor: grafana, Change: c}}
		}
		r := deliver(t, l, change("d2", sdk.ItemUpdated{Target: target, Item: sdk.Item{ID: copied.Item, Text: sdk.NewText("alarm")}}))[0]
		if got := juliet.WaitBody(room, "alarm"); !strings.Contains(got.XML, `id="`+tag+`d1"`) || !strings.Contains(got.XML, "urn:xmpp:message-correct:0") || len(r.Loss) > 0 {
			t.Errorf("correction is %s, loss %+v", got.XML, r.Loss)
		}
		deliver(t, l, change("d3", sdk.ReactionsSet{Target: target, Reactions: []string{"👍"}}))
		juliet.Wait("reaction", func(e itest.Event) bool {
			return strings.Contains(e.XML, "urn:xmpp:reactions:0") && strings.Contains(e.XML, sid) && strings.Contains(e.XML, "👍")
		})
		juliet.SendRaw("<message type='groupchat' to='" + room + "' id='re'><body>&gt; alarm\nwhat?</body><reply xmlns='urn:xmpp:reply:0' id='" + sid + "'/>" +
			"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='8'/></fallback></message>")
		if ev := h.event(); ev.Item().ReplyTo.Remote != copied.Remote || ev.Item().Body() != "what?" {
			t.Errorf("reply: %+v", ev.Item())
		}
		answer := textTo(id, "d4", grafana, "this")
		item := *answer.Event.Item()
		item.ReplyTo = target
		answer.Event = answer.Event.WithItem(item)
		deliver(t, l, answer)
		got := juliet.Wait("reply", func(e itest.Event) bool { return e.Reply != nil && strings.HasSuffix(e.Body, "this") })
		if got.Reply.ID != sid || !strings.HasPrefix(got.Body, "> ") || len(got.Fallbacks) != 1 {
			t.Errorf("reply is %s", got.XML)
		}
		deliver(t, l, change("d5", sdk.ItemRetracted{Target: target}))
		juliet.Wait("retraction", func(e itest.Event) bool {
			return strings.Contains(e.XML, "urn:xmpp:message-retract:1") && strings.Contains(e.XML, sid)
		})
		r = deliver(t, l, change("d6", sdk.ItemRetracted{}))[0]
		if !hasLoss(r, sdk.LossRetract) {
			t.Errorf("loss is %+v", r.Loss)
		}
		r = deliver(t, l, change("d7", sdk.FollowAsked{}))[0]
		if !hasLoss(r, sdk.LossKindless) {
			t.Errorf("loss is %+v", r.Loss)
		}
		h.noEvent()
	})
}

func TestTopicAndSealed(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, _ := hear(t, srv)
		juliet.SendRaw("<message type='groupchat' to='" + room + "'><subject>Tea at four</subject></message>")
		ev := h.event()
		if c, ok := ev.Change.(sdk.ConversationUpdated); !ok || c.Topic.Plain != "Tea at four" {
			t.Errorf("topic: %+v", ev.Change)
		}
		juliet.SendRaw("<message type='groupchat' to='" + room + "' id='e1'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>AAAA</payload></encrypted>" +
			"<encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/><body>You cannot read this</body></message>")
		ev = h.event()
		if it := ev.Item(); it.Sealed == nil || it.Sealed.Scheme != "eu.siacs.conversations.axolotl" || it.Text != nil || len(it.Sealed.Data) == 0 {
			t.Errorf("sealed: %+v", ev.Item())
		}
	})
}

// TestDirectMessageIsAnswered shows that somebody who writes to a puppet learns
// that nobody reads it.
func TestDirectMessageIsAnswered(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	juliet, room, h, l := hear(t, srv)
	deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
	for to, condition := range map[string]string{"hooks.grafana@" + bridgeDomain: "service-unavailable", room + "/Grafana": "feature-not-implemented"} {
		juliet.SendChat(to, "psst")
		juliet.Wait("error from "+to, func(e itest.Event) bool {
			return e.Kind == "message" && e.Type == "error" && e.From == to && strings.Contains(e.XML, condition)
		})
	}
	deliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "still here"))
	juliet.None("leave", func(e itest.Event) bool { return e.Kind == "presence" && e.Type == "unavailable" })
	h.noEvent()
}

// TestPublishTriesAgain refuses events for a while: they come in order, and all.
func TestPublishTriesAgain(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	juliet, room, h, _ := hear(t, srv)
	times := 0
	h.mu.Lock()
	h.refuse = func(events []sdk.Event) error {
		if times++; times <= 3 {
			return &sdk.Error{Kind: sdk.Overloaded, After: 10 * time.Millisecond, Err: errors.New("full")}
		}
		for _, e := range events {
			if e.Item().Body() == "poison" {
				return &sdk.Error{Kind: sdk.Forbidden, Err: errors.New("not yours")}
			}
		}
		return nil
	}
	h.mu.Unlock()
	for i := range 20 {
		if i == 10 {
			juliet.SendGroupchat(room, "poison")
		}
		juliet.SendGroupchat(room, fmt.Sprintf("message %d", i))
	}
	for i := range 20 {
		if ev := h.event(); ev.Item().Body() != fmt.Sprintf("message %d", i) {
			t.Fatalf("event %d is %q", i, ev.Item().Body())
		}
	}
}

// TestSetPlaces changes the rooms while the link runs.
func TestSetPlaces(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	juliet, room, h, l := hear(t, srv)
	other := srv.Room("other")
	juliet.Join(other, "Juliet")
	if err := l.(sdk.Placer).SetPlaces(t.Context(), []sdk.PlaceUse{bothWays(other)}); err != nil {
		t.Fatal(err)
	}
	h.roomUp(sdk.RemoteID(other))
	juliet.Wait("bridge left", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Type == "unavailable" && e.From == room+"/bridge"
	})
	deliver(t, l, textTo(sdk.RemoteID(other), "d1", grafana, "one"))
	juliet.WaitBody(other, "one")
	r := tryDeliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"))[0]
	if r.Err == nil || r.Err.Kind != sdk.NotFound {
		t.Errorf("receipt: %+v", r)
	}
	if err := l.(sdk.Placer).SetPlaces(t.Context(), []sdk.PlaceUse{{ID: "not a room"}}); err == nil {
		t.Error("a bad place was taken")
	}
}

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		name, json string
		want       []string
		places     []sdk.PlaceUse
	}{
		{"empty", `{}`, []string{"address", "domain", "secret"}, nil},
		{"mode", `{"mode":"server"}`, []string{"mode"}, nil},
		{"client", `{"mode":"client","jid":"example.org","secret":"x"}`, []string{"jid", "password", "secret"}, nil},
		{"client puppets", `{"mode":"client","jid":"a@example.org","password":"x","puppets":true}`, []string{"puppets"}, nil},
		{"unknown key", `{"adress":"x"}`, []string{"address", "adress", "domain", "secret"}, nil},
		{"type", `{"mode":1}`, []string{"mode"}, nil},
		{
			"many", `{"address":"x","domain":"a@b","secret":"s","puppet_idle":"1s","self_ping":"1s","timeout":"0s","tls":{"plaintext":"x"},"limits":{"max_text":1},"rooms":{"x":{}},"nick":" "}`,
			[]string{"address", "domain", "limits.max_text", "nick", "place ops", "puppet_idle", "rooms.x", "self_ping", "timeout", "tls.plaintext"},
			[]sdk.PlaceUse{{ID: "ops"}},
		},
		{
			"same room twice", `{"address":"127.0.0.1:1","domain":"b.example","secret":"s"}`, []string{"place OPS@muc.example"},
			[]sdk.PlaceUse{{ID: "ops@muc.example"}, {ID: "OPS@muc.example"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New().Open(sdk.Config{Link: "home", JSON: json.RawMessage(c.json), Places: c.places}, newFakeHost(t))
			var e *sdk.ConfigError
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			var keys []string
			for _, f := range e.Faults {
				keys = append(keys, f.Key)
				if f.Problem == "" || f.Remedy == "" {
					t.Errorf("fault without text: %+v", f)
				}
			}
			if strings.Join(keys, " ") != strings.Join(c.want, " ") {
				t.Errorf("faults are %v, want %v", keys, c.want)
			}
		})
	}
}

func TestWrongSecretEndsTheLink(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	cfg := component(srv)
	cfg["secret"] = "wrong"
	raw, _ := json.Marshal(cfg)
	l, err := New().Open(sdk.Config{Link: "home", JSON: raw}, newFakeHost(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); sdk.KindOf(err) != sdk.Unauthorized {
		t.Errorf("Run: %v", err)
	}
}
