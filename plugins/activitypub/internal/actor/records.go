package actor

import (
	"encoding/json"
	"time"

	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// Kinds of records of a local actor; the owner is its user name.
const (
	KindPost      store.Kind = "post"      // Post by the last part of its id
	KindActivity  store.Kind = "activity"  // json.RawMessage by the last part of its id
	KindGone      store.Kind = "gone"      // time of deletion by the last part of the object's id
	KindFollower  store.Kind = "follower"  // Follower by actor id
	KindFollowing store.Kind = "following" // Following by actor id
	KindReply     store.Kind = "reply"     // id of a public answer, by post and id
	KindProfile   store.Kind = "profile"   // Profile, under the key self
	KindReaction  store.Kind = "reaction"  // far reactions to a post, by post and actor
	KindSent      store.Kind = "sent"      // ids of our reactions to a far post by reaction, by the post's id
	KindOut       store.Kind = "out"       // []json.RawMessage that an event became, by the event's id
	KindAsk       store.Kind = "ask"       // id of a far actor that asked to follow, by the key of the event
)

// Limits are the bounds of the store for these kinds.
func Limits() store.Limits {
	return store.Limits{Records: map[store.Kind]int{
		KindPost: 2000, KindActivity: 2000, KindGone: 4000, KindFollower: 100_000, KindFollowing: 10_000, KindReply: 5000,
		KindProfile: 1, KindReaction: 20_000, KindSent: 5000, KindOut: 2000, KindAsk: 1000,
		"author": 20_000,
	}}
}

// Post is an object of ours, as it is served.
type Post struct {
	ID         string          `json:"id"` // of the object, as a whole
	Item       sdk.ItemID      `json:"item"`
	Object     json.RawMessage `json:"object"`
	Visibility sdk.Visibility  `json:"visibility"`
	To         []string        `json:"to,omitempty"` // actors who may read what is not public
	Created    time.Time       `json:"created"`
	Updated    time.Time       `json:"updated,omitzero"`
}

// Public reports whether everybody may read the post.
func (p *Post) Public() bool {
	return p.Visibility == sdk.VisibilityPublic || p.Visibility == sdk.VisibilityUnlisted
}

// Listed reports whether the post stands in lists.
func (p *Post) Listed() bool { return p.Visibility == sdk.VisibilityPublic }

// Follower is a far actor that follows one of ours.
type Follower struct {
	ID       string    `json:"id"`
	Handle   string    `json:"handle"`
	Inbox    string    `json:"inbox"`
	Shared   string    `json:"shared,omitempty"`
	Follow   string    `json:"follow"` // id of the Follow
	Accepted bool      `json:"accepted"`
	Since    time.Time `json:"since"`
}

// Target gives the inbox that gets what goes to all followers.
func (f Follower) Target() string {
	if f.Shared != "" {
		return f.Shared
	}
	return f.Inbox
}

// Following is a far actor that one of ours follows, or asked to.
type Following struct {
	ID       string    `json:"id"`
	Handle   string    `json:"handle"`
	Inbox    string    `json:"inbox"`
	Follow   string    `json:"follow"`
	Accepted bool      `json:"accepted"`
	Since    time.Time `json:"since"`
}

// Profile is what is known of a person of the other network.
type Profile struct {
	Actor sdk.Actor `json:"actor"`
	Read  time.Time `json:"read"`
	Gone  bool      `json:"gone,omitempty"` // deleted for ever
}
