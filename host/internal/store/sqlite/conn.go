package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"bridgehost/sdk"
)

// always is the context of statements that no caller may cut short: a group is
// shared, and single rows are read at once.
var always = context.Background()

// conn is one connection with its prepared statements. It goes around
// database/sql, whose locks and copies cost more than the statements. It is
// used by one goroutine at a time.
type conn struct {
	raw   driver.Conn
	stmts map[string]*stmt
}

type stmt struct {
	raw interface {
		driver.StmtExecContext
		driver.StmtQueryContext
		io.Closer
	}
	args []driver.NamedValue
	row  []driver.Value
}

func openConn(dsn string) (*conn, error) {
	raw, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{raw: raw, stmts: map[string]*stmt{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.raw.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

func (c *conn) prepare(q string) (*stmt, error) {
	if s, ok := c.stmts[q]; ok {
		return s, nil
	}
	raw, err := c.raw.Prepare(q)
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", q, err)
	}
	s := &stmt{}
	var ok bool
	if s.raw, ok = raw.(interface {
		driver.StmtExecContext
		driver.StmtQueryContext
		io.Closer
	}); !ok {
		return nil, fmt.Errorf("prepare %.60q: driver has no context methods", q)
	}
	c.stmts[q] = s
	return s, nil
}

func (s *stmt) bind(args []any) error {
	if cap(s.args) < len(args) {
		s.args = make([]driver.NamedValue, len(args))
		for i := range s.args {
			s.args[i].Ordinal = i + 1
		}
	}
	s.args = s.args[:len(args)]
	for i, a := range args {
		switch v := a.(type) {
		case int64, string, nil, []byte:
			s.args[i].Value = v
		case int:
			s.args[i].Value = int64(v)
		case bool:
			s.args[i].Value = int64(0)
			if v {
				s.args[i].Value = int64(1)
			}
		default:
			return fmt.Errorf("bind argument %d: type %T", i+1, a)
		}
	}
	return nil
}

// exec runs a statement and gives the number of rows that it changed.
func (c *conn) exec(q string, args ...any) (int64, error) {
	s, err := c.prepare(q)
	if err != nil {
		return 0, err
	}
	if err := s.bind(args); err != nil {
		return 0, err
	}
	res, err := s.raw.ExecContext(always, s.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query calls each for every row; the row may not be kept. Text and blobs in it
// are copies.
func (c *conn) query(ctx context.Context, q string, each func(row []driver.Value) error, args ...any) (err error) {
	s, err := c.prepare(q)
	if err != nil {
		return err
	}
	if err := s.bind(args); err != nil {
		return err
	}
	rows, err := s.raw.QueryContext(ctx, s.args)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	for {
		switch err := rows.Next(s.row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := each(s.row); err != nil {
			return err
		}
	}
}

// one reads a single integer; ok is false when there is no row or it is NULL.
func (c *conn) one(q string, args ...any) (v int64, ok bool, err error) {
	err = c.query(always, q, func(row []driver.Value) error {
		v, ok = row[0].(int64)
		return nil
	}, args...)
	return v, ok, err
}

func num(v driver.Value) int64 { n, _ := v.(int64); return n }

func text(v driver.Value) string {
	switch s := v.(type) {
	case string:
		return s
	case []byte:
		return string(s)
	default:
		return ""
	}
}

func blob(v driver.Value) []byte {
	switch s := v.(type) {
	case []byte:
		return s
	case string:
		return []byte(s)
	default:
		return nil
	}
}

// Times are kept as Unix milliseconds; the zero time as 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// retryFull is how long a link waits after the disk was found full.
const retryFull = 5 * time.Second

// wrap gives a database error its kind: a full disk, or one that cannot be
// written, is Overloaded, and goes away by itself; damage is Internal.
func wrap(op string, err error) error {
	var e *sqlite.Error
	var known *sdk.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case !errors.As(err, &e):
		return sdk.Errorf(sdk.KindOf(err), op, "%w", err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return &sdk.Error{Op: op, Kind: sdk.Overloaded, Public: "storage is full or cannot be written", After: retryFull, Err: err}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return sdk.Errorf(sdk.Transient, op, "%w", err)
	default:
		return sdk.Errorf(sdk.Internal, op, "%w", err)
	}
}

// isIO reports whether the connection can no longer be trusted: after an I/O
// error the kernel may have dropped pages that SQLite believes to be written.
func isIO(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_IOERR
}
