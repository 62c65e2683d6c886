package archtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/internal/archtest"
)

// TestTree checks this project.
func TestTree(t *testing.T) {
	findings, err := archtest.Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Advice {
			t.Log(f)
		} else {
			t.Error(f)
		}
	}
}

// TestBadTree checks that each rule finds its own bad example: a line of testdata/bad.txt is a finding that must come.
func TestBadTree(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/bad")); err != nil {
		t.Fatal(err)
	}
	// The examples are named .go.txt, so that no tool takes them for part of the project.
	if err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go.txt") {
			err = os.Rename(path, strings.TrimSuffix(path, ".txt"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(root, "host", "long.go")
	if err := os.WriteFile(long, []byte("package host\n"+strings.Repeat("\n", 700)), 0o600); err != nil {
		t.Fatal(err)
	}
	findings, err := archtest.Check(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.String())
	}
	content, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(content))
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("findings:\n%s\nwant:\n%s", g, want)
	}
}

func TestCheckReportsWhatDoesNotParse(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "broken.go"), []byte("package x\nfunc {"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archtest.Check(root); err == nil || !strings.Contains(err.Error(), "broken.go:2") {
		t.Errorf("error = %v, want one that names broken.go:2", err)
	}
}
