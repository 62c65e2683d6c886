package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	"bridgehost/sdk"
)

// Bounds of a link's store (sdk.Store).
const (
	maxKey   = 256
	maxValue = 64 << 10
	maxKeys  = 1000 // in one answer of Keys
)

// KV gives the small values of one link.
func (db *DB) KV(link sdk.LinkID) sdk.Store { return &kv{db: db, link: link} }

type kv struct {
	db   *DB
	link sdk.LinkID
}

var _ sdk.Store = (*kv)(nil)

// Get implements sdk.Store.
func (s *kv) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.db.read(ctx, "get value of "+string(s.link), func(c *conn) error {
		return c.query(ctx, "SELECT value FROM kv WHERE link = ? AND key = ?", func(row []driver.Value) error {
			value = append([]byte{}, blob(row[0])...)
			return nil
		}, s.db.links.id(s.link), key)
	})
	return value, err
}

// Set implements sdk.Store.
func (s *kv) Set(ctx context.Context, key string, value []byte) error {
	op := "set value of " + string(s.link)
	switch {
	case key == "":
		return sdk.Errorf(sdk.Invalid, op, "the key is empty")
	case len(key) > maxKey:
		return sdk.Errorf(sdk.TooLarge, op, "the key has %d bytes, at most %d are kept", len(key), maxKey)
	case len(value) > maxValue:
		return sdk.Errorf(sdk.TooLarge, op, "the value has %d bytes, at most %d are kept", len(value), maxValue)
	}
	return s.db.write(ctx, &request{op: op, weight: 1, grows: value != nil, run: func(w *writer) error {
		return w.setValue(s.link, op, key, value)
	}})
}

func (w *writer) setValue(name sdk.LinkID, op, key string, value []byte) error {
	link, err := w.link(name)
	if err != nil {
		return err
	}
	if value == nil {
		_, err := w.c.exec("DELETE FROM kv WHERE link = ? AND key = ?", link, key)
		return err
	}
	n, err := w.c.exec("UPDATE kv SET value = ? WHERE link = ? AND key = ?", value, link, key)
	if err != nil || n > 0 {
		return err
	}
	have, _, err := w.c.one("SELECT count(*) FROM kv WHERE link = ?", link)
	if err != nil {
		return err
	}
	if have >= int64(w.db.opts.Keys) {
		return refusal{&sdk.Error{Op: op, Kind: sdk.TooLarge, Err: fmt.Errorf("the link has %d keys, which is its quota", have)}}
	}
	_, err = w.c.exec("INSERT INTO kv (link, key, value) VALUES (?, ?, ?)", link, key, value)
	return err
}

// Keys implements sdk.Store.
func (s *kv) Keys(ctx context.Context, prefix, after string) ([]string, error) {
	var keys []string
	err := s.db.read(ctx, "list values of "+string(s.link), func(c *conn) error {
		// The range scan starts at the later of both; keys with the prefix are
		// adjacent, so the first one without it ends the list.
		return enough(c.query(ctx, "SELECT key FROM kv WHERE link = ? AND key >= ? AND key > ? ORDER BY key", func(row []driver.Value) error {
			key := text(row[0])
			if !strings.HasPrefix(key, prefix) || len(keys) == maxKeys {
				return errEnough
			}
			keys = append(keys, key)
			return nil
		}, s.db.links.id(s.link), prefix, after))
	})
	return keys, err
}
