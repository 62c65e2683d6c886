package fetch

import (
	"context"
	"net/http"

	"bridgehost/plugins/activitypub/internal/sign"
)

// Deliver posts an activity to an inbox, signed by key anew at each call, and once more in the other form of signatures on 400 or 401.
// nil means that the server took it. Errors are *sdk.Error: those of a temporary kind are to be tried again, after After if it is set;
// NotFound (also for an inbox that redirects) and Gone are about the inbox, whose actor should be read again. Redirects are not followed.
func (c *Client) Deliver(ctx context.Context, inbox string, activity []byte, key sign.Key) error {
	op := "deliver to " + hostOf(inbox)
	u, err := c.parseURL(op, inbox)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.Total)
	defer cancel()
	h := http.Header{"Content-Type": {"application/activity+json"}, "Accept": {acceptDocument}}
	r, err := c.knock(ctx, op, http.MethodPost, u, h, activity, true, &key)
	if err != nil {
		return err
	}
	if r.status/100 != 2 {
		return c.statusError(op, r)
	}
	return nil
}
