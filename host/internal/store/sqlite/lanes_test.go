package sqlite

import (
	"fmt"
	"testing"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// TestUnusedLanesArePruned after a day, but not those that something refers to.
func TestUnusedLanesArePruned(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	db := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	e := entry("m1", "x", "waits", "dead", "loss", "empty", "busy")
	appendAll(t, db, e)
	lane := map[string]int64{}
	for _, d := range e.Deliveries {
		lane[string(d.To.ID)] = d.Lane
	}
	over := func(s *store.Settlement, place string) {
		t.Helper()
		s.Lane, s.Done = lane[place], []int64{e.Seq}
		if err := settle(t, db, s); err != nil {
			t.Fatal(err)
		}
	}
	over(&store.Settlement{Dead: []store.DeadRow{{Seq: e.Seq, Rule: "r", Kind: sdk.Forbidden, Reason: "banned"}}}, "dead")
	over(&store.Settlement{Losses: []store.LossRow{{Event: e.Seq, Place: sdk.Ref{Link: "b", ID: "loss"}, Text: "[]"}}}, "loss")
	over(&store.Settlement{}, "empty")
	over(&store.Settlement{}, "busy")
	prune := func(want int64) {
		t.Helper()
		if n, err := db.PruneLanes(t.Context()); n != want || err != nil {
			t.Errorf("pruned %d lanes, %v; want %d", n, err, want)
		}
	}
	prune(0) // all were used today
	now = now.Add(useStep)
	again := entry("m2", "y", "busy") // notes the use
	appendAll(t, db, again)
	e.Seq = again.Seq
	over(&store.Settlement{}, "busy")
	now = now.Add(keepLanes + time.Minute)
	prune(1)
	prune(0)
	after := entry("m3", "z", "busy", "empty")
	appendAll(t, db, after)
	if got := after.Deliveries[0].Lane; got != lane["busy"] {
		t.Errorf("the busy lane is %d, was %d", got, lane["busy"])
	}
	for place, id := range lane {
		if got := after.Deliveries[1].Lane; got == id {
			t.Errorf("the new lane has the number of %s", place)
		}
	}
}

// TestManyUnusedLanes are pruned in more than one transaction.
func TestManyUnusedLanes(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	db := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	const n = pruneChunk + 10
	var places []string
	for i := range n {
		places = append(places, fmt.Sprint("p", i))
	}
	e := entry("m1", "x", places...)
	appendAll(t, db, e)
	for _, d := range e.Deliveries[1:] {
		if err := settle(t, db, &store.Settlement{Lane: d.Lane, First: e.Seq, Upto: e.Seq}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(keepLanes + useStep + time.Minute)
	if pruned, err := db.PruneLanes(t.Context()); pruned != n-1 || err != nil {
		t.Errorf("pruned %d, %v; want %d", pruned, err, n-1)
	}
	if left := count(t, db, "lane"); left != 1 {
		t.Errorf("%d lanes are left", left)
	}
}
