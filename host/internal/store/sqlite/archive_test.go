package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// appendAll writes entries and fails the test when that fails.
func appendAll(t testing.TB, db *DB, entries ...*store.Entry) {
	t.Helper()
	if err := db.Append(t.Context(), &put{entries: entries}); err != nil {
		t.Fatal(err)
	}
}

func ids(list []store.Queued) string {
	var out []sdk.RemoteID
	for _, q := range list {
		out = append(out, q.Place.ID)
	}
	return fmt.Sprint(out)
}

// TestQueueAndDeadLetters follow deliveries from the queue to the dead letters and
// back, by filter, page and id.
func TestQueueAndDeadLetters(t *testing.T) {
	ctx := t.Context()
	db := open(t, t.TempDir(), Options{})
	appendAll(t, db, entry("m1", "x", "p1", "p2", "p3"))
	list := func(f store.QueueFilter) []store.Queued {
		t.Helper()
		rows, err := db.Queue(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	all := list(store.QueueFilter{})
	if ids(all) != "[p1 p2 p3]" || all[0].From != (sdk.Ref{Link: "a", ID: "room"}) || all[0].Kind != sdk.KindItemCreated || all[0].Item == "" || all[0].Dead {
		t.Fatalf("queue %+v", all)
	}
	for want, f := range map[string]store.QueueFilter{
		"[p2]": {Place: "p2"}, "[p1 p2]": {Limit: 2}, "[p3]": {After: all[1].ID}, "[]": {Link: "nobody"}, "[p1 p3]": {IDs: []sdk.DeliveryID{all[0].ID, all[2].ID}},
	} {
		if got := ids(list(f)); got != want {
			t.Errorf("%+v: got %s, want %s", f, got, want)
		}
	}
	lane, seq, _ := db.names.ParseDelivery(all[1].ID)
	if err := settle(t, db, &store.Settlement{Lane: lane, Done: []int64{seq},
		Dead: []store.DeadRow{{Lane: lane, Seq: seq, Rule: "r", Created: time.Now(), Attempts: 3, Kind: sdk.Forbidden, Reason: "banned"}}}); err != nil {
		t.Fatal(err)
	}
	dead, err := db.DeadLetters(ctx, store.QueueFilter{})
	if err != nil || ids(dead) != "[p2]" || dead[0].Attempts != 3 || dead[0].ErrKind != sdk.Forbidden || dead[0].Reason != "banned" || dead[0].Died.IsZero() {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
	if n, err := db.DeadCounts(ctx); err != nil || len(n) != 1 || n["b"] != 1 {
		t.Errorf("counted %v, %v", n, err)
	}
	for i, want := range []int{1, 0} { // the second time there is nothing to revive
		if got, err := db.Revive(ctx, []sdk.DeliveryID{all[1].ID}); err != nil || len(got) != want {
			t.Errorf("revival %d: %+v, %v", i, got, err)
		}
	}
	if got := ids(list(store.QueueFilter{})); got != "[p1 p2 p3]" {
		t.Errorf("after the revival %s", got)
	}
	if n, err := db.Discard(ctx, []sdk.DeliveryID{all[1].ID}); n != 0 || err != nil {
		t.Errorf("discarded %d that are alive, %v", n, err)
	}
}

// TestForeignIDsAreRefused before anything is read or written.
func TestForeignIDsAreRefused(t *testing.T) {
	ctx := t.Context()
	db := open(t, t.TempDir(), Options{})
	foreign := []sdk.DeliveryID{"d-of-another-host"}
	_, queue := db.Queue(ctx, store.QueueFilter{IDs: foreign})
	_, page := db.DeadLetters(ctx, store.QueueFilter{After: foreign[0]})
	_, revive := db.Revive(ctx, foreign)
	_, discard := db.Discard(ctx, foreign)
	_, trace := db.Trace(ctx, "nonsense")
	for name, err := range map[string]error{"queue": queue, "page": page, "revive": revive, "discard": discard, "trace": trace} {
		if sdk.KindOf(err) != sdk.Invalid {
			t.Errorf("%s: got %v, want it invalid", name, err)
		}
	}
	if _, err := db.Trace(ctx, "a:unheard"); sdk.KindOf(err) != sdk.NotFound {
		t.Errorf("trace of nothing: %v", err)
	}
	if _, err := db.Event(ctx, 99); sdk.KindOf(err) != sdk.NotFound {
		t.Errorf("event that is not there: %v", err)
	}
	if _, err := db.Actor(ctx, 99); sdk.KindOf(err) != sdk.NotFound {
		t.Errorf("actor that is not there: %v", err)
	}
}

// TestCopiesAndPuppets: of several copies the first of the newest receipt counts,
// and no link takes over an item by calling it its copy.
func TestCopiesAndPuppets(t *testing.T) {
	ctx := t.Context()
	now := time.Unix(1_700_000_000, 0)
	db := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	first := entry("m1", "x", "p1")
	appendAll(t, db, first)
	place := sdk.Ref{Link: "b", ID: "p1"}
	made := func(remotes ...sdk.RemoteID) {
		t.Helper()
		s := &store.Settlement{Lane: 1, Puppets: []store.PuppetRow{{Actor: first.ActorID, Puppet: sdk.Ref{Link: "b", ID: "Romeo"}}}}
		for _, r := range remotes {
			s.Copies = append(s.Copies, store.CopyRow{Item: first.ItemID, Place: place, Remote: r, Rule: "r"})
		}
		if err := settle(t, db, s); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	named := func(at sdk.Ref, anyPlace bool, key store.Key) sdk.RemoteID {
		t.Helper()
		got, err := db.Resolve(ctx, at, anyPlace, []store.Key{key, {Link: "a", Remote: "unheard"}})
		if err != nil || len(got) > 1 {
			t.Fatalf("resolve: %v, %v", got, err)
		}
		return got[key].Remote
	}
	origin := store.Key{Link: "a", Remote: "m1"}
	made("c1", "c2")
	if got := named(place, false, origin); got != "c1" {
		t.Errorf("the item is %q there, want c1", got)
	}
	made("c3", "c4")
	if got := named(place, false, origin); got != "c3" {
		t.Errorf("after a newer receipt it is %q, want c3", got)
	}
	if got := named(sdk.Ref{Link: "a", ID: "room"}, false, store.Key{Link: "b", Remote: "c2"}); got != "m1" {
		t.Errorf("the copy is %q at home, want m1", got)
	}
	if here, anywhere := named(sdk.Ref{Link: "b", ID: "p2"}, false, origin), named(sdk.Ref{Link: "b", ID: "p2"}, true, origin); here != "" || anywhere != "c3" {
		t.Errorf("in another place it is %q, by ids that mean the same everywhere %q", here, anywhere)
	}
	if p, err := db.Puppet(ctx, first.ActorID, "b"); err != nil || p != "Romeo" {
		t.Errorf("puppet %q, %v", p, err)
	}
	if !db.IsPuppet(sdk.Ref{Link: "b", ID: "Romeo"}) || db.IsPuppet(sdk.Ref{Link: "a", ID: "Romeo"}) {
		t.Error("puppets are not told from others")
	}
	// b's own people published n1: a receipt that calls a copy n1 does not get the name.
	mine := entry("n1", "y")
	mine.Event.Place.Link, mine.Event.Actor.Home.Link, mine.Item.Origin.Link = "b", "b", "b"
	appendAll(t, db, mine)
	made("n1")
	if got := named(place, false, origin); got != "c3" {
		t.Errorf("an origin's name was taken as a copy: %q", got)
	}
}

// TestAfterClose every method fails with a kind that says to come back.
func TestAfterClose(t *testing.T) {
	ctx := t.Context()
	db, err := Open(ctx, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, lanes := db.Lanes(ctx)
	_, pending := db.Pending(ctx, 1, 0, 1, 1)
	_, waiting := db.Waiting(ctx)
	_, queue := db.Queue(ctx, store.QueueFilter{})
	_, outcomes := db.Outcomes(ctx, "a", 0, 1)
	_, value := db.KV("a").Get(ctx, "x")
	_, prune := db.Prune(ctx)
	for name, err := range map[string]error{
		"lanes": lanes, "pending": pending, "waiting": waiting, "queue": queue, "outcomes": outcomes, "value": value, "prune": prune,
		"settle": settle(t, db, &store.Settlement{Lane: 1}), "taken": db.OutcomesTaken(ctx, "a", 1), "set": db.KV("a").Set(ctx, "x", []byte("y")),
	} {
		if sdk.KindOf(err) != sdk.Transient {
			t.Errorf("%s: got %v, want it temporary", name, err)
		}
	}
	if db.IsPuppet(sdk.Ref{Link: "a", ID: "x"}) {
		t.Error("nobody is a puppet by default")
	}
	if err := db.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestWaitingEvents are listed after a restart, and taken off the list by the entry
// that continues them, once.
func TestWaitingEvents(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	db, err := Open(ctx, dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	until := time.UnixMilli(1_700_000_000_000)
	held := entry("m1", "x")
	held.Fate, held.Wait = store.FateWaiting, &store.Wait{Until: until, Key: store.Key{Link: "a", Remote: "parent"}}
	appendAll(t, db, held)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{})
	list, err := db.Waiting(ctx)
	if err != nil || len(list) != 1 || list[0].Event != held.Seq || !list[0].Until.Equal(until) || list[0].Key != held.Wait.Key {
		t.Fatalf("waiting %+v, %v", list, err)
	}
	for i, duplicate := range []bool{false, true} {
		on := entry("m1", "x", "p1")
		on.Resume, on.Item = held.Seq, store.ItemChange{Op: store.ItemSetState, ID: held.ItemID}
		appendAll(t, db, on)
		if on.Duplicate != duplicate {
			t.Errorf("the %d. continuation: duplicate %v", i+1, on.Duplicate)
		}
	}
	row, err := db.Event(ctx, held.Seq)
	if err != nil || row.Fate != store.FateRouted || row.Body != nil || row.Damaged {
		t.Errorf("the event that waited is %+v, %v", row, err)
	}
	if n := count(t, db, "delivery"); n != 1 {
		t.Errorf("%d deliveries", n)
	}
}

// TestFirstSchemaIsBroughtUp opens a database of the first release with a delivery
// that waits in it.
func TestFirstSchemaIsBroughtUp(t *testing.T) {
	dir := t.TempDir()
	list, err := readMigrations(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	c, err := openConn("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(c, path, list[:1]); err != nil {
		t.Fatal(err)
	}
	if err := script(c, `INSERT INTO link VALUES (1, 'b'); INSERT INTO lane VALUES (1, 1, 'room', 2, 1700000000000, 0);
 INSERT INTO delivery VALUES (1, 1, 'r', 1600000000000)`); err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	db := open(t, dir, Options{})
	lanes, err := db.Lanes(t.Context())
	if err != nil || len(lanes) != 1 || lanes[0].Depth != 1 || lanes[0].Fails != 2 || !lanes[0].Amnesty.IsZero() || lanes[0].Pardoned != 0 {
		t.Errorf("lanes %+v, %v", lanes, err)
	}
}
