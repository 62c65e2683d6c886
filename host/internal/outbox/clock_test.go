package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// memory is a database that forgets nothing and has nothing.
type memory struct{}

func (memory) Lanes(context.Context) ([]store.Lane, error) { return nil, nil }
func (memory) Pending(context.Context, int64, int64, int, int) ([]store.Pending, error) {
	return nil, nil
}
func (memory) Settle(_ *store.Settlement, done func(error)) { done(nil) }
func (memory) Resolve(context.Context, sdk.Ref, bool, []store.Key) (map[store.Key]store.Resolved, error) {
	return nil, nil
}
func (memory) Puppet(context.Context, int64, sdk.LinkID) (sdk.RemoteID, error) { return "", nil }
func (memory) Names() store.Names                                              { return store.Names{Prefix: "t"} }

// bubble runs an outbox over memory in the fake time of a test bubble.
func bubble(t *testing.T, f func(t *testing.T, o *outbox.Outbox)) {
	synctest.Test(t, func(t *testing.T) {
		o := outbox.New(outbox.Deps{Store: memory{}, Options: outbox.Options{Seed: 1}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := o.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		<-o.Ready()
		f(t, o)
		cancel()
		wg.Wait()
	})
}

func feed(o *outbox.Outbox, seq, lane int64, place string) {
	ev := create("room", "romeo", fmt.Sprint("m", seq), fmt.Sprint(seq))
	ev.Place.Link = "a"
	o.Feed([]*store.Entry{{Event: &ev, Seq: seq, ItemID: seq, Body: make([]byte, 100),
		Deliveries: []store.Delivery{{To: sdk.Ref{Link: "b", ID: sdk.RemoteID(place)}, Lane: lane}}}})
}

// tries records when what was tried, and answers by a function.
type tries struct {
	mu     sync.Mutex
	at     []time.Time
	places []sdk.RemoteID
	answer func(n int, d *sdk.Delivery) *sdk.Error
}

func (s *tries) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	s.places = append(s.places, batch[0].Place)
	r := make([]sdk.Receipt, len(batch))
	for i := range batch {
		r[i] = sdk.Receipt{Delivery: batch[i].ID, Err: s.answer(len(s.at), &batch[0])}
	}
	return r, nil
}

func TestBackoffDoublesToItsCap(t *testing.T) {
	bubble(t, func(t *testing.T, o *outbox.Outbox) {
		s := &tries{answer: func(n int, _ *sdk.Delivery) *sdk.Error {
			if n <= 16 {
				return sdk.Errorf(sdk.Transient, "send", "away")
			}
			return nil
		}}
		o.Attach("b", s, outbox.AttachOptions{})
		feed(o, 1, 1, "room")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(s.at) != 17 {
			t.Fatalf("%d tries in a day, want 17", len(s.at))
		}
		for i := 1; i < len(s.at); i++ {
			want := min(time.Second<<(i-1), time.Hour)
			if got := s.at[i].Sub(s.at[i-1]); got < want*79/100 || got > want*121/100 {
				t.Errorf("try %d came after %v, want %v within a fifth", i+1, got, want)
			}
		}
	})
}

func TestRetryAfterIsExact(t *testing.T) {
	bubble(t, func(t *testing.T, o *outbox.Outbox) {
		s := &tries{answer: func(n int, _ *sdk.Delivery) *sdk.Error {
			if n == 1 {
				return &sdk.Error{Kind: sdk.RateLimited, After: 40 * time.Minute}
			}
			return nil
		}}
		o.Attach("b", s, outbox.AttachOptions{})
		feed(o, 1, 1, "room")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.at) != 2 || s.at[1].Sub(s.at[0]) != 40*time.Minute {
			t.Errorf("tries at %v", s.at)
		}
	})
}

// A host that is down is asked by one lane at a time, however many lanes wait;
// when it answers again all of them run at once.
func TestBreakerOfAHostSendsOneProbe(t *testing.T) {
	const lanes = 50
	bubble(t, func(t *testing.T, o *outbox.Outbox) {
		start := time.Now()
		s := &tries{answer: func(_ int, d *sdk.Delivery) *sdk.Error {
			if d.Place != "x@up.example" && time.Since(start) < 2*time.Hour {
				return sdk.Errorf(sdk.Transient, "post", "refused")
			}
			return nil
		}}
		o.Attach("b", s, outbox.AttachOptions{Concurrency: 1})
		for i := range int64(lanes) {
			feed(o, i+1, i+1, fmt.Sprintf("u%d@down.example", i))
		}
		feed(o, lanes+1, lanes+1, "x@up.example")
		time.Sleep(2*time.Hour - time.Second)
		synctest.Wait()
		s.mu.Lock()
		down, up := 0, 0
		for _, p := range s.places {
			if p == "x@up.example" {
				up++
			} else {
				down++
			}
		}
		s.mu.Unlock()
		if up != 1 || down > 40 {
			t.Errorf("%d tries at the dead host in two hours by %d lanes, %d at the other", down, lanes, up)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if d := o.Stats().Depth; d != 0 {
			t.Errorf("%d deliveries are left", d)
		}
	})
}
