package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// xmppLink is the TOML of one component link.
func xmppLink(name string, s *itest.Server, domain string) string {
	return fmt.Sprintf("[link.%s]\nplugin = \"xmpp\"\n[link.%s.config]\nmode = \"component\"\naddress = %q\ndomain = %q\nsecret = { file = %q }\n\n",
		name, name, s.Component, domain, secretFile)
}

// relay is the TOML of a route that keeps two rooms in step.
func relay(from, to string) string {
	return fmt.Sprintf("[[route]]\nfrom = %q\nto = [%q]\nboth_ways = true\n\n", from, to)
}

// TestRoomsStayInStep joins a room on Prosody and one on ejabberd.
func TestRoomsStayInStep(t *testing.T) {
	prosody := itest.Prosody(t, itest.Options{Domain: "p.test", Components: map[string]string{"bridge.p.test": secret}, Users: map[string]string{"anna": "pw"}})
	ejabberd := itest.Ejabberd(t, itest.Options{Domain: "e.test", Components: map[string]string{"bridge.e.test": secret}, Users: map[string]string{"boris": "pw"}})
	roomP, roomE := prosody.Room("tea"), ejabberd.Room("tea")
	anna, boris := itest.Slix(t, prosody.Account("anna")), itest.Slix(t, ejabberd.Account("boris"))
	anna.Join(roomP, "Anna")
	boris.Join(roomE, "Boris")
	b := newBridge(t, withSecret(t, xmppLink("p", prosody, "bridge.p.test")+xmppLink("e", ejabberd, "bridge.e.test")+relay("p:"+roomP, "e:"+roomE)))
	b.start()
	b.joined(2)
	for i := range 10 {
		anna.SendGroupchat(roomP, fmt.Sprintf("question %d", i))
		if ev := boris.WaitBody(roomE, fmt.Sprintf("question %d", i)); !strings.HasPrefix(ev.Nick, "Anna") {
			t.Errorf("Boris sees Anna as %q", ev.Nick)
		}
		boris.SendGroupchat(roomE, fmt.Sprintf("answer %d", i))
		if ev := anna.WaitBody(roomP, fmt.Sprintf("answer %d", i)); !strings.HasPrefix(ev.Nick, "Boris") {
			t.Errorf("Anna sees Boris as %q", ev.Nick)
		}
	}
	anna.None("repeats", func(ev itest.Event) bool { return ev.HasBody })
	for room, c := range map[string]*itest.Client{roomP: anna, roomE: boris} {
		if n := len(c.Messages(room)); n != 20 {
			t.Errorf("%d messages in %s, want 20", n, room)
		}
	}
}

// TestTriangleEnds joins three rooms by three hosts of their own, which know
// nothing of each other: every message must appear once in each room, or at
// most a bounded number of times, and then silence.
func TestTriangleEnds(t *testing.T) {
	components := map[string]string{}
	for _, d := range []string{"b1a", "b1b", "b2a", "b2b", "b3a", "b3b"} {
		components[d+".test"] = secret
	}
	server := itest.Prosody(t, itest.Options{Components: components, Users: map[string]string{"anna": "pw", "boris": "pw", "carla": "pw"}})
	rooms := []string{server.Room("one"), server.Room("two"), server.Room("three")}
	var people []*itest.Client
	for i, name := range []string{"anna", "boris", "carla"} {
		c := itest.Slix(t, server.Account(name))
		c.Join(rooms[i], name)
		people = append(people, c)
	}
	for i := range 3 {
		left, right := fmt.Sprintf("b%da.test", i+1), fmt.Sprintf("b%db.test", i+1)
		b := newBridge(t, withSecret(t, xmppLink("left", server, left)+xmppLink("right", server, right)+
			relay("left:"+rooms[i], "right:"+rooms[(i+1)%3])))
		b.start()
		b.joined(2)
	}
	people[0].SendGroupchat(rooms[0], "round and round")
	people[1].WaitBody(rooms[1], "round and round")
	people[2].WaitBody(rooms[2], "round and round")
	time.Sleep(3 * time.Second) // what goes round would be seen hundreds of times by then
	for i, c := range people {
		n := len(c.Messages(rooms[i]))
		if n != 1 {
			t.Errorf("room %d shows the message %d times, want 1", i+1, n)
		}
	}
}
