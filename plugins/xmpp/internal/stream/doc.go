// Package stream keeps an XMPP stream to a server alive, as a component (XEP-0114) or as a client (RFC 6120), and moves stanzas over it.
//
// A Session is used like this:
//
//	s, err := stream.New(stream.Options{Mode: stream.Component, Address: "127.0.0.1:5347", Domain: "bridge.example.org", Secret: "…"})
//	go func() { done <- s.Run(ctx, handler) }() // blocks, reconnects
//	err = s.Send(ctx, &packet.Message{…})       // from any goroutine
//	reply, err := s.IQ(ctx, &packet.IQ{…})
//
// Every connection starts from a fresh transport: what an earlier one knew about TLS or authentication never lets a later one send
// credentials in clear. The strongest authentication seen is remembered only to refuse a weaker one.
//
// Errors say whether a stanza may have reached the server. Send returns when the stanza is in the hands of the operating system.
// SendConfirmed returns when the server is known to have processed it: by an acknowledgement of XEP-0198, or, where there is none
// (components), by the answer to a ping that was written behind it on the same stream, which servers handle in order.
package stream
