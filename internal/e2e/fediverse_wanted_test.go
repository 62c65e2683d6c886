//go:build fediverse

package e2e

import (
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestFediverseWanted has what does not pass yet; build tag fediverse runs it.
func TestFediverseWanted(t *testing.T) {
	f := newFediverse(t, itest.FedifyOptions{}, "")
	f.part(t, "follow", fediFollow)
	f.part(t, "nobody", fediNobody)
	f.part(t, "post", fediPost)
	f.part(t, "key rotation", fediRotation)
	f.part(t, "block", fediBlock)
}

// fediNobody asks for an actor that does not exist.
func fediNobody(t *testing.T, f *fediverse) {
	var none any
	if err := f.peer.Try("webfinger", itest.FedifyArgs{"resource": "acct:nobody-here@" + f.host}, &none); err != nil || none != nil {
		t.Errorf("webfinger of nobody: %v, %v", none, err)
	}
}

// fediPost has juliet write a post, and alice like, boost and answer it.
func fediPost(t *testing.T, f *fediverse) {
	if err := f.juliet.user.CreateNode("", microblog, map[string]string{"pubsub#access_model": "open", "pubsub#max_items": "10"}); err != nil {
		t.Fatal(err)
	}
	f.publish(t, "moon", "the moon")
	e := f.peer.WaitActivity("Create", says("the moon"))
	note := e.Note()
	if note.Type != "Note" || note.AttributedTo != e.Actor || !slices.Contains(note.To, "https://www.w3.org/ns/activitystreams#Public") {
		t.Errorf("post came as %s", e.Raw)
	}
	t.Logf("post signed by %s: %s", e.Signature, e.Raw)
	var doc struct{ ID string }
	f.peer.Do("fetch", itest.FedifyArgs{"user": fediUser, "url": note.ID}, &doc)
	if doc.ID != note.ID {
		t.Errorf("the post at its address has id %q, want %q", doc.ID, note.ID)
	}
	like := f.send("like", itest.FedifyArgs{"object": note.ID})
	f.send("undo", itest.FedifyArgs{"id": like.ID})
	f.send("react", itest.FedifyArgs{"object": note.ID, "emoji": "\U0001F319"})
	f.send("announce", itest.FedifyArgs{"object": note.ID})
	f.send("post", itest.FedifyArgs{"text": "so round", "reply": note.ID, "mentions": []string{f.handle()}})
	f.juliet.user.Wait("comment", func(e itest.Event) bool { return strings.Contains(e.XML, "so round") })

	f.publish(t, "moon", "the full moon")
	if e := f.peer.WaitActivity("Update", says("the full moon")); e.ObjectID() != note.ID {
		t.Errorf("edit of %s, want %s", e.ObjectID(), note.ID)
	}
	if err := f.juliet.user.RetractItem("", microblog, "moon"); err != nil {
		t.Fatal(err)
	}
	f.peer.WaitActivity("Delete", isAbout(note.ID))
	var gone struct{ Status int }
	f.peer.Do("fetch", itest.FedifyArgs{"url": note.ID}, &gone)
	if gone.Status != 410 {
		t.Errorf("the deleted post answers %d, want 410", gone.Status)
	}
}

// fediRotation has alice sign with a new key that bridgehost does not know yet.
func fediRotation(_ *testing.T, f *fediverse) {
	f.peer.Do("rotate", itest.FedifyArgs{"user": fediUser}, nil)
	f.send("post", itest.FedifyArgs{"text": "with a new key", "visibility": "direct", "mentions": []string{f.handle()}})
	f.juliet.wait("message with the new key", func(e itest.Event) bool { return strings.Contains(e.Body, "with a new key") })
}

// fediBlock has juliet block alice.
func fediBlock(t *testing.T, f *fediverse) {
	f.juliet.user.Block(f.juliet.peer, nil)
	e := f.peer.WaitActivity("Block", isAbout(f.peer.Actor(fediUser)))
	f.juliet.user.Unblock(f.juliet.peer)
	if undo := f.peer.WaitActivity("Undo", nil); undo.ObjectID() != e.ID {
		t.Errorf("undone is %s, not %s", undo.ObjectID(), e.ID)
	}
}

// TestFediverseSecure speaks to a peer that shows documents to signed requests only, and tries draft-cavage first.
func TestFediverseSecure(t *testing.T) {
	f := newFediverse(t, itest.FedifyOptions{Secure: true, First: itest.SignatureCavage}, "secure_mode = true")
	var open struct{ Status int }
	actor := f.actor()
	f.peer.Do("fetch", itest.FedifyArgs{"url": actor}, &open)
	if open.Status != 401 {
		t.Errorf("unsigned request in secure mode: %d, want 401", open.Status)
	}
	f.send("post", itest.FedifyArgs{"text": "secretly", "visibility": "direct", "mentions": []string{f.handle()}})
	f.juliet.wait("direct message", func(e itest.Event) bool { return strings.Contains(e.Body, "secretly") })
	f.juliet.user.SendChat(f.juliet.peer, "as secretly")
	f.peer.WaitActivity("Create", says("as secretly"))
	if !slices.ContainsFunc(f.peer.Events(), func(e itest.FedifyEvent) bool {
		return e.Kind == "get" && e.Status == 200 && e.Signature != "none" && strings.HasPrefix(e.Path, "/users/"+fediUser)
	}) {
		t.Errorf("no signed request of alice's actor")
	}
}

// TestFediverseMove has alice, whom juliet follows, move to another name.
func TestFediverseMove(t *testing.T) {
	f := newFediverse(t, itest.FedifyOptions{Users: []string{fediUser, "alicia"}}, "")
	f.juliet.user.Subscribe(f.juliet.peer)
	f.peer.WaitActivity("Follow", isAbout(f.peer.Actor(fediUser)))
	f.juliet.user.WaitPresence(f.juliet.peer, "subscribed")
	f.peer.Do("profile", itest.FedifyArgs{"user": "alicia", "aliases": []string{f.peer.Actor(fediUser)}}, nil)
	f.send("move", itest.FedifyArgs{"object": f.peer.Handle("alicia")})
	f.peer.WaitActivity("Follow", isAbout(f.peer.Actor("alicia")))
}

// publish has juliet post to her microblog.
func (f *fediverse) publish(t *testing.T, id, text string) {
	t.Helper()
	if _, err := f.juliet.user.Publish("", microblog, id, entry(id, f.juliet.user.Bare(), text), nil); err != nil {
		t.Fatal(err)
	}
}
