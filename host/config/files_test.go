package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

type filesTable struct {
	CA    string            `cfg:"ca,file"`
	Name  string            `cfg:"name"`
	More  []string          `cfg:"more,file"`
	ByTag map[string]string `cfg:"by_tag,file"`
	Inner struct {
		Key   *string `cfg:"key,file"`
		Count int64   `cfg:"count"`
	} `cfg:"inner"`
}

func TestResolveFiles(t *testing.T) {
	schema, err := settings.Schema(filesTable{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	there := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(there, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, table, want, faults string }{
		{"relative", `{"ca":"ca.pem","name":"ca.pem"}`, `{"ca":"` + there + `","name":"ca.pem"}`, ""},
		{"absolute", `{"ca":"` + there + `"}`, `{"ca":"` + there + `"}`, ""},
		{"above", `{"ca":"sub/../ca.pem"}`, `{"ca":"` + there + `"}`, ""},
		{"empty", `{"ca":""}`, `{"ca":""}`, ""},
		{"lists and tables", `{"by_tag":{"a b":"ca.pem"},"inner":{"count":9007199254740993,"key":"ca.pem"},"more":["ca.pem"]}`,
			`{"by_tag":{"a b":"` + there + `"},"inner":{"count":9007199254740993,"key":"` + there + `"},"more":["` + there + `"]}`, ""},
		{"missing", `{"by_tag":{"a b":"x"},"inner":{"key":"x"},"more":["ca.pem","cb.pem"]}`, "",
			`by_tag."a b" there is no file; inner.key there is no file; more[1] there is no file`},
		{"folder", `{"ca":"."}`, "", "ca " + dir + " is a folder"},
		{"below a file", `{"ca":"ca.pem/x"}`, "", "ca the file cannot be read"},
		{"other types", `{"ca":5,"more":"ca.pem","inner":[1]}`, `{"ca":5,"inner":[1],"more":"ca.pem"}`, ""},
		{"unknown keys", `{"else":{"ca":"ca.pem"}}`, `{"else":{"ca":"ca.pem"}}`, ""},
	} {
		got, faults, err := ResolveFiles(schema, json.RawMessage(c.table), dir)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.want != "" && string(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		var texts []string
		for _, f := range faults {
			texts = append(texts, f.Key+" "+f.Problem)
		}
		parts := strings.Split(c.faults, "; ")
		ok := len(texts) == len(parts) || c.faults == "" && texts == nil
		for i := range min(len(texts), len(parts)) {
			ok = ok && strings.HasPrefix(texts[i], parts[i])
		}
		if !ok {
			t.Errorf("%s: faults %q, want %q", c.name, texts, c.faults)
		}
	}
	_, faults, err := ResolveFiles(schema, json.RawMessage(`{"ca":"ca.pen"}`), dir)
	if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Remedy, `"ca.pem"`) {
		t.Errorf("a file nearly spelt right: %+v, %v", faults, err)
	}
}

// TestResolveFilesWithoutSchema leaves tables alone of which nothing is known,
// and says so when the schema of a foreign plugin is no schema.
func TestResolveFilesWithoutSchema(t *testing.T) {
	for _, schema := range []string{"", `{"type":"object"}`, `["file"]`} {
		got, faults, err := ResolveFiles(json.RawMessage(schema), json.RawMessage(`{"ca":"x"}`), "/")
		if string(got) != `{"ca":"x"}` || faults != nil || err != nil {
			t.Errorf("schema %s: got %s, %v, %v", schema, got, faults, err)
		}
	}
	for _, c := range [][2]string{{`{"format":"file"`, `{}`}, {`{"format":"file"}`, `{`}} {
		if _, _, err := ResolveFiles(json.RawMessage(c[0]), json.RawMessage(c[1]), "/"); err == nil {
			t.Errorf("schema %s and table %s: no error", c[0], c[1])
		}
	}
	deep := strings.Repeat(`[`, 100) + `"x"` + strings.Repeat(`]`, 100)
	form := strings.Repeat(`{"items":`, 100) + `{"format":"file"}` + strings.Repeat(`}`, 100)
	if got, faults, err := ResolveFiles(json.RawMessage(form), json.RawMessage(deep), "/"); string(got) != deep || faults != nil || err != nil {
		t.Errorf("nested too deep: %s, %v, %v", got, faults, err)
	}
}

func TestWithFaults(t *testing.T) {
	files := []sdk.Fault{{Key: "ca", Problem: "there is no file"}}
	got := WithFaults(files, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "ca", Problem: "is no PEM"}, {Key: "name", Problem: "is missing"}}})
	if len(got.Faults) != 2 || got.Faults[0].Problem != "there is no file" || got.Faults[1].Key != "name" {
		t.Errorf("got %+v", got.Faults)
	}
	if got := WithFaults(files, nil); len(got.Faults) != 1 {
		t.Errorf("got %+v", got.Faults)
	}
}

// TestBase takes the folder of the file in which the link stands.
func TestBase(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "conf.d/more.toml", "[link.b]\nplugin = \"one\"\n")
	path := write(t, dir, "bridgehost.toml", "include = [\"conf.d/*.toml\"]\n[link.a]\nplugin = \"one\"\n")
	cfg, err := Load(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{"a": dir, "b": filepath.Join(dir, "conf.d"), "nobody": dir} {
		if got := cfg.Base(link); got != want {
			t.Errorf("%s: got %s, want %s", link, got, want)
		}
	}
}
