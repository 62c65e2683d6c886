package config

import (
	"os"
	"path/filepath"
	"testing"
)

// write makes a file with mode 0600 in dir.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleLoads(t *testing.T) {
	t.Setenv("COMPONENT_SECRET", "s")
	t.Setenv("GRAFANA_TOKEN", "t")
	path := write(t, t.TempDir(), "bridgehost.toml", string(Example()))
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Links) != 2 || len(c.Routes) != 1 || len(c.Warnings) != 0 {
		t.Errorf("got %v, warnings %v", c, c.Warnings)
	}
}
