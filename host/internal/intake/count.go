package intake

import "sync/atomic"

// counters are what Stats shows.
type counters struct {
	published, stored, duplicates, echoes, dropped, held, waited, unrouted, signals, forbidden, refused, broken, hops atomic.Uint64
}

func (c *counters) add(v verdict) {
	switch v {
	case verdictStored:
		c.stored.Add(1)
	case verdictDuplicate:
		c.duplicates.Add(1)
	case verdictEcho:
		c.echoes.Add(1)
	case verdictDropped:
		c.dropped.Add(1)
	case verdictHeld:
		c.held.Add(1)
	case verdictWaiting:
		c.waited.Add(1)
	case verdictUnrouted:
		c.unrouted.Add(1)
	}
}

func (c *counters) stats() Stats {
	return Stats{
		Published: c.published.Load(), Stored: c.stored.Load(), Duplicates: c.duplicates.Load(), Echoes: c.echoes.Load(),
		Dropped: c.dropped.Load(), Held: c.held.Load(), Waited: c.waited.Load(), Unrouted: c.unrouted.Load(),
		Signals: c.signals.Load(), Forbidden: c.forbidden.Load(), Refused: c.refused.Load(), Broken: c.broken.Load(),
		Hops: c.hops.Load(),
	}
}
