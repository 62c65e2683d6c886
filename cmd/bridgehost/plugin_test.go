package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/host"
)

// did is what a command line did.
type did struct {
	code     int
	out, err string
}

// pluginVerb runs the program with arguments and an answer on standard input.
func pluginVerb(t *testing.T, stdin string, args ...string) did {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return did{code, out.String(), errs.String()}
}

// expect checks the exit code, and texts that must be in the output.
func (d did) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	if d.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", d.code, code, d.out, d.err)
	}
	for _, text := range texts {
		if !strings.Contains(d.out+d.err, text) {
			t.Errorf("%q is missing in\n%s%s", text, d.out, d.err)
		}
	}
}

// rawModule is a module of the launcher's tests, which passes all events.
func rawModule(t *testing.T) []byte {
	t.Helper()
	code, err := os.ReadFile(filepath.Join(root(t), "host/internal/launch/wasm/testdata/cguest/raw.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// root is the folder of the source, also after t.Chdir.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "bridgehost").Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	t.Fatal(err)
	return ""
}

// TestPluginNewGo makes a module from the template, builds it with Go alone and
// without a network, runs its tests of both kinds, and installs it.
func TestPluginNewGo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	pluginVerb(t, "", "plugin", "new", "--lang", "go", "hello").expect(t, exitGood, "cd hello", "sh build.sh")
	pluginVerb(t, "", "plugin", "new", "--lang", "go", "hello").expect(t, exitFailure, "exists")
	t.Chdir(filepath.Join(dir, "hello"))
	pluginVerb(t, "", "plugin", "test").expect(t, exitFailure, "build it first")
	for _, line := range []string{"sh build.sh", "go test ./...", "go vet ./..."} {
		cmd := exec.Command("sh", "-c", line)
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, text)
		}
	}
	pluginVerb(t, "", "plugin", "test", "--time", "5s").expect(t, exitGood, "pass  the tag is added once", " 0 failed")
	config := filepath.Join(dir, "bridgehost.toml")
	pluginVerb(t, "", "plugin", "install", "hello.wasm", "-c", config).expect(t, exitGood, "[link.hello]", "plugins.lock")
	pluginVerb(t, "", "plugin", "verify", "-c", config).expect(t, exitGood, "hello.wasm: good")
}

// TestPluginTest shows what passes, what fails and what it costs, on a module
// that passes every event.
func TestPluginTest(t *testing.T) {
	code := rawModule(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("raw.wasm", code, 0o644); err != nil {
		t.Fatal(err)
	}
	pluginVerb(t, "", "plugin", "test").expect(t, exitFailure, "there are no vectors")
	if err := os.Mkdir("vectors", 0o755); err != nil {
		t.Fatal(err)
	}
	vector := func(text string) {
		t.Helper()
		if err := os.WriteFile("vectors/a.json", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	vector(`{"name": "first", "event": {"id": "e"}, "want": {"verb": "pass"}}`)
	pluginVerb(t, "", "plugin", "test", "--time", "5s").expect(t, exitGood, "pass  first", "1 passed, 0 failed")
	pluginVerb(t, "", "plugin", "bench", "--for", "1ms", "--time", "5s").expect(t, exitGood, "an event")
	pluginVerb(t, "", "plugin", "inspect", "raw.wasm").expect(t, exitGood, "metered", "bh.call", "bh_handle", "none: taken for a filter")
	vector(`[{"event": {"id": "e"}, "want": {"verb": "drop"}}]`)
	pluginVerb(t, "", "plugin", "test", "--time", "5s").expect(t, exitFound, "FAIL  a.json number 1", "verb: got pass, want drop", "0 passed, 1 failed")
	vector(`[{"evnt": {}}]`)
	pluginVerb(t, "", "plugin", "test").expect(t, exitFailure, "evnt")
}

// TestPluginNewAll looks at every template: its name is taken over everywhere.
func TestPluginNewAll(t *testing.T) {
	source := root(t)
	t.Chdir(t.TempDir())
	for lang, example := range templates {
		name := "my-" + lang
		pluginVerb(t, "", "plugin", "new", "--lang", lang, "--sdk", source, name).expect(t, exitGood, "wrote")
		build, err := os.ReadFile(filepath.Join(name, "build.sh"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(build), name) {
			t.Errorf("%s: build.sh does not name %s", lang, name)
		}
		if lang != "exec" {
			manifest, err := os.ReadFile(filepath.Join(name, "plugin.toml"))
			if err != nil || !strings.Contains(string(manifest), `id = "`+name+`"`) {
				t.Errorf("%s: plugin.toml does not name %s: %v", lang, name, err)
			}
		}
		readme, err := os.ReadFile(filepath.Join(name, "README.md"))
		if err != nil || strings.Contains(string(readme), "../shout-vectors") || strings.Contains(string(readme), "[link."+example.id+"]") && lang != "exec" && lang != "feed" {
			t.Errorf("%s: README.md still has names of the example: %v", lang, err)
		}
	}
}

func TestPluginNewRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	pluginVerb(t, "", "plugin", "new", "--lang", "cobol", "x").expect(t, exitUsage, `"cobol"`, "rust")
	pluginVerb(t, "", "plugin", "new", "x").expect(t, exitUsage, "--lang")
	pluginVerb(t, "", "plugin", "new", "--lang", "go", "../x").expect(t, exitUsage, "no name of a plugin")
	pluginVerb(t, "", "plugin", "new", "--lang", "exec", "x").expect(t, exitUsage, "--sdk")
	pluginVerb(t, "", "plugin", "new", "--lang", "exec", "--sdk", ".", "x").expect(t, exitUsage, "go.mod of bridgehost")
	pluginVerb(t, "", "plugin", "nwe").expect(t, exitUsage, `"nwe"`)
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestPluginInstall follows a module that changes: what it newly asks for is
// shown, and nothing is taken without a yes.
func TestPluginInstall(t *testing.T) {
	code := rawModule(t)
	t.Chdir(t.TempDir())
	write := func(abilities string) {
		t.Helper()
		if err := os.WriteFile("m.wasm", code, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := host.PackModule("m.wasm", []byte("id = \"m\"\nversion = \"1.0.0\"\nfacets = [\"filter\"]\nabilities = ["+abilities+"]\n")); err != nil {
			t.Fatal(err)
		}
	}
	write(`"log"`)
	pluginVerb(t, "", "plugin", "install", "m.wasm").expect(t, exitGood, "installed in", `grant = ["log"]`)
	pluginVerb(t, "", "plugin", "install", "m.wasm").expect(t, exitGood, "already")
	write(`"kv", "http"`)
	pluginVerb(t, "", "plugin", "verify").expect(t, exitFound, "changed")
	const asks = "+ it newly asks for the ability http"
	pluginVerb(t, "", "plugin", "install", "m.wasm").expect(t, exitFailure, asks, "- it no longer asks for the ability log", "nothing was changed")
	pluginVerb(t, "n\n", "plugin", "install", "m.wasm").expect(t, exitFailure, "nothing was changed")
	pluginVerb(t, "", "plugin", "verify").expect(t, exitFound, "changed")
	pluginVerb(t, "y\n", "plugin", "install", "m.wasm").expect(t, exitGood, asks, "installed in")
	pluginVerb(t, "", "plugin", "verify").expect(t, exitGood, "good")
	write("")
	pluginVerb(t, "", "plugin", "install", "--yes", "m.wasm").expect(t, exitGood, "installed in")
	if err := os.Remove("m.wasm"); err != nil {
		t.Fatal(err)
	}
	pluginVerb(t, "", "plugin", "verify").expect(t, exitFound, "missing")
}

// TestPluginInstallRefuses holds that nothing gets into the lock that the host
// would refuse.
func TestPluginInstallRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("component.wasm", "\x00asm\x0d\x00\x01\x00", 0o644)
	write("everybody", "#!/bin/sh\n", 0o777)
	write("good", "#!/bin/sh\n", 0o755)
	pluginVerb(t, "", "plugin", "install", "component.wasm").expect(t, exitFound, "component", "wasm32-wasip1")
	pluginVerb(t, "", "plugin", "inspect", "component.wasm").expect(t, exitFound, "wasm32-wasip1")
	pluginVerb(t, "", "plugin", "install", "everybody").expect(t, exitFound, "everybody may write it")
	pluginVerb(t, "", "plugin", "install", "none").expect(t, exitFailure, "no such file")
	if _, err := os.Stat("plugins.lock"); err == nil {
		t.Error("plugins.lock was written")
	}
	pluginVerb(t, "", "plugin", "install", "good").expect(t, exitGood, "native code", "exec:")
}

func TestPluginList(t *testing.T) {
	code := rawModule(t)
	t.Chdir(t.TempDir())
	pluginVerb(t, "", "plugin", "list").expect(t, exitGood, "xmpp", "webhook", "built in, version")
	if err := os.WriteFile("m.wasm", code, 0o644); err != nil {
		t.Fatal(err)
	}
	pluginVerb(t, "", "plugin", "install", "m.wasm").expect(t, exitGood)
	if err := os.WriteFile("bridgehost.toml", []byte("[link.mine]\nplugin = \"wasm:m.wasm\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pluginVerb(t, "", "plugin", "list").expect(t, exitGood, "mine", "as installed")
	if err := os.WriteFile("m.wasm", append(code, 0, 2, 1, 'x'), 0o644); err != nil {
		t.Fatal(err)
	}
	pluginVerb(t, "", "plugin", "list", "--json").expect(t, exitGood, `"link": "mine"`, "changed: its sha256 is")
}

// TestPluginHelp holds that every verb shows two examples.
func TestPluginHelp(t *testing.T) {
	for _, cmd := range newPlugin(&flags{}).Commands() {
		if n := strings.Count(cmd.Example, "  bridgehost plugin "+cmd.Name()); n < 2 {
			t.Errorf("plugin %s shows %d examples of itself, want 2", cmd.Name(), n)
		}
	}
}
