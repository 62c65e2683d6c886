package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"bridgehost/sdk"
)

const diffBefore = `
[link.a]
plugin = "x"
config = { k = 1 }
[link.b]
plugin = "x"
[link.c]
plugin = "x"
[link.d]
plugin = "x"
[[route]]
from = "a:x"
to = ["b:y"]
[[route]]
from = "c:x"
to = ["d:y"]
`

func TestDiffSaysWhatChanges(t *testing.T) {
	before := load(t, diffBefore)
	if got := Diff(before, load(t, diffBefore)); len(got) != 0 {
		t.Errorf("nothing changed: got %v", got)
	}
	after := load(t, `
[admin]
listen = "127.0.0.1:1"
[link.a]
plugin = "x"
config = { k = 2 }
[link.b]
plugin = "x"
[link.c]
plugin = "x"
[link.e]
plugin = "x"
[[route]]
from = "a:x"
to = ["b:y"]
both_ways = true
filters = ["e"]
[[route]]
from = "c:x"
to = ["e:y"]
`)
	want := []string{"link a starts anew", "link b has other places", "link d ends", "link e is added",
		"route ends: a:x -> b:y", "route ends: c:x -> d:y", "route is added: a:x <-> b:y by e", "route is added: c:x -> e:y"}
	if got := Diff(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := NeedsRestart(before, after); !reflect.DeepEqual(got, []string{"admin.listen"}) {
		t.Errorf("needs restart: got %q", got)
	}
}

func TestChangedSecretStartsALinkAnew(t *testing.T) {
	const text = "[link.a]\nplugin = \"x\"\nconfig.token = { env = \"TOKEN_OF_TEST\" }\n[[route]]\nfrom = \"a:x\"\nto = [\"a:y\"]\n"
	t.Setenv("TOKEN_OF_TEST", "one")
	before := load(t, text)
	t.Setenv("TOKEN_OF_TEST", "two")
	if got := Diff(before, load(t, text)); !reflect.DeepEqual(got, []string{"link a starts anew"}) {
		t.Errorf("got %q", got)
	}
}

func TestLockRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugins.lock")
	l, err := ReadLock(path)
	if err != nil || len(l.Plugins) != 0 {
		t.Fatalf("a lock that is not there: got %v, %v", l, err)
	}
	sum := strings.Repeat("ab", 32)
	b := Locked{Path: "/p/b.wasm", ID: "b", Version: "1.0.0", SHA256: sum, Size: 7, Abilities: []string{"log"}, Installed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	a := Locked{Path: "/p/a.wasm", SHA256: sum, Installed: b.Installed}
	l.Set(b)
	if before := l.Set(a); before != nil {
		t.Errorf("got %v, want nothing before", before)
	}
	if before := l.Set(a); before == nil || before.Path != a.Path {
		t.Errorf("got %v, want the entry before", before)
	}
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Plugins) != 2 || got.Plugins[0].Path != a.Path || !reflect.DeepEqual(got.Plugins[1], b) {
		t.Errorf("got %+v", got.Plugins)
	}
	if got.SHA256(b.Path) != sum || got.SHA256("/p/c.wasm") != "" {
		t.Errorf("checksums: got %q, %q", got.SHA256(b.Path), got.SHA256("/p/c.wasm"))
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestLockThatIsSpoilt(t *testing.T) {
	for _, text := range []string{"plugin = 5", "[[plugin]]\npath = \"/x\"\nsize = \"a\"", "[[plugin]]\npath = \"x\"", "["} {
		_, err := ReadLock(write(t, t.TempDir(), "plugins.lock", text))
		if !errors.Is(err, errLock) || strings.Contains(err.Error(), "Locked") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestLockGivesTheChecksum(t *testing.T) {
	dir := t.TempDir()
	module := write(t, dir, "m.wasm", "x")
	path := write(t, dir, "bridgehost.toml", "[link.a]\nplugin = \"wasm:m.wasm\"\n[[route]]\nfrom = \"a:x\"\nto = [\"a:y\"]\n")
	l := &Lock{}
	l.Set(Locked{Path: module, SHA256: strings.Repeat("ab", 32)})
	if err := l.Write(filepath.Join(dir, "plugins.lock")); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Links["a"].SHA256; got != strings.Repeat("ab", 32) {
		t.Errorf("got %q", got)
	}
}

func TestManifest(t *testing.T) {
	m, err := ParseManifest([]byte(`
id = "shout"
version = "1.0.0"
facets = ["filter"]
takes = ["` + sdk.KindItemCreated.String() + `"]
abilities = ["log", "http"]
hosts = ["api.example.org"]
limits = { memory = "8MiB", time = "50ms" }
schema = '{"type":"object"}'
[[command]]
name = "louder"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := sdk.Manifest{ID: "shout", Version: "1.0.0", ContractMin: 1, ContractMax: 1, Takes: []sdk.ChangeKind{sdk.KindItemCreated},
		Facets: []string{"filter"}, Abilities: []string{"log", "http"}, Hosts: []string{"api.example.org"},
		Schema: json.RawMessage(`{"type":"object"}`), Commands: []sdk.CommandInfo{{Name: "louder"}},
		Limits: sdk.Limits{Memory: 8 << 20, Time: 50 * time.Millisecond}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
}

func TestManifestFaults(t *testing.T) {
	_, err := ParseManifest([]byte("id = \"No Id\"\ncontract = [2, 1]\nfacets = [\"fliter\"]\nabilities = [\"kvs\"]\ntakes = [\"itemcreated\"]\n" +
		"hosts = [\"https://x\"]\nbatch_max = -1\nschema = \"{\"\nverzion = \"1\"\n"))
	var list *Errors
	if !errors.As(err, &list) || len(list.List) != 9 {
		t.Fatalf("got %v, want 9 faults", err)
	}
	for i, e := range list.List {
		if e.Line != i+1 {
			t.Errorf("fault %d: got %v", i, e)
		}
	}
	for _, want := range []string{`"filter"`, `"kv"`, `"version"`} {
		if !strings.Contains(err.Error(), "did you mean "+want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte("id = \"x\"\ncontract = [1, 1]\n[[command]]\nname = \"a\""))
	f.Add([]byte("[[command]\nid = 5\ntakes = [[]]\nlimits = { memory = -1 }"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if err == nil && (m.ID == "" || m.ContractMin < 1 || m.ContractMax < m.ContractMin) {
			t.Errorf("accepted %+v", m)
		}
		if err != nil && !errors.As(err, new(*Errors)) {
			t.Errorf("got %v, want *Errors", err)
		}
	})
}

// TestSchemaHasEveryKey compares Keys and Schema, and what each says.
func TestSchemaHasEveryKey(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range Keys() {
		if k.Doc == "" || k.Type == "" || seen[k.Key] {
			t.Errorf("bad key %+v", k)
		}
		seen[k.Key] = true
		node := root
		for _, word := range strings.Split(strings.ReplaceAll(k.Key, "[]", ".[]"), ".") {
			var next any
			switch word {
			case "NAME":
				next = node["additionalProperties"]
			case "[]":
				next = node["items"]
			default:
				properties, _ := node["properties"].(map[string]any)
				next = properties[word]
			}
			table, ok := next.(map[string]any)
			if !ok {
				t.Fatalf("%s is not in the schema at %s", k.Key, word)
			}
			node = table
		}
	}
	for _, key := range []string{"host.disk_reserve", "host.log.level", "link.NAME.limits.memory", "route[].from", "gateway[].links"} {
		if !seen[key] {
			t.Errorf("no key %s", key)
		}
	}
}

func TestSecretFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	open := write(t, dir, "open", "sesame")
	if err := os.Chmod(open, 0o604); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "is no file", dir: "is no file", open: "(mode 0604)", filepath.Join(dir, "none"): "cannot be read",
		write(t, dir, "empty", "\n"): "is empty", write(t, dir, "large", strings.Repeat("x", maxSecret+1)): "larger than 64 KiB",
	} {
		secret, fault := readSecretFile(path)
		if secret != "" || fault == nil || !strings.Contains(fault.problem, want) {
			t.Errorf("%s: got %q, %+v, want %q", filepath.Base(path), secret, fault, want)
		}
	}
}
