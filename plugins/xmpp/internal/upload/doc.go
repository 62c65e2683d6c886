// Package upload puts files on the XMPP server's upload service (XEP-0363), so
// that what comes from another network can be seen without asking that network,
// and what the bridge holds itself gets an address at all.
//
// An Uploader finds the service, asks it for a slot, sends the content with PUT
// and remembers what it uploaded. Slots come from a server, but a server can be
// taken over or misconfigured: their addresses pass sdk/netguard, only the three
// headers of XEP-0363 §9.2 are copied, and addresses of other schemes than
// http and https are refused.
//
// Content of other networks is read through a Fetcher; Guarded is the one that
// reaches the public Internet and nothing else.
package upload
