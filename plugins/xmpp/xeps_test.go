package xmpp

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestXEPs holds that docs/xeps.md names tests that exist, so that no row of it
// outlives its proof.
func TestXEPs(t *testing.T) {
	page, err := os.ReadFile("../../docs/xeps.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b([a-z0-9]+)\.(Test[A-Za-z0-9_]+)(?:/([a-z0-9-]+))?`).FindAllStringSubmatch(string(page), -1)
	if len(named) < 20 {
		t.Fatalf("%d tests are named", len(named))
	}
	for _, m := range named {
		pkg, test, golden := m[1], m[2], m[3]
		dir := map[string]string{"xmpp": ".", "e2e": "../../internal/e2e"}[pkg]
		if dir == "" {
			dir = packageDir(t, pkg)
		}
		if !hasTest(t, dir, test) {
			t.Errorf("there is no %s.%s", pkg, test)
		}
		if golden != "" {
			if _, err := os.Stat(filepath.Join(dir, "testdata", golden+".txtar")); err != nil {
				t.Errorf("there is no golden file %s of %s.%s", golden, pkg, test)
			}
		}
	}
}

// packageDir finds a package below internal.
func packageDir(t *testing.T, name string) string {
	t.Helper()
	for _, pattern := range []string{"internal/" + name, "internal/*/" + name} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) == 1 {
			return found[0]
		}
	}
	t.Errorf("there is no package %s", name)
	return "."
}

// hasTest looks for a test function.
func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(code), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
