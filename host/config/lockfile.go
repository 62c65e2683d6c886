package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	toml "github.com/pelletier/go-toml/v2"
)

// Lock is plugins.lock: the checksums of files that an operator has installed.
type Lock struct {
	Plugins []Locked `toml:"plugin"`
}

// Locked is one installed plugin.
type Locked struct {
	Path      string    `toml:"path"` // absolute
	ID        string    `toml:"id"`
	Version   string    `toml:"version"`
	SHA256    string    `toml:"sha256"`
	Size      int64     `toml:"size"`
	Abilities []string  `toml:"abilities"`
	Installed time.Time `toml:"installed"`
}

// LockFile gives the path of plugins.lock, beside the configuration.
func (c *Config) LockFile() string { return filepath.Join(c.Dir(), "plugins.lock") }

// ReadLock reads plugins.lock; a missing file is an empty lock.
func ReadLock(path string) (*Lock, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read plugin lock: %w", err)
	}
	l := &Lock{}
	if err := toml.Unmarshal(text, l); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) { // its text names types of this program
			line, col := at.Position()
			return nil, fmt.Errorf("read plugin lock %s:%d:%d: %w", path, line, col, errLock)
		}
		return nil, fmt.Errorf("read plugin lock %s: %w", path, err)
	}
	for _, p := range l.Plugins {
		if !filepath.IsAbs(p.Path) || !isSHA256(p.SHA256) {
			return nil, fmt.Errorf("read plugin lock %s: entry %q: %w", path, p.Path, errLock)
		}
	}
	return l, nil
}

// errLock says that a lock was not written by this program.
var errLock = errors.New("not what bridgehost plugin install writes; repair it, or remove it and install the plugins again")

// isSHA256 reports whether s is a checksum in hexadecimal digits.
func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

// SHA256 gives the checksum of an installed file, empty when it is not there.
func (l *Lock) SHA256(path string) string {
	for _, p := range l.Plugins {
		if p.Path == path {
			return p.SHA256
		}
	}
	return ""
}

// Set adds or replaces the entry of a file and returns the one before, nil when
// there was none.
func (l *Lock) Set(p Locked) *Locked {
	for i := range l.Plugins {
		if l.Plugins[i].Path == p.Path {
			before := l.Plugins[i]
			l.Plugins[i] = p
			return &before
		}
	}
	l.Plugins = append(l.Plugins, p)
	slices.SortFunc(l.Plugins, func(a, b Locked) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return nil
}

// Write stores the lock as a whole or not at all.
func (l *Lock) Write(path string) error {
	text, err := toml.Marshal(l)
	if err != nil {
		return fmt.Errorf("write plugin lock: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".plugins.lock-*")
	if err != nil {
		return fmt.Errorf("write plugin lock: %w", err)
	}
	_, err = tmp.Write(append([]byte("# Written by bridgehost plugin install.\n"), text...))
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write plugin lock: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}
