package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// shelf keeps outcomes as the database does.
type shelf struct {
	mu   sync.Mutex
	last int64
	rows []store.OutcomeRow
	err  error
}

func (s *shelf) put(link sdk.LinkID, outcomes ...sdk.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range outcomes {
		s.last++
		s.rows = append(s.rows, store.OutcomeRow{ID: s.last, To: link, Outcome: o})
	}
}

func (s *shelf) Outcomes(_ context.Context, link sdk.LinkID, after int64, limit int) ([]store.OutcomeRow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []store.OutcomeRow
	for _, r := range s.rows {
		if r.To == link && r.ID > after && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, s.err
}

func (s *shelf) OutcomesTaken(_ context.Context, link sdk.LinkID, upto int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.rows[:0]
	for _, r := range s.rows {
		if r.To != link || r.ID > upto {
			kept = append(kept, r)
		}
	}
	s.rows = kept
	return s.err
}

func (s *shelf) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows)
}

// ear writes down what a link is told, a line for each call.
type ear struct {
	mu     sync.Mutex
	calls  []string
	answer func(ctx context.Context, outcomes []sdk.Outcome) error
}

func (e *ear) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	var words []string
	for _, o := range outcomes {
		words = append(words, o.Dedup)
	}
	e.mu.Lock()
	e.calls = append(e.calls, strings.Join(words, " "))
	e.mu.Unlock()
	if e.answer != nil {
		return e.answer(ctx, outcomes)
	}
	return nil
}

func (e *ear) heard() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.calls, ", ")
}

func failed(dedup string) sdk.Outcome { return sdk.Outcome{Dedup: dedup, State: sdk.OutcomeDead} }

// informing runs an informer in a bubble of time.
func informing(t *testing.T, f func(t *testing.T, i *informer, s *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i, s := newInformer(slog.New(slog.DiscardHandler)), &shelf{}
		i.store = s
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { i.run(ctx) })
		defer wg.Wait()
		defer cancel()
		f(t, i, s)
		synctest.Wait()
	})
}

// tellLater stores an outcome and says so, as the outbox does.
func tellLater(i *informer, s *shelf, link sdk.LinkID, outcomes ...sdk.Outcome) {
	for _, o := range outcomes {
		if i.hears(link) && o.State != sdk.OutcomeUnrouted {
			s.put(link, o)
		}
	}
	i.inform(link, outcomes)
}

func wantHeard(t *testing.T, e *ear, s *shelf, want string, left int) {
	t.Helper()
	synctest.Wait()
	if got := e.heard(); got != want || s.left() != left {
		t.Errorf("heard %q with %d left, want %q with %d", got, s.left(), want, left)
	}
}

func TestOutcomesOfBeforeTheStart(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		s.put("a", failed("1"), failed("2"), sdk.Outcome{}, failed("3"))
		s.put("b", failed("4"))
		e := &ear{}
		i.attach("a", e)
		wantHeard(t, e, s, "1 2 3", 1) // the damaged one is passed over
		tellLater(i, s, "a", failed("5"), sdk.Outcome{Dedup: "6", State: sdk.OutcomeUnrouted})
		synctest.Wait()
		if got := e.heard(); s.left() != 1 || !strings.HasSuffix(got, ", 6, 5") {
			t.Errorf("heard %q with %d left", got, s.left())
		}
	})
}

// TestLinkThatIsAway is told when it comes back, and again when it may not have
// heard; what it was told once is not repeated.
func TestLinkThatIsAway(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		tellLater(i, s, "a", failed("1"))
		e := &ear{}
		wantHeard(t, e, s, "", 1)
		i.attach("a", e)
		wantHeard(t, e, s, "1", 0)
		i.detach("a", supervise.Ended)
		tellLater(i, s, "a", failed("2"))
		wantHeard(t, e, s, "1", 1)
		i.attach("a", e)
		wantHeard(t, e, s, "1, 2", 0)
		i.detach("a", supervise.Gone)
		tellLater(i, s, "a", failed("3"))
		i.attach("a", e)
		wantHeard(t, e, s, "1, 2, 3", 0)
	})
}

// TestLinkThatFailsToListen gets the same again after a pause that grows, one by
// one, and then the rest at once.
func TestLinkThatFailsToListen(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		e := &ear{answer: func(context.Context, []sdk.Outcome) error { return errors.New("not now") }}
		s.put("a", failed("1"), failed("2"))
		i.attach("a", e)
		wantHeard(t, e, s, "1 2", 2)
		time.Sleep(informPause)
		wantHeard(t, e, s, "1 2, 1", 2)
		time.Sleep(informPause)
		wantHeard(t, e, s, "1 2, 1", 2)
		time.Sleep(informPause)
		wantHeard(t, e, s, "1 2, 1, 1", 2)
		time.Sleep(time.Hour) // it does not give up, and does not ask more often than once a minute
		synctest.Wait()
		e.mu.Lock()
		n := len(e.calls)
		e.calls, e.answer = nil, nil
		e.mu.Unlock()
		if n < 40 || n > 80 || s.left() != 2 {
			t.Errorf("%d calls in an hour, %d left", n, s.left())
		}
		time.Sleep(informPauses)
		wantHeard(t, e, s, "1, 2", 0)
	})
}

// TestOutcomeThatIsRefused does not keep later ones from the link for ever.
func TestOutcomeThatIsRefused(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		e := &ear{answer: func(_ context.Context, outcomes []sdk.Outcome) error {
			if outcomes[0].Dedup == "bad" {
				return sdk.Errorf(sdk.Invalid, "inform", "what is this")
			}
			return nil
		}}
		s.put("a", failed("bad"), failed("good"))
		i.attach("a", e)
		time.Sleep(time.Hour)
		wantHeard(t, e, s, "bad good, bad, bad, bad, bad, good", 0)
	})
}

// TestOutcomeThatKills is given up before it drives the link into the failed state:
// the plugin may die of it twice, whether the call or the process is missed first.
func TestOutcomeThatKills(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprint("noticed early ", early), func(t *testing.T) {
			informing(t, func(t *testing.T, i *informer, s *shelf) {
				e := &ear{}
				e.answer = func(_ context.Context, outcomes []sdk.Outcome) error {
					if outcomes[0].Dedup != "bad" {
						return nil
					}
					if early {
						i.detach("a", supervise.Crashed)
					}
					return errors.New("connection lost")
				}
				s.put("a", failed("bad"), failed("good"))
				for range 3 {
					i.attach("a", e)
					synctest.Wait()
					if !early && s.left() > 0 {
						i.detach("a", supervise.Crashed)
					}
				}
				wantHeard(t, e, s, "bad good, bad, good", 0)
			})
		})
	}
}

// TestLinkThatDoesNotListen costs nothing, and loses what was kept for it when it
// still might.
func TestLinkThatDoesNotListen(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		tellLater(i, s, "a", failed("1"))
		i.attach("a", nil)
		synctest.Wait()
		if s.left() != 0 || i.hears("a") || !i.hears("b") {
			t.Errorf("%d left, hears %v", s.left(), i.hears("a"))
		}
		tellLater(i, s, "a", failed("2"))
		e := &ear{}
		i.attach("a", e) // a new version wants to hear
		tellLater(i, s, "a", failed("3"))
		wantHeard(t, e, s, "3", 0)
	})
}

// TestSlowLink loses the oldest of what is only in memory.
func TestSlowLink(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		hold := make(chan struct{})
		var got int
		e := &ear{answer: func(_ context.Context, outcomes []sdk.Outcome) error {
			<-hold
			got += len(outcomes)
			return nil
		}}
		i.attach("a", e)
		unrouted := sdk.Outcome{State: sdk.OutcomeUnrouted}
		i.inform("a", []sdk.Outcome{unrouted})
		synctest.Wait()
		for range informQueue + 10 {
			i.inform("a", []sdk.Outcome{unrouted})
		}
		close(hold)
		synctest.Wait()
		if got != informQueue+1 {
			t.Errorf("told %d, want %d", got, informQueue+1)
		}
	})
}

// TestBrokenShelf waits for a database that cannot be read.
func TestBrokenShelf(t *testing.T) {
	informing(t, func(t *testing.T, i *informer, s *shelf) {
		s.put("a", failed("1"))
		s.err = errors.New("disk")
		e := &ear{}
		i.attach("a", e)
		wantHeard(t, e, s, "", 1)
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		time.Sleep(informPause)
		wantHeard(t, e, s, "1", 0)
	})
}
