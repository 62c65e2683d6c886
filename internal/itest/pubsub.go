package itest

// Page is a part of a result set. XEP-0059.
type Page struct {
	First string `json:"first"`
	Last  string `json:"last"`
	Count int    `json:"count"`
	Index int    `json:"index"` // of First
}

// Range says which part of a result set is wanted.
type Range struct {
	Max    int     // 0: as many as the server gives
	After  string  // the part that begins after this id
	Before *string // the part that ends before this id; "" is the last part
}

// LastPart is the Before of the last part of a result set.
func LastPart() *string { return new(string) }

func (r Range) into(a args) {
	if r.Max > 0 {
		a["max"] = r.Max
	}
	if r.After != "" {
		a["after"] = r.After
	}
	if r.Before != nil {
		a["before"] = *r.Before
	}
}

// Publish publishes an item and returns its id. An empty to is the own account (XEP-0163); an empty item lets the service
// choose. options are preconditions such as "pubsub#access_model" (XEP-0060 §7.1.5).
func (c *Client) Publish(to, node, item, payload string, options map[string]string) (string, error) {
	c.t.Helper()
	var id string
	err := c.call("publish", args{"to": to, "node": node, "item": item, "payload": payload, "options": options}, &id)
	return id, err
}

// RetractItem deletes an item with a notification (XEP-0060 §7.2).
func (c *Client) RetractItem(to, node, item string) error {
	c.t.Helper()
	return c.call("retract", args{"to": to, "node": node, "item": item}, nil)
}

// Items returns items of a node, all or those with the ids, and its page if the service pages.
func (c *Client) Items(to, node string, r Range, ids ...string) ([]Item, *Page, error) {
	c.t.Helper()
	a := args{"to": to, "node": node}
	if len(ids) > 0 {
		a["ids"] = ids
	}
	r.into(a)
	var result struct {
		Items []Item `json:"items"`
		Page  *Page  `json:"page"`
	}
	err := c.call("items", a, &result)
	return result.Items, result.Page, err
}

// SubscribeNode subscribes the bare address to a node and returns the state of the subscription (XEP-0060 §6.1).
func (c *Client) SubscribeNode(to, node string) (string, error) {
	c.t.Helper()
	var state string
	err := c.call("subscribe", args{"to": to, "node": node, "action": "subscribe"}, &state)
	return state, err
}

// UnsubscribeNode ends a subscription (XEP-0060 §6.2).
func (c *Client) UnsubscribeNode(to, node string) error {
	c.t.Helper()
	return c.call("subscribe", args{"to": to, "node": node, "action": "unsubscribe"}, nil)
}

// CreateNode makes a node, with fields of its configuration such as "pubsub#access_model" (XEP-0060 §8.1).
func (c *Client) CreateNode(to, node string, config map[string]string) error {
	c.t.Helper()
	return c.call("node_create", args{"to": to, "node": node, "config": config}, nil)
}

// ConfigureNode changes fields of a node's configuration (XEP-0060 §8.2).
func (c *Client) ConfigureNode(to, node string, config map[string]string) error {
	c.t.Helper()
	return c.call("node_configure", args{"to": to, "node": node, "config": config}, nil)
}

// DeleteNode deletes a node (XEP-0060 §8.4).
func (c *Client) DeleteNode(to, node string) error {
	c.t.Helper()
	return c.call("node_delete", args{"to": to, "node": node}, nil)
}

// SetNodeAffiliations changes affiliations of a node by address (XEP-0060 §8.9).
func (c *Client) SetNodeAffiliations(to, node string, affiliations map[string]string) error {
	c.t.Helper()
	return c.call("node_affiliations", args{"to": to, "node": node, "affiliations": affiliations}, nil)
}

// WaitItem returns the next event of a node that has an item, and the item.
func (c *Client) WaitItem(from, node string) (Event, Item) {
	c.t.Helper()
	e := c.Wait("item of "+node+" from "+from, func(e Event) bool {
		return e.Kind == "message" && e.Room == from && e.PubSub != nil && e.PubSub.Node == node && len(e.PubSub.Items) > 0
	})
	return e, e.PubSub.Items[0]
}

// ArchivePage is a part of an archive. XEP-0313.
type ArchivePage struct {
	Messages []Event `json:"messages"` // with Archived and Inner
	Complete bool    `json:"complete"`
	Page     *Page   `json:"page"`
}

// QueryArchive asks an archive: of the own account if to is empty, of a room, or of another entity. with limits it to one
// address.
func (c *Client) QueryArchive(to, with string, r Range) (ArchivePage, error) {
	c.t.Helper()
	a := args{"to": to, "with": with}
	r.into(a)
	var page ArchivePage
	err := c.call("archive", a, &page)
	return page, err
}
