package itest

import "bytes"

// Join enters the room without history and returns once the room has confirmed it (status 110, XEP-0045 §7.2.2).
func (c *Client) Join(room, nick string) Event {
	c.t.Helper()
	e := c.TryJoin(room, nick, "")
	if e.Type == "error" {
		c.t.Fatalf("%s: join %s as %s: %s", c.JID, room, nick, e.XML)
	}
	return e
}

// TryJoin is Join with a password, if not empty, and returns the room's answer also when that is an error presence.
func (c *Client) TryJoin(room, nick, password string) Event {
	c.t.Helper()
	c.send(map[string]any{"op": "join", "room": room, "nick": nick, "password": password, "history": 0})
	return c.Wait("entry to "+room, func(e Event) bool {
		return e.Kind == "presence" && e.Room == room && (e.Type == "error" || e.HasStatus("110"))
	})
}

// Leave leaves the room and returns once the room has confirmed it.
func (c *Client) Leave(room, nick string) {
	c.t.Helper()
	c.send(map[string]any{"op": "leave", "room": room, "nick": nick})
	c.Wait("exit from "+room, func(e Event) bool {
		return e.Kind == "presence" && e.Room == room && e.Type == "unavailable" && e.HasStatus("110")
	})
}

// ConfigureRoom sets fields of the room's configuration form as its owner, such as "muc#roomconfig_membersonly": "1".
// XEP-0045 §10.2.
func (c *Client) ConfigureRoom(room string, fields map[string]string) {
	c.t.Helper()
	var form bytes.Buffer
	form.WriteString("<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" +
		"<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>")
	for name, value := range fields {
		form.WriteString("<field var='" + escape(name) + "'><value>" + escape(value) + "</value></field>")
	}
	form.WriteString("</x></query>")
	if e := c.IQ("set", room, form.String()); e.Type != "result" {
		c.t.Fatalf("%s: configure %s: %s", c.JID, room, e.XML)
	}
}

// SetSubject changes the subject of a room (XEP-0045 §8.1) and returns the message's id.
func (c *Client) SetSubject(room, subject string) string {
	c.t.Helper()
	id := c.newID()
	c.send(map[string]any{"op": "subject", "to": room, "subject": subject, "id": id})
	return id
}

// Invite asks somebody into a room, through the room (XEP-0045 §7.8.2) or directly (XEP-0249).
func (c *Client) Invite(room, to, reason string, direct bool) {
	c.t.Helper()
	c.send(map[string]any{"op": "invite", "room": room, "to": to, "reason": reason, "direct": direct})
}

// SendPrivate sends a private message to an occupant (XEP-0045 §7.5) and returns its id.
func (c *Client) SendPrivate(room, nick, body string) string {
	c.t.Helper()
	return c.SendMessage(Message{
		To: room + "/" + nick, Body: body, Extra: "<x xmlns='http://jabber.org/protocol/muc#user'/>",
	})
}

// ChangeNick takes another nick in a room (XEP-0045 §7.6). It does not wait.
func (c *Client) ChangeNick(room, nick string) {
	c.t.Helper()
	c.SendPresence(Presence{To: room + "/" + nick})
}

// SetAffiliation changes the affiliation of an address in a room (XEP-0045 §9 and §10): "outcast" bans.
func (c *Client) SetAffiliation(room, jid, affiliation, reason string) error {
	c.t.Helper()
	return c.call("occupant_set", args{"room": room, "jid": jid, "affiliation": affiliation, "reason": reason}, nil)
}

// SetRole changes the role of an occupant (XEP-0045 §8 and §9): "none" kicks.
func (c *Client) SetRole(room, nick, role, reason string) error {
	c.t.Helper()
	return c.call("occupant_set", args{"room": room, "nick": nick, "role": role, "reason": reason}, nil)
}

// Affiliated returns the addresses that have the affiliation in a room.
func (c *Client) Affiliated(room, affiliation string) ([]string, error) {
	c.t.Helper()
	var list []struct {
		JID string `json:"jid"`
	}
	err := c.call("affiliations", args{"room": room, "affiliation": affiliation}, &list)
	jids := make([]string, len(list))
	for i, item := range list {
		jids[i] = item.JID
	}
	return jids, err
}

// Moderate takes back somebody's message in a room as its moderator (XEP-0425): id is its stanza-id, version that of the
// namespace, "0" or "1".
func (c *Client) Moderate(room, id, reason, version string) error {
	c.t.Helper()
	return c.call("moderate", args{"room": room, "id": id, "reason": reason, "version": version}, nil)
}

// RoomConfig returns the configuration form of a room, for its owner.
func (c *Client) RoomConfig(room string) (Form, error) {
	c.t.Helper()
	var f Form
	err := c.call("room_config", args{"room": room}, &f)
	return f, err
}

// DestroyRoom ends a room (XEP-0045 §10.9); instead may name another one.
func (c *Client) DestroyRoom(room, instead, reason string) error {
	c.t.Helper()
	return c.call("room_destroy", args{"room": room, "jid": instead, "reason": reason}, nil)
}
