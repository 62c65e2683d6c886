package route

import "bridgehost/sdk"

// Gate is one [[gateway]] of the operator: every address of one link reaches
// every address of the other. Its places are those of sdk.PeerPlace.
type Gate struct {
	ID      sdk.RouteID
	Links   [2]sdk.LinkID
	Filters []FilterUse
}

// other gives the link at the other end.
func (g *Gate) other(link sdk.LinkID) sdk.LinkID {
	if g.Links[0] == link {
		return g.Links[1]
	}
	return g.Links[0]
}

// gateWay gives the way of a place of a gateway: the same conversation as the
// other link sees it.
func (t *Table) gateWay(from sdk.Ref) (Way, bool) {
	g, ok := t.gates[from.Link]
	if !ok {
		return Way{}, false
	}
	own, foreign, ok := sdk.SplitPeerPlace(from.ID)
	if !ok {
		return Way{}, false
	}
	to := sdk.Ref{Link: g.other(from.Link), ID: sdk.PeerPlace(foreign, own)}
	return Way{Rule: g.ID, Filters: g.Filters, Chain: chainName(g.Filters), To: []sdk.Ref{to}, Gate: true}, true
}

// allowed says whether the way may show an item of visibility vis. A gateway's
// conversation of two is the same one at both ends; a feed's readers are those
// whom the other link lets see it, and never see what is for named people.
func (w *Way) allowed(vis sdk.Visibility, from, to sdk.ConversationKind) bool {
	if !w.Gate {
		return Allowed(vis, from, to)
	}
	return vis <= sdk.VisibilityDirect && (to == sdk.ConversationDirect || vis != sdk.VisibilityDirect)
}
