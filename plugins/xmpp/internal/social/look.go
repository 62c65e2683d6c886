package social

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/social/atom"
	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// iqTimeout bounds one request to a service.
const iqTimeout = 30 * time.Second

// lookers is how many nodes are looked at the same time, so that a service that
// does not answer does not keep the others waiting.
const lookers = 4

// childRetry is how much longer a node of comments or attachments that refused is
// left alone: most posts have none.
const childRetry = 36

// look subscribes to nodes and reads them when they are due, until ctx ends.
func (s *Social) look(ctx context.Context) {
	for {
		src, wait := s.next()
		if src == nil {
			var timer <-chan time.Time
			var t *time.Timer
			if wait > 0 {
				t = time.NewTimer(wait)
				timer = t.C
			}
			select {
			case <-ctx.Done():
			case <-s.wake:
			case <-timer:
			}
			if t != nil {
				t.Stop()
			}
			if ctx.Err() != nil {
				return
			}
			continue
		}
		s.poke() // there may be work for others, too
		if err := s.visit(ctx, src); err != nil && ctx.Err() == nil {
			s.failed(ctx, src, err)
		}
		s.mu.Lock()
		delete(s.busy, src.at)
		s.mu.Unlock()
		s.poke()
		if ctx.Err() != nil {
			return
		}
	}
}

// next gives a node that is due, and that is busy until it is taken off there; or
// for how long none is due, where zero waits for a wake.
func (s *Social) next() (*source, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return nil, 0
	}
	now := s.o.Now()
	var first *source
	for _, src := range s.sources {
		if src.due.IsZero() || s.busy[src.at] {
			continue
		}
		// What is read for itself comes before comments at the same time.
		if first == nil || src.due.Before(first.due) || src.due.Equal(first.due) && src.parent == nil && first.parent != nil {
			first = src
		}
	}
	switch {
	case first == nil:
		return nil, 0
	case first.due.After(now):
		return nil, first.due.Sub(now)
	}
	first.due = time.Time{}
	s.busy[first.at] = true
	return first, 0
}

// visit brings a node up to date: subscribed, its access model known, its newest
// items read. Or it leaves it.
func (s *Social) visit(ctx context.Context, src *source) error {
	s.mu.Lock()
	leaving := src.leaving
	s.mu.Unlock()
	if leaving {
		return s.leave(ctx, src)
	}
	if src.passive {
		return s.inspect(ctx, src)
	}
	if err := s.load(ctx, src); err != nil {
		return err
	}
	if err := s.save(ctx, src); err != nil { // that it is followed
		return err
	}
	s.mu.Lock()
	ready := src.ready
	s.mu.Unlock()
	if !ready {
		if err := s.subscribe(ctx, src); err != nil {
			return err
		}
	}
	if !ready || src.own != "" { // who may see the items may have changed
		if err := s.describe(ctx, src); err != nil {
			return err
		}
	}
	list, err := s.newest(ctx, src)
	if err != nil {
		return err
	}
	for _, it := range list {
		if err := s.take(ctx, src, it); err != nil {
			return err
		}
	}
	if err := s.missing(ctx, src, list); err != nil {
		return err
	}
	s.again(src)
	if !ready && src.place != "" && src.parent == nil {
		caps := Capabilities()
		s.report(ctx, sdk.Report{Place: src.place, State: sdk.StateUp, Reason: "subscribed", Capabilities: &caps})
	}
	return s.save(ctx, src)
}

// inspect looks whether a node that is written to is there.
func (s *Social) inspect(ctx context.Context, src *source) error {
	_, err := s.ask(ctx, s.o.Self, src.at.Service, "get", xmltok.New(packet.NSDiscoInfo, "query", "", xmltok.A("node", src.at.Node)))
	var e *packet.Error
	if err != nil && (!errors.As(err, &e) || e.Condition == "item-not-found" || e.Condition == "remote-server-not-found") {
		return err
	}
	s.mu.Lock()
	as := src.as
	src.as = ""
	s.mu.Unlock()
	if as != "" { // it was read before
		if _, err := s.ask(ctx, as, src.at.Service, "set", pubsub.Unsubscribe(src.at.Node, as, "")); err != nil && ctx.Err() == nil {
			s.o.Log.Debug("subscription not ended", "node", src.at.URI(), "error", err)
		}
	}
	caps := Capabilities()
	s.report(ctx, sdk.Report{Place: src.place, State: sdk.StateUp, Reason: "the service answers", Capabilities: &caps})
	return nil
}

// again plans to read a node again: not every service notifies whoever subscribed
// (ejabberd's PEP, by default, only sessions of its own users). What is not read
// for itself is read less often.
func (s *Social) again(src *source) {
	pause := s.o.Poll
	if src.parent != nil {
		pause *= 4
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.o.Now().Add(pause); pause > 0 && src.due.IsZero() {
		src.due = next
	}
}

func (s *Social) report(ctx context.Context, r sdk.Report) {
	if err := s.host.Report(ctx, r); err != nil && ctx.Err() == nil {
		s.o.Log.Warn("state of place not reported", "error", err)
	}
}

// failed plans the next attempt, and tells the operator of a node of a route.
func (s *Social) failed(ctx context.Context, src *source, err error) {
	s.mu.Lock()
	if src.due.IsZero() {
		pause := s.o.Retry
		if src.parent != nil {
			pause *= childRetry
		}
		src.due = s.o.Now().Add(pause)
	}
	var e *packet.Error
	if errors.As(err, &e) && !e.Temporary() {
		src.ready = false // who subscribed may no longer be let in, while another is
	}
	told := src.place != "" && src.parent == nil
	s.mu.Unlock()
	s.o.Log.Debug("node not read", "node", src.at.URI(), "error", err)
	if told {
		s.report(ctx, sdk.Report{Place: src.place, State: sdk.StateDown, Reason: explain(err)})
	}
}

// explain gives an error for the operator.
func explain(err error) string {
	var e *packet.Error
	if errors.As(err, &e) {
		switch e.Condition {
		case "item-not-found":
			return "the node does not exist, or not for us"
		case "forbidden", "not-authorized", "not-allowed":
			return "the node's access model does not let us in: make it open, or put our address on its list"
		case "remote-server-not-found", "remote-server-timeout", "service-unavailable":
			return "the pubsub service does not answer"
		}
	}
	return err.Error()
}

// ask sends a request as somebody and waits for the result.
func (s *Social) ask(ctx context.Context, from, to, kind string, payload xmltok.Element) (*packet.IQ, error) {
	ctx, cancel := context.WithTimeout(ctx, iqTimeout)
	defer cancel()
	answer, err := s.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: from, To: to, Type: kind}, Payload: payload})
	if err != nil {
		return nil, err
	}
	if answer.Type == "error" {
		if answer.Error != nil {
			return nil, answer.Error
		}
		return nil, &packet.Error{Type: "cancel", Condition: "undefined-condition"}
	}
	return answer, nil
}

// subscribe subscribes to a node: as the link itself, or where that is refused and
// foreign actors follow the user, as the first of them that is let in (XEP-0060
// §6.1.3: presence and roster models).
func (s *Social) subscribe(ctx context.Context, src *source) error {
	s.mu.Lock()
	candidates := []string{s.o.Self}
	if src.as != "" {
		candidates = []string{src.as}
	}
	by := src.by
	if src.parent != nil {
		by = src.parent.by
	}
	for _, foreign := range by[:min(len(by), 5)] {
		if v, err := s.o.Virtual(foreign); err == nil && !slices.Contains(candidates, v) {
			candidates = append(candidates, v)
		}
	}
	if !slices.Contains(candidates, s.o.Self) {
		candidates = append(candidates, s.o.Self)
	}
	s.mu.Unlock()
	var first error
	for _, as := range candidates {
		answer, err := s.ask(ctx, as, src.at.Service, "set", pubsub.Subscribe(src.at.Node, as, false))
		if err == nil && pubsub.ParseSubscribed(answer.Payload) == "subscribed" {
			s.mu.Lock()
			src.as = as
			if now := s.sources[src.at]; now != nil { // it may have been replaced meanwhile
				now.as = as
			}
			s.mu.Unlock()
			return nil
		}
		if err == nil {
			err = errors.New("the subscription waits for the owner's approval")
		}
		if first == nil {
			first = err
		}
		var e *packet.Error
		if !errors.As(err, &e) {
			return err // the stream, not the service, is what failed
		}
	}
	return first
}

// recheck finds out the access model again before items that were notified go
// out: few nodes tell of a new configuration (XEP-0060 §8.2.5.1, off by default),
// and one that was open may be for contacts now. Where a route leads is the
// operator's matter, and reactions are shown to whom the post is.
func (s *Social) recheck(ctx context.Context, src *source) error {
	if src.own == "" || strings.HasPrefix(src.at.Node, pubsub.AttachPrefix) {
		return nil
	}
	if src.parent != nil {
		if err := s.describe(ctx, src.parent); err != nil {
			return err
		}
	}
	return s.describe(ctx, src)
}

// describe finds out the access model of a node, and for attachments whether the
// service checks them. A service that does not say leaves it unknown.
func (s *Social) describe(ctx context.Context, src *source) error {
	access, err := s.access(ctx, src.as, src.at)
	if err != nil {
		return err
	}
	proves := false
	if _, ok := attach.Target(src.at.Node); ok {
		answer, err := s.ask(ctx, src.as, src.at.Service, "get", xmltok.New(packet.NSDiscoInfo, "query", ""))
		if proves, err = err == nil && hasFeature(answer.Payload, pubsub.NSAttachments), ctx.Err(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	src.model, src.proves, src.ready = access, proves, true
	s.mu.Unlock()
	return nil
}

func hasFeature(query xmltok.Element, feature string) bool {
	for c := range query.Children() {
		if c.Is(packet.NSDiscoInfo, "feature") && c.Get("var") == feature {
			return true
		}
	}
	return false
}

// access gives the access model of a node by its metadata (XEP-0060 §5.4), empty
// where it does not become known. Servers do not tell strangers about a user's
// nodes (XEP-0030 §8); then a component finds out whether the node is open: by
// an address that is new to everybody, so that nobody can have let it in. The
// error is that the stream failed.
func (s *Social) access(ctx context.Context, as string, at pubsub.Address) (string, error) {
	answer, err := s.ask(ctx, as, at.Service, "get", xmltok.New(packet.NSDiscoInfo, "query", "", xmltok.A("node", at.Node)))
	var e *packet.Error
	if err == nil {
		form, _ := pubsub.FormIn(answer.Payload, pubsub.FormMeta)
		if model := form.Get("pubsub#access_model"); model != "" {
			return model, nil
		}
	} else if !errors.As(err, &e) {
		return "", err
	}
	if strings.Contains(s.o.Self, "@") {
		return "", nil // an account has one address only
	}
	stranger := "probe-" + strings.ToLower(rand.Text()) + "@" + s.o.Self
	switch _, err := s.ask(ctx, stranger, at.Service, "get", pubsub.GetItems(at.Node, 1)); {
	case err == nil:
		return "open", nil
	case errors.As(err, &e):
		return "", nil
	default:
		return "", err
	}
}

// newest gives the newest items of a node, the oldest first.
func (s *Social) newest(ctx context.Context, src *source) ([]pubsub.Item, error) {
	answer, err := s.ask(ctx, src.as, src.at.Service, "get", pubsub.GetItems(src.at.Node, s.o.Newest))
	if err != nil {
		return nil, err
	}
	list := pubsub.ParseItems(answer.Payload)
	slices.SortStableFunc(list, func(a, b pubsub.Item) int { return stamp(a).Compare(stamp(b)) })
	if over := len(list) - s.o.Newest; over > 0 {
		list = list[over:]
	}
	return list, nil
}

// stamp gives when an item was first published, zero where it does not say.
func stamp(it pubsub.Item) time.Time {
	e, err := atom.Parse(it.Payload)
	if err != nil {
		return time.Time{}
	}
	if e.Published.IsZero() {
		return e.Updated
	}
	return e.Published
}

// missing finds items that were taken back while nobody listened: those that were
// seen, are not among the newest, and are not given by id either. A node drops its
// oldest items by itself (max_items), which takes nothing back: so only what is
// newer than something that is still there counts.
func (s *Social) missing(ctx context.Context, src *source, have []pubsub.Item) error {
	var oldest time.Time
	for _, it := range have {
		e, err := atom.Parse(it.Payload)
		if t := e.Changed(); err == nil && !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	s.mu.Lock()
	var ids []string
	for _, n := range slices.Backward(src.seen) {
		if oldest.IsZero() || n.Time <= oldest.Unix() {
			continue
		}
		if len(ids) < s.o.Newest && !slices.ContainsFunc(have, func(it pubsub.Item) bool { return it.ID == n.ID }) {
			ids = append(ids, n.ID)
		}
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	var there []pubsub.Item
	answer, err := s.ask(ctx, src.as, src.at.Service, "get", pubsub.GetItems(src.at.Node, 0, ids...))
	var e *packet.Error
	switch {
	case err == nil:
		there = pubsub.ParseItems(answer.Payload)
	case errors.As(err, &e) && e.Condition == "item-not-found":
	case errors.As(err, &e):
		return nil
	default:
		return err
	}
	for _, id := range ids {
		if slices.ContainsFunc(there, func(it pubsub.Item) bool { return it.ID == id }) {
			continue
		}
		if err := s.gone(ctx, src, id); err != nil {
			return err
		}
	}
	return nil
}

// leave ends the subscription to a node that is no longer read, with those below it.
func (s *Social) leave(ctx context.Context, src *source) error {
	if src.parent == nil {
		if err := s.save(ctx, src); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if !src.leaving { // wanted again
		s.mu.Unlock()
		return nil
	}
	now := s.o.Now()
	for at, child := range s.sources {
		if child.parent == src {
			child.leaving, child.due = true, now
		}
		if child == src {
			delete(s.sources, at)
		}
	}
	as := src.as
	s.mu.Unlock()
	if src.passive {
		return nil
	}
	if as == "" {
		as = s.o.Self
	}
	_, err := s.ask(ctx, as, src.at.Service, "set", pubsub.Unsubscribe(src.at.Node, as, ""))
	if err != nil && ctx.Err() == nil {
		s.o.Log.Debug("subscription not ended", "node", src.at.URI(), "error", err)
	}
	return ctx.Err()
}

// attend follows the comments on a post and its attachments; those of the oldest
// posts are left where there are too many.
func (s *Social) attend(src *source, at pubsub.Address, entry atom.Entry) {
	if src.parent != nil || s.o.Comments < 0 {
		return
	}
	nodes := []pubsub.Address{{Service: at.Service, Node: attach.Node(at)}}
	if len(entry.Comments) > 0 {
		nodes = append(nodes, entry.Comments[0])
	}
	now := s.o.Now()
	s.mu.Lock()
	for _, n := range nodes {
		if s.sources[n] != nil || len(s.sources) >= maxSources || s.virtual(n.Service) || !pubsub.ValidName(n.Node) {
			continue
		}
		s.sources[n] = &source{at: n, place: src.place, own: src.own, post: at, parent: src, loaded: true, due: now}
	}
	var kept int
	posts := map[string]bool{}
	for _, n := range slices.Backward(src.seen) {
		if kept++; kept <= s.o.Comments {
			posts[n.ID] = true
		}
	}
	for _, child := range s.sources {
		if child.parent == src && !posts[child.post.Item] {
			child.leaving, child.due = true, now
		}
	}
	s.mu.Unlock()
	s.poke()
}
