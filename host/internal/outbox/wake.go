package outbox

import "bridgehost/sdk"

// Wake lets lanes that wait to be tried again run now, and closes the breakers
// of their hosts: a link calls for it when a place, or with an empty place the
// link itself, works again. Without it a lane would sleep on through the rest of
// its pause.
func (o *Outbox) Wake(id sdk.LinkID, place sdk.RemoteID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.links[id]
	if k == nil {
		return
	}
	for l := range k.lanes {
		if place != "" && l.place.ID != place {
			continue
		}
		if l.state != laneParked {
			continue
		}
		delete(k.hosts, l.host)
		o.unpark(l)
	}
	o.signal()
}
