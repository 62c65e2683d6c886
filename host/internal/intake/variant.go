package intake

import (
	"context"
	"encoding/json"
	"slices"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// variant is what one list of filters makes of an event: rules with the same
// filters share it.
type variant struct {
	ways []route.Way
	stop string // why it ends here, before any filter
	res  filter.Result
}

// variants groups ways by their list of filters, in the operator's order.
func variants(ways []route.Way) []variant {
	if len(ways) == 1 {
		return []variant{{ways: ways}}
	}
	var out []variant
next:
	for i, w := range ways {
		for k := range out {
			if out[k].ways[0].Chain == w.Chain {
				out[k].ways = append(out[k].ways, w)
				continue next
			}
		}
		out = append(out, variant{ways: slices.Clone(ways[i : i+1])})
	}
	return out
}

// merged joins the variants that turned out to be the same: those that passed
// unchanged, and, for an event that waits, all that passed, since the filters
// will see it again.
func merged(vs []variant, waits bool) []variant {
	if len(vs) == 1 {
		return vs
	}
	out := make([]variant, 0, len(vs))
	same := -1
	for _, v := range vs {
		switch {
		case v.res.Verb != sdk.Pass || v.res.Changed && !waits:
			out = append(out, v)
		case same < 0:
			same = len(out)
			out = append(out, v)
		default:
			m := &out[same]
			m.ways = append(slices.Clone(m.ways), v.ways...)
			m.res.Steps = append(slices.Clone(m.res.Steps), v.res.Steps...)
		}
	}
	return out
}

// batch is the variants of several jobs that go through the same filters.
type batch struct {
	uses []route.FilterUse
	to   []*variant
	jobs []*job
}

// filterAll runs every list of filters once over all events that it concerns.
func (in *Intake) filterAll(ctx context.Context, jobs []*job) error {
	byChain := map[string]*batch{}
	var order []*batch
	for _, j := range jobs {
		for k := range j.variants {
			v := &j.variants[k]
			v.res = filter.Result{Event: j.ev, Raw: j.raw}
			switch {
			case v.stop != "":
				v.res.Verb, v.res.Reason = sdk.Drop, v.stop
				continue
			case len(v.ways[0].Filters) == 0:
				continue
			}
			b := byChain[v.ways[0].Chain]
			if b == nil {
				b = &batch{uses: v.ways[0].Filters}
				byChain[v.ways[0].Chain] = b
				order = append(order, b)
			}
			b.to, b.jobs = append(b.to, v), append(b.jobs, j)
		}
	}
	for _, b := range order {
		if err := in.filterBatch(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (in *Intake) filterBatch(ctx context.Context, b *batch) error {
	events, raw := make([]sdk.Event, len(b.jobs)), make([][]byte, len(b.jobs))
	for i, j := range b.jobs {
		events[i], raw[i] = j.ev, j.raw
	}
	results, err := in.deps.Filters.Run(ctx, b.uses, events, raw)
	if err != nil {
		return err
	}
	for i := range results {
		b.to[i].res = results[i]
	}
	return nil
}

// breakAll asks the breakers of the rules. Too many events are refused, so that
// nothing is lost and whoever sends slows down; the same message over and over
// is dropped, since that is what a loop through other bridges looks like.
func (in *Intake) breakAll(jobs []*job) error {
	now := in.deps.Now()
	for _, j := range jobs {
		if j.resume != 0 {
			continue
		}
		for k := range j.variants {
			v := &j.variants[k]
			if v.res.Verb != sdk.Pass {
				continue
			}
			for _, w := range v.ways {
				if after, ok := in.breaker.take(w.Rule, now); !ok {
					return &sdk.Error{Op: "publish by route " + string(w.Rule), Kind: sdk.RateLimited, Public: "too many messages", After: after}
				}
				if in.breaker.repeats(w.Rule, &j.ev, now) {
					in.count.broken.Add(1)
					v.res.Verb, v.res.Reason = sdk.Drop, "the same message came too often (loop protection)"
				}
			}
		}
	}
	return nil
}

// auditStep and audit are the JSON form of a decision, as stored and explained.
type auditStep struct {
	Link   sdk.LinkID `json:"link"`
	Verb   string     `json:"verb"`
	Reason string     `json:"reason,omitempty"`
	Failed bool       `json:"failed,omitempty"`
}

type audit struct {
	Rules   []sdk.RouteID `json:"rules"`
	Filters []auditStep   `json:"filters,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

var verbs = [...]string{sdk.Pass: "pass", sdk.Drop: "drop", sdk.Replace: "replace", sdk.Hold: "hold"}

// audit tells how a variant was decided.
func (v *variant) audit(reason string) string {
	a := audit{Reason: reason, Rules: make([]sdk.RouteID, len(v.ways))}
	for i, w := range v.ways {
		a.Rules[i] = w.Rule
	}
	for _, s := range v.res.Steps {
		a.Filters = append(a.Filters, auditStep{Link: s.Link, Verb: verbs[min(s.Verb, sdk.Hold)], Reason: s.Reason, Failed: s.Failed})
	}
	b, err := json.Marshal(a)
	if err != nil {
		return "{}" // strings and lists of strings always marshal
	}
	return string(b)
}

// rulesOf reads the rules of a stored audit.
func rulesOf(stored string) []sdk.RouteID {
	var a audit
	if json.Unmarshal([]byte(stored), &a) != nil {
		return nil
	}
	return a.Rules
}
