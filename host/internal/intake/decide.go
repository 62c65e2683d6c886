package intake

import (
	"time"

	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// request is one Publish, as the database's writer sees it. Decide is where an
// event meets what is known: it does no I/O and may be repeated.
type request struct {
	in      *Intake
	link    sdk.LinkID
	jobs    []*job
	now     time.Time
	entries []*store.Entry
	fresh   map[store.Key]*store.Entry // items that this request makes
}

var _ store.Appender = (*request)(nil)

func (r *request) key(remote sdk.RemoteID) store.Key { return store.Key{Link: r.link, Remote: remote} }

// Keys implements store.Appender.
func (r *request) Keys() []store.Key {
	keys := make([]store.Key, 0, len(r.jobs))
	add := func(remote sdk.RemoteID) {
		if remote != "" {
			keys = append(keys, r.key(remote))
		}
	}
	for _, j := range r.jobs {
		add(j.ev.Target().Remote)
		if it := j.ev.Item(); it != nil {
			add(it.Origin.ID)
			add(it.ReplyTo.Remote)
		}
	}
	return keys
}

// Decide implements store.Appender.
func (r *request) Decide(known map[store.Key]store.Known) ([]*store.Entry, error) {
	r.entries = r.entries[:0]
	r.fresh = make(map[store.Key]*store.Entry, len(r.jobs))
	for _, j := range r.jobs {
		j.decided, j.emitted = verdictNone, nil
		if err := r.decide(j, known); err != nil {
			return nil, err
		}
		r.tell(j)
		r.entries = append(r.entries, j.emitted...)
	}
	return r.entries, nil
}

// tell stores beside a dropped event that its link has to hear of it.
func (r *request) tell(j *job) {
	if j.decided == verdictDropped && r.in.deps.Hears(r.link) {
		j.emitted[0].Outcomes = []store.OutcomeRow{{To: r.link, Outcome: outcome(&j.ev, sdk.OutcomeDropped, j.reason)}}
	}
}

// find says what is known of a name, including what this request makes.
func (r *request) find(remote sdk.RemoteID, known map[store.Key]store.Known) (store.Known, *store.Entry, bool) {
	k := r.key(remote)
	if e, ok := r.fresh[k]; ok {
		return store.Known{
			State: e.Item.State, Place: e.Item.Place, Origin: e.Item.Origin, Author: e.Event.Actor.Home,
			Moderated: e.Item.Moderated, Revision: e.Item.Revision, Visibility: e.Item.Visibility,
		}, e, true
	}
	kn, ok := known[k]
	return kn, nil, ok
}

// learn lets later events of the request see what an earlier one changed.
func (r *request) learn(remote sdk.RemoteID, known map[store.Key]store.Known, kn *store.Known) {
	k := r.key(remote)
	if e, ok := r.fresh[k]; ok {
		e.Item.State, e.Item.Moderated, e.Item.Revision, e.Item.Visibility = kn.State, kn.Moderated, kn.Revision, kn.Visibility
		return
	}
	known[k] = *kn
}

func (r *request) decide(j *job, known map[store.Key]store.Known) error {
	switch c := j.ev.Change.(type) {
	case sdk.ItemCreated:
		r.create(j, &c.Item, known)
	case sdk.ItemUpdated:
		return r.update(j, &c, known)
	case sdk.ItemRetracted:
		return r.retract(j, &c, known)
	default:
		r.about(j, known)
	}
	return nil
}

// create takes a new item.
func (r *request) create(j *job, it *sdk.Item, known map[store.Key]store.Known) {
	change := store.ItemChange{Op: store.ItemCreate, Origin: it.Origin, Place: j.ev.Place.ID, Visibility: it.Visibility}
	kn, made, ok := r.find(it.Origin.ID, known)
	switch {
	case it.Origin.ID == "" && j.resume != 0:
		change = store.ItemChange{Op: store.ItemSetState, ID: j.item}
	case it.Origin.ID == "" || !ok:
	case kn.Copy:
		j.decided = verdictEcho // what the host itself emitted came back
		return
	case kn.State == store.ItemRetracted && (kn.Moderated || kn.Author == j.ev.Actor.Home):
		r.drop(j, store.ItemChange{Op: store.ItemKnown, ID: kn.Item}, made, "it was retracted before it came")
		return
	case kn.State == store.ItemRetracted && kn.Place == "" && made == nil:
		// A tombstone that somebody else left is no reason to silence the author.
	case j.resume != 0 && kn.Item == j.item && made == nil:
		change = store.ItemChange{Op: store.ItemKnown, ID: kn.Item} // a variant of it was not held
		if kn.State == store.ItemHeld {
			change.Op = store.ItemSetState
		}
	default:
		j.decided = verdictDuplicate
		return
	}
	wait := r.waitForParent(j, it.ReplyTo.Remote, known)
	r.write(j, change, nil, wait, it.Visibility)
}

// waitForParent says whether the item should wait for the one that it answers.
func (r *request) waitForParent(j *job, parent sdk.RemoteID, known map[store.Key]store.Known) *store.Wait {
	if parent == "" || !j.patient {
		return nil
	}
	if kn, _, ok := r.find(parent, known); ok && kn.State != store.ItemHeld {
		return nil
	}
	return r.in.wait(r.key(parent), r.now.Add(r.in.opts.WaitReply))
}

// owned checks that the event's actor may change the item: it is from this
// link, and by this author.
func (r *request) owned(j *job, kn *store.Known) error {
	op := "publish " + j.ev.Kind().String()
	switch {
	case kn.Copy || kn.Origin.Link != r.link:
		return sdk.Errorf(sdk.Forbidden, op, "item %q is a copy of an item of link %q", j.ev.Target().Remote, kn.Origin.Link)
	case kn.Author != j.ev.Actor.Home:
		return sdk.Errorf(sdk.Forbidden, op, "item %q is by %q, not by %q", j.ev.Target().Remote, kn.Author.ID, j.ev.Actor.Home.ID)
	default:
		return nil
	}
}

// update takes a new revision.
func (r *request) update(j *job, c *sdk.ItemUpdated, known map[store.Key]store.Known) error {
	kn, made, ok := r.find(c.Target.Remote, known)
	if !ok {
		if wait := r.waitForTarget(j); wait != nil {
			r.write(j, store.ItemChange{}, nil, wait, c.Item.Visibility)
			return nil
		}
		// The item never came: the update has all of it, and goes on as its first sight.
		origin := sdk.Ref{Link: r.link, ID: c.Target.Remote}
		r.write(j, store.ItemChange{Op: store.ItemCreate, Origin: origin, Place: j.ev.Place.ID, Visibility: c.Item.Visibility}, nil, nil, c.Item.Visibility)
		return nil
	}
	if err := r.owned(j, &kn); err != nil {
		return err
	}
	switch kn.State {
	case store.ItemRetracted, store.ItemDropped:
		r.drop(j, store.ItemChange{Op: store.ItemKnown, ID: kn.Item}, made, "the item is gone")
		return nil
	case store.ItemHeld:
		if wait := r.in.wait(r.key(c.Target.Remote), r.now.Add(r.in.opts.WaitTarget)); wait != nil {
			r.write(j, store.ItemChange{Op: store.ItemKnown, ID: kn.Item}, made, wait, c.Item.Visibility)
			return nil
		}
		r.drop(j, store.ItemChange{Op: store.ItemKnown, ID: kn.Item}, made, "too many events wait")
		return nil
	}
	change := store.ItemChange{Op: store.ItemRevise, ID: kn.Item, Revision: kn.Revision + 1, Visibility: c.Item.Visibility}
	setRevision(j, change.Revision)
	r.write(j, change, made, nil, kn.Visibility)
	if kn.Revision, kn.Visibility = change.Revision, change.Visibility; j.decided == verdictStored {
		r.learn(c.Target.Remote, known, &kn)
	}
	return nil
}

// setRevision stamps the revision that the host counts on the event and on what
// the filters made of it.
func setRevision(j *job, revision uint32) {
	for k := range j.variants {
		res := &j.variants[k].res
		if it := res.Event.Item(); it != nil {
			it.Revision = revision
			res.Event, res.Raw = res.Event.WithItem(*it), nil
		}
	}
}

// retract takes an item back. One that is not known yet leaves a tombstone,
// which wins over the late creation.
func (r *request) retract(j *job, c *sdk.ItemRetracted, known map[store.Key]store.Known) error {
	kn, made, ok := r.find(c.Target.Remote, known)
	if !ok {
		change := store.ItemChange{Op: store.ItemCreate, Origin: sdk.Ref{Link: r.link, ID: c.Target.Remote},
			State: store.ItemRetracted, Moderated: c.Moderated}
		r.end(j, change, nil, store.FateNowhere, "nothing is known of the item yet; it will not be shown")
		j.decided = verdictStored
		return nil
	}
	if !c.Moderated {
		if err := r.owned(j, &kn); err != nil {
			return err
		}
	}
	change := store.ItemChange{Op: store.ItemSetState, ID: kn.Item, State: store.ItemRetracted, Moderated: c.Moderated}
	switch kn.State {
	case store.ItemRetracted:
		j.decided = verdictDuplicate
	case store.ItemHeld, store.ItemDropped:
		r.end(j, change, made, store.FateNowhere, "the item was not shown anywhere")
		j.decided = verdictStored
	default:
		r.write(j, change, made, nil, sdk.VisibilityPlace)
	}
	if kn.State, kn.Moderated = store.ItemRetracted, c.Moderated; j.decided == verdictStored {
		r.learn(c.Target.Remote, known, &kn)
	}
	return nil
}

// about takes a change that refers to an item, or to none.
func (r *request) about(j *job, known map[store.Key]store.Known) {
	target := j.ev.Target().Remote
	if target == "" {
		r.write(j, store.ItemChange{}, nil, nil, sdk.VisibilityPlace)
		return
	}
	kn, made, ok := r.find(target, known)
	change := store.ItemChange{Op: store.ItemKnown, ID: kn.Item}
	switch {
	case !ok || kn.State == store.ItemHeld:
		if wait := r.waitForTarget(j); wait != nil {
			r.write(j, change, made, wait, sdk.VisibilityPlace)
			return
		}
		r.drop(j, change, made, "nothing is known of the item")
	case kn.State != store.ItemLive:
		r.drop(j, change, made, "the item is gone")
	default:
		r.write(j, change, made, nil, kn.Visibility)
	}
}

func (r *request) waitForTarget(j *job) *store.Wait {
	if !j.patient {
		return nil
	}
	return r.in.wait(r.key(j.ev.Target().Remote), r.now.Add(r.in.opts.WaitTarget))
}

// drop records an event that goes nowhere, without its content.
func (r *request) drop(j *job, change store.ItemChange, made *store.Entry, reason string) {
	r.end(j, change, made, store.FateDropped, reason)
	j.decided = verdictDropped
}

func (r *request) end(j *job, change store.ItemChange, made *store.Entry, fate store.Fate, reason string) {
	v := variant{}
	for i := range j.variants {
		v.ways = append(v.ways, j.variants[i].ways...)
	}
	if j.item != 0 && change.Op == store.ItemNone {
		change = store.ItemChange{Op: store.ItemKnown, ID: j.item}
	}
	j.reason = reason
	e := &store.Entry{Event: &j.ev, Fate: fate, Audit: v.audit(reason), Item: change, ItemFrom: made, Resume: j.resume}
	r.add(j, e)
}

// add keeps an entry, and the item that it makes for later events of the request.
func (r *request) add(j *job, e *store.Entry) {
	j.emitted = append(j.emitted, e)
	if e.Item.Op == store.ItemCreate && e.Item.Origin.ID != "" {
		r.fresh[r.key(e.Item.Origin.ID)] = e
	}
}

// write turns the variants of a job into entries: the first carries the change
// of the item and the origin's key, the others are its variants.
func (r *request) write(j *job, change store.ItemChange, made *store.Entry, wait *store.Wait, before sdk.Visibility) {
	var targets []route.Target
	var primary *store.Entry
	kept := merged(j.variants, wait != nil)
	for k := range kept {
		e := r.entry(j, &kept[k], &targets, wait)
		if primary == nil {
			primary, e.Item, e.ItemFrom, e.Resume = e, change, made, j.resume
		} else {
			e.Parent = primary
		}
		j.emitted = append(j.emitted, e)
	}
	if wait != nil {
		holdItem(primary)
		j.decided = verdictWaiting
	} else {
		r.conclude(j, primary)
		r.narrowed(j, primary, targets, before)
	}
	if primary.Item.Op == store.ItemCreate && primary.Item.Origin.ID != "" {
		r.fresh[r.key(primary.Item.Origin.ID)] = primary
	}
	r.emit(j)
}

// holdItem keeps the item of an event that waits out of sight, and leaves an
// item as it is that the waiting event would change.
func holdItem(e *store.Entry) {
	switch {
	case e.Item.Op == store.ItemCreate, e.Item.Op == store.ItemSetState && e.Event.Kind() == sdk.KindItemCreated:
		e.Item.State = store.ItemHeld
	case e.Item.Op != store.ItemNone:
		e.Item.Op = store.ItemKnown
	}
}

// entry is one variant as it is stored.
func (r *request) entry(j *job, v *variant, targets *[]route.Target, wait *store.Wait) *store.Entry {
	e := &store.Entry{Event: &v.res.Event, Body: r.body(v)}
	switch {
	case v.res.Verb == sdk.Drop:
		e.Fate, e.Body, e.Audit = store.FateDropped, nil, v.audit(v.res.Reason)
	case v.res.Verb == sdk.Hold:
		e.Fate, e.Wait, e.Audit = store.FateHeld, &store.Wait{Until: v.res.Until}, v.audit(v.res.Reason)
		e.Event, e.Body = &j.ev, j.raw // the filters will see it again as it came
	case wait != nil:
		e.Fate, e.Wait, e.Audit = store.FateWaiting, wait, v.audit("waits for "+string(wait.Key.Remote))
		e.Event, e.Body = &j.ev, j.raw
	default:
		from := len(*targets)
		for _, w := range v.ways {
			*targets = route.Extend(*targets, &v.res.Event, w, r.in.deps.Places)
		}
		for _, t := range (*targets)[from:] {
			e.Deliveries = append(e.Deliveries, store.Delivery{To: t.Place, Rule: t.Rule})
		}
		e.Fate, e.Audit = store.FateRouted, v.audit("")
		if len(e.Deliveries) == 0 {
			e.Fate, e.Audit = store.FateNowhere, v.audit("no place may show it")
		}
	}
	return e
}

// body gives the encoded form, which the filters may have made already.
func (r *request) body(v *variant) []byte {
	if v.res.Raw == nil {
		v.res.Raw = codec.AppendEvent(nil, &v.res.Event)
	}
	return v.res.Raw
}

// conclude says what became of the event as a whole, and of its item.
func (r *request) conclude(j *job, primary *store.Entry) {
	var routed, held, nowhere bool
	for _, e := range j.emitted {
		routed = routed || e.Fate == store.FateRouted
		held = held || e.Fate == store.FateHeld
		nowhere = nowhere || e.Fate == store.FateNowhere
	}
	switch {
	case routed:
		j.decided = verdictStored
	case held:
		j.decided = verdictHeld
		holdItem(primary)
	case nowhere:
		j.decided, j.reason = verdictUnrouted, "no place may show it"
	default:
		j.decided, j.reason = verdictDropped, j.variants[0].res.Reason
		if op := primary.Item.Op; op == store.ItemCreate || op == store.ItemSetState && j.ev.Kind() == sdk.KindItemCreated {
			primary.Item.State = store.ItemDropped
		} else if primary.Item.ID != 0 {
			// A filter that stops an update or a retraction leaves the item as it is.
			primary.Item = store.ItemChange{Op: store.ItemKnown, ID: primary.Item.ID}
		}
	}
}

// narrowed takes an item back where its new visibility no longer lets it be.
func (r *request) narrowed(j *job, primary *store.Entry, targets []route.Target, before sdk.Visibility) {
	c, ok := j.ev.Change.(sdk.ItemUpdated)
	if !ok || primary.Item.Op != store.ItemRevise || primary.Fate == store.FateDropped || c.Item.Visibility <= before {
		return
	}
	ev := j.ev
	ev.Change = sdk.ItemRetracted{Target: c.Target}
	e := &store.Entry{Event: &ev, Fate: store.FateRouted, Parent: primary}
	v := variant{}
	for k := range j.variants {
		v.ways = append(v.ways, j.variants[k].ways...)
	}
	for _, t := range route.Route(&ev, v.ways, r.in.deps.Places) {
		if !hasTarget(targets, t.Place) {
			e.Deliveries = append(e.Deliveries, store.Delivery{To: t.Place, Rule: t.Rule})
		}
	}
	if len(e.Deliveries) > 0 {
		e.Audit, e.Body = v.audit("fewer people may see it now"), codec.AppendEvent(nil, &ev)
		j.emitted = append(j.emitted, e)
		j.decided = verdictStored
	}
}

func hasTarget(targets []route.Target, place sdk.Ref) bool {
	for _, t := range targets {
		if t.Place == place {
			return true
		}
	}
	return false
}

// emit writes what filters asked to send, as notices of the filter's link.
func (r *request) emit(j *job) {
	for k := range j.variants {
		for _, em := range j.variants[k].res.Emit {
			to := em.Event.Place
			if !r.in.deps.Filters.MayEmit(em.By, to) {
				r.in.deps.Log.Warn("filter may not emit there", "link", string(em.By))
				continue
			}
			ev := em.Event
			ev.Place = sdk.Ref{Link: em.By, ID: sdk.RemoteID(to.String())}
			ev.Actor.Home.Link, ev.Via, ev.Dedup, ev.Notice, ev.Want = em.By, []sdk.LinkID{em.By}, "", true, false
			e := &store.Entry{Event: &ev, Body: codec.AppendEvent(nil, &ev), Fate: store.FateRouted,
				Audit: `{"rules":[],"reason":"emitted by a filter"}`, Deliveries: []store.Delivery{{To: to}}}
			if it := ev.Item(); it != nil && ev.Kind() == sdk.KindItemCreated {
				e.Item = store.ItemChange{Op: store.ItemCreate, Visibility: it.Visibility}
			}
			j.emitted = append(j.emitted, e)
		}
	}
}

// Done implements store.Appender. It runs in the writer, in the order of
// commits, so that lanes get their deliveries in the order of the journal.
func (r *request) Done(err error) {
	if err != nil {
		return
	}
	for _, j := range r.jobs {
		if len(j.emitted) > 0 && j.emitted[0].Duplicate {
			j.decided = verdictDuplicate
		}
	}
	r.in.deps.Queue.Feed(r.entries)
	r.in.waits.committed(r.entries)
}
