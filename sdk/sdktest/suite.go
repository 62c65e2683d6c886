package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Case is a plugin to test, with what the suite needs to use it.
type Case struct {
	Plugin sdk.Plugin
	// Config is a good configuration; opening and running it must not need
	// anything but this machine.
	Config sdk.Config
	// Bad are configurations with faults; each must be refused with a
	// *sdk.ConfigError that names its keys.
	Bad []json.RawMessage
	// Deliveries go to the link while it runs, in one batch.
	Deliveries []sdk.Delivery
	// Events go through the filter, when the link is one.
	Events []sdk.Event
	// Exercise is called on each transport while the link runs.
	Exercise func(t *testing.T, l sdk.Link, h *Host)
	// Leaks is called after each transport has been closed; goleak.Find fits.
	Leaks func() error
	// Transports are further ways to get the plugin, such as a module; the
	// plugin given is closed by the function's own t.Cleanup.
	Transports map[string]func(t *testing.T) sdk.Plugin
	// NoExec leaves out the process of its own; else the test's package calls
	// Main from TestMain.
	NoExec bool
	// StopWithin bounds how long Run may go on after its context ended; 0 = 5 s.
	StopWithin time.Duration
}

const (
	callWithin = 10 * time.Second
	stopWithin = 5 * time.Second
)

// Run runs the suite for a plugin: in process, over gRPC in this process, as a
// process of its own, and over c.Transports.
func Run(t *testing.T, c Case) {
	if c.StopWithin == 0 {
		c.StopWithin = stopWithin
	}
	ways := map[string]func(*testing.T) sdk.Plugin{
		"in process": func(*testing.T) sdk.Plugin { return c.Plugin },
		"grpc":       func(t *testing.T) sdk.Plugin { return OverGRPC(t, c.Plugin) },
	}
	if !c.NoExec {
		ways["process"] = Exec
	}
	for name, way := range c.Transports {
		ways[name] = way
	}
	want := expect(t, c)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			if c.Leaks != nil {
				t.Cleanup(func() { // runs last
					if err := c.Leaks(); err != nil {
						t.Errorf("after the transport was closed: %v", err)
					}
				})
			}
			conform(t, c, way(t), want)
		})
	}
}

// expected is what a plugin shows in process.
type expected struct {
	manifest sdk.Manifest
	facets   []string
	routes   []web.Route
}

func expect(t *testing.T, c Case) expected {
	t.Helper()
	h := NewHost(nil)
	l, err := c.Plugin.Open(c.Config, h)
	if err != nil {
		t.Fatalf("open in process: %v", err)
	}
	if n := h.Calls(); n > 0 {
		t.Errorf("Open called the host %d times; it may do no I/O", n)
	}
	e := expected{manifest: c.Plugin.Describe(), facets: FacetNames(l)}
	if w := web.HandlerOf(l); w != nil {
		e.routes = w.WebRoutes()
	}
	return e
}

// conform runs the suite on one transport.
func conform(t *testing.T, c Case, p sdk.Plugin, want expected) {
	t.Run("describe", func(t *testing.T) { describe(t, p.Describe(), want.manifest) })
	t.Run("faults", func(t *testing.T) { faults(t, c, p) })
	t.Run("open and drop", func(t *testing.T) {
		h := NewHost(nil)
		if _, err := p.Open(c.Config, h); err != nil {
			t.Fatal(err)
		}
		if n := h.Calls(); n > 0 {
			t.Errorf("Open called the host %d times", n)
		}
	})
	t.Run("run", func(t *testing.T) { runs(t, c, p, want) })
	t.Run("run with ended context", func(t *testing.T) {
		l, err := p.Open(c.Config, NewHost(nil))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended(t, c, func() error { return l.Run(ctx) })
	})
}

var (
	idForm      = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+([-+].*)?$`)
	facetWords  = []string{"deliverer", "filter", "placer", "informed", "resolver", "backfiller", "commander", "web"}
	abilities   = []string{"log", "kv", "timer", "emit", "http", "command", "config", "secret", "metrics"}
)

func describe(t *testing.T, m, want sdk.Manifest) {
	if !idForm.MatchString(m.ID) {
		t.Errorf("id %q: want [a-z0-9-]+", m.ID)
	}
	if !versionForm.MatchString(m.Version) {
		t.Errorf("version %q is no semantic version", m.Version)
	}
	if m.ContractMin < 1 || m.ContractMin > m.ContractMax || m.ContractMax < sdk.ContractVersionMin || m.ContractMin > sdk.ContractVersion {
		t.Errorf("contract %d to %d does not meet %d to %d", m.ContractMin, m.ContractMax, sdk.ContractVersionMin, sdk.ContractVersion)
	}
	for _, f := range m.Facets {
		if !slices.Contains(facetWords, f) {
			t.Errorf("facet %q is none of %v", f, facetWords)
		}
	}
	for _, a := range m.Abilities {
		if !slices.Contains(abilities, a) {
			t.Errorf("ability %q is none of %v", a, abilities)
		}
	}
	for _, k := range append(slices.Clone(m.Takes), m.Gives...) {
		if k == sdk.KindNone || k > sdk.KindSignal {
			t.Errorf("kind of change %d is not known", k)
		}
	}
	if len(m.Schema) > 0 && !json.Valid(m.Schema) {
		t.Errorf("schema is no JSON: %s", m.Schema)
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("manifest differs from that in process:\n got %+v\nwant %+v", m, want)
	}
}

func faults(t *testing.T, c Case, p sdk.Plugin) {
	for _, bad := range c.Bad {
		cfg := c.Config
		cfg.JSON = bad
		_, err := p.Open(cfg, NewHost(nil))
		var ce *sdk.ConfigError
		if !errors.As(err, &ce) || len(ce.Faults) == 0 {
			t.Errorf("configuration %s: error %v, want a *sdk.ConfigError with faults", bad, err)
			continue
		}
		for _, f := range ce.Faults {
			if f.Problem == "" {
				t.Errorf("configuration %s: fault of %q says no problem", bad, f.Key)
			}
		}
	}
}

// runs opens a link, runs it, and uses its facets meanwhile.
func runs(t *testing.T, c Case, p sdk.Plugin, want expected) {
	h := NewHost(nil)
	l, err := p.Open(c.Config, h)
	if err != nil {
		t.Fatal(err)
	}
	if got := FacetNames(l); !slices.Equal(got, want.facets) {
		t.Errorf("facets %v, in process %v", got, want.facets)
	}
	for _, f := range want.facets {
		if !slices.Contains(want.manifest.Facets, f) {
			t.Errorf("the link is a %s, the manifest does not say so", f)
		}
	}
	if w := web.HandlerOf(l); w != nil && !reflect.DeepEqual(w.WebRoutes(), want.routes) {
		t.Errorf("routes %+v, in process %+v", w.WebRoutes(), want.routes)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }() // ended below
	f := sdk.FacetsOf(l)
	t.Run("deliver", func(t *testing.T) { receipts(t, c, f.Deliverer) })
	t.Run("filter", func(t *testing.T) { verdicts(t, c, f.Filter) })
	if c.Exercise != nil {
		t.Run("exercise", func(t *testing.T) { c.Exercise(t, l, h) })
	}
	stop()
	ended(t, c, func() error { return <-done })
}

// ended checks that run returns in time, and without a complaint.
func ended(t *testing.T, c Case, run func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- run() }() // a link that does not end fails the test below
	late := time.NewTimer(c.StopWithin)
	defer late.Stop()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.Canceled) && sdk.KindOf(err) != sdk.Transient {
			t.Errorf("Run of a stopped link = %v, want nil or the context's error", err)
		}
	case <-late.C:
		t.Errorf("Run goes on %v after its context ended", c.StopWithin)
	}
}

func receipts(t *testing.T, c Case, d sdk.Deliverer) {
	if d == nil || len(c.Deliveries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), callWithin)
	defer cancel()
	got, err := d.Deliver(ctx, c.Deliveries)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[sdk.DeliveryID]bool)
	for _, d := range c.Deliveries {
		open[d.ID] = true
	}
	for _, r := range got {
		if !open[r.Delivery] {
			t.Errorf("receipt for %q, which was not delivered or has one already", r.Delivery)
		}
		delete(open, r.Delivery)
		if r.Unsent && r.Err == nil {
			t.Errorf("receipt for %q is unsent without an error", r.Delivery)
		}
	}
	if len(open) > 0 {
		t.Errorf("no receipt for %v", open)
	}
}

func verdicts(t *testing.T, c Case, f sdk.Filter) {
	if f == nil || len(c.Events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), callWithin)
	defer cancel()
	first, err := f.Filter(ctx, c.Events)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != len(c.Events) {
		t.Fatalf("%d verdicts for %d events", len(first), len(c.Events))
	}
	for i, v := range first {
		if err := sound(v); err != nil {
			t.Errorf("verdict %d: %v", i, err)
		}
	}
}

func sound(v sdk.Verdict) error {
	switch {
	case v.Verb > sdk.Hold:
		return fmt.Errorf("verb %d is not known", v.Verb)
	case v.Verb == sdk.Replace && v.Event == nil:
		return errors.New("replaces by nothing")
	case v.Verb == sdk.Drop && v.Reason == "":
		return errors.New("drops without a reason")
	case v.Verb == sdk.Hold && v.Until.IsZero():
		return errors.New("holds without an end")
	default:
		return nil
	}
}

// FacetNames gives the abilities of a link in the words of sdk.Manifest.
func FacetNames(l sdk.Link) []string {
	f := sdk.FacetsOf(l)
	var names []string
	for i, have := range []bool{f.Deliverer != nil, f.Filter != nil, f.Placer != nil, f.Informed != nil,
		f.Resolver != nil, f.Backfiller != nil, f.Commander != nil, web.HandlerOf(l) != nil} {
		if have {
			names = append(names, facetWords[i])
		}
	}
	return names
}
