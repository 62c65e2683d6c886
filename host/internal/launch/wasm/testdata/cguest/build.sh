#!/bin/sh
# Builds the committed module of this folder with clang and wasm-ld.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-unknown-unknown -O2 -nostdlib -ffreestanding -Wl,--no-entry -o raw.wasm raw.c
