package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/bench"
	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/packet"
)

// echoEnv makes the test program an echo of its own, so that its processor time
// can be told from that of the flood: "ours ADDRESS" or "raw ADDRESS".
const echoEnv = "BRIDGEHOST_TEST_ECHO"

const (
	echoDomain  = "echo.xmpp.test"
	floodDomain = "flood.xmpp.test"
	echoSecret  = "s3cret"
	echoed      = 5000 // messages of one flood
)

// TestEchoProcess is the other process of BenchmarkEcho. It prints a line when
// it is connected, echoes until its standard input ends, and prints the
// processor time that it took meanwhile.
func TestEchoProcess(t *testing.T) {
	var kind, address string
	if _, err := fmt.Sscan(os.Getenv(echoEnv), &kind, &address); err != nil {
		t.Skip("it is started by BenchmarkEcho")
	}
	stop := echoOurs
	if kind == "raw" {
		stop = echoRaw
	}
	end := stop(t, address)
	fmt.Println("up")
	before := processorTime(t)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
	fmt.Println(int64(processorTime(t) - before))
	end()
}

// processorTime is what the process has used, collector included.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// echoOurs echoes as the plugin would: each message is decoded and handled, and
// the answer is encoded, checked and queued.
func echoOurs(t *testing.T, address string) (end func()) {
	var s *Session
	up := make(chan struct{}, 1)
	s, err := New(Options{
		Mode: Component, Address: address, Domain: echoDomain, Secret: echoSecret, Plaintext: PlaintextLoopback,
		OnState: func(st State) {
			if st.Phase == Up {
				up <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(ctx context.Context, m *packet.Message) {
		if m.Type == "error" || !m.HasBody() {
			return
		}
		reply := &packet.Message{Attrs: packet.Attrs{From: m.To, To: m.From, ID: m.ID, Type: m.Type}, Bodies: packet.NewText(m.Body())}
		if _, err := s.Start(ctx, reply, false); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, Handler{Message: answer}) }()
	select {
	case <-up:
	case err := <-done:
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// echoRaw is the component to compare with.
func echoRaw(t *testing.T, address string) (end func()) {
	c, err := bench.Dial(address, echoDomain, echoSecret)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Echo() }()
	return func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// echoing starts an echo in a process of its own. stop ends it and gives the
// processor time that it took.
func echoing(b *testing.B, kind, address string) (stop func() time.Duration) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestEchoProcess$")
	cmd.Env = append(os.Environ(), echoEnv+"="+kind+" "+address)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if line != "up\n" {
		b.Fatalf("echo %s says %q: %v", kind, line, err)
	}
	return func() time.Duration {
		var spent int64
		if err := stdin.Close(); err != nil {
			b.Error(err)
		}
		if _, err := fmt.Fscanln(lines, &spent); err != nil {
			b.Errorf("processor time of echo %s: %v", kind, err)
		}
		if _, err := io.Copy(io.Discard, lines); err != nil {
			b.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			b.Errorf("echo %s: %v", kind, err)
		}
		return time.Duration(spent)
	}
}

// BenchmarkEcho floods a component on Prosody that sends everything back: by
// turns one that only scans for the ends of messages, and our stream with its
// decoder and encoder. The goal is 0.8 of the raw rate.
//
//	go test ./plugins/xmpp/internal/stream -run '^$' -bench Echo -benchtime 6x
func BenchmarkEcho(b *testing.B) {
	srv := itest.Prosody(b, itest.Options{Components: map[string]string{echoDomain: echoSecret, floodDomain: echoSecret}})
	took, spent := map[string]time.Duration{}, map[string]time.Duration{}
	turn := 0
	for b.Loop() {
		kinds := []string{"raw", "ours"}
		if turn++; turn%2 == 0 {
			kinds[0], kinds[1] = kinds[1], kinds[0]
		}
		for _, kind := range kinds {
			t, cpu := flood(b, srv.Component, kind)
			took[kind] += t
			spent[kind] += cpu
		}
	}
	n := float64(echoed * turn)
	for _, kind := range []string{"raw", "ours"} {
		b.ReportMetric(n/took[kind].Seconds(), kind+"-msg/s")
		b.ReportMetric(float64(spent[kind].Microseconds())/n, kind+"-cpu-µs/msg")
	}
	b.ReportMetric(took["raw"].Seconds()/took["ours"].Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

// flood measures one echo.
func flood(b *testing.B, address, kind string) (took, cpu time.Duration) {
	b.Helper()
	stop := echoing(b, kind, address)
	c, err := bench.Dial(address, floodDomain, echoSecret)
	if err != nil {
		b.Fatal(err)
	}
	took, err = c.Flood("echo@"+echoDomain, echoed, 30*time.Second, func(i int) string {
		return fmt.Sprintf("message %d of the flood, with some text in it", i)
	})
	if err != nil {
		b.Fatalf("%s: %v", kind, err)
	}
	if err := c.Close(); err != nil {
		b.Error(err)
	}
	return took, stop()
}
