package host

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
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
func Check(ctx context.Context, cfg *config.Config, builtins map[string]sdk.Plugin) (err error) {
	h, err := New(cfg, builtins, Options{})
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
	l := &launcher{builtins: h.builtins, inProcess: true, runtime: runtime.Dir(), wasm: modules, log: slog.New(slog.DiscardHandler)}
	faults := &config.Errors{}
	prefixes := map[string]string{}
	for _, spec := range h.specs(cfg) {
		checkLink(ctx, cfg, l, spec, prefixes, faults)
	}
	if len(faults.List) > 0 {
		return faults
	}
	return nil
}

// checkLink opens one link and closes it again.
func checkLink(ctx context.Context, cfg *config.Config, l *launcher, spec supervise.Spec, prefixes map[string]string, faults *config.Errors) {
	name := string(spec.Link)
	fault := func(key, problem, remedy string) {
		faults.List = append(faults.List, cfg.Fault(name, key, problem, remedy))
	}
	inst, err := l.Launch(ctx, spec)
	if err != nil {
		faults.List = append(faults.List, cfg.FaultAt(name, "plugin", err.Error(), "repair the file, or correct plugin and sha256"))
		return
	}
	defer func() {
		if err := inst.Close(); err != nil {
			fault("", err.Error(), "")
		}
	}()
	link, err := inst.Plugin().Open(spec.Config, &linkHost{link: spec.Link, report: func(...sdk.Report) {}, log: l.log})
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
	checkRoles(cfg, spec, sdk.FacetsOf(link), fault)
	if handler := web.HandlerOf(link); handler != nil {
		if cfg.HTTP.Listen == "" {
			fault("", "the link answers HTTP, and there is no public listener", `add [http] with listen = "127.0.0.1:8080"`)
		}
		for _, r := range handler.WebRoutes() {
			if other, taken := prefixes[r.Prefix]; taken {
				fault("", "the path "+r.Prefix+" belongs to the link "+other+" already", "give one of them another path")
			}
			prefixes[r.Prefix] = name
		}
	}
}

// checkRoles finds links that routes use for what they cannot do.
func checkRoles(cfg *config.Config, spec supervise.Spec, f sdk.Facets, fault func(key, problem, remedy string)) {
	for _, p := range spec.Config.Places {
		if p.Target && f.Deliverer == nil {
			fault("", "a route leads to "+string(spec.Link)+":"+string(p.ID)+", and this link takes no deliveries", "use it as from only")
		}
	}
	for _, r := range cfg.Routes {
		for _, name := range r.Filters {
			if name == string(spec.Link) && f.Filter == nil {
				fault("", strings.Join([]string{"the route", r.Name, "uses this link as a filter, and it is none"}, " "), "remove it from filters")
			}
		}
	}
}
