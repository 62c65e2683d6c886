package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"bridgehost/sdk"
)

// book is the file that deliveries go to, a line each: id, time, place, author
// and text, with tabs in between.
type book struct{ file *os.File }

func openBook(path string) (*book, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open book: %w", err)
	}
	b := &book{file}
	if err := b.repair(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return b, nil
}

// repair cuts off a last line that a crash left unfinished.
func (b *book) repair() error {
	var whole int64
	r := bufio.NewReader(b.file)
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read book: %w", err)
		}
		whole += int64(len(line))
	}
	if err := b.file.Truncate(whole); err != nil {
		return fmt.Errorf("repair book: %w", err)
	}
	return nil
}

// has tells whether a delivery is in the book. It reads all of it, which happens
// only after a crash.
func (b *book) has(id sdk.DeliveryID) bool {
	lines := bufio.NewScanner(io.NewSectionReader(b.file, 0, 1<<62))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), oneLine(string(id))+"\t") {
			return true
		}
	}
	return false
}

func (b *book) add(id sdk.DeliveryID, at time.Time, place sdk.RemoteID, author, text string) error {
	fields := []string{string(id), at.UTC().Format(time.RFC3339), string(place), author, text}
	for i := range fields {
		fields[i] = oneLine(fields[i])
	}
	if _, err := b.file.WriteString(strings.Join(fields, "\t") + "\n"); err != nil {
		return fmt.Errorf("write book: %w", err)
	}
	return nil
}

func (b *book) sync() error {
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("write book: %w", err)
	}
	return nil
}

func (b *book) close() error { return b.file.Close() }
