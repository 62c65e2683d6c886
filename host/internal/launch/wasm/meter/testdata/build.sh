#!/bin/sh
# Builds the committed modules of this folder with clang and wasm-ld.
set -eu
cd "$(dirname "$0")"
FLAGS="--target=wasm32-unknown-unknown -nostdlib -ffreestanding -Wl,--no-entry"
clang $FLAGS -O2 -msimd128 -mbulk-memory -mnontrapping-fptoint -msign-ext -mtail-call -o corpus.wasm corpus.c
clang $FLAGS -O0 -msimd128 -mbulk-memory -mnontrapping-fptoint -msign-ext -mtail-call -o corpus_O0.wasm corpus.c
