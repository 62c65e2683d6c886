package e2e

import (
	"bytes"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestRoomsCarryFilesAndNicks has files, spoilers and new nicks cross between rooms of two servers.
func TestRoomsCarryFilesAndNicks(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newHalls(t, start)
			for _, c := range []struct {
				name     string
				from, to *hall
			}{{"there", juliet, romeo}, {"back", romeo, juliet}} {
				t.Run(c.name, func(t *testing.T) {
					c.from.user.In(t)
					c.to.user.In(t)
					roomFile(t, c.from, c.to)
					roomSecrets(t, c.from, c.to)
					roomNick(t, c.from, c.to)
				})
			}
		})
	}
}

// roomFile shares a file in one room and fetches it in the other.
func roomFile(t *testing.T, from, to *hall) {
	data := bytes.Repeat([]byte("a mask "), 500)
	url := from.user.Upload(from.server.UploadDomain, "mask.txt", "text/plain", data)
	from.user.SendMessage(itest.Message{
		To: from.room, Type: "groupchat", Body: url, OOB: url,
		Files: []itest.File{{Name: "mask.txt", MediaType: "text/plain", Size: len(data), URLs: []string{url}}},
	})
	got := to.wait("file", func(e itest.Event) bool { return e.OOB != "" || len(e.Files) > 0 })
	if fetched, _ := itest.Download(t, got.OOB); !bytes.Equal(fetched, data) {
		t.Errorf("fetched %d bytes, want the %d of the file", len(fetched), len(data))
	}
	if !strings.HasPrefix(got.Nick, from.nick) {
		t.Errorf("file of %q, want %s", got.Nick, from.nick)
	}
}

// roomSecrets checks that spoilers stay spoilers, and that what is encrypted or private does not cross.
func roomSecrets(t *testing.T, from, to *hall) {
	from.user.SendMessage(itest.Message{To: from.room, Type: "groupchat", Body: "she wakes", Spoiler: true, SpoilerHint: "act five"})
	got := to.wait("spoiler", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "she wakes") })
	if !got.Spoiler || got.SpoilerHint != "act five" {
		t.Errorf("spoiler: %v %q: %s", got.Spoiler, got.SpoilerHint, got.XML)
	}
	from.user.SendMessage(itest.Message{To: from.room, Type: "groupchat", Body: "encrypted fallback of " + from.nick, Encryption: itest.OMEMO})
	from.say(to, itest.Message{Body: "in clear, " + to.nick})
	for _, e := range to.user.Events() {
		if strings.Contains(e.Body, "encrypted fallback of "+from.nick) {
			t.Errorf("the fallback was forwarded: %s", e.XML)
		}
	}
}

// roomNick checks that who takes a new nick in one room has it in the other.
func roomNick(t *testing.T, from, to *hall) {
	was := from.nick
	for _, nick := range []string{was + "-masked", was} {
		from.nick = nick
		from.user.ChangeNick(from.room, nick)
		from.user.Wait("new nick", func(e itest.Event) bool {
			return e.Kind == "presence" && e.Room == from.room && e.Nick == nick && e.HasStatus("110")
		})
		_, got := from.say(to, itest.Message{Body: "do you know " + nick + "?"})
		if got.Nick != nick {
			t.Errorf("message of %q, want %s", got.Nick, nick)
		}
	}
}
