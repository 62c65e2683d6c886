package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bridgehost/host/config"
	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

// Reload reads the configuration again and applies the difference. It returns
// what changed, in words. On an error the running configuration goes on.
func (h *Host) Reload(ctx context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next, err := config.Load(h.cfg.Path, slices.Sorted(maps.Keys(h.builtins))...)
	if err == nil {
		err = Check(ctx, next, h.builtins)
	}
	if err != nil {
		return "", &sdk.Error{Op: "reload", Kind: sdk.Invalid, Err: err}
	}
	changes := config.Diff(h.cfg, next)
	if keys := config.NeedsRestart(h.cfg, next); len(keys) > 0 {
		changes = append(changes, fmt.Sprintf("changed, but in effect only after a restart: %s", strings.Join(keys, ", ")))
		next.Host.Data, next.HTTP, next.Admin = h.cfg.Host.Data, h.cfg.HTTP, h.cfg.Admin
	}
	h.cfg = next
	h.intake.SetTable(route.NewTable(rules(next)))
	h.sup.Apply(h.specs(next))
	if len(changes) == 0 {
		return "nothing changed", nil
	}
	return strings.Join(changes, "\n"), nil
}

// config gives the configuration in use.
func (h *Host) config() *config.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg
}
