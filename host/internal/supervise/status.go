package supervise

import (
	"maps"
	"strings"
	"time"

	"bridgehost/sdk"
)

// PlaceStatus is the state of one place of a link.
type PlaceStatus struct {
	State        sdk.State         `json:"-"`
	StateName    string            `json:"state"`
	Reason       string            `json:"reason,omitempty"`
	Title        string            `json:"title,omitempty"`
	Since        time.Time         `json:"since"`
	Capabilities *sdk.Capabilities `json:"capabilities,omitempty"`
}

// Status is the state of one link.
type Status struct {
	Link      sdk.LinkID                   `json:"link"`
	Plugin    string                       `json:"plugin"`
	Version   string                       `json:"version,omitempty"`
	State     sdk.State                    `json:"-"`
	StateName string                       `json:"state"`
	Reason    string                       `json:"reason,omitempty"`
	Since     time.Time                    `json:"since"`
	Restarts  int                          `json:"restarts"`
	Places    map[sdk.RemoteID]PlaceStatus `json:"places,omitempty"`
}

// snapshot copies the status.
func (k *keeper) snapshot() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.status
	out.StateName = out.State.String()
	out.Places = maps.Clone(out.Places)
	return out
}

// set changes the state of the link.
func (k *keeper) set(state sdk.State, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.status.State != state {
		k.status.Since = k.sup.opt.Now()
	}
	k.status.State, k.status.Reason = state, reason
}

// Bounds of what a link may make the host remember.
const (
	maxPlaces  = 10_000
	maxRemark  = 500 // bytes of a reason or a title
	maxPlaceID = 4096
)

// remark shortens a text of a link, at the border of a character.
func remark(s string) string {
	if len(s) <= maxRemark {
		return s
	}
	return strings.ToValidUTF8(s[:maxRemark], "") + "…"
}

// report takes what the link says of itself and its places. Places beyond the
// bound are not shown.
func (k *keeper) report(reports ...sdk.Report) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.sup.opt.Now()
	for _, r := range reports {
		if r.Place == "" {
			if k.status.State != r.State {
				k.status.Since = now
			}
			k.status.State, k.status.Reason = r.State, remark(r.Reason)
			continue
		}
		p, known := k.status.Places[r.Place]
		if !known && (len(k.status.Places) >= maxPlaces || len(r.Place) > maxPlaceID) {
			continue
		}
		if p.State != r.State || p.Since.IsZero() {
			p.Since = now
		}
		p.State, p.StateName, p.Reason = r.State, r.State.String(), remark(r.Reason)
		if r.Title != "" {
			p.Title = remark(r.Title)
		}
		if r.Capabilities != nil {
			p.Capabilities = r.Capabilities
		}
		k.status.Places[r.Place] = p
	}
}

// Capabilities gives what a link has told of one of its places.
func (s *Supervisor) Capabilities(ref sdk.Ref) (sdk.Capabilities, bool) {
	s.mu.Lock()
	k := s.links[ref.Link]
	s.mu.Unlock()
	if k == nil {
		return sdk.Capabilities{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.status.Places[ref.ID]; ok && p.Capabilities != nil {
		return *p.Capabilities, true
	}
	return sdk.Capabilities{}, false
}
