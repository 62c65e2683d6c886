package host

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bridgehost/host/internal/launch/wasm"
	"bridgehost/sdk"
	"bridgehost/sdk/codec/eventjson"
	"bridgehost/sdk/sdktest"
)

// toolTime is the limit of one call in these tests, long enough for a machine
// that has other things to do.
const toolTime = 5 * time.Second

// missingTool skips the test, or fails it where the tool chains must be there.
func missingTool(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("BRIDGEHOST_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s; scripts/install-test-deps installs it", why)
	}
	t.Skipf("%s; scripts/install-test-deps installs it", why)
}

// buildExample builds an example by its build.sh and returns the file.
func buildExample(t *testing.T, name string, env ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.wasm")
	cmd := exec.Command("sh", "../examples/"+name+"/build.sh")
	cmd.Env = append(append(os.Environ(), "OUT="+out), env...)
	start := time.Now()
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: built in %v, %d bytes", name, time.Since(start).Round(10*time.Millisecond), info.Size())
	return out
}

// rustc finds a compiler with the library for WASM.
func rustc(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("../scripts/find-rustc").Output()
	if err != nil {
		missingTool(t, "no rustc with the library of wasm32-unknown-unknown")
	}
	return strings.TrimSpace(string(out))
}

// TestShoutExamples holds the four examples to the same vectors.
func TestShoutExamples(t *testing.T) {
	vectors, err := ReadVectors("../examples/shout-vectors")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  func(*testing.T) []string
	}{
		{"shout-go", func(*testing.T) []string { return nil }},
		{"shout-rust", func(t *testing.T) []string { return []string{"RUSTC=" + rustc(t)} }},
		{"shout-c", func(t *testing.T) []string {
			for _, program := range []string{"clang", "wasm-ld"} {
				if _, err := exec.LookPath(program); err != nil {
					missingTool(t, program+" is not installed")
				}
			}
			if _, err := os.Stat("/usr/lib/wasm32-wasi/libc.a"); err != nil {
				missingTool(t, "wasi-libc is not installed")
			}
			return nil
		}},
		{"shout-as", func(t *testing.T) []string {
			if _, err := os.Stat("../examples/shout-as/node_modules/.bin/asc"); err != nil {
				missingTool(t, "the packages of examples/shout-as are not installed (npm ci)")
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			module := buildExample(t, c.name, c.env(t)...)
			b, err := openBench(t.Context(), module, toolTime, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}()
			if i := b.inspection; !i.Metered || i.Manifest == nil || i.Manifest.ID != "shout" {
				t.Errorf("inspection: metered %v, manifest %+v; want a metered module with the manifest of shout", i.Metered, i.Manifest)
			}
			results, err := b.test(t.Context(), vectors)
			if err != nil {
				t.Fatal(err)
			}
			if len(results) != len(vectors) {
				t.Fatalf("%d results of %d vectors", len(results), len(vectors))
			}
			for _, r := range results {
				if r.Fault != "" {
					t.Errorf("%s: %s", r.Vector.Name, r.Fault)
				}
			}
			t.Run("conformance", func(t *testing.T) { conformance(t, b.launcher.wasm, module, vectors) })
		})
	}
}

// conformance runs the suite of the contract on a module, in this process and
// with gRPC in between.
func conformance(t *testing.T, modules *wasm.Host, file string, vectors []Vector) {
	binary, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := moduleManifest(binary, file)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := modules.Load(t.Context(), binary, wasm.LoadOptions{Name: file, Manifest: manifest, Time: toolTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plugin.Close)
	var events []sdk.Event
	for _, v := range vectors {
		if v.Event != nil {
			e, err := eventjson.Unmarshal(v.Event)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	sdktest.Run(t, sdktest.Case{Plugin: plugin, Config: sdk.Config{Link: "shout", JSON: []byte(`{"word":"x"}`)},
		Bad: []json.RawMessage{[]byte(`{"wrod":"x"}`), []byte(`{"word":7}`)}, Events: events, NoExec: true})
}

// rawModule is a module in C of the launcher's tests, which needs no tool chain
// and passes every event.
const rawModule = "internal/launch/wasm/testdata/cguest/raw.wasm"

func TestVectorFaults(t *testing.T) {
	const event = `"event": {"itemCreated": {"item": {"text": {"plain": "x"}}}}`
	for _, c := range []struct{ vector, want string }{
		{event + `, "want": {"verb": "pass"}`, ""},
		{event + `, "want": {"verb": "drop"}`, "verb: got pass, want drop"},
		{event + `, "want": {"verb": "pass", "reason": "because"}`, `reason: got "", want "because"`},
		{event + `, "want": {"verb": "replace", "event": {"id": "1"}}`, "verb: got pass, want replace\nevent: got none"},
		{event + `, "want": {"verb": "pass", "emit": [{"id": "1"}]}`, "emit: got 0 events, want 1"},
		{event + `, "want": {"error": "broken"}`, `error: got none, want one with "broken"`},
	} {
		vectors, err := parseVectors([]byte("{" + c.vector + "}"))
		if err != nil {
			t.Fatalf("%s: %v", c.vector, err)
		}
		results, err := TestPlugin(t.Context(), rawModule, vectors, TestOptions{Time: toolTime})
		if err != nil {
			t.Fatalf("%s: %v", c.vector, err)
		}
		if results[0].Fault != c.want {
			t.Errorf("%s: got %q, want %q", c.vector, results[0].Fault, c.want)
		}
	}
}

func TestVectorsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[{"evnt": {}}]`:                                   `unknown field "evnt"`,
		`{"want": {"verb": "pass"}}`:                       "without an event",
		`{"event": {}, "want": {"verb": "mangle"}}`:        "must be one of pass",
		`{"event": {"itm": 1}, "want": {"verb": "pass"}}`:  "itm",
		`{"event": {}, "want": {"verb":"pass","event":7}}`: "vector 1",
		`[`: "unexpected EOF",
	} {
		if _, err := parseVectors([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
	if _, err := ReadVectors(t.TempDir()); err == nil {
		t.Error("a folder without vectors: got no error")
	}
}

func FuzzVectors(f *testing.F) {
	text, err := os.ReadFile("../examples/shout-vectors/shout.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"event":{},"want":{"verb":"pass"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseVectors(text)
		if err == nil {
			for _, v := range list {
				if err := v.check(); err != nil {
					t.Errorf("%q: accepted, and then: %v", text, err)
				}
			}
		}
	})
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, problem, err string }{
		{"component", write("c.wasm", 0o644, "\x00asm\x0d\x00\x01\x00"), "wasm32-wasip1", ""},
		{"cut module", write("cut.wasm", 0o644, "\x00asm\x01\x00\x00\x00\x01"), "malformed", ""},
		{"foreign import", write("imp.wasm", 0o644, "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x0b\x01\x03foo\x03bar\x00\x00"), `"foo"."bar"`, ""},
		{"text", write("a.txt", 0o644, "hello"), "", "neither"},
		{"world-writable", write("w", 0o777, "#!/bin/sh\n"), "everybody may write it", ""},
		{"folder", dir, "", "no file of a plugin"},
		{"missing", filepath.Join(dir, "none"), "", "no such file"},
	} {
		i, err := InspectPlugin(t.Context(), c.path)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got error %v, want one with %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !strings.Contains(i.Problem, c.problem) {
			t.Errorf("%s: got problem %q, want one with %q", c.name, i.Problem, c.problem)
		}
	}
	i, err := InspectPlugin(t.Context(), write("good", 0o755, "#!/bin/sh\n"))
	if err != nil || i.Kind != PluginExecutable || i.Size != 10 || len(i.SHA256) != 64 {
		t.Errorf("executable: got %+v, %v", i, err)
	}
}

func TestPackModule(t *testing.T) {
	code, err := os.ReadFile(rawModule)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "raw.wasm")
	if err := os.WriteFile(path, code, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second"} {
		if _, err := PackModule(path, []byte("id = \""+id+"\"\nfacets = [\"filter\"]\nabilities = [\"log\"]\n")); err != nil {
			t.Fatal(err)
		}
		i, err := InspectPlugin(context.Background(), path)
		if err != nil || i.Problem != "" || i.Manifest.ID != id || !slices.Equal(i.Abilities(), []string{"log"}) {
			t.Fatalf("%s: got %+v, %v", id, i, err)
		}
	}
	if _, err := PackModule(path, []byte("id = 7")); err == nil {
		t.Error("a wrong manifest: got no error")
	}
}
