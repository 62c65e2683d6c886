package activitypub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
)

// inboxPrefix begins the places to which the host spreads what is for several
// servers: one lane for each inbox.
const inboxPrefix = "inbox:"

// maxSpread is how many inboxes one event may go to; the host takes no more.
const maxSpread = 10_000

// Deliver implements sdk.Deliverer.
func (l *link) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	receipts := make([]sdk.Receipt, 0, len(batch))
	stopped := false
	for i := range batch {
		d := &batch[i]
		r := sdk.Receipt{Delivery: d.ID}
		if stopped {
			r.Err, r.Unsent = sdk.Errorf(sdk.Transient, "deliver", "an earlier one of the place has to wait"), true
			receipts = append(receipts, r)
			continue
		}
		if err := l.deliver(ctx, d, &r); err != nil {
			r.Err, r.Spread = sdk.AsError("deliver to "+string(d.Place), err), nil
			stopped = r.Err.Kind.Temporary()
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// job is one event on its way out.
type job struct {
	l    *link
	d    *sdk.Delivery
	r    *sdk.Receipt
	name string // user name of the local actor
	who  actor.Person
	to   *convert.Profile // the far actor of a conversation; nil in the feed
}

func (l *link) deliver(ctx context.Context, d *sdk.Delivery, r *sdk.Receipt) error {
	address := string(d.Event.Actor.Home.ID)
	name, err := l.names.Name(address)
	if err != nil {
		return sdk.Errorf(sdk.Invalid, "deliver", "%w", err)
	}
	j := &job{l: l, d: d, r: r, name: name}
	if url, ok := strings.CutPrefix(string(d.Place), inboxPrefix); ok {
		return j.inbox(ctx, url)
	}
	own, foreign, ok := sdk.SplitPeerPlace(d.Place)
	if !ok || foreign != address {
		return sdk.Errorf(sdk.NotFound, "deliver", "%q is no place of the gateway", d.Place)
	}
	if d.Event.Kind() == sdk.KindActorGone {
		return j.gone(ctx)
	}
	if j.who, err = l.people.ByAddress(ctx, address); err != nil {
		if sdk.KindOf(err).Temporary() {
			return err
		}
		return &sdk.Error{Op: "deliver", Kind: sdk.Forbidden, Public: "You do not use the bridge to the fediverse.", Err: err}
	}
	if own != sdk.PeerAll {
		p, err := l.far.ByHandle(ctx, own)
		if err != nil {
			return err
		}
		if l.config.refused(p.ID) || p.Actor.Consent == sdk.ConsentRefused && !ends(d.Event.Change) {
			return &sdk.Error{Op: "deliver", Kind: sdk.Forbidden, Public: "This person cannot be reached over the bridge."}
		}
		j.to = &p
	}
	acts, err := j.kept()
	if err == nil && acts == nil {
		acts, err = j.make(ctx)
	}
	if err != nil || len(acts) == 0 {
		return err
	}
	if j.to != nil {
		return j.send(ctx, j.to.Inbox, acts)
	}
	r.Spread, err = j.spread(ctx, acts)
	return err
}

// ends reports changes that may reach somebody who has opted out, since they take something back.
func ends(c sdk.Change) bool {
	switch c.(type) {
	case sdk.ItemRetracted, sdk.Unfollowed, sdk.Blocked, sdk.Unshared:
		return true
	}
	return false
}

// kept gives the activities that the event became at an earlier attempt: the same
// ids go out at every try.
func (j *job) kept() ([]json.RawMessage, error) {
	var acts []json.RawMessage
	if _, err := j.l.store.Get(j.name, actor.KindOut, j.outKey(), &acts); err != nil {
		return nil, sdk.AsError("look up what was sent", err)
	}
	return acts, nil
}

// outKey names what goes out for an event: the same in the feed and at each inbox.
func (j *job) outKey() string {
	if j.to != nil {
		return string(j.d.Event.ID) + " " + j.to.ID
	}
	return string(j.d.Event.ID)
}

// make turns the event into activities and keeps them, before anything is sent.
func (j *job) make(ctx context.Context) ([]json.RawMessage, error) {
	list, err := j.activities(ctx)
	if err != nil {
		return nil, err
	}
	acts := []json.RawMessage{}
	for _, a := range list {
		body, err := a.Document()
		if err != nil {
			return nil, sdk.Errorf(sdk.Internal, "write "+a.ID(), "%w", err)
		}
		acts = append(acts, body)
		if public, _ := a.Public(); public {
			if ref, ok := j.l.site.Parse(a.ID()); ok && ref.Part == actor.PartActivity {
				if err := j.l.store.Put(j.name, actor.KindActivity, ref.ID, json.RawMessage(body)); err != nil {
					return nil, sdk.AsError("keep an activity", err)
				}
			}
		}
	}
	if len(acts) == 0 {
		return nil, nil
	}
	if err := j.l.store.Put(j.name, actor.KindOut, j.outKey(), acts); err != nil {
		return nil, sdk.AsError("keep what is sent", err)
	}
	return acts, nil
}

// send posts activities to one inbox, in order.
func (j *job) send(ctx context.Context, inbox string, acts []json.RawMessage) error {
	for _, a := range acts {
		if err := j.l.transport.Post(ctx, j.name, inbox, a); err != nil {
			return err
		}
	}
	return nil
}

// inbox posts what an event of the feed became to one server.
func (j *job) inbox(ctx context.Context, url string) error {
	acts, err := j.kept()
	if err != nil {
		return err
	}
	if acts == nil {
		return sdk.Errorf(sdk.Gone, "deliver", "the activity is no longer kept")
	}
	err = j.send(ctx, url, acts)
	if kind := sdk.KindOf(err); err != nil && (kind == sdk.Gone || kind == sdk.NotFound) {
		return errors.Join(err, j.l.drop(j.name, url))
	}
	return err
}

// drop forgets the followers behind an inbox that is gone.
func (l *link) drop(name, inbox string) error {
	all, err := store.All[actor.Follower](l.store, name, actor.KindFollower)
	for _, f := range all {
		if f.Target() == inbox {
			_, e := l.store.Delete(name, actor.KindFollower, f.ID)
			err = errors.Join(err, e)
		}
	}
	return err
}

// spread gives the inboxes that an event of the feed goes to: those of all
// followers where it is for them, and of who is named by it.
func (j *job) spread(ctx context.Context, acts []json.RawMessage) ([]sdk.RemoteID, error) {
	seen := map[string]bool{}
	var out []sdk.RemoteID
	add := func(inbox string) {
		if inbox != "" && !seen[inbox] && len(out) < maxSpread {
			seen[inbox] = true
			out = append(out, sdk.RemoteID(inboxPrefix+inbox))
		}
	}
	followers := false
	for _, raw := range acts {
		a, err := object.Parse(raw)
		if err != nil {
			return nil, sdk.Errorf(sdk.Internal, "read an activity of ours", "%w", err)
		}
		for _, id := range a.Recipients() {
			if id == j.l.site.Of(j.name, actor.PartFollowers) {
				followers = true
				continue
			}
			if object.IsPublic(id) || j.l.site.Owns(id) || j.l.config.refused(id) {
				continue
			}
			p, err := j.l.far.ByID(ctx, id)
			if err != nil {
				if sdk.KindOf(err).Temporary() && j.d.Attempt < 3 {
					return nil, err
				}
				continue // who cannot be found gets nothing, and holds up nobody
			}
			add(p.Deliver())
		}
	}
	if !followers {
		return out, nil
	}
	all, err := store.All[actor.Follower](j.l.store, j.name, actor.KindFollower)
	if err != nil {
		return nil, sdk.AsError("look up followers", err)
	}
	for _, f := range all {
		if f.Accepted && !j.l.config.refused(f.ID) {
			add(f.Target())
		}
	}
	return out, nil
}

// digest makes a short name of what is too long or too odd for an id.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// activity gives the id of an activity of the actor.
func (j *job) activity(key string) string { return j.l.site.Named(j.name, actor.PartActivity, key) }

func (j *job) self() string { return j.l.site.Actor(j.name) }

func (j *job) lose(kind sdk.LossKind, detail string) {
	if !slices.ContainsFunc(j.r.Loss, func(l sdk.Loss) bool { return l.Kind == kind && l.Detail == detail }) {
		j.r.Loss = append(j.r.Loss, sdk.Loss{Kind: kind, Detail: detail})
	}
}
