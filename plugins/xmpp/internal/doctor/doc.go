// Package doctor examines the XMPP server around one link: whether the link can
// connect, and whether the server has what the bridge needs, each with the lines
// that an operator has to add for Prosody or for ejabberd.
//
// Every check asks the running server, since what its configuration says, and
// what its own check of the configuration says, is not what it does.
//
// Run connects in the link's own name. A component must not be connected twice:
// ejabberd would share its stanzas between both connections, and Prosody may be
// set to end the first one. So while bridgehost runs, Options.Running leaves out
// what needs the connection, and the report says so.
package doctor
