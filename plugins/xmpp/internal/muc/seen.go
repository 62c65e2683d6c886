package muc

import (
	"strings"
	"unicode/utf8"

	"bridgehost/sdk"
)

// sight is a message that was seen in the room.
type sight struct {
	remote sdk.RemoteID // what the host knows it by
	author string       // identity of its sender
	joins  uint64       // which stay of the sender; 0 = not known
	from   string       // occupant JID of its sender, for replies
	text   string       // what it says, in short, to be quoted
	gone   bool         // it was taken back before it could cross
	keys   [2]string    // under which it is filed
}

// seen remembers the last messages of a room by the two ids by which others
// refer to them: sender and message id (XEP-0308), and stanza-id.
type seen struct {
	byMessage map[string]*sight // author, NUL, message id
	byStanza  map[string]*sight
	ring      []*sight
	at        int
	partial   map[string][]hit // copies of ours that took several messages, of which not all are known yet
}

// maxPartial bounds seen.partial.
const maxPartial = 256

func newSeen(n int) *seen {
	return &seen{byMessage: map[string]*sight{}, byStanza: map[string]*sight{}, ring: make([]*sight, n), partial: map[string][]hit{}}
}

// add files a message and forgets the oldest. A message id that a sender used
// before stands for the newer message.
func (s *seen) add(v *sight, message, stanza string) {
	if old := s.ring[s.at]; old != nil {
		if s.byMessage[old.keys[0]] == old {
			delete(s.byMessage, old.keys[0])
		}
		if s.byStanza[old.keys[1]] == old {
			delete(s.byStanza, old.keys[1])
		}
	}
	s.ring[s.at] = v
	s.at = (s.at + 1) % len(s.ring)
	if message != "" {
		v.keys[0] = v.author + "\x00" + message
		s.byMessage[v.keys[0]] = v
	}
	if stanza != "" {
		v.keys[1] = stanza
		s.byStanza[stanza] = v
	}
}

// message finds what author sent with the id; nil when it is not known.
func (s *seen) message(author, id string) *sight { return s.byMessage[author+"\x00"+id] }

// stanza finds a message by its stanza-id; nil when it is not known.
func (s *seen) stanza(id string) *sight { return s.byStanza[id] }

// last gives the newest n messages as a mark keeps them, oldest first.
func (s *seen) last(n int) []stored {
	var list []stored
	for i := range s.ring {
		v := s.ring[(s.at+i)%len(s.ring)]
		if v == nil {
			continue
		}
		message := strings.TrimPrefix(v.keys[0], v.author+"\x00")
		list = append(list, stored{Remote: v.remote, Author: v.author, From: v.from, Message: message, Stanza: v.keys[1]})
	}
	return list[max(0, len(list)-n):]
}

// maxExcerpt bounds what is kept of a message to be quoted, in bytes.
const maxExcerpt = 160

// excerpt shortens a text to what is quoted of it.
func excerpt(text string) string {
	if len(text) <= maxExcerpt {
		return text
	}
	cut := maxExcerpt
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
