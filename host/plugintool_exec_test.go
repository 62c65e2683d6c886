package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/host/config"
)

// TestClockExample takes the example of a process through inspection, vectors
// and the check of a configuration.
func TestClockExample(t *testing.T) {
	file := buildExample(t, "clock-exec")
	i, err := InspectPlugin(t.Context(), file)
	if err != nil || i.Kind != PluginExecutable || i.Problem != "" {
		t.Fatalf("inspection: %+v, %v", i, err)
	}
	vectors, err := parseVectors([]byte(`[
		{"name": "good", "config": {"interval": "5s"}, "want": {}},
		{"name": "bad", "config": {"interval": "1ms"}, "want": {"error": "interval"}},
		{"name": "no filter", "event": {"id": "1"}, "want": {"verb": "pass"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	results, err := TestPlugin(t.Context(), file, vectors, TestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if (r.Fault != "") != (r.Vector.Name == "no filter") {
			t.Errorf("%s: %q", r.Vector.Name, r.Fault)
		}
	}

	dir := t.TempDir()
	for text, want := range map[string]string{`interval = "5s"`: "", `intervall = "5s"`: "bridgehost.toml:5:"} {
		path := filepath.Join(dir, "bridgehost.toml")
		toml := fmt.Sprintf("[link.tower]\nplugin = %q\nsha256 = %q\n[link.tower.config]\n%s\n", "exec:"+file, i.SHA256, text)
		if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		err = Check(t.Context(), cfg, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("check of %s: got %v, want %q", text, err, want)
		}
	}
}
