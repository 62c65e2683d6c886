package supervise

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// stage is a launcher, its instances, and who attaches them, in one: it writes
// down what happens.
type stage struct {
	mu      sync.Mutex
	log     []string
	crashes map[string]int // by version: how often Run ends at once
	end     error          // with what it ends; nil = boom
	refuse  map[string]error
	reports bool // the plugin reports its own state
	live    int
}

func (s *stage) note(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, strings.Join(words, " "))
}

func (s *stage) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.log
	s.log = nil
	return out
}

func (s *stage) Launch(_ context.Context, spec Spec) (Instance, error) {
	if err := s.refuse[spec.Version]; err != nil {
		return nil, err
	}
	s.note("launch", string(spec.Link), spec.Version)
	s.mu.Lock()
	s.live++
	s.mu.Unlock()
	return &actorInstance{stage: s, spec: spec}, nil
}

func (s *stage) Attach(link sdk.LinkID, _ sdk.Manifest, f sdk.Facets, _ web.Handler) error {
	if f.Placer == nil {
		return errors.New("facet placer not detected")
	}
	s.note("attach", string(link))
	return nil
}

func (s *stage) Detach(link sdk.LinkID, why Leave) {
	if why != Gone {
		s.note("suspend", string(link))
		return
	}
	s.note("detach", string(link))
}

type actorInstance struct {
	stage *stage
	spec  Spec
	host  sdk.Host
}

func (i *actorInstance) Plugin() sdk.Plugin    { return i }
func (i *actorInstance) Done() <-chan struct{} { return nil }
func (i *actorInstance) Describe() sdk.Manifest {
	return sdk.Manifest{Version: i.spec.Version, Reports: i.stage.reports}
}

func (i *actorInstance) Close() error {
	i.stage.note("close", string(i.spec.Link), i.spec.Version)
	i.stage.mu.Lock()
	defer i.stage.mu.Unlock()
	i.stage.live--
	return nil
}

func (i *actorInstance) Open(_ sdk.Config, h sdk.Host) (sdk.Link, error) {
	i.host = h
	return i, nil
}

func (i *actorInstance) Run(ctx context.Context) error {
	i.stage.mu.Lock()
	left := i.stage.crashes[i.spec.Version]
	if left > 0 {
		i.stage.crashes[i.spec.Version]--
	}
	i.stage.mu.Unlock()
	if left > 0 {
		if i.stage.end != nil {
			return i.stage.end
		}
		return errors.New("boom")
	}
	<-ctx.Done()
	return ctx.Err()
}

func (i *actorInstance) SetPlaces(_ context.Context, places []sdk.PlaceUse) error {
	for _, p := range places {
		i.stage.note("place", string(p.ID))
	}
	return nil
}

func begin(t *testing.T, s *stage, specs ...Spec) (sup *Supervisor, stop func()) {
	t.Helper()
	sup = New(Options{Launcher: s, Attachment: s, Log: slog.New(slog.DiscardHandler),
		NewHost: func(Spec, func(...sdk.Report)) sdk.Host { return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- sup.Run(ctx, specs, func() { close(ready) }) }()
	<-ready
	synctest.Wait()
	return sup, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if s.live != 0 {
			t.Errorf("%d instances left open", s.live)
		}
	}
}

func expect(t *testing.T, s *stage, want ...string) {
	t.Helper()
	if got := s.notes(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCrashStartsAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{crashes: map[string]int{"1": 2}}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1"})
		expect(t, s, "launch a 1", "attach a", "suspend a", "close a 1", "launch a 1", "attach a", "suspend a", "close a 1")
		if st := sup.Status()[0]; st.State != sdk.StateDegraded || !strings.Contains(st.Reason, "boom") {
			t.Errorf("state %v, reason %q; want degraded by boom", st.State, st.Reason)
		}
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		expect(t, s)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		expect(t, s, "launch a 1", "attach a")
		if st := sup.Status()[0]; st.State != sdk.StateUp || st.Restarts != 2 {
			t.Errorf("state %v after %d restarts; want up after 2", st.State, st.Restarts)
		}
		stop()
	})
}

func TestThreeCrashesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{crashes: map[string]int{"1": 99}}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1"}, Spec{Link: "b", Version: "2"})
		time.Sleep(time.Hour)
		synctest.Wait()
		st := sup.Status()
		if st[0].State != sdk.StateFailed || !strings.Contains(st[0].Reason, "bridgehost plugin restart a") {
			t.Errorf("a is %v (%s); want failed with the remedy", st[0].State, st[0].Reason)
		}
		if st[1].State != sdk.StateUp {
			t.Errorf("b is %v; want up", st[1].State)
		}
		s.mu.Lock()
		s.crashes["1"] = 0
		s.mu.Unlock()
		if !sup.Restart("a") {
			t.Error("Restart did not find a")
		}
		synctest.Wait()
		if st := sup.Status()[0]; st.State != sdk.StateUp {
			t.Errorf("a is %v after Restart; want up", st.State)
		}
		stop()
	})
}

func TestApplyTouchesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		keep := Spec{Link: "keep", Version: "1"}
		sup, stop := begin(t, s, keep, Spec{Link: "gone", Version: "1"}, Spec{Link: "change", Version: "1"})
		s.notes()
		keep.Config.Places = []sdk.PlaceUse{{ID: "room"}}
		sup.Apply([]Spec{keep, {Link: "change", Version: "2"}, {Link: "new", Version: "1"}})
		synctest.Wait()
		got := s.notes()
		for _, want := range []string{"place room", "detach gone", "close gone 1", "close change 1", "launch change 2", "launch new 1"} {
			if !slices.Contains(got, want) {
				t.Errorf("%q missing in %q", want, got)
			}
		}
		if slices.Contains(got, "close keep 1") {
			t.Errorf("the unchanged link was touched: %q", got)
		}
		stop()
	})
}

func TestSwapStartsTheNewBesideTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{refuse: map[string]error{"bad": errors.New("no such export")}}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1", Swap: true})
		s.notes()
		sup.Apply([]Spec{{Link: "a", Version: "2", Swap: true}})
		synctest.Wait()
		expect(t, s, "launch a 2", "attach a", "close a 1")
		sup.Apply([]Spec{{Link: "a", Version: "bad", Swap: true}})
		synctest.Wait()
		expect(t, s)
		if st := sup.Status()[0]; st.State != sdk.StateDegraded || !strings.Contains(st.Reason, "the old one goes on") {
			t.Errorf("state %v (%s); want degraded with the old one going on", st.State, st.Reason)
		}
		stop()
	})
}

// mute is an instance that answers no ping while it hangs.
type mute struct {
	*actorInstance
	hangs func() bool
}

func (m mute) Ping(ctx context.Context) error {
	if !m.hangs() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// muteStage launches mute instances of which the first hangs.
type muteStage struct {
	stage
	launched atomic.Int64
}

func (s *muteStage) Launch(ctx context.Context, spec Spec) (Instance, error) {
	inst, err := s.stage.Launch(ctx, spec)
	if err != nil {
		return nil, err
	}
	n := s.launched.Add(1)
	return mute{inst.(*actorInstance), func() bool { return n == 1 }}, nil
}

func TestPL15HangingPluginStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &muteStage{}
		sup := New(Options{Launcher: s, Attachment: s, Log: slog.New(slog.DiscardHandler),
			NewHost: func(Spec, func(...sdk.Report)) sdk.Host { return nil }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- sup.Run(ctx, []Spec{{Link: "a", Version: "1"}}, nil) }()
		time.Sleep(24 * time.Second)
		synctest.Wait()
		if s.launched.Load() != 1 {
			t.Errorf("%d instances after one missed ping, want 1", s.launched.Load())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := sup.Status()[0]; s.launched.Load() != 2 || st.State != sdk.StateUp || st.Restarts != 1 {
			t.Errorf("%d instances, state %v, %d restarts; want a second one, up, after 1 restart", s.launched.Load(), st.State, st.Restarts)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestStartingUntilReported holds back a link that says itself when it is up, also when it is exchanged.
func TestStartingUntilReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{reports: true}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1", Swap: true})
		if st := sup.Status()[0]; st.State != sdk.StateStarting {
			t.Errorf("before its first report the link is %v; want starting", st.State)
		}
		sup.keepers()["a"].report(sdk.Report{State: sdk.StateUp, Reason: "connected"})
		if st := sup.Status()[0]; st.State != sdk.StateUp || st.Reason != "connected" {
			t.Errorf("after its report the link is %v (%s); want up, connected", st.State, st.Reason)
		}
		sup.Apply([]Spec{{Link: "a", Version: "2", Swap: true}})
		synctest.Wait()
		if st := sup.Status()[0]; st.State != sdk.StateStarting {
			t.Errorf("after the exchange the link is %v; want starting", st.State)
		}
		stop()
	})
}

func TestReportsOfPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1"})
		caps := &sdk.Capabilities{Features: []sdk.Feature{sdk.FeatureReply}}
		sup.keepers()["a"].report(sdk.Report{Place: "room", State: sdk.StateDown, Reason: "banned", Capabilities: caps})
		if p := sup.Status()[0].Places["room"]; p.StateName != "down" || p.Reason != "banned" {
			t.Errorf("place is %+v; want down by banned", p)
		}
		if c, ok := sup.Capabilities(sdk.Ref{Link: "a", ID: "room"}); !ok || !c.Has(sdk.FeatureReply) {
			t.Errorf("capabilities %+v, %v; want reply", c, ok)
		}
		stop()
	})
}

func TestReportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1"})
		k := sup.keepers()["a"]
		for i := range maxPlaces + 10 {
			k.report(sdk.Report{Place: sdk.RemoteID(strconv.Itoa(i)), State: sdk.StateUp})
		}
		k.report(sdk.Report{Place: "0", State: sdk.StateDown, Reason: strings.Repeat("ü", maxRemark)})
		st := sup.Status()[0]
		if n := len(st.Places); n != maxPlaces {
			t.Errorf("%d places are remembered, want %d", n, maxPlaces)
		}
		if r := st.Places["0"].Reason; len(r) > maxRemark+len("…") || !strings.HasSuffix(r, "ü…") {
			t.Errorf("reason of %d bytes ends with %q", len(r), r[len(r)-5:])
		}
		stop()
	})
}

// A link whose place somebody else has taken is not started again: the two would
// throw each other out for ever.
func TestConflictIsNotFought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{crashes: map[string]int{"1": 1}, end: &sdk.Error{Op: "run link a", Kind: sdk.Conflict, Public: "another program has connected in our name"}}
		sup, stop := begin(t, s, Spec{Link: "a", Version: "1"})
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, s, "launch a 1", "attach a", "suspend a", "close a 1", "detach a")
		if st := sup.Status()[0]; st.State != sdk.StateFailed || !strings.Contains(st.Reason, "in our name") {
			t.Errorf("a is %v (%s); want failed for the conflict", st.State, st.Reason)
		}
		stop()
	})
}
