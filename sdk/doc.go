// Package sdk is the vocabulary of bridgehost and the contract between the
// host and its plugins: actors, places, items, events, deliveries, and the
// small interfaces that a plugin implements.
//
// The words are those of docs/architecture.md: a plugin is code, a link is one
// configured instance of it, a place is a conversation as one link sees it, an
// item is a thing that was published, an event is something that happened to
// it, a delivery is one event asked of one place, and a copy is how the item
// appears there.
//
// The package depends on the standard library alone and opens no connection.
// The same types travel in process, over gRPC (package wire) and across the
// WASM border (package codec and guest).
package sdk
