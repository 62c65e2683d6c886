package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// Of TestHoles: rounds with a kill in each, and messages of one round.
const (
	holeRounds = 50
	holeTalk   = 20
)

// holes are two rooms on two servers that a bridge keeps in step.
type holes struct {
	t                *testing.T
	b                *bridge
	from, to         *itest.Server
	roomFrom, roomTo string
	speakers         []*itest.Client
	said             int
}

// connect brings the speakers (back) into the first room.
func (h *holes) connect() {
	h.t.Helper()
	h.speakers = nil
	for i := range 3 {
		user := fmt.Sprintf("s%d", i)
		c := itest.Slix(h.t, h.from.Account(user))
		c.Join(h.roomFrom, user)
		h.speakers = append(h.speakers, c)
	}
}

// say says a message, and returns when the room has shown it to who said it.
func (h *holes) say() {
	h.t.Helper()
	c := h.speakers[h.said%len(h.speakers)]
	text := fmt.Sprintf("m-%d", h.said)
	c.SendGroupchat(h.roomFrom, text)
	c.WaitBody(h.roomFrom, text)
	h.said++
}

// breakOne kills one of the processes, and lets it come back.
func (h *holes) breakOne(rnd *rand.Rand) string {
	h.t.Helper()
	switch n := rnd.IntN(10); {
	case n < 3:
		h.b.kill()
		pause := time.Duration(rnd.IntN(300)) * time.Millisecond
		for range rnd.IntN(10) {
			h.say() // while nobody listens
		}
		time.Sleep(pause)
		h.b.start()
		return "host"
	case n < 7:
		pids := h.b.plugins("xmpp")
		if len(pids) > 0 {
			_ = syscall.Kill(pids[rnd.IntN(len(pids))], syscall.SIGKILL) // it may have gone by itself
		}
		return "plugin"
	case n < 9:
		h.to.Kill()
		h.say()
		h.to.Start()
		return "target server"
	default:
		h.from.Kill()
		h.from.Start()
		h.connect()
		return "source server"
	}
}

// plugins gives the process ids of all subprocesses of a plugin.
func (b *bridge) plugins(name string) []int {
	var out []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, path := range stats {
		var pid, ppid int
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var state string
		if _, err := fmt.Sscanf(string(stat), "%d", &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscanf(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), "%s %d", &state, &ppid); err != nil || ppid != b.cmd.Process.Pid {
			continue
		}
		args, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err == nil && strings.HasSuffix(strings.TrimRight(string(args), "\x00"), "\x00"+name) {
			out = append(out, pid)
		}
	}
	return out
}

// TestHoles talks in a room while the bridge, its plugins and both servers are
// killed at random. Afterwards the room at the other end holds exactly the same
// messages in the same order: the archive fills the holes and nothing more.
func TestHoles(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take a minute or two")
	}
	users := map[string]string{"s0": "pw", "s1": "pw", "s2": "pw"}
	h := &holes{t: t}
	h.from = itest.Prosody(t, itest.Options{Domain: "a.test", Address: "127.0.0.4", Components: map[string]string{"bridge.a.test": secret}, Users: users})
	h.to = itest.Prosody(t, itest.Options{Domain: "b.test", Address: "127.0.0.5", Components: map[string]string{"bridge.b.test": secret}, Users: map[string]string{"watcher": "pw"}})
	h.roomFrom, h.roomTo = h.from.Room("talk"), h.to.Room("talk")
	h.connect()
	links := xmppLink("a", h.from, "bridge.a.test") + xmppLink("b", h.to, "bridge.b.test")
	// A Prosody that is killed may forget a room, though not its archive.
	links = strings.ReplaceAll(links, "mode = \"component\"", "mode = \"component\"\ncreate_rooms = true")
	h.b = newBridge(t, withSecret(t, links+relay("a:"+h.roomFrom, "b:"+h.roomTo)))
	h.b.start()
	h.b.joined(2)
	seed := killSeed(t)
	rnd := rand.New(rand.NewPCG(seed, seed))
	count := map[string]int{}
	for range holeRounds {
		at := rnd.IntN(holeTalk)
		for i := range holeTalk {
			if i == at {
				said := h.said
				what := h.breakOne(rnd)
				t.Logf("after m-%d: %s killed", said-1, what)
				count[what]++
			}
			h.say()
		}
	}
	h.b.joined(2)
	h.say() // what came before it has been caught up with when it has come
	watcher := itest.Slix(t, h.to.Account("watcher"))
	watcher.Join(h.roomTo, "watcher")
	last := fmt.Sprintf("m-%d", h.said-1)
	h.b.until("the last message has crossed", func() bool {
		list := watcher.Archive(h.roomTo)
		return len(list) > 0 && list[len(list)-1].Body == last
	})
	h.b.drained()
	compareArchives(t, h.speakers[0].Archive(h.roomFrom), watcher.Archive(h.roomTo))
	t.Logf("%v, %d messages", count, h.said)
}

// compareArchives checks that a room shows what another one does, once and in order.
func compareArchives(t *testing.T, from, to []itest.Archived) {
	t.Helper()
	seen := map[string]int{}
	for _, m := range to {
		seen[m.Body]++
	}
	for _, m := range from {
		if seen[m.Body] != 1 {
			t.Errorf("%s is there %d times, want once", m.Body, seen[m.Body])
		}
	}
	if len(from) != len(to) {
		t.Errorf("%d messages in the first room, %d in the other", len(from), len(to))
	}
	for i := range min(len(from), len(to)) {
		if from[i].Body != to[i].Body {
			t.Errorf("message %d is %s, in the other room %s", i, from[i].Body, to[i].Body)
			return
		}
	}
}
