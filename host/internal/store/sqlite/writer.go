package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"bridgehost/sdk"
)

// Bounds of one group. The weight of a request is about the number of its rows.
const (
	groupRequests = 512
	groupWeight   = 4096
	checkSpace    = 250 * time.Millisecond // how old what is known of the free space may be
)

// request is one unit of a group.
type request struct {
	op     string
	weight int
	grows  bool // adds to the database: refused while the disk is nearly full
	// run does the work. It may be called again after a rollback. A refusal
	// must come before the first write.
	run  func(w *writer) error
	done func(error) // called once, in the order of commits; must not block
}

// refusal is an error of run that concerns its own request alone.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

// writer owns the writing connection and everything that mirrors the database
// in memory. All its methods run in one goroutine.
type writer struct {
	db      *DB
	c       *conn // nil after it broke, until it can be opened again
	group   []*request
	answers []error
	state
	lastOutcome int64
	lastLane    int64
	spaceAt     time.Time
	spaceOK     error
}

// run commits groups until Close, and then what is still in the queue.
func (w *writer) run() {
	defer w.db.flush() // what came in between
	defer close(w.db.stopped)
	for {
		select {
		case r := <-w.db.queue:
			w.collect(r)
			w.commit()
		case <-w.db.stop:
			w.drain()
			return
		}
	}
}

func (w *writer) drain() {
	for {
		select {
		case r := <-w.db.queue:
			w.collect(r)
			w.commit()
			continue
		default:
		}
		break
	}
	if w.c != nil {
		w.db.final = w.c.close()
	}
	for range readerCount { // those that are lent out come back
		c := <-w.db.readers
		w.db.final = errors.Join(w.db.final, c.close())
	}
	w.db.final = errors.Join(w.db.final, w.db.lock.Close())
}

// collect takes what waits, without waiting for more.
func (w *writer) collect(first *request) {
	w.group = append(w.group[:0], first)
	for weight := first.weight; len(w.group) < groupRequests && weight < groupWeight; {
		select {
		case r := <-w.db.queue:
			w.group = append(w.group, r)
			weight += r.weight
		default:
			return
		}
	}
}

// commit runs the group in one transaction. When the database fails, every
// request is tried in a transaction of its own, so that one does not spoil the
// others: receipts, which free space, go through when new events do not fit.
func (w *writer) commit() {
	w.answers = w.answers[:0]
	err := w.transaction(w.group)
	if err == nil {
		for i, r := range w.group {
			r.done(w.answers[i])
		}
		return
	}
	if len(w.group) == 1 {
		w.group[0].done(wrap(w.group[0].op, err))
		return
	}
	w.db.opts.Log.Warn("group commit is repeated one by one", "requests", len(w.group), "error", err)
	for i, r := range w.group {
		w.answers = w.answers[:0]
		if err := w.transaction(w.group[i : i+1]); err != nil {
			r.done(wrap(r.op, err))
		} else {
			r.done(w.answers[0])
		}
	}
}

// transaction runs requests and commits; w.answers has their refusals after it
// returned nil. After an error nothing is written.
func (w *writer) transaction(group []*request) error {
	if err := w.reopen(); err != nil {
		return err
	}
	if _, err := w.c.exec("BEGIN IMMEDIATE"); err != nil {
		return w.broken(err)
	}
	for _, r := range group {
		err := w.refuse(r)
		if err == nil {
			err = r.run(w)
		}
		var no refusal
		switch {
		case errors.As(err, &no):
			w.answers = append(w.answers, no.err)
		case err != nil:
			return w.broken(err)
		default:
			w.answers = append(w.answers, nil)
		}
	}
	if _, err := w.c.exec("COMMIT"); err != nil {
		return w.broken(err)
	}
	return nil
}

// broken rolls back, forgets what memory knows of the transaction, and gives a
// connection up that had an I/O error: what fsync refused once may be reported
// as written the next time, so the log is read anew from the disk.
func (w *writer) broken(err error) error {
	_, rerr := w.c.exec("ROLLBACK")
	if isIO(err) || isIO(rerr) {
		if cerr := w.c.close(); cerr != nil {
			w.db.opts.Log.Warn("broken database connection did not close", "error", cerr)
		}
		w.c = nil
		return err
	}
	// SQLite rolls back by itself after some errors; then ROLLBACK fails, and
	// that is all right.
	if lerr := w.load(always); lerr != nil {
		return errors.Join(err, lerr)
	}
	return err
}

func (w *writer) reopen() error {
	if w.c != nil {
		return nil
	}
	c, err := w.db.openWriter()
	if err != nil {
		return err
	}
	w.c = c
	if err := w.load(always); err != nil {
		w.c = nil
		return errors.Join(err, c.close())
	}
	return nil
}

// refuse answers a growing request while less than the reserve is free.
func (w *writer) refuse(r *request) error {
	if !r.grows || w.db.opts.Reserve < 0 {
		return nil
	}
	if now := w.db.opts.Now(); w.spaceAt.IsZero() || now.Sub(w.spaceAt).Abs() >= checkSpace {
		w.spaceAt, w.spaceOK = now, nil
		free, err := w.db.opts.Free(filepath.Dir(w.db.path))
		if err == nil && free < w.db.opts.Reserve {
			w.spaceOK = refusal{&sdk.Error{
				Op: r.op, Kind: sdk.Overloaded, Public: "storage is nearly full", After: retryFull,
				Err: fmt.Errorf("%d MiB free at %s, %d MiB are kept in reserve", free>>20, filepath.Dir(w.db.path), w.db.opts.Reserve>>20),
			}}
		}
	}
	return w.spaceOK
}

// submit hands a request to the writer without waiting for its answer. done is
// called in any case.
func (db *DB) submit(ctx context.Context, r *request) {
	select {
	case <-db.stop:
		r.done(errClosed(r.op))
		return
	default:
	}
	select {
	case db.queue <- r:
		// The writer may have stopped between the check and the send.
		select {
		case <-db.stopped:
			db.flush()
		default:
		}
	case <-ctx.Done():
		r.done(wrap(r.op, ctx.Err()))
	case <-db.stopped:
		r.done(errClosed(r.op))
	}
}

// flush answers requests that nobody will take.
func (db *DB) flush() {
	for {
		select {
		case r := <-db.queue:
			r.done(errClosed(r.op))
		default:
			return
		}
	}
}

// write hands a request to the writer and waits. When ctx ends first the
// request may still be written.
func (db *DB) write(ctx context.Context, r *request) error {
	answer := make(chan error, 1)
	then := r.done
	r.done = func(err error) {
		if then != nil {
			then(err)
		}
		answer <- err
	}
	db.submit(ctx, r)
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return wrap(r.op, ctx.Err())
	}
}

// load reads what the writer keeps in memory. Called at start and after every
// rollback.
func (w *writer) load(ctx context.Context) error {
	w.state = newState()
	var err error
	read := func(q string, into *int64) {
		if err == nil {
			*into, _, err = w.c.one(q)
		}
	}
	read("SELECT max(seq) FROM event", &w.lastSeq)
	read("SELECT max(id) FROM item", &w.lastItem)
	lane := int64(0)
	read("SELECT max(id) FROM lane", &lane)
	w.lastLane = max(w.lastLane, lane)
	if err == nil {
		err = w.db.links.load(ctx, w.c)
	}
	if err == nil {
		err = w.loadOutcomes(ctx)
	}
	if err == nil {
		err = w.c.query(ctx, "SELECT link, remote FROM puppet", func(row []driver.Value) error {
			w.db.seen.add(sdk.Ref{Link: w.db.links.name(num(row[0])), ID: sdk.RemoteID(text(row[1]))})
			return nil
		})
	}
	return err
}
