// Package section writes custom sections of WASM modules: how plugin.toml comes
// into a module (docs/wasm-abi.md). It needs the standard library alone.
package section

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Manifest is the name of the section that holds the text of plugin.toml.
const Manifest = "bridgehost.manifest"

// ErrNotModule means that the bytes are no core WebAssembly module.
var ErrNotModule = errors.New("not a core WebAssembly module")

// header is the magic number and version 1, layer 0. WebAssembly 2.0 §5.5.16
var header = []byte("\x00asm\x01\x00\x00\x00")

// Set returns the module with one custom section of that name at its end;
// sections of the same name that were there are dropped. Nothing else changes.
func Set(module []byte, name string, data []byte) ([]byte, error) {
	if !bytes.HasPrefix(module, header) {
		return nil, fmt.Errorf("set section %s: %w", name, ErrNotModule)
	}
	out := append(make([]byte, 0, len(module)+len(name)+len(data)+16), header...)
	for rest := module[len(header):]; len(rest) > 0; {
		whole, body, err := next(rest)
		if err != nil {
			return nil, fmt.Errorf("set section %s: offset %d: %w", name, len(module)-len(rest), err)
		}
		if rest[0] != 0 || !named(body, name) {
			out = append(out, rest[:whole]...)
		}
		rest = rest[whole:]
	}
	body := append(binary.AppendUvarint(nil, uint64(len(name))), name...)
	body = append(body, data...)
	out = binary.AppendUvarint(append(out, 0), uint64(len(body)))
	return append(out, body...), nil
}

// next cuts a section off: its length as a whole, and its content.
func next(b []byte) (whole int, body []byte, err error) {
	size, n := binary.Uvarint(b[1:])
	if n <= 0 || size > uint64(len(b)-1-n) {
		return 0, nil, ErrNotModule
	}
	whole = 1 + n + int(size)
	return whole, b[1+n : whole], nil
}

// named reports whether the content of a custom section begins with a name.
func named(body []byte, name string) bool {
	size, n := binary.Uvarint(body)
	return n > 0 && size == uint64(len(name)) && bytes.HasPrefix(body[n:], []byte(name))
}
