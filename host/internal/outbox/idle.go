package outbox

import (
	"cmp"
	"slices"
)

// sweepStep is the part of all lanes that may be new since the last sweep, which
// looks at every one: a tenth.
const sweepStep = 10

// forgettable reports whether nothing is lost when memory no longer has the lane:
// it is empty, waits for nothing, and what the plugin did with its deliveries is
// settled. It comes back, as new, with its next delivery.
func (l *lane) forgettable() bool {
	return l.state == laneIdle && l.depth == 0 && l.inFlight == 0 && len(l.window) == 0 && l.fails == 0 &&
		!l.revived && !l.reload && len(l.crashes) == 0 && len(l.suspects) == 0
}

// sweep drops lanes beyond the bound from memory, those first that were idle for
// longest. A gateway has a lane for each pair of addresses that ever talked. It is
// called before a lane is added, so that nobody else holds one that is not yet
// filled.
func (o *Outbox) sweep() {
	if len(o.byPlace) < o.sweepAt {
		return
	}
	var idle []*lane
	for _, l := range o.byPlace {
		if l.forgettable() {
			idle = append(idle, l)
		}
	}
	if over := len(idle) - o.opts.IdleLanes; over > 0 {
		slices.SortFunc(idle, func(a, b *lane) int { return cmp.Compare(a.idleAt, b.idleAt) })
		for _, l := range idle[:over] {
			o.drop(l)
		}
	}
	o.sweepAt = len(o.byPlace) + max(len(o.byPlace), o.opts.IdleLanes)/sweepStep + 1
}

// drop takes a lane out of memory.
func (o *Outbox) drop(l *lane) {
	delete(o.byPlace, l.place)
	if o.lanes[l.id] == l {
		delete(o.lanes, l.id)
	}
	delete(l.link.lanes, l)
	if h := l.link.hosts[l.host]; h != nil {
		delete(h.failing, l)
	}
}

// rested notes that a lane is idle from now on.
func (o *Outbox) rested(l *lane) {
	o.rests++
	l.idleAt = o.rests
}
