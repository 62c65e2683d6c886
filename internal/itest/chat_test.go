package itest_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// pair starts a server with all that people's servers have, and two clients.
func pair(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) (srv *itest.Server, juliet, romeo *itest.Client) {
	t.Helper()
	opts := twoUsers()
	opts.Upload, opts.PubSub, opts.Web, opts.RoomExtras = true, true, true, true
	srv = start(t, opts)
	return srv, itest.Slix(t, srv.Account("juliet")), itest.Slix(t, srv.Account("romeo"))
}

func TestClientsExpressAWholeChat(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		_, juliet, romeo := pair(t, start)
		to, from := romeo.JID, juliet.Bare()
		message := func(what string, match func(e itest.Event) bool) itest.Event {
			t.Helper()
			return romeo.Wait(what, func(e itest.Event) bool { return e.Kind == "message" && e.Room == from && match(e) })
		}

		juliet.SetState(to, "composing")
		message("chat state", func(e itest.Event) bool { return e.State == "composing" && !e.HasBody })
		id := juliet.SendMessage(itest.Message{To: to, Body: "the mooon", AskReceipt: true, Markable: true, Lang: "en"})
		first := message("first message", func(e itest.Event) bool { return e.Body == "the mooon" })
		if first.ID != id || first.OriginID != id || !first.AsksReceipt || !first.Markable || first.Lang != "en" {
			t.Errorf("message = %+v, want id, origin-id %s, receipt asked, markable, lang en", first, id)
		}
		juliet.Correct(to, id, "the moon")
		if e := message("correction", func(e itest.Event) bool { return e.Replace != "" }); e.Replace != id || e.Body != "the moon" {
			t.Errorf("correction of %q with %q", e.Replace, e.Body)
		}
		juliet.React(to, id, "\U0001F44D", "❤")
		e := message("reactions", func(e itest.Event) bool { return e.Reactions != nil })
		if e.Reactions.ID != id || !slices.Equal(e.Reactions.Emojis, []string{"\U0001F44D", "❤"}) {
			t.Errorf("reactions = %+v", e.Reactions)
		}
		juliet.React(to, id)
		if e := message("no reactions", func(e itest.Event) bool { return e.Reactions != nil }); len(e.Reactions.Emojis) != 0 {
			t.Errorf("reactions = %+v, want the empty set", e.Reactions)
		}
		juliet.Reply(to, first, "so it is")
		e = message("reply", func(e itest.Event) bool { return e.Reply != nil })
		if e.Reply.ID != id || e.Body != "> the mooon\nso it is" || len(e.Fallbacks) != 1 || e.Fallbacks[0].End != 12 {
			t.Errorf("reply = %+v, fallbacks %+v, body %q", e.Reply, e.Fallbacks, e.Body)
		}
		romeo.Received(juliet.JID, id)
		romeo.Displayed(juliet.JID, id)
		juliet.Wait("receipt", func(e itest.Event) bool { return e.Receipt == id })
		juliet.Wait("marker", func(e itest.Event) bool {
			return e.Marker != nil && *e.Marker == itest.Marker{Name: "displayed", ID: id}
		})
		juliet.Retract(to, id)
		message("retraction", func(e itest.Event) bool { return e.Retract != nil && e.Retract.ID == id && e.Retract.Version == "1" })
		juliet.SendMessage(itest.Message{To: to, RetractOld: id})
		message("old retraction", func(e itest.Event) bool { return e.Retract != nil && e.Retract.ID == id && e.Retract.Version == "0" })
	})
}

func TestClientsExpressRichMessages(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv, juliet, romeo := pair(t, start)
		data := bytes.Repeat([]byte("moon"), 100)
		url := juliet.Upload(srv.UploadDomain, "moon.txt", "text/plain", data)
		if got, _ := itest.Download(t, url); !bytes.Equal(got, data) {
			t.Errorf("downloaded %q, want what was uploaded", got)
		}
		if _, err := juliet.RequestSlot(srv.UploadDomain, "big.bin", "text/plain", 1<<30); err == nil {
			t.Error("a slot for a gigabyte was given")
		}
		juliet.ShareFile(romeo.JID, itest.File{Name: "moon.txt", MediaType: "text/plain", Size: len(data), URLs: []string{url}})
		e := romeo.WaitChat(juliet.Bare(), url)
		if e.OOB != url || len(e.Files) != 1 || e.Files[0].Name != "moon.txt" || e.Files[0].Size != len(data) || e.Files[0].URLs[0] != url {
			t.Errorf("file = %+v, oob %q", e.Files, e.OOB)
		}
		juliet.SendMessage(itest.Message{
			To: romeo.JID, Body: "she dies, romeo", Spoiler: true, SpoilerHint: "the end",
			XHTML: "<p>she <strong>dies</strong>, romeo</p>", Thread: "play",
			References: []itest.Reference{{Type: "mention", URI: "xmpp:" + romeo.Bare(), Begin: 10, End: 15}},
		})
		e = romeo.WaitChat(juliet.Bare(), "she dies, romeo")
		if !e.Spoiler || e.SpoilerHint != "the end" || !strings.Contains(e.XHTML, "strong") || len(e.References) != 1 ||
			e.References[0].Begin != 10 || e.Thread != "play" {
			t.Errorf("rich message = %+v", e)
		}
		juliet.SendMessage(itest.Message{To: romeo.JID, Body: "This message is encrypted.", Encryption: itest.OMEMO})
		if e := romeo.WaitChat(juliet.Bare(), "This message is encrypted."); e.Encryption != itest.OMEMO {
			t.Errorf("encryption = %q, want %q", e.Encryption, itest.OMEMO)
		}
	})
}

func TestClientsExpressPresenceAndProfiles(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		_, juliet, romeo := pair(t, start)
		romeo.Roster() // who has asked for the roster gets its pushes
		juliet.Subscribe(romeo.Bare())
		romeo.WaitPresence(juliet.Bare(), "subscribe")
		romeo.Approve(juliet.Bare())
		juliet.WaitPresence(romeo.Bare(), "")
		if c := juliet.Roster()[romeo.Bare()]; c.Subscription != "to" {
			t.Errorf("juliet's contact = %+v, want subscription to", c)
		}
		romeo.SendPresence(itest.Presence{Show: "away", Status: "in Mantua"})
		if e := juliet.WaitPresence(romeo.Bare(), ""); e.Show != "away" || e.StatusText != "in Mantua" {
			t.Errorf("presence = show %q, status %q", e.Show, e.StatusText)
		}
		picture := []byte("\x89PNG\r\n\x1a\nnot much of a picture")
		romeo.SetVCard("", itest.VCard{Name: "Romeo Montague", PhotoType: "image/png", Photo: picture})
		if v, err := juliet.VCard(romeo.Bare()); err != nil || v.Name != "Romeo Montague" || !bytes.Equal(v.Photo, picture) {
			t.Errorf("vcard = %+v, %v", v, err)
		}
		romeo.SetVCard4(itest.VCard{Name: "Romeo M.", Desc: "a lover"})
		if v, err := juliet.VCard4(romeo.Bare(), true); err != nil || v.Name != "Romeo M." || v.Desc != "a lover" {
			t.Errorf("vcard4 = %+v, %v", v, err)
		}
		id := romeo.SetAvatar("image/png", picture)
		if a, err := juliet.Avatar(romeo.Bare()); err != nil || a.ID != id || a.SHA1 != id || !bytes.Equal(a.Data, picture) {
			t.Errorf("avatar = %+v, %v; want %s", a, err, id)
		}
		juliet.Block(romeo.Bare(), &itest.Report{Reason: "urn:xmpp:reporting:spam", Text: "too many poems"})
		if got := juliet.Blocked(); !slices.Equal(got, []string{romeo.Bare()}) {
			t.Errorf("block list = %v", got)
		}
		juliet.Unblock(romeo.Bare())
	})
}

func TestClientsUseNodesAndArchives(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv, juliet, romeo := pair(t, start)
		info, err := juliet.Info(srv.PubSubDomain, "")
		if err != nil || !info.Has("http://jabber.org/protocol/pubsub#publish") {
			t.Errorf("info of the pubsub service = %+v, %v", info, err)
		}
		if err := juliet.CreateNode(srv.PubSubDomain, "news", nil); err != nil {
			t.Errorf("create a node of the service: %v", err)
		}
		if _, err := juliet.Publish(srv.PubSubDomain, "news", "one", "<entry xmlns='http://www.w3.org/2005/Atom'/>", nil); err != nil {
			t.Errorf("publish on a node of the service: %v", err)
		}
		if _, page, err := romeo.Items(srv.PubSubDomain, "news", itest.Range{Max: 1}); err != nil || (page != nil) != (srv.Kind == "ejabberd") {
			t.Errorf("page of items = %+v, %v; want one from ejabberd only", page, err)
		}
		if err := juliet.CreateNode("", "urn:xmpp:microblog:0", map[string]string{"pubsub#access_model": "open"}); err != nil {
			t.Fatal(err)
		}
		if state, err := romeo.SubscribeNode(juliet.Bare(), "urn:xmpp:microblog:0"); err != nil || state != "subscribed" {
			t.Fatalf("subscription = %q, %v", state, err)
		}
		entry := "<entry xmlns='http://www.w3.org/2005/Atom'><title>the moon</title><id>tag:1</id></entry>"
		if _, err := juliet.Publish("", "urn:xmpp:microblog:0", "one", entry, nil); err != nil {
			t.Fatal(err)
		}
		if _, item := romeo.WaitItem(juliet.Bare(), "urn:xmpp:microblog:0"); item.ID != "one" || !strings.Contains(item.XML, "the moon") {
			t.Errorf("item = %+v", item)
		}
		items, _, err := romeo.Items(juliet.Bare(), "urn:xmpp:microblog:0", itest.Range{})
		if err != nil || len(items) != 1 || items[0].ID != "one" {
			t.Errorf("items = %+v, %v", items, err)
		}
		if err := juliet.RetractItem("", "urn:xmpp:microblog:0", "one"); err != nil {
			t.Fatal(err)
		}
		romeo.Wait("retracted item", func(e itest.Event) bool {
			return e.PubSub != nil && slices.Equal(e.PubSub.Retracted, []string{"one"})
		})
		var refusal *itest.Refusal
		if _, _, err := romeo.Items(juliet.Bare(), "no such node", itest.Range{}); !errors.As(err, &refusal) {
			t.Errorf("items of no node: %v, want a refusal", err)
		}
		juliet.SendMessage(itest.Message{To: romeo.Bare(), Body: "for the archive"})
		got := romeo.WaitChat(juliet.Bare(), "for the archive")
		page, err := romeo.QueryArchive("", juliet.Bare(), itest.Range{Max: 10, Before: itest.LastPart()})
		if err != nil || len(page.Messages) == 0 {
			t.Fatalf("archive = %+v, %v", page, err)
		}
		last := page.Messages[len(page.Messages)-1]
		if last.Inner.Body != "for the archive" || last.Inner.ID != got.ID || last.Inner.Stamp == "" {
			t.Errorf("last archived message = %+v", last.Inner)
		}
	})
}

func TestClientsRunRooms(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		srv, juliet, romeo := pair(t, start)
		room := srv.Room("ball")
		juliet.Join(room, "Juliet")
		for _, direct := range []bool{true, false} {
			juliet.Invite(room, romeo.Bare(), "dance", direct)
			e := romeo.Wait("invitation", func(e itest.Event) bool { return e.Invitation != nil })
			if e.Invitation.Room != room || e.Invitation.Reason != "dance" || (e.Invitation.Kind == "direct") != direct {
				t.Errorf("invitation = %+v, direct %v", e.Invitation, direct)
			}
		}
		romeo.Join(room, "Romeo")
		juliet.SetSubject(room, "masks")
		romeo.Wait("subject", func(e itest.Event) bool { return e.Subject && e.SubjectText == "masks" })
		juliet.SendPrivate(room, "Romeo", "psst")
		if e := romeo.Wait("private message", func(e itest.Event) bool { return e.Body == "psst" }); e.Nick != "Juliet" || e.Type != "chat" {
			t.Errorf("private message = %+v", e)
		}
		romeo.SendGroupchat(room, "spam")
		spam := juliet.WaitBody(room, "spam")
		if spam.OccupantID == "" {
			t.Log(srv.Kind, "gives no occupant-id")
		}
		for _, version := range []string{"0", "1"} {
			if err := juliet.Moderate(room, spam.StanzaID, "rude", version); (err == nil) != (srv.Kind == "prosody") {
				t.Errorf("moderation: %v", err)
			} else if err == nil {
				e := romeo.Wait("moderation", func(e itest.Event) bool { return e.Moderated != nil })
				if e.Retract == nil || e.Retract.ID != spam.StanzaID || e.Moderated.Reason != "rude" || e.Moderated.Version != version {
					t.Errorf("moderation = %+v, %+v", e.Retract, e.Moderated)
				}
			}
		}
		picture := []byte("\x89PNG\r\n\x1a\nnot much of a picture")
		juliet.SetVCard(room, itest.VCard{Name: "The Ball", PhotoType: "image/png", Photo: picture})
		if v, err := romeo.VCard(room); err != nil || !bytes.Equal(v.Photo, picture) {
			t.Errorf("vcard of the room = %+v, %v", v, err)
		}
		if err := juliet.SetRole(room, "Romeo", "none", "out"); err != nil {
			t.Fatal(err)
		}
		e := romeo.Wait("kick", func(e itest.Event) bool { return e.HasStatus("307") && e.HasStatus("110") })
		if e.Occupant == nil || e.Occupant.Role != "none" || e.Occupant.Reason != "out" {
			t.Errorf("kick = %+v", e.Occupant)
		}
		if err := juliet.SetAffiliation(room, romeo.Bare(), "outcast", "stay out"); err != nil {
			t.Fatal(err)
		}
		if list, err := juliet.Affiliated(room, "outcast"); err != nil || !slices.Equal(list, []string{romeo.Bare()}) {
			t.Errorf("outcasts = %v, %v", list, err)
		}
	})
}
