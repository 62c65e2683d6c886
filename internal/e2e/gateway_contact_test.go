package e2e

import (
	"bytes"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// picture is a small PNG.
func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 32, 32))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGatewayContacts makes people of two servers each other's contacts.
func TestGatewayContacts(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newGateway(t, start)
			part(t, "subscription", juliet, romeo, crossSubscription)
			part(t, "profile", juliet, romeo, crossProfile)
			part(t, "profile back", romeo, juliet, crossProfile)
			part(t, "presence", juliet, romeo, crossPresence)
			part(t, "presence back", romeo, juliet, crossPresence)
			part(t, "end", juliet, romeo, crossUnsubscription)
		})
	}
}

// crossSubscription asks for presence, both ways.
func crossSubscription(t *testing.T, from, to *side) {
	from.user.Subscribe(from.peer)
	to.user.WaitPresence(to.peer, "subscribe")
	to.user.Approve(to.peer)
	from.user.WaitPresence(from.peer, "subscribed")
	e := from.user.WaitPresence(from.peer, "")
	if e.Caps == nil || e.Caps.Ver == "" {
		t.Errorf("presence without capabilities: %s", e.XML)
	}
	to.user.Subscribe(to.peer)
	from.user.WaitPresence(from.peer, "subscribe")
	from.user.Approve(from.peer)
	to.user.WaitPresence(to.peer, "subscribed")
	to.user.WaitPresence(to.peer, "")
	for _, s := range []*side{from, to} {
		if c := s.user.Roster()[s.peer]; c.Subscription != "both" {
			t.Errorf("contact %+v, want subscription both", c)
		}
	}
}

// crossPresence checks that availability and absence cross to who is subscribed.
func crossPresence(_ *testing.T, from, to *side) {
	from.user.SendPresence(itest.Presence{Show: "away"})
	to.user.Wait("away", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == to.peer && e.Type == "" && e.Show == "away"
	})
	from.user.SendPresence(itest.Presence{})
	to.user.Wait("online", func(e itest.Event) bool {
		return e.Kind == "presence" && e.Room == to.peer && e.Type == "" && e.Show == ""
	})
	from.user.SendPresence(itest.Presence{Type: "unavailable"})
	to.user.WaitPresence(to.peer, "unavailable")
	from.user.SendPresence(itest.Presence{})
	to.user.WaitPresence(to.peer, "")
}

// crossProfile checks what from sees of to: identity, profile and avatar, soon after they have changed.
func crossProfile(t *testing.T, from, to *side) {
	avatar := picture(t)
	to.user.SetVCard("", itest.VCard{Name: "The Other", Desc: "a person", PhotoType: "image/png", Photo: avatar})
	to.user.SetVCard4(itest.VCard{Name: "The Other", Desc: "a person"})
	to.user.SetNickname("The Other")
	id := to.user.SetAvatar("image/png", avatar)
	info, err := from.user.Info(from.peer, "")
	if err != nil || !info.Has("http://jabber.org/protocol/disco#info", "vcard-temp", "urn:xmpp:receipts", "urn:xmpp:message-correct:0") {
		t.Errorf("info %+v, %v", info, err)
	}
	if !slices.ContainsFunc(info.Identities, func(i itest.Identity) bool { return i.Category == "account" || i.Category == "client" }) {
		t.Errorf("identities %+v, want an account or a client", info.Identities)
	}
	soon(t, "vcard", func() (any, bool) {
		v, err := from.user.VCard(from.peer)
		return []any{v, err}, err == nil && v.Name == "The Other" && v.PhotoSHA1 == id
	})
	soon(t, "vcard4", func() (any, bool) {
		v, err := from.user.VCard4(from.peer, false)
		return []any{v, err}, err == nil && v.Name == "The Other"
	})
	soon(t, "avatar "+id, func() (any, bool) {
		a, err := from.user.Avatar(from.peer)
		return []any{a, err}, err == nil && a.ID == id && a.SHA1 == id && bytes.Equal(a.Data, avatar)
	})
}

// soon looks again and again until what it finds is right, for ten seconds at most.
func soon(t *testing.T, what string, look func() (found any, right bool)) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-ticker.C {
		found, right := look()
		if right {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s: found %+v", what, found)
			return
		}
	}
}

// crossUnsubscription ends both subscriptions.
func crossUnsubscription(_ *testing.T, from, to *side) {
	from.user.SendPresence(itest.Presence{To: from.peer, Type: "unsubscribe"})
	to.user.WaitPresence(to.peer, "unsubscribe")
	to.user.SendPresence(itest.Presence{To: to.peer, Type: "unsubscribe"})
	from.user.WaitPresence(from.peer, "unsubscribe")
}

// TestGatewayService talks to the component itself.
func TestGatewayService(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newGateway(t, start)
			part(t, "there", juliet, romeo, serviceFace)
			part(t, "back", romeo, juliet, serviceFace)
		})
	}
}

// serviceFace checks disco, version, ping, commands, search and address conversion.
func serviceFace(t *testing.T, from, _ *side) {
	u, service := from.user, from.bridge
	info, err := u.Info(service, "")
	if err != nil || !info.Has("http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/commands", "jabber:iq:version",
		"urn:xmpp:ping", itest.Register, itest.Search, itest.Prompt) {
		t.Errorf("info %+v, %v", info, err)
	}
	if !slices.ContainsFunc(info.Identities, func(i itest.Identity) bool { return i.Category == "gateway" }) {
		t.Errorf("identities %+v, want a gateway", info.Identities)
	}
	if v, err := u.Version(service); err != nil || !strings.Contains(strings.ToLower(v.Name), "bridgehost") {
		t.Errorf("version %+v, %v", v, err)
	}
	for _, jid := range []string{service, from.peer} {
		if _, err := u.Ping(jid); err != nil {
			t.Errorf("ping of %s: %v", jid, err)
		}
	}
	_, domain, _ := strings.Cut(strings.TrimSuffix(from.peer, "@"+service), `\40`)
	local, _, _ := strings.Cut(from.peer, `\40`)
	if f, err := u.AskFields(service, itest.Prompt); err != nil || f.Fields["desc"] == "" {
		t.Errorf("prompt %+v, %v", f, err)
	}
	f, err := u.SubmitFields(service, itest.Prompt, map[string]string{"prompt": local + "@" + domain})
	if err != nil || f.Fields["jid"] != from.peer {
		t.Errorf("prompt answers %+v, %v; want jid %s", f, err, from.peer)
	}
	if _, err := u.SubmitFields(service, itest.Prompt, map[string]string{"prompt": "@@"}); err == nil {
		t.Error("prompt takes @@ for an address")
	}
	commands, err := u.Entries(service, "http://jabber.org/protocol/commands")
	if err != nil || len(commands) == 0 {
		t.Errorf("commands %+v, %v", commands, err)
	}
	for _, c := range commands {
		step, err := u.Execute(service, c.Node)
		if err != nil || step.Status == "" {
			t.Errorf("command %s: %+v, %v", c.Node, step, err)
			continue
		}
		if step.Status == "executing" {
			if step, err = u.Continue(service, step, "cancel", nil); err != nil || step.Status != "canceled" {
				t.Errorf("cancelled command %s: %+v, %v", c.Node, step, err)
			}
		}
	}
	if f, err := u.AskFields(service, itest.Search); err != nil || len(f.Fields) == 0 && f.Form == nil {
		t.Errorf("search asks for %+v, %v", f, err)
	}
	if f, err := u.AskFields(service, itest.Register); err != nil || len(f.Fields) == 0 && f.Form == nil {
		t.Errorf("registration asks for %+v, %v", f, err)
	}
}
