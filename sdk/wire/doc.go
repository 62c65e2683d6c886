// Package wire carries the plugin contract over gRPC: the host's half gives an
// sdk.Plugin for a process that was started elsewhere (Connect), the plugin's
// half is the main function of such a process (Serve).
//
// One link is one bidirectional stream. Both sides queue envelopes (calls,
// replies, notes), and a sender puts all that is queued into one frame, so that
// batches grow with the load and an idle side never waits. Credits bound the
// calls in flight in each direction; who has none left waits.
//
// The frames are the messages of proto/bridgehost/plugin/v1/session.proto, so a
// plugin in another language works from the generated code of that contract.
package wire
