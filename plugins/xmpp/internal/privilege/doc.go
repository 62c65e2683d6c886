// Package privilege uses what a server grants a component beyond the component
// protocol: privileged access (XEP-0356, versions 2 and 1) to rosters, messages
// and requests of the server's users, and delegated namespaces (XEP-0355,
// versions 2 and 1).
//
// The server says what it grants in a message after the handshake. Entity learns
// it from HandleMessage, believes it only from the domains that the operator
// named, and forgets it with the stream. Nothing here is needed: without a grant
// every function returns an error that wraps ErrNotGranted, and nothing is sent.
package privilege
