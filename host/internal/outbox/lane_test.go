package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

var quick = outbox.Options{BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond}

// gate is a link whose calls wait until the test lets them go.
type gate struct {
	entered chan []sdk.Delivery
	leave   chan error
}

func newGate() *gate { return &gate{entered: make(chan []sdk.Delivery, 64), leave: make(chan error)} }

func (g *gate) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	g.entered <- batch
	select {
	case err := <-g.leave:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	receipts := make([]sdk.Receipt, len(batch))
	for i := range batch {
		receipts[i].Delivery = batch[i].ID
	}
	return receipts, nil
}

func fan(n int) []route.Rule {
	var rules []route.Rule
	for i := range n {
		rules = append(rules, route.Rule{ID: sdk.RouteID(fmt.Sprint("r", i)), From: ref(fmt.Sprint("a:", i)), To: []sdk.Ref{ref(fmt.Sprintf("b:%d@host%d", i, i/4))}})
	}
	return rules
}

func TestOneBatchInFlightInALaneAndLanesAreIndependent(t *testing.T) {
	h := startHost(t, t.TempDir(), fan(3), hostOptions{})
	g := newGate()
	h.out.Attach("b", g, outbox.AttachOptions{Concurrency: 2})
	for i := range 3 {
		for k := range 3 {
			h.publish(t, "a", create(fmt.Sprint(i), "romeo", fmt.Sprint(i, "-", k), "x"))
		}
	}
	first, second := <-g.entered, <-g.entered
	if first[0].Place == second[0].Place {
		t.Errorf("two batches in flight for %s", first[0].Place)
	}
	select {
	case b := <-g.entered:
		t.Errorf("a third batch, for %s, beyond the link's concurrency", b[0].Place)
	default:
	}
	places := map[sdk.RemoteID]int{first[0].Place: len(first), second[0].Place: len(second)}
	for total := len(first) + len(second); total < 9; {
		g.leave <- nil
		b := <-g.entered
		total += len(b)
		places[b[0].Place] += len(b)
	}
	g.leave <- nil
	g.leave <- nil
	if len(places) != 3 {
		t.Errorf("places = %v", places)
	}
}

func TestDetachMakesWhatWasInFlightUncertain(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	g := newGate()
	h.out.Attach("b", g, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "one"))
	<-g.entered
	h.publish(t, "a", create("room", "romeo", "m2", "two"))
	h.out.Detach("b")
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	got := s.wait(t, 2)
	if body(&got[0]) != "one" || !got[0].Uncertain || got[0].Since.IsZero() {
		t.Errorf("first = %+v, want it uncertain", got[0])
	}
	if body(&got[1]) != "two" || got[1].Uncertain {
		t.Errorf("second = %+v, want it certain", got[1])
	}
}

func TestUnsentIsNotUncertain(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: quick})
	s := newSink()
	once := true
	s.answer = func(*sdk.Delivery) sdk.Receipt {
		if once {
			once = false
			return sdk.Receipt{Err: sdk.Errorf(sdk.Transient, "join", "not in the room"), Unsent: true}
		}
		return sdk.Receipt{}
	}
	h.out.Attach("b", s, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "one"))
	if got := s.wait(t, 1)[0]; got.Uncertain || got.Attempt != 2 {
		t.Errorf("delivery = %+v", got)
	}
}

func TestRestartMarksPendingAsUncertain(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir, oneWay, hostOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "one"), create("room", "romeo", "m2", "two"))
	h.stop()
	h = startHost(t, dir, oneWay, hostOptions{})
	if d := h.out.Stats().Depth; d != 2 {
		t.Fatalf("depth after restart = %d", d)
	}
	s := newSink()
	h.publish(t, "a", create("room", "romeo", "m3", "three"))
	h.out.Attach("b", s, outbox.AttachOptions{})
	got := s.wait(t, 3)
	for i, want := range []bool{true, true, false} {
		if got[i].Uncertain != want {
			t.Errorf("%s: uncertain = %v, want %v", body(&got[i]), got[i].Uncertain, want)
		}
	}
}

// mortal is a plugin that dies of one text.
type mortal struct {
	*sink
	out  *outbox.Outbox
	died chan struct{}
}

func (m *mortal) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	for i := range batch {
		if body(&batch[i]) == "poison" {
			m.out.Crashed("b")
			m.died <- struct{}{}
			return nil, sdk.Errorf(sdk.Transient, "deliver", "connection to the plugin is lost")
		}
	}
	return m.sink.Deliver(ctx, batch)
}

func TestPoisonBecomesDeadLetterAndTheLaneMovesOn(t *testing.T) {
	rules := append(fan(1), route.Rule{ID: "x", From: ref("a:other"), To: []sdk.Ref{ref("b:other")}})
	h := startHost(t, t.TempDir(), rules, hostOptions{out: quick})
	m := &mortal{sink: newSink(), out: h.out, died: make(chan struct{}, 16)}
	h.publish(t, "a", create("0", "romeo", "m1", "before"), create("0", "romeo", "m2", "poison"), create("0", "romeo", "m3", "after"),
		create("other", "romeo", "m4", "innocent"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // the supervisor
		for {
			h.out.Attach("b", m, outbox.AttachOptions{})
			select {
			case <-m.died:
			case <-stop:
				return
			}
		}
	})
	got := m.wait(t, 3)
	out := h.outcomes(t, "a", 1)
	close(stop)
	wg.Wait()
	if len(out) != 1 || out[0].State != sdk.OutcomeDead || out[0].Origin != "m2" {
		t.Errorf("outcomes = %+v", out)
	}
	texts := map[string]bool{}
	for i := range got {
		texts[body(&got[i])] = true
	}
	if !texts["before"] || !texts["after"] || !texts["innocent"] {
		t.Errorf("delivered %v", texts)
	}
}

func TestPanicOfALinkInThisProcess(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: quick})
	s := newSink()
	s.fail = func(batch []sdk.Delivery) error {
		if body(&batch[0]) == "poison" {
			panic("nil map")
		}
		return nil
	}
	h.out.Attach("b", panics{s}, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "poison"), create("room", "romeo", "m2", "fine"))
	if got := s.wait(t, 1); body(&got[0]) != "fine" {
		t.Errorf("got %s", body(&got[0]))
	}
}

// panics delivers without the sink's lock held by a panic.
type panics struct{ s *sink }

func (p panics) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	for i := range batch {
		if body(&batch[i]) == "poison" {
			panic("nil map")
		}
	}
	return p.s.Deliver(ctx, batch)
}

func TestTooOldBecomesDeadLetter(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	h := startHost(t, t.TempDir(), oneWay, hostOptions{now: clock})
	h.publish(t, "a", create("room", "romeo", "m1", "old"))
	mu.Lock()
	now = now.Add(73 * time.Hour)
	mu.Unlock()
	h.publish(t, "a", create("room", "romeo", "m2", "new"))
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	if got := s.wait(t, 1); body(&got[0]) != "new" {
		t.Errorf("got %s", body(&got[0]))
	}
	if out := h.outcomes(t, "a", 1); out[0].State != sdk.OutcomeDead || out[0].Dedup != "m1" {
		t.Errorf("outcome = %+v", out)
	}
	// Retried by the operator it counts its age anew, or it would die again.
	if n, err := h.out.Retry(t.Context(), store.QueueFilter{}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	if got := s.wait(t, 2); body(&got[1]) != "old" {
		t.Errorf("after the retry got %s", body(&got[1]))
	}
}

// verdicts judges each delivery by itself, without sending it.
type verdicts func(d *sdk.Delivery) *sdk.Error

func (v verdicts) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	out := make([]sdk.Receipt, len(batch))
	for i := range batch {
		out[i] = sdk.Receipt{Delivery: batch[i].ID, Unsent: true, Err: v(&batch[i])}
	}
	return out, nil
}

// TestPardonSurvivesARestart: what was given up for its age and revived, and what
// waits between, have their time again, also when the host goes down before.
func TestPardonSurvivesARestart(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	dir := t.TempDir()
	h := startHost(t, dir, oneWay, hostOptions{now: clock})
	h.publish(t, "a", create("room", "romeo", "m1", "one"))
	pass(30 * time.Hour)
	h.publish(t, "a", create("room", "romeo", "m2", "two"), create("room", "romeo", "m3", "three"))
	pass(50 * time.Hour) // m1 is too old
	h.out.Attach("b", verdicts(func(d *sdk.Delivery) *sdk.Error {
		if body(d) == "three" {
			return sdk.Errorf(sdk.Forbidden, "send", "not that")
		}
		return sdk.Errorf(sdk.Transient, "send", "not now")
	}), outbox.AttachOptions{})
	h.outcomes(t, "a", 2)
	h.out.Detach("b")
	if n, err := h.out.Retry(t.Context(), store0); n != 3 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	pass(30 * time.Hour) // m2 would be too old
	h.stop()

	h = startHost(t, dir, oneWay, hostOptions{now: clock})
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	got := s.wait(t, 3)
	if body(&got[0]) != "one" || body(&got[1]) != "two" || body(&got[2]) != "three" {
		t.Errorf("got %q, %q, %q", body(&got[0]), body(&got[1]), body(&got[2]))
	}
}

// TestDeadLetterNamesTheLastFailure also shows that the lane of a delivery that
// grows too old does not sleep through that moment.
func TestDeadLetterNamesTheLastFailure(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: outbox.Options{MaxAge: 300 * time.Millisecond, BackoffMin: time.Hour}})
	s := newSink()
	s.answer = func(*sdk.Delivery) sdk.Receipt {
		return sdk.Receipt{Err: &sdk.Error{Op: "join", Kind: sdk.Transient, Public: "the room has banned us"}, Unsent: true}
	}
	h.out.Attach("b", s, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "x"))
	if out := h.outcomes(t, "a", 1); out[0].State != sdk.OutcomeDead {
		t.Fatalf("outcome = %+v", out)
	}
	letters, err := h.out.Dead(t.Context(), store.QueueFilter{})
	if err != nil || len(letters) != 1 || letters[0].Reason != "it could not be delivered for 300ms; last: the room has banned us" {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

func TestDeadHostDoesNotHoldOthersUp(t *testing.T) {
	h := startHost(t, t.TempDir(), fan(8), hostOptions{out: outbox.Options{BackoffMin: 20 * time.Millisecond, BackoffMax: 50 * time.Millisecond}})
	s := newSink()
	down := true
	tries := 0
	s.answer = func(d *sdk.Delivery) sdk.Receipt {
		if d.Place < "4@" && down {
			tries++
			return sdk.Receipt{Err: sdk.Errorf(sdk.Transient, "post", "connection refused"), Unsent: true}
		}
		return sdk.Receipt{}
	}
	h.out.Attach("b", s, outbox.AttachOptions{})
	for i := range 8 {
		h.publish(t, "a", create(fmt.Sprint(i), "romeo", fmt.Sprint("m", i), "x"))
	}
	for _, d := range s.wait(t, 4) {
		if d.Place < "4@" {
			t.Errorf("delivered to dead host: %s", d.Place)
		}
	}
	s.mu.Lock()
	down = false
	s.mu.Unlock()
	s.wait(t, 8)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: quick})
	s := newSink()
	var first time.Time
	s.answer = func(*sdk.Delivery) sdk.Receipt {
		if first.IsZero() {
			first = time.Now()
			return sdk.Receipt{Unsent: true, Err: &sdk.Error{Kind: sdk.RateLimited, After: 200 * time.Millisecond, Err: errors.New("429")}}
		}
		return sdk.Receipt{}
	}
	h.out.Attach("b", s, outbox.AttachOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "x"))
	s.wait(t, 1)
	if d := time.Since(first); d < 200*time.Millisecond {
		t.Errorf("tried again after %v, want 200 ms", d)
	}
}

func TestDeepLaneIsReadFromDiskInOrder(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{out: outbox.Options{Window: 8 << 10}, in: noBreaker.in})
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{BatchMax: 7})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 300 {
			h.publish(t, "a", create("room", "romeo", fmt.Sprint("m", i), fmt.Sprint(i)))
		}
	})
	for i, d := range s.wait(t, 300) {
		if body(&d) != fmt.Sprint(i) {
			t.Fatalf("delivery %d is %s", i, body(&d))
		}
	}
	wg.Wait()
}

func TestDropPendingAndDead(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	h.publish(t, "a", create("room", "romeo", "m1", "one"), create("room", "romeo", "m2", "two"))
	list, err := h.out.List(t.Context(), store0)
	if err != nil || len(list) != 2 {
		t.Fatalf("list = %+v, %v", list, err)
	}
	if n, err := h.out.Drop(t.Context(), []sdk.DeliveryID{list[0].ID}); n != 1 || err != nil {
		t.Fatalf("drop = %d, %v", n, err)
	}
	s := newSink()
	h.out.Attach("b", s, outbox.AttachOptions{})
	if got := s.wait(t, 1); body(&got[0]) != "two" {
		t.Errorf("got %s", body(&got[0]))
	}
	if d := h.out.Stats().Depth; d != 0 {
		h.outcomes(t, "nobody", 0)
	}
}

func TestSignalGoesThroughAnIdleLane(t *testing.T) {
	h := startHost(t, t.TempDir(), oneWay, hostOptions{})
	g := newGate()
	h.out.Attach("b", g, outbox.AttachOptions{})
	h.publish(t, "a", sdk.Event{Place: sdk.Ref{ID: "room"}, Actor: actor("romeo"), Change: sdk.Signal{Signal: sdk.SignalTyping}})
	b := <-g.entered
	if b[0].Event.Kind() != sdk.KindSignal || b[0].Place != "room" {
		t.Errorf("got %+v", b[0])
	}
	h.publish(t, "a", create("room", "romeo", "m1", "x"))
	select {
	case b := <-g.entered:
		t.Errorf("two calls for one place: %+v", b)
	default:
	}
	g.leave <- nil
	if b := <-g.entered; body(&b[0]) != "x" {
		t.Errorf("got %+v", b[0])
	}
	g.leave <- nil
}

// TestRetryReachesEverything: more dead letters than one listing has, and lanes
// behind one that is deep.
func TestRetryReachesEverything(t *testing.T) {
	rules := []route.Rule{{ID: "r1", From: ref("a:room"), To: []sdk.Ref{ref("b:room")}}, {ID: "r2", From: ref("a:hall"), To: []sdk.Ref{ref("b:hall")}}}
	h := startHost(t, t.TempDir(), rules, hostOptions{out: outbox.Options{BackoffMin: time.Hour}, in: noBreaker.in})
	const n = 1500
	var events []sdk.Event
	for i := range n {
		events = append(events, create("room", "romeo", fmt.Sprint("m", i), fmt.Sprint("text ", i)))
	}
	h.publish(t, "a", events[:1000]...)
	h.publish(t, "a", events[1000:]...)
	h.publish(t, "a", create("hall", "romeo", "h1", "in the hall"))
	verdict := func(d *sdk.Delivery) *sdk.Error {
		if d.Place == "hall" {
			return sdk.Errorf(sdk.Transient, "send", "not now")
		}
		return sdk.Errorf(sdk.Forbidden, "send", "banned")
	}
	h.out.Attach("b", verdicts(verdict), outbox.AttachOptions{})
	h.outcomes(t, "a", n)
	for h.out.Stats().Links[0].Backoff != 1 {
		time.Sleep(time.Millisecond)
	}
	s := newSink()
	h.out.Detach("b")
	h.out.Attach("b", s, outbox.AttachOptions{})
	if got, err := h.out.Retry(t.Context(), store.QueueFilter{Link: "b", Place: "room"}); got != n || err != nil {
		t.Errorf("retry of the room: %d, %v; want %d", got, err, n)
	}
	for i, d := range s.wait(t, n) {
		if want := fmt.Sprint("text ", i); body(&d) != want {
			t.Fatalf("delivery %d is %q, want %q", i, body(&d), want)
		}
	}
	for h.out.Stats().Depth != 1 { // receipts are written after the sink has seen all
		time.Sleep(time.Millisecond)
	}
	if got, err := h.out.Retry(t.Context(), store.QueueFilter{}); got != 1 || err != nil {
		t.Errorf("retry of all: %d, %v", got, err)
	}
	if got := s.wait(t, n+1); body(&got[n]) != "in the hall" {
		t.Errorf("got %q", body(&got[n]))
	}
}
