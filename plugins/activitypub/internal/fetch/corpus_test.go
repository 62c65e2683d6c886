package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/plugins/activitypub/internal/object"
)

// corpus gives the documents of other servers, and skips or fails where they are not.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	dir := os.Getenv("BRIDGEHOST_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "..", "shared", "corpus")
	}
	files, err := filepath.Glob(filepath.Join(dir, "activitypub", "*.json"))
	if err != nil || len(files) == 0 {
		if os.Getenv("BRIDGEHOST_CORPUS_REQUIRED") == "1" {
			t.Fatalf("no corpus (%v)", err)
		}
		t.Skip("no corpus: set BRIDGEHOST_CORPUS")
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

// TestCorpusKeys reads the key of every actor that has one.
func TestCorpusKeys(t *testing.T) {
	good, bad := 0, 0
	for name, raw := range corpus(t) {
		o, err := object.Parse(raw)
		if err != nil {
			continue
		}
		for _, k := range append(o.PublicKeys(), o.AssertionMethods()...) {
			if k.PEM == "" && k.Multibase == "" {
				continue
			}
			if _, err := parseKey(k); err != nil {
				bad++
				t.Logf("%s: %v", name, err)
				continue
			}
			good++
		}
	}
	t.Logf("%d keys read, %d refused", good, bad)
	if good < 20 {
		t.Errorf("only %d keys were read", good)
	}
}

// TestCorpusFinger reads every WebFinger answer; those without a link to an actor of ActivityPub are refused.
func TestCorpusFinger(t *testing.T) {
	good := 0
	for name, raw := range corpus(t) {
		if !strings.Contains(name, "webfinger") || strings.Contains(name, "create-note") {
			continue
		}
		f, err := readJRD("test", raw)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		good++
		// A spoofed answer reads well; it is the question at the subject's own host that refuses it (TestFinger).
		if object.Origin(f.Actor) == "" || f.Subject.Host == "" {
			t.Errorf("%s: got %+v", name, f)
		}
	}
	if good < 5 {
		t.Errorf("only %d answers were read", good)
	}
}
