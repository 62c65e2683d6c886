package xmpp

import (
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
)

// change makes a delivery of a change by grafana.
func change(room, id string, c sdk.Change) sdk.Delivery {
	return sdk.Delivery{
		ID: sdk.DeliveryID(id), Place: sdk.RemoteID(room), Attempt: 1, Deadline: time.Now().Add(time.Minute),
		Event: sdk.Event{ID: sdk.EventID("e" + id), Actor: grafana, Change: c},
	}
}

// TestModeration takes messages back as a moderator, in both directions and both
// versions of XEP-0425.
func TestModeration(t *testing.T) {
	for _, extras := range []bool{true, false} {
		opt := serverOptions()
		opt.RoomExtras = extras
		srv := itest.Prosody(t, opt)
		juliet, room, h, l := hear(t, srv)
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		if err := juliet.SetAffiliation(room, bridgeDomain, "admin", ""); err != nil {
			t.Fatal(err)
		}
		h.report("the bridge is a moderator", func(r sdk.Report) bool {
			return r.Capabilities != nil && r.Capabilities.Has(sdk.FeatureMembers) && r.Capabilities.Has(sdk.FeatureModerate) == extras
		})
		romeo.SendGroupchat(room, "spam")
		spam := h.event()
		if extras {
			for _, version := range []string{"0", "1"} {
				romeo.SendGroupchat(room, "spam "+version)
				ev := h.event()
				seen := juliet.WaitBody(room, "spam "+version)
				if err := juliet.Moderate(room, seen.StanzaID, "no ads", version); err != nil {
					t.Fatal(err)
				}
				got := h.event()
				c, ok := got.Change.(sdk.ItemRetracted)
				if !ok || !c.Moderated || c.Reason != "no ads" || c.Target.Remote != ev.Item().Origin.ID || got.Actor.Name != "Juliet" {
					t.Errorf("version %s: %+v by %+v", version, got.Change, got.Actor)
				}
			}
		}
		r := deliver(t, l, change(room, "m1", sdk.ItemRetracted{Target: sdk.Target{Remote: spam.Item().Origin.ID}, Moderated: true, Reason: "ads"}))[0]
		if extras {
			got := romeo.Wait("moderation", func(e itest.Event) bool { return e.Moderated != nil && e.Moderated.Reason == "ads" })
			if !strings.HasSuffix(got.Moderated.By, "/bridge") || len(r.Loss) > 0 {
				t.Errorf("moderated %+v, loss %+v", got.Moderated, r.Loss)
			}
		} else if !hasLoss(r, sdk.LossRetract) {
			t.Errorf("loss %+v", r.Loss)
		}
		copied := deliver(t, l, textTo(sdk.RemoteID(room), "m2", grafana, "ours"))[0].Copies[0]
		moderator := sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: "mod"}, Name: "Mod"}
		d := change(room, "m3", sdk.ItemRetracted{Target: sdk.Target{Remote: copied.Remote}, Moderated: true})
		d.Event.Actor = moderator
		if r := deliver(t, l, d)[0]; len(r.Loss) > 0 {
			t.Errorf("own copy: loss %+v", r.Loss)
		}
		sid := romeo.Find("ours", func(e itest.Event) bool { return e.Body == "ours" && !e.Delayed }).StanzaID
		romeo.Wait("end of our message", func(e itest.Event) bool {
			return e.Retract != nil && e.Retract.ID == sid || e.Moderated != nil && e.Moderated.ID == sid
		})
		juliet.SendGroupchat(room, "marker")
		if ev := h.event(); ev.Item() == nil || ev.Item().Body() != "marker" {
			t.Errorf("our own moderation came back: %+v", ev)
		}
	}
}

// TestPeoplePutOut kicks and bans people and puppets in the room, and lets other
// places do so (XM-18).
func TestPeoplePutOut(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, l := hear(t, srv)
		romeo := itest.Slix(t, srv.Account("romeo"))
		romeo.Join(room, "Romeo")
		romeo.SendGroupchat(room, "hello")
		author := h.event().Actor
		if err := juliet.SetRole(room, "Romeo", "none", "calm down"); err != nil {
			t.Fatal(err)
		}
		romeo.Wait("kick", func(e itest.Event) bool { return e.HasStatus("307") && e.HasStatus("110") })
		ev := h.event()
		c, ok := ev.Change.(sdk.MemberChanged)
		if !ok || c.Membership != sdk.MemberKicked || c.Member.ID != author.Home.ID || c.Member.Link != "home" || c.Reason != "calm down" {
			t.Errorf("kick: %+v of %+v", ev.Change, author.Home)
		}

		// Puppets.
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		juliet.WaitBody(room, "one")
		if err := juliet.SetAffiliation(room, "hooks.grafana@"+bridgeDomain, "outcast", "noise"); err != nil {
			t.Fatal(err)
		}
		ev = h.event()
		c, ok = ev.Change.(sdk.MemberChanged)
		if !ok || c.Membership != sdk.MemberBanned || c.Member != grafana.Home || c.Reason != "noise" {
			t.Errorf("ban of a puppet: %+v", ev.Change)
		}
		r := tryDeliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"), textTo(sdk.RemoteID(room), "d3", sdk.Actor{Home: sdk.Ref{Link: "hooks", ID: "x"}, Name: "X"}, "three"))
		if e := r[0].Err; e == nil || e.Kind != sdk.Forbidden || !strings.Contains(e.Public, "banned") || !r[0].Unsent {
			t.Errorf("banned puppet: %+v", r[0])
		}
		if r[1].Err != nil {
			t.Errorf("other puppet: %+v", r[1])
		}
		if got := juliet.WaitBody(room, "three"); got.Nick != "X" {
			t.Errorf("said by %q", got.Nick)
		}

		// From elsewhere.
		romeo.Join(room, "Romeo")
		r = tryDeliver(t, l, change(room, "d4", sdk.MemberChanged{Member: author.Home, Membership: sdk.MemberBanned}))
		if !hasLoss(r[0], sdk.LossKindless) {
			t.Errorf("without rights: %+v", r[0])
		}
		if err := juliet.SetAffiliation(room, bridgeDomain, "admin", ""); err != nil {
			t.Fatal(err)
		}
		h.report("the bridge is a moderator", func(r sdk.Report) bool { return r.Capabilities != nil && r.Capabilities.Has(sdk.FeatureMembers) })
		member := author.Home
		member.Link = "home"
		r = tryDeliver(t, l, change(room, "d5", sdk.MemberChanged{Member: member, Membership: sdk.MemberKicked, Reason: "elsewhere"}))
		if r[0].Err != nil || len(r[0].Loss) > 0 {
			t.Errorf("kick: %+v", r[0])
		}
		romeo.Wait("kick", func(e itest.Event) bool { return e.HasStatus("307") && e.HasStatus("110") })
		r = tryDeliver(t, l, change(room, "d6", sdk.MemberChanged{Member: sdk.Ref{Link: "hooks", ID: "x"}, Membership: sdk.MemberKicked}))
		if r[0].Err != nil || len(r[0].Loss) > 0 {
			t.Errorf("kick of a puppet's author elsewhere: %+v", r[0])
		}
		juliet.Wait("exit of X", func(e itest.Event) bool { return e.Type == "unavailable" && e.Nick == "X" })
		h.noEvent()
	})
}

// TestTopicOut sets the topic from elsewhere, with and without the right to do so,
// and hears of a new title.
func TestTopicOut(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, l := hear(t, srv)
		juliet.ConfigureRoom(room, map[string]string{
			"muc#roomconfig_changesubject": "0", "muc#roomconfig_roomname": "Operations", "muc#roomconfig_persistentroom": "1",
		})
		h.report("title", func(r sdk.Report) bool { return r.Title == "Operations" })
		r := deliver(t, l, change(room, "t1", sdk.ConversationUpdated{Topic: sdk.NewText("first")}))[0]
		if !hasLoss(r, sdk.LossKindless) {
			t.Errorf("without rights: %+v", r)
		}
		if err := juliet.SetAffiliation(room, bridgeDomain, "admin", ""); err != nil {
			t.Fatal(err)
		}
		h.report("the bridge is a moderator", func(r sdk.Report) bool { return r.Capabilities != nil && r.Capabilities.Has(sdk.FeatureMembers) })
		if r := deliver(t, l, change(room, "t2", sdk.ConversationUpdated{Topic: sdk.NewText("second")}))[0]; len(r.Loss) > 0 {
			t.Errorf("with rights: %+v", r)
		}
		juliet.Wait("topic", func(e itest.Event) bool { return e.Subject && e.SubjectText == "second" })
		juliet.SetSubject(room, "third")
		for {
			ev := h.event()
			if c, ok := ev.Change.(sdk.ConversationUpdated); ok && c.Topic != nil {
				if c.Topic.Plain != "third" {
					t.Errorf("topic %q", c.Topic.Plain)
				}
				break
			}
		}
		juliet.ConfigureRoom(room, map[string]string{"muc#roomconfig_roomname": "Control", "muc#roomconfig_persistentroom": "1"})
		ev := h.event()
		if c, ok := ev.Change.(sdk.ConversationUpdated); !ok || c.Title != "Control" {
			t.Errorf("title: %+v", ev.Change)
		}
	})
}

// TestPrivateMessages shows what people are told who write to one of ours alone,
// and that all of ours stay in the room.
func TestPrivateMessages(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, l := hear(t, srv)
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		juliet.SendPrivate(room, "bridge", "hello?")
		juliet.Wait("notice", func(e itest.Event) bool { return e.Type == "chat" && e.Nick == "bridge" && e.HasBody })
		juliet.SendPrivate(room, "bridge", "hello??")
		id := juliet.SendPrivate(room, "Grafana", "psst")
		got := juliet.Wait("refusal", func(e itest.Event) bool { return e.Type == "error" && e.ID == id })
		if got.Refusal == nil || got.Refusal.Condition != "feature-not-implemented" {
			t.Errorf("refusal %+v", got.Refusal)
		}
		deliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"))
		juliet.WaitBody(room, "two")
		juliet.SendGroupchat(room, "marker")
		if ev := h.event(); ev.Item() == nil || ev.Item().Body() != "marker" {
			t.Errorf("event: %+v", ev)
		}
		notices := 0
		for _, e := range juliet.Events() {
			if e.Type == "chat" && e.Nick == "bridge" {
				notices++
			}
			if e.Type == "unavailable" && (e.Nick == "bridge" || e.Nick == "Grafana") {
				t.Errorf("%s left", e.Nick)
			}
		}
		if notices != 1 {
			t.Errorf("%d notices, want 1", notices)
		}
	})
}

// TestInvitation declines to join other rooms than those of the operator.
func TestInvitation(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, _, _ := hear(t, srv)
		other := srv.Room("other")
		juliet.Join(other, "Juliet")
		juliet.Invite(other, bridgeDomain+"/bridgehost", "come", false)
		juliet.Wait("decline", func(e itest.Event) bool {
			return strings.Contains(e.XML, "decline") && strings.Contains(e.XML, "operator")
		})
		juliet.Invite(other, bridgeDomain+"/bridgehost", "come", true)
		juliet.Wait("words", func(e itest.Event) bool {
			return strings.HasPrefix(e.From, bridgeDomain) && strings.Contains(e.Body, "operator")
		})
		juliet.Invite(room, bridgeDomain+"/bridgehost", "come", true)
		juliet.None("answer to an invitation to a room of ours", func(e itest.Event) bool { return strings.HasPrefix(e.From, bridgeDomain) })
	})
}

// TestRoomDestroyed shows that a room that is no more is a failure with its
// reason, and comes back after a reload.
func TestRoomDestroyed(t *testing.T) {
	servers(t, itest.Options{}, func(t *testing.T, srv *itest.Server) {
		juliet, room, h, l := hear(t, srv)
		deliver(t, l, textTo(sdk.RemoteID(room), "d1", grafana, "one"))
		if err := juliet.DestroyRoom(room, srv.Room("new"), "we moved"); err != nil {
			t.Fatal(err)
		}
		h.report("failed", func(r sdk.Report) bool {
			return r.State == sdk.StateFailed && strings.Contains(r.Reason, "we moved") && strings.Contains(r.Reason, srv.Room("new"))
		})
		r := tryDeliver(t, l, textTo(sdk.RemoteID(room), "d2", grafana, "two"))[0]
		if r.Err == nil || r.Err.Kind != sdk.Gone || !r.Unsent {
			t.Errorf("receipt: %+v", r)
		}
		if srv.Kind == "prosody" {
			return // it keeps the name of a destroyed room for a month
		}
		juliet.Join(room, "Juliet")
		if err := l.(sdk.Placer).SetPlaces(t.Context(), []sdk.PlaceUse{bothWays(room)}); err != nil {
			t.Fatal(err)
		}
		h.roomUp(sdk.RemoteID(room))
		deliver(t, l, textTo(sdk.RemoteID(room), "d3", grafana, "three"))
		juliet.WaitBody(room, "three")
	})
}
