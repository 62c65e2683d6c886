package convert

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"bridgehost/sdk"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden reads in.json and compares what it says with item.json, and what is written of that for another server with out.json. The
// note names the rule.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, f := range arc.Files {
				part[f.Name] = string(f.Data)
			}
			if part["note"] == "" {
				t.Error("no note")
			}
			p, err := Read(parse(t, part["in.json"]), Reading{})
			if err != nil {
				t.Fatal(err)
			}
			out, loss := Write(p.Item, goldenNames(p))
			got := map[string]string{"in.json": part["in.json"], "note": part["note"], "item.json": pretty(t, p.Item), "out.json": pretty(t, document(t, out))}
			if len(loss) > 0 {
				got["loss.json"] = pretty(t, loss)
			}
			if *update {
				arc.Files = nil
				for _, name := range []string{"note", "in.json", "item.json", "out.json", "loss.json"} {
					if got[name] != "" {
						arc.Files = append(arc.Files, txtar.File{Name: name, Data: []byte(got[name])})
					}
				}
				if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, name := range []string{"item.json", "out.json", "loss.json"} {
				if got[name] != part[name] {
					t.Errorf("%s: got\n%s\nwant\n%s", name, got[name], part[name])
				}
			}
		})
	}
}

// goldenNames writes a post as that of ann on ours.example; who was mentioned is still who is.
func goldenNames(p Post) Names {
	people := map[sdk.RemoteID]Person{}
	for _, q := range p.People {
		people[sdk.RemoteID(q.Handle)] = q
	}
	n := names
	n.Hashtag = func(tag string) string { return "https://ours.example/tags/" + tag }
	n.Person = func(m sdk.Mention) (Person, bool) { q, ok := people[m.Actor.ID]; return q, ok }
	if p.Item.Visibility == sdk.VisibilityDirect {
		n.Recipients = p.People
	}
	return n
}

func pretty(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
