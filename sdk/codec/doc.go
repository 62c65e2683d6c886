// Package codec writes and reads the types of sdk in the protobuf encoding of
// proto/bridgehost/plugin/v1, by hand and without reflection. It is what the
// gRPC transport, the WASM border and the host's store use; other languages
// use the generated code of the same contract.
//
// Each message has one function that names its fields once, for both
// directions (see coder), so that writing and reading cannot drift apart; tests
// compare both with the generated code.
//
// Reading is safe on foreign bytes: it never panics, skips what it does not
// know, bounds the number of elements, and makes strings valid UTF-8. Results
// share no memory with the input.
package codec
