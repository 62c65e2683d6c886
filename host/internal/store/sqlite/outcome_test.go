package sqlite

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// settle writes a settlement and waits for it.
func settle(t testing.TB, db *DB, s *store.Settlement) error {
	t.Helper()
	answer := make(chan error, 1)
	db.Settle(s, func(err error) { answer <- err })
	return <-answer
}

func dead(to sdk.LinkID, dedup string) store.OutcomeRow {
	return store.OutcomeRow{To: to, Outcome: sdk.Outcome{Dedup: dedup, Origin: "m", Place: sdk.Ref{Link: "b", ID: "room"},
		State: sdk.OutcomeDead, Reason: "banned", Loss: []sdk.Loss{{Kind: sdk.LossMedia, Detail: "too large"}}}}
}

func outcomes(t testing.TB, db *DB, link sdk.LinkID) []string {
	t.Helper()
	rows, err := db.Outcomes(t.Context(), link, 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Outcome.Dedup)
	}
	return out
}

// TestOutcomesWaitUntilTheyAreTaken also over a restart, each link for itself.
func TestOutcomesWaitUntilTheyAreTaken(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(t, db, &store.Settlement{Lane: 1, Outcomes: []store.OutcomeRow{dead("a", "1"), dead("b", "2"), dead("a", "3")}}); err != nil {
		t.Fatal(err)
	}
	dropped := entry("m4", "spam")
	dropped.Fate, dropped.Outcomes = store.FateDropped, []store.OutcomeRow{{To: "a", Outcome: sdk.Outcome{Dedup: "4", State: sdk.OutcomeDropped}}}
	for range 2 { // the second is a duplicate: nothing became of it
		if err := db.Append(t.Context(), &put{entries: []*store.Entry{dropped}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{})
	rows, err := db.Outcomes(t.Context(), "a", 0, 2)
	if err != nil || len(rows) != 2 || rows[0].To != "a" || rows[0].ID >= rows[1].ID || fmt.Sprint(rows[0].Outcome) != fmt.Sprint(dead("a", "1").Outcome) {
		t.Fatalf("got %+v, %v", rows, err)
	}
	if err := db.OutcomesTaken(t.Context(), "a", rows[1].ID); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(outcomes(t, db, "a"), outcomes(t, db, "b"), outcomes(t, db, "nobody")); got != "[4] [2] []" {
		t.Errorf("left %s", got)
	}
	if err := db.OutcomesTaken(t.Context(), "a", 1<<62); err != nil {
		t.Fatal(err)
	}
	if err := settle(t, db, &store.Settlement{Lane: 1, Outcomes: []store.OutcomeRow{dead("a", "5")}}); err != nil {
		t.Fatal(err)
	}
	again, err := db.Outcomes(t.Context(), "a", rows[1].ID, 10)
	if err != nil || len(again) != 1 {
		t.Errorf("a number was given twice: %+v, %v", again, err)
	}
}

// TestOutcomesAreBounded keeps the newest of a link that does not take them, and
// none for ever.
func TestOutcomesAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	db := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	for i := range 12 {
		s := &store.Settlement{Lane: 1}
		for j := range trimOutcomes {
			s.Outcomes = append(s.Outcomes, dead("a", fmt.Sprint(i*trimOutcomes+j)))
		}
		if err := settle(t, db, s); err != nil {
			t.Fatal(err)
		}
	}
	got := outcomes(t, db, "a")
	if len(got) > keepOutcomes || len(got) < keepOutcomes-trimOutcomes || got[len(got)-1] != fmt.Sprint(12*trimOutcomes-1) {
		t.Errorf("%d are left, the last is %s", len(got), got[len(got)-1])
	}
	now = now.Add(31 * 24 * time.Hour)
	if err := settle(t, db, &store.Settlement{Lane: 1, Outcomes: []store.OutcomeRow{dead("a", "new")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, db, "a"); len(got) != 1 || got[0] != "new" {
		t.Errorf("after a month: %v", got)
	}
}

// TestOutcomesGoWithTheirTransaction: what was rolled back is not told.
func TestOutcomesGoWithTheirTransaction(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	refused := errors.New("no")
	err := db.Append(t.Context(), &put{entries: []*store.Entry{{Outcomes: []store.OutcomeRow{dead("a", "1")}}}, err: refused})
	if !errors.Is(err, refused) || len(outcomes(t, db, "a")) != 0 {
		t.Errorf("got %v with %v", err, outcomes(t, db, "a"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Outcomes(ctx, "a", 0, 1); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
