package e2e

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// section is one section of a module in the binary format.
func section(id byte, content ...byte) []byte {
	return append([]byte{id, byte(len(content))}, content...)
}

// selfFuelling is a module with one global of its own that writes to the global
// behind it, where the meter keeps the fuel (plugin-contract: case PL-06).
func selfFuelling() []byte {
	bin := []byte("\x00asm\x01\x00\x00\x00")
	bin = append(bin, section(1, 1, 0x60, 0, 0)...)                   // type 0: () -> ()
	bin = append(bin, section(3, 1, 0)...)                            // one function
	bin = append(bin, section(6, 1, 0x7e, 1, 0x42, 0, 0x0b)...)       // one mutable i64
	bin = append(bin, section(7, 1, 3, 'r', 'u', 'n', 0, 0)...)       // export run
	code := []byte{0, 0x03, 0x40, 0x42, 0xff, 0xff, 0xff, 0xff, 0x07, // loop: i64.const much
		0x24, 1, 0x0c, 0, 0x0b, 0x0b} // global.set 1; br 0
	return append(bin, section(10, append([]byte{1, byte(len(code))}, code...)...)...)
}

// badImport is the hostile module with an import that no host gives.
func badImport(t *testing.T) []byte {
	t.Helper()
	binary := readModule(t)
	out := bytes.Replace(binary, []byte("poll_oneoff"), []byte("path_unlink"), 1)
	if bytes.Equal(out, binary) {
		t.Fatal("the hostile module has no import to spoil")
	}
	return out
}

// component is the preamble of a component: layer 1.
func component() []byte { return []byte("\x00asm\x0d\x00\x01\x00") }

// TestRefusedModules gives modules that must not run. Check refuses each by
// name with exit code 4 or 3; a running host shows each as failed with the same
// cause, and the rest of it works.
func TestRefusedModules(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	vanished, digest := pinned(t, readModule(t))
	changed, _ := pinned(t, readModule(t))
	fuel, fuelDigest := pinned(t, selfFuelling())
	imports, importsDigest := pinned(t, badImport(t))
	comp, compDigest := pinned(t, component())
	junk, junkDigest := pinned(t, []byte("#!/bin/sh\nexit 0\n"))
	cases := []struct{ name, path, digest, want string }{
		{"changed", changed, fuelDigest, "the file has changed"},
		{"fuel", fuel, fuelDigest, "invalid global index"},
		{"imports", imports, importsDigest, "path_unlink"},
		{"component", comp, compDigest, "this is a component"},
		{"junk", junk, junkDigest, "no WebAssembly magic number"},
	}
	links := xmppLink("home", server, "bridge.test") + "create_rooms = true\n" +
		"[link.hooks]\nplugin = \"webhook\"\n" + hook("plain") + oneWay("hooks:plain", "home:"+server.Room("ops"), "")
	for _, c := range cases {
		links += moduleLink(c.name, c.path, c.digest, "")
	}
	links += moduleLink("vanishing", vanished, digest, "")
	b := newBridge(t, withSecret(t, links))
	out, code := b.cli("check")
	if code != 4 && code != 3 {
		t.Errorf("check: exit code %d", code)
	}
	for _, c := range cases {
		if !strings.Contains(out, c.path) || !strings.Contains(out, c.want) {
			t.Errorf("check: nothing about %s (%s) with %q", c.name, c.path, c.want)
		}
	}
	t.Logf("check says:\n%s", out)

	b.start()
	for _, c := range cases {
		b.waitLink(c.name, "failed", c.want)
	}
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(server.Room("ops"), "watcher")
	b.waitLink("home", "up", "")
	b.waitLink("hooks", "up", "")
	b.waitLink("vanishing", "up", "")
	if err := os.Remove(vanished); err != nil {
		t.Fatal(err)
	}
	if out, code := b.cli("check"); code != 4 || !strings.Contains(out, "there is no file "+vanished) {
		t.Errorf("check of a missing module: exit code %d\n%s", code, out)
	}
	b.accept("plain-token", "the rest works")
	watcher.WaitBody(server.Room("ops"), "the rest works")
}
