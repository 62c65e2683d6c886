package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// store is an sdk.Store in memory that counts writes and can fail.
type store struct {
	mu     sync.Mutex
	m      map[string][]byte
	writes int
	reads  int
	err    error
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.m[key], nil
}

func (s *store) Set(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.writes++
	if value == nil {
		delete(s.m, key)
	} else {
		s.m[key] = slices.Clone(value)
	}
	return nil
}

func (s *store) Keys(_ context.Context, prefix, after string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.m {
		if strings.HasPrefix(k, prefix) && k > after {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 3)], nil // small pages, so that paging is tried
}

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(s *store, c *clock, limit int) *Memory {
	return New(Options{Store: s, Prefix: "seen/a/", Keep: time.Hour, Max: limit, Now: c.now})
}

func use(t *testing.T, m *Memory, note uint64, names ...string) *Record {
	t.Helper()
	rec, claim, err := m.Begin(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	if claim != nil {
		if err := claim.Commit(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	return rec
}

func TestRemembersOverARestart(t *testing.T) {
	s, c := &store{m: map[string][]byte{"other": {1}}}, &clock{time.Unix(1000, 0)}
	m := open(s, c, 10_000)
	for i := range 1000 {
		if rec := use(t, m, uint64(i), fmt.Sprint("n", i)); rec != nil {
			t.Fatalf("name %d was known: %+v", i, rec)
		}
	}
	m = open(s, c, 10_000)
	reads := 0
	for i := range 1000 {
		rec := use(t, m, 0, fmt.Sprint("n", i))
		if rec == nil || rec.Note != uint64(i) || !rec.At.Equal(c.t) {
			t.Fatalf("name %d after the restart: %+v", i, rec)
		}
		if i == 0 {
			reads = s.reads
		}
	}
	if s.reads != reads || s.writes != 1000 {
		t.Errorf("%d reads after loading, %d writes; want 0 and 1000", s.reads-reads, s.writes)
	}
	c.t = c.t.Add(time.Hour + 2*time.Second)
	if rec := use(t, m, 7, "n5"); rec != nil {
		t.Errorf("name known after Keep: %+v", rec)
	}
	if rec := use(t, m, 0, "x", "n5"); rec == nil || rec.Note != 7 {
		t.Errorf("second use: %+v, want note 7", rec)
	}
}

func TestBounded(t *testing.T) {
	s, c := &store{m: map[string][]byte{}}, &clock{time.Unix(1000, 0)}
	m := open(s, c, 256)
	for i := range 5000 {
		use(t, m, 0, fmt.Sprint("n", i))
	}
	if len(s.m) > 3 || len(m.known) > 3*perSegment {
		t.Errorf("%d values and %d names are kept, want at most 3 and %d", len(s.m), len(m.known), 3*perSegment)
	}
	for i := 5000 - 256; i < 5000; i++ {
		if use(t, m, 0, fmt.Sprint("n", i)) == nil {
			t.Fatalf("name %d of the last 256 is forgotten", i)
		}
	}
}

func TestEqualRequestsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &store{m: map[string][]byte{}}, &clock{time.Unix(1000, 0)}
		m := open(s, c, 256)
		_, first, err := m.Begin(t.Context(), "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			rec   *Record
			claim *Claim
		}
		got := make(chan result, 2)
		ask := func(name string) {
			rec, claim, err := m.Begin(t.Context(), name)
			if err != nil {
				t.Error(err)
			}
			got <- result{rec, claim}
		}
		go ask("b")
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("an equal request did not wait")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := m.Begin(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting ended with %v, want that of the context", err)
		}
		first.Abort()
		second := <-got
		if second.claim == nil {
			t.Fatal("after Abort the name is not free")
		}
		go ask("b")
		synctest.Wait()
		if err := second.claim.Commit(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if third := <-got; third.rec == nil || third.rec.Note != 3 {
			t.Errorf("after Commit: %+v, want the record", third)
		}
	})
}

func TestStoreFailure(t *testing.T) {
	s, c := &store{m: map[string][]byte{}}, &clock{time.Unix(1000, 0)}
	m := open(s, c, 256)
	s.err = errors.New("disk full")
	_, claim, err := m.Begin(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Commit(t.Context(), 1); !errors.Is(err, s.err) {
		t.Fatalf("commit = %v, want the store's error", err)
	}
	s.err = nil
	use(t, m, 2, "b")
	m = open(s, c, 256)
	for _, n := range []string{"a", "b"} {
		if use(t, m, 0, n) == nil {
			t.Errorf("%s is forgotten after the store came back", n)
		}
	}
}

func TestParallelCommits(t *testing.T) {
	s, c := &store{m: map[string][]byte{}}, &clock{time.Unix(1000, 0)}
	m := open(s, c, 10_000)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() { use(t, m, 0, fmt.Sprint("n", i)) })
	}
	wg.Wait()
	m = open(s, c, 10_000)
	for i := range 500 {
		if use(t, m, 0, fmt.Sprint("n", i)) == nil {
			t.Fatalf("name %d is lost", i)
		}
	}
}
