#!/bin/sh
# Generates the Go code of the contract into sdk/internal/pluginpb (messages)
# and sdk/internal/pluginpb/pluginrpc (gRPC stubs). Needs protoc 3.21 and Go;
# the generators are built at pinned versions into a temporary folder, so that
# they are no dependency of the module's own code.
#   proto/generate.sh          write the files
#   proto/generate.sh --check  compare with what is committed; exit 1 if they differ
set -eu
cd "$(dirname "$0")/.."
grpc_generator=v1.6.2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
GOBIN="$tmp" go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$grpc_generator"
mkdir "$tmp/out"
PATH="$tmp:$PATH" protoc -Iproto \
	--go_out="$tmp/out" --go_opt=module=bridgehost \
	--go-grpc_out="$tmp/out" --go-grpc_opt=module=bridgehost \
	proto/bridgehost/plugin/v1/*.proto
if [ "${1:-}" = --check ]; then
	for f in $(cd "$tmp/out" && find . -name '*.go'); do
		cmp "$tmp/out/$f" "$f" || { echo "$f is not what proto/generate.sh writes" >&2; exit 1; }
	done
	exit 0
fi
cp -R "$tmp/out/." .
