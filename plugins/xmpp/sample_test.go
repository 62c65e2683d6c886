package xmpp

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestSampleNamesEveryKey holds that the sample configuration shows every key.
func TestSampleNamesEveryKey(t *testing.T) {
	sample, err := os.ReadFile("sample.toml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for line := range strings.Lines(string(sample)) {
		key, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), " =")
		shown[key] = true
	}
	var schema map[string]any
	if err := json.Unmarshal(New().Describe().Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, key := range schemaKeys("", schema) {
		if last := key[strings.LastIndexByte(key, '.')+1:]; !shown[last] {
			t.Errorf("sample.toml does not show %s", key)
		}
	}
}
