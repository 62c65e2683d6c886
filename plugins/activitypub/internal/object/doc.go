// Package object reads and writes ActivityStreams documents.
//
// Documents are taken as JSON with compact names, as every server of the fediverse takes them: nothing is expanded, and no context is
// ever loaded. Reading is strict where a second reader might see something else (keys given twice or equal but for case, two types
// that contradict, both id and @id) and bounded (bytes, depth, list lengths, values), and it is lenient where servers differ: one
// value or a list of it, an id or an embedded object, null or nothing. Every member is kept, known or not, and written again.
//
// The vocabulary is that of go-fed/activity: Object.Vocab gives its typed value of a document, and FromVocab makes a document of a
// typed value, supplied with what go-fed loses.
package object

import "fmt"

// Reason says why a document is refused; it is fit for a counter's label.
type Reason string

// Reasons to refuse a document.
const (
	TooLarge    Reason = "too_large"           // more bytes than Limits.Size
	NotJSON     Reason = "not_json"            // no JSON text as of RFC 8259, or not UTF-8
	NotObject   Reason = "not_an_object"       // JSON, but no object
	TooDeep     Reason = "too_deep"            // nested deeper than Limits.Depth
	TooMany     Reason = "too_many_values"     // more values than Limits.Values
	ListTooLong Reason = "list_too_long"       // a list longer than Limits.List, or than its property may be
	TextTooLong Reason = "text_too_long"       // a text longer than its property may be
	Duplicate   Reason = "duplicate_key"       // the same member twice
	Folded      Reason = "folded_key"          // a member that equals another, or a known one, but for case
	TwoIDs      Reason = "two_ids"             // both id and @id, or both type and @type
	BadID       Reason = "bad_id"              // id is no absolute http or https URL
	NoID        Reason = "no_id"               // an id is needed and missing
	NoType      Reason = "no_type"             // no type at all where one is needed
	TwoTypes    Reason = "contradicting_types" // types of which one excludes the other
	GraphForm   Reason = "graph_form"          // @graph, @included or @reverse, which compact readers do not see
	NoActor     Reason = "no_actor"            // an activity without actor
	ManyActors  Reason = "several_actors"      // an activity of several actors
	ActorOrigin Reason = "actor_origin"        // the id of the activity is of another origin than its actor
	ObjectOwner Reason = "object_owner"        // the object is not the actor's
	KeyOwner    Reason = "key_owner"           // a key that names another owner, or is of another origin
)

// Error says why a document was refused and where.
type Error struct {
	Reason Reason
	Where  string // JSON pointer; empty = the document as a whole
}

// Error implements error.
func (e *Error) Error() string {
	if e.Where == "" {
		return "activitystreams document: " + string(e.Reason)
	}
	return fmt.Sprintf("activitystreams document: %s at %s", e.Reason, e.Where)
}

// Is lets errors.Is compare the reason: a target without Where matches every place.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason && (t.Where == "" || t.Where == e.Where)
}

// Limits bound what is read. Zero values mean the defaults.
type Limits struct {
	Size   int // bytes; default 1 MiB
	Depth  int // objects and lists inside of one another; default 32
	List   int // members of a list; default 4096
	Values int // values in all; default 65536
}

func (l Limits) filled() Limits {
	if l.Size <= 0 {
		l.Size = 1 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 32
	}
	if l.List <= 0 {
		l.List = 4096
	}
	if l.Values <= 0 {
		l.Values = 65536
	}
	return l
}
