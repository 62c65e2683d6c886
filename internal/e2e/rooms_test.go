package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// trouble is a room that does not take messages, and how to repair it.
type trouble struct {
	name   string
	reason string // in the status
	spoil  func(owner *itest.Client, room string)
	repair func(owner *itest.Client, room string)
}

// setting is a trouble made by one configuration of the room.
func setting(name, reason string, spoiled, repaired map[string]string) trouble {
	return trouble{name, reason,
		func(owner *itest.Client, room string) {
			owner.Join(room, "owner")
			owner.ConfigureRoom(room, spoiled)
		},
		func(owner *itest.Client, room string) { owner.ConfigureRoom(room, repaired) }}
}

// affiliation sets that of the bridge's domain in a room. XEP-0045 §9.
func affiliation(owner *itest.Client, room, jid, is string) {
	owner.IQ("set", room, fmt.Sprintf("<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='%s' jid='%s'/></query>", is, jid))
}

// troubles are those of issue 2. The hook of each has the trouble's name.
func troubles() []trouble {
	const config = "muc#roomconfig_"
	bots := []string{"hooks.banned@bridge.test", "bridge.test"}
	set := func(is string) func(*itest.Client, string) {
		return func(owner *itest.Client, room string) {
			if is == "outcast" {
				owner.Join(room, "owner")
			}
			for _, jid := range bots {
				affiliation(owner, room, jid, is)
			}
		}
	}
	return []trouble{
		{"banned", "the room has banned us", set("outcast"), set("none")},
		setting("members", "members only", map[string]string{config + "membersonly": "1"}, map[string]string{config + "membersonly": "0"}),
		setting("password", "needs a password", map[string]string{config + "passwordprotectedroom": "1", config + "roomsecret": "sesame"},
			map[string]string{config + "passwordprotectedroom": "0", config + "roomsecret": ""}),
		{"nonexistent", "the room does not exist", func(*itest.Client, string) {},
			func(owner *itest.Client, room string) { owner.Join(room, "owner") }},
	}
}

// TestRoomTroubles posts to rooms that are banned to the bridge, for members,
// locked by a password, or not there. Every sender gets 202, the status names
// the cause, the other room goes on, and after the repair the lane resumes by
// itself, in order.
func TestRoomTroubles(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"owner": "pw"}})
	owner := itest.Slix(t, server.Account("owner"))
	list := troubles()
	links := xmppLink("home", server, "bridge.test") + "[link.hooks]\nplugin = \"webhook\"\n" + hook("fine")
	for _, c := range list {
		links += hook(c.name)
	}
	links += oneWay("hooks:fine", "home:"+server.Room("fine"), "")
	for _, c := range list {
		links += oneWay("hooks:"+c.name, "home:"+server.Room(c.name), "")
		c.spoil(owner, server.Room(c.name))
	}
	owner.Join(server.Room("fine"), "owner")
	b := newBridge(t, withSecret(t, links))
	b.start()
	b.ready()
	for _, c := range list {
		for i := range 3 {
			b.accept(c.name+"-token", fmt.Sprintf("%s %d", c.name, i))
		}
	}
	for _, c := range list {
		b.waitPlace("home", server.Room(c.name), "down", c.reason)
	}
	b.accept("fine-token", "not held up")
	owner.WaitBody(server.Room("fine"), "not held up")
	var fine []time.Duration
	for i := range 50 {
		began := time.Now()
		b.accept("fine-token", fmt.Sprintf("smooth %d", i))
		owner.WaitBody(server.Room("fine"), fmt.Sprintf("smooth %d", i))
		fine = append(fine, time.Since(began))
	}
	t.Logf("meanwhile in the fine room: p50 %v p99 %v from post to room", percentile(fine, 0.5), percentile(fine, 0.99))
	b.until("only the troubled wait", func() bool {
		waiting, dead := b.depth("home")
		return waiting == 3*len(list) && dead == 0
	})
	for _, c := range list {
		rows := b.queue("--place", server.Room(c.name))
		if len(rows) != 3 || !strings.Contains(rows[0].Reason, c.reason) {
			t.Errorf("%s: queue list %+v", c.name, rows)
		}
	}
	for _, c := range list {
		room := server.Room(c.name)
		c.repair(owner, room)
		repaired := time.Now()
		for i := range 3 {
			owner.WaitBody(room, fmt.Sprintf("%s %d", c.name, i))
		}
		took := time.Since(repaired)
		t.Logf("%-12s the lane went on %v after the repair", c.name, took.Round(time.Millisecond))
		within(t, c.name+": resuming", took, 20*time.Second)
		b.waitPlace("home", room, "up", "")
	}
	b.drained()
	for _, c := range list {
		if n := len(owner.Messages(server.Room(c.name))); n != 3 {
			t.Errorf("%s: %d messages in the room, want 3", c.name, n)
		}
	}
}

// TestFullRoom uses ejabberd's limit of occupants (XEP-0045 §7.2.9); Prosody has none.
func TestFullRoom(t *testing.T) {
	server := itest.Ejabberd(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"owner": "pw"}})
	owner := itest.Slix(t, server.Account("owner"))
	room := server.Room("tiny")
	owner.Join(room, "owner")
	owner.ConfigureRoom(room, map[string]string{"muc#roomconfig_maxusers": "1"})
	b := newBridge(t, withSecret(t, xmppLink("home", server, "bridge.test")+"[link.hooks]\nplugin = \"webhook\"\n"+hook("plain")+
		oneWay("hooks:plain", "home:"+room, "")))
	b.start()
	b.ready()
	b.accept("plain-token", "squeeze in")
	b.waitPlace("home", room, "down", "the room is full")
	owner.ConfigureRoom(room, map[string]string{"muc#roomconfig_maxusers": "10"})
	repaired := time.Now()
	owner.WaitBody(room, "squeeze in")
	t.Logf("the lane went on %v after the repair", time.Since(repaired).Round(time.Millisecond))
	within(t, "resuming", time.Since(repaired), 20*time.Second)
}

// TestDeadLetters lets deliveries to a room that does not exist grow too old:
// they become dead letters that say why, and the operator lists, drops and
// retries them by the command line.
func TestDeadLetters(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"owner": "pw"}})
	owner := itest.Slix(t, server.Account("owner"))
	room := server.Room("nowhere")
	b := newBridgeWith(t, `max_age = "7s"`, withSecret(t, xmppLink("home", server, "bridge.test")+"[link.hooks]\nplugin = \"webhook\"\n"+hook("plain")+
		oneWay("hooks:plain", "home:"+room, "")))
	b.start()
	b.ready()
	ids := make([]string, 3)
	for i := range ids {
		ids[i] = b.accept("plain-token", fmt.Sprintf("letter %d", i))
	}
	b.until("three dead letters", func() bool { _, dead := b.depth("home"); return dead == 3 })
	rows := b.queue("--dead")
	for _, r := range rows {
		if !r.Dead || !strings.Contains(r.Reason, "could not be delivered for 7s") || !strings.Contains(r.Reason, "the room does not exist") {
			t.Errorf("dead letter %+v", r)
		}
	}
	if len(rows) != 3 {
		t.Fatalf("%d dead letters, want 3", len(rows))
	}
	if out, code := b.cli("explain", "hooks:"+ids[0]); code != 0 || !strings.Contains(out, "given up at home:"+room) || !strings.Contains(out, "the room does not exist") {
		t.Errorf("explain: exit %d\n%s", code, out)
	}
	// Dropping shows first what it would do.
	if out, code := b.cli("queue", "drop", "--dead", rows[0].ID); code != 0 || !strings.Contains(out, "would drop") || len(b.queue("--dead")) != 3 {
		t.Errorf("queue drop without --yes: exit %d\n%s", code, out)
	}
	if out, code := b.cli("queue", "drop", "--dead", "--yes", rows[0].ID); code != 0 || len(b.queue("--dead")) != 2 {
		t.Errorf("queue drop --yes: exit %d\n%s", code, out)
	}
	owner.Join(room, "owner")
	if out, code := b.cli("queue", "retry", "--dead", "--all"); code != 0 {
		t.Errorf("queue retry: exit %d\n%s", code, out)
	}
	got := []string{owner.Wait("a letter", isBody).Body, owner.Wait("a letter", isBody).Body}
	want := []string{"letter 0", "letter 1", "letter 2"}
	gone := slices.IndexFunc(want, func(s string) bool { return !slices.Contains(got, s) })
	if gone < 0 || !slices.Equal(slices.Delete(want, gone, gone+1), got) {
		t.Errorf("after the retry the room shows %q", got)
	}
	b.drained()
}

func isBody(e itest.Event) bool { return e.Kind == "message" && e.HasBody && !e.Delayed }
