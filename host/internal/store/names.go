package store

import (
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// Names spells and reads the ids that the host mints. Every data folder has a
// random Prefix of its own, so that ids which leave the host (DeliveryID as
// origin-id, say) never meet those of another bridge in the same room.
type Names struct{ Prefix string }

const base = 36

func (n Names) make(letter byte, v int64) string {
	if v == 0 {
		return ""
	}
	b := make([]byte, 0, len(n.Prefix)+16)
	b = append(b, n.Prefix...)
	b = append(b, '-', letter)
	return string(strconv.AppendInt(b, v, base))
}

func (n Names) read(letter byte, s string) (int64, bool) {
	rest, ok := strings.CutPrefix(s, n.Prefix)
	if !ok || len(rest) < 3 || rest[0] != '-' || rest[1] != letter {
		return 0, false
	}
	v, err := strconv.ParseInt(rest[2:], base, 64)
	return v, err == nil && v > 0
}

// Event names the event with a position in the journal; 0 gives the empty id.
func (n Names) Event(seq int64) sdk.EventID { return sdk.EventID(n.make('e', seq)) }

// ParseEvent reads an event's id.
func (n Names) ParseEvent(id sdk.EventID) (int64, bool) { return n.read('e', string(id)) }

// Item names an item; 0 gives the empty id.
func (n Names) Item(v int64) sdk.ItemID { return sdk.ItemID(n.make('i', v)) }

// ParseItem reads an item's id.
func (n Names) ParseItem(id sdk.ItemID) (int64, bool) { return n.read('i', string(id)) }

// Actor names an actor; 0 gives the empty id.
func (n Names) Actor(v int64) sdk.ActorID { return sdk.ActorID(n.make('a', v)) }

// Delivery names a delivery. It is the same for all attempts.
func (n Names) Delivery(lane, seq int64) sdk.DeliveryID {
	b := make([]byte, 0, len(n.Prefix)+24)
	b = append(b, n.Prefix...)
	b = append(b, '-', 'd')
	b = strconv.AppendInt(b, lane, base)
	b = append(b, '-')
	return sdk.DeliveryID(strconv.AppendInt(b, seq, base))
}

// ParseDelivery reads a delivery's id.
func (n Names) ParseDelivery(id sdk.DeliveryID) (lane, seq int64, ok bool) {
	rest, found := strings.CutPrefix(string(id), n.Prefix+"-d")
	if !found {
		return 0, 0, false
	}
	a, b, found := strings.Cut(rest, "-")
	if !found {
		return 0, 0, false
	}
	lane, err1 := strconv.ParseInt(a, base, 64)
	seq, err2 := strconv.ParseInt(b, base, 64)
	return lane, seq, err1 == nil && err2 == nil && lane > 0 && seq > 0
}
