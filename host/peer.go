package host

import (
	"context"

	"bridgehost/sdk"
)

// maxAddress bounds an address that a link asks about.
const maxAddress = 3072

// resolve asks the other link of a link's gateway what it knows of an address.
func (h *Host) resolve(ctx context.Context, link sdk.LinkID, address string) (sdk.Resolved, error) {
	op := "resolve for link " + string(link)
	if len(address) > maxAddress {
		return sdk.Resolved{}, sdk.Errorf(sdk.TooLarge, op, "an address of %d bytes", len(address))
	}
	peer := sdk.LinkID(h.config().Peer(string(link)))
	if peer == "" {
		return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, op, "the link is part of no gateway")
	}
	facets, ok := h.sup.Facets(peer)
	switch {
	case !ok:
		return sdk.Resolved{}, sdk.Errorf(sdk.Transient, op, "link %s is not up", peer)
	case facets.Resolver == nil:
		return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, op, "link %s cannot look up addresses", peer)
	}
	r, err := facets.Resolver.Resolve(ctx, address)
	if err != nil {
		return sdk.Resolved{}, sdk.AsError(op, err)
	}
	if a := r.Actor; a != nil {
		if a.Home.Link == "" {
			a.Home.Link = peer
		}
		if a.Home.Link != peer { // a link speaks for its own network only
			return sdk.Resolved{}, sdk.Errorf(sdk.Forbidden, op, "link %s answered for an actor of link %s", peer, a.Home.Link)
		}
		a.ID, a.Puppet = "", ""
	}
	return r, nil
}
