package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// kills is how many processes TestKills ends; the suite must reach 50.
const kills = 52

// pace is the pause of a poster between messages: the room's archive, by which
// the test counts, holds 10,000.
const pace = 60 * time.Millisecond

// poster sends numbered messages one after the other, each until it is
// acknowledged, under a key of its own, as careful senders do.
type poster struct {
	name  string
	acked atomic.Int64 // messages 0 … acked-1 are acknowledged
}

func (p *poster) run(ctx context.Context, b *bridge) error {
	client := &http.Client{Timeout: 5 * time.Second}
	for i := 0; ctx.Err() == nil; i++ {
		text := fmt.Sprintf("%s-%d", p.name, i)
		for {
			status, err := p.try(client, b, text)
			if err == nil && (status == 202 || status == 200) {
				p.acked.Add(1)
				break
			}
			if err == nil && status != 503 && status != 429 {
				return fmt.Errorf("%s: status %d", text, status)
			}
			time.Sleep(20 * time.Millisecond) // the listener is being started again
		}
		time.Sleep(pace)
	}
	return nil
}

func (p *poster) try(client *http.Client, b *bridge, text string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, b.public+"/post/plain-sesame", strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Idempotency-Key", text)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestKills posts without a pause while bridgehost, its plugins, and Prosody
// are killed at random moments. What was acknowledged is in the room exactly
// once, and in order for each sender.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take a minute or two")
	}
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := "ops@" + server.RoomDomain
	b := newBridge(t, withSecret(t, hookLinks(server, room, "")))
	b.start()
	b.ready()

	ctx, stop := context.WithCancel(t.Context())
	posters := make([]*poster, 6)
	var wg sync.WaitGroup
	for i := range posters {
		p := &poster{name: fmt.Sprintf("p%d", i)}
		posters[i] = p
		wg.Go(func() {
			if err := p.run(ctx, b); err != nil {
				t.Error(err)
			}
		})
	}
	seed := killSeed(t)
	done := killAtRandom(t, rand.New(rand.NewPCG(seed, seed)), b, server)
	stop()
	wg.Wait()
	b.ready()
	b.drained()

	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	total := checkArchive(t, watcher.Archive(room), posters)
	t.Logf("%d kills (%s), %d messages acknowledged and checked", kills, done, total)
}

// killSeed is random, printed, and can be given to repeat a run.
func killSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("BRIDGEHOST_KILL_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("BRIDGEHOST_KILL_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("BRIDGEHOST_KILL_SEED=%d repeats this run", seed)
	return seed
}

// killAtRandom kills and lets recover, and says how often it killed what.
func killAtRandom(t *testing.T, rnd *rand.Rand, b *bridge, server *itest.Server) string {
	t.Helper()
	count := map[string]int{}
	for range kills {
		time.Sleep(time.Duration(100+rnd.IntN(500)) * time.Millisecond) // a random moment under load
		switch n := rnd.IntN(10); {
		case n < 3:
			count["host"]++
			b.kill()
			b.start()
		case n < 7:
			count["xmpp"]++
			b.killPlugin("xmpp", time.Duration(rnd.IntN(400))*time.Millisecond)
		case n < 8:
			count["webhook"]++
			b.killPlugin("webhook", time.Duration(rnd.IntN(400))*time.Millisecond)
		default:
			count["prosody"]++
			server.Kill()
			server.Restart()
		}
	}
	return fmt.Sprint(count)
}

// killPlugin kills a plugin's process some time after it was seen: one that is
// killed at its start each time rightly waits longer and longer.
func (b *bridge) killPlugin(name string, after time.Duration) {
	b.t.Helper()
	b.until(name+" is killed", func() bool {
		pid := b.children()[name]
		if pid == 0 {
			return false
		}
		time.Sleep(after)
		return b.children()[name] == pid && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
}

// drained waits until no delivery waits and none was given up.
func (b *bridge) drained() {
	b.t.Helper()
	var last string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var st struct {
			Queues []struct {
				Link        string
				Depth, Dead int
			}
		}
		if b.get("/status?format=json", &st) != 200 {
			continue
		}
		depth := 0
		for _, q := range st.Queues {
			depth += q.Depth
			if q.Dead > 0 {
				b.t.Errorf("%d dead letters at %s", q.Dead, q.Link)
			}
		}
		if depth == 0 {
			return
		}
		last = fmt.Sprintf("%+v", st.Queues)
	}
	head, _ := b.cli("queue", "list", "--limit", "3")
	b.t.Logf("status: %s\nqueue:\n%s\nlog:\n%s", b.statusText(), head, b.tail())
	for _, pid := range b.children() {
		_ = syscall.Kill(pid, syscall.SIGQUIT) // the log then shows what each plugin waits for
	}
	time.Sleep(time.Second) // until they have said it
	b.t.Fatalf("the queue did not drain: %s", last)
}

// checkArchive compares the room's archive with what was acknowledged.
func checkArchive(t *testing.T, archive []itest.Archived, posters []*poster) int {
	t.Helper()
	seen := map[string]int{}
	next := map[string]int{}
	for _, m := range archive {
		name, number, ok := strings.Cut(m.Body, "-")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		seen[m.Body]++
		if seen[m.Body] > 1 {
			t.Errorf("%s is in the room %d times", m.Body, seen[m.Body])
			continue
		}
		if n != next[name] {
			t.Errorf("%s came when %s-%d was expected", m.Body, name, next[name])
		}
		next[name] = n + 1
	}
	total := 0
	for _, p := range posters {
		for i := range p.acked.Load() {
			total++
			if text := fmt.Sprintf("%s-%d", p.name, i); seen[text] == 0 {
				t.Errorf("%s was acknowledged and is not in the room", text)
			}
		}
	}
	if total == 0 {
		t.Error("nothing was acknowledged: the test has shown nothing")
	}
	return total
}
