#!/bin/sh
# Builds the committed module of this folder with clang and wasm-ld.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-unknown-unknown -O1 -nostdlib -ffreestanding -fno-builtin -Wl,--no-entry -Wl,--strip-debug -o hostile.wasm hostile.c
