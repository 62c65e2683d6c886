// Package itest starts real XMPP servers and independent clients for tests.
//
// Everything it starts is a child of the test process: it runs in the foreground, in its own process group, with its files in
// the test's temporary folder, listening on loopback addresses only, on ports that were free a moment before. It ends when
// the test ends, and by the kernel's parent-death signal when the test process itself is killed.
// When a test fails, the end of each server's log is part of its output.
//
// [Prosody] and [Ejabberd] take the same [Options] and return the same [Server], so that one test can run against both:
//
//	for name, start := range map[string]func(itest.TB, itest.Options) *itest.Server{
//		"prosody":  itest.Prosody,
//		"ejabberd": itest.Ejabberd,
//	} {
//		t.Run(name, func(t *testing.T) {
//			srv := start(t, itest.Options{
//				Users:      map[string]string{"juliet": "pw"},
//				Components: map[string]string{"bridge.xmpp.test": "secret"},
//			})
//			juliet := itest.Slix(t, srv.Account("juliet"))
//			juliet.Join(srv.Room("ops"), "Juliet")
//			...
//		})
//	}
//
// [Slix] is a client built on slixmpp, which shares no code with this project: what it sees is what a person's client sees.
// It can say all that people's clients say, and [Event] has what it saw as facts. [SendXMPP] runs go-sendxmpp for one message.
// [ConverseOn] is Converse.js in a headless Chromium, driven by its own buttons and read as it is shown.
//
// A program that is not installed skips the test with the reason, unless BRIDGEHOST_REQUIRE_SERVERS=1 (set by make test),
// which makes it a failure: a continuous integration run cannot turn green by skipping.
package itest
