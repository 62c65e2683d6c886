// Package config holds configurations to begin with. Each is a whole file that `bridgehost check` accepts.
package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCheck runs check over each configuration of this folder, over the one that the project's README prints, and over the one that
// the program itself prints.
func TestCheck(t *testing.T) {
	program := filepath.Join(t.TempDir(), "bridgehost")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/bridgehost").CombinedOutput(); err != nil {
		t.Fatalf("build bridgehost: %v\n%s", err, out)
	}
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) < 4 {
		t.Fatalf("configurations: %v, error %v", files, err)
	}
	texts := map[string]string{}
	for _, file := range files {
		texts[file] = read(t, file)
	}
	block := regexp.MustCompile("(?s)```toml\n(\\[host\\].*?)```").FindStringSubmatch(read(t, "../../README.md"))
	if block == nil {
		t.Fatal("README.md has no configuration")
	}
	texts["README.md"] = block[1]
	example, err := exec.CommandContext(t.Context(), program, "config", "example").Output()
	if err != nil {
		t.Fatalf("config example: %v", err)
	}
	texts["config example"] = string(example)
	for name, text := range texts {
		t.Run(name, func(t *testing.T) { check(t, program, text) })
	}
}

// read reads a file.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// secrets finds where a configuration takes a secret from.
var secrets = regexp.MustCompile(`\{ (env|file) = "([^"]+)" \}`)

// check writes a configuration into a folder of its own, with secrets, and checks it.
func check(t *testing.T, program, text string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "bridgehost.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const value = "a-secret-of-the-test-long-enough"
	cmd := exec.CommandContext(t.Context(), program, "check", "-c", file)
	cmd.Env = os.Environ()
	for _, m := range secrets.FindAllStringSubmatch(text, -1) {
		if m[1] == "env" {
			cmd.Env = append(cmd.Env, m[2]+"="+value)
		} else if err := os.WriteFile(filepath.Join(dir, m[2]), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "good: ") {
		t.Errorf("check: %v\n%s", err, out)
	}
}
