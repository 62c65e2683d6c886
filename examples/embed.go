// Package examples holds plugins to copy. The program carries them, so that
// bridgehost plugin new can write them out.
package examples

import "embed"

// Files are the sources of the examples, without what is built or fetched.
//
//go:embed shout-vectors/*.json
//go:embed shout-go/*.go shout-go/build.sh shout-go/plugin.toml shout-go/README.md
//go:embed shout-rust/src shout-rust/build.sh shout-rust/plugin.toml shout-rust/Cargo.toml shout-rust/README.md
//go:embed shout-c/shout.c shout-c/build.sh shout-c/plugin.toml shout-c/README.md
//go:embed shout-as/assembly shout-as/build.sh shout-as/plugin.toml shout-as/package.json shout-as/package-lock.json
//go:embed shout-as/.npmrc shout-as/manifest.mjs shout-as/README.md
//go:embed clock-exec/*.go clock-exec/build.sh clock-exec/README.md
//go:embed feed-wasm/*.go feed-wasm/build.sh feed-wasm/plugin.toml feed-wasm/README.md feed-wasm/testdata feed-wasm/vectors
var Files embed.FS
