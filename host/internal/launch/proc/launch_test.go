package proc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/wire"
)

// Arguments with which the test binary becomes something else.
const (
	asEcho  = "as-echo-plugin"
	asHost  = "as-host"
	asNoise = "as-noise"
	asMute  = "as-mute"

	envRole = "BRIDGEHOST_TEST_ROLE" // the same for a process without arguments
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	if role != "" {
		switch role {
		case asEcho:
			wire.Serve(sdktest.Echo{})
			return
		case asNoise:
			fmt.Println(strings.Join(os.Args[2:], " "))
			select {}
		case asMute:
			select {}
		case asHost:
			beHost(os.Args[2])
			return
		}
	}
	os.Exit(m.Run())
}

// beHost runs a host that starts a plugin, prints its process id, and stays.
func beHost(dir string) {
	r, err := OpenRuntime(dir)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := Launch(context.Background(), Spec{Name: "echo", Self: []string{asEcho}, RuntimeDir: r.Dir(), Log: quiet()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	<-p.Done()
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newRuntime opens a runtime folder of the test's own.
func newRuntime(t *testing.T) *Runtime {
	t.Helper()
	dir, err := os.MkdirTemp("", "bhproc")
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return r
}

// launch starts the echo plugin, and kills it at the end of the test.
func launch(t *testing.T, change func(*Spec)) *Process {
	t.Helper()
	spec := Spec{Name: "echo", Self: []string{asEcho}, RuntimeDir: newRuntime(t).Dir(), Log: quiet()}
	if change != nil {
		change(&spec)
	}
	p, err := Launch(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// open opens a link of the process with a fake host.
func open(t *testing.T, p *Process) (sdk.Facets, *sdktest.Host) {
	t.Helper()
	h := sdktest.NewHost(nil)
	l, err := p.Plugin().Open(sdk.Config{Link: "echo"}, h)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.FacetsOf(l), h
}

func newFakeHost() sdk.Host { return sdktest.NewHost(nil) }

func command(t *testing.T, f sdk.Facets, words ...string) string {
	t.Helper()
	text, err := f.Commander.Command(t.Context(), sdk.Invocation{Name: words[0], Args: words[1:]})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLaunchDeliversAndPublishes(t *testing.T) {
	p := launch(t, nil)
	if got := p.Plugin().Describe().ID; got != "echo" {
		t.Errorf("plugin id = %q, want echo", got)
	}
	f, h := open(t, p)
	receipts, err := f.Deliverer.Deliver(t.Context(), []sdk.Delivery{{ID: "d1", Place: "room", Event: sdk.Event{
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "i1", Text: sdk.NewText("hello")}}}}})
	if err != nil || len(receipts) != 1 || receipts[0].Err != nil {
		t.Fatalf("receipts = %+v, %v", receipts, err)
	}
	e := <-h.Events()
	if got := e.Item().Body(); got != "hello" {
		t.Errorf("echoed %q, want hello", got)
	}
	if got := command(t, f, "pid"); got != fmt.Sprint(p.Pid()) {
		t.Errorf("plugin's pid = %s, want %d", got, p.Pid())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	p.Stop(ctx)
	if err := p.Err(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
