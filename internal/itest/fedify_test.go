package itest_test

import (
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// isAbout reports whether an activity is about the object.
func isAbout(object string) func(itest.FedifyEvent) bool {
	return func(e itest.FedifyEvent) bool { return e.ObjectID() == object }
}

func TestFedifyPeers(t *testing.T) {
	one := itest.StartFedify(t, itest.FedifyOptions{Host: "127.0.0.6", Users: []string{"alice"}})
	two := itest.StartFedify(t, itest.FedifyOptions{Host: "127.0.0.7", Users: []string{"bob", "carol"}, Locked: []string{"carol"}, First: itest.SignatureCavage})
	alice, bob := itest.FedifyArgs{"user": "alice"}, itest.FedifyArgs{"user": "bob"}
	with := func(base itest.FedifyArgs, more itest.FedifyArgs) itest.FedifyArgs {
		all := itest.FedifyArgs{}
		for _, args := range []itest.FedifyArgs{base, more} {
			for k, v := range args {
				all[k] = v
			}
		}
		return all
	}

	var finger struct{ Subject string }
	one.Do("webfinger", itest.FedifyArgs{"resource": "acct:" + two.Handle("bob")}, &finger)
	if want := "acct:" + two.Handle("bob"); finger.Subject != want {
		t.Errorf("subject %q, want %q", finger.Subject, want)
	}

	follow := one.Send("follow", with(alice, itest.FedifyArgs{"object": two.Handle("bob")}))
	if follow.Actor != two.Actor("bob") {
		t.Errorf("alice follows %q", follow.Actor)
	}
	if e := two.WaitActivity("Follow", nil); e.Actor != one.Actor("alice") || e.Signature != itest.SignatureRFC9421 {
		t.Errorf("follow of %s, signed by %s", e.Actor, e.Signature)
	}
	if e := one.WaitActivity("Accept", isAbout(follow.ID)); e.Signature != itest.SignatureCavage {
		t.Errorf("answer signed by %s", e.Signature)
	}
	asked := one.Send("follow", with(alice, itest.FedifyArgs{"object": two.Handle("carol")}))
	two.WaitActivity("Follow", nil)
	two.Send("reject", itest.FedifyArgs{"user": "carol", "id": asked.ID})
	one.WaitActivity("Reject", isAbout(asked.ID))
	two.Send("follow", with(bob, itest.FedifyArgs{"object": one.Handle("alice")}))
	one.WaitActivity("Follow", nil)
	two.WaitActivity("Accept", nil)

	post := two.Send("post", with(bob, itest.FedifyArgs{"text": "look <here>", "warning": "birds", "hashtags": []string{"birds"},
		"attachments": []any{map[string]string{"url": "https://" + two.Address + "/bird.png", "mediaType": "image/png", "alt": "a bird"}}}))
	note := one.WaitActivity("Create", isAbout(post.Object)).Note()
	if note.Type != "Note" || !strings.Contains(note.Content, "look &lt;here&gt;") || note.Summary != "birds" || !note.Sensitive {
		t.Errorf("post came as %+v", note)
	}
	reply := one.Send("post", with(alice, itest.FedifyArgs{"text": "nice", "reply": post.Object, "mentions": []string{two.Handle("bob")}}))
	if note := two.WaitActivity("Create", isAbout(reply.Object)).Note(); note.InReplyTo != post.Object || len(note.Tag) == 0 && !strings.Contains(note.Content, "@<span>bob</span>") {
		t.Errorf("reply came as %+v", note)
	}
	like := one.Send("like", with(alice, itest.FedifyArgs{"object": post.Object}))
	two.WaitActivity("Like", isAbout(post.Object))
	one.Send("undo", with(alice, itest.FedifyArgs{"id": like.ID}))
	two.WaitActivity("Undo", isAbout(like.ID))
	one.Send("react", with(alice, itest.FedifyArgs{"object": post.Object, "emoji": "\U0001F426"}))
	two.WaitActivity("EmojiReact", isAbout(post.Object))
	one.Send("announce", with(alice, itest.FedifyArgs{"object": post.Object}))
	two.WaitActivity("Announce", isAbout(post.Object))
	poll := two.Send("post", with(bob, itest.FedifyArgs{"text": "tea?", "poll": []string{"yes", "no"}}))
	if note := one.WaitActivity("Create", isAbout(poll.Object)).Note(); note.Type != "Question" || len(note.OneOf) != 2 {
		t.Errorf("poll came as %+v", note)
	}
	one.Send("vote", with(alice, itest.FedifyArgs{"object": poll.Object, "choice": "yes"}))
	if note := two.WaitActivity("Create", nil).Note(); note.Name != "yes" || note.InReplyTo != poll.Object {
		t.Errorf("vote came as %+v", note)
	}

	direct := two.Send("post", with(bob, itest.FedifyArgs{"text": "psst", "visibility": "direct", "mentions": []string{one.Handle("alice")}}))
	if note := one.WaitActivity("Create", isAbout(direct.Object)).Note(); !slices.Equal(note.To, []string{one.Actor("alice")}) || len(note.CC) != 0 {
		t.Errorf("direct message to %q, copies to %q", note.To, note.CC)
	}

	two.Do("rotate", bob, nil)
	two.Send("edit", with(bob, itest.FedifyArgs{"object": post.Object, "text": "look there"}))
	if note := one.WaitActivity("Update", isAbout(post.Object)).Note(); note.Content != "<p>look there</p>" {
		t.Errorf("edit came as %+v", note)
	}
	two.Send("delete", with(bob, itest.FedifyArgs{"object": post.Object}))
	one.WaitActivity("Delete", isAbout(post.Object))

	two.Secure(true)
	var open struct{ Status int }
	one.Do("fetch", itest.FedifyArgs{"url": two.Actor("bob")}, &open)
	if open.Status != 401 {
		t.Errorf("unsigned request of a secure server: %d", open.Status)
	}
	var signed struct{ ID string }
	one.Do("fetch", with(alice, itest.FedifyArgs{"url": two.Actor("bob")}), &signed)
	if signed.ID != two.Actor("bob") {
		t.Errorf("signed request got %q", signed.ID)
	}
	two.Secure(false)

	one.Send("block", with(alice, itest.FedifyArgs{"object": two.Handle("bob")}))
	two.WaitActivity("Block", isAbout(two.Actor("bob")))
	one.Send("unfollow", with(alice, itest.FedifyArgs{"object": two.Actor("bob")}))
	two.WaitActivity("Undo", isAbout(follow.ID))
	two.Do("profile", itest.FedifyArgs{"user": "carol", "aliases": []string{one.Actor("alice")}}, nil)
	one.Send("move", with(alice, itest.FedifyArgs{"object": two.Handle("carol")}))
	two.WaitActivity("Move", isAbout(one.Actor("alice")))
}
