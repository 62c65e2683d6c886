package host

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"bridgehost/host/config"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// table makes the router's table of the operator's routes and gateways.
func table(cfg *config.Config) *route.Table {
	return route.NewTable(rules(cfg), gates(cfg)...)
}

// gates turns the operator's gateways into the router's.
func gates(cfg *config.Config) []route.Gate {
	out := make([]route.Gate, 0, len(cfg.Gateways))
	for _, g := range cfg.Gateways {
		out = append(out, route.Gate{
			ID: sdk.RouteID(g.Name()), Links: [2]sdk.LinkID{sdk.LinkID(g.Links[0]), sdk.LinkID(g.Links[1])},
			Filters: filterUses(cfg, g.Filters, g.OnError),
		})
	}
	return out
}

// filterUses names the filters of a rule, each with its policy on errors, which
// the rule may replace.
func filterUses(cfg *config.Config, names []string, onError string) []route.FilterUse {
	var out []route.FilterUse
	for _, name := range names {
		policy := cmp.Or(onError, cfg.Links[name].OnError)
		out = append(out, route.FilterUse{Link: sdk.LinkID(name), FailOpen: policy == "open"})
	}
	return out
}

// rules turns the operator's routes into the router's.
func rules(cfg *config.Config) []route.Rule {
	out := make([]route.Rule, 0, len(cfg.Routes))
	for _, r := range cfg.Routes {
		from, _ := sdk.ParseRef(r.From) // checked when it was loaded
		rule := route.Rule{ID: sdk.RouteID(r.Name), From: from, BothWays: r.BothWays}
		for _, to := range r.To {
			ref, _ := sdk.ParseRef(to)
			rule.To = append(rule.To, ref)
		}
		rule.Filters = filterUses(cfg, r.Filters, r.OnError)
		out = append(out, rule)
	}
	return out
}

// specs turns the operator's links into the supervisor's.
func (h *Host) specs(cfg *config.Config) []supervise.Spec {
	var out []supervise.Spec
	for _, name := range linkNames(cfg) {
		out = append(out, linkSpec(cfg, name))
	}
	return out
}

func linkNames(cfg *config.Config) []string {
	var out []string
	for name := range cfg.Links {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// linkSpec says what a link is to be.
func linkSpec(cfg *config.Config, name string) supervise.Spec {
	l := cfg.Links[name]
	p := pluginSpec{sha256: l.SHA256, grant: l.Grant, hosts: l.AllowHosts, private: l.Private(), memory: int64(l.Limits.Memory),
		time: time.Duration(l.Limits.Time), trusted: l.Trusted, secrets: map[string]string{}, base: cfg.Base(name)}
	for k, v := range l.Secrets {
		p.secrets[k] = string(v)
	}
	var isModule bool
	if p.module, isModule = l.Module(cfg.Dir()); !isModule {
		var isExec bool
		if p.exec, isExec = l.Executable(cfg.Dir()); !isExec {
			p.builtin = l.Plugin
		}
	}
	return supervise.Spec{
		Link: sdk.LinkID(name), Plugin: l.Plugin, Version: l.Version(), Swap: isModule, Detail: p,
		Config: sdk.Config{Link: sdk.LinkID(name), JSON: l.ConfigJSON(), Places: cfg.Places(name), Gateway: sdk.LinkID(cfg.Peer(name)), PublicURL: cfg.HTTP.PublicURL,
			Dir: filepath.Join(cfg.DataDir(), "links", name)},
	}
}

// checkPlugins reports links whose built-in plugin does not exist.
func (h *Host) checkPlugins(cfg *config.Config) error {
	faults := &config.Errors{}
	var known []string
	for name := range h.builtins {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, name := range linkNames(cfg) {
		p := cfg.Links[name].Plugin
		if strings.Contains(p, ":") || h.builtins[p] != nil {
			continue
		}
		remedy := "known are: " + strings.Join(known, ", ") + ", wasm:FILE, exec:FILE"
		if near := config.Nearest(p, known); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		faults.List = append(faults.List, cfg.FaultAt(name, "plugin", fmt.Sprintf("there is no plugin %q", p), remedy))
	}
	if len(faults.List) > 0 {
		return faults
	}
	return nil
}
