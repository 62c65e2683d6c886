package e2e

import (
	"slices"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// TestConverseOverTheGateway has a person with Converse.js on Prosody talk to people on another server: a whole conversation, with
// screenshots of what it looks like.
func TestConverseOverTheGateway(t *testing.T) {
	_, juliet, romeo := newGateway(t, itest.Ejabberd)
	romeo.user.SetVCard("", itest.VCard{Name: "Romeo Montague", Nickname: "Romeo"})
	juliet.user.Close() // Converse.js takes her place
	page := itest.ConverseOn(t, juliet.server, "juliet")
	page.OpenChat(juliet.peer)
	page.TypeIn(juliet.peer, "the mooon")
	romeo.wait("typing", func(e itest.Event) bool { return e.State == "composing" })
	page.Enter()
	own := page.WaitFor(juliet.peer, "own message", func(m itest.ConverseMessage) bool { return m.Own && m.Text == "the mooon" })
	got := romeo.wait("message", func(e itest.Event) bool { return e.Body == "the mooon" })
	page.Edit(juliet.peer, own.ID, "the moon")
	romeo.wait("correction", func(e itest.Event) bool { return e.Body == "the moon" && e.Replace == got.ID })
	romeo.user.Received(romeo.peer, got.ID)
	page.WaitFor(juliet.peer, "receipt", func(m itest.ConverseMessage) bool { return m.ID == own.ID && m.Received })
	romeo.user.React(romeo.peer, got.ID, "❤️")
	page.WaitFor(juliet.peer, "reaction", func(m itest.ConverseMessage) bool {
		return m.ID == own.ID && slices.Equal(m.Reactions, []string{"❤️"})
	})
	page.Shot("gateway-1-edited")

	question := romeo.user.Reply(romeo.peer, got, "what of it?")
	shown := page.WaitFor(juliet.peer, "reply", func(m itest.ConverseMessage) bool { return !m.Own && strings.HasSuffix(m.Text, "what of it?") })
	if !strings.Contains(shown.Reply, "the moon") {
		t.Errorf("the reply quotes %q, want the moon", shown.Reply)
	}
	page.React(juliet.peer, shown.ID, "\U0001F44D")
	romeo.wait("reaction", func(e itest.Event) bool {
		return e.Reactions != nil && e.Reactions.ID == question && slices.Equal(e.Reactions.Emojis, []string{"\U0001F44D"})
	})
	answer := page.Answer(juliet.peer, shown.ID, "swear not by it")
	reply := romeo.wait("reply", func(e itest.Event) bool { return e.Reply != nil })
	if reply.Reply.ID != question || !strings.HasSuffix(reply.Body, "swear not by it") {
		t.Errorf("reply to %q, %q; want %q", reply.Reply.ID, reply.Body, question)
	}
	romeo.user.SetState(romeo.peer, "composing")
	page.Until("typing", func() bool { return page.Typing(juliet.peer) != "" })
	page.Shot("gateway-2-reply")

	page.Retract(juliet.peer, answer.ID)
	romeo.wait("retraction", func(e itest.Event) bool { return e.Retract != nil && e.Retract.ID == reply.ID })
	data := picture(t)
	url := romeo.user.Upload(romeo.server.UploadDomain, "moon.png", "image/png", data)
	romeo.user.ShareFile(romeo.peer, itest.File{Name: "moon.png", MediaType: "image/png", Size: len(data), URLs: []string{url}})
	page.WaitFor(juliet.peer, "picture", func(m itest.ConverseMessage) bool { return len(m.Images) == 1 })
	romeo.user.Correct(romeo.peer, question, "what of the moon?")
	page.WaitFor(juliet.peer, "correction", func(m itest.ConverseMessage) bool { return m.ID == shown.ID && m.Edited })
	page.Shot("gateway-3-picture")
	romeo.user.Retract(romeo.peer, question)
	page.WaitFor(juliet.peer, "retraction", func(m itest.ConverseMessage) bool { return m.ID == shown.ID && m.Retracted })
	page.Shot("gateway-4-retracted")
	for _, e := range romeo.user.Events() {
		if e.HasBody && e.Room == romeo.peer && e.Retract == nil && strings.Contains(e.Body, "\U0001F44D") {
			t.Errorf("the reaction came as text too: %s", e.XML)
		}
	}
}
