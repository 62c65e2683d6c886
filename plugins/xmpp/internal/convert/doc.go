// Package convert translates between XMPP messages and items. It is pure: time,
// look-ups and what the room promised are parameters, and nothing here does I/O.
//
// What goes out is built as bytes from escaped parts, since a burst of messages
// into one room differs only in id and body. What comes in is read from
// packet.Message, whose decoder has already settled which body counts.
package convert

// Namespaces of the extensions that rooms and chats use beyond those of package packet.
const (
	NSCorrect     = "urn:xmpp:message-correct:0"            // XEP-0308
	NSRetract     = "urn:xmpp:message-retract:1"            // XEP-0424
	NSModerate    = "urn:xmpp:message-moderate:1"           // XEP-0425 0.3
	NSModerateOld = "urn:xmpp:message-moderate:0"           // XEP-0425 0.2
	NSRetractOld  = "urn:xmpp:message-retract:0"            // XEP-0424 0.3
	NSFasten      = "urn:xmpp:fasten:0"                     // XEP-0422
	NSFallback    = "urn:xmpp:fallback:0"                   // XEP-0428
	NSReply       = "urn:xmpp:reply:0"                      // XEP-0461
	NSReactions   = "urn:xmpp:reactions:0"                  // XEP-0444
	NSHints       = "urn:xmpp:hints"                        // XEP-0334
	NSOOB         = "jabber:x:oob"                          // XEP-0066
	NSSFS         = "urn:xmpp:sfs:0"                        // XEP-0447
	NSFile        = "urn:xmpp:file:metadata:0"              // XEP-0446
	NSURLData     = "http://jabber.org/protocol/url-data"   // XEP-0103
	NSHashes      = "urn:xmpp:hashes:2"                     // XEP-0300
	NSThumbs      = "urn:xmpp:thumbs:1"                     // XEP-0264
	NSSIMS        = "urn:xmpp:sims:1"                       // XEP-0385
	NSJingleFile  = "urn:xmpp:jingle:apps:file-transfer:5"  // XEP-0234
	NSReference   = "urn:xmpp:reference:0"                  // XEP-0372
	NSSpoiler     = "urn:xmpp:spoiler:0"                    // XEP-0382
	NSXHTMLIM     = "http://jabber.org/protocol/xhtml-im"   // XEP-0071
	NSXHTML       = "http://www.w3.org/1999/xhtml"          // XEP-0071
	NSReceipts    = "urn:xmpp:receipts"                     // XEP-0184
	NSMarkers     = "urn:xmpp:chat-markers:0"               // XEP-0333
	NSChatStates  = "http://jabber.org/protocol/chatstates" // XEP-0085
	NSNick        = "http://jabber.org/protocol/nick"       // XEP-0172
	NSInvite      = "jabber:x:conference"                   // XEP-0249
	NSCarbons     = "urn:xmpp:carbons:2"                    // XEP-0280
	NSEME         = "urn:xmpp:eme:0"                        // XEP-0380
	NSStyling     = "urn:xmpp:styling:0"                    // XEP-0393
	NSOccupantID  = "urn:xmpp:occupant-id:0"                // XEP-0421
	NSMAM         = "urn:xmpp:mam:2"                        // XEP-0313
	NSRSM         = "http://jabber.org/protocol/rsm"        // XEP-0059
	NSForward     = "urn:xmpp:forward:0"                    // XEP-0297
	NSData        = "jabber:x:data"                         // XEP-0004
	NSOMEMO       = "urn:xmpp:omemo:2"                      // XEP-0384
	NSOMEMOLegacy = "eu.siacs.conversations.axolotl"        // XEP-0384 0.3
	NSOpenPGP     = "urn:xmpp:openpgp:0"                    // XEP-0373
	NSLegacyPGP   = "jabber:x:encrypted"                    // XEP-0027
	NSOTR         = "urn:xmpp:otr:0"                        // XEP-0364
)

// Keys of Item.Native: what links of this kind say to each other beyond the parts of an item.
const (
	nativeBody   = "xmpp.body"   // the body, where the text does not give the same one again
	nativeAction = "xmpp.me"     // "1": the text is what the sender does (XEP-0245)
	nativeThread = "xmpp.thread" // thread id, and after a line end that of its parent (RFC 6121 §5.2.5)
)
