package object

// Public is the collection of everybody, as it is written (ActivityPub §5.6).
const Public = "https://www.w3.org/ns/activitystreams#Public"

// Class is a family of types that exclude one another.
type Class uint8

// Classes of types.
const (
	ClassUnknown Class = iota
	ClassActor
	ClassActivity
	ClassContent // Note, Article, Event, Place …
	ClassCollection
	ClassLink // Link, Mention, Hashtag
	ClassPart // Emoji, PropertyValue, keys: found in other objects
)

// classes holds every type that this package knows: those of the vocabulary of go-fed, and those that it lacks.
var classes = map[string]Class{
	"Person": ClassActor, "Service": ClassActor, "Group": ClassActor, "Application": ClassActor, "Organization": ClassActor,

	"Accept": ClassActivity, "Add": ClassActivity, "Announce": ClassActivity, "Arrive": ClassActivity, "Block": ClassActivity,
	"Create": ClassActivity, "Delete": ClassActivity, "Dislike": ClassActivity, "EmojiReact": ClassActivity, "Flag": ClassActivity,
	"Follow": ClassActivity, "Ignore": ClassActivity, "Invite": ClassActivity, "Join": ClassActivity, "Leave": ClassActivity,
	"Like": ClassActivity, "Listen": ClassActivity, "Lock": ClassActivity, "Move": ClassActivity, "Offer": ClassActivity,
	"Read": ClassActivity, "Reject": ClassActivity, "Remove": ClassActivity, "TentativeAccept": ClassActivity,
	"TentativeReject": ClassActivity, "Travel": ClassActivity, "Undo": ClassActivity, "Update": ClassActivity, "View": ClassActivity,
	"QuoteRequest": ClassActivity, "LikeRequest": ClassActivity, "ReplyRequest": ClassActivity, "AnnounceRequest": ClassActivity,
	"Activity": ClassActivity, "IntransitiveActivity": ClassActivity,

	"Article": ClassContent, "Audio": ClassContent, "ChatMessage": ClassContent, "Document": ClassContent, "Event": ClassContent,
	"Image": ClassContent, "Note": ClassContent, "Page": ClassContent, "Place": ClassContent, "Profile": ClassContent,
	"Question": ClassContent, "Relationship": ClassContent, "Tombstone": ClassContent, "Video": ClassContent,

	"Collection": ClassCollection, "OrderedCollection": ClassCollection, "CollectionPage": ClassCollection,
	"OrderedCollectionPage": ClassCollection,

	"Link": ClassLink, "Mention": ClassLink, "Hashtag": ClassLink,

	"Emoji": ClassPart, "PropertyValue": ClassPart, "Key": ClassPart, "CryptographicKey": ClassPart, "Multikey": ClassPart,
	"DataIntegrityProof": ClassPart, "RsaSignature2017": ClassPart, "QuoteAuthorization": ClassPart, "LikeAuthorization": ClassPart,
	"ReplyAuthorization": ClassPart, "AnnounceAuthorization": ClassPart, "PostalAddress": ClassPart, "VirtualLocation": ClassPart,
}

// ClassOf gives the class of a compact type name.
func ClassOf(name string) Class { return classes[name] }

// names are properties that must be spelled exactly: a reader that folds case would see others than one that does not.
var names = []string{
	"id", "type", "actor", "object", "target", "origin", "result", "instrument", "to", "cc", "bto", "bcc", "audience", "attributedTo",
	"inReplyTo", "content", "contentMap", "summary", "summaryMap", "name", "nameMap", "url", "href", "mediaType", "tag", "attachment",
	"published", "updated", "startTime", "endTime", "closed", "oneOf", "anyOf", "votersCount", "sensitive", "replies", "items",
	"orderedItems", "first", "next", "partOf", "inbox", "outbox", "followers", "following", "endpoints", "sharedInbox", "publicKey",
	"publicKeyPem", "publicKeyMultibase", "owner", "controller", "assertionMethod", "proof", "signature", "alsoKnownAs", "movedTo",
	"preferredUsername", "manuallyApprovesFollowers", "quote", "quoteUri", "quoteAuthorization", "interactionPolicy",
	"interactingObject", "interactionTarget", "formerType", "deleted", "context", "conversation", "icon", "image",
}

// foldedNames maps the folded spelling of names to the exact one.
var foldedNames = func() map[string]string {
	m := make(map[string]string, len(names)+2)
	for _, n := range append([]string{"@id", "@type", "@context", "@graph"}, names...) {
		m[fold(n)] = n
	}
	return m
}()
