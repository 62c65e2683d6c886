// Package pep keeps and serves the nodes of virtual addresses: the microblog of
// a foreign actor, the comments on its posts, their attachments, and who follows
// it openly. The component answers pubsub requests (XEP-0060, XEP-0163) to such
// an address itself, since no server does it in its place.
//
// # Nodes of a virtual address
//
//	urn:xmpp:microblog:0                      posts of the actor (XEP-0277)
//	urn:xmpp:microblog:0:comments/ID          answers to a post; anybody may publish (XEP-0277 §3)
//	urn:xmpp:pubsub-attachments:1/URI         noticed and reactions to a post or comment (XEP-0470)
//	urn:xmpp:pubsub-attachments:summary:1/... how many, by item; made when asked for
//	urn:xmpp:pps:subscribers:0/NODE           who subscribed publicly; made when asked for (XEP-0465)
//
// # Access
//
// Each item has an access model of its own: open, or presence, which shows it to
// those alone who follow the actor. A node lists what the requester may see, and
// says nothing of the rest: an item that a requester may not see is not found. A
// comments or attachments node has the model of the item that it belongs to.
//
// # What is on disk
//
// One file for each actor, in which lines are only appended: what was put and
// what was deleted, each with a checksum. A line that was cut by a crash is
// dropped when the file is read again. When most lines of a file are of no use
// any more it is written anew beside the old one, which it then replaces. Items,
// bytes, and files are bounded; the oldest go first. The folder may be lost: then
// nodes are empty until foreign actors post again. Subscriptions are kept in the
// link's store, which is not lost.
package pep
