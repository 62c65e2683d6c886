package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// hostileModule is built from testdata/hostile/hostile.c.
const hostileModule = "testdata/hostile/hostile.wasm"

// attacks are the words that the hostile module obeys, and the text that the
// decision about the event must have.
var attacks = []struct{ word, reason string }{
	{"loop", "time"},
	{"bomb", ""}, // stopped by memory or by time, whichever is first
	{"recurse", ""},
	{"panic", "unreachable"},
	{"print", "too many host calls"},
	{"logs", "too many host calls"},
	{"sleep", "time"},
	{"reply", "reply"},
}

// pinned copies a module into a folder of its own and gives its path and digest.
func pinned(t testing.TB, binary []byte) (path, digest string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, binary, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	return path, hex.EncodeToString(sum[:])
}

func readModule(t testing.TB) []byte {
	t.Helper()
	binary, err := os.ReadFile(hostileModule)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// moduleLink is the TOML of a link that runs a module.
func moduleLink(name, path, digest, extra string) string {
	return fmt.Sprintf("[link.%s]\nplugin = %q\nsha256 = %q\n%s\n\n", name, "wasm:"+path, digest, extra)
}

// attackLinks has a link and two hooks for each attack, one with each policy,
// and a healthy hook that has the same module as its filter.
func attackLinks(t testing.TB, s *itest.Server) string {
	path, digest := pinned(t, readModule(t))
	var text strings.Builder
	text.WriteString(xmppLink("home", s, "bridge.test") + "create_rooms = true\n")
	text.WriteString("[link.hooks]\nplugin = \"webhook\"\n" + hook("healthy"))
	for _, a := range attacks {
		text.WriteString(hook(a.word+"-open") + hook(a.word+"-closed"))
	}
	text.WriteString(moduleLink("good", path, digest, ""))
	text.WriteString(oneWay("hooks:healthy", "home:"+s.Room("healthy"), `filters = ["good"]`))
	for _, a := range attacks {
		text.WriteString(moduleLink("bad-"+a.word, path, digest, `grant = ["log"]`))
		for _, policy := range []string{"open", "closed"} {
			text.WriteString(oneWay("hooks:"+a.word+"-"+policy, "home:"+s.Room("attacked"),
				fmt.Sprintf("filters = [\"bad-%s\"]\non_error = %q", a.word, policy)))
		}
	}
	return text.String()
}

// timedPosts posts to a hook for a while, one after the other, and gives how
// long each answer took.
func timedPosts(ctx context.Context, t testing.TB, b *bridge, token string, n int) []time.Duration {
	t.Helper()
	var all []time.Duration
	for i := 0; i < n && ctx.Err() == nil; i++ {
		began := time.Now()
		b.accept(token, fmt.Sprintf("fine %d", i))
		all = append(all, time.Since(began))
	}
	return all
}

// TestHostileFilters attacks the host by filters that loop, take memory,
// recurse, panic, print and sleep without end, and reply with nonsense. Each is
// stopped in time, the route's policy decides about the event, and the healthy
// route beside them goes on. Cases PL-01 to PL-06.
func TestHostileFilters(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(server.Room("attacked"), "watcher")
	b := newBridge(t, withSecret(t, attackLinks(t, server)))
	b.start()
	b.ready()
	timedPosts(t.Context(), t, b, "healthy-token", 20) // warm
	before := timedPosts(t.Context(), t, b, "healthy-token", 300)

	ctx, stop := context.WithCancel(t.Context())
	var during []time.Duration
	var healthy sync.WaitGroup
	healthy.Go(func() { during = timedPosts(ctx, t, b, "healthy-token", 1<<20) })
	for _, a := range attacks {
		attack(t, b, watcher, server.Room("attacked"), a.word, a.reason)
	}
	stop()
	healthy.Wait()
	t.Logf("other route: p50 %v p99 %v before (%d posts), p50 %v p99 %v during the attacks (%d posts)",
		percentile(before, 0.5), percentile(before, 0.99), len(before), percentile(during, 0.5), percentile(during, 0.99), len(during))
	if len(during) < 50 {
		t.Errorf("only %d posts on the other route during the attacks", len(during))
	}
	for _, l := range b.status().Links {
		if l.State != "up" || l.Restarts != 0 {
			t.Errorf("link %s is %s (%s) after %d restarts", l.Link, l.State, l.Reason, l.Restarts)
		}
	}
	b.drained()
}

// attack runs one attack under both policies. It is tried up to seven times and
// the fastest counts, since this machine also does other things.
func attack(t *testing.T, b *bridge, watcher *itest.Client, room, word, reason string) {
	t.Helper()
	const limit = 100*time.Millisecond + 50*time.Millisecond
	best := time.Hour
	text := "attack " + word
	for try := 0; try < 6 && best > limit; try++ {
		began := time.Now()
		id := b.accept(word+"-open-token", text)
		best = min(best, time.Since(began))
		watcher.WaitBody(room, text)
		out, code := b.cli("explain", "hooks:"+id)
		if code != 0 || !strings.Contains(out, `"verb":"pass"`) || !strings.Contains(out, "filter bad-"+word+" failed") || !strings.Contains(out, reason) {
			t.Errorf("%s, open: explain %d\n%s", word, code, out)
		}
	}
	began := time.Now()
	id := b.accept(word+"-closed-token", text)
	best = min(best, time.Since(began))
	out, code := b.cli("explain", "hooks:"+id)
	if code != 0 || !strings.Contains(out, "dropped") || !strings.Contains(out, "filter bad-"+word+" failed") || !strings.Contains(out, reason) {
		t.Errorf("%s, closed: explain %d\n%s", word, code, out)
	}
	if n := len(watcher.Messages(room)); n == 0 || watcher.Messages(room)[n-1].Body != text {
		t.Errorf("%s: the room does not end with the message that passed", word)
	}
	// What the same filter does not fail on goes on.
	b.accept(word+"-closed-token", "peace after "+word)
	watcher.WaitBody(room, "peace after "+word)
	t.Logf("attack %-8s post answered after %v (limit of the filter 100ms)", word, best.Round(time.Millisecond))
	within(t, "attack "+word, best, limit)
}
