package convert

import (
	"errors"
	"reflect"
	"testing"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

const ann = "https://ours.example/u/ann"

// handles knows ann and bob.
func handles(id string) string {
	return map[string]string{ann: "ann@ours.example", bob.ID: bob.Handle, "https://n.example/users/bob": "bob@n.example"}[id]
}

func at0(id string) sdk.Target { return sdk.Target{Remote: sdk.RemoteID(id)} }

func handleRef(h string) sdk.Ref { return sdk.Ref{ID: sdk.RemoteID(h)} }

func TestReadActivity(t *testing.T) {
	const note = "https://ours.example/o/1"
	act := func(typ, rest string) string {
		return `{"id":"https://m.example/act","type":"` + typ + `","actor":"https://m.example/users/bob",` + rest + `}`
	}
	undo := func(typ, rest string) string {
		return act("Undo", `"object":{"id":"https://m.example/1","type":"`+typ+`","actor":{"id":"https://m.example/users/bob"},`+rest+`}`)
	}
	for _, c := range []struct {
		name, doc string
		want      sdk.Change
	}{
		{"Follow", act("Follow", `"object":"`+ann+`"`), sdk.FollowAsked{Object: handleRef("ann@ours.example")}},
		{"Undo Follow", undo("Follow", `"object":"`+ann+`"`), sdk.Unfollowed{Object: handleRef("ann@ours.example")}},
		{"Accept", act("Accept", `"object":{"id":"https://ours.example/f/1","type":"Follow","actor":"`+ann+`","object":"https://m.example/users/bob"}`),
			sdk.FollowAnswered{Follower: handleRef("ann@ours.example"), Accepted: true}},
		{"Reject", act("Reject", `"object":{"id":"https://ours.example/f/1","type":"Follow","actor":"`+ann+`","object":"https://m.example/users/bob"}`),
			sdk.FollowAnswered{Follower: handleRef("ann@ours.example")}},
		{"Accept by id", act("Accept", `"object":"https://ours.example/f/1"`), nil},
		{"Like", act("Like", `"object":"`+note+`"`), sdk.ReactionsSet{Target: at0(note), Reactions: []string{Like}}},
		{"Like with content", act("Like", `"object":"`+note+`","content":"🐱"`), sdk.ReactionsSet{Target: at0(note), Reactions: []string{"🐱"}}},
		{"Misskey reaction", act("Like", `"object":"`+note+`","_misskey_reaction":"🎉"`), sdk.ReactionsSet{Target: at0(note), Reactions: []string{"🎉"}}},
		{"EmojiReact", act("EmojiReact", `"object":"`+note+`","content":":blob:","tag":[{"type":"Emoji","name":":blob:","icon":{"url":"https://m.example/b.png"}}]`),
			sdk.ReactionsSet{Target: at0(note), Reactions: []string{":blob:"}}},
		{"Undo Like", undo("Like", `"object":"`+note+`"`), sdk.ReactionsSet{Target: at0(note)}},
		{"Announce", act("Announce", `"object":"`+note+`"`), sdk.Shared{Target: at0(note)}},
		{"Undo Announce", undo("Announce", `"object":"`+note+`"`), sdk.Unshared{Target: at0(note)}},
		{"Delete", act("Delete", `"object":"https://m.example/n/1"`), sdk.ItemRetracted{Target: at0("https://m.example/n/1")}},
		{"Delete Tombstone", act("Delete", `"object":{"type":"Tombstone","id":"https://m.example/n/1"}`), sdk.ItemRetracted{Target: at0("https://m.example/n/1")}},
		{"Delete actor", act("Delete", `"object":"https://m.example/users/bob"`), sdk.ActorGone{}},
		{"Block", act("Block", `"object":"`+ann+`"`), sdk.Blocked{Object: handleRef("ann@ours.example")}},
		{"Undo Block", undo("Block", `"object":"`+ann+`"`), sdk.Unblocked{Object: handleRef("ann@ours.example")}},
		{"Flag", act("Flag", `"object":["`+note+`","`+ann+`"],"content":"spam"`), sdk.Reported{Object: handleRef("ann@ours.example"), Targets: []sdk.Target{at0(note)}, Text: "spam"}},
		{"Move", act("Move", `"object":"https://m.example/users/bob","target":"https://n.example/users/bob"`), sdk.ActorMoved{To: handleRef("bob@n.example")}},
		{"Join", act("Join", `"object":"`+note+`"`), sdk.RSVPSet{Target: at0(note), Answer: "yes"}},
		{"Leave", act("Leave", `"object":"`+note+`"`), sdk.RSVPSet{Target: at0(note), Answer: "no"}},
		{"follower removed", act("Undo", `"object":{"id":"https://m.example/a","type":"Accept","actor":"https://m.example/users/bob","object":{"type":"Follow","actor":"`+ann+`","object":"https://m.example/users/bob"}}`),
			sdk.FollowAnswered{Follower: handleRef("ann@ours.example")}},
		{"QuoteRequest", act("QuoteRequest", `"object":"`+note+`","instrument":"https://m.example/n/2"`), nil},
		{"Create by id", act("Create", `"object":"https://m.example/n/1"`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ReadActivity(parse(t, c.doc), Reading{Handle: handles})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.Change, c.want) {
				t.Errorf("got %#v, want %#v", a.Change, c.want)
			}
			if a.Actor != bob.ID || a.ID != "https://m.example/act" {
				t.Errorf("actor %q id %q", a.Actor, a.ID)
			}
			if c.name == "Create by id" && a.Fetch != "https://m.example/n/1" {
				t.Errorf("fetch %q", a.Fetch)
			}
		})
	}
	for _, c := range []struct {
		name, doc string
		want      error
	}{
		{"unknown type", act("View", `"object":"x"`), ErrIgnored},
		{"nothing", act("Like", `"content":"x"`), ErrIgnored},
		{"Undo of another's", act("Undo", `"object":{"type":"Like","actor":"`+ann+`","object":"x"}`), &object.Error{Reason: object.ObjectOwner}},
		{"Move of another", act("Move", `"object":"`+ann+`","target":"https://n.example/users/bob"`), ErrIgnored},
		{"Accept of another's follow", act("Accept", `"object":{"type":"Follow","actor":"`+ann+`","object":"https://n.example/users/bob"}`), ErrIgnored},
		{"Create of a Tombstone", act("Create", `"object":{"type":"Tombstone","id":"https://m.example/n/1"}`), ErrIgnored},
		{"foreign id", `{"id":"https://good.example/1","type":"Like","actor":"https://evil.example/u","object":"x"}`, &object.Error{Reason: object.ActorOrigin}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadActivity(parse(t, c.doc), Reading{Handle: handles}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestActivityNarrows: an activity that is addressed to fewer than its object narrows the item (AP-15).
func TestActivityNarrows(t *testing.T) {
	a, err := ReadActivity(parse(t, `{"id":"https://m.example/act","type":"Update","actor":"https://m.example/users/bob","to":["https://m.example/users/bob/followers"],
		"object":{"id":"https://m.example/n/1","type":"Note","attributedTo":"https://m.example/users/bob","to":["Public"],"content":"x"}}`), Reading{})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Post.Item.Visibility; got != sdk.VisibilityFollowers {
		t.Errorf("visibility %d, want followers", got)
	}
	if _, ok := a.Change.(sdk.ItemUpdated); !ok {
		t.Errorf("change %T", a.Change)
	}
}

// TestWrittenActivities: each is read again as what it says, and the vocabulary of go-fed takes it.
func TestWrittenActivities(t *testing.T) {
	const act, note = "https://m.example/act", "https://ours.example/o/1"
	follow := Follow("https://ours.example/f/1", ann, bob.ID)
	own := Names{ID: "https://m.example/n/1", Actor: bob.ID, Followers: bob.ID + "/followers"}
	post, _ := Write(sdk.Item{Text: sdk.NewText("hi"), Visibility: sdk.VisibilityPublic, Created: at}, own)
	blob := &sdk.Emoji{Code: "blob", Media: sdk.Media{URL: "https://m.example/b.png"}}
	join, _ := RSVP(act, bob.ID, note, ann, "yes")
	for _, c := range []struct {
		name string
		a    *object.Object
		want sdk.ChangeKind
	}{
		{"Create", Create(act, post), sdk.KindItemCreated},
		{"Update", Update(act, post, at), sdk.KindItemUpdated},
		{"Delete", Delete(act, bob.ID, "https://m.example/n/1", "Note", at, []string{object.Public}, nil), sdk.KindItemRetracted},
		{"Delete actor", Delete(act, bob.ID, bob.ID, "Person", at, []string{object.Public}, nil), sdk.KindActorGone},
		{"Announce", Announce(act, bob.ID, note, ann, own.Followers, true, at), sdk.KindShared},
		{"Like", React(act, bob.ID, note, ann, Like, nil, true), sdk.KindReactionsSet},
		{"reaction", React(act, bob.ID, note, ann, "🐱", nil, false), sdk.KindReactionsSet},
		{"EmojiReact", React(act, bob.ID, note, ann, ":blob:", blob, true), sdk.KindReactionsSet},
		{"Follow", Follow(act, bob.ID, ann), sdk.KindFollowAsked},
		{"Accept", Answer(act, bob.ID, true, follow), sdk.KindFollowAnswered},
		{"Undo Follow", Undo(act, Follow("https://m.example/f", bob.ID, ann)), sdk.KindUnfollowed},
		{"Undo Announce", Undo(act, Announce("https://m.example/s", bob.ID, note, ann, own.Followers, true, at)), sdk.KindUnshared},
		{"Undo Like", Undo(act, React("https://m.example/l", bob.ID, note, ann, Like, nil, false)), sdk.KindReactionsSet},
		{"Block", Block(act, bob.ID, ann), sdk.KindBlocked},
		{"Undo Block", Undo(act, Block("https://m.example/b", bob.ID, ann)), sdk.KindUnblocked},
		{"Flag", Flag(act, bob.ID, ann, []string{note}, "spam"), sdk.KindReported},
		{"Move", Move(act, bob.ID, "https://n.example/users/bob", own.Followers), sdk.KindActorMoved},
		{"Join", join, sdk.KindRSVPSet},
		{"Add", Change(act, bob.ID, true, note, bob.ID+"/featured", []string{object.Public}), sdk.KindNone},
		{"QuoteRequest", AskQuote(act, bob.ID, note, ann, post), sdk.KindNone},
		{"Wrap", Wrap(act, bob.ID, own.Followers, Create("https://x.example/1", post)), sdk.KindNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ReadActivity(document(t, c.a), Reading{Handle: handles})
			if err != nil {
				t.Fatal(err)
			}
			ev := sdk.Event{Change: a.Change}
			if ev.Kind() != c.want {
				t.Errorf("got %v, want %v", ev.Kind(), c.want)
			}
		})
	}
	if o, loss := RSVP(act, bob.ID, note, ann, "maybe"); o != nil || len(loss) != 1 {
		t.Errorf("maybe: %v %v", o, loss)
	}
}

// TestVotes: a vote is a Note with a name and no content, to the author alone.
func TestVotes(t *testing.T) {
	poll := &sdk.Poll{Options: []sdk.PollOption{{Text: "yes"}, {Text: "no"}, {Text: "tea"}}}
	notes := Ballots(bob.ID, "https://ours.example/o/1", ann, []string{"yes", "no", "tea"}, []string{"https://m.example/v/1", "https://m.example/v/2"}, []int{2, 0, 2, 9}, at)
	if len(notes) != 2 {
		t.Fatalf("%d ballots, want 2", len(notes))
	}
	var got []int
	for _, n := range notes {
		a, err := ReadActivity(document(t, Create(n.ID()+"/act", n)), Reading{})
		if err != nil {
			t.Fatal(err)
		}
		i, ok := VoteIndex(poll, a.Post.Vote)
		if !ok || a.Change != nil || a.Post.Item.ReplyTo.Remote != "https://ours.example/o/1" {
			t.Errorf("vote %q of %+v", a.Post.Vote, a)
		}
		got = append(got, i)
	}
	if !reflect.DeepEqual(got, []int{0, 2}) {
		t.Errorf("votes %v", got)
	}
	if _, ok := VoteIndex(nil, "yes"); ok {
		t.Error("a vote in no poll")
	}
}

func TestQuoteAnswer(t *testing.T) {
	asked := parse(t, `{"@context":"x","id":"https://m.example/q","type":"QuoteRequest","actor":"https://m.example/users/bob","object":"https://ours.example/o/1","instrument":"https://m.example/n/2"}`)
	a := document(t, AcceptQuote("https://ours.example/a/1", ann, "https://ours.example/stamps/1", asked))
	if a.Ref("result") != "https://ours.example/stamps/1" || a.Ref("object") != "https://m.example/q" || a.Ref("to") != bob.ID {
		t.Errorf("%v", a.Keys())
	}
	s := document(t, QuoteStamp("https://ours.example/stamps/1", ann, "https://m.example/n/2", "https://ours.example/o/1"))
	if s.Ref("interactingObject") != "https://m.example/n/2" || s.Ref("interactionTarget") != "https://ours.example/o/1" || s.Ref("attributedTo") != ann {
		t.Errorf("%v", s.Keys())
	}
}
