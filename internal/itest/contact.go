package itest

import (
	"encoding/base64"
	"strings"
)

// Presence is what a client can send as presence. The zero value is available, to all who may see it.
type Presence struct {
	To       string  `json:"to,omitempty"`
	Type     string  `json:"type,omitempty"` // "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"
	Show     string  `json:"show,omitempty"` // "away", "chat", "dnd" or "xa"
	Status   string  `json:"status,omitempty"`
	Nickname string  `json:"nickname,omitempty"` // XEP-0172
	Photo    *string `json:"photo,omitempty"`    // XEP-0153: SHA-1 of the avatar; empty: there is none
}

// SendPresence sends presence. It does not wait.
func (c *Client) SendPresence(p Presence) {
	c.t.Helper()
	c.sendOp("presence", p)
}

// Subscribe asks for the presence of an address (RFC 6121 §3.1). It does not wait for the answer.
func (c *Client) Subscribe(jid string) {
	c.t.Helper()
	c.SendPresence(Presence{To: jid, Type: "subscribe"})
}

// Approve lets an address see this client's presence (RFC 6121 §3.1.4), which no client here does of itself.
func (c *Client) Approve(jid string) {
	c.t.Helper()
	c.SendPresence(Presence{To: jid, Type: "subscribed"})
}

// WaitPresence returns the next presence of the type from the bare or full address; "" is available.
func (c *Client) WaitPresence(from, kind string) Event {
	c.t.Helper()
	return c.Wait("presence "+kind+" from "+from, func(e Event) bool {
		return e.Kind == "presence" && (e.Room == from || e.From == from) && e.Type == kind
	})
}

// Contact is an entry of a roster. RFC 6121 §2.1.
type Contact struct {
	JID          string   `json:"jid"`
	Name         string   `json:"name"`
	Subscription string   `json:"subscription"` // "none", "to", "from" or "both"
	Ask          string   `json:"ask"`
	Groups       []string `json:"groups"`
}

// Roster returns the roster by bare address.
func (c *Client) Roster() map[string]Contact {
	c.t.Helper()
	var list []Contact
	c.must("roster", c.call("roster", nil, &list))
	roster := map[string]Contact{}
	for _, contact := range list {
		roster[contact.JID] = contact
	}
	return roster
}

// SetContact adds or changes an entry of the roster. Subscription "remove" removes it.
func (c *Client) SetContact(contact Contact) {
	c.t.Helper()
	a := args{"jid": contact.JID, "name": contact.Name, "groups": contact.Groups}
	if contact.Subscription == "remove" {
		a["subscription"] = "remove"
	}
	c.must("roster set", c.call("roster_set", a, nil))
}

// SetCarbons switches copies of the other sessions' messages (XEP-0280) on or off.
func (c *Client) SetCarbons(on bool) {
	c.t.Helper()
	c.must("carbons", c.call("carbons", args{"on": on}, nil))
}

// VCard is a person's profile, as XEP-0054 or XEP-0292 carries it.
type VCard struct {
	Name      string `json:"name"`
	Nickname  string `json:"nickname"`
	Desc      string `json:"desc"`
	URL       string `json:"url"`
	JabberID  string `json:"jabber_id"`
	PhotoType string `json:"photo_type"` // of a vCard-temp
	Photo     []byte `json:"photo"`      // of a vCard-temp
	PhotoSHA1 string `json:"photo_sha1"` // of a vCard-temp, hexadecimal
	XML       string `json:"xml"`
}

// VCard returns the vCard-temp of an address (XEP-0054). A refusal is a *Refusal in the error.
func (c *Client) VCard(jid string) (VCard, error) {
	c.t.Helper()
	var v VCard
	err := c.call("vcard", args{"to": jid}, &v)
	return v, err
}

// SetVCard publishes the own vCard-temp, or with to that of a room (XEP-0486).
func (c *Client) SetVCard(to string, v VCard) {
	c.t.Helper()
	a := args{"to": to, "name": v.Name, "nickname": v.Nickname, "desc": v.Desc, "url": v.URL}
	if len(v.Photo) > 0 {
		a["photo"], a["photo_type"] = base64.StdEncoding.EncodeToString(v.Photo), v.PhotoType
	}
	c.must("vcard set", c.call("vcard_set", a, nil))
}

// VCard4 asks an address for its vCard4 directly (XEP-0292 §5), or its node urn:xmpp:vcard4 if node is set.
func (c *Client) VCard4(jid string, node bool) (VCard, error) {
	c.t.Helper()
	var v VCard
	err := c.call("vcard4", args{"to": jid, "node": node}, &v)
	return v, err
}

// SetVCard4 publishes the own vCard4 on its open node.
func (c *Client) SetVCard4(v VCard) {
	c.t.Helper()
	a := args{"name": v.Name, "nickname": v.Nickname, "desc": v.Desc, "url": v.URL}
	c.must("vcard4 set", c.call("vcard4_set", a, nil))
}

// Avatar is a picture of a person. XEP-0084.
type Avatar struct {
	ID    string `json:"id"`   // SHA-1 that the metadata states
	Type  string `json:"type"` // media type
	Bytes int    `json:"bytes"`
	Data  []byte `json:"data"`
	SHA1  string `json:"sha1"` // of Data
}

// SetAvatar publishes the own avatar on open nodes and returns its id (XEP-0084).
func (c *Client) SetAvatar(mediaType string, data []byte) string {
	c.t.Helper()
	var id string
	c.must("avatar set", c.call("avatar_set", args{"type": mediaType, "data": base64.StdEncoding.EncodeToString(data)}, &id))
	return id
}

// Avatar fetches metadata and data of an address. An Avatar without ID is none.
func (c *Client) Avatar(jid string) (Avatar, error) {
	c.t.Helper()
	var a Avatar
	err := c.call("avatar_get", args{"to": jid}, &a)
	return a, err
}

// SetNickname publishes the own nickname (XEP-0172).
func (c *Client) SetNickname(nickname string) {
	c.t.Helper()
	c.must("nickname", c.call("nick_set", args{"nickname": nickname}, nil))
}

// Report is why somebody is blocked. XEP-0377.
type Report struct {
	Reason  string // "urn:xmpp:reporting:spam" or "urn:xmpp:reporting:abuse"
	Text    string
	Stanzas []StanzaID
}

// Block blocks an address (XEP-0191), with a report if it is not nil.
func (c *Client) Block(jid string, report *Report) {
	c.t.Helper()
	a := args{"action": "block", "jids": []string{jid}}
	if report != nil {
		a["report"], a["text"], a["stanzas"] = report.Reason, report.Text, report.Stanzas
	}
	c.must("block", c.call("block", a, nil))
}

// Unblock takes an address from the block list.
func (c *Client) Unblock(jid string) {
	c.t.Helper()
	c.must("unblock", c.call("block", args{"action": "unblock", "jids": []string{jid}}, nil))
}

// Blocked returns the block list.
func (c *Client) Blocked() []string {
	c.t.Helper()
	var list []string
	c.must("block list", c.call("blocked", nil, &list))
	return list
}

// Bare is the client's bare address.
func (c *Client) Bare() string {
	bare, _, _ := strings.Cut(c.JID, "/")
	return bare
}

// Domain is the domain of the client's server.
func (c *Client) Domain() string {
	_, domain, _ := strings.Cut(c.Bare(), "@")
	return domain
}
