package itest

import "encoding/json"

// Event is what a [Client] saw: the facts of one stanza, or a change of its connection. Facts that a stanza does not have are
// zero.
type Event struct {
	Kind string `json:"kind"` // "message", "presence", "iq", "ready", "failed" or "disconnected"
	Type string `json:"type"` // type attribute of the stanza
	From string `json:"from"`
	To   string `json:"to"`
	Room string `json:"room"` // bare part of From
	Nick string `json:"nick"` // resource part of From
	ID   string `json:"id"`
	XML  string `json:"xml"` // the whole stanza

	Body        string     `json:"body"`
	HasBody     bool       `json:"has_body"`
	Lang        string     `json:"lang"`
	Subject     bool       `json:"subject"` // has a subject element
	SubjectText string     `json:"subject_text"`
	Thread      string     `json:"thread"`
	StanzaID    string     `json:"stanza_id"`   // XEP-0359, as assigned by Room
	StanzaIDs   []StanzaID `json:"stanza_ids"`  // XEP-0359, all of them
	OriginID    string     `json:"origin_id"`   // XEP-0359
	OccupantID  string     `json:"occupant_id"` // XEP-0421
	Delayed     bool       `json:"delayed"`     // XEP-0203, as history of a room has it

	Replace     string      `json:"replace"`      // XEP-0308, id of the corrected message
	Retract     *Retraction `json:"retract"`      // XEP-0424
	Moderated   *Moderation `json:"moderated"`    // XEP-0425
	Reply       *Reply      `json:"reply"`        // XEP-0461
	Fallbacks   []Fallback  `json:"fallbacks"`    // XEP-0428
	Reactions   *Reactions  `json:"reactions"`    // XEP-0444
	Receipt     string      `json:"receipt"`      // XEP-0184, id of the received message
	AsksReceipt bool        `json:"asks_receipt"` // XEP-0184
	Markable    bool        `json:"markable"`     // XEP-0333
	Marker      *Marker     `json:"marker"`       // XEP-0333
	State       string      `json:"state"`        // XEP-0085
	Hints       []string    `json:"hints"`        // XEP-0334
	OOB         string      `json:"oob"`          // XEP-0066
	Files       []File      `json:"files"`        // XEP-0447
	Spoiler     bool        `json:"spoiler"`      // XEP-0382
	SpoilerHint string      `json:"spoiler_hint"` // XEP-0382
	XHTML       string      `json:"xhtml"`        // XEP-0071, the html element
	References  []Reference `json:"references"`   // XEP-0372
	Encryption  string      `json:"encryption"`   // XEP-0380, namespace
	Nickname    string      `json:"nickname"`     // XEP-0172
	Invitation  *Invitation `json:"invitation"`   // XEP-0045 §7.8, XEP-0249
	MUCUser     bool        `json:"muc_user"`     // message with an x element of muc#user, as private messages have it
	PubSub      *NodeEvent  `json:"pubsub"`       // XEP-0060

	Carbon   string    `json:"carbon"`   // XEP-0280: "sent" or "received"; Inner is the copied message
	Archived *Position `json:"archived"` // XEP-0313; Inner is the archived message
	Inner    *Event    `json:"inner"`
	Stamp    string    `json:"stamp"` // of an Inner: when the message was sent

	Show       string    `json:"show"`        // of a presence
	StatusText string    `json:"status_text"` // of a presence
	Priority   int       `json:"priority"`    // of a presence
	HasPhoto   bool      `json:"has_photo"`   // XEP-0153, has a photo element, which may be empty
	Photo      string    `json:"photo"`       // XEP-0153, SHA-1
	Caps       *Caps     `json:"caps"`        // XEP-0115
	Status     []string  `json:"status"`      // XEP-0045 §15.6 status codes
	Occupant   *Occupant `json:"occupant"`    // XEP-0045
	Destroyed  *Destroy  `json:"destroyed"`   // XEP-0045 §10.9

	Refusal *Refusal `json:"refusal"` // of a stanza of type error
	Error   string   `json:"error"`   // why a connection failed or ended

	Call   int             `json:"call"`   // of an answer to a call
	Result json.RawMessage `json:"result"` // of an answer to a call
}

// StanzaID is an id that an entity has given to a message (XEP-0359).
type StanzaID struct {
	ID string `json:"id"`
	By string `json:"by"`
}

// Retraction takes a message back. XEP-0424.
type Retraction struct {
	ID      string `json:"id"`
	Version string `json:"version"` // of the namespace: "0" or "1"
	Reason  string `json:"reason"`
}

// Moderation says that a moderator took a message back. XEP-0425.
type Moderation struct {
	ID      string `json:"id"`
	By      string `json:"by"`
	Reason  string `json:"reason"`
	Version string `json:"version"` // of the namespace: "0" or "1"
}

// Reply says to which message a message answers. XEP-0461.
type Reply struct {
	ID string `json:"id"`
	To string `json:"to"`
}

// Fallback is a part of the body that is there for clients without the feature For. XEP-0428.
type Fallback struct {
	For   string `json:"for"`
	Start int    `json:"start"`
	End   int    `json:"end"`
	Whole bool   `json:"whole"` // the whole body; Start and End are not used
}

// Reactions is the complete set of reactions of the sender to a message. XEP-0444.
type Reactions struct {
	ID     string   `json:"id"`
	Emojis []string `json:"emojis"`
}

// Marker is a chat marker. XEP-0333.
type Marker struct {
	Name string `json:"name"` // "received", "displayed" or "acknowledged"
	ID   string `json:"id"`
}

// File is a file that is shared by stateless file sharing. XEP-0447, XEP-0446.
type File struct {
	Name        string            `json:"name,omitempty"`
	MediaType   string            `json:"media_type,omitempty"`
	Size        int               `json:"size,omitempty"`
	Width       int               `json:"width,omitempty"`
	Height      int               `json:"height,omitempty"`
	Desc        string            `json:"desc,omitempty"`
	Disposition string            `json:"disposition,omitempty"`
	Hashes      map[string]string `json:"hashes,omitempty"` // algorithm to base64
	URLs        []string          `json:"urls,omitempty"`
}

// Reference points at something, such as a person (type "mention"). XEP-0372.
type Reference struct {
	Type  string `json:"type"`
	URI   string `json:"uri"`
	Begin int    `json:"begin"`
	End   int    `json:"end"`
}

// Invitation asks somebody into a room.
type Invitation struct {
	Kind     string `json:"kind"` // "invite" or "decline" through the room, or "direct"
	Room     string `json:"room"`
	From     string `json:"from"`
	To       string `json:"to"`
	Reason   string `json:"reason"`
	Password string `json:"password"`
}

// NodeEvent is what a node announces. XEP-0060 §12.8.
type NodeEvent struct {
	Node      string   `json:"node"`
	What      string   `json:"what"` // "items", "purge", "delete", "configuration" or "subscription"
	Items     []Item   `json:"items"`
	Retracted []string `json:"retracted"`
}

// Item is an item of a node.
type Item struct {
	ID        string `json:"id"`
	Publisher string `json:"publisher"`
	XML       string `json:"xml"` // payload
}

// Position says where in an archive a message is. XEP-0313.
type Position struct {
	ID    string `json:"id"`
	Query string `json:"query"`
}

// Caps are the entity capabilities of a presence. XEP-0115.
type Caps struct {
	Node string `json:"node"`
	Ver  string `json:"ver"`
	Hash string `json:"hash"`
}

// Occupant is what a room says of an occupant. XEP-0045.
type Occupant struct {
	Affiliation string `json:"affiliation"`
	Role        string `json:"role"`
	JID         string `json:"jid"`  // real address, where the room shows it
	Nick        string `json:"nick"` // new nick in a change of nick
	Reason      string `json:"reason"`
	Actor       string `json:"actor"`
}

// Destroy says that a room is no more.
type Destroy struct {
	JID    string `json:"jid"` // the room to go to instead
	Reason string `json:"reason"`
}

// Refusal is a stanza error. RFC 6120 §8.3. It implements error.
type Refusal struct {
	Type      string   `json:"type"`
	By        string   `json:"by"`
	Condition string   `json:"condition"`
	Text      string   `json:"text"`
	Specific  []string `json:"specific"` // application-specific conditions, as "{namespace}name"
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Text == "" {
		return r.Type + " " + r.Condition
	}
	return r.Type + " " + r.Condition + ": " + r.Text
}

// HasStatus reports whether the stanza has a status code of a room.
func (e Event) HasStatus(code string) bool {
	for _, s := range e.Status {
		if s == code {
			return true
		}
	}
	return false
}
