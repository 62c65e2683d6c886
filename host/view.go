package host

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"bridgehost/host/config"
	"bridgehost/host/internal/admin"
	"bridgehost/host/internal/store"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

var (
	_ admin.Host      = (*Host)(nil)
	_ admin.Restarter = (*Host)(nil)
)

// Status implements admin.Host.
func (h *Host) Status(ctx context.Context) admin.Status {
	cfg := h.config()
	st := admin.Status{Version: h.opt.Version, Started: h.started, Links: h.sup.Status(), Ready: true}
	wrong := unready(cfg, st.Links)
	st.Store = admin.StoreStatus{Path: h.db.Path(), Writable: true}
	free, err := h.db.Free()
	st.Store.Free = free
	if err != nil {
		st.Store.Writable, st.Store.Reason = false, err.Error()
		wrong = append(wrong, "the disk takes no events: "+err.Error())
	}
	st.Queues = h.queues(ctx)
	for _, r := range cfg.Routes {
		st.Routes = append(st.Routes, admin.RouteStatus{ID: r.Name, From: r.From, To: r.To, BothWays: r.BothWays, Filters: r.Filters})
	}
	for _, g := range cfg.Gateways {
		st.Routes = append(st.Routes, admin.RouteStatus{ID: g.Name(), From: g.Links[0], To: g.Links[1:], BothWays: true, Filters: g.Filters})
	}
	st.Ready, st.Reason = len(wrong) == 0, strings.Join(wrong, "; ")
	return st
}

// queues gives the state of each link's lanes, with the dead letters that there
// are now, whenever they died.
func (h *Host) queues(ctx context.Context) []admin.QueueStatus {
	dead, err := h.db.DeadCounts(ctx)
	if err != nil {
		h.log.Warn("dead letters not counted", "error", err)
	}
	var out []admin.QueueStatus
	for _, l := range h.outbox.Stats().Links {
		out = append(out, admin.QueueStatus{Link: string(l.Link), Depth: int(l.Depth), Oldest: l.Oldest, Dead: dead[l.Link]})
		delete(dead, l.Link)
	}
	for _, link := range slices.Sorted(maps.Keys(dead)) { // of links that are no longer configured
		out = append(out, admin.QueueStatus{Link: string(link), Dead: dead[link]})
	}
	return out
}

// unready names the links that keep the host from being ready. While a reload is
// under way a link may run that the configuration no longer has; it does not count.
func unready(cfg *config.Config, links []supervise.Status) []string {
	state := map[sdk.LinkID]sdk.State{} // a link that has not been started yet is starting
	for _, l := range links {
		state[l.Link] = l.State
	}
	var wrong []string
	for _, name := range linkNames(cfg) {
		if s := state[sdk.LinkID(name)]; s != sdk.StateUp && !cfg.Links[name].Optional {
			wrong = append(wrong, fmt.Sprintf("link %s is %s", name, s))
		}
	}
	return wrong
}

// RestartLink implements admin.Restarter.
func (h *Host) RestartLink(_ context.Context, link string) error {
	if !h.sup.Restart(sdk.LinkID(link)) {
		return sdk.Errorf(sdk.NotFound, "restart link "+link, "there is no such link")
	}
	return nil
}

// Queue implements admin.Host.
func (h *Host) Queue(ctx context.Context, f admin.QueueFilter) ([]admin.QueueRow, error) {
	rows, err := listQueue(ctx, h.db, f)
	for i := range rows {
		if r := &rows[i]; !r.Dead && r.Reason == "" {
			r.Reason = h.outbox.Why(sdk.Ref{Link: sdk.LinkID(r.Link), ID: sdk.RemoteID(r.Place)})
		}
	}
	return rows, err
}

// Retry implements admin.Host.
func (h *Host) Retry(ctx context.Context, f admin.QueueFilter) (int, error) {
	return h.outbox.Retry(ctx, storeFilter(f))
}

// Drop implements admin.Host. A filter that names no ids means all that it
// selects, however many.
func (h *Host) Drop(ctx context.Context, f admin.QueueFilter) (int, error) {
	if len(f.IDs) > 0 { // dead or not
		return h.outbox.Drop(ctx, storeFilter(f).IDs)
	}
	f.Limit = 0
	for total := 0; ; {
		rows, err := listQueue(ctx, h.db, f)
		if err != nil || len(rows) == 0 {
			return total, err
		}
		ids := make([]sdk.DeliveryID, 0, len(rows))
		for _, r := range rows {
			ids = append(ids, sdk.DeliveryID(r.ID))
		}
		n, err := h.outbox.Drop(ctx, ids)
		if total += n; err != nil || n == 0 {
			return total, err
		}
	}
}

// Explain implements admin.Host.
func (h *Host) Explain(ctx context.Context, item string) (admin.Explanation, error) {
	return explain(ctx, h.db, item)
}

// archive is what the listings need of the database.
type archive interface {
	Queue(ctx context.Context, f store.QueueFilter) ([]store.Queued, error)
	DeadLetters(ctx context.Context, f store.QueueFilter) ([]store.Queued, error)
	Trace(ctx context.Context, what string) (*store.Trace, error)
}

func storeFilter(f admin.QueueFilter) store.QueueFilter {
	out := store.QueueFilter{Link: sdk.LinkID(f.Link), Place: sdk.RemoteID(f.Place), Limit: f.Limit}
	for _, id := range f.IDs {
		out.IDs = append(out.IDs, sdk.DeliveryID(id))
	}
	return out
}

func listQueue(ctx context.Context, db archive, f admin.QueueFilter) ([]admin.QueueRow, error) {
	list := db.Queue
	if f.Dead {
		list = db.DeadLetters
	}
	queued, err := list(ctx, storeFilter(f))
	if err == nil && len(f.IDs) > 0 && !f.Dead { // a name says enough
		var dead []store.Queued
		dead, err = db.DeadLetters(ctx, storeFilter(f))
		queued = append(queued, dead...)
	}
	if err != nil {
		return nil, err
	}
	rows := []admin.QueueRow{}
	for _, q := range queued {
		rows = append(rows, admin.QueueRow{ID: string(q.ID), Link: string(q.Place.Link), Place: string(q.Place.ID), Kind: q.Kind.String(),
			Item: string(q.Item), Created: q.Created, Due: q.Due, Attempts: q.Attempts, Reason: q.Reason, Dead: q.Dead})
	}
	return rows, nil
}

// explain tells the life of an item in the order of time.
func explain(ctx context.Context, db archive, what string) (admin.Explanation, error) {
	t, err := db.Trace(ctx, what)
	if err != nil {
		return admin.Explanation{}, err
	}
	e := admin.Explanation{Item: string(t.Item), Origin: t.Origin.String(), Created: t.Created}
	step := func(at time.Time, format string, args ...any) {
		e.Steps = append(e.Steps, admin.ExplainAt{Time: at, What: fmt.Sprintf(format, args...)})
	}
	for _, ev := range t.Events {
		step(ev.Time, "event %s: %s in %s by %s, %s%s", ev.Event, ev.Kind, ev.Place, authorText(t.Author), ev.Fate, auditText(ev.Audit))
		if ev.Damaged {
			step(ev.Time, "the stored event is damaged: its checksum does not fit")
		}
		for _, l := range ev.Losses {
			for _, loss := range l.Loss {
				step(ev.Time, "loss at %s by %s: %s, %s", l.Place, l.Rule, loss.Kind, loss.Detail)
			}
		}
	}
	for _, c := range t.Copies {
		e.Copies = append(e.Copies, c.Place.String()+" "+string(c.Remote))
		step(c.Made, "delivered to %s by %s", c.Place, c.Rule)
	}
	for _, q := range t.Pending {
		step(q.Created, "waits for %s by %s, attempts %d %s", q.Place, q.Rule, q.Attempts, q.Reason)
	}
	for _, q := range t.Dead {
		step(q.Died, "given up at %s by %s after %d attempts: %s", q.Place, q.Rule, q.Attempts, q.Reason)
	}
	sort.SliceStable(e.Steps, func(i, j int) bool { return e.Steps[i].Time.Before(e.Steps[j].Time) })
	return e, nil
}

func authorText(a sdk.Actor) string {
	if a.Home.IsZero() {
		return "an unknown actor"
	}
	return a.DisplayName() + " (" + a.Home.String() + ")"
}

// auditText gives what intake wrote down, as it is.
func auditText(audit string) string {
	if audit == "" || !json.Valid([]byte(audit)) {
		return ""
	}
	return ", decided by " + audit
}
