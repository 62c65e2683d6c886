package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/internal/bench"
	"bridgehost/internal/itest"
)

// burst is how many messages a burst has.
const burst = 2000

// body is what the messages of both sides say.
func body(i int) string {
	return fmt.Sprintf("alert %06d: disk usage of host web-%d is above ninety percent", i, i%17)
}

// BenchmarkBurst fills rooms on one Prosody with 2,000 messages, by turns from a
// raw component that only writes and through bridgehost's webhooks, and prints
// both rates and the median of the ratios. An observer of its own counts what
// the room shows; the goal is a ratio of 0.8.
//
//	go test ./internal/e2e -run '^$' -bench Burst -benchtime 6x
func BenchmarkBurst(b *testing.B) {
	server := itest.Prosody(b, itest.Options{Components: map[string]string{
		"bridge.test": secret, "raw.test": secret, "observer.test": secret}})
	bh := newBridge(b, withSecret(b, hookLinks(server, "ops@"+server.RoomDomain, "")))
	bh.start()
	bh.ready()
	warm(b, bh)
	pids := map[string]int{"host": bh.cmd.Process.Pid, "prosody": server.PID(), "senders": os.Getpid()}
	for name, pid := range bh.children() {
		pids[name] = pid
	}
	var raw, ours time.Duration
	ratios := make([]float64, b.N)
	spent := map[string]time.Duration{}
	for i := range b.N {
		one := fillRaw(b, server, "raw@"+server.RoomDomain)
		before := processorTimes(b, pids)
		other := fillBridge(b, bh, server, "ops@"+server.RoomDomain)
		for name, now := range processorTimes(b, pids) {
			spent[name] += now - before[name]
		}
		raw, ours, ratios[i] = raw+one, ours+other, one.Seconds()/other.Seconds()
	}
	for name, d := range spent {
		b.ReportMetric(float64(d.Microseconds())/float64(burst*b.N), name+"-cpu-µs/msg")
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(burst*b.N)/raw.Seconds(), "raw-msg/s")
	b.ReportMetric(float64(burst*b.N)/ours.Seconds(), "bridgehost-msg/s")
	b.ReportMetric(ratios[b.N/2], "ratio")
}

// processorTimes gives the processor time that processes have used.
func processorTimes(b *testing.B, pids map[string]int) map[string]time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	out := map[string]time.Duration{}
	for name, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] { // utime and stime: proc(5)
			n, err := strconv.Atoi(f)
			if err != nil {
				b.Fatal(err)
			}
			out[name] += time.Duration(n) * tick
		}
	}
	return out
}

// observe enters the room and gives a function that waits for n messages.
func observe(b *testing.B, server *itest.Server, room string) (wait func(n int) []bench.Seen) {
	b.Helper()
	c, err := bench.Dial(server.Component, "observer.test", secret)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Join(room, "watch", "watcher"); err != nil {
		b.Fatal(err)
	}
	return func(n int) []bench.Seen {
		seen, err := c.Observe(n, 30*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		return seen
	}
}

// fillRaw measures the raw component.
func fillRaw(b *testing.B, server *itest.Server, room string) time.Duration {
	b.Helper()
	wait := observe(b, server, room)
	c, err := bench.Dial(server.Component, "raw.test", secret)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Join(room, "hook", "Plain"); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := c.Fill(room, "hook", burst, body); err != nil {
		b.Fatal(err)
	}
	seen := wait(burst)
	complete(b, seen)
	return seen[len(seen)-1].At.Sub(began)
}

// warm makes the bridge join the room before the clock runs, as the raw
// component does.
func warm(b *testing.B, bh *bridge) {
	b.Helper()
	a, err := bh.post(b.Context(), "/post/plain-sesame?wait=10s", "text/plain", "warm")
	if err != nil || a.status != http.StatusOK {
		b.Fatalf("first message: %+v %v; status %s", a, err, bh.statusText())
	}
}

// senders is how many connections a burst comes by.
const senders = 256

// fillBridge measures bridgehost: the senders share the burst.
func fillBridge(b *testing.B, bh *bridge, server *itest.Server, room string) time.Duration {
	b.Helper()
	wait := observe(b, server, room)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	numbers := make(chan int)
	var posting sync.WaitGroup
	began := time.Now()
	for range senders {
		posting.Go(func() {
			for i := range numbers {
				resp, err := client.Post(bh.public+"/post/plain-sesame", "text/plain", strings.NewReader(body(i)))
				if err != nil {
					b.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusAccepted {
					b.Errorf("%d %s %v", resp.StatusCode, bytes.TrimSpace(text), err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	go func() {
		defer close(numbers)
		for i := range burst {
			numbers <- i
		}
	}()
	accepted := make(chan time.Duration, 1)
	go func() {
		posting.Wait()
		accepted <- time.Since(began)
	}()
	seen := wait(burst)
	complete(b, seen)
	b.Logf("all accepted after %v", (<-accepted).Round(time.Millisecond))
	return seen[len(seen)-1].At.Sub(began)
}

// complete checks that every message is there once.
func complete(b *testing.B, seen []bench.Seen) {
	b.Helper()
	have := map[string]int{}
	for _, s := range seen {
		have[s.Body]++
	}
	for i := range burst {
		if have[body(i)] != 1 {
			b.Errorf("%q is in the room %d times", body(i), have[body(i)])
		}
	}
}
