package sqlite

import (
	"crypto/rand"
	"database/sql/driver"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// applicationID marks our files in SQLite's header ("brid").
const applicationID = 0x62726964

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one numbered step; steps are applied in order, once, each in a
// transaction of its own together with the new version number.
type migration struct {
	version int64
	name    string
	sql     string
}

// readMigrations lists NNNN_name.sql files of a folder by number.
func readMigrations(fsys fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var list []migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: no number", e.Name())
		}
		sql, err := fs.ReadFile(fsys, dir+"/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", e.Name(), err)
		}
		list = append(list, migration{version: v, name: e.Name(), sql: string(sql)})
	}
	slices.SortFunc(list, func(a, b migration) int { return int(a.version - b.version) })
	for i, m := range list {
		if m.version != int64(i+1) {
			return nil, fmt.Errorf("migration %s: want number %d", m.name, i+1)
		}
	}
	return list, nil
}

// migrate brings the database to the newest schema. A database of a newer
// program, or of another program, is refused untouched.
func migrate(c *conn, path string, list []migration) error {
	have, _, err := c.one("PRAGMA user_version")
	if err != nil {
		return wrap("read version of "+path, err)
	}
	app, _, err := c.one("PRAGMA application_id")
	if err != nil {
		return wrap("read mark of "+path, err)
	}
	newest := int64(len(list))
	switch {
	case app != 0 && app != applicationID:
		return sdk.Errorf(sdk.Invalid, "open "+path, "this is not a database of bridgehost (application id %#x)", app)
	case have > newest:
		return sdk.Errorf(sdk.Unsupported, "open "+path,
			"the database has schema %d, written by a newer bridgehost; this one knows up to %d: upgrade bridgehost, or restore the backup of before the upgrade", have, newest)
	}
	for _, m := range list[min(have, newest):] {
		if err := script(c, "BEGIN IMMEDIATE"); err != nil {
			return wrap("migrate "+path, err)
		}
		err := script(c, m.sql)
		if err == nil {
			err = script(c, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT", m.version, applicationID))
		}
		if err != nil {
			_ = script(c, "ROLLBACK") // the error that matters is err
			return wrap("migrate "+path+" by "+m.name, err)
		}
	}
	return nil
}

// script runs statements that are used once and not kept.
func script(c *conn, sql string) error {
	ex, ok := c.raw.(driver.ExecerContext)
	if !ok {
		return fmt.Errorf("driver cannot execute scripts")
	}
	_, err := ex.ExecContext(always, sql, nil)
	return err
}

// prefix reads the folder's random prefix of ids, or makes it.
func prefix(c *conn) (string, error) {
	var have string
	read := func(row []driver.Value) error { have = text(row[0]); return nil }
	if err := c.query(always, "SELECT value FROM meta WHERE key = 'prefix'", read); err != nil || have != "" {
		return have, err
	}
	have = strings.ToLower(rand.Text()[:8])
	_, err := c.exec("INSERT INTO meta (key, value) VALUES ('prefix', ?)", have)
	return have, err
}
