package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// line is one line of an owner's file: a value that was put, or with Gone the
// key of one that was deleted.
type line struct {
	Owner string          `json:"owner,omitempty"` // only in the first line
	Kind  Kind            `json:"kind,omitempty"`
	Key   string          `json:"key,omitempty"`
	Gone  bool            `json:"gone,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes the line: checksum in hex, space, JSON, line feed.
func (l line) encode(b []byte) ([]byte, error) {
	data, err := json.Marshal(l)
	if err != nil {
		return b, fmt.Errorf("encode %s %s: %w", l.Kind, l.Key, err)
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(data, castagnoli))
	return append(append(b, data...), '\n'), nil
}

// decodeLine reads what encode wrote, without the line feed.
func decodeLine(b []byte) (line, bool) {
	sum, data, ok := bytes.Cut(b, []byte(" "))
	if !ok || len(sum) != 8 {
		return line{}, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.Checksum(data, castagnoli) {
		return line{}, false
	}
	var l line
	return l, json.Unmarshal(data, &l) == nil
}

// fileName gives the file of an owner below the folder: names may hold
// characters that file systems do not take.
func fileName(dir, owner string) string {
	sum := sha256.Sum256([]byte(owner))
	name := hex.EncodeToString(sum[:16])
	return filepath.Join(dir, name[:2], name+".log")
}

// readLog hands all whole lines of a file to use, and gives the length of what
// is whole. A file that does not exist is empty.
func readLog(path, owner string, use func(line)) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open records of %s: %w", owner, err)
	}
	defer func() { _ = f.Close() }() // read only
	r := bufio.NewReaderSize(f, 64<<10)
	var whole int64
	for {
		b, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil // what is left has no end: a write that was cut
		}
		if err != nil {
			return whole, fmt.Errorf("read records of %s: %w", owner, err)
		}
		l, ok := decodeLine(b[:len(b)-1])
		if !ok {
			return whole, nil // damage: what follows cannot be trusted
		}
		if l.Owner != "" && l.Owner != owner {
			return whole, fmt.Errorf("read records of %s: %s belongs to another owner", owner, filepath.Base(path))
		}
		whole += int64(len(b))
		use(l)
	}
}

// appendLog appends bytes after the whole part of a file, and with durable returns
// when they are on disk.
func appendLog(path string, whole int64, b []byte, durable bool) error {
	dir := filepath.Dir(path)
	if whole == 0 {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder of records: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open records: %w", err)
	}
	err = func() error {
		if err := f.Truncate(whole); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, whole); err != nil {
			return err
		}
		if !durable {
			return nil
		}
		return f.Sync()
	}()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && whole == 0 && durable {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// replaceLog puts a file with the bytes in the place of the old one, as a whole.
func replaceLog(path string, b []byte) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old records: %w", err)
	}
	if err := appendLog(temp, 0, b, true); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace records: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("replace records: %w", err)
	}
	return nil
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}
