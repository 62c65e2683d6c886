package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loadGateways loads a configuration of links a, b, c and f with more lines.
func loadGateways(t *testing.T, more string) (*Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bridgehost.toml")
	text := "[host]\ndata = \"data\"\n"
	for _, l := range []string{"a", "b", "c", "f"} {
		text += "[link." + l + "]\nplugin = \"one\"\n"
	}
	if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file, "one")
}

func TestGateways(t *testing.T) {
	cfg, err := loadGateways(t, "[[gateway]]\nlinks = [\"a\", \"b\"]\nfilters = [\"f\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Peer("a") != "b" || cfg.Peer("b") != "a" || cfg.Peer("c") != "" || cfg.Peer("nobody") != "" {
		t.Errorf("peers %q %q %q", cfg.Peer("a"), cfg.Peer("b"), cfg.Peer("c"))
	}
	alone, err := loadGateways(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if alone.Links["a"].Version() == cfg.Links["a"].Version() {
		t.Error("a link that enters a gateway must start anew")
	}
	for more, want := range map[string]string{
		"[[gateway]]\nlinks = [\"a\", \"b\"]\n[[gateway]]\nlinks = [\"b\", \"c\"]\n": "part of a gateway already",
		"[[gateway]]\nlinks = [\"a\", \"a\"]\n":                                      "two different links",
		"[[gateway]]\nlinks = [\"a\"]\n":                                             "two different links",
		"[[gateway]]\nlinks = [\"a\", \"d\"]\n":                                      `no link "d"`,
		"[[gateway]]\nlinks = [\"a\", \"b\"]\nfilters = [\"f\", \"f\"]\n":            "there twice",
		"[[gateway]]\nlinks = [\"a\", \"b\"]\non_error = \"perhaps\"\n":              "on_error",
	} {
		if _, err := loadGateways(t, more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", more, err, want)
		}
	}
}
