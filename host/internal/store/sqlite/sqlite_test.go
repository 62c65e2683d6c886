package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

func open(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// put is the simplest Appender: it writes what it is given.
type put struct {
	entries []*store.Entry
	err     error
	done    func(error)
}

func (p *put) Keys() []store.Key { return nil }
func (p *put) Decide(map[store.Key]store.Known) ([]*store.Entry, error) {
	return p.entries, p.err
}

func (p *put) Done(err error) {
	if p.done != nil {
		p.done(err)
	}
}

func entry(id, text string, to ...string) *store.Entry {
	ev := &sdk.Event{Place: sdk.Ref{Link: "a", ID: "room"}, Actor: sdk.Actor{Home: sdk.Ref{Link: "a", ID: "romeo"}}, Dedup: id,
		Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{Link: "a", ID: sdk.RemoteID(id)}, Text: sdk.NewText(text)}}}
	e := &store.Entry{Event: ev, Body: codec.AppendEvent(nil, ev), Fate: store.FateRouted, Audit: "{}",
		Item: store.ItemChange{Op: store.ItemCreate, Origin: ev.Item().Origin, Place: "room"}}
	for _, place := range to {
		e.Deliveries = append(e.Deliveries, store.Delivery{To: sdk.Ref{Link: "b", ID: sdk.RemoteID(place)}, Rule: "r"})
	}
	return e
}

func count(t testing.TB, db *DB, table string) int64 {
	t.Helper()
	var n int64
	if err := db.read(t.Context(), "count", func(c *conn) (err error) {
		n, _, err = c.one("SELECT count(*) FROM " + table)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendIsAtomicAndDeduplicates(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("m1", "x", "p", "q"), entry("m2", "y", "p")}}); err != nil {
		t.Fatal(err)
	}
	again := entry("m1", "x", "p")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{again}}); err != nil || !again.Duplicate {
		t.Errorf("second m1: %v, duplicate = %v", err, again.Duplicate)
	}
	refused := errors.New("not yours")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("m3", "z")}, err: refused}); !errors.Is(err, refused) {
		t.Errorf("refusal = %v", err)
	}
	for table, want := range map[string]int64{"event": 2, "item": 2, "mapping": 2, "delivery": 3, "actor": 1, "lane": 2} {
		if got := count(t, db, table); got != want {
			t.Errorf("%s has %d rows, want %d", table, got, want)
		}
	}
}

func TestIDsAreNotUsedTwice(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	db, err := Open(t.Context(), dir, Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	first := entry("m1", "x", "p")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{first}}); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	db.Settle(&store.Settlement{Lane: first.Deliveries[0].Lane, First: first.Seq, Upto: first.Seq}, func(err error) { end <- err })
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(1, 0, 0)
	if n, err := db.Prune(t.Context()); err != nil || n != 0 {
		t.Errorf("prune took the newest event: %d, %v", n, err)
	}
	prefix := db.Names().Prefix
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{Now: clock})
	second := entry("m2", "x", "p")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{second}}); err != nil {
		t.Fatal(err)
	}
	if second.Seq <= first.Seq || second.ItemID <= first.ItemID || db.Names().Prefix != prefix {
		t.Errorf("after restart: event %d, item %d, prefix %q", second.Seq, second.ItemID, db.Names().Prefix)
	}
	if n, err := db.Prune(t.Context()); err != nil || n != 1 {
		t.Errorf("prune = %d, %v, want 1", n, err)
	}
}

func TestOldTombstonesArePruned(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	db := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	var all []*store.Entry
	for i := range 3 {
		e := entry(fmt.Sprint("m", i), "")
		e.Item.State, e.Item.Place = store.ItemRetracted, ""
		all = append(all, e)
	}
	if err := db.Append(t.Context(), &put{entries: append(all, entry("real", "x"))}); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(0, 2, 0)
	if _, err := db.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if items, names := count(t, db, "item"), count(t, db, "mapping"); items != 1 || names != 1 {
		t.Errorf("%d items with %d names are left, want the real one", items, names)
	}
}

func TestFolderHasOneUser(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(t.Context(), dir, Options{}); sdk.KindOf(err) != sdk.Conflict {
		t.Errorf("second open = %v", err)
	}
}

func TestForeignAndNewerDatabasesAreRefused(t *testing.T) {
	for name, pragma := range map[string]string{
		"written by a newer bridgehost": "PRAGMA user_version = 999",
		"not a database of bridgehost":  "PRAGMA application_id = 7",
	} {
		dir := t.TempDir()
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		c, err := openConn("file:" + filepath.Join(dir, File))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(script(c, pragma), c.close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("open = %v, want text %q", err, name)
		}
	}
}

func TestFailedMigrationLeavesTheOldSchema(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, File)
	c, err := openConn("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}()
	good := migration{1, "0001_a.sql", "CREATE TABLE a (x); CREATE TABLE b (x);"}
	bad := migration{2, "0002_b.sql", "CREATE TABLE c (x); CREATE TABLE a (x);"}
	if err := migrate(c, path, []migration{good, bad}); err == nil || !strings.Contains(err.Error(), "0002_b.sql") {
		t.Fatalf("migrate = %v", err)
	}
	v, _, err := c.one("PRAGMA user_version")
	n, _, err2 := c.one("SELECT count(*) FROM sqlite_schema")
	if err != nil || err2 != nil || v != 1 || n != 2 {
		t.Errorf("version %d with %d tables, %v %v", v, n, err, err2)
	}
	bad.sql = "CREATE TABLE c (x);"
	if err := migrate(c, path, []migration{good, bad}); err != nil {
		t.Errorf("mended migration: %v", err)
	}
}

func TestReserveRefusesAndRecovers(t *testing.T) {
	var free atomic.Int64
	var now atomic.Int64
	free.Store(100 << 20)
	db := open(t, t.TempDir(), Options{Free: func(string) (int64, error) { return free.Load(), nil },
		Now: func() time.Time { return time.Unix(now.Add(1), 0) }})
	first := entry("m1", "x", "p")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{first}}); err != nil {
		t.Fatal(err)
	}
	free.Store(10 << 20)
	var e *sdk.Error
	err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("m2", "x", "p")}})
	if !errors.As(err, &e) || e.Kind != sdk.Overloaded || e.After == 0 {
		t.Errorf("append with little space = %v", err)
	}
	end := make(chan error, 1)
	db.Settle(&store.Settlement{Lane: first.Deliveries[0].Lane, First: first.Seq, Upto: first.Seq}, func(err error) { end <- err })
	if err := <-end; err != nil {
		t.Errorf("receipts with little space: %v", err)
	}
	free.Store(100 << 20)
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("m2", "x", "p")}}); err != nil {
		t.Errorf("append with space again: %v", err)
	}
}

// fill appends until the disk refuses, and gives the names that were acknowledged.
func fill(t *testing.T, db *DB, from int) []string {
	t.Helper()
	var ok []string
	for i := from; i < from+100_000; i++ {
		id := fmt.Sprint("m", i)
		err := db.Append(t.Context(), &put{entries: []*store.Entry{entry(id, strings.Repeat("x", 2000), "p")}})
		if err == nil {
			ok = append(ok, id)
			continue
		}
		if sdk.KindOf(err) != sdk.Overloaded {
			t.Fatalf("full disk gives %v (%v)", err, sdk.KindOf(err))
		}
		return ok
	}
	t.Fatal("the disk never was full")
	return nil
}

func checkAll(t *testing.T, db *DB, ids []string) {
	t.Helper()
	d, err := db.Verify(t.Context())
	if err != nil || len(d.Events) > 0 || len(d.Pages) > 0 || d.Checked != int64(len(ids)) {
		t.Errorf("verify = %+v, %v, want %d good events", d, err, len(ids))
	}
	for _, id := range ids {
		if _, err := db.Trace(t.Context(), "a:"+id); err != nil {
			t.Errorf("acknowledged %s: %v", id, err)
		}
	}
}

func TestFullDatabaseRollsBackAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{MaxPages: 100})
	if err != nil {
		t.Fatal(err)
	}
	ok := fill(t, db, 0)
	checkAll(t, db, ok)
	// Many at once: none of a refused group may be half there.
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := db.Append(context.Background(), &put{entries: []*store.Entry{entry(fmt.Sprint("g", i), strings.Repeat("y", 9000))}}); err == nil {
				t.Error("a full database took an event")
			}
		})
	}
	wg.Wait()
	checkAll(t, db, ok)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{MaxPages: 1000})
	more := entry("more", "x", "p")
	if err := db.Append(t.Context(), &put{entries: []*store.Entry{more}}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	checkAll(t, db, append(ok, "more"))
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs of its own: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	db, err := Open(t.Context(), dir, Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ok := fill(t, db, 0)
	if len(ok) < 10 {
		t.Fatalf("only %d events fitted", len(ok))
	}
	checkAll(t, db, ok)
	if out, err := exec.Command("mount", "-o", "remount,size=8m", dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v %s", err, out)
	}
	start := time.Now()
	for {
		err := db.Append(t.Context(), &put{entries: []*store.Entry{entry("after", "x", "p")}})
		if err == nil {
			break
		}
		if time.Since(start) > 5*time.Second {
			t.Fatalf("did not recover: %v", err)
		}
	}
	checkAll(t, db, append(ok, "after"))
}

func TestFlippedBitsAreDetected(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	marker := strings.Repeat("precious", 8)
	var lane int64
	for i := range n {
		e := entry(fmt.Sprint("m", i), fmt.Sprintf("%s%03d", marker, i), "p")
		if err := db.Append(t.Context(), &put{entries: []*store.Entry{e}}); err != nil {
			t.Fatal(err)
		}
		lane = e.Deliveries[0].Lane
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, File)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Every copy of an even one, also those in pages that are no longer in use.
	for at := 0; ; at += len(marker) {
		i := strings.Index(string(raw[at:]), marker)
		if i < 0 {
			break
		}
		at += i
		var number int
		if _, err := fmt.Sscanf(string(raw[at+len(marker):at+len(marker)+3]), "%d", &number); err != nil {
			t.Fatal(err)
		}
		if number%2 == 0 {
			raw[at+number%len(marker)] ^= 1 << (number % 8)
		}
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{})
	d, err := db.Verify(t.Context())
	if err != nil || len(d.Events) != n/2 {
		t.Fatalf("%d damaged events found, %v, want %d", len(d.Events), err, n/2)
	}
	rows, err := db.Pending(t.Context(), lane, 0, 1000, 1<<30)
	if err != nil || len(rows) != n {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, r := range rows {
		if r.Event.Damaged != (i%2 == 0) || r.Event.Damaged && r.Event.Body != nil {
			t.Errorf("row %d: damaged = %v", i, r.Event.Damaged)
		}
	}
}

func TestKV(t *testing.T) {
	db := open(t, t.TempDir(), Options{Keys: 3})
	a, b := db.KV("a"), db.KV("b")
	for _, k := range []string{"x/1", "x/2", "y"} {
		if err := a.Set(t.Context(), k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Set(t.Context(), "z", []byte("z")); sdk.KindOf(err) != sdk.TooLarge {
		t.Errorf("over the quota: %v", err)
	}
	if err := errors.Join(a.Set(t.Context(), "y", nil), a.Set(t.Context(), "z", []byte{})); err != nil {
		t.Error(err)
	}
	if err := b.Set(t.Context(), "x/1", []byte("other")); err != nil {
		t.Error(err)
	}
	keys, err := a.Keys(t.Context(), "x/", "x/1")
	if err != nil || len(keys) != 1 || keys[0] != "x/2" {
		t.Errorf("keys = %q, %v", keys, err)
	}
	v, err := a.Get(t.Context(), "x/1")
	empty, err2 := a.Get(t.Context(), "z")
	none, err3 := a.Get(t.Context(), "y")
	if string(v) != "x/1" || empty == nil || len(empty) != 0 || none != nil || errors.Join(err, err2, err3) != nil {
		t.Errorf("got %q, %v, %v", v, empty, none)
	}
	if err := a.Set(t.Context(), strings.Repeat("k", 257), nil); sdk.KindOf(err) != sdk.TooLarge {
		t.Errorf("long key: %v", err)
	}
}

func TestCloseAnswersEverybody(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var ok, refused atomic.Int64
	for i := range 200 {
		wg.Go(func() {
			switch err := db.Append(context.Background(), &put{entries: []*store.Entry{entry(fmt.Sprint("m", i), "x")}}); {
			case err == nil:
				ok.Add(1)
			case sdk.KindOf(err) == sdk.Transient:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if ok.Load()+refused.Load() != 200 {
		t.Errorf("%d taken, %d refused", ok.Load(), refused.Load())
	}
	if err := db.Append(t.Context(), &put{}); sdk.KindOf(err) != sdk.Transient {
		t.Errorf("after close: %v", err)
	}
}

func TestMillionPending(t *testing.T) {
	if os.Getenv("BRIDGEHOST_BIG") == "" {
		t.Skip("set BRIDGEHOST_BIG=1 to fill a database with a million deliveries")
	}
	db := open(t, t.TempDir(), Options{})
	fillMany(t, db, 5000, 200)
	claimFigures(t, db)
}

// fillMany writes per deliveries into each of lanes.
func fillMany(t testing.TB, db *DB, lanes, per int) {
	t.Helper()
	places := make([]string, lanes)
	for i := range places {
		places[i] = fmt.Sprint("p", i)
	}
	for k := range per {
		if err := db.Append(t.Context(), &put{entries: []*store.Entry{entry(fmt.Sprint("m", k), strings.Repeat("x", 420), places...)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func claimFigures(t testing.TB, db *DB) {
	t.Helper()
	start := time.Now()
	list, err := db.Lanes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lanes listed in %v", len(list), time.Since(start))
	var times []time.Duration
	for round := 0; round+100 <= len(list); round += 100 {
		start := time.Now()
		for _, l := range list[round : round+100] {
			if rows, err := db.Pending(t.Context(), l.ID, 0, 1, 1<<20); err != nil || len(rows) != 1 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
		}
		times = append(times, time.Since(start))
	}
	var total time.Duration
	for _, d := range times {
		total += d
	}
	t.Logf("claim of 100 lanes: mean %v, first %v", total/time.Duration(len(times)), times[0])
}
