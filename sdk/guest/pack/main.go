// Command pack writes plugin.toml into a module that a compiler has made. It
// needs nothing but Go, so that a module builds without bridgehost:
//
//	go run bridgehost/sdk/guest/pack filter.wasm plugin.toml
package main

import (
	"fmt"
	"os"

	"bridgehost/sdk/guest/section"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack MODULE.wasm plugin.toml")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack changes the module in place, as a whole or not at all.
func pack(module, manifest string) error {
	code, err := os.ReadFile(module)
	if err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if code, err = section.Set(code, section.Manifest, text); err != nil {
		return fmt.Errorf("module %s: %w", module, err)
	}
	tmp := module + ".new"
	if err := os.WriteFile(tmp, code, 0o644); err != nil {
		return fmt.Errorf("write module: %w", err)
	}
	if err := os.Rename(tmp, module); err != nil {
		return fmt.Errorf("write module: %w", err)
	}
	return nil
}
