package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// linkStatus is what /status says of a link.
type linkStatus struct {
	Link, Plugin, State, Reason string
	Restarts                    int
	Places                      map[string]struct{ State, Reason string }
}

// status is the answer of /status.
type status struct {
	Ready  bool
	Reason string
	Links  []linkStatus
	Queues []struct {
		Link        string
		Depth, Dead int
	}
	Store struct {
		Writable bool
		Reason   string
	}
}

func (b *bridge) status() status {
	b.t.Helper()
	var st status
	if code := b.get("/status?format=json", &st); code != 200 {
		b.t.Fatalf("status: %d", code)
	}
	return st
}

// link gives the state of one link.
func (b *bridge) link(name string) linkStatus {
	b.t.Helper()
	for _, l := range b.status().Links {
		if l.Link == name {
			return l
		}
	}
	b.t.Fatalf("no link %s in the status: %s", name, b.statusText())
	return linkStatus{}
}

// waitLink waits until a link has a state, for a reason with the given text.
func (b *bridge) waitLink(name, state, reason string) {
	b.t.Helper()
	b.until(fmt.Sprintf("link %s %s (%s)", name, state, reason), func() bool {
		l := b.link(name)
		return l.State == state && strings.Contains(l.Reason, reason)
	})
}

// waitPlace waits until a place has a state, for a reason with the given text.
func (b *bridge) waitPlace(link, place, state, reason string) {
	b.t.Helper()
	b.until(fmt.Sprintf("place %s:%s %s (%s)", link, place, state, reason), func() bool {
		p := b.link(link).Places[place]
		return p.State == state && strings.Contains(p.Reason, reason)
	})
}

// depth gives how many deliveries of a link wait, and how many were given up.
func (b *bridge) depth(link string) (waiting, dead int) {
	b.t.Helper()
	for _, q := range b.status().Queues {
		if q.Link == link {
			return q.Depth, q.Dead
		}
	}
	return 0, 0
}

// queueRow is a line of queue list --json.
type queueRow struct {
	ID, Link, Place, Reason string
	Attempts                int
	Dead                    bool
}

// queue lists by the command line.
func (b *bridge) queue(args ...string) []queueRow {
	b.t.Helper()
	out, code := b.cli(append([]string{"queue", "list", "--json"}, args...)...)
	var rows []queueRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
		b.t.Fatalf("queue list: exit %d, %v\n%s", code, err, out)
	}
	return rows
}

// accept posts a text to a hook and wants it accepted; it gives the id.
func (b *bridge) accept(token, text string) string {
	b.t.Helper()
	a, err := b.post(b.t.Context(), "/post/"+token, "text/plain", text)
	if err != nil || a.status != 202 {
		b.t.Fatalf("post %q: %d %s %v", text, a.status, a.body, err)
	}
	var got struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.ID == "" {
		b.t.Fatalf("answer %s: no id (%v)", a.body, err)
	}
	return got.ID
}

// hook is the TOML of one incoming hook of the link hooks; its token is its
// name with "-token".
func hook(name string) string {
	return fmt.Sprintf("[link.hooks.config.hook.%s]\ntoken = \"%s-token\"\nname = %q\nformat = \"text\"\n", name, name, name)
}

// oneWay is the TOML of a route; extra are more lines of it.
func oneWay(from, to, extra string) string {
	return fmt.Sprintf("[[route]]\nfrom = %q\nto = [%q]\n%s\n\n", from, to, extra)
}

// percentile gives the time below which the share p of all lies.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))]
}

// within fails the test when something took too long.
func within(t testing.TB, what string, took, limit time.Duration) {
	t.Helper()
	if took > limit {
		t.Errorf("%s took %v, want at most %v", what, took.Round(time.Millisecond), limit)
	}
}
