package itest

import "encoding/json"

// Message is what a client can send. Only To is needed.
type Message struct {
	To   string `json:"to"`
	Type string `json:"type,omitempty"` // default "chat"
	ID   string `json:"id"`             // default a new one
	Body string `json:"body,omitempty"`
	Lang string `json:"lang,omitempty"`

	Thread   string `json:"thread,omitempty"`
	OriginID string `json:"origin_id,omitempty"` // XEP-0359; default ID where there is a Body
	// NoOriginID leaves the origin-id out.
	NoOriginID bool `json:"-"`

	Replace    string `json:"replace,omitempty"`     // XEP-0308: id of the message that Body corrects
	Retract    string `json:"retract,omitempty"`     // XEP-0424 version 1: id of the message to take back
	RetractOld string `json:"retract_old,omitempty"` // the same in version 0, over XEP-0422

	ReplyToID string `json:"reply_to_id,omitempty"` // XEP-0461: id of the message that this one answers
	ReplyTo   string `json:"reply_to,omitempty"`    // its sender
	Quote     string `json:"quote,omitempty"`       // its text, quoted before Body and marked as fallback (XEP-0428)

	ReactTo   string   `json:"react_to,omitempty"`  // XEP-0444: id of the message to react to
	Reactions []string `json:"reactions,omitempty"` // complete set

	AskReceipt bool     `json:"ask_receipt,omitempty"` // XEP-0184
	Receipt    string   `json:"receipt,omitempty"`     // XEP-0184: id of the message that has arrived
	Markable   bool     `json:"markable,omitempty"`    // XEP-0333
	Marker     string   `json:"marker,omitempty"`      // XEP-0333: "received", "displayed" or "acknowledged"
	MarkerID   string   `json:"marker_id,omitempty"`
	State      string   `json:"state,omitempty"` // XEP-0085
	Hints      []string `json:"hints,omitempty"` // XEP-0334

	OOB         string      `json:"oob,omitempty"`     // XEP-0066
	Files       []File      `json:"files,omitempty"`   // XEP-0447
	Spoiler     bool        `json:"spoiler,omitempty"` // XEP-0382
	SpoilerHint string      `json:"spoiler_hint,omitempty"`
	XHTML       string      `json:"xhtml,omitempty"` // XEP-0071: content of the body element
	References  []Reference `json:"references,omitempty"`
	// Encryption is the namespace of an encrypted element that nobody can read, marked by XEP-0380. Body is its fallback.
	Encryption string `json:"encryption,omitempty"`

	Extra string `json:"extra,omitempty"` // more child elements, in the default namespace jabber:client
}

// OMEMO is the namespace of the encryption that most clients use.
const OMEMO = "eu.siacs.conversations.axolotl"

// SendMessage sends a message and returns its id. It does not wait.
func (c *Client) SendMessage(m Message) string {
	c.t.Helper()
	if m.ID == "" {
		m.ID = c.newID()
	}
	if m.OriginID == "" && m.Body != "" && !m.NoOriginID {
		m.OriginID = m.ID
	}
	c.sendOp("message", m)
	return m.ID
}

// sendOp hands the program a command whose arguments are a struct.
func (c *Client) sendOp(op string, arguments any) {
	c.t.Helper()
	text, err := json.Marshal(arguments)
	command := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &command)
	}
	if err != nil {
		c.t.Fatalf("%s: encode %s: %v", c.JID, op, err)
	}
	command["op"] = op
	c.send(command)
}

// SendGroupchat sends a message to a room and returns its id. It does not wait for the reflection.
func (c *Client) SendGroupchat(room, body string) string {
	c.t.Helper()
	return c.SendMessage(Message{To: room, Type: "groupchat", Body: body, NoOriginID: true})
}

// SendChat sends a message to an address and returns its id.
func (c *Client) SendChat(to, body string) string {
	c.t.Helper()
	return c.SendMessage(Message{To: to, Body: body, NoOriginID: true})
}

// Correct replaces the text of an own message (XEP-0308) and returns the id of the correction.
func (c *Client) Correct(to, id, body string) string {
	c.t.Helper()
	return c.SendMessage(Message{To: to, Body: body, Replace: id})
}

// Retract takes back an own message (XEP-0424). Its body is what clients without retraction show, marked as fallback.
func (c *Client) Retract(to, id string) string {
	c.t.Helper()
	return c.SendMessage(Message{
		To: to, Retract: id, Body: "/me retracted a previous message, but this client cannot show that.", Hints: []string{"store"},
	})
}

// Reply answers a message (XEP-0461) with a quote of it as fallback.
func (c *Client) Reply(to string, original Event, body string) string {
	c.t.Helper()
	return c.SendMessage(Message{To: to, Body: body, ReplyToID: original.ID, ReplyTo: original.From, Quote: original.Body})
}

// React sets the complete set of own reactions to a message (XEP-0444).
func (c *Client) React(to, id string, emojis ...string) string {
	c.t.Helper()
	return c.SendMessage(Message{To: to, ReactTo: id, Reactions: emojis, Hints: []string{"store"}})
}

// Received says that a message has arrived (XEP-0184).
func (c *Client) Received(to, id string) {
	c.t.Helper()
	c.SendMessage(Message{To: to, Receipt: id, Hints: []string{"store"}})
}

// Displayed says that a message was seen (XEP-0333).
func (c *Client) Displayed(to, id string) {
	c.t.Helper()
	c.SendMessage(Message{To: to, Marker: "displayed", MarkerID: id, Hints: []string{"store"}})
}

// SetState sends a chat state (XEP-0085), such as "composing".
func (c *Client) SetState(to, state string) {
	c.t.Helper()
	c.SendMessage(Message{To: to, State: state})
}

// ShareFile sends a file by stateless file sharing (XEP-0447) with its address as body and out-of-band data (XEP-0066), as
// people's clients do.
func (c *Client) ShareFile(to string, f File) string {
	c.t.Helper()
	m := Message{To: to, Files: []File{f}}
	if len(f.URLs) > 0 {
		m.Body, m.OOB = f.URLs[0], f.URLs[0]
		m.Extra = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
	}
	return c.SendMessage(m)
}

// WaitChat returns the next live message of type chat from the bare address from that has the body.
func (c *Client) WaitChat(from, body string) Event {
	c.t.Helper()
	return c.Wait("chat "+body+" from "+from, func(e Event) bool {
		return e.Kind == "message" && e.Type == "chat" && e.Room == from && e.Body == body && !e.Delayed
	})
}
