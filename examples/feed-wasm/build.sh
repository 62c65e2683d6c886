#!/bin/sh
# Builds feed.wasm with Go 1.24 or newer alone and writes plugin.toml into it.
set -eu
cd "$(dirname "$0")"
out=${OUT:-feed.wasm}
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags='-s -w' -o "$out" .
GOOS= GOARCH= go run bridgehost/sdk/guest/pack "$out" plugin.toml
