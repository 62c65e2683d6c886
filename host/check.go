package host

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bridgehost/host/config"
	"bridgehost/host/internal/launch/proc"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Check opens every link of a configuration without running it, and reports all
// faults at once as *config.Errors.
func Check(ctx context.Context, cfg *config.Config, builtins map[string]sdk.Plugin) error {
	faults := &config.Errors{}
	if err := inspectLinks(ctx, cfg, builtins, faults); err != nil {
		return err
	}
	return faults.Err()
}

// CheckFile reads a configuration and checks all of it in one pass: faults of the
// file and of the plugins' tables come back together as *config.Errors. A link
// whose own lines have faults is not opened. The configuration may be run when
// the error is nil.
func CheckFile(ctx context.Context, path string, builtins map[string]sdk.Plugin) (*config.Config, error) {
	cfg, faults, err := config.Inspect(path, slices.Sorted(maps.Keys(builtins))...)
	if err != nil {
		return nil, err
	}
	if err := inspectLinks(ctx, cfg, builtins, faults); err != nil {
		return nil, err
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// inspectLinks opens the links of a configuration one after the other, and adds
// what is wrong with them to the faults.
func inspectLinks(ctx context.Context, cfg *config.Config, builtins map[string]sdk.Plugin, faults *config.Errors) (err error) {
	h, err := New(cfg, builtins, Options{})
	var unknown *config.Errors
	if errors.As(err, &unknown) {
		faults.Add(unknown.List...)
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bridgehost-check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	modules, err := wasm.NewHost(wasm.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, modules.Close(ctx)) }()
	runtime, err := proc.OpenRuntime(filepath.Join(dir, "run"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.Close()) }()
	k := &linkChecker{
		cfg: cfg, faults: faults, prefixes: map[string]string{}, able: gatewayPlugins(builtins),
		noListener: cfg.HTTP.Listen == "" && !cfg.Faulty("http", faults),
		launcher:   &launcher{builtins: h.builtins, inProcess: true, runtime: runtime.Dir(), wasm: modules, log: slog.New(slog.DiscardHandler)},
	}
	for _, spec := range h.specs(cfg) {
		k.link(ctx, spec)
	}
	return nil
}

// linkChecker opens links and notes what is wrong with them.
type linkChecker struct {
	cfg        *config.Config
	launcher   *launcher
	faults     *config.Errors
	prefixes   map[string]string // paths of links, with the link that has each
	able       []string          // built-in plugins that can be part of a gateway
	noListener bool              // there is no public listener
}

// link opens one link and closes it again.
func (k *linkChecker) link(ctx context.Context, spec supervise.Spec) {
	name := string(spec.Link)
	fault := func(key, problem, remedy string) {
		k.faults.Add(k.cfg.Fault(name, key, problem, remedy))
	}
	inst, err := k.launcher.Launch(ctx, spec)
	if err != nil {
		k.faults.Add(k.cfg.FaultAt(name, "plugin", err.Error(), "repair the file, or correct plugin and sha256"))
		return
	}
	defer func() {
		if err := inst.Close(); err != nil {
			fault("", err.Error(), "")
		}
	}()
	k.gateways(spec, inst.Plugin().Describe())
	link, err := inst.Plugin().Open(spec.Config, checkHost{k.launcher.log})
	var bad *sdk.ConfigError
	switch {
	case errors.As(err, &bad):
		for _, f := range bad.Faults {
			fault(f.Key, f.Problem, f.Remedy)
		}
		return
	case err != nil:
		fault("", err.Error(), "")
		return
	}
	k.roles(spec, sdk.FacetsOf(link), fault)
	k.paths(name, web.HandlerOf(link), fault)
}

// paths finds links that answer HTTP where nobody can ask them.
func (k *linkChecker) paths(name string, handler web.Handler, fault func(key, problem, remedy string)) {
	if handler == nil {
		return
	}
	if k.noListener {
		fault("", "the link answers HTTP, and there is no public listener", `add [http] with listen = "127.0.0.1:8080"`)
	}
	for _, r := range handler.WebRoutes() {
		if other, taken := k.prefixes[r.Prefix]; taken {
			fault("", "the path "+r.Prefix+" belongs to the link "+other+" already", "give one of them another path")
		}
		k.prefixes[r.Prefix] = name
	}
}

// roles finds links that routes and gateways use for what they cannot do.
func (k *linkChecker) roles(spec supervise.Spec, f sdk.Facets, fault func(key, problem, remedy string)) {
	for _, p := range spec.Config.Places {
		if p.Target && f.Deliverer == nil {
			fault("", "a route leads to "+string(spec.Link)+":"+string(p.ID)+", and this link takes no deliveries", "use it as from only")
		}
	}
	if f.Filter != nil {
		return
	}
	for _, r := range k.cfg.Routes {
		if slices.Contains(r.Filters, string(spec.Link)) {
			fault("", "the route "+r.Name+" uses this link as a filter, and it is none", "remove it from filters")
		}
	}
	for _, g := range k.cfg.Gateways {
		if slices.Contains(g.Filters, string(spec.Link)) {
			fault("", "the "+g.Name()+" uses this link as a filter, and it is none", "remove it from filters")
		}
	}
}

// Facets that both links of a gateway must have: one takes what the other's
// people say, and tells the other who its own people are.
const (
	facetDeliverer = "deliverer"
	facetResolver  = "resolver"
)

// gateways finds gateways whose link has a plugin that cannot be part of one.
func (k *linkChecker) gateways(spec supervise.Spec, m sdk.Manifest) {
	var lacks []string
	if !slices.Contains(m.Facets, facetDeliverer) {
		lacks = append(lacks, "takes no deliveries ("+facetDeliverer+")")
	}
	if !slices.Contains(m.Facets, facetResolver) {
		lacks = append(lacks, "cannot look up addresses ("+facetResolver+")")
	}
	if len(lacks) == 0 {
		return
	}
	remedy := "join places of the link by [[route]] instead"
	if len(k.able) > 0 {
		remedy = "name a link with the plugin " + strings.Join(k.able, " or ") + ", or " + remedy
	}
	for i, g := range k.cfg.Gateways {
		for j, name := range g.Links {
			if name == string(spec.Link) {
				k.faults.Add(k.cfg.GatewayFault(i, "links["+strconv.Itoa(j)+"]",
					"the link "+name+" cannot be part of a gateway: its plugin "+spec.Plugin+" "+strings.Join(lacks, " and "), remedy))
			}
		}
	}
}

// gatewayPlugins names the built-in plugins that can be part of a gateway.
func gatewayPlugins(builtins map[string]sdk.Plugin) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(builtins)) {
		if f := builtins[name].Describe().Facets; slices.Contains(f, facetDeliverer) && slices.Contains(f, facetResolver) {
			out = append(out, name)
		}
	}
	return out
}
