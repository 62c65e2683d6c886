package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// ErrIgnored says that an activity is of a type that means nothing here, or says nothing; it is answered 202.
var ErrIgnored = errors.New("activity means nothing here")

// Action is what an activity asks for. Nothing in it is checked against the world: who signed, who owns what, and whether an embedded
// object may be taken is the caller's to know (object.CheckActivity, object.CheckEmbedded).
type Action struct {
	Verb       string // type of the activity; of an Undo that of what is undone
	Undo       bool
	ID         string // of the activity
	Actor      string // who acts
	Object     string // id of what it acts on; of an Undo what the undone activity acted on
	Undone     string // id of the undone or answered activity
	Target     string // of Move, Add, Remove
	Embedded   *object.Object
	Wrapped    *object.Object // whole activity that a group announces (FEP-1b12), to be read at its id or its group's word
	Post       *Post          // of Create and Update
	Person     *Profile       // of Update of an actor
	Reaction   string         // of Like and EmojiReact: the one that is added, or with Undo taken back
	Emoji      *sdk.Emoji     // image of a reaction :code:
	Visibility sdk.Visibility // of the activity itself
	// Change is what the activity says as far as its own words go. It is nil where Fetch names an object that is to be read first, for
	// a vote (Post.Vote, see VoteIndex), and for Wrapped. A ReactionsSet holds the one Reaction, not the complete set: the caller who knows the
	// others merges them. References hold handles where Reading.Handle knows them, else guessed ones are not used and the ID is empty.
	Change sdk.Change
	Fetch  string
}

// ReadActivity turns an activity into an action. The error wraps ErrIgnored for what has no meaning here, and is an *object.Error for
// what cannot be its actor's.
func ReadActivity(a *object.Object, r Reading) (Action, error) {
	if err := a.CheckActivity(); err != nil {
		return Action{}, fmt.Errorf("reading a %q: %w", a.Type(), err)
	}
	act := Action{Verb: a.Type(), ID: a.ID(), Actor: a.Actor(), Target: a.Ref("target"), Visibility: Visibility(a, r.Followers)}
	act.Object, act.Embedded = a.Target()
	r.Activity = a
	err := act.read(a, r)
	if err != nil {
		return Action{}, fmt.Errorf("reading a %s: %w", a.Type(), err)
	}
	return act, nil
}

func (act *Action) read(a *object.Object, r Reading) error {
	if act.Object == "" && (act.Embedded == nil || act.Verb != "Undo") {
		return fmt.Errorf("no object: %w", ErrIgnored)
	}
	switch act.Verb {
	case "Create", "Update":
		return act.publish(r)
	case "Delete":
		act.remove()
	case "Announce":
		if act.Embedded != nil && act.Embedded.Class() == object.ClassActivity {
			act.Wrapped = act.Embedded
			return nil
		}
		act.Change = sdk.Shared{Target: target(act.Object)}
	case "Like", "EmojiReact", "Dislike":
		if act.Verb == "Dislike" {
			act.Reaction = "👎"
		} else {
			act.react(a)
		}
		act.Change = sdk.ReactionsSet{Target: target(act.Object), Reactions: []string{act.Reaction}}
	case "Follow":
		act.Change = sdk.FollowAsked{Object: ref(r, act.Object)}
	case "Accept", "Reject", "TentativeAccept", "TentativeReject":
		return act.answer(r)
	case "Undo":
		return act.undo(r)
	case "Block":
		act.Change = sdk.Blocked{Object: ref(r, act.Object)}
	case "Flag":
		act.report(a, r)
	case "Move":
		if act.Object != act.Actor || object.Origin(act.Target) == "" {
			return fmt.Errorf("not of the actor itself: %w", ErrIgnored)
		}
		act.Change = sdk.ActorMoved{To: ref(r, act.Target)}
	case "Join", "Leave":
		act.Change = sdk.RSVPSet{Target: target(act.Object), Answer: map[string]string{"Join": "yes", "Leave": "no"}[act.Verb]}
	case "Add", "Remove", "Lock", "Invite", "QuoteRequest", "LikeRequest", "ReplyRequest", "AnnounceRequest":
		return nil // the caller acts on Object and Target
	default:
		return fmt.Errorf("type %q: %w", act.Verb, ErrIgnored)
	}
	return nil
}

// ref gives a reference to an actor: its handle where it is known.
func ref(r Reading, id string) sdk.Ref {
	if r.Handle == nil {
		return sdk.Ref{}
	}
	return sdk.Ref{ID: sdk.RemoteID(r.Handle(id))}
}

func (act *Action) publish(r Reading) error {
	e := act.Embedded
	if e == nil || e.Type() == "" {
		act.Fetch = act.Object
		return nil
	}
	if e.Class() == object.ClassActor {
		if act.Verb != "Update" {
			return fmt.Errorf("of an actor: %w", ErrIgnored)
		}
		p, err := ReadActor(e)
		if err != nil {
			return err
		}
		act.Person, act.Change = &p, sdk.ActorUpdated{}
		return nil
	}
	p, err := Read(e, r)
	switch {
	case errors.Is(err, ErrKind):
		return fmt.Errorf("%w: %w", err, ErrIgnored)
	case err != nil:
		return err
	}
	act.Post = &p
	switch {
	case p.Vote != "":
	case act.Verb == "Create":
		act.Change = sdk.ItemCreated{Item: p.Item}
	default:
		act.Change = sdk.ItemUpdated{Target: target(p.ID), Item: p.Item}
	}
	return nil
}

func (act *Action) remove() {
	if act.Object == act.Actor {
		act.Change = sdk.ActorGone{}
		return
	}
	act.Change = sdk.ItemRetracted{Target: target(act.Object)}
}

// react reads the reaction of a Like or EmojiReact (FEP-c0e0): its content, Misskey's own member, or a plain like.
func (act *Action) react(a *object.Object) {
	text, _ := a.Content()
	if text == "" {
		text = a.Text("_misskey_reaction")
	}
	act.Reaction = short(plainOf(text), 256)
	if act.Reaction == "" || act.Verb == "Like" && (act.Reaction == "❤" || act.Reaction == "❤️" || act.Reaction == "👍") && !a.Has("content") {
		act.Reaction = Like
		return
	}
	for _, t := range a.Tags() {
		if e, ok := emojiOf(t); ok && t.Is("Emoji") && e.Code == strings.Trim(act.Reaction, ":") {
			act.Emoji, act.Reaction = &e, ":"+e.Code+":"
			return
		}
	}
}

func (act *Action) answer(r Reading) error {
	e := act.Embedded
	act.Undone = act.Object
	accepted := strings.HasSuffix(act.Verb, "Accept")
	if e == nil || e.Type() == "" {
		return nil // the caller knows its own activity by Undone
	}
	act.Object = e.Ref("object")
	switch {
	case e.Is("Follow"):
		if act.Object != "" && act.Object != act.Actor {
			return fmt.Errorf("of another's follow: %w", ErrIgnored)
		}
		act.Change = sdk.FollowAnswered{Follower: ref(r, e.Actor()), Accepted: accepted}
	case e.Is("Join"), e.Is("Invite"), e.Is("QuoteRequest"), e.Is("Offer"), e.Is("LikeRequest"), e.Is("ReplyRequest"), e.Is("AnnounceRequest"):
	default:
		return fmt.Errorf("of a %q: %w", e.Type(), ErrIgnored)
	}
	return nil
}

// undo reads what is undone, which must be the actor's own.
func (act *Action) undo(r Reading) error {
	act.Undo, act.Undone = true, act.Object
	e := act.Embedded
	if e == nil || e.Type() == "" {
		act.Verb, act.Fetch = "", act.Object // only who remembers the activity knows what it was
		return nil
	}
	if who := e.Actor(); who != "" && who != act.Actor {
		return &object.Error{Reason: object.ObjectOwner, Where: "/object/actor"}
	}
	act.Verb = e.Type()
	act.Object, act.Embedded = e.Target()
	if act.Object == "" && (act.Verb != "Accept" || act.Embedded == nil) {
		return fmt.Errorf("of nothing: %w", ErrIgnored)
	}
	switch act.Verb {
	case "Like", "EmojiReact", "Dislike":
		if act.react(e); act.Verb == "Dislike" {
			act.Reaction = "👎"
		}
		act.Change = sdk.ReactionsSet{Target: target(act.Object)}
	case "Announce":
		act.Change = sdk.Unshared{Target: target(act.Object)}
	case "Follow":
		act.Change = sdk.Unfollowed{Object: ref(r, act.Object)}
	case "Block":
		act.Change = sdk.Unblocked{Object: ref(r, act.Object)}
	case "Join":
		act.Change = sdk.RSVPSet{Target: target(act.Object)}
	case "Accept":
		return act.revoked(e, r)
	default:
		return fmt.Errorf("of a %q: %w", act.Verb, ErrIgnored)
	}
	return nil
}

// revoked reads Undo of the Accept of a Follow, by which a follower is removed.
func (act *Action) revoked(e *object.Object, r Reading) error {
	f := e.Part("object")
	if f == nil || !f.Is("Follow") {
		return nil
	}
	act.Change = sdk.FollowAnswered{Follower: ref(r, f.Actor())}
	return nil
}

// report reads a Flag: its objects are an account and posts of it, in any order.
func (act *Action) report(a *object.Object, r Reading) {
	html, _ := a.Content()
	c := sdk.Reported{Text: short(plainOf(html), maxAlt)}
	for _, id := range a.Refs("object") {
		if h := ref(r, id); h.ID != "" && c.Object.IsZero() {
			c.Object, act.Object = h, id
			continue
		}
		if t := target(id); !t.IsZero() {
			c.Targets = append(c.Targets, t)
		}
	}
	act.Change = c
}

// VoteIndex gives the option that a vote names; false if the poll has none such.
func VoteIndex(p *sdk.Poll, name string) (int, bool) {
	if p == nil {
		return 0, false
	}
	i := slices.IndexFunc(p.Options, func(o sdk.PollOption) bool { return short(o.Text, maxShort) == name })
	return i, i >= 0
}
