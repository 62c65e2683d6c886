package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestGatewayChat has all that a chat has cross between two servers, in both directions.
func TestGatewayChat(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			_, juliet, romeo := newGateway(t, start)
			eachDirection(t, juliet, romeo, func(t *testing.T, from, to *side) {
				part(t, "notices", from, to, crossNotices)
				part(t, "changes", from, to, func(t *testing.T, from, to *side) { crossChanges(t, from, to, func() {}) })
				part(t, "rich", from, to, crossRich)
				part(t, "file", from, to, crossFile)
				part(t, "encrypted", from, to, crossEncrypted)
				part(t, "blocked", from, to, crossBlocked)
			})
		})
	}
}

// TestGatewayChatOverRestart changes messages that were sent before bridgehost was stopped or killed.
func TestGatewayChatOverRestart(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			b, juliet, romeo := newGateway(t, start)
			eachDirection(t, juliet, romeo, func(t *testing.T, from, to *side) {
				for _, way := range []struct {
					name string
					end  func()
				}{{"stopped", b.stop}, {"killed", b.kill}} {
					part(t, way.name, from, to, func(t *testing.T, from, to *side) {
						crossChanges(t, from, to, func() {
							way.end()
							b.start()
							b.connected()
						})
					})
				}
			})
		})
	}
}

// crossNotices checks that typing, receipts and markers cross.
func crossNotices(t *testing.T, from, to *side) {
	from.user.SetState(from.peer, "composing")
	to.wait("typing", func(e itest.Event) bool { return e.State == "composing" && !e.HasBody })
	from.user.SetState(from.peer, "paused")
	to.wait("a pause", func(e itest.Event) bool { return e.State == "paused" && !e.HasBody })
	sent, got := from.say(to, itest.Message{Body: "good <evening> & \U0001F305", AskReceipt: true, Markable: true})
	if got.Type != "chat" || !got.AsksReceipt || !got.Markable {
		t.Errorf("message of type %q, asks receipt: %v, markable: %v; want chat, true, true", got.Type, got.AsksReceipt, got.Markable)
	}
	to.user.Received(to.peer, got.ID)
	from.wait("receipt", func(e itest.Event) bool { return e.Receipt == sent })
	to.user.Displayed(to.peer, got.ID)
	from.wait("displayed", func(e itest.Event) bool {
		return e.Marker != nil && *e.Marker == itest.Marker{Name: "displayed", ID: sent}
	})
}

// crossChanges checks that corrections, reactions, replies and retractions find the message that they are about. between runs
// after the original and before each change.
func crossChanges(t *testing.T, from, to *side, between func()) {
	sent, got := from.say(to, itest.Message{Body: "swear by the mooon"})
	between()
	from.user.Correct(from.peer, sent, "swear by the moon")
	e := to.wait("correction", func(e itest.Event) bool { return e.Body == "swear by the moon" })
	if e.Replace != got.ID {
		t.Errorf("correction of %q, want %q: %s", e.Replace, got.ID, e.XML)
	}
	between()
	to.user.React(to.peer, got.ID, "\U0001F319", "❤️")
	e = from.wait("reactions", func(e itest.Event) bool { return e.Reactions != nil })
	slices.Sort(e.Reactions.Emojis)
	if want := []string{"❤️", "\U0001F319"}; e.Reactions.ID != sent || !slices.Equal(e.Reactions.Emojis, want) {
		t.Errorf("reactions %+v, want %q to %q", e.Reactions, want, sent)
	}
	to.user.React(to.peer, got.ID, "❤️")
	e = from.wait("fewer reactions", func(e itest.Event) bool { return e.Reactions != nil })
	if e.Reactions.ID != sent || !slices.Equal(e.Reactions.Emojis, []string{"❤️"}) {
		t.Errorf("reactions %+v, want the heart to %q", e.Reactions, sent)
	}
	between()
	answer := to.user.Reply(to.peer, got, "swear not by it")
	e = from.wait("reply", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "swear not by it") })
	if e.Reply == nil || e.Reply.ID != sent {
		t.Errorf("reply to %+v, want %q: %s", e.Reply, sent, e.XML)
	}
	from.user.React(from.peer, e.ID, "\U0001F44D")
	to.wait("reaction to the reply", func(e itest.Event) bool { return e.Reactions != nil && e.Reactions.ID == answer })
	between()
	from.user.Retract(from.peer, sent)
	e = to.wait("retraction", func(e itest.Event) bool { return e.Retract != nil })
	if e.Retract.ID != got.ID {
		t.Errorf("retraction of %q, want %q", e.Retract.ID, got.ID)
	}
	to.user.None("the text for clients without retraction, as chat", func(e itest.Event) bool {
		return e.HasBody && strings.Contains(e.Body, "retracted a previous message") && e.Retract == nil
	})
}

// crossRich checks markup, spoilers and languages.
func crossRich(t *testing.T, from, to *side) {
	from.user.SendMessage(itest.Message{
		To: from.peer, Body: "he *dies* in the end", Spoiler: true, SpoilerHint: "the play", Lang: "en-GB",
		XHTML: "<p>he <strong>dies</strong> in the end</p>",
	})
	got := to.wait("spoiler", func(e itest.Event) bool { return strings.HasSuffix(e.Body, "he *dies* in the end") })
	if !got.Spoiler || got.SpoilerHint != "the play" {
		t.Errorf("spoiler: %v %q, want one with the hint", got.Spoiler, got.SpoilerHint)
	}
	if got.Lang != "en-GB" {
		t.Errorf("language %q, want en-GB", got.Lang)
	}
}

// crossFile checks that a file can be fetched at the other end.
func crossFile(t *testing.T, from, to *side) {
	data := bytes.Repeat([]byte("a rose by any other name "), 400)
	url := from.user.Upload(from.server.UploadDomain, "rose.txt", "text/plain", data)
	from.user.ShareFile(from.peer, itest.File{Name: "rose.txt", MediaType: "text/plain", Size: len(data), URLs: []string{url}})
	got := to.wait("file", func(e itest.Event) bool { return e.OOB != "" || len(e.Files) > 0 })
	if len(got.Files) != 1 || got.Files[0].Name != "rose.txt" || got.Files[0].MediaType != "text/plain" || len(got.Files[0].URLs) == 0 {
		t.Fatalf("file %+v: %s", got.Files, got.XML)
	}
	if got.OOB != got.Files[0].URLs[0] || got.Body != got.OOB {
		t.Errorf("body %q and out-of-band address %q, want both %q", got.Body, got.OOB, got.Files[0].URLs[0])
	}
	if fetched, _ := itest.Download(t, got.OOB); !bytes.Equal(fetched, data) {
		t.Errorf("fetched %d bytes, want the %d of the file", len(fetched), len(data))
	}
}

// crossEncrypted checks that what the bridge cannot read is answered and not forwarded.
func crossEncrypted(t *testing.T, from, to *side) {
	const fallback = "I sent you an OMEMO encrypted message but your client doesn't seem to support that."
	from.user.SendMessage(itest.Message{To: from.peer, Body: fallback, Encryption: itest.OMEMO})
	from.user.Wait("notice that it cannot be read", func(e itest.Event) bool {
		return e.Kind == "message" && e.Room == from.peer && (e.HasBody || e.Refusal != nil)
	})
	from.say(to, itest.Message{Body: "in clear then"})
	for _, e := range to.user.Events() {
		if e.Body == fallback {
			t.Errorf("the fallback was forwarded: %s", e.XML)
		}
	}
}

// crossBlocked blocks a contact of the other server at the own one (XEP-0191), once with a report (XEP-0377).
func crossBlocked(t *testing.T, from, to *side) {
	from.say(to, itest.Message{Body: "before the block"})
	for i, report := range []*itest.Report{nil, {Reason: "urn:xmpp:reporting:spam", Text: "never came trouble to my house"}} {
		to.user.Block(to.peer, report)
		if list := to.user.Blocked(); !slices.Equal(list, []string{to.peer}) {
			t.Fatalf("blocked: %q", list)
		}
		text := fmt.Sprint("unheard ", i)
		id := from.user.SendChat(from.peer, text)
		e := from.user.Wait("delivery error", func(e itest.Event) bool {
			return e.Kind == "message" && e.Room == from.peer && e.ID == id && e.Refusal != nil
		})
		if e.Refusal.Text == "" {
			t.Errorf("refusal without a reason: %s", e.XML)
		}
		to.user.Unblock(to.peer)
		from.say(to, itest.Message{Body: fmt.Sprint("after the block ", i)})
		to.user.None(text, func(e itest.Event) bool { return e.Body == text })
	}
	to.say(from, itest.Message{Body: "and back"})
}
