package muc

import (
	"context"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces of bookmarks (XEP-0402).
const (
	NSBookmarks = "urn:xmpp:bookmarks:1"
	nsPubSub    = "http://jabber.org/protocol/pubsub"
)

// bookmark notes the room among the account's bookmarks, once for each stream. One
// that is there already is left as it is, whoever made it. What goes wrong here
// does not concern the room.
func (r *Room) bookmark(ctx context.Context) {
	r.mu.Lock()
	due := r.o.Bookmark && r.bookmarked != r.epoch+1 && r.bot.phase == in
	nick, title := r.bot.nick, r.title
	if due {
		r.bookmarked = r.epoch + 1
	}
	r.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Settle)
	defer cancel()
	ask, err := new(xmltok.Writer).Start(nsPubSub, "pubsub").Start(nsPubSub, "items", xmltok.A("node", NSBookmarks)).
		Start(nsPubSub, "item", xmltok.A("id", r.o.JID)).Element()
	if err != nil {
		return
	}
	if answer, err := r.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{Type: "get"}, Payload: ask}); err == nil {
		items, _ := answer.Payload.Child(nsPubSub, "items")
		if _, there := items.Child(nsPubSub, "item"); there {
			return
		}
	}
	publish, err := bookmarkOf(r.o.JID, title, nick)
	if err == nil {
		_, err = r.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{Type: "set"}, Payload: publish})
	}
	if err != nil {
		r.o.Log.Info("room not noted among the bookmarks", "error", err)
	}
}

// bookmarkOf writes the request (XEP-0402 §4.1), which keeps the node private.
func bookmarkOf(room, title, nick string) (xmltok.Element, error) {
	var w xmltok.Writer
	w.Start(nsPubSub, "pubsub")
	w.Start(nsPubSub, "publish", xmltok.A("node", NSBookmarks)).Start(nsPubSub, "item", xmltok.A("id", room))
	if title == "" {
		w.Start(NSBookmarks, "conference", xmltok.A("autojoin", "true"))
	} else {
		w.Start(NSBookmarks, "conference", xmltok.A("autojoin", "true"), xmltok.A("name", title))
	}
	w.Start(NSBookmarks, "nick").Text(nick).End().End().End().End()
	w.Start(nsPubSub, "publish-options")
	w.Start("jabber:x:data", "x", xmltok.A("type", "submit"))
	for _, field := range [][2]string{
		{"FORM_TYPE", nsPubSub + "#publish-options"}, {"pubsub#persist_items", "true"}, {"pubsub#max_items", "max"},
		{"pubsub#send_last_published_item", "never"}, {"pubsub#access_model", "whitelist"},
	} {
		w.Start("jabber:x:data", "field", xmltok.A("var", field[0]))
		w.Start("jabber:x:data", "value").Text(field[1]).End().End()
	}
	return w.Element()
}
