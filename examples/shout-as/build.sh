#!/bin/sh
# Builds shout.wasm with AssemblyScript; npm ci fetches the compiler once. plugin.toml becomes part of the module.
set -eu
cd "$(dirname "$0")"
[ -d node_modules ] || npm ci --no-audit --no-fund --ignore-scripts
node_modules/.bin/asc assembly/index.ts --runtime stub -O2 --noAssert --transform ./manifest.mjs --outFile "${OUT:-shout.wasm}"
