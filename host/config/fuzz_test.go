package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	toml "github.com/pelletier/go-toml/v2"
	"github.com/rogpeppe/go-internal/txtar"
)

// seeds are the configurations of the golden files and some odd ones.
func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	for _, text := range []string{"\uFEFFa=1", "a.b.c=1\n[a.b]\nd=1", "[a.b.c]\n[a]\nb.c.t=9", "[[a]]\n[a.b]\nc=1\n[[a]]\n[a.b]\nc=1",
		"a=[[[]]]\r\nb=1979-05-27T07:32:00Z\r\n", "a={b.c=1,b.d=2}", "a=1_000\nb=0xfe\nc=+1\nd=-0.0\ne=nan", "\"\"=1\n'a.b'=2", "a=[\n1,\n#x\n]"} {
		f.Add([]byte(text))
	}
}

// FuzzLoad checks that no file makes Load panic or run wild, that every fault has
// a position inside the file, and that the values are those that the library reads.
func FuzzLoad(f *testing.F) {
	seeds(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		if strings.Contains(string(text), "include") || strings.Contains(string(text), "file") {
			text = []byte(strings.NewReplacer("include", "incl", "file", "fil").Replace(string(text))) // nothing outside is read
		}
		path := filepath.Join(dir, "bridgehost.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		var list *Errors
		switch {
		case err == nil:
			_ = c.Locate("home", "a.b[1].c")
		case !errors.As(err, &list):
			t.Fatalf("got %v, want *Errors", err)
		default:
			if len(list.List) == 0 || len(list.List) > maxFaults {
				t.Errorf("%d faults", len(list.List))
			}
			lines := strings.Count(string(text), "\n") + 1
			for _, e := range list.List {
				if e.Line < 1 || e.Line > lines || e.Col < 1 || e.Problem == "" {
					t.Errorf("bad fault %+v", e)
				}
			}
			_ = list.Error()
		}
		compare(t, text)
	})
}

// compare reads a file with the library as well.
func compare(t *testing.T, text []byte) {
	t.Helper()
	faults := &Errors{}
	src := readSource("x.toml", text, faults)
	text = []byte(strings.TrimPrefix(string(text), "\uFEFF"))
	var want map[string]any
	err := toml.Unmarshal(text, &want)
	switch {
	case err == nil && len(faults.List) > 0 && !strings.Contains(faults.Error(), "nested too deep"):
		t.Errorf("the library accepts it, we report %v", faults)
	case err != nil && len(faults.List) == 0:
		t.Errorf("the library says %v, we accept it", err)
	case err == nil && len(faults.List) == 0:
		if want == nil {
			want = map[string]any{}
		}
		if got, want := fmt.Sprintf("%#v", src.values), fmt.Sprintf("%#v", want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
