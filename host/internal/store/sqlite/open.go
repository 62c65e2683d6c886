package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bridgehost/host/internal/store"
	"bridgehost/sdk"
)

// File is the database's name in the data folder.
const File = "bridgehost.db"

// Sizes of the writer's queue and of the pool of readers.
const (
	queueSize   = 1024
	readerCount = 3
)

// DB is an open database. Its methods may be called by many goroutines.
type DB struct {
	path  string
	opts  Options
	names store.Names
	links *linkNames
	seen  *puppetSet

	queue   chan *request
	readers chan *conn
	lock    *os.File

	closing sync.Once
	work    sync.WaitGroup // maintenance
	idle    context.CancelFunc
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed by the writer
	final   error         // what the writer left, valid after stopped
}

// Open opens the database of a data folder, making it when it is not there, and
// brings its schema up to date. One process at a time may have a folder open.
func Open(ctx context.Context, dir string, opts Options) (*DB, error) {
	opts = defaults(opts)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	db := &DB{
		path: filepath.Join(dir, File), opts: opts, lock: lock, links: newLinkNames(), seen: newPuppetSet(),
		queue: make(chan *request, queueSize), readers: make(chan *conn, readerCount),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(err, db.closeReaders(), lock.Close())
	}
	return db, nil
}

func defaults(o Options) Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Free == nil {
		o.Free = freeSpace
	}
	o.Reserve = cmp.Or(o.Reserve, 64<<20)
	o.Keys = cmp.Or(o.Keys, 10_000)
	o.KeepEvents = cmp.Or(o.KeepEvents, 30*24*time.Hour)
	return o
}

// start migrates, loads what is kept in memory, and starts the writer.
func (db *DB) start(ctx context.Context) error {
	list, err := readMigrations(migrations, "migrations")
	if err != nil {
		return err
	}
	c, err := db.openWriter()
	if err != nil {
		return err
	}
	w := &writer{db: db, c: c}
	err = migrate(c, db.path, list)
	if err == nil {
		db.names.Prefix, err = prefix(c)
	}
	if err == nil {
		err = w.load(ctx)
	}
	for range readerCount {
		if err == nil {
			err = db.addReader()
		}
	}
	if err != nil {
		return errors.Join(wrap("open "+db.path, err), c.close())
	}
	go w.run()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db.idle = cancel
	db.work.Go(func() { db.maintain(work) })
	return nil
}

func (db *DB) dsn(pragmas ...string) string {
	q := url.Values{}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: db.path}).EscapedPath() + "?" + q.Encode()
}

// openWriter opens the one connection that writes. FULL makes every commit wait
// for the disk: with NORMAL a loss of power can take acknowledged events.
func (db *DB) openWriter() (*conn, error) {
	pragmas := []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)",
		"wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "cache_size(-16384)", "temp_store(MEMORY)"}
	if db.opts.MaxPages > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", db.opts.MaxPages))
	}
	c, err := openConn(db.dsn(pragmas...))
	if err != nil {
		return nil, wrap("open "+db.path, err)
	}
	return c, nil
}

func (db *DB) addReader() error {
	c, err := openConn(db.dsn("busy_timeout(5000)", "query_only(1)", "cache_size(-4096)", "temp_store(MEMORY)"))
	if err == nil {
		db.readers <- c
	}
	return err
}

// read lends a reading connection to f. It sees what was committed before.
func (db *DB) read(ctx context.Context, op string, f func(c *conn) error) error {
	select {
	case c := <-db.readers:
		defer func() { db.readers <- c }()
		return wrap(op, f(c))
	case <-ctx.Done():
		return wrap(op, ctx.Err())
	case <-db.stopped:
		return errClosed(op)
	}
}

func errClosed(op string) error {
	return &sdk.Error{Op: op, Kind: sdk.Transient, Public: "the bridge is shutting down", Err: errors.New("database is closed")}
}

// Names spells the ids of this database.
func (db *DB) Names() store.Names { return db.names }

// Path is the database's file.
func (db *DB) Path() string { return db.path }

// Close commits what was accepted and closes the database. Requests that come
// later fail with a temporary error.
func (db *DB) Close() error {
	db.closing.Do(func() {
		db.idle()
		close(db.stop)
	})
	db.work.Wait()
	<-db.stopped
	return db.final
}

func (db *DB) closeReaders() error {
	var errs []error
	for {
		select {
		case c := <-db.readers:
			errs = append(errs, c.close())
		default:
			return errors.Join(errs...)
		}
	}
}
