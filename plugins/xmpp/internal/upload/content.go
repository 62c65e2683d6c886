package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// inMemory is the size up to which a content is kept in memory while it is sent.
const inMemory = 256 << 10

// errTooLarge is wrapped when a content is longer than allowed.
var errTooLarge = errors.New("file is too large")

// content is a file that is about to be sent. Its size must be known before the
// slot is asked for, and it may be sent twice.
type content struct {
	small  []byte
	file   *os.File // nil while the content is in memory
	size   int64
	digest string // sha-256, hex
}

// contentOf takes content that is in memory.
func contentOf(data []byte) *content {
	sum := sha256.Sum256(data)
	return &content{small: data, size: int64(len(data)), digest: hex.EncodeToString(sum[:])}
}

// spool reads r to its end: into memory, or into a file in dir that close
// removes. More than limit bytes are an error that wraps errTooLarge.
func spool(r io.Reader, limit int64, dir string) (*content, error) {
	hash := sha256.New()
	r = io.TeeReader(io.LimitReader(r, limit+1), hash)
	head, err := io.ReadAll(io.LimitReader(r, inMemory))
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	c := &content{small: head, size: int64(len(head))}
	if len(head) == inMemory {
		c.small = nil
		err = c.keep(io.MultiReader(bytes.NewReader(head), r), dir)
	}
	if err == nil && c.size > limit {
		err = fmt.Errorf("content over %d bytes: %w", limit, errTooLarge)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.digest = hex.EncodeToString(hash.Sum(nil))
	return c, nil
}

// keep puts the content into a file.
func (c *content) keep(r io.Reader, dir string) error {
	f, err := os.CreateTemp(dir, "upload-")
	if err != nil {
		return fmt.Errorf("keep content: %w", err)
	}
	c.file = f
	if c.size, err = io.Copy(f, r); err != nil {
		return fmt.Errorf("keep content: %w", err)
	}
	return nil
}

// reader reads the content from its beginning.
func (c *content) reader() io.Reader {
	if c.file != nil {
		return io.NewSectionReader(c.file, 0, c.size)
	}
	return bytes.NewReader(c.small)
}

// close removes what is on disk.
func (c *content) close() error {
	if c.file == nil {
		return nil
	}
	return errors.Join(c.file.Close(), os.Remove(c.file.Name()))
}
