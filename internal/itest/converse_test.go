package itest_test

import (
	"slices"
	"testing"

	"bridgehost/internal/itest"
)

func TestConverseHoldsAConversation(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Users: map[string]string{"juliet": "pw", "romeo": "pw"}, Web: true})
	romeo := itest.SlixWith(t, srv.Account("romeo"), itest.SlixOptions{AutoReceipts: true})
	juliet := itest.ConverseOn(t, srv, "juliet")
	to := romeo.Bare()
	message := func(what string, match func(e itest.Event) bool) itest.Event {
		t.Helper()
		return romeo.Wait(what, func(e itest.Event) bool { return e.Kind == "message" && e.Room == srv.JID("juliet") && match(e) })
	}

	juliet.OpenChat(to)
	juliet.TypeIn(to, "the mooon")
	message("chat state", func(e itest.Event) bool { return e.State == "composing" })
	juliet.Enter()
	sent := juliet.WaitFor(to, "own message", func(m itest.ConverseMessage) bool { return m.Own && m.Text == "the mooon" })
	first := message("message", func(e itest.Event) bool { return e.HasBody })
	if first.Body != "the mooon" || first.ID != sent.ID {
		t.Errorf("romeo saw %q with id %q, want %q with %q", first.Body, first.ID, "the mooon", sent.ID)
	}
	juliet.Edit(to, sent.ID, "the moon")
	message("correction", func(e itest.Event) bool { return e.Replace == first.ID && e.Body == "the moon" })
	juliet.Shot("converse-edited")

	id := romeo.SendMessage(itest.Message{To: juliet.JID, Body: "what of it?"})
	juliet.WaitFor(to, "romeo's message", func(m itest.ConverseMessage) bool { return m.ID == id && m.Text == "what of it?" })
	juliet.React(to, id, "\U0001F44D")
	message("reaction", func(e itest.Event) bool {
		return e.Reactions != nil && e.Reactions.ID == id && slices.Equal(e.Reactions.Emojis, []string{"\U0001F44D"})
	})
	answer := juliet.Answer(to, id, "swear not by it")
	message("reply", func(e itest.Event) bool { return e.Reply != nil && e.Reply.ID == id })
	romeo.React(juliet.JID, answer.ID, "❤️")
	juliet.WaitFor(to, "romeo's reaction", func(m itest.ConverseMessage) bool { return m.ID == answer.ID && len(m.Reactions) == 1 })
	juliet.Shot("converse-reply")

	juliet.Retract(to, answer.ID)
	message("retraction", func(e itest.Event) bool { return e.Retract != nil && e.Retract.ID == answer.ID })
	romeo.Correct(juliet.JID, id, "what of the moon?")
	juliet.WaitFor(to, "romeo's correction", func(m itest.ConverseMessage) bool { return m.Text == "what of the moon?" && m.Edited })
	romeo.Retract(juliet.JID, id)
	juliet.WaitFor(to, "romeo's retraction", func(m itest.ConverseMessage) bool { return m.ID == id && m.Retracted })
	romeo.SetState(juliet.JID, "composing")
	juliet.Until("typing", func() bool { return juliet.Typing(to) != "" })
	juliet.Shot("converse-retracted")
}

func TestConverseTalksInARoom(t *testing.T) {
	eachServer(t, func(t *testing.T, start func(itest.TB, itest.Options) *itest.Server) {
		opts := twoUsers()
		opts.Web, opts.Address = true, "127.0.0.5"
		srv := start(t, opts)
		room := srv.Room("ball")
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		juliet := itest.ConverseOn(t, srv, "juliet")
		juliet.JoinRoom(room, "Juliet")
		id := romeo.SendGroupchat(room, "good evening")
		juliet.WaitFor(room, "romeo's message", func(m itest.ConverseMessage) bool { return m.ID == id && m.Text == "good evening" })
		juliet.Send(room, "and to you")
		if e := romeo.WaitBody(room, "and to you"); e.Nick != "Juliet" {
			t.Errorf("nick = %q, want Juliet", e.Nick)
		}
		juliet.Shot("converse-room-" + srv.Kind)
	})
}
