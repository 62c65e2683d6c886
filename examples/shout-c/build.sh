#!/bin/sh
# Builds shout.wasm with clang, wasm-ld and wasi-libc (Debian: clang lld wasi-libc). plugin.toml becomes part of it.
set -eu
cd "$(dirname "$0")"
${CC:-clang} --target=wasm32-wasi -O2 -Wall -Wextra -Werror -nostartfiles -nodefaultlibs -Wl,--no-entry -Wl,--strip-debug \
	-o "${OUT:-shout.wasm}" shout.c -lc
