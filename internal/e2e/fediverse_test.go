package e2e

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestFediverse has a user of XMPP and an actor of Fedify do to each other what people do.
func TestFediverse(t *testing.T) {
	f := newFediverse(t, itest.FedifyOptions{}, "")
	f.part(t, "webfinger", fediWebFinger)
	f.part(t, "follow", fediFollow)
	f.part(t, "follow back", fediFollowBack)
	f.part(t, "post back", fediPostBack)
	f.part(t, "direct", fediDirect)
	f.part(t, "direct back", fediDirectBack)
}

// fediWebFinger finds juliet from the fediverse, and her actor and page.
func fediWebFinger(t *testing.T, f *fediverse) {
	var finger struct {
		Subject string
		Links   []struct{ Rel, Type, Href string }
	}
	f.peer.Do("webfinger", itest.FedifyArgs{"resource": "acct:" + f.handle()}, &finger)
	if finger.Subject != "acct:"+f.handle() || len(finger.Links) == 0 {
		t.Errorf("webfinger %+v", finger)
	}
	var person struct {
		ID, Type, PreferredUsername, Inbox string
		PublicKey                          struct{ ID, Owner, PublicKeyPem string }
	}
	f.peer.Do("fetch", itest.FedifyArgs{"user": fediUser, "url": f.actor()}, &person)
	if person.Type != "Person" || person.PreferredUsername != xmppUser || person.PublicKey.Owner != person.ID || person.PublicKey.PublicKeyPem == "" {
		t.Errorf("actor %+v", person)
	}
	resp, err := f.client(t).Get(person.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("page for browsers: %d %s, %v: %s", resp.StatusCode, resp.Header.Get("Content-Type"), err, page)
	}
}

// fediFollow has alice follow juliet, who has to agree.
func fediFollow(t *testing.T, f *fediverse) {
	sent := f.send("follow", itest.FedifyArgs{"object": f.handle()})
	f.juliet.user.WaitPresence(f.juliet.peer, "subscribe")
	f.juliet.user.Approve(f.juliet.peer)
	e := f.peer.WaitActivity("Accept", isAbout(sent.ID))
	if e.Actor != sent.Actor {
		t.Errorf("accepted by %s, not by %s", e.Actor, sent.Actor)
	}
	t.Logf("accept signed by %s: %s", e.Signature, e.Raw)
}

// fediFollowBack has juliet follow alice.
func fediFollowBack(t *testing.T, f *fediverse) {
	f.juliet.user.Subscribe(f.juliet.peer)
	e := f.peer.WaitActivity("Follow", isAbout(f.peer.Actor(fediUser)))
	if e.Actor != f.actor() {
		t.Errorf("followed by %s", e.Actor)
	}
	f.juliet.user.WaitPresence(f.juliet.peer, "subscribed")
	var state struct{ Followers []string }
	f.peer.Do("state", itest.FedifyArgs{"user": fediUser}, &state)
	if !slices.Equal(state.Followers, []string{f.actor()}) {
		t.Errorf("followers of alice: %q", state.Followers)
	}
	if c := f.juliet.user.Roster()[f.juliet.peer]; c.Subscription != "both" {
		t.Errorf("contact %+v, want subscription both", c)
	}
}

// fediPostBack has alice write, edit and delete posts that juliet follows.
func fediPostBack(t *testing.T, f *fediverse) {
	if state, err := f.juliet.user.SubscribeNode(f.juliet.peer, microblog); err != nil || state != "subscribed" {
		t.Fatalf("subscription %q, %v", state, err)
	}
	for _, first := range []string{itest.SignatureRFC9421, itest.SignatureCavage} {
		f.peer.First(first)
		post := f.send("post", itest.FedifyArgs{"text": "a bird by " + first, "hashtags": []string{"birds"}})
		e := f.waitEntry("a bird by " + first)
		if !strings.Contains(e.XML, "birds") {
			t.Errorf("post without its tag: %s", e.XML)
		}
		t.Logf("post: %s", e.XML)
		f.send("edit", itest.FedifyArgs{"object": post.Object, "text": "two birds by " + first})
		if edited := f.waitEntry("two birds by " + first); edited.PubSub.Items[0].ID != e.PubSub.Items[0].ID {
			t.Errorf("the edit is item %s, not %s", edited.PubSub.Items[0].ID, e.PubSub.Items[0].ID)
		}
		f.send("delete", itest.FedifyArgs{"object": post.Object})
		f.juliet.user.Wait("retracted post", func(r itest.Event) bool {
			return r.PubSub != nil && r.Room == f.juliet.peer && slices.Contains(r.PubSub.Retracted, e.PubSub.Items[0].ID)
		})
	}
	f.peer.First(itest.SignatureRFC9421)
	poll := f.send("post", itest.FedifyArgs{"text": "which bird", "poll": []string{"owl", "wren"}})
	e := f.waitEntry("which bird")
	if !strings.Contains(e.XML, "owl") || !strings.Contains(e.XML, "wren") {
		t.Errorf("poll %s without its options: %s", poll.Object, e.XML)
	}
}

// fediDirect has juliet write a direct message, edit it and take it back.
func fediDirect(t *testing.T, f *fediverse) {
	id := f.juliet.user.SendChat(f.juliet.peer, "art thou there")
	e := f.peer.WaitActivity("Create", says("art thou there"))
	note := e.Note()
	if !slices.Equal(note.To, []string{f.peer.Actor(fediUser)}) || len(note.CC) != 0 {
		t.Errorf("direct message to %q, copies to %q", note.To, note.CC)
	}
	if len(note.Tag) == 0 && !strings.Contains(string(e.Raw), `"Mention"`) {
		t.Errorf("direct message without a mention: %s", e.Raw)
	}
	t.Logf("direct message to %s: %s", e.Inbox, e.Raw)
	var open struct{ Status int }
	f.peer.Do("fetch", itest.FedifyArgs{"url": note.ID}, &open)
	if open.Status == http.StatusOK {
		t.Errorf("the direct message is shown to everybody")
	}
	f.juliet.user.Correct(f.juliet.peer, id, "art thou here")
	f.peer.WaitActivity("Update", says("art thou here"))
	f.juliet.user.Retract(f.juliet.peer, id)
	f.peer.WaitActivity("Delete", isAbout(note.ID))
}

// fediDirectBack has alice write a direct message, edit it and take it back, and juliet answer and react.
func fediDirectBack(t *testing.T, f *fediverse) {
	post := f.send("post", itest.FedifyArgs{"text": "good night", "visibility": "direct", "mentions": []string{f.handle()}})
	got := f.juliet.wait("direct message", func(e itest.Event) bool { return strings.Contains(e.Body, "good night") })
	t.Logf("direct message: %s", got.XML)
	f.juliet.user.Reply(f.juliet.peer, got, "a thousand times")
	if note := f.peer.WaitActivity("Create", says("a thousand times")).Note(); note.InReplyTo != post.Object {
		t.Errorf("answer to %q, want %q", note.InReplyTo, post.Object)
	}
	f.juliet.user.React(f.juliet.peer, got.ID, "\U0001F44D")
	f.peer.Wait("reaction", func(e itest.FedifyEvent) bool {
		return e.Kind == "activity" && (e.Type == "EmojiReact" || e.Type == "Like") && e.ObjectID() == post.Object
	})
	f.send("edit", itest.FedifyArgs{"object": post.Object, "text": "good morning"})
	f.juliet.wait("edited message", func(e itest.Event) bool { return strings.Contains(e.Body, "good morning") && e.Replace != "" })
	f.send("delete", itest.FedifyArgs{"object": post.Object})
	f.juliet.wait("retracted message", func(e itest.Event) bool { return e.Retract != nil })
}

// TestFediverseRestart has both write before and after bridgehost was restarted; each message comes once.
func TestFediverseRestart(t *testing.T) {
	f := newFediverse(t, itest.FedifyOptions{}, "")
	f.juliet.user.SendChat(f.juliet.peer, "before")
	f.peer.WaitActivity("Create", says("before"))
	f.bridge.stop()
	f.bridge.start()
	f.bridge.ready()
	f.juliet.user.SendChat(f.juliet.peer, "after")
	f.peer.WaitActivity("Create", says("after"))
	f.send("post", itest.FedifyArgs{"text": "still here", "visibility": "direct", "mentions": []string{f.handle()}})
	f.juliet.wait("direct message", func(e itest.Event) bool { return strings.Contains(e.Body, "still here") })
	created := 0
	for _, e := range f.peer.Events() {
		if e.Kind == "activity" && e.Type == "Create" {
			created++
		}
	}
	if created != 2 {
		t.Errorf("%d messages came, want 2", created)
	}
}
