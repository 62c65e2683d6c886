package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// unpack writes the files of an archive into a folder; those named like open
// can be read by everybody.
func unpack(t testing.TB, a *txtar.Archive) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		path := write(t, dir, f.Name, string(f.Data))
		if filepath.Base(f.Name) == "open" {
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// faultsOf loads the configuration of an archive and gives its faults.
func faultsOf(t *testing.T, dir string) []Error {
	t.Helper()
	_, err := Load(filepath.Join(dir, "bridgehost.toml"))
	var list *Errors
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("got %v, want *Errors", err)
	}
	if list == nil {
		return nil
	}
	return list.List
}

// TestGolden compares the faults of each configuration in testdata/golden, in
// full, with the file "want"; go test -update writes it.
func TestGolden(t *testing.T) {
	t.Setenv("GRAFANA_TOKEN", "sesame-open")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if last := len(a.Files) - 1; a.Files[last].Name == "want" {
				want = string(a.Files[last].Data)
				a.Files = a.Files[:last]
			}
			dir := unpack(t, a)
			got := "no fault\n"
			if list := faultsOf(t, dir); list != nil {
				got = strings.ReplaceAll((&Errors{List: list}).Error(), dir+"/", "") + "\n"
				got = strings.ReplaceAll(got, dir, "DIR")
			}
			if strings.Contains(got, "hunter22") || strings.Contains(got, "sesame") {
				t.Errorf("a text holds a secret:\n%s", got)
			}
			if *update {
				a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestSeededMistakes is the measure for this package: every line marked WRONG in
// mistakes.txtar is reported in one run with its position, and for nearly all of
// them the remedy is the right one.
func TestSeededMistakes(t *testing.T) {
	t.Setenv("GRAFANA_TOKEN", "sesame-open")
	a, err := txtar.ParseFile("testdata/golden/mistakes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := unpack(t, a)
	list := faultsOf(t, dir)
	seeded, found, right := 0, 0, 0
	marked := map[string]map[int]bool{}
	for _, f := range a.Files {
		if !strings.HasSuffix(f.Name, ".toml") {
			continue
		}
		marked[filepath.Join(dir, f.Name)] = map[int]bool{}
		for i, line := range strings.Split(string(f.Data), "\n") {
			_, mark, ok := strings.Cut(line, "# WRONG")
			if !ok {
				continue
			}
			seeded++
			marked[filepath.Join(dir, f.Name)][i+1] = true
			remedies := ""
			for _, e := range list {
				if e.File == filepath.Join(dir, f.Name) && e.Line == i+1 && e.Col > 0 && e.Excerpt != "" {
					remedies += e.Remedy + "\n"
				}
			}
			hint := strings.TrimSpace(strings.TrimPrefix(mark, ":"))
			switch {
			case remedies == "":
				t.Errorf("%s:%d: not found: %s", f.Name, i+1, line)
			case hint != "" && strings.Contains(remedies, hint):
				found, right = found+1, right+1
			default:
				found++
				t.Errorf("%s:%d: remedy %q, want %q in it", f.Name, i+1, remedies, hint)
			}
		}
	}
	for _, e := range list {
		if !marked[e.File][e.Line] {
			t.Errorf("a fault that is not seeded: %v", e)
		}
	}
	t.Logf("seeded %d, found %d, right remedy %d", seeded, found, right)
	if seeded < 30 || found != seeded || right < 25 {
		t.Errorf("seeded %d (at least 30), found %d (all), right remedy %d (at least 25)", seeded, found, right)
	}
}
