package wasm

import (
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"bridgehost/host/internal/launch/wasm/meter"
)

// Names of ABI 1 (docs/wasm-abi.md).
const (
	importModule = "bh"
	importCall   = "call"
	wasiModule   = "wasi_snapshot_preview1"

	exportMemory = "memory"
	exportInit   = "_initialize"
	exportABI    = "bh_abi_1"
	exportAlloc  = "bh_alloc"
	exportHandle = "bh_handle"

	// ManifestSection is the custom section that holds the text of plugin.toml.
	ManifestSection = "bridgehost.manifest"
)

// componentHelp is what the author of a component is told.
const componentHelp = `this is a component; bridgehost takes core modules. Build for wasm32-wasip1 instead: ` +
	`Rust "cargo build --target wasm32-wasip1" with crate-type = ["cdylib"], ` +
	`Go "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared", or take the core module out with "wasm-tools component unbundle"`

// request tags: the field numbers of GuestRequest.
const (
	callOpen      = 1
	callFilter    = 2
	callDeliver   = 3
	callTimer     = 4
	callCommand   = 5
	callWeb       = 6
	callSetPlaces = 7
	callInform    = 8
	callResolve   = 9
	callBackfill  = 10
	callRun       = 11
)

// callNames are for messages.
var callNames = [...]string{"start", "open", "filter", "deliver", "timer", "command", "web", "set_places", "inform", "resolve", "backfill", "run"}

// Operations of bh.call.
const (
	opRead = iota
	opLog
	opKVGet
	opKVSet
	opKVKeys
	opTimer
	opEmit
	opHTTP
	opConfig
	opSecret
	opMetric
	opReport
	opTime
)

// checkImports refuses a module that asks for anything but ABI 1 and the part
// of WASI that does no harm (PL-07).
func checkImports(m *meter.Module) error {
	var bad []string
	for _, imp := range m.Imports {
		ok := imp.Kind == meter.KindFunction
		switch imp.Module {
		case importModule:
			ok = ok && imp.Name == importCall
		case wasiModule:
			_, known := wasiFunctions[imp.Name]
			ok = ok && known
		case "env":
			ok = ok && imp.Name == "abort"
		default:
			ok = false
		}
		if !ok {
			bad = append(bad, fmt.Sprintf("%s %q.%q", imp.Kind, imp.Module, imp.Name))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s: %w (a module may import bh.call and part of WASI, see docs/wasm-abi.md)", strings.Join(bad, ", "), ErrImport)
	}
	return nil
}

// checkExports asserts the exports of ABI 1 with their types.
func checkExports(m *meter.Module, cm wazero.CompiledModule) error {
	marked := false
	for _, e := range m.Exports {
		marked = marked || e.Name == exportABI
	}
	if !marked {
		return fmt.Errorf("export %s is missing: %w", exportABI, ErrABI)
	}
	if _, ok := cm.ExportedMemories()[exportMemory]; !ok {
		return fmt.Errorf("export %s is missing: %w", exportMemory, ErrABI)
	}
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	want := []struct {
		name            string
		params, results []api.ValueType
		optional        bool
	}{
		{exportInit, nil, nil, true},
		{exportAlloc, []api.ValueType{i32}, []api.ValueType{i32}, false},
		{exportHandle, []api.ValueType{i32, i32}, []api.ValueType{i64}, false},
	}
	for _, w := range want {
		def, ok := cm.ExportedFunctions()[w.name]
		if !ok && w.optional {
			continue
		}
		if !ok {
			return fmt.Errorf("export %s is missing: %w", w.name, ErrABI)
		}
		if string(def.ParamTypes()) != string(w.params) || string(def.ResultTypes()) != string(w.results) {
			return fmt.Errorf("export %s has the wrong type: %w", w.name, ErrABI)
		}
	}
	return nil
}
