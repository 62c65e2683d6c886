package host

import (
	"context"
	"fmt"
	"strings"

	"bridgehost/host/config"
	"bridgehost/sdk"
)

// Reload reads the configuration again and applies the difference. It returns
// what changed, in words. On an error the running configuration goes on.
func (h *Host) Reload(ctx context.Context) (string, error) {
	h.reload.Lock()
	defer h.reload.Unlock()
	old := h.config()
	next, err := CheckFile(ctx, old.Path, h.builtins)
	if err != nil {
		return "", &sdk.Error{Op: "reload", Kind: sdk.Invalid, Err: err}
	}
	changes := config.Diff(old, next)
	if keys := config.NeedsRestart(old, next); len(keys) > 0 {
		changes = append(changes, fmt.Sprintf("changed, but in effect only after a restart: %s", strings.Join(keys, ", ")))
		next.Host.Data, next.HTTP, next.Admin = old.Host.Data, old.HTTP, old.Admin
	}
	h.cfg.Store(next)
	h.intake.SetTable(table(next))
	h.sup.Apply(h.specs(next))
	if len(changes) == 0 {
		return "nothing changed", nil
	}
	return strings.Join(changes, "\n"), nil
}

// config gives the configuration in use. It takes no lock: links ask for it while
// a reload waits for them.
func (h *Host) config() *config.Config { return h.cfg.Load() }
