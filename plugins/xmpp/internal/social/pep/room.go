package pep

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cacheFile is the file of one actor.
type cacheFile struct {
	path    string
	size    int64
	changed time.Time
}

// makeRoom counts a new file, if it is one, and bytes that will be written, and
// removes the files longest unchanged where there are too many of either.
func (s *Store) makeRoom(file bool, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files < 0 || file && s.files >= s.limits.Actors || s.size+bytes > s.limits.Disk {
		if err := s.trim(bytes); err != nil {
			return err
		}
	}
	if file {
		s.files++
	}
	s.size += bytes
	return nil
}

// trim counts what is there, and where that is over a limit removes files until a
// tenth is free. Called with mu held.
func (s *Store) trim(bytes int64) error {
	all, err := s.list()
	if err != nil {
		return err
	}
	s.files, s.size = len(all), 0
	for _, f := range all {
		s.size += f.size
	}
	if s.files < s.limits.Actors && s.size+bytes <= s.limits.Disk {
		return nil
	}
	for _, f := range all {
		if s.files < s.limits.Actors*9/10 && s.size+bytes <= s.limits.Disk/10*9 {
			break
		}
		if s.inUse(f.path) {
			continue
		}
		if err := os.Remove(f.path); err != nil {
			return fmt.Errorf("remove old item cache: %w", err)
		}
		s.files--
		s.size -= f.size
	}
	return nil
}

// list gives all files, the longest unchanged first.
func (s *Store) list() ([]cacheFile, error) {
	var all []cacheFile
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".log") {
			return nil //nolint:nilerr // a folder that is not there yet has no files
		}
		if info, err := d.Info(); err == nil {
			all = append(all, cacheFile{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count item caches: %w", err)
	}
	slices.SortFunc(all, func(a, b cacheFile) int { return a.changed.Compare(b.changed) })
	return all, nil
}

// inUse reports whether a file belongs to an actor that a call holds, and forgets
// the actor otherwise. Called with mu held.
func (s *Store) inUse(path string) bool {
	for owner, a := range s.actors {
		if a.path != path {
			continue
		}
		if a.users > 0 {
			return true
		}
		s.memory -= a.counted
		delete(s.actors, owner)
		s.used = slices.DeleteFunc(s.used, func(o string) bool { return o == owner })
		return false
	}
	return false
}
