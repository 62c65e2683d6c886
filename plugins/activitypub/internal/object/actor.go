package object

// Key is a public key of an actor.
type Key struct {
	ID        string
	Owner     string // owner, or controller of a Multikey (FEP-521a)
	PEM       string // SPKI or PKCS#1 PEM; empty for a Multikey
	Multibase string // publicKeyMultibase; empty for a PEM
}

// maxKeys is how many keys of an actor are read; Mastodon reads as many.
const maxKeys = 10

// PublicKeys gives the keys for HTTP signatures. A key that is only named by its id has neither PEM nor Multibase.
func (o *Object) PublicKeys() []Key { return o.keys("publicKey") }

// AssertionMethods gives the Multikeys for proofs inside of documents (FEP-521a).
func (o *Object) AssertionMethods() []Key { return o.keys("assertionMethod") }

func (o *Object) keys(name string) []Key {
	var out []Key
	for _, p := range o.Parts(name) {
		if len(out) == maxKeys {
			break
		}
		out = append(out, p.Key())
	}
	return out
}

// Key reads the object itself as a key, as it is served at a key's own id.
func (o *Object) Key() Key {
	k := Key{ID: o.ID(), Owner: o.Ref("owner"), PEM: o.Text("publicKeyPem"), Multibase: o.Text("publicKeyMultibase")}
	if k.Owner == "" {
		k.Owner = o.Ref("controller")
	}
	return k
}

// CheckKeys refuses an actor with a key whose owner is not the actor or whose id is of another origin (FEP-fe34; AP-09). It demands an
// id of the actor.
func (o *Object) CheckKeys() error {
	if Origin(o.ID()) == "" {
		return &Error{Reason: BadID, Where: "/id"}
	}
	for _, name := range []string{"publicKey", "assertionMethod"} {
		for _, k := range o.keys(name) {
			if k.Owner != "" && k.Owner != o.ID() || k.ID != "" && !SameOrigin(k.ID, o.ID()) {
				return &Error{Reason: KeyOwner, Where: "/" + name}
			}
		}
	}
	return nil
}

// Inbox gives the address of the actor's inbox.
func (o *Object) Inbox() string { return o.Ref("inbox") }

// Outbox gives the id of the actor's outbox.
func (o *Object) Outbox() string { return o.Ref("outbox") }

// Followers gives the id of the collection of followers.
func (o *Object) Followers() string { return o.Ref("followers") }

// Following gives the id of the collection of those that the actor follows.
func (o *Object) Following() string { return o.Ref("following") }

// Featured gives the id of the collection of pinned posts.
func (o *Object) Featured() string { return o.Ref("featured") }

// SharedInbox gives the shared inbox of the actor's server; empty if it has none.
func (o *Object) SharedInbox() string {
	if p := o.Part("endpoints"); p != nil {
		return p.Ref("sharedInbox")
	}
	return o.Ref("sharedInbox")
}

// PreferredUsername gives the name of the handle, without host.
func (o *Object) PreferredUsername() string { return o.Text("preferredUsername") }

// WebFinger gives the handle user@host as the actor tells it (FEP-2c59), to be verified like any.
func (o *Object) WebFinger() string { return o.Text("webfinger") }

// MovedTo gives the id of the actor that this one moved to (FEP-7628).
func (o *Object) MovedTo() string { return o.Ref("movedTo") }

// AlsoKnownAs gives the ids that are the same actor by its own word.
func (o *Object) AlsoKnownAs() []string { return o.Refs("alsoKnownAs") }

// ManuallyApprovesFollowers reports whether the actor is locked.
func (o *Object) ManuallyApprovesFollowers() bool { return o.Bool("manuallyApprovesFollowers") }

// Rule is one line of an interaction policy: who may do it at once, and who may ask.
type Rule struct {
	Automatic []string
	Manual    []string
	Told      bool // the policy has the line at all
}

// InteractionPolicy gives what canLike, canReply, canAnnounce or canQuote says; the words of GoToSocial's older form are read too.
func (o *Object) InteractionPolicy(name string) Rule {
	p := o.Part("interactionPolicy")
	if p == nil {
		return Rule{}
	}
	if p = p.Part(name); p == nil {
		return Rule{}
	}
	return Rule{Told: true, Automatic: append(p.Refs("automaticApproval"), p.Refs("always")...),
		Manual: append(p.Refs("manualApproval"), p.Refs("approvalRequired")...)}
}

// Everybody reports whether everybody may do it without asking. Without a policy nobody said so.
func (r Rule) Everybody() bool {
	for _, id := range r.Automatic {
		if IsPublic(id) {
			return true
		}
	}
	return false
}
