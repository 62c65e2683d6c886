package fetch

import (
	"context"

	"bridgehost/plugins/activitypub/internal/object"
)

// Bounds of a collection that is read (AP-20). Zero values mean the defaults.
type Bounds struct {
	Pages int // default 5
	Items int // default 100
}

// Member is one item of a collection. Object is nil if only its id is given, or if it is of another origin than the collection and so is
// to be read at its id; it is only as trustworthy as the collection's own origin.
type Member struct {
	ID     string
	Object *object.Object
}

// Members is what was read of a collection.
type Members struct {
	Items []Member
	Total int  // totalItems as the collection says, which proves nothing
	More  bool // there is more than was read: a bound was met, or a page could not be read
}

// Collection reads a collection with its pages, in their order, within bounds. A page that was read already, or that is of another
// origin, ends it. An error is given only if the collection itself cannot be read.
func (c *Client) Collection(ctx context.Context, id string, b Bounds) (Members, error) {
	if b.Pages <= 0 {
		b.Pages = 5
	}
	if b.Items <= 0 {
		b.Items = 100
	}
	top, err := c.Document(ctx, id)
	if err != nil {
		return Members{}, err
	}
	out := Members{Total: top.Int("totalItems")}
	seen := map[string]bool{top.ID(): true}
	page := top
	for pages := 0; page != nil; {
		if !out.add(page, top.ID(), b.Items) {
			return out, nil
		}
		name := "next"
		if page == top && top.Has("first") {
			name = "first"
		}
		next := page.Ref(name)
		part := page.Part(name)
		switch {
		case part != nil && (next == "" || object.SameOrigin(next, top.ID())) && (part.Has("items") || part.Has("orderedItems")):
			page = part // embedded: no request
		case next == "":
			return out, nil
		default:
			page = nil
		}
		if pages++; pages > b.Pages || next != "" && seen[next] || next != "" && !object.SameOrigin(next, top.ID()) {
			out.More = true
			return out, nil
		}
		seen[next] = true
		if page == nil {
			if page, err = c.page(ctx, next); err != nil {
				out.More = true
				return out, nil //nolint:nilerr // what was read before is of use, and More tells that it is not all
			}
		}
	}
	return out, nil
}

// page reads one page. A page without an id of its own is taken, since it is of the origin that was asked.
func (c *Client) page(ctx context.Context, address string) (*object.Object, error) {
	e, err := c.read(ctx, address, false)
	if err != nil {
		return nil, err
	}
	if e.obj.ID() == "" && object.SameOrigin(e.url, address) {
		return e.obj, nil
	}
	return c.Document(ctx, address)
}

// add takes the items of a page; false says that the bound was met.
func (m *Members) add(page *object.Object, id string, bound int) bool {
	for _, name := range []string{"orderedItems", "items"} {
		for _, p := range page.Parts(name) {
			if len(m.Items) >= bound {
				m.More = true
				return false
			}
			item := Member{ID: p.ID()}
			if p.Type() != "" && (item.ID == "" || object.SameOrigin(item.ID, id)) {
				item.Object = p
			}
			if item.ID != "" || item.Object != nil {
				m.Items = append(m.Items, item)
			}
		}
	}
	return true
}
