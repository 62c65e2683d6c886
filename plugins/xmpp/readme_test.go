package xmpp

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestReadmeNamesEveryKey holds that the table of the plugin's page has every key of the configuration.
func TestReadmeNamesEveryKey(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(New().Describe().Schema, &schema); err != nil {
		t.Fatal(err)
	}
	keys := schemaKeys("", schema)
	if len(keys) < 40 {
		t.Fatalf("the schema has only the keys %v", keys)
	}
	for _, key := range keys {
		if !strings.Contains(string(page), "`"+key+"`") {
			t.Errorf("README.md does not name %s", key)
		}
	}
}

// schemaKeys lists the keys that have a value of their own, with <jid> for those of a map.
func schemaKeys(prefix string, schema map[string]any) (keys []string) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		sub, _ := p.(map[string]any)
		below := schemaKeys(prefix+name+".", sub)
		if each, ok := sub["additionalProperties"].(map[string]any); ok {
			below = append(below, schemaKeys(prefix+name+".<jid>.", each)...)
		}
		if len(below) == 0 {
			below = []string{prefix + name}
		}
		keys = append(keys, below...)
	}
	return keys
}
