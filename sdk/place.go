package sdk

import (
	"strings"
	"time"
)

// Feature is one thing that a place can express.
type Feature string

// Features of places.
const (
	FeatureUpdate    Feature = "update"    // items can be edited
	FeatureRetract   Feature = "retract"   // items can be taken back
	FeatureReply     Feature = "reply"     // items can answer items
	FeatureReaction  Feature = "reaction"  // items can be reacted to
	FeatureMedia     Feature = "media"     // files can be shown, not only linked
	FeatureRichText  Feature = "richtext"  // emphasis, links, lists
	FeaturePuppet    Feature = "puppet"    // each author can appear as an actor of its own
	FeatureThread    Feature = "thread"    // items can be grouped into threads
	FeatureTyping    Feature = "typing"    // typing signals
	FeatureReceipt   Feature = "receipt"   // received and displayed signals
	FeatureWarning   Feature = "warning"   // content warnings
	FeaturePoll      Feature = "poll"      // polls can be shown and voted on
	FeatureCalendar  Feature = "calendar"  // calendar events
	FeatureModerate  Feature = "moderate"  // items of others can be taken back by moderators
	FeatureMembers   Feature = "members"   // joins, leaves, roles
	FeatureStableIDs Feature = "stableids" // the network deduplicates by our id
)

// Capabilities says what a place can express, so that what cannot cross becomes
// a declared loss. The zero value means: plain text only, no known limits.
type Capabilities struct {
	Features   []Feature
	MaxText    int           // bytes of UTF-8 in one item; 0 = no known limit
	MaxMedia   int64         // bytes in one file; 0 = no known limit
	EditWindow time.Duration // how long an item can be edited; 0 = for ever
	Reactions  []string      // allowed reactions; empty = any
}

// Has reports whether the place can express f.
func (c Capabilities) Has(f Feature) bool {
	for _, have := range c.Features {
		if have == f {
			return true
		}
	}
	return false
}

// PlaceUse says how the operator's routes use one place of a link.
type PlaceUse struct {
	ID     RemoteID // exactly as the operator wrote it; events must name the place so
	Source bool     // events of the place are wanted
	Target bool     // deliveries go to the place
}

// PeerAll stands for everybody at one end of a gateway's place: the place of
// PeerPlace(own, PeerAll) is the feed of an own address.
const PeerAll = "*"

// PeerPlace names a place of a gateway as one of its two links sees it: the
// conversation of own, an address of the link's own network, with foreign, an
// address of the other network as its people write it. The host carries an event
// in place (own, foreign) of one link to place (foreign, own) of the other.
// Addresses hold no spaces.
func PeerPlace(own, foreign string) RemoteID { return RemoteID(own + " " + foreign) }

// SplitPeerPlace reads what PeerPlace wrote; ok is false for any other place.
func SplitPeerPlace(id RemoteID) (own, foreign string, ok bool) {
	own, foreign, ok = strings.Cut(string(id), " ")
	if !ok || own == "" || foreign == "" || strings.Contains(foreign, " ") || own == PeerAll && foreign == PeerAll {
		return "", "", false
	}
	return own, foreign, true
}

// ConversationKind says what sort of conversation places form.
type ConversationKind uint8

// Kinds of conversation.
const (
	ConversationRoom ConversationKind = iota
	ConversationDirect
	ConversationFeed
	ConversationCalendar
	ConversationHook
)

// Place is a conversation as one link sees it.
type Place struct {
	Ref
	Kind         ConversationKind
	Title        string
	Capabilities Capabilities
}

// Conversation is a set of places that are kept in step.
type Conversation struct {
	ID     ConversationID
	Kind   ConversationKind
	Title  string
	Topic  *Text
	Places []Place
}
