package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// The crash test runs a host in a child process, kills it at random moments
// while it takes and delivers, and starts it again on the same folder. The child
// writes "ack LANE N" when an event was acknowledged, and "got LANE N ID
// UNCERTAIN" when the sink has it; writes to the pipe are what the network saw.
const (
	crashEnv   = "BRIDGEHOST_CRASH_TEST_DIR"
	crashStart = "BRIDGEHOST_CRASH_TEST_START"
	crashLanes = 4
)

// pipeSink is the network as the parent sees it.
type pipeSink struct{ mu *sync.Mutex }

func (s pipeSink) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	receipts := make([]sdk.Receipt, len(batch))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		d := &batch[i]
		if _, err := fmt.Printf("got %s %s %s %v\n", d.Place, body(d), d.ID, d.Uncertain); err != nil {
			return nil, err
		}
		receipts[i] = sdk.Receipt{Delivery: d.ID, Copies: []sdk.Copy{{Item: d.Event.Item().ID, Remote: sdk.RemoteID("c" + d.ID)}}}
	}
	return receipts, nil
}

func crashRules() []route.Rule {
	var rules []route.Rule
	for i := range crashLanes {
		rules = append(rules, route.Rule{ID: sdk.RouteID(fmt.Sprint("r", i)), From: ref(fmt.Sprint("a:", i)), To: []sdk.Ref{ref(fmt.Sprint("b:", i))}})
	}
	return rules
}

// TestCrashChild is the child: it publishes for ever; the test kills it.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashEnv)
	if dir == "" {
		t.Skip("this is the child process of TestKillLosesNothingAndKeepsOrder")
	}
	start, err := strconv.Atoi(os.Getenv(crashStart))
	if err != nil {
		t.Fatal(err)
	}
	h := startHost(t, dir, crashRules(), noBreaker)
	var mu sync.Mutex
	h.out.Attach("b", pipeSink{&mu}, outbox.AttachOptions{BatchMax: 32})
	go func() { // the end of the parent is the end of the child
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	var wg sync.WaitGroup
	for lane := range crashLanes {
		wg.Go(func() {
			for n := start; ; n++ {
				name := fmt.Sprintf("%d-%d", lane, n)
				if err := h.in.Publish(t.Context(), "a", []sdk.Event{create(fmt.Sprint(lane), "romeo", name, strconv.Itoa(n))}); err != nil {
					return
				}
				mu.Lock()
				fmt.Printf("ack %d %d\n", lane, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// crashLog is what the parent learnt.
type crashLog struct {
	acked map[string]bool
	got   map[string][]string // lane -> numbers in order of first arrival
	ids   map[string]string   // delivery id -> lane and number
	seen  map[string]bool
	dups  int
	blind int // repeats that did not say that they may be repeats
	next  int
}

func (c *crashLog) line(t *testing.T, line string) {
	f := strings.Fields(line)
	switch {
	case len(f) == 3 && f[0] == "ack":
		c.acked[f[1]+" "+f[2]] = true
		if n, _ := strconv.Atoi(f[2]); n >= c.next {
			c.next = n + 1
		}
	case len(f) == 5 && f[0] == "got":
		what := f[1] + " " + f[2]
		if n, _ := strconv.Atoi(f[2]); n >= c.next {
			c.next = n + 1
		}
		if was, ok := c.ids[f[3]]; ok && was != what {
			t.Errorf("delivery %s is %q and %q", f[3], was, what)
		}
		if c.ids[f[3]] = what; c.seen[what] {
			if c.dups++; f[4] != "true" {
				c.blind++
			}
			return // a sink with ids drops it: the id is the same
		}
		c.seen[what] = true
		c.got[f[1]] = append(c.got[f[1]], f[2])
	}
}

// runChild runs the child until stop says so, and gives its lines to the log.
func runChild(t *testing.T, dir string, c *crashLog, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$") //nolint:gosec // this test binary
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), crashEnv+"="+dir, crashStart+"="+strconv.Itoa(c.next))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		if !strings.HasPrefix(scan.Text(), "ack ") && !strings.HasPrefix(scan.Text(), "got ") {
			continue
		}
		if kill == nil { // the first sign of life
			kill = time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
		c.line(t, scan.Text())
	}
	_ = cmd.Wait() // killed: its status says nothing
}

func TestKillLosesNothingAndKeepsOrder(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	c := &crashLog{acked: map[string]bool{}, got: map[string][]string{}, ids: map[string]string{}, seen: map[string]bool{}}
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for range kills {
		runChild(t, dir, c, time.Duration(rnd.IntN(120))*time.Millisecond)
	}
	// The last host only delivers what is left.
	h := startHost(t, dir, crashRules(), noBreaker)
	s := newSink()
	s.answer = func(d *sdk.Delivery) sdk.Receipt {
		c.line(t, fmt.Sprintf("got %s %s %s %v", d.Place, body(d), d.ID, d.Uncertain))
		return sdk.Receipt{}
	}
	left := int(h.out.Stats().Depth)
	h.out.Attach("b", s, outbox.AttachOptions{})
	s.wait(t, left)
	h.stop()
	lost := 0
	for what := range c.acked {
		if !c.seen[what] {
			lost++
		}
	}
	t.Logf("%d kills, %d acknowledged, %d left over, %d repeats with their old id", kills, len(c.acked), left, c.dups)
	if len(c.acked) < kills {
		t.Fatal("the children did not work")
	}
	if lost > 0 {
		t.Errorf("%d acknowledged events were lost", lost)
	}
	if c.blind > 0 {
		t.Errorf("%d of %d repeats were not marked as uncertain", c.blind, c.dups)
	}
	for lane, list := range c.got {
		for i := 1; i < len(list); i++ {
			a, _ := strconv.Atoi(list[i-1])
			if b, _ := strconv.Atoi(list[i]); b <= a {
				t.Fatalf("lane %s: %d after %d", lane, b, a)
			}
		}
	}
}
