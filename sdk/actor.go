package sdk

// ActorKind says what acts.
type ActorKind uint8

// Kinds of actor.
const (
	ActorPerson ActorKind = iota
	ActorBot
	ActorGroup
	ActorService
)

// Consent says whether an actor lets itself be bridged.
type Consent uint8

// States of consent. An opted-out actor (#nobridge, #nobot) is never bridged.
const (
	ConsentUnknown Consent = iota
	ConsentGiven
	ConsentRefused
)

// Actor is who acts, as its home network authenticated it.
type Actor struct {
	ID      ActorID // minted by the host; empty when published
	Kind    ActorKind
	Home    Ref    // the actor's own address; a link may only name its own
	Handle  string // as people of its home network write it: @bob@example.org, romeo@example.net
	Name    string // display name; plain text, may be empty
	Profile string // URL of a page for people
	Summary *Text
	Avatar  *Media
	Consent Consent
	// Puppet is the actor's appearance at the link that a delivery goes to;
	// empty when it has none yet. A link reports a new one in its Receipt.
	Puppet RemoteID
}

// DisplayName gives the name to show: Name, else Handle, else the home id.
func (a Actor) DisplayName() string {
	switch {
	case a.Name != "":
		return a.Name
	case a.Handle != "":
		return a.Handle
	default:
		return string(a.Home.ID)
	}
}
