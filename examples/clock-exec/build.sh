#!/bin/sh
# Builds the executable.
set -eu
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -trimpath -o "${OUT:-clock}" .
