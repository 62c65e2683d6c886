package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

func parse(t testing.TB, s string) *object.Object {
	t.Helper()
	o, err := object.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// document writes an object and reads it again, as another server would, and demands that the vocabulary of go-fed takes it.
func document(t testing.TB, o *object.Object) *object.Object {
	t.Helper()
	raw, err := o.Document()
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 64<<10 {
		t.Errorf("%d bytes, want at most 64 KiB", len(raw))
	}
	back := parse(t, string(raw))
	if _, err := back.Vocab(context.Background()); err != nil && !errors.Is(err, object.ErrNoVocab) {
		t.Errorf("vocabulary: %v", err)
	}
	return back
}

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var names = Names{ID: "https://ours.example/o/1", Actor: "https://ours.example/u/ann", Followers: "https://ours.example/u/ann/followers", Place: sdk.VisibilityPublic}

var bob = Person{ID: "https://m.example/users/bob", Handle: "bob@m.example", URL: "https://m.example/@bob"}

// corpus gives the documents beside the checkout, and skips or fails without them.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("BRIDGEHOST_CORPUS")
	if dir == "" {
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; here != filepath.Dir(here); here = filepath.Dir(here) {
			if _, err := os.Stat(filepath.Join(here, "go.mod")); err == nil {
				dir = filepath.Join(here, "..", "shared", "corpus")
				break
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "activitypub", "*.json"))
	if err != nil || len(files) < 371 {
		if os.Getenv("BRIDGEHOST_CORPUS_REQUIRED") == "1" {
			t.Fatalf("corpus: %d documents, want 371 or more (%v)", len(files), err)
		}
		t.Skipf("corpus: %d documents, want 371 or more: set BRIDGEHOST_CORPUS", len(files))
	}
	out := map[string][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = raw
	}
	return out
}
