package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keys(t *testing.T, s *Store, owner string, kind Kind) string {
	t.Helper()
	list, err := s.List(owner, kind)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		out = append(out, r.Key)
	}
	return strings.Join(out, " ")
}

func put(t *testing.T, s *Store, owner string, kind Kind, key string, value any) {
	t.Helper()
	if err := s.Put(owner, kind, key, value); err != nil {
		t.Fatalf("Put(%s): %v", key, err)
	}
}

func TestSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, Limits{})
	for _, k := range []string{"a", "b", "c"} {
		put(t, s, "juliet", "post", k, "value of "+k)
	}
	put(t, s, "juliet", "post", "a", "newer")
	if gone, err := s.Delete("juliet", "post", "b"); !gone || err != nil {
		t.Fatalf("Delete = %v, %v", gone, err)
	}
	s = New(dir, Limits{})
	if got := keys(t, s, "juliet", "post"); got != "a c" {
		t.Errorf("after a restart: %q, want %q", got, "a c")
	}
	var v string
	if ok, err := s.Get("juliet", "post", "a", &v); !ok || err != nil || v != "newer" {
		t.Errorf("Get = %q, %v, %v", v, ok, err)
	}
	if got := keys(t, s, "romeo", "post"); got != "" {
		t.Errorf("another owner has %q", got)
	}
}

// A write that a crash cut off must not hide what was whole, nor what comes later.
func TestTornWrite(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, Limits{})
	put(t, s, "juliet", "post", "a", 1)
	path := fileName(dir, "juliet")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "juliet", "post", "b", 2)
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole); cut < len(all); cut++ {
		if err := os.WriteFile(path, all[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(dir, Limits{})
		if got := keys(t, s, "juliet", "post"); got != "a" {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		put(t, s, "juliet", "post", "c", 3)
		if got := keys(t, New(dir, Limits{}), "juliet", "post"); got != "a c" {
			t.Fatalf("cut at %d, then written: %q", cut, got)
		}
	}
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, Limits{Records: map[Kind]int{"post": 8}, Value: 100})
	for i := range 100 {
		put(t, s, "juliet", "post", fmt.Sprint(i), i)
	}
	n, err := s.Count("juliet", "post")
	if err != nil || n > 9 {
		t.Errorf("%d records, %v", n, err)
	}
	if got := keys(t, s, "juliet", "post"); !strings.HasSuffix(got, "98 99") {
		t.Errorf("kept %q, not the newest", got)
	}
	if err := s.Put("juliet", "post", "x", strings.Repeat("x", 200)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large value got %v", err)
	}
}

func TestRewriteShortensFile(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, Limits{})
	for i := range 200 {
		put(t, s, "juliet", "post", "same", strings.Repeat(fmt.Sprint(i%10), 2000))
	}
	info, err := os.Stat(fileName(dir, "juliet"))
	if err != nil || info.Size() > 100<<10 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if got := keys(t, New(dir, Limits{}), "juliet", "post"); got != "same" {
		t.Errorf("after rewriting: %q", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := New(t.TempDir(), Limits{Memory: 40 << 10})
	for i := range 50 {
		put(t, s, fmt.Sprint("owner", i), "post", "a", i)
	}
	if len(s.owners) > 10 || len(s.used) != len(s.owners) {
		t.Errorf("%d owners in memory", len(s.owners))
	}
	var v int
	if ok, err := s.Get("owner0", "post", "a", &v); !ok || err != nil {
		t.Errorf("the first owner is lost: %v, %v", ok, err)
	}
}

func FuzzDecodeLine(f *testing.F) {
	b, _ := line{Kind: "post", Key: "a", Value: []byte(`1`)}.encode(nil)
	f.Add(b)
	f.Add([]byte("00000000 {}"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = decodeLine(b) })
}
