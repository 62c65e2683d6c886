package itest

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Archived is one message of a room's archive.
type Archived struct {
	ID   string // of the archive, which is the stanza-id of the live message
	From string // occupant
	Nick string
	Body string
	XML  string // the result message as the server sent it
}

// mamPage is how many messages one query asks for.
const mamPage = 100

// mamResult is the result message of an archive. XEP-0313 §4.2.
type mamResult struct {
	Result *struct {
		QueryID   string `xml:"queryid,attr"`
		ID        string `xml:"id,attr"`
		Forwarded struct {
			Message struct {
				From string `xml:"from,attr"`
				Body string `xml:"body"`
			} `xml:"message"`
		} `xml:"urn:xmpp:forward:0 forwarded"`
	} `xml:"urn:xmpp:mam:2 result"`
}

// mamFin ends a page. XEP-0313 §4.2, XEP-0059.
type mamFin struct {
	Fin struct {
		Complete bool   `xml:"complete,attr"`
		Last     string `xml:"http://jabber.org/protocol/rsm set>last"`
	} `xml:"urn:xmpp:mam:2 fin"`
}

// Archive returns all messages with a body in the archive of a room, oldest first (XEP-0313).
func (c *Client) Archive(room string) []Archived {
	c.t.Helper()
	var list []Archived
	after := ""
	for {
		page, fin := c.archivePage(room, after)
		list = append(list, page...)
		if fin.Fin.Complete || fin.Fin.Last == "" {
			return list
		}
		after = fin.Fin.Last
	}
}

func (c *Client) archivePage(room, after string) ([]Archived, mamFin) {
	c.t.Helper()
	id := c.newID()
	position := ""
	if after != "" {
		position = "<after>" + escape(after) + "</after>"
	}
	c.SendRaw(fmt.Sprintf("<iq type='set' id='%s' to='%s'><query xmlns='urn:xmpp:mam:2' queryid='%s'>"+
		"<set xmlns='http://jabber.org/protocol/rsm'><max>%d</max>%s</set></query></iq>",
		id, escape(room), id, mamPage, position))
	var page []Archived
	answer := c.Wait("archive of "+room, func(e Event) bool {
		if a, ok := archived(e, id); ok && a.Body != "" {
			page = append(page, a)
		}
		return e.Kind == "iq" && e.ID == id
	})
	var fin mamFin
	if err := xml.Unmarshal([]byte(answer.XML), &fin); err != nil || answer.Type != "result" {
		c.t.Fatalf("%s: archive of %s: %v: %s", c.JID, room, err, answer.XML)
	}
	return slices.Clip(page), fin
}

// archived reads a result message of the query.
func archived(e Event, query string) (Archived, bool) {
	if e.Kind != "message" || !strings.Contains(e.XML, "urn:xmpp:mam:2") {
		return Archived{}, false
	}
	var m mamResult
	if err := xml.Unmarshal([]byte(e.XML), &m); err != nil || m.Result == nil || m.Result.QueryID != query {
		return Archived{}, false
	}
	message := m.Result.Forwarded.Message
	_, nick, _ := strings.Cut(message.From, "/")
	return Archived{ID: m.Result.ID, From: message.From, Nick: nick, Body: message.Body, XML: e.XML}, true
}
